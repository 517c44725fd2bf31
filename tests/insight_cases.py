"""Helpers for the experiments' tests: data, and networks trained on them once for each backend."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastnet
from fastnet import Network
from fastnet.data.split import hold_out
from fastnet.errors import DataError
from fastnet.insight import CHAPTER
from fastnet.insight.task import stratified_order

Array = NDArray[Any]
SEEDS = range(5)
SURER = CHAPTER.but(network={"activation": "relu", "cost": "cross_entropy"}, trainer={"learning_rate": 0.1})


@cache
def data(name: str = "mnist-5k") -> Any:
    """Return a data set. Skip the test if the set's package or files are missing."""
    try:
        return fastnet.data.load(name, download=False)
    except DataError as error:
        pytest.skip(str(error))


def untrained(seed: int) -> Network:
    """Return the network 784-16-16-10 of the recipe CHAPTER."""
    return CHAPTER.start(784, 10, seed).network


@cache
def trained(backend: str) -> list[Network]:
    """Return a network of the recipe CHAPTER for each seed, trained on mnist-5k. Tests must not change the networks."""
    x, y = data().x_train, data().y_train
    return [_fitted(CHAPTER, backend, seed, x, y) for seed in SEEDS]


@cache
def held_out() -> Any:
    """Return mnist-5k's training set in two parts: x and y for training, then x and y for fitting a temperature."""
    return hold_out(data().x_train, data().y_train, 0.2)


@cache
def surer(backend: str) -> list[Network]:
    """Return more confident networks: ReLU and cross-entropy, trained on the first part of `held_out`."""
    x, y, _, _ = held_out()
    return [_fitted(SURER, backend, seed, x, y) for seed in SEEDS]


def _fitted(recipe: Any, backend: str, seed: int, x: Any, y: Any) -> Network:
    trainer = recipe.start(x.shape[1], 10, seed, backend=backend)
    trainer.fit(x, y, epochs=recipe.epochs)
    return trainer.network


def images(n: int) -> tuple[Array, Array]:
    """Return n training images and labels, with the classes in proportion."""
    digits = data()
    some = stratified_order(digits.y_train, np.random.default_rng(0))[:n]
    return digits.x_train[some], digits.y_train[some]


def unseen() -> tuple[Array, Array]:
    return data().x_test, data().y_test


def blobs(n: int = 60, seed: int = 0) -> tuple[Array, Array]:
    """Return examples (n, 10), which form three clouds of points, and labels (n,)."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return rng.normal(np.eye(3, 10)[y] * 3, 1).astype(np.float32), y


def small(seed: int = 0, n: int = 60, dtype: Any = np.float32) -> tuple[Network, np.ndarray, np.ndarray]:
    """Return a 6-5-3 network and n examples for it."""
    rng = np.random.default_rng(seed)
    network = Network([6, 5, 3], activation="tanh", output="softmax", cost="cross_entropy", seed=seed, dtype=dtype)
    return network, rng.random((n, 6), np.float32), rng.integers(0, 3, n)
