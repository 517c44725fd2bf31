"""kernels/formulas.py: every row of the table is right, and every backend implements the row."""

from __future__ import annotations

from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest

from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.training import optimizers

Z = np.random.default_rng(0).normal(0, 2, (3, 40))
TARGET = np.random.default_rng(1).dirichlet(np.ones(3), 40).T  # each column sums to 1
WEIGHTS = np.random.default_rng(2).uniform(0, 3, 40)
AS_IT_IS = [*np.eye(3).ravel(), *np.zeros(3)]  # the parameters of a layer whose weighted sums are its inputs
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}

every_dtype = pytest.mark.parametrize("dtype", kc.DTYPES)
every_activation = pytest.mark.parametrize("row", formulas.ACTIVATIONS.values(), ids=lambda row: row.name)
every_cost = pytest.mark.parametrize("cost", formulas.COSTS)


def oracle_report(output: str, cost: str, target: Any, weights: Any, task: str = "classification") -> list[float]:
    """Return the oracle's report for the weighted sums Z."""
    net = naive.Net((3, 3), (output,), cost, kc.number_of(cost), task)
    weights = None if weights is None else weights.tolist()
    return naive.report(net, AS_IT_IS, Z.T.tolist(), target.tolist(), weights=weights)


def pair_of(output: str, cost: str) -> formulas.Pair:
    return formulas.pair_of(kc.network((3, 3), (output,), cost))


def test_each_code_has_one_row() -> None:
    for table in (formulas.ACTIVATIONS, formulas.COSTS):
        assert len({row.code for row in table.values()}) == len(table)
        assert all(name == row.name for name, row in table.items())


# -- the table against the oracle, and against differences -----------------------------------------------------------


@every_dtype
@every_activation
def test_functions_and_derivatives_equal_oracle_and_differences(row: formulas.Activation, dtype: str) -> None:
    z = Z.astype(dtype)
    a = row.function(z)
    cmp.assert_close(a, np.transpose([naive.activate(row.name, column) for column in z.T.tolist()]), TOLERANCE[dtype])
    assert a.dtype == dtype
    in_place = z.copy()
    assert row.function(in_place, in_place) is in_place
    cmp.assert_same_bits([in_place], [a])
    assert row.low <= a.min()
    assert a.max() <= row.high
    if row.derivative is not None:
        derivative, step = row.derivative(a), 1e-6
        assert derivative.dtype == dtype
        difference = (row.function(Z + step) - row.function(Z - step)) / (2 * step)
        cmp.assert_close(derivative, difference, TOLERANCE[dtype] + 1e-8)


@every_dtype
@every_cost
def test_costs_and_deltas_equal_oracle_and_differences(cost: str, dtype: str) -> None:
    for output in formulas.COSTS[cost].outputs:
        pair, function = pair_of(output, cost), formulas.ACTIVATIONS[output].function
        z, target = Z.astype(dtype), TARGET.astype(dtype)
        a = function(z)
        for weights in (None, WEIGHTS.astype(dtype)):
            expected = oracle_report(output, cost, TARGET.T, weights)[c.COST_SUM]
            cmp.assert_close(pair.cost(z, target, a - target, weights), expected, 10 * TOLERANCE[dtype])
        delta, step = pair.delta(a, a - target), 1e-5
        assert delta.dtype == dtype
        for j, i in np.ndindex(*Z.shape):
            z, target = Z[:, [i]], TARGET[:, [i]]
            moves = step * np.eye(3)[:, [j]]
            high, low = (pair.cost(z + move, target, function(z + move) - target, None) for move in (moves, -moves))
            assert delta[j, i] == pytest.approx((high - low) / (2 * step), rel=1e-4, abs=2e-5)


# -- the compiled backends against the table --------------------------------------------------------------------------


def through(row: formulas.Activation, dtype: str) -> tuple[kc.Case, Any]:
    """Return a case whose second layer has the weighted sums Z, and Z in the dtype. The first layer is the identity."""
    k = kc.case((3, 3), output=(row.name, "squared_error"), rows=Z.shape[1], dtype=dtype)
    k.params[:] = AS_IT_IS
    return k._replace(x=np.ascontiguousarray(Z.T, dtype), y=np.ascontiguousarray(TARGET.T, dtype)), Z.astype(dtype)


@every_dtype
def test_a_backend_has_every_activation(backend: Any, dtype: str) -> None:
    for row in formulas.ACTIVATIONS.values():
        k, z = through(row, dtype)
        cmp.assert_close(bc.predict(backend, k).T, row.function(z), TOLERANCE[dtype])


@every_dtype
def test_a_backend_has_every_derivative(backend: Any, dtype: str) -> None:
    """Both layers have weight 1 and the cost is the squared error, so the derivative can be read from the gradient."""
    for name in kc.HIDDEN:
        row = formulas.ACTIVATIONS[name]
        assert row.derivative is not None
        k = kc.case((3, 3, 3), name, ("identity", "squared_error"), Z.shape[1], dtype)
        k.params[:] = AS_IT_IS * 2
        k = k._replace(x=np.ascontiguousarray(Z.T, dtype), y=np.ascontiguousarray(TARGET.T, dtype))
        a = row.function(Z.astype(dtype))
        delta = 2 * (a - TARGET) * row.derivative(a) / len(k.x)
        gradient = bc.gradient(backend, k)[1][: 3 * 3 + 3]
        cmp.assert_close(gradient, [*(delta @ k.x).ravel(), *delta.sum(1)], 10 * TOLERANCE[dtype])


@every_dtype
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["none", "drawn"])
def test_a_backend_has_every_cost_and_delta(backend: Any, weights: Any, dtype: str) -> None:
    for output, cost in kc.PAIRS:
        row, pair = formulas.ACTIVATIONS[output], pair_of(output, cost)
        k, z = through(row, dtype)
        k = k._replace(net=kc.network((3, 3), (output,), cost), weights=kc.NO_WEIGHTS if weights is None else weights)
        total = len(k.x) if weights is None else weights.sum()
        a = row.function(z)
        found, gradient = bc.gradient(backend, k)
        error = a - TARGET
        delta = pair.delta(a, error) * (1 if weights is None else weights) / total
        cmp.assert_close(found, pair.cost(z, TARGET, error, weights) / total, 10 * TOLERANCE[dtype])
        cmp.assert_close(gradient, [*(delta @ k.x).ravel(), *delta.sum(1)], 10 * TOLERANCE[dtype])


@every_dtype
def test_cross_entropy_counts_a_logarithm_up_to_its_limit(backend: Any, dtype: str) -> None:
    """The gradient ignores the limit."""
    for output in formulas.COSTS["cross_entropy"].outputs:
        net = naive.Net((3, 3), (output,), "cross_entropy", 1.5)
        expected = naive.report(net, AS_IT_IS, Z.T.tolist(), TARGET.T.tolist())[c.COST_SUM]
        k, _ = through(formulas.ACTIVATIONS[output], dtype)
        k = k._replace(net=kc.network((3, 3), (output,), "cross_entropy", number=1.5))
        cost, gradient = bc.gradient(backend, k)
        cmp.assert_close(cost, expected / len(k.x), 10 * TOLERANCE[dtype])
        assert expected < 0.9 * oracle_report(output, "cross_entropy", TARGET.T, None)[c.COST_SUM]
        unlimited = k._replace(net=kc.network((3, 3), (output,), "cross_entropy"))
        cmp.assert_same_bits([gradient], [bc.gradient(backend, unlimited)[1]])


# -- the cost outside training, and the documentation -----------------------------------------------------------------


@kc.pairs("task", labels=[True, False], weights=[None, WEIGHTS])
def test_evaluate_equals_the_oracle(task: str, labels: bool, weights: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the smaller limit, `evaluate` works in parts of seven examples."""
    y = TARGET.argmax(0) if labels else TARGET.T
    for output, cost in kc.PAIRS:
        expected = oracle_report(output, cost, np.eye(3)[y] if labels else y, weights, task)
        net = kc.network((3, 3), (output,), cost, task)
        for outputs in (1 << 13, 3 * 7):
            monkeypatch.setattr(formulas, "COST_OUTPUTS", outputs)
            given = kc.NO_WEIGHTS if weights is None else weights
            found = formulas.evaluate(net, np.ascontiguousarray(Z.T), y, given)
            columns = [c.COST_SUM, c.WEIGHT_SUM, c.SCORE, c.LABELS]
            assert found == pytest.approx([expected[column] for column in columns], rel=1e-12)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["none", "drawn"])
def test_evaluate_of_labels_keeps_the_limit_of_a_logarithm(weights: Any) -> None:
    labels, given = TARGET.argmax(0), kc.NO_WEIGHTS if weights is None else weights
    net = kc.network((3, 3), ("softmax",), "cross_entropy", number=1.5)
    z = np.ascontiguousarray(5 * Z.T)
    found = formulas.evaluate(net, z, labels, given)
    assert found == pytest.approx(formulas.evaluate(net, z, np.eye(3)[labels], given), rel=1e-12)
    unlimited = kc.network((3, 3), ("softmax",), "cross_entropy")
    assert found.cost < 0.9 * formulas.evaluate(unlimited, z, labels, given).cost


def test_each_optimiser_has_a_row() -> None:
    assert formulas.UPDATES.keys() == optimizers.OPTIMIZERS.keys()


def test_the_documentation_has_every_row() -> None:
    text = formulas.markdown()
    for table in (formulas.ACTIVATIONS, formulas.COSTS, formulas.UPDATES):
        assert all(f"| `{name}` |" in text for name in table)
    lines = text.split("\n")
    widths = {len(line.split("|")) for line in lines if line}
    assert "" in lines
    assert widths == {8, 5}
