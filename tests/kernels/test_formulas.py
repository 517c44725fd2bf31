"""kernels/formulas.py: every row of the table is right, and every backend implements the row."""

from __future__ import annotations

from typing import Any

import kernel_cases as kc
import naive
import numpy as np
import pytest

from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.training import optimizers

Z = np.random.default_rng(0).normal(0, 2, (3, 40))
TARGET = np.random.default_rng(1).dirichlet(np.ones(3), 40).T  # each column sums to 1
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}

every_dtype = pytest.mark.parametrize("dtype", kc.DTYPES)
every_activation = pytest.mark.parametrize("row", formulas.ACTIVATIONS.values(), ids=lambda row: row.name)
every_pair = pytest.mark.parametrize(("output", "cost"), kc.OUTPUTS)


def oracle_cost(output: str, cost: str, target: Any) -> float:
    """Return the oracle's cost, summed over the examples."""
    net = naive.Net((3, 3), (output,), cost)
    return sum(
        naive.example_cost(net, z, naive.activate(output, z), t)
        for z, t in zip(Z.T.tolist(), target.tolist(), strict=True)
    )


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
    kc.assert_close(a, np.transpose([naive.activate(row.name, column) for column in z.T.tolist()]), TOLERANCE[dtype])
    assert a.dtype == dtype
    in_place = z.copy()
    assert row.function(in_place, in_place) is in_place
    kc.assert_same_bits([in_place], [a])
    assert row.low <= a.min()
    assert a.max() <= row.high
    if row.derivative is not None:
        derivative, step = row.derivative(a), 1e-6
        assert derivative.dtype == dtype
        difference = (row.function(Z + step) - row.function(Z - step)) / (2 * step)
        kc.assert_close(derivative, difference, TOLERANCE[dtype] + 1e-8)


@every_dtype
@every_pair
def test_costs_and_deltas_equal_oracle_and_differences(output: str, cost: str, dtype: str) -> None:
    pair, activation = formulas.COSTS[cost].pairs[output], formulas.ACTIVATIONS[output]
    target = TARGET.astype(dtype)

    def summed(z: Any) -> float:
        return pair.cost(z, TARGET, activation.function(z) - TARGET)

    expected = oracle_cost(output, cost, TARGET.T)
    a = activation.function(Z.astype(dtype))
    kc.assert_close(pair.cost(Z.astype(dtype), target, a - target), expected, 10 * TOLERANCE[dtype])
    delta, step = pair.delta(a, a - target), 1e-6
    assert delta.dtype == dtype
    for at in np.ndindex(*Z.shape):
        moved = np.zeros_like(Z)
        moved[at] = step
        assert delta[at] == pytest.approx((summed(Z + moved) - summed(Z - moved)) / (2 * step), rel=1e-4, abs=1e-5)


# -- the compiled backends against the table --------------------------------------------------------------------------


def through(row: formulas.Activation, dtype: str) -> tuple[kc.Case, Any]:
    """Return a case whose second layer has the weighted sums Z, and Z in the dtype. The first layer is the identity."""
    k = kc.case((3, 3), output=(row.name, "squared_error"), rows=Z.shape[1], dtype=dtype)
    k.params[:] = [*np.eye(3).ravel(), *np.zeros(3)]
    return k._replace(x=np.ascontiguousarray(Z.T, dtype), y=np.ascontiguousarray(TARGET.T, dtype)), Z.astype(dtype)


@every_dtype
@every_activation
def test_a_backend_has_every_activation(backend: Any, row: formulas.Activation, dtype: str) -> None:
    k, z = through(row, dtype)
    kc.assert_close(kc.predict(backend, k).T, row.function(z), TOLERANCE[dtype])


@every_dtype
@pytest.mark.parametrize("name", kc.HIDDEN)
def test_a_backend_has_every_derivative(backend: Any, name: str, dtype: str) -> None:
    """Both layers have weight 1 and the cost is the squared error, so the derivative can be read from the gradient."""
    row = formulas.ACTIVATIONS[name]
    assert row.derivative is not None
    k = kc.case((3, 3, 3), name, ("identity", "squared_error"), Z.shape[1], dtype)
    k.params[:] = [*np.eye(3).ravel(), *np.zeros(3)] * 2
    k = k._replace(x=np.ascontiguousarray(Z.T, dtype), y=np.ascontiguousarray(TARGET.T, dtype))
    a = row.function(Z.astype(dtype))
    delta = 2 * (a - TARGET) * row.derivative(a) / len(k.x)
    gradient = kc.gradient(backend, k)[1][: 3 * 3 + 3]
    kc.assert_close(gradient, [*(delta @ k.x).ravel(), *delta.sum(1)], 10 * TOLERANCE[dtype])


@every_dtype
@every_pair
def test_a_backend_has_every_cost_and_delta(backend: Any, output: str, cost: str, dtype: str) -> None:
    row, pair = formulas.ACTIVATIONS[output], formulas.COSTS[cost].pairs[output]
    k, z = through(row, dtype)
    k.net[-1, c.COST] = formulas.COSTS[cost].code
    a = row.function(z)
    found, gradient = kc.gradient(backend, k)
    error = a - TARGET
    delta = pair.delta(a, error) / len(k.x)
    kc.assert_close(found, pair.cost(z, TARGET, error) / len(k.x), 10 * TOLERANCE[dtype])
    kc.assert_close(gradient, [*(delta @ k.x).ravel(), *delta.sum(1)], 10 * TOLERANCE[dtype])


# -- the cost outside training, and the documentation -----------------------------------------------------------------


@every_pair
@pytest.mark.parametrize("labels", [True, False])
def test_evaluate_equals_the_oracle(output: str, cost: str, labels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the smaller limit, `evaluate` works in parts of seven examples."""
    y = TARGET.argmax(0) if labels else TARGET.T
    target = np.eye(3)[y] if labels else y
    expected = oracle_cost(output, cost, target)
    right = sum(naive.correct(z, t) for z, t in zip(Z.T.tolist(), target.tolist(), strict=True))
    codes = formulas.ACTIVATIONS[output].code, formulas.COSTS[cost].code
    for outputs in (formulas.COST_OUTPUTS, 3 * 7):
        monkeypatch.setattr(formulas, "COST_OUTPUTS", outputs)
        found = formulas.evaluate(*codes, np.ascontiguousarray(Z.T), y)
        assert found == (pytest.approx(expected, rel=1e-12), right)


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
