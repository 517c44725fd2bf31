"""The estimators inside scikit-learn's tools, and in joblib's workers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # allows HalvingGridSearchCV
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score, learning_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastnet.sklearn import MLPClassifier, MLPRegressor

# The fits are short on purpose, so they end before they converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_iris(return_X_y=True)


def classifier(**parameters: Any) -> MLPClassifier:
    settings: dict[str, Any] = {"hidden_layer_sizes": (16,), "learning_rate_init": 0.05, "max_iter": 60}
    return MLPClassifier(**settings | {"random_state": 0} | parameters)


def scaled(**parameters: Any) -> Any:
    return make_pipeline(StandardScaler(), classifier(**parameters))


def test_pipeline() -> None:
    assert scaled().fit(X, Y).score(X, Y) > 0.95


def test_grid_search() -> None:
    search = GridSearchCV(scaled(), {"mlpclassifier__hidden_layer_sizes": [(2,), (16,)]}, cv=3).fit(X, Y)
    assert search.best_score_ > 0.9


def test_halving_grid_search() -> None:
    search = HalvingGridSearchCV(scaled(), {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=3, random_state=0).fit(X, Y)
    assert search.best_score_ > 0.9


def test_cross_val_score() -> None:
    assert cross_val_score(scaled(), X, Y).mean() > 0.9


def test_calibrated_classifier() -> None:
    calibrated = CalibratedClassifierCV(scaled(), cv=3).fit(X, Y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(1), 1)


def test_permutation_importance() -> None:
    importances = permutation_importance(scaled().fit(X, Y), X, Y, n_repeats=3, random_state=0).importances_mean
    assert importances.argmax() in (2, 3)  # the petals


def test_learning_curve() -> None:
    sizes, _, scores = learning_curve(scaled(), X, Y, cv=3, train_sizes=[0.2, 1.0], shuffle=True, random_state=0)
    assert list(sizes) == [20, 100]
    assert scores[-1].mean() > 0.9


def test_bagging() -> None:
    assert BaggingClassifier(scaled(), n_estimators=3, random_state=0).fit(X, Y).score(X, Y) > 0.9


def test_stacking() -> None:
    stack = StackingClassifier([("mlp", scaled())], LogisticRegression(max_iter=500), cv=3)
    assert stack.fit(X, Y).score(X, Y) > 0.9


def test_set_output_and_names_of_columns() -> None:
    pandas = pytest.importorskip("pandas", reason="the frames come from pandas (extra: dev)")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    pipeline = scaled().set_output(transform="pandas").fit(frame, pandas.Series(Y).map({0: "x", 1: "y", 2: "z"}))
    assert list(pipeline[-1].feature_names_in_) == list("abcd")
    assert list(pipeline.classes_) == ["x", "y", "z"]


def test_metadata_routing() -> None:
    weights = np.where(Y == 2, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False), classifier().set_fit_request(sample_weight=True)
        )
        routed.fit(X, Y, sample_weight=weights)
    assert set(routed.predict(X)) == {0, 1}


def test_clone_has_the_parameters_and_is_not_fitted() -> None:
    fitted = classifier(alpha=0.3).fit(X, Y)
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    assert not hasattr(twin, "coefs_")


@pytest.mark.parametrize("copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy], ids=["pickle", "deepcopy"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_copies_are_independent_and_continue(copied: Any, solver: str) -> None:
    fitted = classifier(solver=solver).fit(X, Y)
    twin, before = copied(fitted), fitted.predict_proba(X)
    np.testing.assert_array_equal(twin.predict_proba(X), before)
    twin.coefs_[0][...] = 0  # a view of the twin's network
    assert not np.array_equal(twin.predict_proba(X), before)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    if solver != "lbfgs":
        twin = copied(fitted).partial_fit(X, Y)
        np.testing.assert_array_equal(twin.coefs_[0], fitted.partial_fit(X, Y).coefs_[0])


def test_a_pickle_holds_the_parameters_once() -> None:
    model = MLPRegressor(hidden_layer_sizes=(500,), solver="lbfgs", max_iter=1).fit(X, Y)
    assert len(pickle.dumps(model)) < model.network_.parameters.nbytes + 10_000


@pytest.mark.parametrize("engine", ["loky", "threading"])
def test_joblib(engine: str) -> None:
    with joblib.parallel_config(engine, n_jobs=2):
        scores = cross_val_score(scaled(threads="auto"), X, Y, cv=2)
    np.testing.assert_array_equal(scores, cross_val_score(scaled(), X, Y, cv=2))
