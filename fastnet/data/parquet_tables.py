"""Reads tables from Parquet files with pyarrow, which is imported only when such a file is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.data.arrays import Array
from fastnet.data.files import PathLike, reading
from fastnet.data.table import Table, from_values, named
from fastnet.errors import DataError, require_extra
from fastnet.text import shown

# Equal values take no room in a Parquet file. A table may be so many times larger than its file, or this many bytes.
_EXPANSION, _MAX_UNCHECKED = 1000, 1 << 26


def read_parquet(path: PathLike) -> Table:
    """Read a table from a Parquet file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    Table
        The columns. Nulls and nan are missing values.

    Raises
    ------
    DataError
        The file cannot be read, has no rows, or has two columns of one name.
    FastnetError
        This machine lacks pyarrow.
    """
    require_extra("pyarrow.parquet", f"{shown(path)} is a Parquet file, which needs pyarrow", "arrow")
    import pyarrow.parquet

    with reading(path) as (file, size):
        name = shown(path)
        with pyarrow.parquet.ParquetFile(file) as source:
            n_bytes = 8 * source.metadata.num_rows * source.metadata.num_columns
            if n_bytes > max(_MAX_UNCHECKED, size * _EXPANSION):
                raise DataError(f"{name} announces more data than fits into it: it is corrupt, get a fresh copy")
            found = source.read(use_threads=False)
        if not found.num_rows or not found.num_columns:
            raise DataError(f"{name} has no rows: expected at least one row")
        return Table(name, named(found.column_names, map(_column, found.columns), name))


def _column(column: Any) -> Array:
    from pyarrow import types

    kind, is_dictionary = column.type, types.is_dictionary(column.type)
    if is_dictionary:
        kind = kind.value_type
    letter = "V"
    for is_kind, its_letter in (
        (types.is_boolean, "b"),
        (types.is_integer, "i"),
        (types.is_floating, "f"),
        (types.is_decimal, "f"),
        (types.is_temporal, "M"),
        (types.is_null, "f"),
        (types.is_string, "O"),
        (types.is_large_string, "O"),
        (types.is_string_view, "O"),
    ):
        if is_kind(kind):
            letter = its_letter
            break
    if letter in "MV":
        return from_values(np.empty(len(column), object), np.ones(len(column), np.bool_), letter)
    gaps = column.is_null().to_numpy()
    if letter in "bif" and not gaps.any() and not is_dictionary and not types.is_decimal(kind):
        return from_values(column.to_numpy(), gaps, letter)
    values = np.empty(len(column), object)
    values[:] = column.to_pylist()
    return from_values(values, gaps, letter)
