"""Permutation importance and partial dependence equal scikit-learn's, and treat a categorical column as one column."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from fastnet import FastnetError, Network
from fastnet.data.schema import Column, Schema
from fastnet.insight import importance, partial_dependence

pytest.importorskip("sklearn", reason="needs scikit-learn (extra: sklearn)")

KMeans = pytest.importorskip("sklearn.cluster", reason="needs the extra sklearn").KMeans
LinearSVC = pytest.importorskip("sklearn.svm", reason="needs the extra sklearn").LinearSVC

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4))


def linear(*weights: float) -> Network:
    network = Network([len(weights), 1], output="identity", dtype=np.float64)
    network.weights[0][...] = weights
    network.biases[0][...] = 0.5
    return network


def fitted(kind: str) -> tuple[Any, Network, Any]:
    """Return an estimator of scikit-learn, a network with the same weights, and the labels or values they learned."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    y = X[:, 0] - 2 * X[:, 2] if kind == "regression" else np.digitize(X[:, 0] + X[:, 1], [-1, 1])
    estimator = (MLPRegressor if kind == "regression" else MLPClassifier)(
        hidden_layer_sizes=(5,), solver="lbfgs", random_state=0
    )
    estimator.fit(X, y)
    output = "identity" if kind == "regression" else "softmax"
    network = Network([4, 5, estimator.n_outputs_], output=output, dtype=np.float64)
    for w, b, coefs, intercepts in zip(
        network.weights, network.biases, estimator.coefs_, estimator.intercepts_, strict=True
    ):
        w[...], b[...] = coefs.T, intercepts
    return estimator, network, y


# -- importance ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_importance_equals_scikit_learn_s(kind: str) -> None:
    from sklearn.inspection import permutation_importance

    estimator, network, y = fitted(kind)
    expected = permutation_importance(estimator, X, y, n_repeats=6, random_state=3)
    for model in (estimator, network):
        found = importance(model, X, y, repeats=6, seed=3)
        np.testing.assert_allclose(found.values, expected.importances, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.mean, expected.importances_mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.deviation, expected.importances_std, rtol=1e-9, atol=1e-12)
        assert found.score == pytest.approx(estimator.score(X, y))
        assert found.measure == ("r2" if kind == "regression" else "accuracy")
        assert found.feature_names == ("input 1", "input 2", "input 3", "input 4")


def test_an_unused_input_has_no_importance_and_the_only_used_input_has_all() -> None:
    found = importance(linear(0, 3, 0, 0), X, 0.5 + 3 * X[:, 1])
    np.testing.assert_array_equal(found.values[[0, 2, 3]], 0)
    assert found.score == pytest.approx(1)
    assert found.mean[1] > 1.5  # shuffled targets have an R2 of -1
    assert found.order.tolist() == [1, 0, 2, 3]


def test_the_inputs_of_a_categorical_column_are_shuffled_together() -> None:
    levels = RNG.integers(0, 3, 200)
    x = np.column_stack((RNG.standard_normal(200), np.eye(3)[levels]))
    network = Network([4, 1], output="identity", dtype=np.float64)
    network.weights[0][...] = [[0, 1, 1, 1]]  # the sum of the three inputs is 1 in every row
    network.schema = Schema((Column("age"), Column("city", ("a", "b", "c"))))
    y = network.forward(x) + RNG.standard_normal((200, 1))
    found = importance(network, x, y, repeats=3)
    assert found.feature_names == ("age", "city")
    np.testing.assert_allclose(found.values, 0, atol=1e-12)
    network.schema = None  # each input by itself changes the sum
    assert (importance(network, x, y, repeats=3).mean[1:] > 0.1).all()


def test_several_labels_are_counted_one_by_one() -> None:
    network = Network([4, 2], output="sigmoid", task="multilabel", dtype=np.float64)
    network.weights[0][...] = [[1, 0, 0, 0], [0, 1, 0, 0]]
    found = importance(network, X, network.predict(X))
    assert (found.measure, found.score) == ("label_accuracy", 1)
    assert 0.15 < found.mean[0] < 0.35  # half of one of two labels
    assert found.mean[2] == 0


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_pipeline_takes_a_frame_of_texts_and_numbers(library: str) -> None:
    frames = pytest.importorskip(library, reason=f"needs {library}")
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    from fastnet.sklearn import MLPClassifier

    city, year = RNG.choice(["Oslo", "Rome"], 80), RNG.integers(0, 2, 80)
    frame = frames.DataFrame({"city": city, "year": year, "noise": np.zeros(80)})
    encoded = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    model = make_pipeline(encoded, MLPClassifier(solver="lbfgs", random_state=0)).fit(frame, city == "Rome")
    found = importance(model, frame, city == "Rome", repeats=3)
    assert (found.feature_names, found.score) == (("city", "year", "noise"), 1)
    assert found.mean[0] > 0.3
    assert found.mean[2] == 0
    by_city = partial_dependence(model, frame, "city")
    assert by_city.grid.tolist() == ["Oslo", "Rome"]
    np.testing.assert_allclose(by_city.average, [[1, 0], [0, 1]], atol=0.01)
    assert by_city.output_names == ("False", "True")
    by_year = partial_dependence(model, frame, "year")  # a column of whole numbers
    assert (by_year.grid.tolist(), by_year.is_categorical) == ([0, 1], False)


# -- partial dependence ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("grid", [7, 500])
def test_partial_dependence_equals_scikit_learn_s(kind: str, grid: int) -> None:
    from sklearn import inspection

    estimator, network, _ = fitted(kind)
    expected = inspection.partial_dependence(estimator, X, [2], grid_resolution=grid)
    for model in (estimator, network):
        found = partial_dependence(model, X, 2, grid=grid)
        np.testing.assert_array_equal(found.grid, expected["grid_values"][0])
        np.testing.assert_allclose(found.average, expected["average"].T, rtol=1e-9)
        assert (found.name, len(found.grid)) == ("input 3", min(grid, 120))
        assert found.measure == ("value" if kind == "regression" else "probability")


def test_partial_dependence_of_a_linear_network_is_its_line() -> None:
    found = partial_dependence(linear(0, 3, 1, 0), X, "width", feature_names=["a", "width", "c", "d"])
    np.testing.assert_allclose(found.average[:, 0], 0.5 + 3 * found.grid + X[:, 2].mean(), rtol=1e-12)
    assert found.output_names == ("output",)


def test_a_categorical_column_has_its_levels_as_grid() -> None:
    network = linear(2, 0, 1, 5)
    network.schema = Schema((Column("age"), Column("city", ("a", "b", "never seen"))), "price")
    found = partial_dependence(network, X, "city")
    np.testing.assert_allclose(found.average[:, 0], np.array([0, 1, 5]) + 0.5 + 2 * X[:, 0].mean(), rtol=1e-12)
    assert found.grid.tolist() == ["a", "b", "never seen"]
    assert found.is_categorical
    assert found.output_names == ("price",)


def test_a_single_output_has_two_probabilities() -> None:
    network = Network([4, 1], seed=0)
    found = partial_dependence(network, X, -1, grid=3)
    np.testing.assert_allclose(found.average.sum(axis=1), 1, rtol=1e-6)
    x = np.column_stack((X[:, :3], np.full(120, found.grid[0])))
    assert found.average[0, 1] == pytest.approx(float(network.forward(x).mean()))
    assert found.output_names == ("0", "1")


def test_bytes_and_a_column_of_mostly_one_value_have_a_grid() -> None:
    x = np.zeros((200, 4), np.uint8)
    x[:4, 1] = [51, 102, 153, 255]
    found = partial_dependence(linear(0, 3, 0, 0), x, 1, grid=3)
    np.testing.assert_allclose(found.grid, [0, 0.5, 1])
    np.testing.assert_allclose(found.average[:, 0], [0.5, 2, 3.5])


# -- errors ----------------------------------------------------------------------------------------------------


def names(n: int) -> list[str]:
    return [f"n{k}" for k in range(n)]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: importance(3, X, X), "model must be a fastnet.Network or an estimator of scikit-learn, not 3"),
        (lambda: importance(linear(1), X, X), r"x has shape \(120, 4\)"),
        (lambda: importance(linear(1, 1, 1, 1), X, X[:, 0], repeats=0), "repeats must be at least 1, not 0"),
        (lambda: importance(linear(1, 1, 1, 1), X, np.ones(120)), "y has the same values in all rows.*give other rows"),
        (lambda: importance(linear(1, 1, 1, 1), X, X[:, 0], feature_names=names(3)), "has 3 names.*each of 4 columns"),
        (lambda: importance(linear(1, 1, 1, 1), X, X[:, 0], feature_names="a"), "must be a list of names, not 'a'"),
        (lambda: importance(linear(1, 1, 1, 1), X, X[:, 0], feature_names=5), "must be a list of names, not 5"),
        (lambda: importance(KMeans(2), X, X[:, 0]), "must be a classifier or a regressor, not KMeans"),
        (lambda: partial_dependence(LinearSVC(), X, 0), r"LinearSVC\(\) has no predict_proba: wrap it in sklearn"),
        (lambda: importance(fitted("regression")[0], X, X[:, 0], backend="numpy"), "backend is for a network"),
        (lambda: partial_dependence(linear(1, 1, 1, 1), X, 4), "there is no column 4: give one from 0 to 3"),
        (lambda: partial_dependence(linear(1, 1, 1, 1), X, "n4", feature_names=names(4)), "unknown column 'n4'; .*n3"),
        (lambda: partial_dependence(linear(1, 1, 1, 1), X, 0, grid=1), "grid must be at least 2, not 1"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_sparse_examples_are_refused() -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="needs SciPy").csr_array(X)
    for model in (linear(1, 1, 1, 1), fitted("regression")[0]):
        with pytest.raises(ValueError, match=r"x is sparse, but its columns are needed one by one: use x\.toarray\(\)"):
            importance(model, sparse, X[:, 0])


@pytest.mark.parametrize("call", [lambda n: importance(n, X, X[:, 0]), lambda n: partial_dependence(n, X, 0)])
def test_without_scikit_learn_the_error_says_how_to_get_it(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(FastnetError, match=r'needs scikit-learn .*pip install "fastnet-mlp\[sklearn\]"'):
        call(linear(1, 1, 1, 1))
