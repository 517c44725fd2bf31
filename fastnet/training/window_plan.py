"""Plans which rows of a source each window of an epoch holds, and in which order the epoch goes through them.

With a shuffle buffer, an epoch puts blocks of consecutive rows in random order and cuts the result into windows. The
rows of each window are then put in random order. So a row may meet any other row in a batch, but the rows of a block
are always in the same window, or in two windows that follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastnet.kernels.contract import Ints

MIN_BLOCKS = 64  # of a window, if it has as many rows
BLOCK_BYTES = 1 << 18  # of a block at most: docs/how-to/large-data.md has measurements


class Sizes(NamedTuple):
    """Numbers of rows."""

    rows: int  # of the source
    window: int  # a multiple of the batch size
    block: int


def sizes(n_rows: int, row_bytes: int, window_bytes: int, batch_size: int, preferred_rows: int) -> Sizes:
    """Return the sizes for windows of at most this many bytes.

    All windows but the last have the same size, and the last is not much smaller: it gets as few different blocks as it
    has rows. `preferred_rows` is the number of rows that the reader reads together anyway.

    Raises
    ------
    ValueError
        A window does not hold a batch.
    """
    most = window_bytes // row_bytes // batch_size * batch_size
    if not most:
        needed = 2 * batch_size * row_bytes
        raise ValueError(
            f"half of shuffle_buffer={2 * window_bytes:,} bytes does not hold a batch of {batch_size:,} rows of "
            f"{row_bytes:,} bytes: use a shuffle_buffer of at least {needed:,} bytes, or a smaller batch_size"
        )
    n_windows = -(-n_rows // most)
    batches = -(-n_rows // batch_size)
    window = -(-batches // n_windows) * batch_size
    block = max(1, min(window // MIN_BLOCKS, BLOCK_BYTES // row_bytes))
    block = min(window, -(-block // preferred_rows) * preferred_rows)
    return Sizes(n_rows, window, block)


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """The windows of an epoch, made of blocks. All random numbers are drawn before the epoch begins."""

    sizes: Sizes
    order: Ints  # of the blocks
    ends: Ints  # where each block ends, in the rows of the blocks in this order
    seed: int | None  # of the order within each window; None: in order

    @property
    def n_windows(self) -> int:
        """The number of windows."""
        return -(-self.sizes.rows // self.sizes.window)

    def n_rows(self, window: int) -> int:
        """Return the number of rows of a window."""
        return min(self.sizes.window, self.sizes.rows - window * self.sizes.window)

    def blocks(self, window: int) -> list[slice]:
        """Return the rows of a window as slices of the source."""
        n, _, block = self.sizes
        start = window * self.sizes.window
        stop = start + self.n_rows(window)
        first, last = np.searchsorted(self.ends, (start, stop - 1), side="right")
        starts = self.order[first : last + 1] * block
        stops = np.minimum(starts + block, n)
        stops[-1] -= self.ends[last] - stop
        starts[0] += start - (self.ends[first - 1] if first else 0)
        return [slice(*pair) for pair in zip(starts.tolist(), stops.tolist(), strict=True)]

    def places(self, window: int) -> Ints:
        """Return, for each row of the window's blocks, its place in the order of the training."""
        n_rows = self.n_rows(window)
        if self.seed is None:
            return np.arange(n_rows)
        return np.random.default_rng((self.seed, window)).permutation(n_rows)


def block_plan(found: Sizes, shuffle: bool, rng: np.random.Generator) -> BlockPlan:
    """Draw an epoch's plan of blocks."""
    n_blocks = -(-found.rows // found.block)
    order = rng.permutation(n_blocks) if shuffle else np.arange(n_blocks)
    rows = np.full(n_blocks, found.block)
    rows[order == n_blocks - 1] = found.rows - (n_blocks - 1) * found.block
    return BlockPlan(found, order, np.cumsum(rows), int(rng.integers(2**63)) if shuffle else None)
