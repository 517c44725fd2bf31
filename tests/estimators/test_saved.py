"""Saved estimators: skops trusts all but the estimator's own class, and a loaded estimator predicts and trains on."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pairwise import cover
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from fastnet.data import Column, Schema
from fastnet.sklearn import MLPClassifier, MLPRegressor

skops_io = pytest.importorskip("skops.io", reason="saves estimators (extra: dev)")

# The fits are short on purpose, so they end before they converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
MODELS: dict[str, tuple[Any, Any]] = {
    "binary": (MLPClassifier, X[:, 0] > 0),
    "texts": (MLPClassifier, np.array(["a", "b", "c"])[RNG.integers(0, 3, 60)]),
    "several labels": (MLPClassifier, (X[:, :2] > 0).astype(int)),
    "values": (MLPRegressor, X[:, :2] ** 2),
    "huber": (lambda **settings: MLPRegressor("huber", **settings), X[:, 0]),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {"batch_size": 20},
    "sgd": {"solver": "sgd", "learning_rate": "adaptive", "dropout": 0.2},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "dtype": np.float32},
    "warm start": {"warm_start": True, "random_state": np.random.RandomState(3)},
}
SCALERS = {"none": [], "standard": [StandardScaler()], "both": [MinMaxScaler(), StandardScaler()]}


def fitted(model: str, settings: str, scalers: str = "standard") -> Pipeline:
    make, y = MODELS[model]
    chosen = {"max_iter": 5, "random_state": 0} | SETTINGS[settings]
    return make_pipeline(*SCALERS[scalers], make(hidden_layer_sizes=(7,), **chosen)).fit(X, y)


@pytest.mark.parametrize(("model", "settings", "scalers"), cover(tuple(MODELS), tuple(SETTINGS), tuple(SCALERS)))
def test_skops_asks_for_trust_in_the_estimator_alone(model: str, settings: str, scalers: str) -> None:
    pipeline = fitted(model, settings, scalers)
    saved, kind = skops_io.dumps(pipeline), type(pipeline[-1])
    assert skops_io.get_untrusted_types(data=saved) == [f"{kind.__module__}.{kind.__name__}"]
    twin = skops_io.loads(saved, trusted=[kind])
    np.testing.assert_array_equal(twin.predict(X), pipeline.predict(X))
    ours, theirs = pipeline[-1], twin[-1]
    network = theirs.network_
    if settings in ("adam", "sgd"):
        ours.partial_fit(X, MODELS[model][1])
        theirs.partial_fit(X, MODELS[model][1])
    elif settings == "warm start":
        ours.fit(X, MODELS[model][1])
        theirs.fit(X, MODELS[model][1])
    assert theirs.network_ is network
    np.testing.assert_array_equal(network.parameters, ours.network_.parameters)


@pytest.mark.parametrize("model", ["binary", "texts", "several labels", "values"])
def test_skops_needs_no_trust_in_scikit_learns_estimator_of_the_network(model: str) -> None:
    pipeline = fitted(model, "lbfgs")
    names = pipeline.classes_ if model in ("binary", "texts") else None
    theirs = pipeline[-1].network_.to_sklearn(classes=names)
    twin = skops_io.loads(skops_io.dumps(make_pipeline(pipeline[0], theirs)), trusted=[])
    method = "predict" if model == "values" else "predict_proba"
    np.testing.assert_allclose(getattr(twin, method)(X), getattr(pipeline, method)(X), rtol=1e-12)


def test_a_pickle_predicts_the_same_bits_in_another_process(tmp_path: Path) -> None:
    pipeline, path = fitted("binary", "adam"), tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(pipeline))
    np.save(tmp_path / "x.npy", X)
    code = (
        "import pickle, sys, numpy as np\n"
        "model, x = pickle.load(open('model.pickle', 'rb')), np.load('x.npy')\n"
        "np.save('probabilities.npy', model.predict_proba(x))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "probabilities.npy"), pipeline.predict_proba(X))


def test_a_copy_keeps_the_schema() -> None:
    model = fitted("binary", "adam")[-1]
    model.network_.schema = Schema(tuple(map(Column, "abc")), "bought", ("no", "yes"))
    saved = skops_io.dumps(model)
    assert skops_io.get_untrusted_types(data=saved) == ["fastnet.sklearn.classifier.MLPClassifier"]
    assert skops_io.loads(saved, trusted=[MLPClassifier]).network_.schema == model.network_.schema


def test_a_state_that_holds_objects_as_in_older_pickles_is_read() -> None:
    model, twin = fitted("huber", "adam")[-1], MLPRegressor()
    twin.__setstate__({name: value for name, value in vars(model).items() if name not in ("coefs_", "_views")})
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))


def damaged(model: Any, name: str, **parts: Any) -> dict[str, Any]:
    """Return the state of a model with other parts of an attribute."""
    state = model.__getstate__()
    return state | {name: state[name] | parts}


def test_damaged_states_are_refused() -> None:
    model = fitted("binary", "adam")[-1]
    optimizer = model.__getstate__()["_descent"]["state"]
    moments = {"moments": np.zeros((2, 3))}
    for state, words in (
        (damaged(model, "network_", _sizes=(10**9, 10**9, 1)), "parameters must be an array of shape"),
        (damaged(model, "network_", parameters=np.zeros(3)), r"shape \(36,\), not \(3,\)"),
        (
            damaged(model, "_descent", state=optimizer | moments),
            r"\(2, 3\) float64, not \(2, 36\)",
        ),
        (damaged(model, "_descent", state=optimizer | {"settings": np.zeros(0)}), "index 0 is out of bounds"),
        (damaged(model, "_labels", other=1), "unexpected keyword argument 'other'"),
    ):
        with pytest.raises(ValueError, match=f"the state of the estimator is damaged .*{words}"):
            MLPClassifier().__setstate__(state)
