"""Helpers for the tests of sources: data with zeros, and readers that are slow, that fail, or that can be read once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnet.data import source
from fastnet.source import Block, Source

# 1003 rows are no whole number of batches. 70 inputs are enough for the kernels to skip zeros.
N, N_IN, N_OUT = 1003, 70, 3
RNG = np.random.default_rng(0)
# The first half has few zeros and the second half many. A kernel skips zeros or not, for all of x.
BYTES = np.where(RNG.random((N, N_IN)) < np.where(np.arange(N) < N // 2, 0.6, 0.1)[:, None], 200, 0).astype(np.uint8)
LABELS = RNG.integers(0, N_OUT, N)
VALUES = RNG.normal(size=(N, N_OUT))
SMALL = 60_000  # bytes of a shuffle buffer that holds a few hundred rows of bytes, and fewer of floats


class Slow:
    """Reads rows with random pauses, which differ from run to run."""

    def __init__(self, x: Any, y: Any, seconds: float = 0.002) -> None:
        self._x, self._y, self._seconds, self._rng = x, y, seconds, np.random.default_rng()

    def __len__(self) -> int:
        return len(self._x)

    def read(self, start: int, stop: int) -> Block:
        time.sleep(self._seconds * self._rng.random())
        return Block(self._x[start:stop], self._y[start:stop])


class Chunks:
    """A stream of chunks of random sizes, some of them empty."""

    def __init__(self, x: Any, y: Any, most: int, seed: int = 0) -> None:
        self._x, self._y, self._most, self._rng = x, y, most, np.random.default_rng(seed)

    def chunks(self) -> Iterator[Block]:
        start = 0
        while start < len(self._x):
            stop = start + int(self._rng.integers(0, self._most + 1))
            yield Block(self._x[start:stop], self._y[start:stop])
            start = stop


def small(x: Any, y: Any, **options: Any) -> Source:
    """Return a source that does not fit into its buffer."""
    return source((x, y), **{"shuffle_buffer": SMALL, **options})


def readers_running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fastnet reader"]
