"""Chooses how many batches a chunk has. A chunk makes one or two kernel calls. Its size changes no result."""

from __future__ import annotations

import math

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Plan

CHUNK_SECONDS = 0.05  # the length of a chunk: `on_batches` and Ctrl-C wait for the end of the current chunk
# A kernel call packs and unpacks the parameters and the optimiser's state, in about 3 ns per number. A chunk makes two
# calls and lasts at least 0.6 us per number, so packing takes at most 1% of its time.
PACKED_SECONDS = 2 * 3e-9 / 0.01
FIRST_CHUNK = 1 << 28  # multiply-adds of the first chunk, when the machine's speed is not known yet
LONG_BATCH = 1 << 28  # multiply-adds; a larger batch may last longer than a chunk, so its call runs in a thread
ACTIVATION_WORK = 50  # multiply-adds that take as long as one activation; the padding of a layer counts too
BATCH_WORK = 1 << 19  # multiply-adds that take as long as the Python code of one batch


class Chunks:
    """The sizes of one fit's chunks, computed from the time of the last chunk.

    Work is counted in multiply-adds. The overheads of narrow layers and of Python are converted to multiply-adds too.
    """

    def __init__(self, plan: Plan, batch_size: int, n_numbers: int) -> None:
        """`n_numbers`: how many numbers a call packs, parameters and optimiser's state together."""
        self._batch_size = batch_size
        self._work = (
            batch_size * (plan.packed + ACTIVATION_WORK * int(sum(plan.nodes[1:, c.WIDTH].tolist()))) + BATCH_WORK
        )
        self._seconds = max(CHUNK_SECONDS, PACKED_SECONDS * n_numbers)
        self._seconds_per_example: float | None = None
        self.is_long = self._work >= LONG_BATCH or self._seconds > CHUNK_SECONDS

    def next_size(self, most: float = math.inf) -> int:
        """Return the number of batches of the next chunk, which shall last at most `most` seconds."""
        if self._seconds_per_example is None:
            return max(1, FIRST_CHUNK // self._work)
        return max(1, int(min(self._seconds, most) / max(self._seconds_per_example * self._batch_size, 1e-7)))

    def forget_speed(self) -> None:
        """Begin again with a first chunk."""
        self._seconds_per_example = None

    def learn_speed(self, seconds: float, n_examples: int) -> None:
        """Update the speed from the time of a chunk."""
        self._seconds_per_example = seconds / n_examples
