"""ChunkStream: pairs (x, y) that come one after another, from a generator or from anything else that is iterated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from fastnet.errors import DataError
from fastnet.source import Block, block


class ChunkStream:
    """Chunks of rows from an iterator, from a collection of chunks, or from a function that returns an iterator.

    Parameters
    ----------
    found : iterable of (x, y), or callable that returns one
        The chunks. x has the shape (rows, n_in), y (rows,) or (rows, n_out).
    name : str
        The name of the data in messages.

    Attributes
    ----------
    is_repeatable : bool
        Whether `chunks` may be called again. An iterator, such as a generator, gives its chunks only once.
    """

    def __init__(self, found: Iterable[Any] | Callable[[], Iterable[Any]], name: str = "the stream") -> None:
        self._found, self._name, self._is_used = found, name, False
        self.is_repeatable = not isinstance(found, Iterator)

    def chunks(self) -> Iterator[Block]:
        """Return an iterator over the chunks.

        Raises
        ------
        ValueError
            The data are an iterator that was read before.
        DataError
            While iterating: a chunk is not a pair of arrays with as many rows in both.
        """
        if self._is_used and not self.is_repeatable:
            raise ValueError(
                f"{self._name} is an iterator that was read before: give a function that returns a new iterator, such "
                "as the generator function itself"
            )
        self._is_used = True
        found = self._found() if callable(self._found) else self._found
        return (_block(chunk, f"chunk {k + 1:,} of {self._name}") for k, chunk in enumerate(found))


def _block(chunk: Any, name: str) -> Block:
    x, y = block(chunk, name)
    x, y = np.asanyarray(x), None if y is None else np.asanyarray(y)
    if not x.ndim or (y is not None and y.shape[:1] != x.shape[:1]):
        shape = None if y is None else y.shape
        raise DataError(f"{name} has x of shape {x.shape} and y of shape {shape}; expected as many rows in both")
    return Block(x, y)
