"""Table: named columns of numbers and text, from a file or a data frame."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.data.arrays import Array
from fastnet.errors import DataError, warn
from fastnet.text import shown

_INDEX_NAMES = ("", "Unnamed: 0", "__index_level_0__")  # how pandas writes the row labels of a frame


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Named columns of numbers and text.

    Attributes
    ----------
    name : str
        The name of the table for messages, such as the path of its file.
    names : tuple of str
        The name of each column, all different: "column 1", "column 2", ... if the table has no header.
    columns : tuple of arrays of shape (n,)
        bool, int64, float64 with nan for a missing value, or Python objects for text: str, or None for a missing
        value. Dates have the dtype datetime64, all other kinds have a void dtype. Both are refused when they are used.
    has_header : bool
        Whether the table names its columns.
    """

    name: str
    names: tuple[str, ...]
    columns: tuple[Array, ...]
    has_header: bool = True

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, name: str) -> Array:
        return self.columns[self.names.index(name)]

    def only(self, names: list[str]) -> Table:
        """Return the table with these columns only."""
        return Table(self.name, tuple(names), tuple(self[name] for name in names), self.has_header)


def named(found: list[str], table: str) -> tuple[str, ...]:
    """Return the names of a table's columns. A column without a name gets one. Refuses two columns of one name."""
    names = tuple(name or unnamed(k) for k, name in enumerate(found))
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise DataError(f"{table} has two columns named {checks.given(twice)}: give each column its own name")
    return names


def unnamed(k: int) -> str:
    """Return the name of column k (from 0) in a table without names."""
    return f"column {k + 1}"


def without_index(table: Table) -> Table:
    """Return the table without the row labels that pandas writes as its first column. Warns if there are such."""
    first = table.names[0]
    is_nameless = table.has_header and first in (*_INDEX_NAMES, unnamed(0))
    if len(table.names) < 2 or not is_nameless or table.columns[0].dtype != np.int64:
        return table
    labels = table.columns[0]
    counts = np.arange(len(labels))
    if not (np.array_equal(labels, counts) or np.array_equal(labels, counts + 1)):
        return table
    warn(
        f"{table.name}: the first column has no name and counts the rows, so it is left out: write the file with "
        "to_csv(..., index=False), or name the column if it is meant as an input"
    )
    return Table(table.name, table.names[1:], table.columns[1:])


def missing(column: Array) -> NDArray[np.bool_]:
    """Return which values of a column are missing."""
    if column.dtype == object:
        return np.array([value is None for value in column.tolist()], np.bool_)
    return np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), np.bool_)


def texts(column: Array) -> list[str | None]:
    """Return the values of a column as text. None stands for a missing value."""
    values = column.tolist()
    if column.dtype.kind == "f":
        return [None if value != value else repr(value) for value in values]
    return values if column.dtype == object else list(map(str, values))


def kind_of(column: Array) -> str:
    """Return what a column holds, in words."""
    kinds = {"O": "text", "b": "true and false", "i": "whole numbers", "f": "numbers", "M": "dates or times"}
    return kinds.get(column.dtype.kind, "values that are neither numbers nor text")


def listed_columns(names: list[str]) -> str:
    """Return up to eight names of columns for a message."""
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return ", ".join(shown(name) for name in names[:8]) + more


def of_frame(frame: Any, name: str = "the frame") -> Table:
    """Return a data frame of pandas or polars as a table."""
    is_pandas = checks.library_of(frame) == "pandas"
    series = [frame.iloc[:, i] for i in range(frame.shape[1])] if is_pandas else frame.get_columns()
    if not series or not len(frame):
        raise DataError(f"{name} has shape {frame.shape}: expected at least one row and one column")
    make = _of_pandas if is_pandas else _of_polars
    return Table(name, named([str(label) for label in frame.columns], name), tuple(map(make, series)))


def _of_pandas(series: Any) -> Array:
    gaps = series.isna().to_numpy(np.bool_)
    kind = "O" if checks.is_category(series) else getattr(series.dtype, "kind", "O")
    return from_values(series.to_numpy(object), gaps, kind)


def _of_polars(series: Any) -> Array:
    dtype = series.dtype
    kind = "i" if dtype.is_integer() else "f" if dtype.is_numeric() else "M" if dtype.is_temporal() else "O"
    kind = "b" if str(dtype) == "Boolean" else kind
    values = np.empty(len(series), object)
    values[:] = series.to_list()
    return from_values(values, series.is_null().to_numpy(), kind)


def from_values(values: Array, gaps: NDArray[np.bool_], kind: str) -> Array:
    """Return Python objects as the array of a column. `gaps` says which values are missing.

    `kind` is NumPy's letter for the kind of the values: b, i, u, f, M, m, or O, whose values tell their kind.
    """
    present = values[~gaps]
    if kind == "O":
        types = set(map(type, present.tolist()))
        if types and types <= {bool, np.bool_}:
            kind = "b"
        elif types and all(issubclass(t, checks.NUMBERS) for t in types):
            kind = "i" if all(issubclass(t, Integral) for t in types) else "f"
        elif not all(issubclass(t, str) for t in types):
            kind = "M" if any(hasattr(t, "isoformat") for t in types) else "V"
        elif types:
            column = np.full(len(values), None, object)
            column[~gaps] = [str(text) for text in present]
            return column
    if kind in "Mm":
        return np.zeros(len(values), "M8[s]")
    if kind == "V":
        return np.zeros(len(values), "V1")
    if kind in "biu" and not gaps.any():
        try:
            return present.astype(np.bool_ if kind == "b" else np.int64)
        except OverflowError:  # whole numbers of 2^63 or more
            pass
    numbers = np.full(len(values), np.nan)
    numbers[~gaps] = present.astype(np.float64)
    return numbers
