"""`source`: makes a Source of a path or an object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from fastnet import checks
from fastnet.data.arrow_tables import arrow_files
from fastnet.data.files import PathLike, checked_path
from fastnet.data.formats import format_of
from fastnet.data.npy_file import NpyFile
from fastnet.data.schema import Schema
from fastnet.data.sources.arrays import ArrayReader, SliceReader
from fastnet.data.sources.chunks import ChunkStream
from fastnet.data.sources.shards import is_shard_folder, npy_reader, npz_reader, shard_reader
from fastnet.data.sources.tables import TableReader
from fastnet.data.table_datasets import Reading
from fastnet.errors import DataError
from fastnet.names import TaskName
from fastnet.source import RandomReader, Reader, Source, Stream
from fastnet.text import shown


def source(
    data: Any,
    *,
    labels: Any = None,
    label_column: str | int | None = None,
    task: TaskName | None = None,
    drop: Sequence[str] = (),
    pixels: bool = False,
    schema: Schema | None = None,
    shuffle_buffer: int | str | None = "256 MB",
    name: str | None = None,
) -> Source:
    """Make a source: a data set that is read a block of rows at a time, and need not fit into memory.

    Parameters
    ----------
    data : path or object
        One of these:

        - the path of an NPY file of examples, or of an NPZ file of examples x and labels y
        - the path of a folder of shards: the files x-00000.npy, y-00000.npy, ... that ``fastnet convert`` writes, or
          NPZ files that hold x and y
        - the path of a Parquet or Arrow (Feather) file with a column of labels, or of a folder of such files
        - a pair (x, y) of arrays, of paths of NPY files, or of anything with a `shape` and slices, such as the arrays
          of h5py and zarr. (x, None) is for `predict`.
        - a stream: a generator of pairs (x, y), or anything else that can be iterated, or a function that returns a
          generator. Each pair has some rows.
        - an object that follows the protocol `fastnet.data.Reader`: it has `__len__` and ``read(start, stop)``
    labels : path or array, optional
        The labels, if `data` holds only examples.
    label_column : str or int, optional
        The column of a table to predict, as `load` takes it.
    task : str, optional
        What to predict from a table, as `load` takes it.
    drop : sequence of str
        The columns of a table to leave out.
    pixels : bool
        Whether the numbers of a table are pixels: whole numbers from 0 to 255, which become uint8.
    schema : Schema, optional
        The schema of a network that was trained on such a table. Without it the column of labels is read once, to find
        the classes.
    shuffle_buffer : int or str or None
        How much memory the rows may take during a training: bytes, or a text such as "256 MB" or "1 GB". One half holds
        the rows that the network is trained on, the other half is filled meanwhile. Data that fit are read once and
        shuffled exactly. None: the order is exactly random, and each row is read alone, which is slower.
    name : str, optional
        The name of the data in messages.

    Returns
    -------
    Source
        It goes to `Trainer.fit`, `Trainer.partial_fit`, `Network.evaluate`, `Network.predict` and `Network.forward`.

    Raises
    ------
    DataError
        A file cannot be read, or a column of a table holds text, dates or missing values.
    ValueError, TypeError
        An argument is invalid, or does not go with this kind of data.

    Examples
    --------
    >>> import fastnet, numpy as np
    >>> x, y = np.zeros((1000, 3), np.float32), np.zeros(1000, np.int64)
    >>> fastnet.data.source((x, y), shuffle_buffer="1 MB")
    <Source data, 1,000 rows>
    """
    buffer = None if shuffle_buffer is None else checks.byte_count("shuffle_buffer", shuffle_buffer)
    if label_column is not None and not isinstance(label_column, str):
        label_column = checks.whole_number("label_column", label_column, 0)
    if task is not None:
        checks.name_of("task", task, get_args(TaskName))
    if schema is not None:
        checks.instance("schema", schema, Schema, "fastnet.data")
    reading = Reading(
        0.0,
        label_column,
        task,
        drop=checks.texts("drop", drop),
        pixels=checks.boolean("pixels", pixels),
        schema=schema,
    )
    reader = _reader(data, labels, reading)
    if buffer is None and not isinstance(reader, RandomReader):
        raise ValueError(
            "shuffle_buffer=None needs a reader with the method take(numbers), which reads rows in any order: give "
            'shuffle_buffer a size, such as "256 MB"'
        )
    default = shown(data) if isinstance(data, (str, os.PathLike)) else "data"
    return Source(reader, default if name is None else checks.text("name", name), buffer)


def reader_of_path(path: PathLike, labels: PathLike | None, reading: Reading) -> Reader:
    """Return the reader of a file or folder that `source` takes.

    Parameters
    ----------
    path : path
        The file or folder.
    labels : path or None
        The NPY file of labels, for an NPY file of examples.
    reading : Reading
        The other arguments of `source`.

    Raises
    ------
    DataError, ValueError
        As `source` raises them.
    """
    name = shown(checked_path("data", path))
    is_folder = os.path.isdir(path)
    tables = arrow_files(path) if is_folder else [Path(path)]
    kind = "shards" if is_folder and is_shard_folder(path) else format_of(tables[0]) if tables else "nothing"
    if kind not in ("Arrow", "Parquet"):
        reading.refuse_columns(f"{name} is not one")
        if kind != "NPY" and labels is not None:
            raise ValueError(f"{name} is not an NPY file of examples: leave out labels")
    if kind == "shards":
        return shard_reader(path)
    if kind == "NPZ":
        return npz_reader(path)
    if kind == "NPY":
        return npy_reader(path, labels)
    if kind in ("Arrow", "Parquet"):
        return TableReader(tables, reading)
    if kind == "CSV":
        raise DataError(
            f"{name} is a CSV file, in which no row can be read alone: convert it with fastnet convert first"
        )
    raise DataError(
        f"{name} is no source ({kind}); expected an NPY, NPZ, Parquet or Arrow file, or a folder of such files"
    )


def _reader(data: Any, labels: Any, reading: Reading) -> Reader | Stream:
    if isinstance(data, (str, os.PathLike)) and (labels is None or isinstance(labels, (str, os.PathLike))):
        return reader_of_path(data, labels, reading)
    reading.refuse_columns("the data are not one")
    is_pair, is_reader = isinstance(data, tuple) and len(data) == 2, isinstance(data, (Source, Reader))
    if labels is not None and (is_pair or is_reader):
        kind = "a pair (x, y)" if is_pair else f"a {type(data).__name__}"
        raise ValueError(f"the data are {kind}, so they have labels: leave out labels")
    if is_reader:
        return data.reader if isinstance(data, Source) else data
    if is_pair or hasattr(data, "shape") or labels is not None:
        x, y = map(_rows, data if is_pair else (data, labels))
        if all(part is None or isinstance(part, (np.ndarray, NpyFile)) for part in (x, y)):
            return ArrayReader(x, y)
        return SliceReader(x, y)
    if isinstance(data, Stream):
        return data
    if isinstance(data, Mapping):  # such as an open HDF5 file
        raise TypeError(f"source takes the arrays of a {type(data).__name__} as a pair, such as (data['x'], data['y'])")
    if isinstance(data, Iterable) or callable(data):
        return ChunkStream(data)
    raise TypeError(
        "source takes a path, arrays (x, y), chunks of them, or an object with __len__ and read(start, stop), not "
        f"{checks.given(data)}"
    )


def _rows(part: Any) -> Any:
    """Return examples or labels as something with a shape and slices, or None."""
    if checks.is_frame(part):
        raise TypeError("source takes no data frames: give the frame itself to fit, or save it as a Parquet file")
    if checks.is_scipy_sparse(part):
        raise TypeError("source takes no sparse matrices: give the matrix itself to fit")
    if isinstance(part, (str, os.PathLike)):
        return NpyFile(part)
    return part if part is None or hasattr(part, "shape") else np.asanyarray(part)
