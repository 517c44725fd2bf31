"""Writes a table again with more columns: its cells as they were, and the new columns behind them."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, TypeAlias

from fastnet.data.arrays import Array
from fastnet.data.csv_tables import written_rows
from fastnet.data.files import PathLike, atomic_write, reading
from fastnet.data.formats import format_of, suffix_of

Columns: TypeAlias = Sequence[tuple[str, Array]]  # a name, and a value for each row


def write_with_columns(path: PathLike, source: PathLike, columns: Columns) -> None:
    """Write the table in the file `source` with more columns into the file `path`.

    A CSV file keeps its separator, and its cells as they were written. A new column whose name the table has already
    gets another one: "predicted species 2".

    Parameters
    ----------
    path : path
        A CSV file, or a Parquet file if `source` is one. An existing file is replaced when the new one is complete.
    source : path
        A CSV or Parquet file.
    columns : sequence of pairs of str and array of shape (n,)
        The names and values of the new columns.

    Raises
    ------
    DataError
        A file cannot be read or written.
    """
    if format_of(source) == "Parquet":
        _write_parquet(path, source, columns)
        return
    with written_rows(source) as (separator, header, rows), atomic_write(path) as out:
        names = _free([name for name, _ in columns], header)
        joined = (own + new for own, new in zip(rows, _cells(columns), strict=True))
        _write_rows(out, separator, itertools.chain([header + names], joined))


def write_table(path: PathLike, columns: Columns) -> None:
    """Write columns of equal length into a CSV file. An existing file is replaced when the new one is complete."""
    separator = "\t" if suffix_of(path) == ".tsv" else ","
    with atomic_write(path) as out:
        _write_rows(out, separator, [[name for name, _ in columns], *_cells(columns)])


def _cells(columns: Columns) -> Iterator[list[str]]:
    """Yield the rows of the new columns as text. Numbers have all digits of their dtype."""
    return map(list, zip(*(values.astype(str).tolist() for _, values in columns), strict=True))


def _free(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return the names. A name that is taken gets the first number that makes it new."""
    found: list[str] = []
    for name in names:
        spellings = itertools.chain([name], (f"{name} {k}" for k in itertools.count(2)))
        found.append(next(spelling for spelling in spellings if spelling not in {*taken, *found}))
    return found


def _write_rows(out: BinaryIO, separator: str, rows: Iterable[Sequence[str]]) -> None:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="")
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    text.flush()
    text.detach()  # the wrapper would close the file


def _write_parquet(path: PathLike, source: PathLike, columns: Columns) -> None:
    """Write the table of a Parquet file with more columns as a Parquet or CSV file."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    with reading(source) as (file, _):
        table = pyarrow.parquet.read_table(file, use_threads=False)
    for name, (_, values) in zip(_free([name for name, _ in columns], table.column_names), columns, strict=True):
        table = table.append_column(name, pyarrow.array(values))
    with atomic_write(path) as out:
        if suffix_of(path) == ".parquet":
            pyarrow.parquet.write_table(table, out)
        else:
            pyarrow.csv.write_csv(table, out)
