"""`convert`: writes a data set as a folder of shards, from which rows are read at the speed of the disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from fastnet import checks
from fastnet.data.arrow_tables import arrow_files, same_columns
from fastnet.data.csv_tables import csv_blocks
from fastnet.data.files import PathLike, checked_path
from fastnet.data.formats import format_of
from fastnet.data.loading import checked_reading, load
from fastnet.data.new_folder import new_folder, refuse_used
from fastnet.data.schema import Schema
from fastnet.data.sources.shard_writer import ShardWriter
from fastnet.data.sources.shards import TEST_FOLDER
from fastnet.data.survey import survey, test_rows
from fastnet.data.table import Table
from fastnet.data.table_datasets import Reading
from fastnet.errors import DataError
from fastnet.names import TaskName
from fastnet.source import Array
from fastnet.text import shown

Progress: TypeAlias = Callable[[str, int, int | None], None]  # what is done, with how many rows, of how many if known


class Converted(NamedTuple):
    """What `convert` wrote.

    Attributes
    ----------
    n_train, n_test : int
        The numbers of rows to train and to test.
    n_shards, n_bytes : int
        The number of shards, and their size.
    n_inputs : int
        The number of inputs of each row.
    dtype : str
        The dtype of the inputs.
    schema : Schema
        What the inputs and labels mean.
    """

    n_train: int
    n_test: int
    n_shards: int
    n_bytes: int
    n_inputs: int
    dtype: str
    schema: Schema


def convert(
    source: PathLike,
    folder: PathLike,
    *,
    labels: PathLike | None = None,
    label_column: str | int | None = None,
    task: TaskName | None = None,
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    impute: bool = False,
    pixels: bool = False,
    test_fraction: float = 0.0,
    rows_per_shard: int | None = None,
    dtype: DTypeLike | None = None,
    progress: Progress | None = None,
) -> Converted:
    """Write a data set as a folder of shards, for `fastnet.data.source`.

    A table of any size is read twice, a block of rows at a time: once to find the classes, categories and medians, and
    once to write the rows in their order. Other data are read as `load` reads them, and must fit in memory.

    The folder gets the files x-00000.npy, y-00000.npy, x-00001.npy, ... and schema.json. It appears when it is
    complete. Test rows go into a folder ``test`` inside it, of the same form. The position of
    a row in a table decides whether it is one of them.

    Parameters
    ----------
    source : path
        What `load` takes, or a folder of Parquet or Arrow files.
    folder : path
        The folder to write. It does not exist, or is empty.
    labels, label_column, task, categorical, drop, impute, pixels : optional
        As `load` takes them. With `impute`, the medians of a table of more than some million cells are those of a
        random sample of its training rows.
    test_fraction : float
        The share of the rows that are test rows, if the data have no test part. From a table, each row is drawn on its
        own, so that the share is not exact, and classes have about the same share.
    rows_per_shard : int, optional
        The number of rows of a file. The default is as many as have 64 MiB.
    dtype : dtype, optional
        float32 or float64, for the inputs and for numbers to predict. float32 takes half the room and is what a network
        computes with by default. The default is the dtype that `load` gives. Bytes stay bytes.
    progress : callable, optional
        Called as ``progress(what, rows, all_rows)``. all_rows is None while the number of rows is unknown.

    Returns
    -------
    Converted

    Raises
    ------
    DataError
        The data cannot be read, no network could be trained on them, or the folder cannot be written.
    ValueError, TypeError
        An argument is invalid.

    Examples
    --------
    >>> import fastnet
    >>> with open("people.csv", "w") as file:
    ...     _ = file.write("age,city,bought\\n31,Oslo,no\\n,Rome,yes\\n27,Rome,yes\\n62,Oslo,no\\n")
    >>> done = fastnet.data.convert("people.csv", "people.npy", categorical=["city"], impute=True)
    >>> done.n_train, done.schema.feature_names
    (4, ('age', 'city=Oslo', 'city=Rome'))
    >>> fastnet.data.source("people.npy").reader.read(0, 2).x
    array([[31.,  1.,  0.],
           [31.,  0.,  1.]])
    """
    path = Path(checked_path("source", source))
    reading = checked_reading(test_fraction, label_column, task, categorical, drop, impute, pixels, None)
    if rows_per_shard is not None:
        rows_per_shard = checks.whole_number("rows_per_shard", rows_per_shard, 1)
    wanted = None if dtype is None else checks.real_dtype(dtype)
    refuse_used(folder)
    table = _Table.at(path, progress) if labels is None else None
    with new_folder(folder) as made:
        parts = _Parts(made, rows_per_shard, wanted)
        if table is not None:
            schema = _convert_table(table, reading, parts)
        else:
            given = {name: getattr(reading, name) for name in ("label_column", "categorical", "drop", "impute")}
            data = load(source, labels=labels, test_fraction=test_fraction, task=task, pixels=pixels, **given)
            assert data.schema is not None  # `load` always sets it
            schema = dataclasses.replace(data.schema, test_fraction=None)
            parts.train.add(*parts.converted(data.x_train, data.y_train, data.name))
            parts.test.add(*parts.converted(data.x_test, data.y_test, data.name))
        return parts.close(schema, shown(source))


class _Table:
    """A table that is read a block of rows at a time.

    `blocks` is called with the names of columns of a CSV file to read as text. `n_rows` is None for a CSV file that was
    not yet read to its end.
    """

    def __init__(
        self, blocks: Callable[[Sequence[str]], Iterator[Table]], n_rows: int | None, progress: Progress | None
    ) -> None:
        self._blocks, self._n_rows, self._progress = blocks, n_rows, progress

    @classmethod
    def at(cls, path: Path, progress: Progress | None) -> _Table | None:
        """Return the table in a file or a folder. None: there are other data."""
        if not path.exists():
            return None  # the name of a data set, or an error of `load`
        if path.is_dir() or format_of(path) in ("Arrow", "Parquet"):
            files = same_columns(arrow_files(path) if path.is_dir() else [path])
            if not files:
                return None
            n_rows = sum(sum(file.rows) for file in files)
            return cls(lambda as_text: (block for file in files for block in file.blocks()), n_rows, progress)
        return cls(lambda as_text: csv_blocks(path, as_text), None, progress) if format_of(path) == "CSV" else None

    def read(self, what: str, as_text: Sequence[str]) -> Iterator[tuple[int, Table]]:
        """Yield the number of rows before each block, and the block. `what` says for the progress what is done."""
        done = 0
        for block in self._blocks(as_text):
            yield done, block
            done += len(block)
            if self._progress is not None:
                self._progress(what, done, self._n_rows)
        self._n_rows = done


def _convert_table(table: _Table, reading: Reading, parts: _Parts) -> Schema:
    """Write the rows of a table, and return what they mean."""
    found = survey(lambda as_text: (block for _, block in table.read("looking at", as_text)), reading)
    for first, block in table.read("writing", found.as_text):
        is_test = test_rows(first, first + len(block), reading.test_fraction)
        x, y = found.examples_of(block)
        x, y = parts.converted(x, y, block.title)
        parts.train.add(x[~is_test], y[~is_test])
        parts.test.add(x[is_test], y[is_test])
    return found.schema


class _Parts:
    """The shards to train and to test."""

    def __init__(self, folder: Path, shard_rows: int | None, dtype: np.dtype[Any] | None) -> None:
        self.train, self.test = ShardWriter(folder, shard_rows), ShardWriter(folder / TEST_FOLDER, shard_rows)
        self._dtype = dtype

    def converted(self, x: Array, y: Array, name: str) -> tuple[Array, Array]:
        """Return inputs and targets in the dtype that the user wants. Bytes and labels keep theirs."""
        dtype = self._dtype
        if dtype is None:
            return x, y
        x, y = (checks.converted(part, dtype, name) if part.dtype.kind == "f" else part for part in (x, y))
        return x, y

    def close(self, schema: Schema, name: str) -> Converted:
        """Write what is left. `name` is that of the data, for errors."""
        train, test = self.train, self.test
        if train.is_empty:
            raise DataError(f"{name}: no row is left for the training: give a smaller test_fraction")
        train.close(schema)
        if not test.is_empty:
            test.close(schema)
        n_bytes = train.n_bytes + test.n_bytes
        return Converted(train.n_rows, test.n_rows, train.n_shards + test.n_shards, n_bytes, *train.kind, schema)
