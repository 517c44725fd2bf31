"""Column: a column of a table that a network takes. Turns the columns of a table into the inputs of the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.data.arrays import Array
from fastnet.data.csv_tables import advice, is_number
from fastnet.data.table import Table, column_title, kind_of, missing, positions, refuse_large, texts
from fastnet.errors import DataError
from fastnet.text import listed, shown

MAX_LEVELS = 50
# What to do about columns of text and missing values, if the network is still to be trained.
TEXT = "name text as categorical to one-hot encode it, or as drop to leave it out, or turn it into numbers"
GAPS = "fill gaps with impute, or drop the rows or columns"


class Column(NamedTuple):
    """A column of a table that a network takes as input.

    Attributes
    ----------
    name : str
        The column's name in the header, or "column 1", "column 2", ... in a table without a header.
    levels : tuple of str
        The texts that occur in a categorical column. Each is one input of the network: 1 where the row has this text,
        else 0. "" stands for a missing value. () for a column of numbers, which is one input.
    fill : float or None
        The number that replaces a missing value. None: a missing value is an error.
    """

    name: str
    levels: tuple[str, ...] = ()
    fill: float | None = None


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
    numeric = [name for name in table.columns if name not in categorical]
    refuse_kinds(table, numeric)
    _refuse_gaps(table, table.names, [] if impute else table.names, GAPS)
    columns = []
    for name in table.columns:
        values = table[name]
        if name in categorical:
            columns.append(Column(name, checked_levels(table.name, name, levels_of(table[name]))))
        elif impute:
            known = values[rows][~missing(values[rows])]
            if not len(known):
                raise DataError(f"{table.name}, column {checks.given(name)} has no value in the training rows: drop it")
            columns.append(Column(name, (), float(np.median(known.astype(np.float64)))))
        else:
            columns.append(Column(name))
    return tuple(columns), encoded(columns, table)


def encoded(columns: Sequence[Column], table: Table) -> NDArray[np.float64]:
    """Return the inputs (n, n_in) for the rows of a table. Raises DataError if it does not fit the columns."""
    found = _matched(columns, table)
    numeric = [column.name for column in columns if not column.levels]
    refuse_kinds(found, numeric, "the network takes numbers here: correct the values")
    fixed = [column.name for column in columns if "" not in column.levels and column.fill is None]
    _refuse_gaps(found, [], fixed, "the network has no value to fill in: fill the gaps or drop the rows")
    inputs: list[Array] = []
    for column in columns:
        values = found[column.name]
        if column.levels:
            codes = _codes(column, values, table)
            inputs += [codes == k for k in range(len(column.levels))]
            continue
        inputs.append(values if column.fill is None else np.where(missing(values), column.fill, values))
        refuse_large(values, table.name, f", column {checks.given(column.name)}", table.first_row)
    return np.ascontiguousarray(np.array(inputs, np.float64).T)


def _matched(columns: Sequence[Column], table: Table) -> Table:
    """Return the columns of a table under the names that the network knows, in its order.

    Columns are found by name. In a table without names they are found by position.
    """
    names = [column.name for column in columns]
    if not all(name in table.columns for name in names):
        is_nameless = all(name.startswith("column ") for name in names)
        if len(names) == len(table.columns) and is_nameless:
            return dataclasses.replace(table, columns=dict(zip(names, table.columns.values(), strict=True)))
        if not table.has_header and not is_nameless:
            raise DataError(
                f"{table.name} has no header, but the network was trained on columns with names "
                f"({listed(names)}): write their names as the first line"
            )
        if is_nameless and table.has_header:
            raise DataError(
                f"{table.name} has {len(table.columns)} columns with names ({listed(table.names)}), but the "
                f"network was trained on a table without names, and takes {len(names)}: leave out the first line"
            )
        absent = [name for name in names if name not in table.columns]
        hint = checks.suggestion(absent[0], table.names) if len(absent) == 1 else ""
        raise DataError(
            f"{table.name} has no column{'s' * (len(absent) > 1)} {listed(absent)}, which the network takes"
            f"{hint or f'; it has {listed(table.names)}: add what is missing'}"
        )
    return table.only(names)


def pixels_of(table: Table) -> NDArray[np.uint8]:
    """Return the numbers of a table as bytes. They must be whole numbers from 0 to 255."""
    refuse_kinds(table, table.names, "correct the values, or drop the columns")
    x = np.empty((len(table.columns), len(table)), np.uint8)
    for k, (name, values) in enumerate(table.columns.items()):
        good = (values >= 0) & (values <= 255)  # False for nan
        if values.dtype.kind == "f":
            good &= np.trunc(values) == values
        if not good.all():
            row = int(good.argmin())
            raise DataError(
                f"{table.name}, row {table.first_row + row}, column {checks.given(name)}: expected a pixel, a whole "
                f"number from 0 to 255, not {values[row]}: correct the value, or read the table without pixels"
            )
        x[k] = values
    return np.ascontiguousarray(x.T)


def refuse_kinds(table: Table, numeric: Sequence[str], what_to_do: str = TEXT) -> None:
    """Refuse columns without numbers among those in `numeric`, and columns that are neither numbers nor text."""
    for kind in ("M", "V"):
        found = [name for name in table.columns if table[name].dtype.kind == kind]
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
    example = f"{checks.given(first[row])} in row {table.first_row + row}"
    hint = advice(str(first[row])) or what_to_do
    example = f"{checks.given(found[0])} has {example}" if len(found) > 1 else example
    raise DataError(f"{table.name}: {_columns(found)} text ({example}); expected numbers: {hint}")


def _refuse_gaps(table: Table, with_values: Sequence[str], without_gaps: Sequence[str], what_to_do: str) -> None:
    """Refuse columns that are entirely missing in `with_values`, and columns with missing values in `without_gaps`."""
    counts = {name: int(missing(table[name]).sum()) for name in table.columns}
    refuse_gaps(table.title, counts, len(table), with_values, without_gaps, what_to_do)


def refuse_gaps(
    title: str,
    counts: Mapping[str, int],
    n_rows: int,
    with_values: Sequence[str],
    without_gaps: Sequence[str],
    what_to_do: str = GAPS,
) -> None:
    """Refuse columns by the numbers of their missing values, as `fitted` does."""
    empty = [name for name in with_values if counts[name] == n_rows]
    if empty:
        raise DataError(f"{title}: {_columns(empty)} no values at all: drop {'them' if len(empty) > 1 else 'it'}")
    gaps = {name: counts[name] for name in without_gaps if counts[name]}
    if gaps:
        parts = ", ".join(f"{count:,} in {shown(name)}" for name, count in list(gaps.items())[:8])
        more = f", and some in {len(gaps) - 8:,} more columns" if len(gaps) > 8 else ""
        total = sum(gaps.values())
        raise DataError(f"{title} has {total:,} missing value{'s' * (total > 1)} ({parts}{more}): {what_to_do}")


def levels_of(column: Array) -> set[str]:
    """Return the different texts of a categorical column. "" stands for a missing value."""
    return {text or "" for text in texts(column)}


def checked_levels(table: str, name: str, found: set[str]) -> tuple[str, ...]:
    """Return the levels of a categorical column in order. Refuses too many."""
    if len(found) > MAX_LEVELS:
        raise DataError(
            f"{table}: the categorical column {checks.given(name)} has {len(found):,} different values; expected "
            f"at most {MAX_LEVELS}: merge rare values, or drop the column"
        )
    return tuple(sorted(found))


def _codes(column: Column, values: Array, table: Table) -> NDArray[np.int64]:
    """Return the position of each value among the levels of a categorical column."""
    found = [text or "" for text in texts(values)]
    codes = positions(found, column.levels)
    if (codes < 0).any():
        row = int(codes.argmin())
        place = f"{table.name}, row {table.first_row + row}, column {checks.given(column.name)}"
        raise DataError(
            f"{place}: {checks.given(found[row])} is not among the values that the network knows "
            f"({_known(column.levels)}): correct it or drop the row"
        )
    return codes


def _known(levels: Sequence[str]) -> str:
    """Return the levels of a column for a message. A missing value comes last, so that a long list keeps the texts."""
    return listed([level for level in levels if level]) + " and a missing value" * ("" in levels)


def _columns(names: list[str]) -> str:
    if len(names) > 1:
        return f"the columns {listed(names)} have"
    return f"{'' if column_title(names[0]) == names[0] else 'the '}{column_title(names[0])} has"
