"""A fit on a source takes the memory of its buffer, whatever the size of the data."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fastnet import Network, Trainer
from fastnet.data import source
from fastnet.source import Block

N, N_IN = 100_000, 50  # 20 MB of float32
BUFFER = 2 << 20
REST = 3 << 19  # bytes for the block that is read, the network and the history


class Computed:
    """Rows that are computed when they are read, so that the data themselves take no memory."""

    def __len__(self) -> int:
        return N

    def read(self, start: int, stop: int) -> Block:
        numbers = np.arange(start, stop)
        return Block(np.repeat(np.float32(numbers % 7)[:, None], N_IN, 1), numbers % 2)


def chunks() -> Iterator[Block]:
    for start in range(0, N, 1000):
        yield Computed().read(start, start + 1000)


@pytest.mark.parametrize(
    ("data", "shuffle"), [(Computed, True), (Computed, False), (chunks, True)], ids=["shuffled", "in order", "stream"]
)
def test_a_fit_takes_the_memory_of_its_buffer(data: Any, shuffle: bool) -> None:
    rows = source(data(), shuffle_buffer=BUFFER)
    trainer = Trainer(Network([N_IN, 4, 2], seed=0), seed=0, shuffle=shuffle, backend="numpy")
    trainer.fit(np.zeros((4, N_IN), np.float32), [0, 1, 0, 1], epochs=1)  # loads modules
    tracemalloc.start()
    trainer.fit(rows, epochs=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BUFFER + REST < N * N_IN * 4 / 5
