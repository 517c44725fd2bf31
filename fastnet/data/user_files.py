"""Reads examples and labels from the user's own files and folders, or refuses them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastnet.data.arrays import Array, read_idx, read_npz
from fastnet.data.files import PathLike
from fastnet.data.formats import IDX_FILES, find_idx, format_of, is_table, listed, read_array
from fastnet.data.split import Split, hold_out
from fastnet.data.tables import read_csv
from fastnet.errors import DataError
from fastnet.text import shown

ImageShape: TypeAlias = tuple[int, int] | None

_LABEL_COLUMNS = ("label", "class", "target", "y")
_MAX_CLASSES = 65_536


def read(
    source: PathLike, labels: PathLike | None, test_fraction: float, column: str | int | None
) -> tuple[Split, ImageShape]:
    """Read examples and labels from a file or folder that exists.

    Parameters
    ----------
    source : path
        An NPZ file, a folder of IDX files, a CSV file with a column of labels, or a file of examples.
    labels : path or None
        The file of labels, if `source` holds only examples.
    test_fraction : float
        The share to hold out if the data have no test part.
    column : str, int or None
        The column of labels in a CSV file. None: the column named label, class, target or y, else the last column.

    Returns
    -------
    split : tuple of arrays
        x_train, y_train, x_test, y_test as in `Dataset`.
    image_shape : (int, int) or None
        Rows and columns, if the examples are pictures.

    Raises
    ------
    DataError
        The data cannot be read, or no network could be trained on them.
    ValueError
        `column` is given, but `source` is not a CSV file with labels.
    """
    name = shown(source)
    if column is not None and (labels is not None or not is_table(source)):
        raise ValueError("label_column is for a CSV file that holds the labels too: leave it out")
    arrays: dict[str, Array]
    places = {}  # the names of arrays in messages, where they differ from "file, key"
    if labels is not None:
        places = {"x": name, "y": shown(labels)}
        arrays = {"x": read_array(source), "y": read_array(labels)}
        if is_table(source):
            arrays["x"] = _pixels_if_any(arrays["x"])
    elif os.path.isdir(source):
        stems = zip(("x_train", "y_train", "x_test", "y_test"), IDX_FILES, strict=True)
        paths = {key: find_idx([Path(source)], stem) for key, stem in stems}
        if not any(paths.values()):
            raise DataError(f"{name} holds no data: expected the files {', '.join(IDX_FILES)}, with or without .gz")
        arrays = {key: read_idx(path) for key, path in paths.items() if path}
    elif is_table(source):
        arrays, label_column = _table(source, column)
        places = {"x": name, "y": f"{name}, {label_column}"}
    elif format_of(source) == "NPZ":
        arrays = read_npz(source)
    else:
        raise DataError(f"{name} holds no labels: give their file as labels, or use an NPZ file, CSV file or folder")
    return _split(name, arrays, {key: f"{name}, {key}" for key in arrays} | places, test_fraction)


def _table(source: PathLike, column: str | int | None) -> tuple[dict[str, Array], str]:
    """Return the arrays of a CSV file, and the name of the label column for messages."""
    name = shown(source)
    columns, table = read_csv(source)
    position = _label_column(columns, table.shape[1], column, name)
    x, y = _pixels_if_any(np.delete(table, position, axis=1)), table[:, position]
    label_column = f"column {shown(columns[position])}" if columns else f"column {position} (counted from 0)"
    if column is None and (y == y[0]).all():
        raise DataError(f"{name}: all labels in {label_column} are the same: give the right column as label_column")
    return {"x": x, "y": y}, label_column


def _split(
    name: str, arrays: dict[str, Array], places: dict[str, str], test_fraction: float
) -> tuple[Split, ImageShape]:
    """Check the arrays. Hold out a test part if there is none."""
    train, test = ("x", "y"), ("x_test", "y_test")
    if "x_train" in arrays or "y_train" in arrays:
        train = ("x_train", "y_train")
    wanted = (*train, *test) if arrays.keys() & set(test) else train
    if absent := [key for key in wanted if key not in arrays]:
        raise DataError(f"{name} has no {' and no '.join(absent)} (it has {listed(arrays)}): add what is missing")
    x, y, image_shape = _examples(arrays, places, *train)
    if wanted != train:
        x_test, y_test, _ = _examples(arrays, places, *test)
        if x_test.shape[1:] != x.shape[1:] or x_test.dtype != x.dtype:
            kinds = f"{x.shape[1]} x {x.dtype} and {x_test.shape[1]} x {x_test.dtype}"
            raise DataError(f"{name}: the examples to train and to test differ ({kinds}): make them alike")
        return (x, y, x_test, y_test), image_shape
    return hold_out(x, y, test_fraction), image_shape


def _examples(
    arrays: dict[str, Array], places: dict[str, str], key_of_x: str, key_of_y: str
) -> tuple[Array, NDArray[np.int64], ImageShape]:
    """Return examples (n, n_in) and labels (n,) in the dtypes of `Dataset`, and the shape of the pictures."""
    x, y, what = arrays[key_of_x], arrays[key_of_y], places[key_of_x]
    if x.ndim not in (2, 3) or not x.size:
        raise DataError(f"{what} has shape {x.shape}: expected (n, features) or (n, rows, columns), none of them 0")
    image_shape = (x.shape[1], x.shape[2]) if x.ndim == 3 else None
    x = x.reshape(len(x), -1)
    if x.dtype == np.uint8:
        side = math.isqrt(x.shape[1])
        if image_shape is None and side >= 4 and side * side == x.shape[1]:
            image_shape = (side, side)  # uint8 values that fill a square count as a picture
    elif x.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            x = x.astype(np.float32, copy=False)
            if not np.isfinite([x.min(), x.max()]).all():  # a nan makes min and max nan
                bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
                raise DataError(
                    f"{what} holds nan, inf or numbers beyond float32 in {len(bad)} of {len(x)} examples, the first in "
                    f"example {bad[0]} (counted from 0): correct these values, or drop the examples"
                )
    elif x.dtype.kind in "iu" and x.min() >= 0 and x.max() <= 255:
        raise DataError(
            f"{what} holds whole numbers from 0 to 255 as {x.dtype}: "
            "save it with .astype('uint8') if they are pixels, otherwise with .astype('float32')"
        )
    else:
        raise DataError(f"{what} holds {x.dtype}: save it with .astype('float32'), or as uint8 if it holds pixels")
    if len(x) != y.size or y.ndim not in (1, 2):
        hint = "; save one-hot labels as .argmax(1)" if y.ndim == 2 and len(x) == len(y) else ""
        raise DataError(f"{what} has {len(x)} examples but labels of shape {y.shape}: expected one each{hint}")
    # A nan fails both comparisons, so it counts as out of range.
    with np.errstate(over="ignore"):  # in float16 the limit becomes infinite, and every label is below it
        in_range = y.dtype.kind in "biuf" and bool(((y >= 0) & (y < _MAX_CLASSES)).all())
    if not in_range or (y % 1 != 0).any():
        raise DataError(
            f"{places[key_of_y]}: labels must be whole numbers from 0 to {_MAX_CLASSES - 1:,}: renumber them"
        )
    return np.ascontiguousarray(x), y.reshape(-1).astype(np.int64), image_shape


def _label_column(columns: tuple[str, ...], n_columns: int, wanted: str | int | None, name: str) -> int:
    """Return the position of the column of labels."""
    if n_columns < 2:
        raise DataError(f"{name} has one column: expected columns of numbers and a column of labels")
    lower = [column.lower() for column in columns]
    if wanted is None:
        return next((lower.index(label) for label in _LABEL_COLUMNS if label in lower), n_columns - 1)
    if wanted in columns:
        return columns.index(str(wanted))
    if str(wanted).isdecimal() and int(wanted) < n_columns:
        return int(wanted)
    there = listed(columns) if columns else "its columns have no names"
    raise DataError(f"{name} has no column {wanted} ({there}): give a name, or a number from 0 to {n_columns - 1}")


def _pixels_if_any(x: NDArray[Any]) -> Array:
    """Return the numbers of a text file as bytes if they look like pixels, since a text file has no dtype."""
    if x.dtype.kind != "f" or not x.size or not np.isfinite(x).all():  # a file named .csv may hold any array
        return x
    return x.astype(np.uint8) if x.min() >= 0 and 127 < x.max() <= 255 and not (x % 1).any() else x
