"""The user's own data: files and folders made into examples and labels that can be trained on, or refused."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fastnet.data.arrays import Array, read_idx, read_npy, read_npz
from fastnet.data.files import PathLike, reading
from fastnet.data.pictures import open_picture
from fastnet.data.tables import read_csv
from fastnet.errors import DataError
from fastnet.text import shown

Split: TypeAlias = tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]  # x and y to train, x and y to test
ImageShape: TypeAlias = tuple[int, int] | None

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

_LABEL_COLUMNS = ("label", "class", "target", "y")
_MAX_CLASSES = 65_536
_PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF", b"P2", b"P5", b"P6")
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


def read_array(path: PathLike, *, max_bytes: int | None = None) -> Array:
    """Read the one array of an IDX, NPY, NPZ, CSV or picture file, whichever its content (for CSV: name) says.

    Returns
    -------
    array
        A CSV file gives float32 (rows, columns) and a picture uint8 (rows, columns), without any inversion.

    Raises
    ------
    DataError
        As the format's own reader, and for an unknown format or an NPZ file of several arrays.
    """
    with reading(path) as (file, _):
        head = file.read(8)
    name = shown(path)
    suffix = os.path.splitext(name)[1].lower()
    if head.startswith(npy.MAGIC_PREFIX) or suffix == ".npy":
        return read_npy(path, max_bytes=max_bytes)
    if head.startswith(b"PK") or suffix == ".npz":
        arrays = read_npz(path, max_bytes=max_bytes)
        if len(arrays) != 1:
            found = ", ".join(map(shown, list(arrays)[:8])) or "none"
            raise DataError(f"{name} holds {len(arrays)} arrays ({found}): save the one you mean alone")
        return next(iter(arrays.values()))
    if head.startswith((b"\0\0", b"\x1f\x8b")):
        return read_idx(path, max_bytes=max_bytes)
    if head.startswith(_PICTURE_STARTS) or suffix in _PICTURE_SUFFIXES:
        with open_picture(path, invert=False) as picture:
            return np.array(picture, np.uint8)
    if suffix in (".csv", ".tsv", ".txt"):
        return read_csv(path)[1]
    raise DataError(f"{name} is of no known format: expected IDX (or .gz), NPY, NPZ, CSV (.csv) or a picture")


def find_idx(folders: list[Path], stem: str) -> Path | None:
    """Return the first file of this name, gzipped or not, or as some archives spell it (``.idx`` for ``-idx``)."""
    spellings = (f"{stem}.gz", stem, f"{stem.replace('-idx', '.idx')}.gz", stem.replace("-idx", ".idx"))
    paths = (folder / spelling for folder in folders for spelling in spellings)
    return next((path for path in paths if os.path.isfile(path)), None)


def read(
    source: PathLike, labels: PathLike | None, test_fraction: float, column: str | int | None
) -> tuple[Split, ImageShape]:
    """Examples and labels from a file or folder that exists, and the shape of the pictures the examples are."""
    name = shown(source)
    suffix = Path(source).suffix.lower()
    if column is not None and (labels is not None or suffix not in (".csv", ".tsv", ".txt")):
        raise ValueError("label_column is for a CSV file that holds the labels too")
    arrays: dict[str, Array]
    if labels is not None:
        arrays = {"x": read_array(source), "y": read_array(labels)}
        if suffix in (".csv", ".tsv", ".txt"):
            arrays["x"] = _pixels_if_any(arrays["x"])
    elif os.path.isdir(source):
        stems = zip(("x_train", "y_train", "x_test", "y_test"), IDX_FILES, strict=True)
        paths = {key: find_idx([Path(source)], stem) for key, stem in stems}
        if not any(paths.values()):
            raise DataError(f"{name} holds no data: expected {', '.join(IDX_FILES)}, with or without .gz")
        arrays = {key: read_idx(path) for key, path in paths.items() if path}
    elif suffix in (".csv", ".tsv", ".txt"):
        columns, table = read_csv(source)
        position = _label_column(columns, table.shape[1], column, name)
        arrays = {"x": _pixels_if_any(np.delete(table, position, axis=1)), "y": table[:, position]}
        if column is None and (arrays["y"] == arrays["y"][0]).all():
            taken = shown(columns[position]) if columns else f"number {position}, the last"
            raise DataError(f"{name}: all labels in column {taken} are the same; name another with label_column")
    elif suffix == ".npz":
        arrays = read_npz(source)
    else:
        raise DataError(f"{name} holds no labels: give the file that does as labels, or use NPZ, CSV or a folder")
    return _split(name, arrays, test_fraction)


def _split(name: str, arrays: dict[str, Array], test_fraction: float) -> tuple[Split, ImageShape]:
    """Check the arrays and put them together; hold out a test part if they have none."""
    train, test = ("x", "y"), ("x_test", "y_test")
    if "x_train" in arrays or "y_train" in arrays:
        train = ("x_train", "y_train")
    wanted = (*train, *test) if arrays.keys() & set(test) else train
    if absent := [key for key in wanted if key not in arrays]:
        found = ", ".join(map(shown, list(arrays)[:8])) or "nothing"
        raise DataError(f"{name} has no {' and no '.join(absent)} (it has {found}): add what is missing")
    x, y, image_shape = _examples(arrays[train[0]], arrays[train[1]], f"{name}, {train[0]}")
    if wanted != train:
        x_test, y_test, _ = _examples(arrays[test[0]], arrays[test[1]], f"{name}, {test[0]}")
        if x_test.shape[1:] != x.shape[1:] or x_test.dtype != x.dtype:
            kinds = f"{x.shape[1]} x {x.dtype} and {x_test.shape[1]} x {x_test.dtype}"
            raise DataError(f"{name} has different examples to train and to test ({kinds}): make them alike")
        return (x, y, x_test, y_test), image_shape
    return hold_out(x, y, test_fraction), image_shape


def _examples(x: Array, y: Array, what: str) -> tuple[Array, NDArray[np.int64], tuple[int, int] | None]:
    """Return examples (n, n_in) and labels (n,) in the types of `Dataset`, and the shape of the pictures."""
    if x.ndim not in (2, 3) or not x.size:
        raise DataError(f"{what} has the shape {x.shape}: expected (n, features) or (n, rows, columns), and no 0")
    image_shape = (x.shape[1], x.shape[2]) if x.ndim == 3 else None
    x = x.reshape(len(x), -1)
    if x.dtype == np.uint8:
        side = math.isqrt(x.shape[1])
        if image_shape is None and side >= 4 and side * side == x.shape[1]:
            image_shape = (side, side)  # bytes in a row of square length are a picture
    elif x.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            x = x.astype(np.float32, copy=False)
            if not np.isfinite([x.min(), x.max()]).all():  # both are nan where there is a nan
                raise DataError(f"{what} holds nan, inf or numbers beyond float32: remove these examples")
    elif x.dtype.kind in "iu" and x.min() >= 0 and x.max() <= 255:
        raise DataError(
            f"{what} holds whole numbers from 0 to 255 as {x.dtype}: "
            "save it with .astype('uint8') if they are pixels, else with .astype('float32')"
        )
    else:
        raise DataError(f"{what} holds {x.dtype}: save it with .astype('float32'), or as uint8 if pixels")
    if len(x) != y.size or y.ndim not in (1, 2):
        hint = "; one-hot labels need .argmax(1) first" if y.ndim == 2 and len(x) == len(y) else ""
        raise DataError(f"{what} has {len(x)} examples but labels of shape {y.shape}: expected one for each{hint}")
    # nan fails the first comparison and so counts as out of range
    with np.errstate(over="ignore"):  # in float16 the largest label is infinite, and all numbers are below it
        in_range = y.dtype.kind in "biuf" and bool(((y >= 0) & (y < _MAX_CLASSES)).all())
    if not in_range or (y % 1 != 0).any():
        raise DataError(f"{what}: labels must be whole numbers from 0 to {_MAX_CLASSES - 1:,}: renumber")
    return np.ascontiguousarray(x), y.reshape(-1).astype(np.int64), image_shape


def _label_column(columns: tuple[str, ...], n_columns: int, wanted: str | int | None, name: str) -> int:
    """Return the position of a table's column of labels."""
    if n_columns < 2:
        raise DataError(f"{name} has one column: expected numbers and a column of labels")
    lower = [column.lower() for column in columns]
    if wanted is None:
        return next((lower.index(label) for label in _LABEL_COLUMNS if label in lower), n_columns - 1)
    if wanted in columns:
        return columns.index(str(wanted))
    if str(wanted).isdecimal() and int(wanted) < n_columns:
        return int(wanted)
    there = ", ".join(map(shown, columns[:8])) or "it has no names"
    raise DataError(f"{name} has no column {wanted} ({there}): give a name, or a number from 0 to {n_columns - 1}")


def _pixels_if_any(x: NDArray[Any]) -> Array:
    """Return numbers out of a text file as bytes if they look like pixels, which no dtype tells there."""
    if x.dtype.kind != "f" or not x.size or not np.isfinite(x).all():  # a file of that name may hold any array
        return x
    return x.astype(np.uint8) if x.min() >= 0 and 127 < x.max() <= 255 and not (x % 1).any() else x


def hold_out(x: Array, y: NDArray[np.int64], fraction: float) -> Split:
    """Split examples into those to train on and those to test with, both shuffled, the same way every time.

    Each class gives its share to the test part, by largest remainder, and keeps at least one example.
    """
    # sorting raw generator output: NumPy promises that it never changes, which it does not of permutations
    shuffled = np.argsort(np.random.PCG64(0).random_raw(len(y)), kind="stable")
    counts = np.bincount(y)
    share = counts * fraction
    n_test = np.floor(share).astype(np.int64)
    short = round(len(y) * fraction) - int(n_test.sum())
    n_test[np.argsort(n_test - share, kind="stable")[: max(0, short)]] += 1
    n_test = np.clip(n_test, 0, np.maximum(counts - 1, 0))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    rank = np.empty(len(y), np.int64)  # of each example within its class, in shuffled order
    rank[by_class] = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
    to_test = (rank < n_test[y])[shuffled]
    train, test = shuffled[~to_test], shuffled[to_test]
    return x[train], y[train], x[test], y[test]
