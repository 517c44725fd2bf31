"""The order in which an epoch goes through the examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw_order(n: int, shuffle: bool, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the numbers 0 to n - 1 in random order, or in ascending order without `shuffle`.

    The order is drawn here and not in a kernel, so that every backend trains on the same batches.
    """
    return rng.permutation(n) if shuffle else np.arange(n)
