"""The batches of a call of `train` in the NumPy backend: their rows and targets, and the count of correct examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from fastnet.kernels import formulas
from fastnet.kernels.contract import Floats, Ints, TrainCall
from fastnet.kernels.numpy_workspace import Workspace

# A block is a tuple: the rows of x that go through the network at once, their targets (n_out, rows), and an array
# (n_out, rows) for the weighted sums of the last layer.
Block = tuple[Ints | slice, Floats, Floats]

# A window is several small batches with about WINDOW examples in all. The targets of a window are made together, and
# its correct examples are counted together. Done separately for each batch of 10, this work would take 4 of the batch's
# 35 microseconds.
WINDOW = 1024


class Batches:
    """Yields the number of rows of each batch, and its blocks. A small batch is one block; a large batch is several.

    Before the caller takes the next batch, it must write the weighted sums of all blocks of this batch.
    """

    def __init__(self, call: TrainCall, space: Workspace) -> None:
        self.call, self.space = call, space
        self._n_correct = np.zeros(len(call.rates), np.int64)  # of each batch
        # The current window: the number of its first batch, and the weighted sums and the y of its blocks.
        self._first, self._sums, self._y = 0, np.empty((0, space.n_out, 1), call.params.dtype), call.y[:0, None]

    def __iter__(self) -> Iterator[tuple[int, Iterable[Block]]]:
        order, size = self.call.order, self.call.batch_size
        n_batches = len(self.call.rates)
        n_small = len(order) // size if size <= self.space.max_rows else 0  # batches that are prepared in windows
        n_window = max(1, WINDOW // size)
        for first in range(0, n_small, n_window):
            rows = order[first * size : min(first + n_window, n_small) * size]
            for block in self._window(rows.reshape(-1, size), first):
                yield size, (block,)
        for number in range(n_small, n_batches):  # large batches, or a last batch with fewer rows
            batch = order[number * size : (number + 1) * size]
            yield len(batch), self._blocks(batch, number)

    def _blocks(self, batch: Ints, number: int) -> Iterator[Block]:
        """The blocks of one batch. Each block is a window of its own."""
        for place in range(0, len(batch), self.space.max_rows):
            yield from self._window(batch[None, place : place + self.space.max_rows], number, place)

    def _window(self, rows: Ints, first: int, place: int = 0) -> Iterator[Block]:
        """Makes one block for each of several batches.

        rows (n_blocks, n): the rows of x in each block. first: the number of the first batch, from 0. place: the place
        of a block's first row in its batch.
        """
        self._count()
        n_blocks, n = rows.shape
        update = self.call.step + 1 + first
        self.space.lay_out(n)
        self.space.set_masks(range(update, update + n_blocks), place)
        y = self.call.y[rows]
        targets, sums = np.empty((2, n_blocks, self.space.n_out, n), self.call.params.dtype)
        formulas.targets(y, targets)
        self._first, self._sums, self._y = first, sums, y
        return zip(rows, targets, sums, strict=True)

    def _count(self) -> None:
        """Counts the correct examples of the current window."""
        correct = formulas.is_correct(self._sums, self._y)
        self._n_correct[self._first : self._first + len(correct)] += correct.sum(1)

    def n_correct(self, n_batches: int) -> int:
        """The number of correct examples in the first n_batches batches. Call it once, after the last batch."""
        self._count()
        return int(self._n_correct[:n_batches].sum())
