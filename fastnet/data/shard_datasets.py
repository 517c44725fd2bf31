"""Reads a folder that `fastnet convert` wrote as a data set in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from fastnet.data import targets
from fastnet.data.dataset import Dataset
from fastnet.data.files import PathLike
from fastnet.data.schema import Schema
from fastnet.data.sources.joined import JoinedReader
from fastnet.data.sources.shards import TEST_FOLDER, shard_reader
from fastnet.data.split import OF_FILES, hold_out
from fastnet.data.table_datasets import Reading, image_shape_of
from fastnet.errors import DataError
from fastnet.names import TaskName
from fastnet.source import Array
from fastnet.text import listed, shown


def shard_dataset(folder: PathLike, schema: Schema, reading: Reading) -> Dataset:
    """Return the data set of a folder of shards.

    Parameters
    ----------
    folder : path
        The folder.
    schema : Schema
        What its rows mean, as `schema_of` returns it.
    reading : Reading
        The arguments of `load`. The test rows are those in the folder ``test``. Without this folder, some are held out.

    Raises
    ------
    DataError
        The shards are damaged, or do not fit the network whose schema is in `reading`.
    ValueError
        An argument does not go with shards.
    """
    name = shown(folder)
    check_reading(name, schema, reading)
    x, y = _arrays(shard_reader(folder), schema, name)
    task = task_of(schema, y)
    test = Path(folder) / TEST_FOLDER
    if has_test := test.is_dir():
        split = (x, y, *_arrays(shard_reader(test), schema, shown(test)))
    else:
        split = hold_out(x, y, reading.test_fraction, OF_FILES)
    schema = dataclasses.replace(schema, test_fraction=None if has_test else reading.test_fraction or None)
    shape = image_shape_of(x.shape[1]) if schema.pixels else None
    known = reading.schema or schema
    return Dataset(name, *split, shape, known.class_names, task, known, is_held_out=not has_test)


def task_of(schema: Schema, y: Array) -> TaskName:
    """Return the task of shards. y are any of their targets."""
    if not schema.class_names:
        return "regression"
    return "multilabel" if y.ndim == 2 else "classification"


def check_reading(name: str, schema: Schema, reading: Reading) -> None:
    """Refuse arguments of `load` that do not go with shards, and shards that do not fit a network."""
    reading.refuse_columns(f"{name} holds arrays, which were made of one")
    if reading.pixels and not schema.pixels:
        raise ValueError(f"{name} was converted as numbers, not as pixels: leave out pixels")
    if reading.task is not None and (reading.task == "regression") != (not schema.class_names):
        raise ValueError(f"{name} was converted for another task: leave out task, or convert the data again")
    known = reading.schema
    if known is None:
        return
    for what, ours, theirs in (
        ("columns", schema.feature_names, known.feature_names),
        ("classes", schema.class_names, known.class_names),
    ):
        if ours != theirs and theirs and ours:
            raise DataError(
                f"{name} has the {what} {listed(ours)}, but the network {listed(theirs)}: convert the data that it was "
                "trained on"
            )


def _arrays(reader: JoinedReader, schema: Schema, name: str) -> tuple[Array, Array]:
    """Return all rows of shards as checked arrays in the dtypes of `Dataset`."""
    x, y = reader.read(0, len(reader))
    assert y is not None  # each shard has its labels
    x = np.ascontiguousarray(x.reshape(len(x), -1))
    n_in = len(schema.feature_names) or x.shape[1]
    if x.dtype not in (np.uint8, np.float32, np.float64) or x.shape[1] != n_in:
        raise DataError(f"{name} holds rows of {x.shape[1]} {x.dtype}; expected {n_in} floats or bytes: convert again")
    if x.dtype.kind == "f" and not np.isfinite([x.min(), x.max()]).all():
        row = int((~np.isfinite(x).all(axis=1)).argmax())
        raise DataError(f"{name}, row {row + 1}: expected numbers, not nan or infinity: convert the data again")
    y = targets.of_array(y, task_of(schema, y), f"{name}, labels")
    if schema.class_names and y.ndim == 1 and y.max() >= len(schema.class_names):
        raise DataError(
            f"{name}, labels: the largest is {y.max()}, but there are {len(schema.class_names)} classes: convert again"
        )
    return x, y
