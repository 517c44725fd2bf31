"""The batches of a call of `train` in the NumPy backend: their rows, targets and weights, and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.contract import Floats, Ints, TrainCall
from fastnet.kernels.numpy_workspace import Workspace

# A block is a tuple: the rows of x that go through the network at once; their targets (n_out, rows); two arrays
# (n_out, rows), one for the weighted sums of the last layer and one for the errors of the outputs; and the float64
# weights (rows,) of the examples, or None if every weight is 1.
Block = tuple[Ints | slice, Floats, Floats, Floats, NDArray[np.float64] | None]

# A window is several small batches with about WINDOW examples in all. The targets of a window are made together, and
# its scores are computed together. Done separately for each batch of 10, this work would take 4 of the batch's 35
# microseconds.
WINDOW = 1024


class Batches:
    """Yields the sum of the weights of each batch, and its blocks. A small batch is one block; a large one is several.

    Before the caller takes the next batch, it must write the weighted sums and the errors of all blocks of this batch.
    """

    def __init__(self, call: TrainCall, space: Workspace) -> None:
        self.call, self.space = call, space
        self._task = int(call.net[-1, c.TASK])
        self._scores = np.zeros((len(call.rates), 2))  # SCORE and LABELS of each batch
        # The current window: the number of its first batch; the row numbers, weighted sums and errors of its blocks.
        empty = np.empty((0, space.n_out, 1), call.params.dtype)
        self._first, self._rows, self._sums, self._errors = 0, call.order[:0, None], empty, empty

    def __iter__(self) -> Iterator[tuple[float, Iterable[Block]]]:
        done, order, epoch_rows = 0, self.call.order, min(self.call.epoch_rows, max(len(self.call.order), 1))
        for start in range(0, len(order), epoch_rows):
            yield from self._epoch(order[start : start + epoch_rows], done)
            done += -(-epoch_rows // self.call.batch_size)

    def _epoch(self, order: Ints, done: int) -> Iterator[tuple[float, Iterable[Block]]]:
        """Yields the batches of one epoch, after `done` batches of earlier epochs."""
        size = self.call.batch_size
        n_small = len(order) // size if size <= self.space.max_rows else 0  # batches that are prepared in windows
        n_window = max(1, WINDOW // size)
        for first in range(0, n_small, n_window):
            rows = order[first * size : min(first + n_window, n_small) * size].reshape(-1, size)
            for weight, block in zip(self._weight_sums(rows), self._window(rows, done + first), strict=True):
                yield weight, (block,)
        for number, start in enumerate(range(n_small * size, len(order), size), done + n_small):
            batch = order[start : start + size]  # a large batch, or a last batch with fewer rows
            yield self._weight_sums(batch[None])[0], self._blocks(batch, number)

    def _weight_sums(self, rows: Ints) -> list[float]:
        """The sum of the weights of each batch. rows (n_batches, n): the rows of x in each batch."""
        if not self.call.weights.size:
            return [float(rows.shape[1])] * len(rows)
        sums: list[float] = self.call.weights[rows].sum(1).tolist()
        return sums

    def _blocks(self, batch: Ints, number: int) -> Iterator[Block]:
        """The blocks of one batch. Each block is a window of its own."""
        for place in range(0, len(batch), self.space.max_rows):
            yield from self._window(batch[None, place : place + self.space.max_rows], number, place)

    def _window(self, rows: Ints, first: int, place: int = 0) -> Iterator[Block]:
        """Makes one block for each of several batches.

        rows (n_blocks, n): the rows of x in each block. first: the number of the first batch, from 0. place: the place
        of a block's first row in its batch.
        """
        self._add_scores()
        n_blocks, n = rows.shape
        update = self.call.step + 1 + first
        self.space.lay_out(n)
        self.space.set_masks(range(update, update + n_blocks), place)
        targets, sums, errors = np.empty((3, n_blocks, self.space.n_out, n), self.call.params.dtype)
        formulas.targets(self.call.y[rows], targets)
        self._first, self._rows, self._sums, self._errors = first, rows, sums, errors
        weights = self.call.weights[rows] if self.call.weights.size else repeat(None, n_blocks)
        return zip(rows, targets, sums, errors, weights, strict=True)

    def _add_scores(self) -> None:
        """Adds the scores of the current window to those of its batches."""
        rows = self._rows
        parts = formulas.scores(self._task, self._sums, self._errors, self.call.y[rows])
        for column, part in enumerate(parts):
            if part is not None:
                weighted = part * self.call.weights[rows] if self.call.weights.size else part
                self._scores[self._first : self._first + len(rows), column] += weighted.sum(1, dtype=np.float64)

    def scores(self, n_batches: int) -> NDArray[np.float64]:
        """SCORE and LABELS of the first n_batches batches, (n_batches, 2). Call it once, after the last batch."""
        self._add_scores()
        return self._scores[:n_batches]
