"""The kernel contract: calls on few rows. The compiled backends then read the weights as they are, without packing.

The shapes are random: ragged numbers of inputs and of neurons, and numbers of rows on both sides of FEW_ROWS.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest

from fastnet.kernels import contract as c

ROWS = [*range(1, 10), c.FEW_ROWS - 1, c.FEW_ROWS, c.FEW_ROWS + 1, c.FEW_ROWS + 5]
TOLERANCE = {"float32": 4e-6, "float64": 3e-14}


def sizes_of(seed: int) -> tuple[int, ...]:
    """Two or three layers with 1 to 40 inputs and 1 to 33 neurons each. Every fifth network takes digits."""
    rng = np.random.default_rng(seed)
    n_in = 784 if seed % 5 == 0 else int(rng.integers(1, 41))
    return n_in, *(int(n) for n in rng.integers(1, 34, rng.integers(1, 4)))


@kc.pairs("backend", "dtype", "inputs", "weights", rows=ROWS, seed=range(20))
def test_predict_and_gradient(backend: Any, rows: int, seed: int, dtype: str, inputs: str, weights: str) -> None:
    hidden = kc.HIDDEN[seed % len(kc.HIDDEN)]
    k = kc.case(sizes_of(seed), hidden, ("sigmoid", "squared_error"), rows, dtype, inputs, seed=seed, weights=weights)
    expected = naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x, k.scale))
    cmp.assert_close(bc.predict(backend, k), expected, TOLERANCE[dtype])
    (cost, grad), (expected_cost, expected_grad) = bc.gradient(backend, k), cmp.naive_gradient(k)
    cmp.assert_close(cost, expected_cost, TOLERANCE[dtype])
    cmp.assert_close(grad, expected_grad, TOLERANCE[dtype])


@kc.pairs("backend", "dtype", "output", "targets")
def test_every_output_and_cost(backend: Any, dtype: str, output: tuple[str, str], targets: str) -> None:
    k = kc.case((37, 19, 3), "tanh", output, 5, dtype, targets=targets)
    cost, grad = bc.gradient(backend, k)
    expected_cost, expected = cmp.naive_gradient(k)
    cmp.assert_close(cost, expected_cost, TOLERANCE[dtype])
    cmp.assert_close(grad, expected, TOLERANCE[dtype])


@kc.pairs("backend", "dtype", "inputs", rows=[1, 3, c.FEW_ROWS, c.FEW_ROWS + 1])
def test_two_calls_give_the_same_bits(backend: Any, dtype: str, inputs: str, rows: int) -> None:
    k = kc.mostly_zero(kc.case((83, 21, 4), "relu", rows=rows, dtype=dtype, inputs=inputs))
    assert bc.predict(backend, k).tobytes() == bc.predict(backend, k).tobytes()
    assert bc.gradient(backend, k)[1].tobytes() == bc.gradient(backend, k)[1].tobytes()


@kc.pairs("backend", "dtype", "rule", "extra", "inputs", "weights", seed=range(10), size=[1, 2, 7, 130, 260])
def test_a_call_with_one_batch_makes_the_same_step(
    backend: Any, dtype: str, rule: str, extra: str, inputs: str, weights: str, seed: int, size: int
) -> None:
    """A call with one batch need not pack the optimiser's state. Its bits are those of a call with three batches."""
    k = kc.case(sizes_of(seed), "tanh", rows=2 * size + 3, dtype=dtype, inputs=inputs, seed=seed, weights=weights)
    if seed % 2:
        k = kc.mostly_zero(k)
    optimizer = bc.rule(rule, extra)
    order = np.random.default_rng(seed).permutation(len(k.x))[: 2 * size + 1]
    rates = bc.rates(order, size)
    whole = bc.train(backend, k, order, size, optimizer, rates)
    params, state = k.params, np.zeros((optimizer.slots(), len(k.params)), dtype)
    for step in range(len(rates)):
        rows = order[step * size : step * size + size]
        now = k._replace(params=params)
        part = bc.train(backend, now, rows, size, optimizer, rates[step : step + 1], step, state)
        params, state = part.params, part.state
        assert part.report.tobytes() == whole.report[step : step + 1].tobytes()
    assert params.tobytes() == whole.params.tobytes()
    assert state.tobytes() == whole.state.tobytes()


@kc.pairs("backend", "dtype", "rule", "extra", seed=range(20))
def test_packing_and_unpacking_change_no_parameter(backend: Any, dtype: str, rule: str, extra: str, seed: int) -> None:
    k = kc.case(sizes_of(seed), rows=6, dtype=dtype, seed=seed)
    order = np.arange(6)
    for size in (3, 6):
        found = bc.train(backend, k, order, size, bc.rule(rule, extra), np.zeros(6 // size))
        assert found.params.tobytes() == k.params.tobytes()


@kc.pairs("backend", "dtype", size=[3, 8])
def test_a_stopped_call_with_one_batch_changes_nothing(backend: Any, dtype: str, size: int) -> None:
    k = kc.case((9, 5, 2), rows=8, dtype=dtype)
    rule = replace(kc.RULES["adam"], weight_decay=0.1)
    state = np.random.default_rng(0).random((2, len(k.params))).astype(dtype)
    found = bc.train(backend, k, np.arange(size), size, rule, state=state, stop=1)
    assert found.steps == 0
    cmp.assert_same_bits((found.params, found.state), (k.params, state))


@pytest.mark.parametrize("place", ["weight", "input"])
def test_a_number_that_is_not_finite_reaches_the_output(compiled: Any, place: str) -> None:
    """A ragged last vector must not hide a NaN, nor bring one in from the numbers beside it."""
    k = kc.case((5, 3, 2), "identity", ("identity", "half_squared_error"), 3)
    if place == "weight":
        k.params[4] = np.nan  # the last weight of the first neuron
        assert np.isnan(bc.predict(compiled, k)).all()
    else:
        k.x[1, 4] = np.nan
        assert np.isnan(bc.predict(compiled, k)).all(1).tolist() == [False, True, False]


def test_a_block_has_room_for_few_rows() -> None:
    assert c.FEW_ROWS <= c.MIN_BLOCK_ROWS
