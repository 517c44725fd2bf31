"""Source: a data set that is read a block of rows at a time. `fastnet.data.source` makes sources.

The classes at the top of this module are protocols: any object with their methods will do, of any class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from numpy.typing import NDArray

Array = NDArray[Any]


class Block(NamedTuple):
    """Some rows of a source. A plain tuple (x, y) will do too."""

    x: Array  # (rows, n_in)
    y: Array | None  # labels (rows,) or targets (rows, n_out); None: the data have none, so they are for `predict` only


@runtime_checkable
class Reader(Protocol):
    """Anything that can be asked for its length and for a block of rows.

    The methods are called from one thread at a time, but not always from the same thread. A later call must not change
    a block that was returned before.

    A reader may have more than this protocol says:

    - `take(numbers)` returns a Block of the rows with these numbers (int64, in any order, no number twice), in this
      order. With it `shuffle_buffer=None` shuffles exactly.
    - `read_y(start, stop)` returns only the `y` of `read(start, stop)`, if that is less work.
    - `block_rows` is the number of consecutive rows that are read together anyway, such as those of a row group.
    """

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def read(self, start: int, stop: int) -> Block:
        """Return the rows from number `start` up to number `stop`, which is not included."""
        ...


@runtime_checkable
class RandomReader(Reader, Protocol):
    """A reader that gives rows in any order."""

    def take(self, numbers: NDArray[Any]) -> Block:
        """Return the rows with these numbers, in this order."""
        ...


@runtime_checkable
class Stream(Protocol):
    """Data of unknown length that can be read once, from the start to the end."""

    def chunks(self) -> Iterator[Block]:
        """Return an iterator over the chunks. A chunk has any number of rows."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Source:
    """A data set that need not fit into memory. `fastnet.data.source` makes sources.

    Attributes
    ----------
    reader : Reader or Stream
        What reads the rows.
    name : str
        The name in messages, such as that of the file.
    shuffle_buffer : int or None
        The bytes of the rows in memory during a training. None: the order of the rows is exactly random.
    """

    reader: Reader | Stream
    name: str
    shuffle_buffer: int | None

    @property
    def is_stream(self) -> bool:
        """Whether the rows can be read only once, and their number is unknown."""
        return not isinstance(self.reader, Reader)

    def __len__(self) -> int:
        """Return the number of rows.

        Raises
        ------
        TypeError
            The source is a stream.
        """
        if not isinstance(self.reader, Reader):
            raise TypeError(f"{self.name} is a stream, whose length is unknown")
        return len(self.reader)

    def __bool__(self) -> bool:
        """Return True, also for a stream."""
        return True

    def __repr__(self) -> str:
        return f"<Source {self.name}, {'a stream' if self.is_stream else f'{len(self):,} rows'}>"
