"""The scores of each label of a multilabel network, and of each output of a regression.

Not here: the confusion matrix of a classifier (classified.py), and the scores of all outputs together (evaluation.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.ensemble import Model
from fastnet.insight.answers import check_model
from fastnet.kernels import formulas
from fastnet.names import BackendName, Threads

Counts = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelScores:
    """The scores of each label of a multilabel network.

    Attributes
    ----------
    precision : ndarray of float64, shape (n_labels,)
        The share of the examples predicted to have the label that have it. nan if the label is never predicted.
    recall : ndarray of float64, shape (n_labels,)
        The share of the examples with the label that are predicted to have it. nan if no example has the label.
    f1 : ndarray of float64, shape (n_labels,)
        The harmonic mean of precision and recall: 2 right / (support + predicted). nan if both counts are 0.
    support : ndarray of int64, shape (n_labels,)
        The number of examples that have the label.
    predicted : ndarray of int64, shape (n_labels,)
        The number of examples that are predicted to have the label.
    """

    precision: Scores
    recall: Scores
    f1: Scores
    support: Counts
    predicted: Counts


@dataclass(frozen=True, eq=False)
class ValueScores:
    """The scores of each output of a regression. The baseline answers the mean target of the examples.

    Attributes
    ----------
    r2 : ndarray of float64, shape (n_outputs,)
        1 minus the squared error divided by that of the baseline. nan if all targets are equal.
    rmse, mae : ndarray of float64, shape (n_outputs,)
        The root of the mean squared error, and the mean absolute error.
    baseline_rmse, baseline_mae : ndarray of float64, shape (n_outputs,)
        The same errors of the baseline.
    mean : ndarray of float64, shape (n_outputs,)
        The mean target: the answer of the baseline.
    """

    r2: Scores
    rmse: Scores
    mae: Scores
    baseline_rmse: Scores
    baseline_mae: Scores
    mean: Scores


def label_scores(
    network: Model, x: Any, y: Any, *, backend: BackendName | None = None, threads: Threads = 1
) -> LabelScores:
    """Count how well a multilabel network predicts each of its labels.

    Parameters
    ----------
    network : Network or Ensemble
        A network with task="multilabel".
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n, n_labels)
        1 for each label that the example has, else 0.
    backend : str, optional
        The backend that computes the outputs.
    threads : int or "auto"
        How many threads may share the rows.

    Returns
    -------
    LabelScores

    Raises
    ------
    ValueError
        The network has another task, or the data do not fit.

    Examples
    --------
    >>> network = fastnet.Network([2, 2], task="multilabel", activation="sigmoid", seed=0)
    >>> network.parameters = [1, 0, 0, 1, 0, 0]
    >>> found = label_scores(network, [[1, 1], [1, -1], [-1, -1]], [[1, 1], [0, 0], [1, 0]])
    >>> found.precision, found.recall, found.support
    (array([0.5, 1. ]), array([0.5, 1. ]), array([2, 1]))
    """
    _check_task(network, "multilabel", "label_scores")
    answers = network.predict(x, backend=backend, threads=threads) > 0
    truth = network.check_targets(y, len(answers)) > 0.5
    right, support, predicted = (part.sum(axis=0, dtype=np.int64) for part in (answers & truth, truth, answers))
    return LabelScores(
        _ratio(right, predicted), _ratio(right, support), _ratio(2 * right, support + predicted), support, predicted
    )


def value_scores(
    network: Model, x: Any, y: Any, *, backend: BackendName | None = None, threads: Threads = 1
) -> ValueScores:
    """Measure the errors of each output of a regression, and those of a baseline that answers the mean target.

    Parameters
    ----------
    network : Network or Ensemble
        A network with task="regression".
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_outputs)
        Targets, or labels of a network that was trained on labels.
    backend : str, optional
        The backend that computes the outputs.
    threads : int or "auto"
        How many threads may share the rows.

    Returns
    -------
    ValueScores

    Raises
    ------
    ValueError
        The network has another task, or the data do not fit.

    Examples
    --------
    >>> network = fastnet.Network([1, 1], task="regression", seed=0)
    >>> network.parameters = [1, 0]
    >>> found = value_scores(network, [[0.0], [1.0], [2.0]], [0.0, 1.0, 5.0])
    >>> found.mae, found.mean, found.baseline_mae
    (array([1.]), array([2.]), array([2.]))
    """
    _check_task(network, "regression", "value_scores")
    answers = network.forward(x, backend=backend, threads=threads).astype(np.float64)
    # Labels become targets of 0 and 1.
    truth = formulas.targets(network.check_targets(y, len(answers)), np.empty(answers.shape[::-1])).T
    mean = truth.mean(axis=0)
    errors, distances = answers - truth, truth - mean
    squared, baseline = (np.square(part).mean(axis=0) for part in (errors, distances))
    varied = np.ptp(truth, axis=0) > 0  # the mean of equal targets may be rounded
    return ValueScores(
        1 - _ratio(squared, np.where(varied, baseline, 0)),
        np.sqrt(squared),
        np.abs(errors).mean(axis=0),
        np.sqrt(baseline),
        np.abs(distances).mean(axis=0),
        mean,
    )


def _check_task(network: Model, task: str, function: str) -> None:
    check_model(network)
    if network.task != task:
        raise ValueError(f"{function} needs a network with task={task!r}, and this network has task={network.task!r}")


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Scores:
    """part / whole; nan where the whole is 0."""
    found: Scores = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return found
