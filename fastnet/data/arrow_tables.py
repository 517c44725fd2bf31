"""Reads tables from Parquet and Arrow files with pyarrow, which is imported only when such a file is read."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.data.arrays import Array
from fastnet.data.arrow_batches import announced_bytes
from fastnet.data.files import PathLike, reading
from fastnet.data.table import Table, from_values, named
from fastnet.errors import DataError, require_extra
from fastnet.text import shown

_SUFFIXES = (".parquet", ".arrow", ".feather")
ARROW_MAGIC, PARQUET_MAGIC = b"ARROW1", b"PAR1"
# Equal values take no room in a Parquet file. A table may be so many times larger than its file, or this many bytes.
_EXPANSION, _MAX_UNCHECKED = 1000, 1 << 26
_BLOCK_CELLS = 1 << 20  # cells of a group that become NumPy arrays at a time


def read_arrow(path: PathLike) -> Table:
    """Read a table from a Parquet or Arrow (Feather) file, or from a folder of such files with the same columns.

    Parameters
    ----------
    path : path
        The file or folder.

    Returns
    -------
    Table
        The columns. Nulls and nan are missing values.

    Raises
    ------
    DataError
        The file cannot be read, has no rows, or has two columns of one name.
    MissingLibraryError
        This machine lacks pyarrow.
    """
    paths = arrow_files(path) if os.path.isdir(path) else [path]
    if not paths:
        raise DataError(f"{shown(path)} is a folder without Parquet and Arrow files: give the path of a file")
    files = same_columns(paths)
    import pyarrow

    whole = pyarrow.concat_tables([file.group(k) for file in files for k in range(len(file.rows))])
    return dataclasses.replace(files[0].table(whole), name=shown(path))


def arrow_files(folder: PathLike) -> list[Path]:
    """Return the Parquet and Arrow files of a folder in the order of their names."""
    return [file for file in sorted(Path(folder).iterdir()) if file.suffix.lower() in _SUFFIXES]


def same_columns(paths: Sequence[PathLike]) -> list[ArrowFile]:
    """Open Parquet or Arrow files. Refuse files that differ in the names or types of their columns."""
    files = [ArrowFile(path) for path in paths]
    for file in files:
        if not file.schema.equals(files[0].schema):
            raise DataError(f"{file.name} has other columns than {files[0].name}: make their names and types alike")
    return files


class ArrowFile:
    """A Parquet or Arrow file, of which one group of rows is read at a time: a row group, or a record batch.

    Parameters
    ----------
    path : path
        The file.

    Attributes
    ----------
    name : str
        The path for messages.
    names : list of str
        The names of the columns.
    schema : pyarrow.Schema
        The names and types of the columns.
    rows : list of int
        The number of rows of each group.

    Raises
    ------
    DataError, MissingLibraryError
        As `read_arrow` raises them.
    """

    def __init__(self, path: PathLike) -> None:
        what = f"{shown(path)} is a Parquet or Arrow file, which needs pyarrow"
        require_extra("pyarrow.parquet", what, "arrow")
        self._path, self.name, self._metadata = path, shown(path), None
        with reading(path) as (file, size):
            self._is_parquet = file.peek(4)[:4] == PARQUET_MAGIC
            most = max(_MAX_UNCHECKED, size * _EXPANSION)
            if not self._is_parquet and announced_bytes(file, size) > most:
                raise self._too_much()
            with self._opened(file) as opened:
                if self._is_parquet:
                    self._metadata = opened.metadata
                    self.rows = [opened.metadata.row_group(k).num_rows for k in range(opened.num_row_groups)]
                self.schema = opened.schema_arrow if self._is_parquet else opened.schema
            if not self._is_parquet and len(self.schema):
                with self._opened(file, [0]) as opened:
                    self.rows = [opened.get_batch(k).num_rows for k in range(opened.num_record_batches)]
            names = list(self.schema.names)
            if not names or not sum(self.rows):
                raise DataError(f"{self.name} has no rows: expected at least one row")
            if 8 * sum(self.rows) * len(names) > most:
                raise self._too_much()
        self.names = list(named(names, names, self.name))

    def _too_much(self) -> DataError:
        return DataError(f"{self.name} announces more data than fits into it: it is corrupt, get a fresh copy")

    def group(self, k: int, columns: Collection[str] | None = None) -> Any:
        """Return group k as a pyarrow.Table. `columns` are the names of those to read; None: all."""
        fields = [i for i, name in enumerate(self.names) if columns is None or name in columns]
        with reading(self._path) as (file, _), self._opened(file, fields) as opened:
            if self._is_parquet:
                names = [self.schema.names[i] for i in fields]
                found = opened.read_row_group(k, names, use_threads=False).select(names)  # a dot may find more columns
            else:
                import pyarrow

                found = pyarrow.Table.from_batches([opened.get_batch(k)])
            found.validate(full=True)  # pyarrow trusts the offsets in an Arrow file, and the texts in a Parquet file
            if found.num_rows != self.rows[k]:
                raise DataError(f"{self.name} holds another number of rows than it announces: get a fresh copy")
            return found.rename_columns([self.names[i] for i in fields])

    def table(self, found: Any, start: int | None = None) -> Table:
        """Return rows of a group as a table. `start` is the number of rows before them."""
        return Table(self.name, dict(zip(found.column_names, map(_column, found.columns), strict=True)), start=start)

    def blocks(self, columns: Collection[str] | None = None) -> Iterator[Table]:
        """Yield the rows of the file in order, a block at a time."""
        first = 0
        for k, rows in enumerate(self.rows):
            group = self.group(k, columns)
            step = max(1, _BLOCK_CELLS // max(1, group.num_columns))
            for start in range(0, rows, step):
                yield self.table(group.slice(start, step), first + start)
            first += rows

    @contextmanager
    def _opened(self, file: io.BufferedReader, fields: list[int] | None = None) -> Iterator[Any]:
        import pyarrow.ipc
        import pyarrow.parquet

        file.seek(0)
        if self._is_parquet:
            with pyarrow.parquet.ParquetFile(file, metadata=self._metadata) as opened:
                yield opened
        else:
            options = pyarrow.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
            with pyarrow.ipc.open_file(file, options=options) as opened:
                yield opened


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
