"""SourceFeed: gives a fit the windows of a source. A thread fills the next window while the fit trains on the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastnet.backends.interrupts import Interrupts
from fastnet.backends.read_ahead import ReadAhead
from fastnet.kernels.contract import Ints
from fastnet.names import BatchSize
from fastnet.source import Array
from fastnet.source_rows import ALL_ONE, PIECE_BYTES, Rows, SourceRows
from fastnet.training.inputs import Examples
from fastnet.training.order import draw_order, examples_in_batch
from fastnet.training.pieces import with_sample
from fastnet.training.selection import true_classes
from fastnet.training.window_plan import BlockPlan, Sizes, block_plan, sizes
from fastnet.training.windows import Window

EXACT_BYTES = 1 << 26  # of both windows, where shuffle_buffer=None
NUMBERS_BYTES = 3 * 8  # of a row in a window: its number, its place, its position in the order


class SourceFeed:
    """The windows of a source that does not fit into its buffer.

    Parameters
    ----------
    rows : SourceRows
        The rows.
    shuffle_buffer : int or None
        The bytes of two windows. None: the order is exactly random.
    batch_size : int or "auto"
        As a trainer takes it.
    factors : array (n_classes,), optional
        The weight of each class.

    Raises
    ------
    ValueError
        The buffer does not hold two batches.
    """

    def __init__(
        self,
        rows: SourceRows,
        shuffle_buffer: int | None,
        batch_size: BatchSize,
        factors: NDArray[np.float64] | None = None,
    ) -> None:
        self._rows, self._factors = rows, factors
        self._is_exact = shuffle_buffer is None
        row_bytes = rows.row_bytes + NUMBERS_BYTES + (0 if factors is None else factors.itemsize)
        size = examples_in_batch(batch_size, len(rows))
        half = max(EXACT_BYTES // 2, size * row_bytes) if shuffle_buffer is None else shuffle_buffer // 2
        self._sizes = sizes(len(rows), row_bytes, half, size, rows.preferred_rows)
        self._buffers: list[_Buffer] = []

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    @property
    def sample(self) -> Examples:
        """Some rows, from which the fit learns what kind of inputs it gets."""
        return Examples(*self._rows.sample, ALL_ONE)

    def windows(
        self, shuffle: bool, rng: np.random.Generator, first_row: int, interrupts: Interrupts
    ) -> Iterator[Window]:
        """Yield the windows of an epoch, without the rows before place `first_row` of its order.

        `rng` draws all random numbers of the epoch at once. A window is valid until the next one is asked for.
        """
        plan: _Plan
        if self._is_exact:
            plan = _RowPlan(self._sizes, draw_order(np.arange(len(self)), shuffle, rng))
        else:
            plan = block_plan(self._sizes, shuffle, rng)
        first, skipped = divmod(first_row, self._sizes.window)

        def fill(is_wanted: Callable[[], bool]) -> Iterator[Window]:
            for number in range(first, self._sizes.n_windows):
                window = self._fill(self._buffer(number % 2), plan, number, is_wanted)
                if window is None:
                    return
                yield window

        return self._read_ahead(fill, skipped, interrupts)

    def _read_ahead(
        self, fill: Callable[[Callable[[], bool]], Iterator[Window]], skipped: int, interrupts: Interrupts
    ) -> Iterator[Window]:
        with ReadAhead(fill, lambda: interrupts.pending) as windows:
            waited = 0.0
            for window in windows:
                yield window._replace(order=window.order[skipped:], waited=windows.waited - waited)
                waited, skipped = windows.waited, 0

    def _buffer(self, number: int) -> _Buffer:
        while len(self._buffers) <= number:
            n, (x, y) = self._sizes.window + len(self._rows.sampled), self._rows.sample
            made = (np.empty((n, *values.shape[1:]), values.dtype) for values in (x, y))
            self._buffers.append(_Buffer(*made))
        return self._buffers[number]

    def _fill(self, buffer: _Buffer, plan: _Plan, window: int, is_wanted: Callable[[], bool]) -> Window | None:
        """Return a window of the plan, or None as soon as it is not wanted."""
        n_rows = self._sizes.rows_of(window)
        positions, order = with_sample(np.arange(n_rows), self._rows.sampled)


class _Buffer(NamedTuple):
    x: Array
    y: Array
