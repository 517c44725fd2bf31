"""Feeds: give a fit the windows of a source. A thread fills the next window while the fit trains on the last one."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fastnet.backends.interrupts import Interrupts
from fastnet.backends.read_ahead import ReadAhead
from fastnet.kernels.contract import Ints
from fastnet.source import Array
from fastnet.source_rows import ALL_ONE, EXACT_BYTES, Rows, SourceRows, StreamRows
from fastnet.source_rows import sampled as sampled_of
from fastnet.training.inputs import Examples
from fastnet.training.order import draw_order
from fastnet.training.selection import true_classes
from fastnet.training.window_plan import plan, sizes, window_rows
from fastnet.training.windows import Window

NUMBERS_BYTES = 3 * 8  # of a row in a window: its number, its place, its position in the order
Fill = Callable[[Callable[[], bool]], Iterator[Window]]  # the argument says whether the windows are still wanted


class Feed(ABC):
    """The windows of a source.

    Parameters
    ----------
    rows : SourceRows or StreamRows
        The rows.
    batch_size : int
        The number of rows in a batch.
    class_weights : array (n_classes,), optional
        The weight of each class.
    """

    def __init__(
        self, rows: SourceRows | StreamRows, batch_size: int, class_weights: NDArray[np.float64] | None
    ) -> None:
        self._sample, self._batch_size, self._class_weights = rows.sample, batch_size, class_weights
        weights = ALL_ONE if class_weights is None else class_weights
        self.examples = Examples(*rows.sample, weights, rows)  # what the fingerprint of the data reads
        self._row_bytes = self._sample.row_bytes + NUMBERS_BYTES
        self._row_bytes += 0 if class_weights is None else class_weights.itemsize
        buffer = rows.shuffle_buffer
        self._window_bytes = max(EXACT_BYTES // 2, batch_size * self._row_bytes) if buffer is None else buffer // 2
        self._buffers: list[Rows] = []

    def windows(
        self, shuffle: bool, rng: np.random.Generator, first_row: int, interrupts: Interrupts
    ) -> Iterator[Window]:
        """Yield the windows of an epoch, without the rows before place `first_row` of its order.

        `rng` draws all random numbers of the epoch now. A window is valid until the next one is asked for.
        """
        fill, skipped = self._epoch(shuffle, rng, first_row)
        return self._read_ahead(fill, skipped, interrupts)

    @abstractmethod
    def _epoch(self, shuffle: bool, rng: np.random.Generator, first_row: int) -> tuple[Fill, int]:
        """Return what fills the windows from that of `first_row` on, and how many of its rows to leave out."""

    def _read_ahead(self, fill: Fill, skipped: int, interrupts: Interrupts) -> Iterator[Window]:
        with ReadAhead(fill, lambda: interrupts.pending) as windows:
            waited = 0.0
            for window in windows:
                yield window._replace(order=window.order[skipped:], waited=windows.waited - waited)
                waited, skipped = windows.waited, 0

    def _buffer(self, number: int, n_rows: int, most: int) -> Rows:
        """Return the memory for a window of at most `most` rows. Windows take turns with two buffers."""
        while len(self._buffers) < 2:
            self._buffers.append(self._sample.empty(most))
        return Rows(*(values[:n_rows] for values in self._buffers[number % 2]))

    def _weights(self, y: NDArray[np.generic]) -> NDArray[np.float64]:
        return ALL_ONE if self._class_weights is None else self._class_weights[true_classes(y)]


class SourceFeed(Feed):
    """The windows of a source that does not fit into its buffer.

    Raises
    ------
    ValueError
        The buffer does not hold two batches.
    """

    def __init__(self, rows: SourceRows, batch_size: int, class_weights: NDArray[np.float64] | None = None) -> None:
        super().__init__(rows, batch_size, class_weights)
        self._rows = rows
        self._sizes = sizes(rows.n_rows, self._row_bytes, self._window_bytes, batch_size, rows.preferred_rows)

    def _epoch(self, shuffle: bool, rng: np.random.Generator, first_row: int) -> tuple[Fill, int]:
        epoch, sampled = plan(self._sizes, shuffle, self._rows.shuffle_buffer is None, rng), self._rows.sampled
        first = self._sizes.window_of(first_row)

        def fill(is_wanted: Callable[[], bool]) -> Iterator[Window]:
            for number in range(first, self._sizes.n_windows):
                n_rows, at = len(self._sizes.rows_of(number)), 0
                x, y = self._buffer(number, n_rows + len(sampled), self._sizes.window + len(sampled))
                numbers, order = np.empty(len(x), np.int64), np.empty(n_rows, np.int64)
                for rows, places in epoch.parts(number):
                    if not is_wanted():
                        return
                    here = slice(at, at + len(places))
                    x[here], y[here] = self._rows[rows]
                    numbers[here] = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
                    order[places], at = np.arange(here.start, here.stop), here.stop
                self._put_sample(x, y, numbers, order)
                yield Window(x, y, self._weights(y), order, numbers)

        return fill, first_row - self._sizes.rows_of(first).start

    def _put_sample(self, x: Array, y: Array, numbers: Ints, order: Ints) -> None:
        """Put the sample of the whole source where the kernels look for zeros: they sample the rows of a window.

        The rows that are there move to the end of the window.
        """
        sampled = self._rows.sampled
        places, n_rows = sampled_of(len(x)), len(order)
        moved, free = places[places < n_rows], np.setdiff1d(np.arange(n_rows, len(x)), places)
        for values, sample in ((x, self._sample.x), (y, self._sample.y), (numbers, sampled)):
            values[free], values[places] = values[moved], sample
        now = np.arange(len(x))
        now[moved] = free
        order[...] = now[order]


class StreamFeed(Feed):
    """The windows of a stream, which can be read once.

    Raises
    ------
    ValueError
        The buffer does not hold two batches.
    """

    def __init__(self, rows: StreamRows, batch_size: int, class_weights: NDArray[np.float64] | None = None) -> None:
        super().__init__(rows, batch_size, class_weights)
        self._rows, self._window = rows, window_rows(self._row_bytes, self._window_bytes, batch_size)

    def _epoch(self, shuffle: bool, rng: np.random.Generator, first_row: int) -> tuple[Fill, int]:
        seed = int(rng.integers(2**63)) if shuffle else 0
        first, skipped = divmod(first_row, self._window)

        def windows() -> Iterator[Window]:
            number = filled = 0
            for chunk in self._rows.chunks():
                done = 0
                while done < len(chunk.x):
                    x, y = self._buffer(number, self._window, self._window)
                    count = min(self._window - filled, len(chunk.x) - done)
                    x[filled : filled + count] = chunk.x[done : done + count]
                    y[filled : filled + count] = chunk.y[done : done + count]
                    filled, done = filled + count, done + count
                    if filled == self._window:
                        yield self._made(number, filled, shuffle, seed)
                        number, filled = number + 1, 0
            if filled:
                yield self._made(number, filled, shuffle, seed)

        def fill(is_wanted: Callable[[], bool]) -> Iterator[Window]:
            return itertools.islice(windows(), first, None)

        return fill, skipped

    def _made(self, number: int, n_rows: int, shuffle: bool, seed: int) -> Window:
        """Return the window with the first rows of its buffer, in random order."""
        x, y = self._buffer(number, n_rows, self._window)
        order = draw_order(np.arange(n_rows), shuffle, np.random.default_rng((seed, number)))
        return Window(x, y, self._weights(y), order, np.arange(n_rows) + number * self._window)


def feed(rows: SourceRows | StreamRows, batch_size: int, class_weights: NDArray[np.float64] | None) -> Feed:
    """Return the feed of a source or of a stream."""
    if isinstance(rows, StreamRows):
        return StreamFeed(rows, batch_size, class_weights)
    return SourceFeed(rows, batch_size, class_weights)
