"""Network.to_sklearn predicts what the network predicts; Network.from_sklearn reads estimators, ours too."""

from __future__ import annotations

import pickle
from typing import Any

import export_cases
import numpy as np
import pytest
from conftest import python
from network_cases import refused

from fastnet import Network
from fastnet.data import Schema

pytest.importorskip("sklearn", reason="needs scikit-learn (extra: sklearn)")

import pairwise
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline

import fastnet.sklearn as ours

HIDDEN = ["identity", "sigmoid", "tanh", "relu"]
OUTPUTS = [
    *(("softmax", "classification", 4), ("softmax", "classification", 2), ("sigmoid", "classification", 1)),
    *(("sigmoid", "multilabel", 3), ("identity", "regression", 1), ("identity", "regression", 2)),
    ("exponential", "regression", 2),
]
CASES = pairwise.cover(HIDDEN, OUTPUTS, export_cases.DTYPES, [(), (5,), (7, 3, 4)])
RTOL = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}


def network(case: tuple[Any, ...]) -> Network:
    return export_cases.network(*case, seed=1, same=True)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_estimator_predicts_what_the_network_predicts_and_is_read_back_bit_for_bit(case: tuple[Any, ...]) -> None:
    net = network(case)
    model, x = net.to_sklearn(), export_cases.rows(net, 400)
    outputs, rtol = net.forward(x), RTOL[net.dtype]
    if net.task == "regression":
        found = model.predict(x).reshape(outputs.shape)
    else:
        found = model.predict_proba(x)
        outputs = np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs
        np.testing.assert_array_equal(model.predict(x), net.predict(x))
    assert found.dtype == net.dtype
    np.testing.assert_allclose(found, outputs, rtol=rtol, atol=rtol)
    back = Network.from_sklearn(model)
    if (net.activations_by_layer[-1], net.sizes[-1]) != ("softmax", 2):
        assert export_cases.has_the_same_bits(net, back)
    assert (back.task, back.schema, back.byte_scale) == (net.task, None, 1)
    model.coefs_[0][:] = 0
    assert net.weights[0].any()


ESTIMATORS = {"ours": (ours.MLPClassifier, ours.MLPRegressor), "scikit-learn": (MLPClassifier, MLPRegressor)}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # three epochs are not enough
@pytest.mark.parametrize("library", ESTIMATORS)
@pytest.mark.parametrize("kind", ["binary", "bools", "multiclass", "multilabel", "numbers", "counts"])
def test_a_fitted_estimator_is_read_and_written_bit_for_bit(library: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3)).astype(np.float32)
    targets: dict[str, Any] = {
        "binary": np.array(["no", "yes"])[rng.integers(2, size=60)],
        "bools": rng.integers(2, size=60).astype(bool),
        "multiclass": np.array([3, 5, 7])[rng.integers(3, size=60)],
        "multilabel": rng.integers(2, size=(60, 3)),
        "numbers": rng.standard_normal(60),
        "counts": rng.poisson(2.0, 60).astype(float),
    }
    classifier, regressor = ESTIMATORS[library]
    if kind in ("numbers", "counts"):
        mlp = regressor(hidden_layer_sizes=(4, 3), loss="poisson" if kind == "counts" else "squared_error", max_iter=3)
    else:
        mlp = classifier(hidden_layer_sizes=(4, 3), activation="tanh", max_iter=3)
    mlp.fit(x, targets[kind])
    net = Network.from_sklearn(mlp)
    names = {"binary": ("no", "yes"), "bools": ("False", "True"), "multiclass": ("3", "5", "7")}.get(kind)
    assert net.schema == (Schema(class_names=names) if names else None)
    model = net.to_sklearn(classes=mlp.classes_ if names else None)
    for ours_, theirs in zip([*model.coefs_, *model.intercepts_], [*mlp.coefs_, *mlp.intercepts_], strict=True):
        assert (ours_.dtype, ours_.tobytes()) == (np.float32, theirs.tobytes())
    if kind in ("numbers", "counts"):
        np.testing.assert_allclose(model.predict(x), mlp.predict(x), rtol=1e-5)
    else:
        np.testing.assert_array_equal(model.predict(x), mlp.predict(x))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # one epoch is not enough
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_state_is_that_of_a_fit_and_can_be_trained_further(case: tuple[Any, ...]) -> None:
    net = network(case)
    model, x = net.to_sklearn(), export_cases.rows(net)
    y = np.arange(len(x)) % max(net.sizes[-1], 2) if net.is_classifier else np.abs(model.predict(x))
    theirs = clone(model).set_params(max_iter=1).fit(x, y)
    # What each fit makes anew. The last two are of no use without an epoch.
    made = {"_random_state", "_optimizer", "_best_coefs", "_best_intercepts", "loss_"}
    assert vars(theirs).keys() - made == vars(model).keys()
    for name in ("n_features_in_", "n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(model, name) == getattr(theirs, name), name
    before = [w.copy() for w in model.coefs_]
    assert model.partial_fit(x, y).n_iter_ == 1
    assert not any(np.array_equal(a, b) for a, b in zip(model.coefs_, before, strict=True))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x), model.predict(x))


def test_classes_have_the_names_of_the_schema_in_the_order_of_the_outputs() -> None:
    net = Network([4, 3], seed=0)
    net.schema = Schema(class_names=("b", "c", "a"))
    x = export_cases.rows(net)
    names = np.array(["b", "c", "a"])[net.predict(x)]
    model = net.to_sklearn()
    np.testing.assert_array_equal(model.predict(x), names)
    assert model.score(x, names) == 1
    assert Network.from_sklearn(model).schema == net.schema
    for _ in range(300):
        model.partial_fit(x, names)
    assert model.score(x, names) > 0.9  # with another order of the targets it would unlearn them
    net.schema = Schema(class_names=("b", "c"))
    refused(net.to_sklearn, "3 different labels", "['b', 'c']")
    assert net.to_sklearn(classes=[7, 8, 9]).predict(x).min() >= 7


def test_names_of_features_are_kept() -> None:
    pandas = pytest.importorskip("pandas", reason="makes a frame with names of columns")
    frame = pandas.DataFrame({"age": [1.0, 2, 3, 4], "height": [1.0, 0, 1, 0]})
    mlp = MLPClassifier((2,), solver="lbfgs").fit(frame, [0, 1, 0, 1])
    schema = Network.from_sklearn(mlp).schema
    assert schema is not None
    assert (schema.feature_names, schema.class_names) == (("age", "height"), ())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sizes": [4, 3, 2, 3], "activation": ["relu", "tanh"]}, ["relu, tanh"]),
        ({"sizes": [4, 3, 3], "activation": "leaky_relu"}, ["leaky_relu"]),
        ({"sizes": [4, 3], "output": "softmax", "task": "regression"}, ["regression with 3 softmax outputs"]),
        ({"sizes": [4, 1], "output": "tanh"}, ["regression with 1 tanh output:"]),
        ({"sizes": [4, 3], "output": "sigmoid"}, ["classification with 3 sigmoid outputs", "softmax"]),
        ({"sizes": [4, 1], "task": "multilabel"}, ["multilabel with 1 sigmoid output"]),
    ],
    ids=lambda case: case[0] if isinstance(case, list) else "",
)
def test_what_scikit_learn_cannot_express_is_refused_by_name(arguments: dict[str, Any], words: list[str]) -> None:
    refused(Network(**arguments).to_sklearn, "scikit-learn has", *words)


def test_wrong_arguments_are_refused() -> None:
    for classes in (["a", "b"], ["a", "b", "b"], [["a", "b", "c"]]):
        refused(lambda classes=classes: Network([4, 3]).to_sklearn(classes=classes), "3 different labels")
    for classes in ([0.5, 1.5, 2.5], np.array(["a", 1, None], object)):
        refused(lambda classes=classes: Network([4, 3]).to_sklearn(classes=classes), "no classes such as", "texts")
    refused(lambda: Network([4, 3], task="regression").to_sklearn(classes=[0, 1, 2]), "regression")
    refused(lambda: Network([4, 3], task="multilabel").to_sklearn(classes=[0, 1, 2]), "multilabel")
    one = MLPClassifier((2,), solver="lbfgs").fit([[0.0], [1.0]], ["a", "a"])
    refused(lambda: Network.from_sklearn(one), "one class only", "'a'")
    two = MLPClassifier((2,), solver="lbfgs").fit([[0.0], [1.0]], ["a", "b"]).set_params(activation="selu")
    refused(lambda: Network.from_sklearn(two), "unknown activation 'selu'")
    refused(lambda: Network.from_sklearn(MLPRegressor()), "MLPRegressor is not fitted")
    for wrong in (make_pipeline(one), MLPClassifier, None, Network([4, 3])):
        refused(lambda wrong=wrong: Network.from_sklearn(wrong), "MLPClassifier or MLPRegressor")


def test_a_missing_scikit_learn_is_one_clear_error() -> None:
    code = (
        "import sys; sys.modules['sklearn.neural_network'] = None; import fastnet\n"
        "try: fastnet.Network([3, 2]).to_sklearn()\n"
        "except ImportError as error: print(error, isinstance(error, fastnet.FastnetError))"
    )
    assert python(code).endswith('python -m pip install "fastnet-mlp[sklearn]" True\n')
