"""Describes the columns of a table for `fastnet data`."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from fastnet.data.arrays import Array
from fastnet.data.encoding import MAX_LEVELS
from fastnet.data.formats import read_table
from fastnet.data.table import kind_of, missing, texts, without_index
from fastnet.data.table_datasets import target_column
from fastnet.text import clipped

_MAX_LEVELS, _MAX_LETTERS = 5, 14  # levels that are printed, and letters of each


class Described(NamedTuple):
    """A column of a table.

    Attributes
    ----------
    name, kind : str
        The column's name, and what it holds, in words.
    missing : int
        The number of missing values.
    minimum, maximum : float or None
        The range of a column of numbers.
    n_levels : int
        The number of different values.
    levels : list of str
        The most frequent values of a column of text, most frequent first.
    """

    name: str
    kind: str
    missing: int
    minimum: float | None
    maximum: float | None
    n_levels: int
    levels: list[str]

    def values(self) -> str:
        """Return the range or the most frequent values as text."""
        if self.minimum is not None:
            return f"{self.minimum:.6g} to {self.maximum:.6g}, {self.n_levels:,} different"
        more = f", ... {self.n_levels - _MAX_LEVELS:,} more" if self.n_levels > _MAX_LEVELS else ""
        return ", ".join(clipped(level, _MAX_LETTERS) for level in self.levels[:_MAX_LEVELS]) + more


class Description(NamedTuple):
    """The columns of a table, the number of its rows, and the name of the column to predict."""

    rows: int
    columns: list[Described]
    target: str


def described(path: str, label_column: str | int | None) -> Description:
    """Describe the table in a file. Raises DataError if it cannot be read, or has no column to predict."""
    table = without_index(read_table(path))
    target = target_column(table, label_column)
    columns = [_column(name, column) for name, column in table.columns.items()]
    return Description(len(table), columns, target)


def _column(name: str, column: Array) -> Described:
    gaps = missing(column)
    present = column[~gaps]
    kind = kind_of(column) if len(present) else "nothing"
    if column.dtype.kind in "iuf":
        low, high = (float(present.min()), float(present.max())) if len(present) else (None, None)
        return Described(name, kind, int(gaps.sum()), low, high, len(np.unique(present)), [])
    counts = Counter(text for text in texts(present) if text is not None) if column.dtype.kind in "bO" else Counter()
    levels = [level for level, _ in counts.most_common(MAX_LEVELS)]
    return Described(name, kind, int(gaps.sum()), None, None, len(counts), levels)
