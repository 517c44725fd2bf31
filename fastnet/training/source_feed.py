"""SourceFeed: gives a fit the windows of a source. A thread fills the next window while the fit trains on the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fastnet.backends.interrupts import Interrupts
from fastnet.backends.read_ahead import ReadAhead
from fastnet.names import BatchSize
from fastnet.source_rows import ALL_ONE, Rows, SourceRows
from fastnet.training.inputs import Examples
from fastnet.training.order import examples_in_batch
from fastnet.training.pieces import with_sample
from fastnet.training.selection import true_classes
from fastnet.training.window_plan import Plan, plan, sizes
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
        self._buffers: list[Rows] = []

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
        epoch = plan(self._sizes, shuffle, self._is_exact, rng)
        first, skipped = divmod(first_row, self._sizes.window)

        def fill(is_wanted: Callable[[], bool]) -> Iterator[Window]:
            for number in range(first, self._sizes.n_windows):
                window = self._filled(epoch, number, is_wanted)
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

    def _buffer(self, number: int) -> Rows:
        while len(self._buffers) <= number:
            n = self._sizes.window + len(self._rows.sampled)
            self._buffers.append(Rows(*(np.empty((n, *some.shape[1:]), some.dtype) for some in self._rows.sample)))
        return self._buffers[number]

    def _filled(self, epoch: Plan, number: int, is_wanted: Callable[[], bool]) -> Window | None:
        """Return a window of the epoch in one of two buffers, or None as soon as it is not wanted."""
        sampled = self._rows.sampled
        numbers, order = with_sample(np.zeros(len(self._sizes.rows_of(number)), np.int64), sampled)
        x, y = (values[: len(numbers)] for values in self._buffer(number % 2))
        for rows, places in epoch.parts(number):
            if not is_wanted():
                return None
            here = order[places]
            x[here], y[here] = self._rows[rows]
            numbers[here] = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        others = np.delete(np.arange(len(numbers)), order)
        x[others], y[others] = self._rows.sample
        weights = ALL_ONE if self._factors is None else self._factors[true_classes(y)]
        return Window(x, y, weights, order, numbers)
