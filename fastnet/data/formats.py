"""Recognises the format of a file, and finds IDX files by their names."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.lib import format as npy

from fastnet.data.arrays import Array, read_idx, read_npy, read_npz
from fastnet.data.arrow_tables import ARROW_MAGIC, PARQUET_MAGIC, read_arrow
from fastnet.data.csv_tables import read_csv
from fastnet.data.encoding import Column, encoded
from fastnet.data.files import PathLike, reading
from fastnet.data.pictures import open_picture
from fastnet.data.table import Table
from fastnet.errors import DataError
from fastnet.text import listed, shown

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

TABLES = ("Arrow", "CSV", "Parquet")  # the formats of tables, as `format_of` calls them
SPELLINGS = {  # of the arrays of an NPZ file
    "x": ("x", "X", "data"),
    "y": ("y", "target"),
    "x_train": ("x_train", "X_train"),
    "y_train": ("y_train",),
    "x_test": ("x_test", "X_test"),
    "y_test": ("y_test",),
}

_TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF", b"P2", b"P5", b"P6")


def read_array(path: PathLike, *, max_bytes: int | None = None) -> Array:
    """Read the only array of an IDX, NPY, NPZ, CSV, Parquet, Arrow or picture file.

    The first bytes of the file or the ending of its name tell its format. A CSV file is recognised by its ending only.

    Parameters
    ----------
    path : path
        The file.
    max_bytes : int, optional
        The largest array to accept, as in `read_idx`, `read_npy` and `read_npz`.

    Returns
    -------
    array
        The array, in the file's shape and dtype. A table of numbers gives float64 (rows, columns). A picture gives
        uint8 (rows, columns).

    Raises
    ------
    DataError
        The reader of the format refuses the file, its format is unknown, or an NPZ file holds several arrays.
    """
    kind = format_of(path)
    if kind == "NPY":
        return read_npy(path, max_bytes=max_bytes)
    if kind == "NPZ":
        arrays = read_npz(path, max_bytes=max_bytes)
        if len(arrays) != 1:
            raise DataError(f"{shown(path)} holds {len(arrays)} arrays ({listed(arrays)}): save the one you mean alone")
        return next(iter(arrays.values()))
    if kind == "IDX":
        return read_idx(path, max_bytes=max_bytes)
    if kind in TABLES:
        table = read_table(path)
        return encoded([Column(name) for name in table.columns], table)
    with open_picture(path, invert=False) as picture:
        return np.array(picture, np.uint8)


def read_table(path: PathLike, as_text: Collection[str] = ()) -> Table:
    """Read a table from a CSV, Parquet or Arrow file.

    Parameters
    ----------
    path : path
        The file, or a folder of Parquet or Arrow files.
    as_text : collection of str
        The names of columns of a CSV file to read as text, even if their cells are numbers.

    Raises
    ------
    DataError
        The reader of the format refuses the file.
    MissingLibraryError
        A Parquet or Arrow file needs pyarrow, and this machine lacks it.
    """
    is_csv = not os.path.isdir(path) and format_of(path) == "CSV"
    return read_csv(path, as_text) if is_csv else read_arrow(path)


def holds_table(path: PathLike) -> bool:
    """Return whether a file is a CSV, Parquet or Arrow file. The errors are those of `format_of`."""
    return not os.path.isdir(path) and format_of(path) in TABLES


def format_of(path: PathLike) -> Literal["Arrow", "CSV", "IDX", "NPY", "NPZ", "Parquet", "picture"]:
    """Return the format of a file, from its first bytes and the ending of its name.

    Raises
    ------
    DataError
        The file cannot be read, or its format is unknown.
    """
    with reading(path) as (file, _):
        head = file.read(8)
    suffix = suffix_of(path)
    if suffix == ".gz" and is_table(Path(os.fsdecode(path)).stem):
        raise DataError(f"{shown(path)} is a compressed table: unpack it first")
    if is_table(path) and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):  # such as a column named BMI
        return "CSV"
    if head.startswith(PARQUET_MAGIC):
        return "Parquet"
    if head.startswith(ARROW_MAGIC):
        return "Arrow"
    if head.startswith(npy.MAGIC_PREFIX) or suffix == ".npy":
        return "NPY"
    if head.startswith(b"PK") or suffix == ".npz":
        return "NPZ"
    if head.startswith((b"\0\0", b"\x1f\x8b")):
        return "IDX"
    if head.startswith(_PICTURE_STARTS) or suffix in _PICTURE_SUFFIXES:
        return "picture"
    if is_table(path):
        return "CSV"
    raise DataError(
        f"{shown(path)} has no known format; expected IDX (or .gz), NPY, NPZ, CSV (.csv), Parquet, Arrow or a picture: "
        "save a table as CSV, and arrays with numpy.savez"
    )


def is_table(path: PathLike) -> bool:
    """Return whether the ending of a file's name is that of a CSV file."""
    return suffix_of(path) in _TABLE_SUFFIXES


def suffix_of(path: PathLike) -> str:
    """Return the ending of a file's name in lower case, such as ``.csv``."""
    return Path(os.fsdecode(path)).suffix.lower()


def find_idx(folders: list[Path], stem: str) -> Path | None:
    """Return the first file named `stem`, gzipped or plain. Some archives write ``.idx`` in place of ``-idx``."""
    spellings = (f"{stem}.gz", stem, f"{stem.replace('-idx', '.idx')}.gz", stem.replace("-idx", ".idx"))
    paths = (folder / spelling for folder in folders for spelling in spellings)
    return next((path for path in paths if os.path.isfile(path)), None)
