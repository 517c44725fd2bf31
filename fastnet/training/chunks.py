"""How many batches a kernel call makes. The cuts change no result: that is a law of the contract."""

from __future__ import annotations

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Plan

CHUNK_SECONDS = 0.05  # how long a chunk lasts: callbacks on batches run, and an interrupt is seen, after a chunk
# A call packs the parameters and the optimiser's state and unpacks them, in about 3 ns a number. A chunk makes two
# calls. A chunk lasts at least 0.6 us for each packed number, so that packing takes under 1% of its time.
PACKED_SECONDS = 2 * 3e-9 / 0.01
FIRST_CHUNK = 1 << 28  # work of the first chunk, before the machine's speed is known
LONG_BATCH = 1 << 28  # batches of more work could outlast a chunk: their calls run in a thread
ACTIVATION_WORK, BATCH_WORK = 50, 1 << 19  # in multiply-adds: a padded output; the Python code of a batch


class Chunks:
    """The sizes of one fit's chunks, computed from the time that the last chunk took.

    Work is counted in multiply-adds. The overheads of narrow layers and of Python are converted to multiply-adds too.
    """

    def __init__(self, plan: Plan, batch_size: int, n_numbers: int) -> None:
        """`n_numbers`: how many numbers a call packs, parameters and optimiser's state together."""
        self._batch_size = batch_size
        self._work = batch_size * (plan.packed + ACTIVATION_WORK * int(plan.nodes[1:, c.WIDTH].sum())) + BATCH_WORK
        self._seconds = max(CHUNK_SECONDS, PACKED_SECONDS * n_numbers)
        self._seconds_per_example: float | None = None
        self.is_long = self._work >= LONG_BATCH or self._seconds > CHUNK_SECONDS  # whether a call may last longer

    def next_size(self) -> int:
        """Return the number of batches of the next chunk."""
        if self._seconds_per_example is None:
            return max(1, FIRST_CHUNK // self._work)
        return max(1, int(self._seconds / max(self._seconds_per_example * self._batch_size, 1e-7)))

    def learn_speed(self, seconds: float, n_examples: int) -> None:
        """Learn the machine's speed from a chunk."""
        self._seconds_per_example = seconds / n_examples
