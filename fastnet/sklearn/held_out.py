"""Examples that are held out for early stopping, and the score of a network's outputs on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from fastnet.kernels.contract import Ints
from fastnet.training.inputs import Examples

Array = NDArray[Any]
Score = Callable[[Array, Array, Array | None], float]  # (outputs, truth, weights)


class HeldOut(NamedTuple):
    """Examples to score after each epoch."""

    examples: Examples
    truth: Array  # class numbers (n,), labels (n, n_outputs), or the targets of a regression (n, n_outputs)
    score: Score

    def scored(self, outputs: Array) -> float:
        """Return the score of the outputs for these examples, nan if an output is not finite."""
        if not np.isfinite(outputs).all():
            return float("nan")
        weights = self.examples.weights
        return self.score(outputs, self.truth, weights if weights.size else None)


def split(n: int, fraction: float, random_state: np.random.RandomState, stratify: Array | None) -> tuple[Ints, Ints]:
    """Return the row numbers to train on, and those to hold out: the ones that scikit-learn draws.

    Raises ValueError if fewer than two rows are held out.
    """
    train, held_out = train_test_split(np.arange(n), random_state=random_state, test_size=fraction, stratify=stratify)
    if len(held_out) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    return train, held_out


def accuracy(predicted: Array, truth: Array, weights: Array | None) -> float:
    """Return the share of the examples whose class, or whose labels, are all predicted."""
    right = predicted == truth
    return float(np.average(right.all(axis=1) if right.ndim == 2 else right, weights=weights))


def r2(outputs: Array, truth: Array, weights: Array | None) -> float:
    """Return the mean over the outputs of 1 - SS_res / SS_tot. An output with constant targets counts as 0 or 1."""
    w = np.ones((len(truth), 1)) if weights is None else weights[:, None]
    with np.errstate(over="ignore"):  # before a divergence, outputs are large
        residual = (w * (truth - outputs) ** 2).sum(axis=0, dtype=np.float64)
        total = (w * (truth - np.average(truth, axis=0, weights=weights)) ** 2).sum(axis=0, dtype=np.float64)
    varies = total != 0
    scores = np.where(residual == 0, 1.0, 0.0)
    scores[varies] = 1 - residual[varies] / total[varies]
    return float(scores.mean())
