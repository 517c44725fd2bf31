"""Reads tables of numbers from CSV files."""

from __future__ import annotations

import csv
import io
import warnings

import numpy as np
from numpy.typing import NDArray

from fastnet.data.files import PathLike, reading
from fastnet.errors import DataError
from fastnet.text import reason, shown

_MAX_LINE = 1 << 20  # characters


def read_csv(path: PathLike) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Read a table of numbers from a CSV file.

    The separator is a comma, a semicolon or a tab: whichever occurs most often in the first line.

    Parameters
    ----------
    path : path
        The file, encoded as UTF-8.

    Returns
    -------
    columns : tuple of str
        The names in the first line, or () if every cell of the first line is a number.
    values : float32 array of shape (rows, columns)
        The numbers. A cell may be nan or inf.

    Raises
    ------
    DataError
        The file cannot be read, has no rows, has rows of different lengths, or has cells that are not numbers.
    """
    with reading(path) as (file, _), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns about an empty table and about numbers beyond float32
        name = shown(path)
        text = io.TextIOWrapper(file, encoding="utf-8-sig")
        first = text.readline(_MAX_LINE)
        if len(first) == _MAX_LINE:
            raise DataError(f"{name} has a first line of over {_MAX_LINE:,} characters: expected a row of numbers")
        separator = max(",;\t", key=first.count)
        cells = tuple(cell.strip() for row in csv.reader([first], delimiter=separator) for cell in row)
        columns = () if all(map(_is_number, cells)) else cells
        if not columns:
            text.seek(0)
        try:
            values = np.loadtxt(text, np.float32, delimiter=separator, quotechar='"', comments=None, ndmin=2)
        except ValueError as error:
            raise DataError(
                f"{name} is not a table of numbers ({reason(error)}): correct it, and write classes as numbers from 0"
            ) from error
        if not values.size:
            raise DataError(f"{name} has no rows: expected at least one row of numbers")
        if columns and len(columns) != values.shape[1]:
            raise DataError(
                f"{name} names {len(columns)} columns, but its rows have {values.shape[1]}: correct the first line"
            )
        return columns, values


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
