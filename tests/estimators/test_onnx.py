"""Estimators and pipelines as ONNX files: onnxruntime computes what the methods of the model return."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="runs the files (extra: dev)")

import onnx
from export.onnx_matrix import run
from pairwise import cover
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from fastnet.sklearn import MLPClassifier, MLPRegressor, to_onnx

# The fits are short on purpose, so they end before they converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# The columns differ in their offsets, so that float32 inputs have rounding errors after a scaler.
X = np.random.default_rng(0).standard_normal((200, 4)) * [1, 10, 1, 0.1] + [0, 5, 1000, -3]
SCORES = ((X - X.mean(0)) / X.std(0)) @ np.random.default_rng(1).standard_normal((4, 3))
LARGEST = SCORES.argmax(1)
TARGETS: dict[str, Any] = {
    "binary": LARGEST == 1,
    "int8": LARGEST.astype(np.int8) * 50 - 60,
    "float": np.where(LARGEST == 1, -1.0, 2.0),
    "texts": np.array(["zwölf", "one", "a longer name"])[LARGEST],
    "objects": np.array(["yes", "no"], object)[LARGEST % 2],
    "single": np.full(len(X), 7),
    "several labels": (SCORES > 0).astype(int),
    "value": SCORES[:, 0],
    "values": SCORES,
    "counts": np.exp(SCORES[:, 0]).round(),
}
STEPS: dict[str, Callable[[], list[Any]]] = {
    "none": list,
    "standard": lambda: [StandardScaler()],
    "mean only": lambda: [StandardScaler(with_std=False)],
    "deviation only": lambda: [StandardScaler(with_mean=False)],
    "neither": lambda: [StandardScaler(with_mean=False, with_std=False), "passthrough"],
    "min max": lambda: [MinMaxScaler()],
    "clipped": lambda: [MinMaxScaler((-1, 2), clip=True)],
    "both": lambda: [StandardScaler(), MinMaxScaler()],
    "both, the other way": lambda: [MinMaxScaler(), StandardScaler()],
}
FITTED_ON = ("float32", "float64")
X_DTYPES = ("float32", "float64", "uint8")


def pipeline(target: str, steps: str, fitted_on: str, x: Any = X) -> Pipeline:
    """Return a fitted pipeline of the steps and an estimator for the target."""
    settings: dict[str, Any] = {"hidden_layer_sizes": (9, 5), "random_state": 0, "max_iter": 30, "batch_size": 20}
    if target in ("value", "values", "counts"):
        last = MLPRegressor("poisson" if target == "counts" else "squared_error", **settings)
    else:
        last = MLPClassifier(**settings)
    return make_pipeline(*STEPS[steps](), last).fit(np.asarray(x, fitted_on), TARGETS[target])


@pytest.mark.parametrize(
    ("target", "steps", "fitted_on", "x_dtype"), cover(tuple(TARGETS), tuple(STEPS), FITTED_ON, X_DTYPES)
)
def test_the_file_computes_what_the_model_returns(
    target: str, steps: str, fitted_on: str, x_dtype: str, tmp_path: Path
) -> None:
    x = np.arange(800).reshape(200, 4) % 251 if x_dtype == "uint8" else X
    model, path = pipeline(target, steps, fitted_on, x), tmp_path / "model.onnx"
    x = (x * [1.5, 1, 1, 1]).clip(0, 255).astype(x_dtype) if x_dtype == "uint8" else (x * 1.5).astype(x_dtype)
    to_onnx(model, path, x_dtype=x_dtype)
    onnx.checker.check_model(path, full_check=True)
    expected = {"values": model.predict(x)}
    if hasattr(model, "classes_"):
        expected = {"probabilities": model.predict_proba(x), "labels": model.predict(x)}
    tolerance = 1e-5 if "float32" in (x_dtype, fitted_on) else 1e-10
    for rows in (0, 1, len(x)):
        found = run(path, x[:rows])
        assert [*found] == [*expected]
        for name, numbers in expected.items():
            if name == "labels":
                np.testing.assert_array_equal(found[name], numbers[:rows])
            else:
                assert (found[name].shape, found[name].dtype) == (numbers[:rows].shape, numbers.dtype)
                np.testing.assert_allclose(found[name], numbers[:rows], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), MinMaxScaler((-3, 3), clip=True)])
def test_a_scaler_rounds_as_scikit_learn_does(scaler: Any, tmp_path: Path) -> None:
    x = X + 1e5  # MinMaxScaler multiplies before it subtracts, so its rounding errors are large
    model = make_pipeline(scaler, MLPRegressor(hidden_layer_sizes=(), max_iter=1)).fit(x, SCORES)
    x = x.astype(np.float32)
    to_onnx(model, tmp_path / "model.onnx", x_dtype="float32")
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x)["values"], model.predict(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", ["binary", "texts", "several labels"])
def test_equal_outputs_give_the_label_of_predict(target: str, tmp_path: Path) -> None:
    model = MLPClassifier((), max_iter=1).fit(X, TARGETS[target])
    model.coefs_, model.intercepts_ = [np.zeros_like(model.coefs_[0])], [np.zeros_like(model.intercepts_[0])]
    model.to_onnx(tmp_path / "model.onnx")
    np.testing.assert_array_equal(run(tmp_path / "model.onnx", X)["labels"], model.predict(X))


def test_the_file_names_columns_and_classes(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="the frame comes from pandas (extra: dev)")
    model = make_pipeline(StandardScaler(), MLPClassifier(max_iter=1))
    to_onnx(model.fit(pandas.DataFrame(X, columns=list("abcd")), TARGETS["texts"]), tmp_path / "model.onnx")
    facts = {entry.key: entry.value for entry in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(facts["feature_names"]) == list("abcd")
    assert json.loads(facts["classes"]) == ["a longer name", "one", "zwölf"]


class DoubleScaler(StandardScaler):
    """A scaler whose results may be others than its parent's."""


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (make_pipeline(PCA(2), MLPClassifier()), r"the step 'pca' is PCA\(n_components=2\).*StandardScaler and MinMax"),
        (make_pipeline(DoubleScaler(), MLPClassifier()), r"the step 'doublescaler' is DoubleScaler\(\)"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "the last step 'logisticregression'.*MLPClassifier"),
        (LogisticRegression(), "model must be .*MLPClassifier or MLPRegressor.*, not LogisticRegression"),
    ],
)
def test_other_models_are_refused(model: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=words):
        to_onnx(model.fit(X, LARGEST), tmp_path / "model.onnx")
    assert not [*tmp_path.iterdir()]


def test_models_that_are_not_fitted_and_classes_of_other_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="MLPRegressor"):
        to_onnx(make_pipeline(MLPRegressor()), tmp_path / "model.onnx")
    model = MLPClassifier(max_iter=1).fit(X, np.array([0, 2**63], np.uint64)[LARGEST % 2])
    with pytest.raises(TypeError, match="not 9223372036854775808"):
        model.to_onnx(tmp_path / "model.onnx")
