"""Network: its buffer, its results against the scalar oracle, and the inputs that it accepts."""

from __future__ import annotations

from typing import Any

import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest
from conftest import name_of
from network_cases import random_network, refused

import fastnet
from fastnet import Network
from fastnet.costs import with_number

TOLERANCE = {"float32": 2e-6, "float64": 3e-14}
X = np.random.default_rng(0).random((6, 4), np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])
OUTPUTS = [
    ("sigmoid", "squared_error", "classification"),
    ("softmax", "cross_entropy", "classification"),
    ("sigmoid", "cross_entropy", "multilabel"),
    ("identity", "huber", "regression"),
    ("exponential", "poisson", "regression"),
]


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)


# -- the buffer ------------------------------------------------------------------------------------------


def test_the_digits_network_has_13002_parameters() -> None:
    net = Network([784, 16, 16, 10])
    assert net.n_parameters == 13002
    assert net.parameters.shape == (13002,)
    assert net.parameters.dtype == net.dtype == np.float32
    assert net.parameters.flags.c_contiguous
    assert net.parameters.flags.writeable
    assert [w.shape for w in net.weights] == [(16, 784), (16, 16), (10, 16)]
    assert [b.shape for b in net.biases] == [(16,), (16,), (10,)]


def test_weights_and_biases_are_views_layer_by_layer() -> None:
    net = random_network([3, 2, 2])
    net.parameters[:] = np.arange(14)
    np.testing.assert_array_equal(net.weights[0], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(net.biases[0], [6, 7])
    np.testing.assert_array_equal(net.weights[1], [[8, 9], [10, 11]])
    np.testing.assert_array_equal(net.biases[1], [12, 13])
    net.weights[1][0, 1] = 100
    net.biases[0][1] = 200
    assert net.parameters[9] == 100
    assert net.parameters[7] == 200


def test_views_of_another_vector_share_its_memory() -> None:
    net = random_network([3, 2, 2])
    vector = net.gradient(X[:, :3], Y % 2)
    views = net.views(vector)
    views.weights[1][...] = 5
    views.biases[1][...] = 6
    np.testing.assert_array_equal(vector[8:], [5, 5, 5, 5, 6, 6])
    assert not np.shares_memory(vector, net.parameters)


@pytest.mark.parametrize("vector", [np.zeros(13), np.zeros((14, 1)), [0.0] * 14])
def test_views_of_another_shape_are_refused(vector: Any) -> None:
    with pytest.raises(ValueError, match=r"vector .*\(14,\)"):
        random_network([3, 2, 2]).views(vector)


def test_setting_the_parameters_copies_into_the_buffer() -> None:
    net, other = random_network([3, 2]), Network([3, 2], seed=7, dtype=np.float64)
    buffer, before = net.parameters, net.copy()
    net.parameters = other.parameters
    assert net.parameters is buffer
    np.testing.assert_array_equal(buffer, other.parameters.astype(np.float32))
    net.parameters = np.full(8, 1e300)  # beyond float32
    assert np.isinf(buffer).all()
    net.parameters = before.parameters
    net.parameters *= 2
    np.testing.assert_array_equal(buffer, 2 * before.parameters)
    assert not np.shares_memory(buffer, before.parameters)
    for wrong in (np.zeros(7), np.zeros((8, 1)), ["a"] * 8, None, np.zeros(8, complex)):
        refused(lambda: setattr(net, "parameters", wrong), "parameters")  # noqa: B023  # called at once
    buffer.flags.writeable = False
    refused(lambda: setattr(net, "parameters", np.zeros(8)), "read-only")


@pytest.mark.parametrize("attribute", ["weights", "biases", "sizes", "n_parameters"])
def test_the_buffer_cannot_be_replaced(attribute: str) -> None:
    with pytest.raises(AttributeError):
        setattr(random_network([3, 2]), attribute, None)


@pytest.mark.parametrize(("activation", "variance"), [("sigmoid", 1), ("tanh", 1), ("relu", 2), ("leaky_relu", 2)])
def test_scaled_initial_weights(activation: str, variance: float) -> None:
    net = Network([400, 300, 5], activation=activation, seed=0)
    assert 400 * net.weights[0].var() == pytest.approx(variance, rel=0.03)
    assert abs(net.weights[0].mean()) < 0.001
    assert 300 * net.weights[1].var() == pytest.approx(1, rel=0.15)  # 1 / 300, the variance for a sigmoid
    assert not any(b.any() for b in net.biases)


def test_normal_initial_weights_and_biases() -> None:
    net = Network([400, 300, 5], init="normal", seed=0)
    assert net.weights[0].std() == pytest.approx(1, rel=0.01)
    assert net.biases[0].std() == pytest.approx(1, rel=0.1)


def test_equal_seeds_give_equal_networks() -> None:
    first, same, other = (Network([5, 4, 3], seed=seed).parameters for seed in (7, 7, 8))
    assert first.tobytes() == same.tobytes()
    assert not np.array_equal(first, other)
    assert not np.array_equal(Network([5, 4, 3]).parameters, Network([5, 4, 3]).parameters)
    double = Network([5, 4, 3], seed=7, dtype=np.float64).parameters
    np.testing.assert_array_equal(double.astype(np.float32), first)
    assert Network([5, 4, 3], seed=np.random.default_rng(7)).parameters.tobytes() == first.tobytes()


# -- results -----------------------------------------------------------------------------------------------


@kc.pairs("backend", "inputs", "targets", "weights", hidden=["relu", "tanh", "sigmoid"], output=OUTPUTS)
def test_all_results_equal_the_oracle(
    name: str, hidden: str, output: tuple[str, str, str], inputs: str, targets: str, weights: str
) -> None:
    activation, cost_name, task = output
    k = kc.case((5, 7, 4, 3), hidden, output[:2], 11, "float32", inputs, targets, task=task, weights=weights)
    if k.y.ndim == 1 and task == "multilabel":
        k = k._replace(y=np.eye(3, dtype=np.float32)[k.y])
    elif k.y.ndim == 2 and task == "classification":
        k = k._replace(y=k.y / k.y.sum(1, keepdims=True))  # one class for each example
    cost = with_number(cost_name, kc.number_of(cost_name))
    net = Network(k.naive.sizes, activation=hidden, output=activation, cost=cost, task=task)
    net.parameters = k.params
    xs, ts, params = cmp.naive_inputs(k.x), cmp.naive_targets(k.y, 3), k.params.tolist()
    forwards = [naive.forward(k.naive, params, x) for x in xs]
    sums, layers = [found[0][-1] for found in forwards], [found[1][1:] for found in forwards]
    outputs = [found[-1] for found in layers]
    tolerance = TOLERANCE["float32"]
    cmp.assert_close(net.forward(k.x, backend=name), outputs, tolerance)
    for level, found in enumerate(net.activations(k.x, backend=name)):
        cmp.assert_close(found, [example[level] for example in layers], tolerance)
    predictions = {
        "classification": [naive.class_of(z) for z in sums],
        "multilabel": [[int(z_j >= 0) for z_j in z] for z in sums],
        "regression": net.forward(k.x, backend=name).tolist(),
    }
    assert net.predict(k.x, backend=name).tolist() == predictions[task]
    arguments = {"sample_weight": k.weights if k.weights.size else None, "backend": name}
    cost, grad = cmp.naive_gradient(k)
    cmp.assert_close(net.cost(k.x, k.y, **arguments), cost, tolerance)
    cmp.assert_close(net.gradient(k.x, k.y, **arguments), grad, tolerance)
    _, weight, _, score, labels = cmp.naive_report(k)
    found = net.evaluate(k.x, k.y, **arguments)
    assert found.cost == net.cost(k.x, k.y, **arguments)
    w = k.weights if k.weights.size else None
    squares = weight * sum(np.average((t - np.average(t, weights=w)) ** 2, weights=w) for t in np.array(ts).T)
    expected = {
        "classification": (score / weight, np.nan, np.nan),
        "multilabel": (score / weight, labels / weight / 3, np.nan),
        "regression": (np.nan, np.nan, 1 - score / squares),
    }
    np.testing.assert_allclose(found[1:], expected[task], rtol=1e-5)
    assert task == "regression" or net.accuracy(k.x, k.y, **arguments) == found.accuracy


def test_a_single_sigmoid_output_is_class_1_from_one_half(name: str) -> None:
    net = Network([1, 1])
    net.parameters[:] = 1, 0
    x = np.array([[-2], [-0.01], [0], [0.01], [2]], np.float32)
    assert net.predict(x, backend=name).tolist() == [0, 0, 1, 1, 1]
    assert net.predict(x, backend=name).dtype == np.int64
    assert net.accuracy(x, [0, 0, 1, 1, 0], backend=name) == 0.8


@pytest.mark.parametrize("output", ["identity", "relu", "tanh", "leaky_relu"])
def test_a_regression_network_predicts_its_outputs(name: str, output: str) -> None:
    net = random_network([4, 3, 2], output=output)
    outputs = net.forward(X, backend=name)
    assert net.predict(X, backend=name).tobytes() == outputs.tobytes()
    assert not net.is_classifier
    assert np.isnan(net.evaluate(X, outputs, backend=name).accuracy)
    with pytest.raises(ValueError, match="regression"):
        net.accuracy(X, outputs, backend=name)


def test_costs_of_more_examples_than_one_kernel_call_takes(name: str) -> None:
    net = random_network([4, 3])
    x, y = np.tile(X, (6000, 1)), np.tile(Y, 6000)
    # Calls on few rows round differently, so the costs agree to the precision of float32.
    assert net.cost(x, y, backend=name) == pytest.approx(net.cost(X, Y, backend=name), rel=1e-6)
    assert net.accuracy(x, y, backend=name) == net.accuracy(X, Y, backend=name)


@pytest.mark.parametrize(("output", "cost"), [("sigmoid", "squared_error"), ("sigmoid", "cross_entropy")])
def test_one_output_learns_class_1_as_a_large_output(name: str, output: str, cost: str) -> None:
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    y = (x[:, 0] > 0).astype(np.int64)
    net = Network([1, 1], output=output, cost=cost, seed=0)
    fastnet.Trainer(net, optimizer="sgd", learning_rate=1.0, batch_size=4, seed=0, backend=name).fit(x, y, epochs=40)
    assert net.weights[0][0, 0] > 0
    assert net.accuracy(x, y, backend=name) >= 0.95
    assert net.forward([[-1.0], [1.0]], backend=name).ravel() == pytest.approx([0, 1], abs=0.2)


def test_accuracy_agrees_with_predict(name: str) -> None:
    """`accuracy` and `predict` agree even if all sigmoids round to 1."""
    net = Network([784, 100, 10], output="sigmoid", init="normal", seed=3)
    x = np.random.default_rng(0).random((500, 784), np.float32)
    assert (net.forward(x, backend=name) == 1).sum(axis=1).max() > 1
    assert net.accuracy(x, net.predict(x, backend=name), backend=name) == 1
    one = Network([1, 1], seed=0)
    one.parameters[:] = -1e-9, 0
    assert one.accuracy(np.ones((1, 1)), one.predict(np.ones((1, 1)))) == 1


# -- accepted inputs -----------------------------------------------------------------------------------------


def test_bytes_are_floats_divided_by_255(name: str) -> None:
    net = random_network([4, 3])
    x = np.array([[0, 1, 128, 255], [255, 3, 0, 7]], np.uint8)
    cmp.assert_close(net.forward(x, backend=name), net.forward(x / 255, backend=name), 1e-6)


FORMS = {
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "Fortran": np.asfortranarray,
    "other-endian": lambda x: x.astype(x.dtype.newbyteorder()),
    "images": lambda x: x.reshape(len(x), 2, 2),
    "transposed images": lambda x: np.asfortranarray(x.reshape(len(x), 2, 2)),
    "lists": lambda x: x if x.dtype == np.uint8 else x.tolist(),
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), x.dtype, x.size, 1).reshape(x.shape),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_input_gives_the_same_result(form: str) -> None:
    for dtype in ("float32", "float64", "float16", "uint8"):
        assert_same_in_any_form(dtype, form)


def assert_same_in_any_form(dtype: str, form: str) -> None:
    net = random_network([4, 3])
    x = (X * 255).astype(np.uint8) if dtype == "uint8" else X.astype(np.float16).astype(dtype)
    given = FORMS[form](x)
    before = given.copy() if isinstance(given, np.ndarray) else given
    assert net.forward(given).tobytes() == net.forward(x).tobytes()
    assert net.gradient(given, Y).tobytes() == net.gradient(x, Y).tobytes()
    np.testing.assert_array_equal(given, before)


def test_read_only_arrays_are_accepted_and_unchanged(name: str) -> None:
    x, y = X.copy(), Y.copy()
    x.flags.writeable = y.flags.writeable = False
    net = random_network([4, 3])
    expected = net.gradient(X, Y, backend=name)
    assert net.gradient(x, y, backend=name).tobytes() == expected.tobytes()
    fastnet.Trainer(net, backend=name, seed=0).fit(x, y, epochs=1)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint64", ">i4", "bool"])
def test_labels_of_any_integer_type(dtype: str) -> None:
    net, y = random_network([4, 2]), Y % 2
    assert net.cost(X, y.astype(dtype)) == net.cost(X, y)
    assert net.cost(X, y.tolist()) == net.cost(X, y)
    assert net.cost(X, np.repeat(y, 2).astype(dtype)[::2]) == net.cost(X, y)
    assert net.cost(X, np.asfortranarray(np.eye(2)[y])) == net.cost(X, y)
