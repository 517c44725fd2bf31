"""The answers of a classifier to given examples: which classes it confuses, and its worst mistakes.

Not here: whether its confidence can be trusted (calibration.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.ensemble import Model
from fastnet.insight.answers import check_model, top_outputs, true_classes
from fastnet.kernels.formulas import n_classes
from fastnet.names import BackendName, Threads

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Classified:
    """Examples and the network's answers to them.

    Attributes
    ----------
    truth : ndarray of int64, shape (n,)
        The class of each example.
    predicted : ndarray of int64, shape (n,)
        The answer to each example.
    confidence : ndarray, shape (n,)
        The output of each answer, in the network's dtype.
    matrix : ndarray of int64, shape (n_classes, n_classes)
        The number of examples of each class (row) that got each answer (column): the confusion matrix.
    """

    truth: Labels
    predicted: Labels
    confidence: NDArray[np.floating]
    matrix: Labels

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return float(np.mean(self.truth == self.predicted))

    @property
    def mistakes(self) -> Labels:
        """The positions (int64) of the wrongly answered examples. The answer with the highest confidence is first."""
        wrong = np.flatnonzero(self.truth != self.predicted)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]


def classified(
    network: Model, x: Any, y: Any, *, backend: BackendName | None = None, threads: Threads = 1
) -> Classified:
    """Compare the network's answers with the truth.

    Parameters
    ----------
    network : Network or Ensemble
        A classifier.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    backend : str, optional
        The backend that computes the outputs.
    threads : int or "auto"
        How many threads may share the rows.

    Returns
    -------
    Classified

    Raises
    ------
    ValueError
        The network is a regression network, or the data do not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((50, 4)), np.arange(50) % 3
    >>> found = classified(fastnet.Network([4, 3], seed=0), x, y)
    >>> found.matrix.sum(axis=1)
    array([17, 17, 16])
    """
    check_model(network)
    checks.classifier(network.task, "classes to confuse")
    predicted, confidence = top_outputs(network, x, backend, threads)
    truth = true_classes(network, y, len(predicted))
    classes = n_classes(network.sizes[-1])
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return Classified(truth, predicted, confidence, counts.reshape(classes, classes))


def confusion(network: Model, x: Any, y: Any, *, backend: BackendName | None = None, threads: Threads = 1) -> Labels:
    """Count how many examples of each class got each answer.

    Parameters
    ----------
    network, x, y, backend, threads
        As for `classified`.

    Returns
    -------
    ndarray of int64, shape (n_classes, n_classes)
        The confusion matrix: a row for each class, a column for each answer.

    Raises
    ------
    ValueError
        The network is a regression network, or the data do not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((50, 4)), np.arange(50) % 3
    >>> confusion(fastnet.Network([4, 3], seed=0), x, y).sum(axis=1)
    array([17, 17, 16])
    """
    return classified(network, x, y, backend=backend, threads=threads).matrix
