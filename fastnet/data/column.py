"""Column: a column of a table that a network takes as input."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """A column of a table that a network takes as input.

    Attributes
    ----------
    name : str
        The column's name in the header, or "column 1", "column 2", ... in a table without a header.
    levels : tuple of str
        The texts that occur in a categorical column. Each is one input of the network: 1 where the row has this text,
        else 0. "" stands for a missing value. () for a column of numbers, which is one input.
    fill : float or None
        The number that replaces a missing value. None: a missing value is an error.
    """

    name: str
    levels: tuple[str, ...] = ()
    fill: float | None = None
