"""Table: named columns of numbers and text, from a file or a data frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.data.arrays import Array
from fastnet.errors import DataError, warn
from fastnet.text import shown

_CSV_INDEX = ("column 1", "Unnamed: 0")  # how pandas names the row labels of a frame in a CSV file: not, or so
_PARQUET_INDEX = "__index_level_"
MAX_NUMBER = 1e300  # the differences of larger numbers leave float64


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Named columns of numbers and text.

    Attributes
    ----------
    name : str
        The name of the table for messages, such as the path of its file.
    columns : dict of arrays of shape (n,)
        The columns by name: "column 1", "column 2", ... if the table has no header. They hold bool, int64, float64 with
        nan for a missing value, or Python objects for text: str, or None for a missing value. Dates have the dtype
        datetime64, all other kinds have a void dtype. Both are refused when they are used.
    has_header : bool
        Whether the table names its columns.
    start : int or None
        The number of rows of the file before the first row of a table that is a part of its file. None: the table is
        whole.
    """

    name: str
    columns: dict[str, Array]
    has_header: bool = True
    start: int | None = None

    @property
    def first_row(self) -> int:
        """The number of the first row in messages, which count from 1."""
        return (self.start or 0) + 1

    @property
    def title(self) -> str:
        """The name, and the rows if the table is a part of its file."""
        if self.start is None:
            return self.name
        return f"{self.name}, rows {self.first_row:,} to {self.start + len(self):,},"

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def only(self, names: Iterable[str]) -> Table:
        """Return the table with these columns only, in this order."""
        return dataclasses.replace(self, columns={name: self.columns[name] for name in names})


def named(found: Iterable[str], columns: Iterable[Array], table: str) -> dict[str, Array]:
    """Return the columns of a table by name. A column without a name gets one. Refuses two columns of one name."""
    result: dict[str, Array] = {}
    for k, (name, column) in enumerate(zip(found, columns, strict=True)):
        if (name or unnamed(k)) in result:
            raise DataError(f"{table} has two columns named {checks.given(name)}: give each column its own name")
        result[name or unnamed(k)] = column
    return result


def unnamed(k: int) -> str:
    """Return the name of column k (from 0) in a table without names."""
    return f"column {k + 1}"


def column_title(name: str) -> str:
    """Return the name of a column for a message: "column age", but not "column column 1"."""
    return shown(name) if name.startswith("column ") else f"column {shown(name)}"


def refuse_large(column: Array, table: str, place: str = "", first_row: int = 1) -> None:
    """Refuse infinite numbers and those beyond MAX_NUMBER. A message names the table, the row, and then `place`."""
    if column.dtype.kind != "f":
        return
    too_large = np.abs(column) > MAX_NUMBER  # False for nan
    if too_large.any():
        row = int(too_large.argmax())
        expected = "a number" if np.isinf(column[row]) else f"a number between -{MAX_NUMBER:g} and {MAX_NUMBER:g}"
        raise DataError(
            f"{table}, row {first_row + row}{place}: expected {expected}, not {column[row]}: correct the value or drop "
            "the row"
        )


def without_index(table: Table) -> Table:
    """Return the table without the row labels that pandas writes. Warns if there are such.

    In a CSV file they are a first column without a name that counts the rows.
    """
    first = next(iter(table.columns))
    index = [name for name in table.columns if name.startswith(_PARQUET_INDEX)]
    if table.has_header and first in _CSV_INDEX and table[first].dtype == np.int64:
        from_first = table[first] - np.arange(len(table)) - (table.first_row - 1)
        index += [first] if (from_first == 0).all() or (from_first == 1).all() else []
    others = [name for name in table.columns if name not in index]
    if not index or not others:
        return table
    warn(
        f"{table.name}: {shown(index[0])} holds the row labels of pandas, so it is left out: write the file with "
        "index=False, or name the column if it is meant as an input"
    )
    return table.only(others)


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


def positions(values: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """Return the position of each value among the known ones, -1 for an unknown value."""
    places = {name: k for k, name in enumerate(known)}
    return np.array([places.get(value, -1) for value in values], np.int64)


def of_frame(frame: Any, name: str = "the frame") -> Table:
    """Return a data frame of pandas or polars as a table."""
    is_pandas = checks.library_of(frame) == "pandas"
    series = [frame.iloc[:, i] for i in range(frame.shape[1])] if is_pandas else frame.get_columns()
    if not series or not len(frame):
        raise DataError(f"{name} has shape {frame.shape}: expected at least one row and one column")
    make = _of_pandas if is_pandas else _of_polars
    return Table(name, named(map(str, frame.columns), map(make, series), name))


def _of_pandas(series: Any) -> Array:
    gaps = series.isna().to_numpy(np.bool_)
    kind = "O" if checks.is_category(series) else getattr(series.dtype, "kind", "O")
    return from_values(series.to_numpy() if isinstance(series.dtype, np.dtype) else series.to_numpy(object), gaps, kind)


def _of_polars(series: Any) -> Array:
    dtype = series.dtype
    kind = "i" if dtype.is_integer() else "f" if dtype.is_numeric() else "M" if dtype.is_temporal() else "O"
    kind = "b" if str(dtype) == "Boolean" else kind
    gaps = series.is_null().to_numpy()
    if kind in "bif" and not gaps.any():
        return from_values(series.to_numpy(), gaps, kind)
    values = np.empty(len(series), object)
    values[:] = series.to_list()
    return from_values(values, gaps, kind)


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
        with suppress(OverflowError):  # whole numbers of 2^63 or more
            whole: Array = present.astype(np.bool_ if kind == "b" else np.int64)
            if present.dtype != np.uint64 or whole.min() >= 0:
                return whole
    numbers = np.full(len(values), np.nan)
    numbers[~gaps] = present.astype(np.float64)
    return numbers
