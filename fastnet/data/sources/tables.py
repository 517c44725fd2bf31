"""Reads the rows of Parquet and Arrow files, a group of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastnet.data.arrow_tables import ArrowFile, same_columns
from fastnet.data.files import PathLike
from fastnet.data.sources.joined import JoinedReader
from fastnet.data.survey import Surveyed, known, survey
from fastnet.data.table import Table
from fastnet.data.table_datasets import Reading, target_column
from fastnet.source import Array, Block


class TableReader(JoinedReader):
    """The rows of Parquet or Arrow files, whose columns become the inputs of a network.

    Parameters
    ----------
    paths : sequence of path
        The files, whose columns have the same names and types.
    reading : Reading
        The arguments of `source`. Without a schema the column of labels is read once to find the classes.

    Attributes
    ----------
    schema : Schema
        What the inputs and labels mean.

    Raises
    ------
    DataError
        A file cannot be read, the files differ in their columns, or a column is no input of a network.
    """

    def __init__(self, paths: Sequence[PathLike], reading: Reading) -> None:
        files = same_columns(paths)
        schema = reading.schema
        found = known(_first(files[0]), reading, schema) if schema else _surveyed(files, reading)
        self.schema = found.schema
        held = _Held()
        groups = [_Group(file, k, found, held) for file in files for k in range(len(file.rows))]
        super().__init__([group for group in groups if len(group)], max(map(len, groups)))


class _Held:
    """The group of rows that is in memory."""

    def __init__(self) -> None:
        self._group: tuple[Any, ...] = ()
        self._rows: Any = None

    def rows(self, file: ArrowFile, k: int, columns: tuple[str, ...]) -> Any:
        if self._group != (file, k, columns):
            self._group, self._rows = (), None  # the memory of one group is enough
            self._rows, self._group = file.group(k, columns), (file, k, columns)
        return self._rows


class _Group:
    """The rows of one row group or record batch."""

    def __init__(self, file: ArrowFile, k: int, surveyed: Surveyed, held: _Held) -> None:
        self._file, self._k, self._surveyed, self._held = file, k, surveyed, held
        self._first = sum(file.rows[:k])

    def __len__(self) -> int:
        return int(self._file.rows[self._k])

    def read(self, start: int, stop: int) -> Block:
        """Return consecutive rows of the group."""
        return Block(*self._surveyed.examples_of(self._table(start, stop, self._surveyed.columns)))

    def read_y(self, start: int, stop: int) -> Array:
        """Return the labels or targets of consecutive rows of the group."""
        return self._surveyed.targets_of(self._table(start, stop, (self._surveyed.schema.target,)))

    def _table(self, start: int, stop: int, columns: tuple[str, ...]) -> Table:
        rows = self._held.rows(self._file, self._k, columns)
        return self._file.table(rows.slice(start, stop - start), self._first + start)


def _first(file: ArrowFile) -> Table:
    """Return the first block of a file that has rows."""
    return next(iter(file.blocks()))


def _surveyed(files: Sequence[ArrowFile], reading: Reading) -> Surveyed:
    """Return what the columns mean. Only the first block is read whole: a gap further on is found when it is read."""

    def blocks(as_text: Sequence[str]) -> Iterator[Table]:
        first = _first(files[0])
        yield first
        for file in files:
            yield from file.blocks([target_column(first, reading.label_column)])

    return survey(blocks, reading)
