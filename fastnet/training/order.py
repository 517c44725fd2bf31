"""The order in which an epoch goes through the examples, and the number of examples in a batch."""

from __future__ import annotations

import numpy as np

from fastnet.kernels.contract import Ints
from fastnet.names import BatchSize

AUTO_BATCH = 200  # the batch size that "auto" stands for, as in scikit-learn


def draw_order(rows: Ints, shuffle: bool, rng: np.random.Generator) -> Ints:
    """Return these row numbers in random order, or as they are without `shuffle`.

    The order is drawn here and not in a kernel, so that every backend trains on the same batches.
    """
    return rng.permutation(rows) if shuffle else rows


def examples_in_batch(batch_size: BatchSize, n: int) -> int:
    """Return the number of examples in a batch. `n` is the number of examples in an epoch."""
    return min(AUTO_BATCH if isinstance(batch_size, str) else batch_size, n)
