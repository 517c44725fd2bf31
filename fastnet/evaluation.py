"""Evaluation: the cost of a network on some examples, and the scores that have a meaning for its task."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.formulas import Sums

MAX_NUMBERS = 1 << 16  # `Squares` takes at most this many targets at a time, so that they fit in the cache


class Evaluation(NamedTuple):
    """The results of a network on some examples. A result that has no meaning for the network's task is nan.

    Attributes
    ----------
    cost : float
        The mean cost.
    accuracy : float
        Classification: the share of examples classified right. Multilabel: the share of examples with all labels right.
    label_accuracy : float
        Multilabel: the share of labels predicted right.
    r2 : float
        Regression: the coefficient of determination over all outputs together: 1 - the sum of squared errors / the sum
        of squared differences between the targets and the mean target of their output. It is nan if all targets of each
        output are equal.
    """

    cost: float
    accuracy: float = math.nan
    label_accuracy: float = math.nan
    r2: float = math.nan


class Parts:
    """The sums of the parts of some examples. Threads may add parts in any order: the total has the same bits."""

    def __init__(self) -> None:
        self._found: dict[int, Sums] = {}

    def add(self, rows: slice, sums: Sums) -> None:
        """Add the sums of consecutive examples."""
        self._found[rows.start] = sums

    def total(self) -> Sums:
        """Return the sums over all parts."""
        if len(self._found) == 1:  # a shortcut for small calls
            return next(iter(self._found.values()))
        nothing = (0.0,) * len(Sums._fields)
        return Sums(*map(sum, zip(nothing, *(self._found[start] for start in sorted(self._found)), strict=True)))


def evaluation(layers: c.Ints, sums: Sums, squares: float = math.nan) -> Evaluation:
    """Return the evaluation of a network with these layers from sums over examples, whose weights sum to more than 0.

    `squares` is what `total_squares` returns for the same examples.
    """
    task = layers.item(-1, c.TASK)
    cost, share = sums.cost / sums.weight, sums.score / sums.weight
    if task == c.CLASSIFICATION:
        return Evaluation(cost, accuracy=share)
    if task == c.MULTILABEL:
        return Evaluation(cost, accuracy=share, label_accuracy=sums.labels / (sums.weight * int(layers[-1, c.N_OUT])))
    return Evaluation(cost, r2=1 - sums.score / squares if squares else math.nan)


def total_squares(layers: c.Ints, y: NDArray[Any], weights: NDArray[np.float64]) -> float:
    """Return the weighted sum of the squared differences between targets and the mean target of their output.

    y are checked labels (n,) or targets (n, n_out), weights are (n,), or (0,) for weights of 1. The result is nan if
    the network's task is not regression.
    """
    squares = Squares(layers)
    squares.add(y, weights)
    return squares.total


class Squares:
    """What `total_squares` returns, for targets that arrive in parts (Chan, Golub and LeVeque 1983).

    Attributes
    ----------
    total : float
        The weighted sum of squared differences so far; nan if the network's task is not regression.
    weight : float
        The sum of the weights so far.
    """

    def __init__(self, layers: c.Ints) -> None:
        self._n_out, is_regression = int(layers[-1, c.N_OUT]), layers.item(-1, c.TASK) == c.REGRESSION
        self.total, self.weight = 0.0 if is_regression else math.nan, 0.0
        self._first: NDArray[np.float64] | None = None  # the first target of all
        self._mean = np.zeros((self._n_out, 1))  # of the differences to the first target

    def add(self, y: NDArray[Any], weights: NDArray[np.float64]) -> None:
        """Add checked targets, with weights as `total_squares` takes them."""
        if math.isnan(self.total) or not len(y):
            return
        if self._first is None:
            self._first = formulas.targets(y[:1], np.empty((self._n_out, 1)))
        with np.errstate(all="ignore"):  # a sum that overflows is inf
            for differences, w in _blocks(self._n_out, y, weights, self._first):
                if weight := float(w.sum()):
                    mean = (differences @ w)[:, None] / weight
                    self._join(float((np.square(differences - mean) @ w).sum()), mean, weight)

    @property
    def variance(self) -> float:
        """The variance of the targets, summed over the outputs; 0 if there are none."""
        return self.total / self.weight if self.weight else self.total

    def merge(self, other: Squares) -> None:
        """Add the targets that `other` has seen."""
        if other._first is None:
            return
        if self._first is None:
            self._first = other._first
        with np.errstate(all="ignore"):
            self._join(other.total, other._mean + (other._first - self._first), other.weight)

    def _join(self, total: float, mean: NDArray[np.float64], weight: float) -> None:
        """Add targets whose sum of squared differences is `total`. `mean` is relative to the first target of all."""
        self.total += total
        self.weight += weight
        step = mean - self._mean
        if weight < self.weight:
            self.total += float(np.square(step).sum()) * (weight / self.weight) * (self.weight - weight)
        self._mean += step * (weight / self.weight)


def _blocks(
    n_out: int, y: NDArray[Any], weights: NDArray[np.float64], first: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield targets (n_out, rows) less `first`, and their weights (rows,), block by block.

    Equal targets have differences of exactly 0, so that their mean has no rounding error.
    """
    rows = max(1, MAX_NUMBERS // n_out)
    for start in range(0, len(y), rows):
        part = y[start : start + rows]
        differences = formulas.targets(part, np.empty((n_out, len(part)))) - first
        yield differences, weights[start : start + rows] if weights.size else np.ones(len(part))
