"""Dropout's masks in the NumPy backend, from the random numbers of Philox4x32-10 (Salmon et al. 2011).

contract.py says which number belongs to which neuron.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats

COUNTERS = 8192  # so many counters give their numbers together: the arrays stay in the cache
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
MULTIPLIERS = np.array(c.PHILOX_MULTIPLIERS, np.uint64)[:, None, None, None]
STEPS = np.array(c.PHILOX_STEPS, np.uint64)[:, None, None, None]


class Masks:
    """The masks of a hidden layer, for blocks of so many rows. A small layer draws those of several updates at once."""

    def __init__(self, drop: int, key: int, neurons: int, rows: int) -> None:
        self.neurons, self.threshold, self.scale = neurons, np.uint64(drop), c.drop_scale(drop)
        self.groups, self.rows = np.arange(-(-neurons // 4), dtype=np.uint64)[:, None], np.arange(rows, dtype=np.uint64)
        self.key = np.array([key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF], np.uint64)[:, None, None, None]
        self.update = self.place = 0  # `kept` begins with this update, for blocks at this place of their batches
        self.kept = np.empty((0, len(self.groups), 4, rows), np.bool_)

    def of(self, update: int, place: int, updates_left: int, dtype: np.dtype[np.floating]) -> Floats:
        """The mask (neurons, rows) of an update: 0 where a neuron is dropped, else `scale`.

        place: of the block's first row in its batch. updates_left: at most so many updates are drawn at once.
        """
        if place != self.place or not self.update <= update < self.update + len(self.kept):
            some = max(1, COUNTERS // (self.groups.size * self.rows.size))
            self.update, self.place, self.kept = update, place, self._draw(update, place, min(updates_left, some))
        kept = self.kept[update - self.update].reshape(-1, len(self.rows))[: self.neurons]
        return kept * dtype.type(self.scale)

    def _draw(self, update: int, place: int, updates: int) -> NDArray[np.bool_]:
        """Whether each neuron is kept, (updates, groups of four neurons, 4, rows)."""
        kept = np.empty((updates, *self.kept.shape[1:]), np.bool_)
        numbers = np.arange(update, update + updates, dtype=np.uint64)[:, None, None]
        size = max(1, COUNTERS // (updates * self.rows.size))
        for start in range(0, len(self.groups), size):
            some, key = self.groups[start : start + size], self.key
            even = np.empty((2, updates, len(some), self.rows.size), np.uint64)  # numbers 0 and 2 of a counter
            odd, product = np.empty_like(even), np.empty_like(even)  # odd: numbers 1 and 3
            even[0], even[1] = some, numbers & LOW
            odd[0], odd[1] = self.rows + np.uint64(place), numbers >> HALF
            for _ in range(c.PHILOX_ROUNDS):
                np.multiply(even, MULTIPLIERS, product)
                np.right_shift(product[::-1], HALF, even)
                np.bitwise_xor(even, odd, even)
                np.bitwise_xor(even, key, even)
                np.bitwise_and(product[::-1], LOW, odd)
                key = key + STEPS & LOW
            for k, words in enumerate((even[0], odd[0], even[1], odd[1])):
                np.greater_equal(words, self.threshold, kept[:, start : start + size, k])
        return kept
