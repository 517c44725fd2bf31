"""Reads examples and labels from the user's own files and folders, or refuses them."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import TypeAlias

import numpy as np

from fastnet.data import targets
from fastnet.data.arrays import Array, read_idx, read_npz
from fastnet.data.arrow_tables import arrow_files
from fastnet.data.dataset import Dataset
from fastnet.data.encoding import Column
from fastnet.data.files import PathLike
from fastnet.data.formats import IDX_FILES, SPELLINGS, find_idx, format_of, holds_table, read_array, read_table
from fastnet.data.schema import Schema
from fastnet.data.shard_datasets import shard_dataset
from fastnet.data.sources.shards import is_shard_folder, schema_of, shard_reader
from fastnet.data.split import OF_FILES, Split, hold_out
from fastnet.data.table import Table
from fastnet.data.table_datasets import Reading, image_shape_of, inputs_of, label_named, table_dataset
from fastnet.errors import DataError
from fastnet.names import TaskName
from fastnet.text import listed, shown

ImageShape: TypeAlias = tuple[int, int] | None

_CLASS_NAMES = ("class_names", "target_names")  # arrays of text


def read(source: PathLike, labels: PathLike | None, reading: Reading) -> Dataset:
    """Read examples and labels from a file or folder that exists.

    Parameters
    ----------
    source : path
        An NPZ file, a folder of IDX files or shards, a table with a column of labels, a folder of Parquet files, or a
        file of examples.
    labels : path or None
        The file of labels, if `source` holds only examples.
    reading : Reading
        The other arguments of `load`.

    Raises
    ------
    DataError
        The data cannot be read, or no network could be trained on them.
    ValueError
        An argument does not go with this kind of source.
    """
    name = shown(source)
    is_folder = labels is None and os.path.isdir(source)
    if is_folder and (schema := schema_of(source)):
        return shard_dataset(source, schema, reading)
    if (is_folder and arrow_files(source)) or holds_table(source):
        table = read_table(source, _as_text(reading))
        if labels is None:
            return table_dataset(table, reading)
        return _labelled(table, labels, reading)
    reading.refuse_columns(f"{name} is not one")
    places = {}  # the names of arrays in messages, where they differ from "file, key"
    if labels is not None:
        places = {"x": name, "y": shown(labels)}
        arrays = {"x": read_array(source), "y": _label_array(labels)}
    elif is_folder:
        stems = zip(("x_train", "y_train", "x_test", "y_test"), IDX_FILES, strict=True)
        paths = {key: find_idx([Path(source)], stem) for key, stem in stems}
        arrays = {key: read_idx(path) for key, path in paths.items() if path}
        if not arrays and is_shard_folder(source):
            shards = shard_reader(source)
            x, y = shards.read(0, len(shards))
            assert y is not None  # each shard has its labels
            arrays = {"x": x, "y": y}
        if not arrays:
            raise DataError(
                f"{name} holds no data: expected shards, Parquet files, or the files {', '.join(IDX_FILES)}, with or "
                "without .gz"
            )
    elif format_of(source) == "NPZ":
        arrays, places = _spelled(read_npz(source), name)
    else:
        raise DataError(f"{name} holds no labels: give their file as labels, or use an NPZ file, a table or a folder")
    return _array_dataset(name, arrays, {key: f"{name}, {key}" for key in arrays} | places, reading)


def _as_text(reading: Reading) -> tuple[str, ...]:
    """Return the names of the columns of a table that are read as text, even if they hold numbers."""
    if reading.schema is not None:
        return tuple(column.name for column in reading.schema.columns if column.levels)
    return reading.categorical


def read_inputs(path: PathLike, schema: Schema | None, n_in: int) -> Array:
    """Read the inputs of a network from a file, without targets.

    Parameters
    ----------
    path : path
        A table, a folder of shards, or an IDX, NPY or NPZ file of examples. Of an NPZ file with several arrays, the
        examples x, X or data are read, or x_test if it has a training and a test part.
    schema : Schema or None
        What the inputs of the network mean. None: a table holds numbers, in the order of the inputs.
    n_in : int
        The number of inputs.

    Returns
    -------
    array of shape (n, n_in)
        uint8 for pixels, float64 for tables, and the file's dtype for arrays.

    Raises
    ------
    DataError
        The file cannot be read, or its examples do not fit the network.

    Examples
    --------
    >>> import fastnet
    >>> from fastnet.data import Column, Schema
    >>> with open("new.csv", "w") as file:
    ...     _ = file.write("b,a\\n1,2\\n3,4\\n")
    >>> fastnet.data.read_inputs("new.csv", Schema((Column("a"), Column("b"))), n_in=2)
    array([[2., 1.],
           [4., 3.]])
    """
    schema = schema or Schema()
    name = shown(path)
    is_folder = os.path.isdir(path)
    if is_table := holds_table(path) or (is_folder and bool(arrow_files(path))):
        table = read_table(path, tuple(column.name for column in schema.columns if column.levels))
        if schema.columns:
            x: Array = schema.encode(table)
        else:
            target = schema.target if schema.target in table.columns else label_named(table)
            x = inputs_of(table, schema, target if len(table.columns) > n_in else None)
    elif is_folder and is_shard_folder(path):
        shards = shard_reader(path)
        x = shards.read(0, len(shards)).x
    else:
        x = _examples_of(path, schema)
        if x.size == n_in:
            x = x.reshape(1, n_in)  # one example, with or without rows and columns
    if x.ndim < 2 or not x.size or math.prod(x.shape[1:]) != n_in:
        found = f"{x.shape[1]} columns of inputs" if is_table else f"shape {x.shape}"
        raise DataError(f"{name} has {found}, but the network takes {n_in} inputs for each example")
    return x.reshape(len(x), n_in)


def _examples_of(path: PathLike, schema: Schema) -> Array:
    """Return the examples of a file of arrays."""
    if format_of(path) != "NPZ":
        return read_array(path)
    arrays, _ = _spelled(read_npz(path), shown(path))
    found = next((arrays[key] for key in ("x_test", "x", "x_train") if key in arrays), None)
    if found is None:
        return read_array(path)
    _feature_names(arrays, math.prod(found.shape[1:]), schema, shown(path))
    return found


def _spelled(found: dict[str, Array], name: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays of an NPZ file under the names x, y, x_train, ..., and their names in messages."""
    arrays, places = dict(found), {}
    for key, spellings in SPELLINGS.items():
        spelling = next((spelling for spelling in spellings if spelling in found), None)
        if spelling is not None:
            arrays[key] = found[spelling]
            places[key] = f"{name}, {spelling}"
    known = {spelling for spellings in SPELLINGS.values() for spelling in spellings}
    return {key: array for key, array in arrays.items() if key in SPELLINGS or key not in known}, places


def _label_array(labels: PathLike) -> Array:
    """Return the labels of a file. A table must have one column."""
    return _only_column(read_table(labels)) if holds_table(labels) else read_array(labels)


def _numbered(arrays: dict[str, Array], places: dict[str, str], reading: Reading) -> dict[str, Array]:
    """Return the arrays with numbers in place of labels of text, and the texts as class_names."""
    keys = [key for key in ("y", "y_train", "y_test") if key in arrays]
    are_text = [arrays[key].dtype.kind in "OU" for key in keys]
    if not any(are_text):
        return arrays
    if not all(are_text):
        raise DataError(f"{' and '.join(places[key] for key in keys)} hold text and numbers: make the labels alike")
    columns = [arrays[key].reshape(-1).astype(object) for key in keys]
    known = reading.schema and reading.schema.class_names
    class_names = known or targets.of_column(np.concatenate(columns), reading.task, places[keys[0]]).class_names
    numbers: dict[str, Array] = {
        key: targets.by_names(column, class_names, places[key]).y.reshape(arrays[key].shape)
        for key, column in zip(keys, columns, strict=True)
    }
    return {**arrays, **numbers, "class_names": np.array(class_names)}


def _only_column(table: Table) -> Array:
    if len(table.columns) != 1:
        raise DataError(f"{table.name} has {len(table.columns)} columns: expected one column of labels")
    return next(iter(table.columns.values()))


def _labelled(table: Table, labels: PathLike, reading: Reading) -> Dataset:
    """Return the data set of a table of inputs and a file of labels."""
    if reading.label_column is not None:
        raise ValueError("label_column is for a table that holds the labels too: leave it out")
    y = _label_array(labels)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y.reshape(-1)
    if y.dtype.kind == "U":
        y = y.astype(object)
    if y.shape != (len(table),) or y.dtype.kind not in "biufO":
        raise DataError(
            f"{table.name} has {len(table)} examples, but {shown(labels)} has labels of shape {y.shape} and dtype "
            f"{y.dtype}: expected one each"
        )
    if y.dtype.kind in "iuf":
        y = y.astype(np.int64 if y.dtype.kind in "iu" else np.float64)
    name = shown(labels)
    whole = Table(table.name, {**table.columns, name: y}, table.has_header)
    data = table_dataset(whole, dataclasses.replace(reading, label_column=name))
    assert data.schema is not None  # that of a table
    return data if reading.schema else dataclasses.replace(data, schema=dataclasses.replace(data.schema, target=""))


def _array_dataset(name: str, arrays: dict[str, Array], places: dict[str, str], reading: Reading) -> Dataset:
    """Check the arrays. Hold out a test part if there is none."""
    train, test = ("x", "y"), ("x_test", "y_test")
    if "x_train" in arrays or "y_train" in arrays:
        train = ("x_train", "y_train")
    wanted = (*train, *test) if arrays.keys() & set(test) else train
    if absent := [key for key in wanted if key not in arrays]:
        raise DataError(f"{name} has no {' and no '.join(absent)} (it has {listed(arrays)}): add what is missing")
    arrays = _numbered(arrays, places, reading)
    task = _task(reading, arrays[train[1]])
    x, y, image_shape = _examples(arrays, places, *train, task, reading)
    if wanted != train:
        x_test, y_test, _ = _examples(arrays, places, *test, task, reading)
        if x_test.shape[1:] != x.shape[1:] or x_test.dtype != x.dtype:
            kinds = f"{x.shape[1]} x {x.dtype} and {x_test.shape[1]} x {x_test.dtype}"
            raise DataError(f"{name}: the examples to train and to test differ ({kinds}): make them alike")
        split = (x, y, x_test, y_test)
    else:
        split = hold_out(x, y, reading.test_fraction, OF_FILES)
    task = task or "classification"
    features = _feature_names(arrays, x.shape[1], reading.schema, name)
    schema = reading.schema or Schema(
        tuple(map(Column, features)),
        class_names=_class_names(arrays, task, y, split, name),
        pixels=x.dtype == np.uint8,
        test_fraction=(reading.test_fraction or None) if wanted == train else None,
    )
    return Dataset(name, *split, image_shape, schema.class_names, task, schema, is_held_out=wanted == train)


def _task(reading: Reading, y: Array) -> TaskName | None:
    """Return the task that the user or the network wants, or None."""
    if reading.schema is None:
        return reading.task
    if not reading.schema.class_names:
        return "regression"
    return "multilabel" if y.ndim == 2 and y.shape[1] > 1 else "classification"


def _feature_names(arrays: dict[str, Array], n_in: int, schema: Schema | None, name: str) -> tuple[str, ...]:
    """Return the names of the features in an NPZ file, or (). They must be those of the network, if it has names."""
    found = _names(arrays, ("feature_names",), name)
    if found and len(found) != n_in:
        raise DataError(f"{name}: its feature_names are {len(found)}, but there are {n_in} features: correct the names")
    if schema and schema.columns and found not in ((), schema.feature_names):
        raise DataError(
            f"{name}: its feature_names ({listed(found)}) are not those of the network "
            f"({listed(schema.feature_names)}): give the features that it was trained on, in their order"
        )
    return found


def _names(arrays: dict[str, Array], keys: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return the names in the first of these arrays that is there, or ()."""
    key = next((key for key in keys if key in arrays), None)
    if key is None:
        return ()
    names = arrays[key]
    if names.dtype.kind != "U" or names.ndim != 1 or len(set(names.tolist())) < len(names):
        raise DataError(f"{name}, {key}: expected different names as text, not {names.dtype} of shape {names.shape}")
    return tuple(names.tolist())


def _class_names(arrays: dict[str, Array], task: TaskName, y: Array, split: Split, name: str) -> tuple[str, ...]:
    """Return the names of the classes or labels: those of the file, else their numbers."""
    if task == "regression":
        return ()
    n_classes = y.shape[1] if task == "multilabel" else 1 + int(max(part.max(initial=0) for part in split[1::2]))
    found = _names(arrays, _CLASS_NAMES, name)
    if found and (len(found) < n_classes or (task == "multilabel" and len(found) > n_classes)):
        raise DataError(f"{name} names {len(found)} classes, but its labels have {n_classes}: correct the names")
    return found or tuple(map(str, range(n_classes)))


def _examples(
    arrays: dict[str, Array],
    places: dict[str, str],
    key_of_x: str,
    key_of_y: str,
    task: TaskName | None,
    reading: Reading,
) -> tuple[Array, Array, ImageShape]:
    """Return examples (n, n_in) and targets in the dtypes of `Dataset`, and the shape of the pictures."""
    x, y, what = arrays[key_of_x], arrays[key_of_y], places[key_of_x]
    if x.ndim not in (2, 3) or not x.size:
        raise DataError(f"{what} has shape {x.shape}: expected (n, features) or (n, rows, columns), none of them 0")
    image_shape = (x.shape[1], x.shape[2]) if x.ndim == 3 else None
    x = _numbers(x.reshape(len(x), -1), what, reading.pixels)
    if x.dtype == np.uint8:
        image_shape = image_shape or image_shape_of(x.shape[1])
    n = len(y) if task == "multilabel" and y.ndim == 2 else y.size
    if len(x) != n or y.ndim not in (1, 2):
        hint = "; save one-hot labels as .argmax(1)" if y.ndim == 2 and len(x) == len(y) else ""
        raise DataError(f"{what} has {len(x)} examples but labels of shape {y.shape}: expected one each{hint}")
    where, schema = places[key_of_y], reading.schema
    y = targets.of_array(y, task, where)
    if schema is not None and task != "regression":
        largest = y.shape[1] - 1 if y.ndim == 2 else int(y.max())
        if largest >= len(schema.class_names):
            raise DataError(
                f"{where}: the largest label is {largest}, but the network has {len(schema.class_names)} classes: give "
                "the labels that it was trained on"
            )
    return np.ascontiguousarray(x), y, image_shape


def _numbers(x: Array, what: str, pixels: bool) -> Array:
    """Return examples (n, n_in) as bytes or as float32."""
    is_bytes = x.dtype == np.uint8
    if x.dtype.kind in "iu" and not is_bytes and x.min() >= 0 and x.max() <= 255:
        if not pixels:
            raise DataError(
                f"{what} holds whole numbers from 0 to 255 as {x.dtype}: save it with .astype('uint8') if they are "
                "pixels, otherwise with .astype('float32')"
            )
        return x.astype(np.uint8)
    if pixels and not is_bytes:
        raise DataError(
            f"{what} holds {x.dtype}, but pixels are whole numbers from 0 to 255: save it as uint8, or read it without "
            "pixels"
        )
    if x.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            x = x.astype(np.float32, copy=False)
            if not np.isfinite([x.min(), x.max()]).all():  # a nan makes min and max nan
                bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
                raise DataError(
                    f"{what} holds nan, inf or numbers beyond float32 in {len(bad)} of {len(x)} examples, the first in "
                    f"row {bad[0] + 1}: correct these values, or drop the rows"
                )
    elif not is_bytes:
        raise DataError(f"{what} holds {x.dtype}: save it with .astype('float32'), or as uint8 if it holds pixels")
    return x
