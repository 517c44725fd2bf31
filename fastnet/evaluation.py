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

MAX_NUMBERS = 1 << 16  # `total_squares` takes at most this many targets at a time, so that they fit in the cache


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
    if layers.item(-1, c.TASK) != c.REGRESSION:
        return math.nan
    n_out = int(layers[-1, c.N_OUT])
    with np.errstate(all="ignore"):  # a sum that overflows is inf
        weighted, weight = np.zeros((n_out, 1)), 0.0
        for differences, w in _blocks(n_out, y, weights):
            weighted[:, 0] += differences @ w
            weight += float(w.sum())
        mean = weighted / weight
        return sum(float((np.square(differences - mean) @ w).sum()) for differences, w in _blocks(n_out, y, weights))


def _blocks(
    n_out: int, y: NDArray[Any], weights: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield targets (n_out, rows) less the first target, and their weights (rows,), block by block.

    Equal targets have differences of exactly 0, so that their mean has no rounding error.
    """
    first, rows = formulas.targets(y[:1], np.empty((n_out, 1))), max(1, MAX_NUMBERS // n_out)
    for start in range(0, len(y), rows):
        part = y[start : start + rows]
        differences = formulas.targets(part, np.empty((n_out, len(part)))) - first
        yield differences, weights[start : start + rows] if weights.size else np.ones(len(part))
