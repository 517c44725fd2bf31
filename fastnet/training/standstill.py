"""Warns of a network that does not learn: its score stays that of a constant output, or its cost stays the same."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from fastnet.checks import AnyRows, kernel_rows
from fastnet.errors import caller, warn
from fastnet.kernels import contract as c
from fastnet.training.fit import SCORES, Fit
from fastnet.training.history import Epoch, History
from fastnet.training.optimizers import Adam, Optimizer
from fastnet.training.selection import true_classes
from fastnet.training.spread import MAX_SAMPLE_ROWS

EPOCHS = 5
SAME_COST = 1e-4  # a smaller relative change of the cost is no change
NOISE = 0.02  # relative; with small batches the cost of a constant output differs this much between epochs
SAME_SCORE = 1e-5  # a score that is better by less is not better
SMALL_GAIN = 0.1  # of the way from the score of a constant output to 1; a new network may have such a score by chance

EXPERIMENTS = ("fastnet.insight.", "fastnet.explore.", "fastnet.search.", "fastnet.bench.")


def warn_of_standstill(fit: Fit, history: History, learning_rate: float, optimizer: Optimizer) -> None:
    """Give one UserWarning in a fit if its network does not learn. Call this after each chunk of epochs.

    The network does not learn if one of these holds, and the learning rate is not 0:

    - In the last 5 epochs, no score is better than that of the best constant output. The cost changes by at most 2%,
      and does not fall in each of these epochs. The score is the accuracy on the training examples, the label accuracy
      or R2. The best constant output scores the share of the most frequent class, or an R2 of 0.
    - In the first 5 epochs of this fit, the cost is the same to 0.01%, and no score is much better than that of the
      best constant output. Much better scores mean that another fit has trained the network before.

    An experiment and a search get no warning, since they may train such networks on purpose.
    """
    name, epochs = SCORES[int(fit.updates.layers[-1, c.TASK])][-1], history.epochs
    if fit.has_warned or not epochs or not isinstance(epochs[-1], Epoch):  # users may change the history
        return
    n_epochs = int(epochs[-1].epoch - fit.horizon[0])
    if n_epochs < EPOCHS:
        return
    # Most calls end here, in about a microsecond. The score of a constant output is unknown, nan, until a cost stays.
    if getattr(epochs[-1], name) > fit.score_of_constant + SAME_SCORE:
        return
    first = len(epochs) - n_epochs
    for some, change, gain in ((epochs[-EPOCHS:], NOISE, 0.0), (epochs[first : first + EPOCHS], SAME_COST, SMALL_GAIN)):
        if not _are_consecutive(some):
            continue
        costs = [epoch.cost for epoch in some]
        if _range(costs) <= change and any(epoch.learning_rate for epoch in some):
            best = max(getattr(epoch, name) for epoch in some)
            constant = _score_of_constant(fit)
            if constant < 1 and best <= constant + gain * (1 - constant) + SAME_SCORE and not _falls(costs):
                fit.has_warned = True
                if not caller("fastnet.training.").startswith(EXPERIMENTS):
                    warn(_message(fit, some[-1], name, constant, learning_rate, optimizer))
                return


def _are_consecutive(epochs: list[Epoch]) -> bool:
    """Whether these are the records of 5 epochs in a row. They are not if the user has changed the history."""
    are_records = len(epochs) == EPOCHS and all(isinstance(epoch, Epoch) for epoch in epochs)
    return are_records and epochs[-1].epoch - epochs[0].epoch == EPOCHS - 1


def _falls(costs: list[float]) -> bool:
    """Whether the cost falls in each epoch. It cannot if all costs are the same to SAME_COST."""
    return all(before - after > SAME_COST * abs(before) for before, after in pairwise(costs))


def _range(costs: list[float]) -> float:
    """Return the difference between the largest and the smallest cost, relative to the first. Costs may be negative."""
    return (max(costs) - min(costs)) / max(abs(costs[0]), 1e-300)


def _score_of_constant(fit: Fit) -> float:
    """Return the best score of a constant output on the examples that the fit trains on. The fit keeps the result."""
    if math.isnan(fit.score_of_constant):
        task, y, weights = fit.updates.layers[-1, c.TASK], fit.updates.y[fit.rows], fit.updates.weights
        weights = weights[fit.rows] if weights.size else np.ones(len(y))
        if task == c.REGRESSION:
            fit.score_of_constant = 0.0
        elif task == c.MULTILABEL:
            on = np.average(y >= 0.5, axis=0, weights=weights)
            fit.score_of_constant = float(np.maximum(on, 1 - on).mean())
        else:
            fit.score_of_constant = float(np.bincount(true_classes(y), weights).max() / weights.sum())
    return fit.score_of_constant


def _message(fit: Fit, epoch: Epoch, name: str, constant: float, learning_rate: float, optimizer: Optimizer) -> str:
    shown = "R2 {:.3f}" if name == "r2" else f"{name.replace('_', ' ')} {{:.2%}}"
    hidden = fit.network.activations_by_layer[:-1]
    advice = [
        "scale the inputs to mean 0 and standard deviation 1" * _needs_scaling(fit.updates.x),
        "use activation='relu'" * (not {"relu", "leaky_relu"}.issuperset(hidden)),
        f"use a tenth or ten times of learning_rate={learning_rate:g}",
        "use optimizer='adam'" * (not isinstance(optimizer, Adam)),
    ]
    return (
        f"the network does not learn: over {EPOCHS} epochs the cost stays near {epoch.cost:.4g}, with "
        f"{shown.format(getattr(epoch, name))} on the training examples; a constant output has "
        f"{shown.format(constant)}; try one after the other: {'; '.join(filter(None, advice))}"
    )


def _needs_scaling(x: AnyRows) -> bool:
    """Whether a column has a mean far from 0, or no column has a standard deviation near 1. Bytes are scaled already.

    The zeros of sparse rows must stay, and `warn_of_spread` looks at their columns.
    """
    if isinstance(x, c.SparseRows) or x.dtype == np.uint8:
        return False
    sample = kernel_rows(x[:: -(-len(x) // MAX_SAMPLE_ROWS)])
    with np.errstate(over="ignore", invalid="ignore"):  # of very large numbers
        mean = np.abs(sample.mean(axis=0, dtype=np.float64)).max()
        deviation = sample.std(axis=0, dtype=np.float64).max()
    return not (mean <= 1 and 0.1 <= deviation <= 3)
