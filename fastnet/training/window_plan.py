"""Plans which rows of a source each window of an epoch holds, and in which order the epoch goes through them.

With a shuffle buffer, a window gets blocks of consecutive rows. They are chosen at random, evenly spread over the
source: each window gets one block of each group of neighbouring blocks. So the windows have nearly the same share of
each class, even if the source is sorted by class. The rows of a window are then put in random order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastnet.kernels.contract import Ints
from fastnet.training.order import draw_order

MIN_BLOCKS = 64  # of a window, if it has as many rows
BLOCK_BYTES = 1 << 19  # of a block at most: docs/how-to/large-data.md has measurements


class Part(NamedTuple):
    """Some rows of a window, which are read together."""

    rows: slice | Ints  # their numbers in the source
    places: Ints  # where each row comes in the order of the window


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of rows."""

    rows: int  # of the source
    batch: int
    n_windows: int
    block: int

    @property
    def n_batches(self) -> int:
        """The number of batches. The last may be smaller."""
        return -(-self.rows // self.batch)

    @property
    def window(self) -> int:
        """The rows of the largest window. Another window is smaller by one batch, or by the rest of the last batch."""
        return -(-self.n_batches // self.n_windows) * self.batch

    def rows_of(self, window: int) -> range:
        """Return the places of a window's rows in the epoch."""
        start, stop = (k * self.n_batches // self.n_windows * self.batch for k in (window, window + 1))
        return range(start, min(stop, self.rows))

    def window_of(self, row: int) -> int:
        """Return the window that has the row at this place of the epoch, which is the first of a batch."""
        return ((row // self.batch + 1) * self.n_windows - 1) // self.n_batches


def window_rows(row_bytes: int, window_bytes: int, batch_size: int) -> int:
    """Return the largest number of rows of a window of at most this many bytes: a multiple of the batch size.

    Raises
    ------
    ValueError
        A window does not hold a batch.
    """
    rows = window_bytes // row_bytes // batch_size * batch_size
    if not rows:
        needed = 2 * batch_size * row_bytes
        raise ValueError(
            f"half of shuffle_buffer={2 * window_bytes:,} bytes does not hold a batch of {batch_size:,} "
            f"row{'s' * (batch_size != 1)} of {row_bytes:,} bytes: use a shuffle_buffer of at least {needed:,} bytes, "
            "or a smaller batch_size"
        )
    return rows


def sizes(n_rows: int, row_bytes: int, window_bytes: int, batch_size: int, preferred_rows: int) -> Sizes:
    """Return the sizes for windows of at most this many bytes.

    The windows have the same number of batches, or one less, since a small window would have few different blocks.
    `preferred_rows` is the number of rows that the reader reads together anyway.

    Raises
    ------
    ValueError
        A window does not hold a batch.
    """
    n_windows = -(-n_rows // window_rows(row_bytes, window_bytes, batch_size))
    window = -(-n_rows // n_windows)
    block = max(1, min(window // MIN_BLOCKS, BLOCK_BYTES // row_bytes))
    block = min(window, -(-block // preferred_rows) * preferred_rows)
    return Sizes(n_rows, batch_size, n_windows, block)


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """The windows of an epoch, made of blocks."""

    sizes: Sizes
    order: Ints  # of the blocks
    ends: Ints  # where each block ends in the epoch, before the rows of a window are put in random order
    seed: int | None  # of the order within each window; None: in order

    def parts(self, window: int) -> Iterator[Part]:
        """Yield the rows of a window, a block or a part of a block at a time."""
        whole = self.sizes.rows_of(window)
        places = np.arange(len(whole))
        if self.seed is not None:
            places = np.random.default_rng((self.seed, window)).permutation(places)
        at = whole.start
        block = int(np.searchsorted(self.ends, at, side="right"))
        while at < whole.stop:
            end = int(self.ends[block])
            stop = min(end, whole.stop)
            after = self._end_in_source(block) - end  # the block's place in the source less its place in the epoch
            yield Part(slice(at + after, stop + after), places[at - whole.start : stop - whole.start])
            at, block = stop, block + 1

    def _end_in_source(self, block: int) -> int:
        return min((int(self.order[block]) + 1) * self.sizes.block, self.sizes.rows)


@dataclass(frozen=True, slots=True)
class RowPlan:
    """The windows of an epoch whose order is exactly random, as for data in memory."""

    sizes: Sizes
    order: Ints  # of the rows

    def parts(self, window: int) -> Iterator[Part]:
        """Yield the rows of a window, at most a block at a time, in the order of the source."""
        whole = self.sizes.rows_of(window)
        rows = self.order[whole.start : whole.stop]
        places = rows.argsort()
        for start in range(0, len(rows), self.sizes.block):
            some = places[start : start + self.sizes.block]
            yield Part(rows[some], some)


Plan = BlockPlan | RowPlan


def plan(found: Sizes, shuffle: bool, is_exact: bool, rng: np.random.Generator) -> Plan:
    """Draw the plan of an epoch. The plan needs no random numbers later."""
    if is_exact:
        return RowPlan(found, draw_order(np.arange(found.rows), shuffle, rng))
    n_blocks = -(-found.rows // found.block)
    order = _spread(n_blocks, found.n_windows, rng) if shuffle else np.arange(n_blocks)
    rows = np.full(n_blocks, found.block)
    rows[order == n_blocks - 1] = found.rows - (n_blocks - 1) * found.block
    return BlockPlan(found, order, np.cumsum(rows), int(rng.integers(2**63)) if shuffle else None)


def _spread(n_blocks: int, n_windows: int, rng: np.random.Generator) -> Ints:
    """Return the blocks in random order. Each window in turn gets one block of each group of `n_windows` neighbours.

    The blocks of a window are in random order too, since its last blocks may go to the next window.
    """
    groups = rng.permuted(np.arange(-(-n_blocks // n_windows) * n_windows).reshape(-1, n_windows), axis=1)
    order = rng.permuted(groups.T, axis=1).ravel()
    return order[order < n_blocks]
