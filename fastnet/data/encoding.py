"""Turns the columns of a table into the inputs of a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.data.arrays import Array
from fastnet.data.column import Column
from fastnet.data.table import Table, kind_of, listed_columns, missing, texts
from fastnet.data.tables import advice, is_number
from fastnet.errors import DataError
from fastnet.text import shown

MAX_LEVELS = 50


def fitted(
    table: Table, rows: NDArray[np.int64], categorical: Sequence[str], impute: bool
) -> tuple[tuple[Column, ...], NDArray[np.float64]]:
    """Return the columns that a network takes from a table, and their inputs for all rows.

    Parameters
    ----------
    table : Table
        The columns to take.
    rows : int64 array
        The rows to train on. Missing numbers are filled with their median.
    categorical : sequence of str
        The columns to one-hot encode.
    impute : bool
        Whether to fill missing values. Otherwise they are refused.
    """
    numeric = [name for name in table.names if name not in categorical]
    _refuse_kinds(table, numeric)
    _refuse_gaps(table, list(table.names), [] if impute else list(table.names))
    columns = []
    for name in table.names:
        values = table[name]
        if name in categorical:
            columns.append(Column(name, _levels(table, name)))
        elif impute:
            known = values[rows][~missing(values[rows])]
            if not len(known):
                raise DataError(f"{table.name}, column {_quoted(name)} has no value in the training rows: drop it")
            columns.append(Column(name, (), float(np.median(known.astype(np.float64)))))
        else:
            columns.append(Column(name))
    return tuple(columns), encoded(columns, table)


def encoded(columns: Sequence[Column], table: Table) -> NDArray[np.float64]:
    """Return the inputs (n, n_in) for the rows of a table. Raises DataError if it does not fit the columns."""
    found = matched(columns, table)
    numeric = [column.name for column in columns if not column.levels]
    _refuse_kinds(found, numeric)
    _refuse_gaps(found, [], [c.name for c in columns if (c.fill is None if not c.levels else "" not in c.levels)])
    n_in = sum(len(column.levels) or 1 for column in columns)
    x, k = np.zeros((len(table), n_in)), 0
    for column in columns:
        values = found[column.name]
        if column.levels:
            x[np.arange(len(table)), k + _codes(column, values, table.name)] = 1
            k += len(column.levels)
            continue
        x[:, k] = values
        if column.fill is not None:
            x[missing(values), k] = column.fill
        if np.isinf(x[:, k]).any():
            row = int(np.isinf(x[:, k]).argmax())
            raise DataError(
                f"{table.name}, row {row + 1}, column {_quoted(column.name)}: expected a number, not {values[row]}: "
                "correct the value or drop the row"
            )
        k += 1
    return x


def matched(columns: Sequence[Column], table: Table) -> Table:
    """Return the columns of a table under the names that the network knows, in its order.

    Columns are found by name. In a table without names they are found by position.
    """
    names = [column.name for column in columns]
    if not all(name in table.names for name in names):
        is_nameless = all(name.startswith("column ") for name in names)
        if len(names) == len(table.names) and is_nameless:
            return Table(table.name, tuple(names), table.columns, table.has_header)
        if not table.has_header and not is_nameless:
            raise DataError(
                f"{table.name} has no header, but the network was trained on columns with names "
                f"({listed_columns(names)}): write their names as the first line"
            )
        absent = [name for name in names if name not in table.names]
        hint = checks.suggestion(absent[0], table.names) if len(absent) == 1 else ""
        raise DataError(
            f"{table.name} has no column{'s' * (len(absent) > 1)} {listed_columns(absent)}, which the network takes"
            f"{hint or f'; it has {listed_columns(list(table.names))}: add what is missing'}"
        )
    return table.only(names)


def pixels_of(table: Table) -> NDArray[np.uint8]:
    """Return the numbers of a table as bytes. They must be whole numbers from 0 to 255."""
    _refuse_kinds(table, list(table.names))
    x = np.empty((len(table), len(table.names)), np.uint8)
    for k, (name, values) in enumerate(zip(table.names, table.columns, strict=True)):
        good = (values >= 0) & (values <= 255) & (values % 1 == 0)  # False for nan
        if not good.all():
            row = int(good.argmin())
            raise DataError(
                f"{table.name}, row {row + 1}, column {_quoted(name)}: expected a pixel, a whole number from 0 to 255, "
                f"not {values[row]}: correct the value, or read the table without pixels"
            )
        x[:, k] = values
    return x


def _refuse_kinds(table: Table, numeric: Sequence[str]) -> None:
    """Refuse columns without numbers among those in `numeric`, and columns that are neither numbers nor text."""
    for kind in ("M", "V"):
        found = [name for name in table.names if table[name].dtype.kind == kind]
        if found:
            raise DataError(
                f"{table.name}: {_columns(found)} {kind_of(table[found[0]])}; expected numbers or text: turn them into "
                "numbers, such as days since the first date, or drop them"
            )
    found = [name for name in numeric if table[name].dtype == object]
    if not found:
        return
    first = table[found[0]]
    odd = [k for k, value in enumerate(first.tolist()) if value is not None and not is_number(value)]
    row = odd[0] if odd else int((~missing(first)).argmax())
    example = f"{checks.given(first[row])} in row {row + 1}"
    hint = advice(str(first[row])) or (
        "name them as categorical to one-hot encode them, drop them, or turn them into numbers"
    )
    example = f"{_quoted(found[0])} has {example}" if len(found) > 1 else example
    raise DataError(f"{table.name}: {_columns(found)} text ({example}); expected numbers: {hint}")


def _refuse_gaps(table: Table, with_values: Sequence[str], without_gaps: Sequence[str]) -> None:
    """Refuse columns that are entirely missing in `with_values`, and columns with missing values in `without_gaps`."""
    counts = {name: int(missing(table[name]).sum()) for name in table.names}
    empty = [name for name in with_values if counts[name] == len(table)]
    if empty:
        raise DataError(f"{table.name}: {_columns(empty)} no values at all: drop them")
    gaps = {name: counts[name] for name in without_gaps if counts[name]}
    if gaps:
        parts = ", ".join(f"{count:,} in {shown(name)}" for name, count in list(gaps.items())[:8])
        more = f", and some in {len(gaps) - 8:,} more columns" if len(gaps) > 8 else ""
        total = sum(gaps.values())
        raise DataError(
            f"{table.name} has {total:,} missing value{'s' * (total > 1)} ({parts}{more}): fill them with impute, or "
            "drop the rows or the columns"
        )


def _levels(table: Table, name: str) -> tuple[str, ...]:
    found = sorted({text or "" for text in texts(table[name])})
    if len(found) > MAX_LEVELS:
        raise DataError(
            f"{table.name}: the categorical column {_quoted(name)} has {len(found):,} different values; expected at "
            f"most {MAX_LEVELS}: merge rare values, or drop the column"
        )
    return tuple(found)


def _codes(column: Column, values: Array, table: str) -> NDArray[np.int64]:
    """Return the position of each value among the levels of a categorical column."""
    position = {level: k for k, level in enumerate(column.levels)}
    found = [text or "" for text in texts(values)]
    unknown = next((row for row, text in enumerate(found) if text not in position), None)
    if unknown is not None:
        raise DataError(
            f"{table}, row {unknown + 1}, column {_quoted(column.name)}: {checks.given(found[unknown])} is not among "
            f"the values that the network knows ({listed_columns(list(column.levels))}): correct it or drop the row"
        )
    return np.array([position[text] for text in found], np.int64)


def _columns(names: list[str]) -> str:
    return f"the column{'s' * (len(names) > 1)} {listed_columns(names)} {'have' if len(names) > 1 else 'has'}"


def _quoted(name: str) -> str:
    return checks.given(name)
