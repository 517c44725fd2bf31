"""Dropout's masks in the NumPy backend, from the random numbers of Philox4x32-10 (Salmon et al. 2011).

contract.py says which random number decides about which neuron.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats

MAX_COUNTERS = 8192  # counters that are computed together; their arrays fit in the cache
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
MULTIPLIERS = np.array(c.PHILOX_MULTIPLIERS, np.uint64)[:, None, None, None]
STEPS = np.array(c.PHILOX_STEPS, np.uint64)[:, None, None, None]


def masks(drop: int, key: int, shape: tuple[int, int], updates: range, place: int, dtype: Any) -> Iterator[Floats]:
    """Yields a hidden layer's mask for each update: 0 where a neuron is dropped, and drop_scale(drop) elsewhere.

    drop, key: the layer's DROP and DROP_KEY. shape: (neurons, rows) of a mask. place: the place of the block's first
    row in its batch. A small layer's masks are drawn for several updates at once.
    """
    n_neurons, n_rows = shape
    scale = np.dtype(dtype).type(c.drop_scale(drop))
    groups = np.arange(-(-n_neurons // 4), dtype=np.uint64)
    rows = np.arange(place, place + n_rows, dtype=np.uint64)
    n_together = max(1, MAX_COUNTERS // (len(groups) * n_rows))
    for first in range(0, len(updates), n_together):
        some = updates[first : first + n_together]
        for kept in _kept(drop, key, groups, rows, np.arange(some.start, some.stop, dtype=np.uint64)):
            yield kept.reshape(-1, n_rows)[:n_neurons] * scale


def _kept(
    drop: int, key: int, groups: NDArray[np.uint64], rows: NDArray[np.uint64], updates: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """An array (updates, groups of four neurons, 4, rows): whether each neuron is kept."""
    first_key = np.array([key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF], np.uint64)[:, None, None, None]
    kept = np.empty((len(updates), len(groups), 4, len(rows)), np.bool_)
    n_together = max(1, MAX_COUNTERS // (len(updates) * len(rows)))
    for start in range(0, len(groups), n_together):
        some, round_key = groups[start : start + n_together, None], first_key
        even = np.empty((2, len(updates), len(some), len(rows)), np.uint64)  # words 0 and 2 of each counter
        odd, product = np.empty_like(even), np.empty_like(even)  # odd: words 1 and 3
        even[0], even[1] = some, updates[:, None, None] & LOW
        odd[0], odd[1] = rows, updates[:, None, None] >> HALF
        for _ in range(c.PHILOX_ROUNDS):
            np.multiply(even, MULTIPLIERS, product)
            np.right_shift(product[::-1], HALF, even)
            np.bitwise_xor(even, odd, even)
            np.bitwise_xor(even, round_key, even)
            np.bitwise_and(product[::-1], LOW, odd)
            round_key = round_key + STEPS & LOW
        for k, words in enumerate((even[0], odd[0], even[1], odd[1])):
            np.greater_equal(words, drop, kept[:, start : start + n_together, k])
    return kept
