"""Permutation importance: how much a model's score falls if one column is shuffled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.errors import require_extra
from fastnet.insight.columns import check_model, columns_of_network, columns_of_table, is_classifier
from fastnet.names import BackendName
from fastnet.network import Network

MEASURES = {"classification": "accuracy", "multilabel": "label_accuracy", "regression": "r2"}  # by a network's task
MAX_SEED = 2**32 - 1  # of scikit-learn's random numbers


@dataclass(frozen=True, eq=False)
class Importance:
    """How much a model depends on each column.

    Attributes
    ----------
    feature_names : tuple of str
        The names of the columns.
    mean : ndarray of float64, shape (n_features,)
        The mean fall of the score over the repeats. It is 0 for a column that the model does not use.
    deviation : ndarray of float64, shape (n_features,)
        The standard deviation of the fall over the repeats.
    values : ndarray of float64, shape (n_features, repeats)
        The fall of the score in each repeat.
    score : float
        The score without shuffling.
    measure : str
        What the score is: "accuracy", "label_accuracy" (of several labels) or "r2".
    """

    feature_names: tuple[str, ...]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    values: NDArray[np.float64]
    score: float
    measure: str

    @property
    def order(self) -> NDArray[np.int64]:
        """The positions (int64) of the columns, the most important column first."""
        return np.argsort(-self.mean, kind="stable")


def importance(
    model: Any,
    x: Any,
    y: Any,
    *,
    repeats: int = 10,
    seed: int = 0,
    feature_names: Sequence[str] | None = None,
    backend: BackendName | None = None,
) -> Importance:
    """Measure how much the score falls if the values of one column are shuffled among the rows.

    The score is the accuracy of a classifier, the accuracy of single labels of a multilabel network, and R2 of a
    regression. Use rows that the model was not trained on. Two columns with the same information share their
    importance: if one is shuffled, the model still reads the other. The computation is
    `sklearn.inspection.permutation_importance`.

    Parameters
    ----------
    model : Network or estimator
        A network, or a fitted estimator of scikit-learn, such as `fastnet.sklearn.MLPClassifier` or a Pipeline.
    x : array_like or data frame, shape (n, n_in)
        Examples as the model takes them. The inputs of a categorical column of `network.schema` are shuffled together.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    repeats : int
        How often each column is shuffled.
    seed : int
        The seed of the shuffling.
    feature_names : sequence of str, optional
        The names of the columns. By default the names in `network.schema`, those of the frame, or "input 1", "input 2"
        and so on.
    backend : str, optional
        The backend that computes the outputs of a network.

    Returns
    -------
    Importance

    Raises
    ------
    TypeError
        `model` is neither a network nor an estimator.
    ValueError
        The data or the names do not fit, or x is sparse.
    MissingLibraryError
        scikit-learn is missing (the extra `sklearn`).

    Examples
    --------
    >>> x = np.random.default_rng(0).random((200, 2), np.float32)
    >>> network = fastnet.Network([2, 1], output="identity", seed=0)
    >>> network.weights[0][...] = [[3, 0]]
    >>> found = importance(network, x, network.forward(x), feature_names=["used", "unused"])
    >>> found.mean.round(1)
    array([2., 0.])
    """
    check_model(model, backend)
    repeats = checks.whole_number("repeats", repeats, 1)
    seed = checks.whole_number("seed", seed, 0, MAX_SEED)
    require_extra("sklearn", "permutation importance needs scikit-learn", "sklearn")
    from sklearn.inspection import permutation_importance

    score: Callable[[Any], float]
    if isinstance(model, Network):
        columns, measure = columns_of_network(model, x, feature_names), MEASURES[model.task]
        targets = model.check_targets(y, len(columns.x))

        def score(table: Any) -> float:
            return float(getattr(model.evaluate(table, targets, backend=backend), measure))
    else:
        columns = columns_of_table(x, feature_names)
        measure, score = _score_of(model, y)

    def score_of_rows(_: Any, rows: NDArray[np.int64], __: Any) -> float:
        return score(columns.taken(rows))

    # scikit-learn shuffles numbers of rows in place of values, so that it shuffles all inputs of a column together, and
    # columns of any type.
    rows = np.repeat(np.arange(len(columns.x))[:, np.newaxis], len(columns.names), axis=1)
    plain = score(columns.x)
    if math.isnan(plain):
        raise ValueError("y has the same values in all rows, so that R2 has no meaning: give other rows")
    found = permutation_importance(_Fitted(), rows, None, scoring=score_of_rows, n_repeats=repeats, random_state=seed)
    return Importance(columns.names, found.importances_mean, found.importances_std, found.importances, plain, measure)


class _Fitted:
    """What scikit-learn takes for an estimator. The score does not use it."""

    def fit(self) -> None:
        raise NotImplementedError


def _score_of(model: Any, y: Any) -> tuple[str, Callable[[Any], float]]:
    """Return the measure of an estimator, and a function of the examples that computes it."""
    from sklearn.metrics import hamming_loss

    if is_classifier(model) and np.ndim(y) == 2 and np.shape(y)[1] > 1:
        return MEASURES["multilabel"], lambda table: 1 - float(hamming_loss(y, model.predict(table)))
    task = "classification" if is_classifier(model) else "regression"
    return MEASURES[task], lambda table: float(model.score(table, y))
