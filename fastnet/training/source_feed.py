"""SourceFeed: gives a fit the windows of a source. A thread fills the next window while the fit trains on the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fastnet.backends.interrupts import Interrupts
from fastnet.backends.read_ahead import ReadAhead
from fastnet.source_rows import ALL_ONE, EXACT_BYTES, Rows, SourceRows
from fastnet.training.pieces import with_sample
from fastnet.training.selection import true_classes
from fastnet.training.window_plan import Plan, plan, sizes
from fastnet.training.windows import Window

NUMBERS_BYTES = 3 * 8  # of a row in a window: its number, its place, its position in the order


class SourceFeed:
    """The windows of a source that does not fit into its buffer.

    Parameters
    ----------
    rows : SourceRows
        The rows.
    batch_size : int
        The number of rows in a batch.
    factors : array (n_classes,), optional
        The weight of each class.

    Raises
    ------
    ValueError
        The buffer does not hold two batches.
    """

    def __init__(self, rows: SourceRows, batch_size: int, factors: NDArray[np.float64] | None = None) -> None:
        self._rows, self._factors = rows, factors
        buffer = rows.shuffle_buffer
        row_bytes = rows.row_bytes + NUMBERS_BYTES + (0 if factors is None else factors.itemsize)
        half = max(EXACT_BYTES // 2, batch_size * row_bytes) if buffer is None else buffer // 2
        self._sizes = sizes(len(rows), row_bytes, half, batch_size, rows.preferred_rows)
        self._buffers: list[Rows] = []

    def windows(
        self, shuffle: bool, rng: np.random.Generator, first_row: int, interrupts: Interrupts
    ) -> Iterator[Window]:
        """Yield the windows of an epoch, without the rows before place `first_row` of its order.

        `rng` draws all random numbers of the epoch at once. A window is valid until the next one is asked for.
        """
        epoch = plan(self._sizes, shuffle, self._rows.shuffle_buffer is None, rng)
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
