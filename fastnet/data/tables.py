"""Reads tables of numbers from CSV files."""

from __future__ import annotations

import csv
import io
import re
import warnings

import numpy as np
from numpy.typing import NDArray

from fastnet.checks import given
from fastnet.data.files import PathLike, reading
from fastnet.errors import DataError
from fastnet.text import reason, shown

_MAX_LINE = 1 << 20  # characters
_GAPS = {"", "na", "n/a", "nan", "null", "none", "?"}  # cells that stand for a missing number


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
        The names in the first line, or () if the first line is a row of numbers.
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
    columns = cells if _is_header(cells) else ()
    if not columns:
        text.seek(0)
    try:
        values = np.loadtxt(text, np.float32, delimiter=separator, quotechar='"', comments=None, ndmin=2)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        # NumPy's message counts rows from 0 and without empty lines
        why = _problem(text, separator, columns) or f" is not a table of numbers ({reason(error)}): correct it"
        raise DataError(f"{name}{why}") from error
    if not values.size:
        raise DataError(f"{name} has no rows: expected at least one row of numbers")
    if columns and len(columns) != values.shape[1]:
        raise DataError(
            f"{name} names {len(columns)} columns, but its rows have {values.shape[1]}: correct the first line"
        )
    return columns, values


def _is_header(cells: tuple[str, ...]) -> bool:
    """Return whether a first line names the columns. Empty cells between numbers are gaps in a row."""
    by_pandas = ("", *map(str, range(len(cells) - 1)))  # an index, and columns without names
    return cells == by_pandas or not all(_is_number(cell) or _is_gap(cell) for cell in cells)


def _problem(text: io.TextIOWrapper, separator: str, columns: tuple[str, ...]) -> str:
    """Return the end of an error about the first line that is not a row of numbers, or "" if no such line is found."""
    text.seek(0)
    rows = csv.reader(text, delimiter=separator)
    width, gaps, first_gap = len(columns), 0, ""
    try:
        for row in rows:
            if not row or (columns and rows.line_num == 1):
                continue
            width = width or len(row)
            line = f"line {rows.line_num}"
            if len(row) != width and not gaps:
                return (
                    f", {line}: expected {width} cells as in the first row, not {len(row)}: make all rows equally long"
                )
            for k, cell in enumerate(row):
                if _is_gap(cell):
                    gaps += 1
                    first_gap = first_gap or f"{line}, {_column(columns, k)}"
                elif not gaps and not _is_number(cell):
                    return f", {line}, {_column(columns, k)}: expected a number, not {given(cell)}: {_advice(cell)}"
    except csv.Error:  # such as a quote that never ends
        return ""
    if not gaps:
        return ""
    return f" has empty or NA cells ({gaps} in all, the first in {first_gap}): fill the gaps or drop the rows"


def _column(columns: tuple[str, ...], k: int) -> str:
    return f"column {given(columns[k])}" if k < len(columns) and columns[k] else f"cell {k + 1}"


def _advice(cell: str) -> str:
    if re.fullmatch(r"[\s\d.+-]*[,;][\s\d.,;+-]*", cell):
        return "write numbers such as 1234.5, without commas"
    return "turn the column into numbers or drop it, and number classes from 0"


def _is_gap(cell: str) -> bool:
    return cell.strip().lower() in _GAPS


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
