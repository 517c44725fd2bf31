"""The task of an experiment: the training and test examples of all its networks, checked once."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.evaluation import Evaluation
from fastnet.kernels import contract as c
from fastnet.training.recipe import Recipe
from fastnet.training.trainer import Trainer


class Task(NamedTuple):
    """x (n, n_in): an array or SparseRows. y (n,): labels below n_out. test: another pair of x and y, or None."""

    x: Any
    y: NDArray[np.int64]
    test: tuple[Any, NDArray[np.int64]] | None
    n_in: int
    n_out: int

    def start(self, recipe: Recipe, seed: int) -> Trainer:
        """Return the recipe's trainer of a new network for these examples."""
        return recipe.start(self.n_in, self.n_out, seed)

    def tested(self, trainer: Trainer) -> Evaluation:
        """Return cost and accuracy on the test examples; NaN if there are no test examples."""
        return Evaluation(math.nan) if self.test is None else trainer.evaluate(*self.test)


def task(x: Any, y: Any, test: Any, recipe: Recipe) -> Task:
    """Check the examples for networks of this recipe. Raises ValueError or TypeError for data that do not fit."""
    shape = np.shape(x) if not checks.is_scipy_sparse(x) else x.shape
    n_in = math.prod(shape[1:])
    dtype = checks.real_dtype(recipe.network.get("dtype", np.float32))
    scale = byte_scale_of(recipe)
    rows = checks.inputs(x, n_in, dtype, byte_scale=scale)
    labels, n_out = checks.classes(y, rows.shape[0])
    if test is None:
        return Task(rows, labels, None, n_in, n_out)
    if not isinstance(test, (tuple, list)) or len(test) != 2:
        raise TypeError("test must be a pair (x, y)")
    test_rows = checks.inputs(test[0], n_in, dtype, "test x", byte_scale=scale)
    test_labels, n_test = checks.classes(test[1], test_rows.shape[0], "test y")
    return Task(rows, labels, (test_rows, test_labels), n_in, max(n_out, n_test))


def byte_scale_of(recipe: Recipe) -> float:
    """Return the byte scale of the recipe's networks."""
    return checks.byte_scale(recipe.network.get("byte_scale", c.PIXEL_SCALE))


def number_for_one(x: NDArray[np.generic], byte_scale: float) -> float:
    """Return the number in x that stands for 1 in a network with this byte scale."""
    return 1 / byte_scale if x.dtype == np.uint8 else 1.0


def full_scale(x: NDArray[np.generic]) -> int:
    """The value in x that means full brightness: 255 in bytes, 1 in floats."""
    return 255 if x.dtype == np.uint8 else 1


def stratified_order(y: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random order (n,) of examples with labels y (n,). The first k have the classes in proportion, for any k.

    For each class, the order is cut into as many equal parts as the class has examples. Each part gets one of these
    examples, at a random place.
    """
    place = np.empty(len(y))
    for label in np.unique(y):
        of_class = np.flatnonzero(y == label)
        place[of_class] = (rng.permutation(len(of_class)) + rng.random(len(of_class))) / len(of_class)
    return np.argsort(place)
