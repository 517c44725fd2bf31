"""Parameters that change between two calls of `fit` or `partial_fit` have the effect that they have in scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.datasets import load_iris

import fastnet.sklearn

X, Y = load_iris(return_X_y=True)
BASE = {"random_state": 0, "max_iter": 3, "hidden_layer_sizes": (5,)}

# The fits are short on purpose, so they end before they converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def assert_same(ours: Any, theirs: Any) -> None:
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("calls", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "change", [{"activation": "tanh"}, {"alpha": 5.0}, {"learning_rate_init": 0.1, "beta_1": 0.5}], ids=str
)
def test_changed_parameters(change: dict[str, Any], calls: str) -> None:
    models = [
        package.MLPClassifier(**BASE, warm_start=calls == "fit")
        for package in (fastnet.sklearn, sklearn.neural_network)
    ]
    for model in models:
        model.fit(X, Y)
        model.set_params(**change)
        for _ in range(3):
            getattr(model, calls)(X, Y)
    assert_same(*models)


def test_a_changed_loss_changes_the_output() -> None:
    model = fastnet.sklearn.MLPRegressor(warm_start=True, **BASE).fit(X, Y)
    model.set_params(loss="poisson").fit(X, Y)
    assert model.out_activation_ == "exp"
    assert (model.predict(X) > 0).all()


def test_a_changed_quantile_moves_the_predictions() -> None:
    model = fastnet.sklearn.MLPRegressor("quantile", (), warm_start=True, random_state=0, alpha=0, max_iter=1500)
    model.set_params(learning_rate_init=0.01, n_iter_no_change=np.inf)
    y = np.random.default_rng(0).exponential(size=150)
    model.fit(np.zeros((150, 1)), y)
    model.set_params(quantile=0.9).fit(np.zeros((150, 1)), y)
    np.testing.assert_allclose(model.predict([[0.0]]), np.quantile(y, 0.9), atol=0.1)


def test_dropout_stays_after_a_changed_activation() -> None:
    models = [fastnet.sklearn.MLPClassifier(**BASE, dropout=0.5, activation=name) for name in ("relu", "tanh")]
    for model in models:
        model.partial_fit(X, Y, classes=[0, 1, 2])
    layers = models[0].set_params(activation="tanh").partial_fit(X, Y)._descent.layers
    np.testing.assert_array_equal(layers, models[1]._descent.layers)


def test_early_stopping_with_a_single_class_scores_1() -> None:
    for seed in range(4):
        model = fastnet.sklearn.MLPClassifier(early_stopping=True, random_state=seed, max_iter=1).fit(X, Y * 0)
        assert model.validation_scores_ == [1.0]
