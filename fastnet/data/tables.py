"""Reads tables of numbers from CSV files."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator

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
        try:
            return _read(io.TextIOWrapper(file, encoding="utf-8-sig"), name)
        except UnicodeDecodeError as error:
            raise DataError(f"{name} is not text in UTF-8 ({reason(error)}): save it as UTF-8") from error


def _read(text: io.TextIOWrapper, name: str) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    first = text.readline(_MAX_LINE)
    if len(first) == _MAX_LINE:
        raise DataError(f"{name} has a first line of over {_MAX_LINE:,} characters: expected a row of numbers")
    separator = max(",;\t", key=first.count)
    cells = tuple(cell.strip() for row in csv.reader([first], delimiter=separator) for cell in row)
    columns = () if all(map(_is_number, cells)) else cells
    if not columns:
        text.seek(0)
    lines = _Lines(text, before=1 if columns else 0)
    try:
        values = np.loadtxt(lines, np.float32, delimiter=separator, quotechar='"', comments=None, ndmin=2)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        # NumPy's message ends in "at row 1, column 2", where rows count from 0 and without empty lines
        cell = re.search(r", column (\d+)\.$", str(error))
        place = f"line {lines.read}" + (f", cell {cell[1]}" if cell else "")
        problem = reason(error).partition(" at row ")[0]
        raise DataError(
            f"{name} is not a table of numbers ({place}: {problem}): correct it, and write classes as numbers from 0"
        ) from error
    if not values.size:
        raise DataError(f"{name} has no rows: expected at least one row of numbers")
    if columns and len(columns) != values.shape[1]:
        raise DataError(
            f"{name} names {len(columns)} columns, but its rows have {values.shape[1]}: correct the first line"
        )
    return columns, values


class _Lines:
    """The lines of a text, and the number of lines read so far. NumPy stops after the first line that it refuses."""

    def __init__(self, text: io.TextIOWrapper, before: int) -> None:
        self._text = text
        self.read = before

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self.read += 1
            yield line


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
