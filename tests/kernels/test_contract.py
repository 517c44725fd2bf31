"""The kernel contract: the results of the kernels (laws 1, 2, 3, 5, 6 and 7 of docs/contract.md)."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest
from drawn_cases import cases, rules
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet.kernels import contract as c

TOLERANCE, TRAINED = cmp.TOLERANCE, cmp.TRAINED


# -- the oracle itself, and law 1 ------------------------------------------------------------------------


def differences(cost: Any, params: np.ndarray) -> np.ndarray:
    """Return the gradient of cost(params) by central differences. The term h^2 of their error is removed."""
    h, found = 1e-3, np.empty_like(params)
    for i in range(len(params)):
        sides = []
        for shift in (h, -h, 2 * h, -2 * h):
            moved = params.copy()
            moved[i] += shift
            sides.append(cost(moved))
        found[i] = (8 * (sides[0] - sides[1]) - (sides[2] - sides[3])) / (12 * h)
    return found


def smooth_case(**arguments: Any) -> kc.Case:
    """Return a case so far from every kink of an activation and of the cost that the differences cross none."""
    for seed in range(100):
        k = kc.case(seed=seed, **arguments)
        xs, ts, distances = cmp.naive_inputs(k.x), cmp.naive_targets(k.y, k.naive.sizes[-1]), [1.0]
        for x, target in zip(xs, ts, strict=True):
            sums, activations = naive.forward(k.naive, k.params.tolist(), x)
            distances += [abs(z) for layer in sums for z in layer]
            errors = [abs(a - t) for a, t in zip(activations[-1], target, strict=True) if a != t]  # equal: 0 of a ReLU
            distances += [abs(error - kink) for error in errors for kink in naive.kinks(k.naive)]
        if min(distances) > 0.02:
            return k
    raise AssertionError("no smooth case: make it smaller")


def assert_derivatives(grad: np.ndarray, differences: np.ndarray) -> None:
    """Check that the error of each component is at most 1e-8 times the difference, plus 1e-10 for rounding."""
    assert np.all(np.abs(grad - differences) <= 1e-8 * np.abs(differences) + 1e-10)


@kc.pairs("hidden", "weights", "targets")
def test_the_oracle_s_gradient_follows_its_cost(hidden: str, weights: str, targets: str) -> None:
    for output in kc.PAIRS:
        k = smooth_case(sizes=(2, 3, 2), hidden=hidden, output=output, rows=2, weights=weights, targets=targets)
        data = cmp.naive_inputs(k.x), cmp.naive_targets(k.y, 2), None, k.weights.tolist()
        expected = differences(functools.partial(oracle_cost, k, data), k.params)
        assert_derivatives(np.array(cmp.naive_gradient(k)[1]), expected)


def oracle_cost(k: kc.Case, data: Any, params: np.ndarray) -> float:
    return naive.mean_cost(k.naive, params.tolist(), *data)


@kc.pairs("backend", "hidden", "inputs", "targets", "weights")
def test_gradient_equals_central_differences(
    backend: Any, hidden: str, inputs: str, targets: str, weights: str
) -> None:
    """Every cost on every output that it accepts."""
    kinds = {"hidden": hidden, "inputs": inputs, "targets": targets, "weights": weights}
    for output in kc.PAIRS:
        k = smooth_case(sizes=(2, 2, 2), output=output, rows=3, **kinds)
        expected = differences(functools.partial(cost_of, backend, k), k.params)
        assert_derivatives(bc.gradient(backend, k)[1], expected)


def cost_of(backend: Any, k: kc.Case, params: np.ndarray) -> float:
    return bc.gradient(backend, k._replace(params=params))[0]


def assert_equals_oracle(backend: Any, k: kc.Case) -> tuple[float, list[float]]:
    """Compare the outputs, the cost and the gradient. Return the oracle's cost and gradient."""
    tolerance = TOLERANCE[k.params.dtype.name]
    outputs = naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x, k.scale))
    cmp.assert_close(bc.predict(backend, k), outputs, tolerance)
    cost, grad = bc.gradient(backend, k)
    naive_cost, naive_grad = cmp.naive_gradient(k)
    cmp.assert_close(cost, naive_cost, tolerance)
    cmp.assert_close(grad, naive_grad, tolerance)
    return naive_cost, naive_grad


@settings(max_examples=200)
@given(k=cases())
def test_predict_and_gradient_equal_the_oracle(backend: Any, k: kc.Case) -> None:
    assert_equals_oracle(backend, k)


@kc.pairs("dtype", "inputs", "targets", "task", "weights", rows=[c.BLOCK_ROWS, c.BLOCK_ROWS + 1, 2 * c.BLOCK_ROWS + 88])
def test_batches_larger_than_a_block_equal_the_oracle(
    backend: Any, rows: int, dtype: str, inputs: str, targets: str, task: str, weights: str
) -> None:
    k = kc.case((3, 4, 2), "tanh", ("softmax", "cross_entropy"), rows, dtype, inputs, targets, 0, task, weights)
    naive_cost, naive_grad = assert_equals_oracle(backend, k)
    trained = bc.train(backend, k, np.arange(rows)[::-1].copy(), rows, naive.Rule(), np.array([0.5]))
    cmp.assert_close(trained.params, k.params - 0.5 * np.array(naive_grad), TOLERANCE[dtype])
    cmp.assert_close(trained.report, [cmp.naive_report(k)], TOLERANCE[dtype])
    cmp.assert_close(trained.cost / trained.report[0, c.WEIGHT_SUM], naive_cost, TOLERANCE[dtype])


@kc.pairs("backend", "dtype", "inputs")
def test_blocks_made_small_by_a_wide_layer(
    backend: Any, dtype: str, inputs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle would take minutes, so the test compares a batch with the weighted mean of its two parts."""
    monkeypatch.setattr(c, "BLOCK_WORK", 1 << 27)  # a smaller limit, so that a narrower layer reaches it
    c._plan.cache_clear()
    k = kc.case((1200, 1100), output=("sigmoid", "cross_entropy"), rows=150, dtype=dtype, inputs=inputs)
    assert c.block_rows(k.net, 150) == 101  # an odd number between MIN_BLOCK_ROWS and BLOCK_ROWS
    parts = [bc.gradient(backend, k._replace(x=k.x[at], y=k.y[at])) for at in (slice(60), slice(60, None))]
    cost, grad = bc.gradient(backend, k)
    cmp.assert_close(cost / 1100, (60 * parts[0][0] + 90 * parts[1][0]) / 150 / 1100, TOLERANCE[dtype])
    cmp.assert_close(grad, 0.4 * parts[0][1] + 0.6 * parts[1][1], TOLERANCE[dtype])
    step = bc.train(backend, k, np.arange(150), 150, naive.Rule(), np.array([2.0]))
    cmp.assert_close(step.params, k.params - 2 * grad.astype(np.float64), TOLERANCE[dtype])
    c._plan.cache_clear()


@kc.pairs("dtype")
def test_some_layers_of_a_network_form_a_network(backend: Any, dtype: str) -> None:
    """Offsets count from the start of the whole parameter vector, so consecutive rows of `net` are a valid network."""
    k = kc.case((5, 17, 4, 3), "relu", ("softmax", "cross_entropy"), 9, dtype, "bytes")
    between = np.empty((9, 4), dtype)
    head, tail = k._replace(net=k.net[:2]), k._replace(net=k.net[2:], x=between)
    backend.predict(head.net, k.params, k.x, between, bc.workspace(head, 9))
    cmp.assert_close(bc.predict(backend, tail), bc.predict(backend, k), TOLERANCE[dtype])


# -- laws 2 and 3: train ---------------------------------------------------------------------------------


def expected_training(
    backend: Any, k: kc.Case, order: np.ndarray, batch_size: int, rule: naive.Rule, rates: np.ndarray, step: int = 0
) -> bc.Trained:
    """Train with the backend's gradient and the oracle's optimiser. Round to the dtype after each step."""
    params, is_weight, report = k.params.copy(), k.naive.is_weight(), []
    state = [[0.0] * len(params) for _ in range(rule.slots())]
    for number, rate in enumerate(rates.tolist()):
        rows = order[number * batch_size : (number + 1) * batch_size]
        now = k._replace(params=params)
        report.append(cmp.naive_report(now, rows, penalty=rule.penalty))
        weight, moved = report[-1][c.WEIGHT_SUM], params.tolist()
        grad = bc.gradient(backend, now.at(rows))[1].tolist() if weight else [0.0] * len(moved)
        naive.update(rule, moved, state, grad, is_weight, rate, step + number + 1, weight)
        params = np.array(moved, params.dtype)
    total, moments = sum(row[c.COST_SUM] for row in report), np.array(state).reshape(-1, len(params))
    return bc.Trained(total, params, moments, len(rates), np.array(report))


def assert_trained(found: bc.Trained, expected: bc.Trained, tolerance: float) -> None:
    cmp.assert_close(found.params, expected.params, tolerance)
    cmp.assert_close(found.state, expected.state, tolerance)
    cmp.assert_close(found.cost, expected.cost, tolerance)
    cmp.assert_close(found.report, expected.report, tolerance)
    assert found.steps == expected.steps


@kc.pairs("rule", "extra", "dtype", "inputs", "targets", "task", "weights")
def test_train_equals_gradient_and_the_optimiser_s_formula(
    backend: Any, rule: str, extra: str, dtype: str, inputs: str, targets: str, task: str, weights: str
) -> None:
    """The order repeats and omits rows. The last batch is smaller. The step count starts above 0."""
    optimizer = bc.rule(rule, extra)
    k = kc.case((6, 9, 3), "tanh", ("softmax", "cross_entropy"), 20, dtype, inputs, targets, 0, task, weights)
    order = np.random.default_rng(1).integers(0, 20, 38)
    expected = expected_training(backend, k, order, 5, optimizer, bc.rates(order, 5), 3)
    for is_narrow in (True, False):
        with bc.forced_path(is_narrow):
            found = bc.train(backend, k, order, 5, optimizer, step=3)
        assert_trained(found, expected, TRAINED[dtype])
        assert found.steps == 8  # the last step has three rows


@kc.pairs("backend", "dtype", "targets", "weights", batch_size=[7, 1300])
def test_orders_longer_than_a_kernel_prepares_at_once(
    backend: Any, batch_size: int, dtype: str, targets: str, weights: str
) -> None:
    """A kernel prepares and classifies the examples of a call in parts. This call has several parts."""
    k = kc.case((2, 3, 2), "tanh", ("softmax", "cross_entropy"), 3000, dtype, "floats", targets, weights=weights)
    order = np.random.default_rng(10).permutation(3000)
    expected = expected_training(backend, k, order, batch_size, naive.Rule(), bc.rates(order, batch_size))
    assert_trained(bc.train(backend, k, order, batch_size, naive.Rule()), expected, TRAINED[dtype])
    # A call that stops halfway must report the same as a call on the first half alone.
    done = 2000 // batch_size * batch_size
    before = bc.train(backend, k, order[:done], batch_size, naive.Rule())
    k.x[order[done]] = np.nan
    cmp.assert_same_bits(bc.train(backend, k, order, batch_size, naive.Rule()), before)


@settings(max_examples=200)
@given(k=cases(), batch_size=st.integers(1, 24), length=st.integers(1, 30), optimizer=rules())
def test_train_on_any_shape(backend: Any, k: kc.Case, batch_size: int, length: int, optimizer: naive.Rule) -> None:
    order = np.random.default_rng(length).integers(0, len(k.x), min(length, 3 * batch_size))
    rates = bc.rates(order, batch_size, bc.first_rate(k))
    found = bc.train(backend, k, order, batch_size, optimizer, rates)
    expected = expected_training(backend, k, order, batch_size, optimizer, rates)
    # Rounding may decide a tie between outputs, so the scores of labels are not compared. Rounding may also decide the
    # side of a ReLU's kink, so the tolerance is ten times larger.
    if k.naive.task != "regression":
        expected.report[:, [c.SCORE, c.LABELS]] = found.report[:, [c.SCORE, c.LABELS]]
    assert_trained(found, expected, 10 * TRAINED[k.params.dtype.name])


@kc.pairs("dtype", "targets", "task", "weights", outputs=[1, 3], size=[8, 25], is_narrow=[True, False])
def test_the_scores_equal_the_oracle_s(
    backend: Any, dtype: str, targets: str, task: str, weights: str, outputs: int, size: int, is_narrow: bool
) -> None:
    """The rate is 0, so all rows are classified with the same parameters. 25 is no multiple of a vector's lanes."""
    output = ("sigmoid", "squared_error")
    k = kc.case((4, outputs), "sigmoid", output, 60, dtype, "floats", targets, 0, task, weights)
    with bc.forced_path(is_narrow):
        found = bc.train(backend, k, np.arange(60), size, naive.Rule(), np.zeros(-(-60 // size)))
    expected = cmp.naive_report(k)
    cmp.assert_close(found.report.sum(0), expected, TOLERANCE[dtype])
    assert 0 < expected[c.SCORE] < expected[c.WEIGHT_SUM]
    assert (expected[c.LABELS] > expected[c.SCORE]) == (task == "multilabel" and outputs > 1)


@kc.pairs("dtype", "targets", is_narrow=[True, False])
def test_the_first_of_equal_outputs_is_the_class(backend: Any, dtype: str, targets: str, is_narrow: bool) -> None:
    """With all parameters zero the outputs are equal, so the network predicts the first class."""
    k = kc.case((4, 18), output=("sigmoid", "squared_error"), rows=40, dtype=dtype, targets="labels")
    k = k._replace(params=np.zeros_like(k.params), y=np.arange(40) % 18)
    if targets == "vectors":  # two targets are 1: the first of them gives the class
        y = np.zeros((40, 18), dtype)
        y[np.arange(40), k.y] = y[np.arange(40), np.minimum(k.y + 5, 17)] = 1
        k = k._replace(y=y)
    with bc.forced_path(is_narrow):
        found = bc.train(backend, k, np.arange(40), 40, naive.Rule(), np.zeros(1))
    assert found.score == 3  # rows 0, 18, 36


@kc.pairs("dtype", output=["identity", "sigmoid"])
def test_exactly_the_boundary_is_class_1(backend: Any, output: str, dtype: str) -> None:
    """With one output, a weighted sum of exactly 0 predicts class 1, and a target of exactly 0.5 means class 1."""
    k = kc.case((2, 1), output=(output, "squared_error"), rows=3, dtype=dtype)
    k = k._replace(y=np.array([[0.25], [0.5], [1]], dtype))
    for bias, right in ((0, 2), (-(2.0**-30), 1)):
        found = bc.train(
            backend, k._replace(params=np.array([0, 0, bias], dtype)), np.arange(3), 3, naive.Rule(), np.zeros(1)
        )
        assert found.score == right


@kc.pairs("backend", "rule", "dtype")
def test_an_empty_order_changes_nothing(backend: Any, rule: str, dtype: str) -> None:
    k = kc.case((4, 3, 2), dtype=dtype)
    found = bc.train(backend, k, np.empty(0, np.int64), 4, kc.RULES[rule])
    assert (found.cost, found.steps, found.score) == (0, 0, 0)
    cmp.assert_same_bits([found.params], [k.params])


@kc.pairs("backend", "rule", "extra", "dtype", "inputs", "task", "weights", batch_size=[1, 6])
def test_train_can_be_split_at_any_batch(
    backend: Any, rule: str, extra: str, batch_size: int, dtype: str, inputs: str, task: str, weights: str
) -> None:
    optimizer = bc.rule(rule, extra)
    k = kc.case((17, 5, 3), "relu", ("softmax", "cross_entropy"), 20, dtype, inputs, "labels", 0, task, weights)
    order = np.random.default_rng(2).permutation(20)
    rates = bc.rates(order, batch_size)
    whole = bc.train(backend, k, order, batch_size, optimizer, rates)
    at = 2 * batch_size
    head = bc.train(backend, k, order[:at], batch_size, optimizer, rates[:2])
    rest = k._replace(params=head.params)
    tail = bc.train(backend, rest, order[at:], batch_size, optimizer, rates[2:], step=2, state=head.state)
    cmp.assert_same_bits([tail.params, tail.state], [whole.params, whole.state])
    cmp.assert_same_bits([np.concatenate((head.report, tail.report))], [whole.report])
    assert head.steps + tail.steps == whole.steps
    assert head.cost + tail.cost == pytest.approx(whole.cost, rel=1e-12)


# -- laws 5, 6 and 7 -------------------------------------------------------------------------------------


@kc.pairs("backend", "rule", "extra", "dtype", "inputs")
def test_rate_zero_leaves_the_parameters(backend: Any, rule: str, extra: str, dtype: str, inputs: str) -> None:
    optimizer = bc.rule(rule, extra)
    k = kc.case((17, 5, 3), dtype=dtype, inputs=inputs, rows=9)
    found = bc.train(backend, k, np.arange(9), 2, optimizer, np.zeros(5))
    cmp.assert_same_bits([found.params], [k.params])
    assert found.steps == 5


@kc.pairs(
    "backend",
    "dtype",
    "inputs",
    rule=["descent", "momentum", "adam"],
    output=[("sigmoid", "squared_error"), ("softmax", "cross_entropy")],
)
def test_one_example_is_memorised(backend: Any, output: tuple[str, str], rule: str, dtype: str, inputs: str) -> None:
    k = kc.case((12, 5, 4), "tanh", output, 1, dtype, inputs, "labels")
    rate = 0.02 if rule == "adam" else 0.3
    found = bc.train(backend, k, np.zeros(2000, np.int64), 1, kc.RULES[rule], np.full(2000, rate))
    assert bc.gradient(backend, k)[0] > 0.1
    assert bc.gradient(backend, k._replace(params=found.params))[0] < 0.003


@kc.pairs("backend", "rule", "dtype", "inputs", "targets")
def test_two_runs_are_the_same(backend: Any, rule: str, dtype: str, inputs: str, targets: str) -> None:
    k = kc.case((33, 17, 10), "sigmoid", ("softmax", "cross_entropy"), 50, dtype, inputs, targets)
    order = np.random.default_rng(3).permutation(50)
    runs = [bc.train(backend, k, order, 8, kc.RULES[rule]) for _ in range(2)]
    cmp.assert_same_bits(*runs)
    cmp.assert_same_bits(bc.gradient(backend, k), bc.gradient(backend, k))


@kc.pairs("compiled", "rule", "hidden", "dtype", "inputs", "targets")
def test_backends_agree_after_an_epoch(
    compiled: Any, reference: Any, hidden: str, rule: str, dtype: str, inputs: str, targets: str
) -> None:
    k = kc.case((40, 16, 10), hidden, ("softmax", "cross_entropy"), 500, dtype, inputs, targets)
    order = np.random.default_rng(4).permutation(500)
    rates = np.full(50, 0.01 if rule == "adam" else 0.1)
    cmp.assert_backends_agree(compiled, reference, k, order, kc.RULES[rule], rates)


@kc.pairs("backend", name=["predict", "predictor", "gradient", "train", "compress"])
def test_signatures_are_the_protocol_s(backend: Any, name: str) -> None:
    """With equal signatures the trainer can call every backend by position or by keyword."""
    expected = list(inspect.signature(getattr(c.Backend, name)).parameters)[1:]  # without self
    found = inspect.signature(getattr(backend, name)).parameters
    assert list(found) == expected
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty for p in found.values())
