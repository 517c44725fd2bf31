"""JoinedReader: several readers of the same kind of rows, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fastnet.kernels.contract import Ints
from fastnet.source import Array, Block, RandomReader, Reader


class JoinedReader:
    """The rows of several readers, one reader after another.

    Parameters
    ----------
    parts : sequence of Reader
        The readers, one or more.

    Attributes
    ----------
    block_rows : int
        The rows of a block that lies in one part. Parts of the same length do not split such blocks.
    """

    def __init__(self, parts: Sequence[Reader], block_rows: int = 1) -> None:
        self._parts = list(parts)
        self._starts = np.cumsum([0, *map(len, parts)])
        self.block_rows = block_rows

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, start: int, stop: int) -> Block:
        """Return consecutive rows, which may lie in several parts."""
        blocks = [self._parts[k].read(first, last) for k, first, last in self._spans(start, stop)]
        return blocks[0] if len(blocks) == 1 else _joined(blocks)

    def read_y(self, start: int, stop: int) -> Array | None:
        """Return the labels or targets of consecutive rows."""
        found = []
        for k, first, last in self._spans(start, stop):
            part = self._parts[k]
            read_y: Callable[[int, int], Array | None] | None = getattr(part, "read_y", None)
            found.append(part.read(first, last)[1] if read_y is None else read_y(first, last))
        return _all_of(found)

    def _spans(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield the number of each part that has rows from `start` to `stop`, and the rows to read of it."""
        k = int(np.searchsorted(self._starts, start, "right")) - 1
        while start < stop:
            end = min(stop, int(self._starts[k + 1]))
            yield k, start - int(self._starts[k]), end - int(self._starts[k])
            start, k = end, k + 1


class RandomJoinedReader(JoinedReader):
    """A `JoinedReader` of parts that give rows in any order."""

    def __init__(self, parts: Sequence[RandomReader], block_rows: int = 1) -> None:
        super().__init__(parts, block_rows)
        self._random = list(parts)

    def take(self, numbers: Ints) -> Block:
        """Return the rows with these numbers, in their order."""
        of_part = np.searchsorted(self._starts, numbers, "right") - 1
        order = np.argsort(of_part, kind="stable")
        blocks = []
        for k in np.unique(of_part).tolist():
            rows = order[np.searchsorted(of_part[order], k) : np.searchsorted(of_part[order], k, "right")]
            blocks.append(self._random[k].take(numbers[rows] - int(self._starts[k])))
        x, y = _joined(blocks)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return Block(x[back], None if y is None else y[back])


def _joined(blocks: Sequence[Block]) -> Block:
    x, y = zip(*blocks, strict=True)
    return Block(np.concatenate(x), _all_of(y))


def _all_of(parts: Sequence[Array | None]) -> Array | None:
    """Return the labels of several blocks, or None if a block has none."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known and len(known) == len(parts) else None
