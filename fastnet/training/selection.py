"""Chooses the examples that a fit trains on, their weights, and the examples held out for validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.evaluation import Squares
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.contract import Ints
from fastnet.source_rows import ALL_ONE, SourceRows, StreamRows
from fastnet.training.inputs import Examples

NO_ROWS = np.empty(0, np.int64)


class Selection(NamedTuple):
    """The examples of a fit."""

    examples: Examples  # all examples; the weights include the class weights
    rows: Ints  # the row numbers of the examples to train on, ascending; their weights are above 0
    held_out: Examples | None  # the examples for validation, with the user's weights
    class_weights: NDArray[np.float64] | None = None  # of the rows of a source

    @property
    def n_rows(self) -> int:
        """The number of examples to train on."""
        source = self.examples.source
        return len(self.rows) if source is None else source.n_rows

    def squares(self, layers: Ints, is_over: Callable[[], bool]) -> Squares | None:
        """Return the squares of the targets to train on, which R2 needs; None if the task is not regression.

        A source is read until `is_over` says to stop. The targets of a stream are unknown.
        """
        if layers[-1, c.TASK] != c.REGRESSION:
            return None
        _, y, weights, source = self.examples
        squares = Squares(layers)
        if isinstance(source, StreamRows):
            return squares
        if source is not None:
            for part in source.targets(is_over):
                squares.add(part, ALL_ONE)
            return squares
        if len(self.rows) < len(y):
            y, weights = y[self.rows], weights[self.rows] if weights.size else weights
        squares.add(y, weights)
        return squares


def select(
    examples: Examples,
    layers: Ints,
    class_weight: object = None,
    validation_split: float = 0.0,
    split_seed: int | None = None,
) -> Selection:
    """Choose the examples to train on. `layers` are the network's; `split_seed` decides which examples are held out.

    Raises ValueError or TypeError if the class weights are invalid, or if no example is left to train on or to
    validate on.
    """
    if examples.source is not None:
        return _of_source(examples, examples.source, layers, class_weight)
    x, y, weights, _ = examples
    rows, held_out = np.flatnonzero(weights) if weights.size else np.arange(len(x)), None
    if not validation_split and class_weight is None:
        return Selection(examples, rows, None)
    is_classifier = bool(layers[-1, c.TASK] == c.CLASSIFICATION)
    if validation_split:
        n_held = checks.held_out(validation_split, len(rows))
        is_held = hold_out(len(rows), n_held, true_classes(y[rows]) if is_classifier else None, split_seed)
        chosen, rows = rows[is_held], rows[~is_held]
        held_out = Examples(x[chosen], y[chosen], weights[chosen] if weights.size else weights)
    if class_weight is not None:
        checks.has_classes(is_classifier)
        n_classes = formulas.n_classes(int(layers[-1, c.N_OUT]))
        weights = with_class_weights(class_weight, weights, true_classes(y), rows, n_classes)
        checks.weights(weights[rows], len(rows), "sample_weight times class_weight")
        rows = rows[weights[rows] > 0]
    return Selection(Examples(x, y, weights), rows, held_out)


def _of_source(examples: Examples, source: SourceRows | StreamRows, layers: Ints, class_weight: object) -> Selection:
    """Select all rows of a source."""
    if class_weight is None:
        return Selection(examples, NO_ROWS, None)
    checks.has_classes(bool(layers[-1, c.TASK] == c.CLASSIFICATION))
    n_classes = formulas.n_classes(int(layers[-1, c.N_OUT]))
    factors = checks.class_weight(class_weight, n_classes)
    if factors is None:
        if isinstance(source, StreamRows):
            raise ValueError("class_weight='balanced' reads all rows first, but a stream is read once: give a mapping")
        counts = [np.bincount(true_classes(y), None, n_classes) for y in source.targets()]
        factors = balanced(np.sum(counts, axis=0).astype(np.float64))
    elif not factors.all():
        raise ValueError(
            f"class_weight[{factors.argmin()}] is 0, but a source trains on all its rows: make a source without the "
            "rows of this class"
        )
    checks.weights(factors, n_classes, "class_weight")
    return Selection(examples, NO_ROWS, None, factors)


def true_classes(y: NDArray[Any]) -> Ints:
    """Return the class of each example. y are labels (n,) or targets (n, n_out)."""
    return y if y.ndim == 1 else formulas.target_classes(y, -1)


def hold_out(n: int, n_held: int, classes: Ints | None, seed: int | None) -> NDArray[np.bool_]:
    """Return which of n examples are held out, as a mask with `n_held` entries that are true.

    The examples are chosen at random. With classes, the share of each class that is held out is n_held / n, rounded up
    or down to a whole number of examples.
    """
    order = np.random.default_rng(seed).permutation(n)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]  # class by class
    place = np.arange(n)
    mask = np.zeros(n, np.bool_)
    mask[order[(place + 1) * n_held // n > place * n_held // n]] = True  # evenly spread over the classes
    return mask


def with_class_weights(
    class_weight: object, weights: NDArray[np.float64], classes: Ints, rows: Ints, n_classes: int
) -> NDArray[np.float64]:
    """Return the weights (n,) of all examples, multiplied by the weight of each example's class.

    "balanced" gives each class that has examples among `rows` the same sum of weights, as in scikit-learn.
    """
    factors = checks.class_weight(class_weight, n_classes)
    if factors is None:
        sums = np.bincount(classes[rows], weights[rows] if weights.size else None, n_classes)
        factors = balanced(sums)
    found = factors[classes]
    return found * weights if weights.size else found


def balanced(sums: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weight of each class for "balanced". `sums` are the sums of the weights of each class' examples.

    A class without examples has weight 0.
    """
    factors = np.zeros(len(sums))
    np.divide(sums.sum(), np.count_nonzero(sums) * sums, factors, where=sums > 0)
    return factors
