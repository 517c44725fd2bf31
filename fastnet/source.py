"""Source: a data set that is read a block of rows at a time. `fastnet.data.source` makes sources."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray


class Block(NamedTuple):
    """Some consecutive rows of a source."""

    x: NDArray[Any]  # (rows, n_in)
    y: NDArray[Any]  # labels (rows,) or targets (rows, n_out)


class Reader(Protocol):
    """Anything that can be asked for its length and for a block of rows."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def read(self, start: int, stop: int) -> Block:
        """Return the rows from number `start` up to number `stop`, which is not included."""
        ...
