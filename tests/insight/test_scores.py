"""The scores of labels and values equal scikit-learn's, and are nan where they have no meaning."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet
from fastnet import insight

X = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)


def test_label_scores_equal_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (extra: sklearn)")
    network = fastnet.Network([5, 4], task="multilabel", seed=1)
    y = (X[:, :4] > [0, 0.5, 1, 1.5]).astype(int)
    found = insight.label_scores(network, X, y, backend="numpy")
    expected = metrics.precision_recall_fscore_support(y, network.predict(X, backend="numpy"))
    for ours, theirs in zip((found.precision, found.recall, found.f1, found.support), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    np.testing.assert_array_equal(found.predicted, network.predict(X, backend="numpy").sum(axis=0))


def test_a_label_that_never_occurs_has_no_scores() -> None:
    network = fastnet.Network([5, 3], task="multilabel", seed=1)
    network.parameters[:] = 0
    network.biases[0][:] = [-1, 1, -1]
    y = np.array([[0, 0, 1]] * 200)
    found = insight.label_scores(network, X, y)
    np.testing.assert_array_equal(found.precision, [np.nan, 0, np.nan])
    np.testing.assert_array_equal(found.recall, [np.nan, np.nan, 0])
    np.testing.assert_array_equal(found.f1, [np.nan, 0, 0])


def test_value_scores_equal_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (extra: sklearn)")
    network = fastnet.Network([5, 3], task="regression", seed=1, dtype=np.float64)
    y = X[:, :3] * [1, 10, 100] + [0, 5, 1000]
    found, answers = insight.value_scores(network, X, y, backend="numpy"), network.forward(X, backend="numpy")
    each = {"multioutput": "raw_values"}
    np.testing.assert_allclose(found.r2, metrics.r2_score(y, answers, **each), rtol=1e-9)
    np.testing.assert_allclose(found.rmse, metrics.root_mean_squared_error(y, answers, **each), rtol=1e-9)
    np.testing.assert_allclose(found.mae, metrics.mean_absolute_error(y, answers, **each), rtol=1e-9)
    mean = np.broadcast_to(y.mean(axis=0), y.shape)
    np.testing.assert_allclose(found.baseline_rmse, metrics.root_mean_squared_error(y, mean, **each), rtol=1e-9)
    np.testing.assert_allclose(found.baseline_mae, metrics.mean_absolute_error(y, mean, **each), rtol=1e-9)


def test_labels_of_a_regression_are_targets_of_0_and_1() -> None:
    network, y = fastnet.Network([5, 3], task="regression", seed=1), np.arange(200) % 3
    np.testing.assert_array_equal(
        insight.value_scores(network, X, y).mae, insight.value_scores(network, X, np.eye(3)[y]).mae
    )


def test_equal_targets_have_no_r2() -> None:
    found = insight.value_scores(fastnet.Network([5, 1], task="regression", seed=1), X, np.full(200, 0.1))
    assert np.isnan(found.r2).all()
    assert np.isfinite(found.rmse).all()


def test_networks_with_another_task_are_refused() -> None:
    network = fastnet.Network([5, 3], seed=0)
    with pytest.raises(ValueError, match=r"label_scores needs .*'multilabel', .*'classification'"):
        insight.label_scores(network, X, np.zeros((200, 3)))
    with pytest.raises(ValueError, match=r"value_scores needs .*'regression', .*'classification'"):
        insight.value_scores(network, X, np.zeros((200, 3)))
