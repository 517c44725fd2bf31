"""Reads tables from CSV files."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastnet.data.arrays import Array
from fastnet.data.files import PathLike, reading
from fastnet.data.plain_csv import Coded, NotPlain, PlainCsv
from fastnet.data.table import Table, named, unnamed
from fastnet.errors import DataError
from fastnet.text import reason, shown

_Found: TypeAlias = tuple[str, ...] | Coded | NDArray[np.float64]  # the cells of a column in a block of rows

_MAX_LINE = 1 << 20  # characters
_MAX_COLUMNS = 1 << 16
_MAX_EXACT = 1 << 53  # float64 holds all smaller whole numbers
_BLOCK_CELLS = 1 << 18  # cells that are converted at a time
MIN_PLAIN = 1 << 20  # bytes of a file for pyarrow: its import takes as long as reading some hundred kB without it
_GAPS = {"", "na", "n/a", "nan", "null", "none", "?"}  # cells that stand for a missing value
_BOOLS = {"true": True, "false": False}


def read_csv(path: PathLike, as_text: Collection[str] = ()) -> Table:
    """Read a table from a CSV file.

    The separator is a comma, a semicolon or a tab: whichever occurs most often in the first line. A column holds whole
    numbers, numbers, or true and false, if all its cells do. Otherwise it holds text.

    Parameters
    ----------
    path : path
        The file, encoded as UTF-8.
    as_text : collection of str
        The names of columns to read as text, even if their cells are numbers.

    Returns
    -------
    Table
        The columns. A cell that is empty, ? or NA, NaN, null or none in any case is a missing value.

    Raises
    ------
    DataError
        The file cannot be read, has no rows, has rows of different lengths, or has two columns of one name.
    """
    with _lines(path) as lines:
        is_text = [name in as_text for name in lines.names]
        with suppress(NotPlain):
            return _whole(lines, is_text, lambda columns: _plain_blocks(path, lines, columns))
        numbers = None if any(is_text) else lines.numbers()
        if numbers is not None and numbers.shape[1] == lines.width and len(numbers):
            return lines.table(map(_exact, numbers.T, lines.top))
        return _whole(lines, is_text, lambda columns: lines.columns())


def csv_blocks(path: PathLike, as_text: Collection[str] = ()) -> Iterator[Table]:
    """Yield the table of a CSV file, a block of rows at a time, in little memory.

    The parameters and errors are those of `read_csv`. The columns are too, except that the blocks before the first text
    of a column hold numbers.
    """
    with _lines(path) as lines:
        columns, start = [_Cells(name in as_text) for name in lines.names], 0

        def table(block: Iterable[_Found]) -> Table:
            parts = (column.converted(found) for column, found in zip(columns, block, strict=True))
            return lines.table(map(_exact, parts, lines.top), start)

        try:
            for block in _plain_blocks(path, lines, columns):
                found = table(block)
                yield found
                start += len(found)
        except NotPlain:
            for rows in lines.columns(skipped=start):
                found = table(rows)
                yield found
                start += len(found)
        if not start:
            raise _no_rows(lines.name)


def _whole(lines: _Lines, is_text: list[bool], blocks: Callable[[list[_Cells]], Iterable[Iterable[_Found]]]) -> Table:
    """Return the table of all blocks. `is_text` says which columns are text, whatever their cells are."""
    # A column may turn out to be text after some blocks of numbers. A second reading takes its numbers as text too.
    for _ in range(2):
        columns = [_Cells(known) for known in is_text]
        for block in blocks(columns):
            for column, found in zip(columns, block, strict=True):
                column.add(found)
        is_text = [column.is_text for column in columns]
        if not any(column.is_mixed for column in columns):
            break
    if not columns or not columns[0].parts:
        raise _no_rows(lines.name)
    return lines.table(map(_Cells.whole, columns, lines.top))


def _plain_blocks(path: PathLike, lines: _Lines, columns: Sequence[_Cells]) -> Iterator[Iterable[_Found]]:
    """Yield the columns of each block of a plain file. Raises NotPlain where pyarrow is missing, or would not pay."""
    if not find_spec("pyarrow") or os.path.getsize(path) < MIN_PLAIN or len(lines.top) != lines.width:
        raise NotPlain
    with reading(path) as (file, _):
        plain = PlainCsv(file, lines.separator, lines.width, lines.header, _GAPS)
        hopes = [is_number(cell) or _is_gap(cell) for cell in lines.top]  # a wrong hope costs a second reading
        for chunk in plain.chunks():
            wanted = [column.may_be_numbers and hope for column, hope in zip(columns, hopes, strict=True)]
            yield plain.columns(chunk, wanted)
            hopes = [True] * len(columns)


def _no_rows(name: str) -> DataError:
    return DataError(f"{name} has no rows: expected at least one row of numbers")


@contextmanager
def written_rows(path: PathLike) -> Iterator[tuple[str, list[str], Iterator[list[str]]]]:
    """Open a CSV file. Yield its separator, the names of its columns, and its rows: the cells as they are written."""
    with _lines(path) as lines:
        names = lines.header or lines.names
        yield lines.separator, names, itertools.chain.from_iterable(lines.blocks())


@contextmanager
def _lines(path: PathLike) -> Iterator[_Lines]:
    """Open a CSV file and yield its rows."""
    with reading(path) as (file, _), io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        name = shown(path)
        try:
            yield _Lines(text, name)
        except UnicodeDecodeError as error:
            raise DataError(f"{name} is not text in UTF-8 ({reason(error)}): save it as UTF-8") from error


class _Lines:
    """The rows of a CSV file, and its header if it has one."""

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._text, self.name, self._line = text, name, 0
        first = text.readline(_MAX_LINE)
        if len(first) == _MAX_LINE:
            raise DataError(f"{name} has a first line of over {_MAX_LINE:,} characters: expected the cells of one row")
        self.separator = max(",;\t", key=first.count)
        top: list[list[str]] = list(itertools.islice(self._rows(), 2))
        self.width = len(top[0]) if top else 0
        if self.width > _MAX_COLUMNS:
            raise DataError(f"{name} has {self.width:,} columns: expected at most {_MAX_COLUMNS:,}")
        self.header = top[0] if top and _is_header(*top) else []
        self.top = top[-1] if top else []  # the first row, or the header if there are no rows
        self.names = [cell.strip() for cell in self.header] or list(map(unnamed, range(self.width)))

    def table(self, columns: Iterable[Array], start: int | None = None) -> Table:
        """Return columns as a table. `start` is the number of rows before those of a part."""
        return Table(self.name, named(self.names, columns, self.name), bool(self.header), start)

    def _rows(self) -> Iterator[list[str]]:
        """Yield the rows from the first one on, without empty lines."""
        self._text.seek(0)
        reader = csv.reader(self._text, delimiter=self.separator, skipinitialspace=True)
        try:
            for row in reader:
                self._line = reader.line_num
                if row:
                    yield row
        except csv.Error as error:  # such as a quote that never ends
            where = f"{self.name}, line {reader.line_num}"
            raise DataError(f"{where}: not a row of a table ({reason(error)}): correct it") from error

    def numbers(self) -> Array | None:
        """Return all cells as int64 or float64 (rows, columns), or None if a cell is no number.

        NumPy takes a tenth of the time of the csv module.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a table without rows
            # NumPy before 2.3 accepts 1.0 as an integer, with this warning
            warnings.simplefilter("error", DeprecationWarning)
            for dtype in (np.int64, np.float64):
                self._text.seek(0)
                if self.header:
                    next(self._rows())
                with suppress(ValueError, DeprecationWarning):
                    found = np.loadtxt(
                        self._text, dtype, delimiter=self.separator, quotechar='"', comments=None, ndmin=2
                    )
                    # A column of whole numbers is int64, which holds those that float64 rounds.
                    return None if dtype is np.float64 and (np.abs(found) >= _MAX_EXACT).any() else found
        return None

    def columns(self, skipped: int = 0) -> Iterator[Iterable[tuple[str, ...]]]:
        """Yield the cells of each column, block by block, from row number `skipped` on."""
        for rows in self.blocks():
            left = rows[skipped:]
            skipped = max(0, skipped - len(rows))
            if left:
                yield zip(*left, strict=True)

    def blocks(self) -> Iterator[list[list[str]]]:
        """Yield the rows in blocks, without empty lines. Refuses rows of different lengths."""
        size, block, is_first = max(1, _BLOCK_CELLS // max(1, self.width)), list[list[str]](), bool(self.header)
        for row in self._rows():
            if len(row) != self.width:
                cells = "1 cell" if self.width == 1 else f"{self.width} cells"
                raise DataError(
                    f"{self.name}, line {self._line}: expected {cells} as in the first row, not {len(row)}: "
                    "make all rows equally long"
                )
            if not is_first:
                block.append(row)
            is_first = False
            if len(block) == size:
                yield block
                block = []
        if block:
            yield block


class _Cells:
    """The cells of a column, block by block."""

    __slots__ = ("_kinds", "_known", "is_mixed", "is_text", "parts")

    def __init__(self, is_text: bool) -> None:
        self.is_text, self.is_mixed, self.parts = is_text, False, list[Array]()
        self._kinds = set[str]()  # of the parts: "number", "bool" or "gap"
        self._known: dict[str, str | None] = {}  # the text of a cell: equal texts share their memory

    @property
    def may_be_numbers(self) -> bool:
        """Whether all cells so far are numbers or gaps."""
        return not self.is_text and "bool" not in self._kinds

    def add(self, found: _Found) -> None:
        """Add the cells of a block. Numbers must not come after text or bools."""
        if self.is_mixed:
            return
        if isinstance(found, np.ndarray):
            self._kinds.add("gap" if np.isnan(found).all() else "number")
            self.parts.append(found)
            return
        cells, rows = found if isinstance(found, Coded) else (found, slice(None))
        if not self.is_text:
            kind, part = _converted(cells)
            self._kinds.add(kind)
            if self._kinds <= {"number", "gap"} or self._kinds <= {"bool", "gap"}:
                self.parts.append(part[rows])
                return
            self.is_text = True
            if self.parts:
                self.is_mixed = True
                return
        for cell in set(cells).difference(self._known):
            self._known[cell] = None if _is_gap(cell) else cell.strip()
        texts = np.empty(len(cells), object)
        texts[:] = list(map(self._known.__getitem__, cells))
        self.parts.append(texts[rows])

    def converted(self, found: _Found) -> Array:
        """Return the values of a block, which is not kept."""
        if len(self._known) > _BLOCK_CELLS:
            self._known.clear()
        self.add(found)
        return self.parts.pop()

    def whole(self, first: str) -> Array:
        """Return the values of all blocks. `first` is the first cell."""
        return _exact(np.concatenate(self.parts) if len(self.parts) > 1 else self.parts[0], first)


def _exact(column: Array, first: str) -> Array:
    """Return a column of float64 as int64 if its numbers are whole and its first cell is written without a point."""
    may_be_whole = column.dtype.kind == "f" and re.fullmatch(r"\s*[+-]?\d+\s*", first)
    if not may_be_whole or not (np.abs(column) < _MAX_EXACT).all() or (column % 1).any():
        return column
    return column.astype(np.int64)


def _converted(cells: tuple[str, ...]) -> tuple[str, Array]:
    """Return the values of cells and their kind: "number", "bool", "gap" if all are missing, or "text"."""
    joined = "".join(cells)
    if joined.isascii() and "_" not in joined:  # Python accepts 1_0 and the digits of other scripts
        with suppress(ValueError, OverflowError):
            return "number", np.array(list(map(int, cells)), np.int64)
        with suppress(ValueError):
            column = np.array(list(map(float, cells)), np.float64)
            return "gap" if np.isnan(column).all() else "number", column
    present = [cell.strip() for cell in cells if not _is_gap(cell)]
    lower = [cell.lower() for cell in present]
    values: list[float] = []
    if not present:
        kind = "gap"
    elif all(cell in _BOOLS for cell in lower):
        kind, values = "bool", [_BOOLS[cell] for cell in lower]
        if len(values) == len(cells):
            return kind, np.array(values)
    elif all(map(is_number, present)):
        kind, values = "number", list(map(float, present))
    else:
        return "text", np.empty(0)
    column = np.full(len(cells), np.nan)
    column[[not _is_gap(cell) for cell in cells]] = values
    return kind, column


def _is_header(first: list[str], second: list[str] | None = None) -> bool:
    """Return whether the first row names the columns.

    A row of text does. A row of numbers and text does if a column of text has a number below it. Empty cells between
    numbers are gaps in a row.
    """
    cells = [cell.strip() for cell in first]
    if cells == ["", *map(str, range(len(cells) - 1))]:  # as pandas writes an index, and columns without names
        return True
    are_text = [not is_number(cell) and not _is_gap(cell) for cell in cells]
    if not any(map(is_number, cells)) or second is None or len(second) != len(cells):
        return any(are_text)
    return any(text and is_number(below) for text, below in zip(are_text, second, strict=True))


def advice(cell: str) -> str:
    """Return what to do about a cell that is not a number."""
    if re.fullmatch(r"[\s\d.+-]*[,;][\s\d.,;+-]*", cell):
        return "write numbers such as 1234.5, without commas"
    return ""


def _is_gap(cell: str) -> bool:
    return cell.strip().lower() in _GAPS


def is_number(cell: str) -> bool:
    """Return whether a cell holds a number. It may be nan or inf."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell
