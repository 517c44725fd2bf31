"""Reads the rows of plain CSV files with pyarrow, many times as fast as Python reads them.

A file is plain if it has no quotes and each line is a row of the same length. `csv_tables` reads all other files. The
cells mean the same in both: pyarrow only finds the cells, and parses numbers.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.errors import DataError

_CHUNK = 1 << 22  # bytes that are read at a time
_MARK = codecs.BOM_UTF8
_MAX_EXACT = 1 << 53  # float64 holds all smaller whole numbers; larger ones may have to become int64


class Coded(NamedTuple):
    """The different cells of a column, and the number of the cell of each row."""

    cells: tuple[str, ...]
    rows: NDArray[np.int32]


class NotPlain(DataError):
    """A part of the file has to be read in another way."""


class PlainCsv:
    """The rows below the header of a plain CSV file.

    Parameters
    ----------
    file : file
        The file, open at its start.
    separator : str
        The character between two cells.
    width : int
        The number of columns.
    header : sequence of str
        The names of the columns in the first line. Empty: the file has no header.
    gaps : iterable of str
        The cells that stand for a missing value, in lower case.

    Raises
    ------
    NotPlain
        The file has to be read in another way. `chunks` and `columns` may find this out later.
    """

    def __init__(
        self, file: io.BufferedReader, separator: str, width: int, header: Sequence[str], gaps: Iterable[str]
    ) -> None:
        import pyarrow.csv

        if any("\n" in name or "\r" in name for name in header):
            raise NotPlain
        self._file, self._has_header = file, bool(header)
        self._names = list(map(str, range(width)))
        self._parse = pyarrow.csv.ParseOptions(delimiter=separator, quote_char=False, double_quote=False)
        self._gaps = list(itertools.chain.from_iterable(map(_spellings, gaps)))

    def chunks(self) -> Iterator[bytes]:
        """Yield the lines below the header, some megabytes at a time."""
        rest = self._file.read(_CHUNK).removeprefix(_MARK)
        skips = self._has_header
        while rest:
            more = self._file.read(_CHUNK)
            end = rest.rfind(b"\n") + 1 if more else len(rest)
            lines, rest = rest[:end], rest[end:] + more
            if skips:
                lines = lines.lstrip(b"\r\n")
                header, _, lines = lines.partition(b"\n")
                skips = not header
                _refuse_odd_ends(header + b"\n")
            if lines.lstrip(b"\r\n"):
                _check(lines)
                yield lines
            elif not end:
                raise NotPlain  # a line of megabytes

    def columns(self, lines: bytes, are_numbers: Sequence[bool]) -> list[NDArray[np.float64] | Coded]:
        """Return the columns of some lines: float64 with nan for gaps where numbers are wanted and found, else cells.

        Parameters
        ----------
        lines : bytes
            One of the `chunks`.
        are_numbers : sequence of bool
            Whether numbers are wanted, for each column.
        """
        for wanted in (are_numbers, [False] * len(self._names)):
            found = self._read(lines, wanted)
            if found is not None:
                return found
        raise NotPlain

    def _read(self, lines: bytes, are_numbers: Sequence[bool]) -> list[NDArray[np.float64] | Coded] | None:
        """Return the columns, or None if a cell is no number, or no row has the right length."""
        import pyarrow
        import pyarrow.csv

        text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
        types = [pyarrow.float64() if is_number else text for is_number in are_numbers]
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict(zip(self._names, types, strict=True)), null_values=self._gaps, strings_can_be_null=False
        )
        read = pyarrow.csv.ReadOptions(use_threads=False, block_size=len(lines) + 1, column_names=self._names)
        try:
            table = pyarrow.csv.read_csv(pyarrow.py_buffer(lines), read, self._parse, convert)
        except (pyarrow.ArrowInvalid, UnicodeDecodeError):
            return None
        found: list[NDArray[np.float64] | Coded] = []
        for column, is_number in zip(table.columns, are_numbers, strict=True):
            if not is_number:
                whole: Any = column.combine_chunks()
                found.append(Coded(tuple(whole.dictionary.to_pylist()), whole.indices.to_numpy()))
                continue
            values = column.to_numpy()
            if (np.abs(values) >= _MAX_EXACT).any():
                raise NotPlain
            if int(np.isnan(values).sum()) != column.null_count:  # pyarrow takes nan(1) for a number, Python does not
                return None
            found.append(values)
        return found


def _spellings(word: str) -> Iterator[str]:
    """Yield a word in lower and upper case letters in all ways."""
    return map("".join, itertools.product(*({letter, letter.upper()} for letter in word)))


def _check(lines: bytes) -> None:
    """Refuse lines that pyarrow may split in another way than the csv module does."""
    # pyarrow leaves out a byte order mark at the start of a chunk; the csv module takes it for a part of the cell.
    if b'"' in lines or b"\0" in lines or lines.startswith(_MARK):
        raise NotPlain
    _refuse_odd_ends(lines)
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
    if np.diff(ends, prepend=-1, append=len(lines)).max() > csv.field_size_limit():
        raise NotPlain


def _refuse_odd_ends(lines: bytes) -> None:
    if b"\r" in lines and lines.count(b"\r") != lines.count(b"\r\n"):
        raise NotPlain
