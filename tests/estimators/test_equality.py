"""The estimators compute what scikit-learn's compute. `python -m tests.stress.equality` compares many more settings."""

from __future__ import annotations

from typing import Any

import estimator_cases as ec
import kernel_cases as kc
import numpy as np
import pytest
import sklearn.neural_network
from conftest import load_backend
from hypothesis import given, settings
from sklearn.datasets import load_diabetes, load_iris

import fastnet.sklearn

# The fits are short on purpose, so they end before they converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("backend", kc.BACKENDS)
@settings(max_examples=25)
@given(case=ec.cases())
def test_drawn_settings_give_scikit_learns_numbers(case: ec.Case, backend: str) -> None:
    load_backend(backend)
    assert ec.is_equal(case, ec.worst_difference(case, backend))


IRIS, DIABETES = load_iris(return_X_y=True), load_diabetes(return_X_y=True)
RATES = {"solver": "sgd", "learning_rate_init": 0.05, "max_iter": 60}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"early_stopping": True},
        {"solver": "lbfgs"},
        RATES | {"learning_rate": "invscaling", "power_t": 0.3},
        RATES | {"learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 2},  # the rate changes
        RATES | {"nesterovs_momentum": False, "batch_size": 32},
    ],
    ids=str,
)
@pytest.mark.parametrize("data", [IRIS, DIABETES], ids=["iris", "diabetes"])
def test_known_data_give_scikit_learns_numbers(data: Any, settings: dict[str, Any]) -> None:
    name = "MLPClassifier" if data is IRIS else "MLPRegressor"
    parameters = {"random_state": 1, "max_iter": 30} | settings
    x = (data[0] - data[0].mean(0)) / data[0].std(0)
    y = data[1] if data is IRIS else data[1] / 100
    theirs = getattr(sklearn.neural_network, name)(**parameters).fit(x, y)
    ours = getattr(fastnet.sklearn, name)(**parameters).fit(x, y)
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.predict(x).astype(float), theirs.predict(x).astype(float), rtol=1e-6)


def test_float32_is_computed_in_float32_and_close_to_scikit_learns_numbers() -> None:
    x, y = IRIS[0].astype(np.float32), IRIS[1]
    theirs = sklearn.neural_network.MLPClassifier(random_state=0, max_iter=10).fit(x, y)
    ours = fastnet.sklearn.MLPClassifier(random_state=0, max_iter=10).fit(x, y)
    assert {a.dtype for a in ours.coefs_} == {np.dtype(np.float32)}
    for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_lbfgs_takes_scikit_learns_next_step_after_too_long_a_step() -> None:
    """The fourth step is too long. The next one depends on the rounding errors of scikit-learn's cost there."""
    parameters = {"hidden_layer_sizes": (1, 1, 7), "activation": "identity", "solver": "lbfgs", "alpha": 1.0}
    parameters |= {"random_state": 60, "max_iter": 5}
    case = ec.Case("multilabel", "fit", parameters, n=60, n_features=1, weighted=False, sparse=False, seed=0)
    assert ec.worst_difference(case, "auto") < 1e-10  # with the exact cost: 9e-9
