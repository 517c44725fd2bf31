"""The kernel contract: the weights of examples, and the penalty of the weights of a network."""

from __future__ import annotations

from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
from drawn_cases import cases, rules
from hypothesis import given
from hypothesis import strategies as st

from fastnet.kernels import contract as c

TOLERANCE = cmp.TOLERANCE


@given(k=cases(), optimizer=rules(), seed=st.integers(0, 999))
def test_a_whole_weight_stands_for_so_many_examples(backend: Any, k: kc.Case, optimizer: naive.Rule, seed: int) -> None:
    """An example of weight 3 counts like three examples, and an example of weight 0 like none."""
    counts = np.random.default_rng(seed).integers(0, 4, len(k.x))
    counts[seed % len(counts)] = 2  # so that the sum is not 0
    weighted, repeated = k._replace(weights=counts.astype(np.float64)), k._replace(weights=kc.NO_WEIGHTS)
    rows, tolerance = np.repeat(np.arange(len(k.x)), counts), 5 * TOLERANCE[k.params.dtype.name]
    for found, expected in zip(bc.gradient(backend, weighted), bc.gradient(backend, repeated.at(rows)), strict=True):
        cmp.assert_close(found, expected, tolerance)
    rate = np.array([1e-3])
    one = bc.train(backend, weighted, np.arange(len(k.x)), len(k.x), optimizer, rate)
    other = bc.train(backend, repeated, rows, len(rows), optimizer, rate)
    cmp.assert_close(one.params, other.params, tolerance)
    cmp.assert_close(one.state, other.state, tolerance)
    if k.naive.task != "regression":  # rounding may decide a tie between outputs
        one.report[:, [c.SCORE, c.LABELS]] = other.report[:, [c.SCORE, c.LABELS]]
    cmp.assert_close(one.report, other.report, tolerance)


@given(
    k=cases(),
    optimizer=rules(),
    batch_size=st.integers(1, 24),
    given_sparse=st.booleans(),
    n_threads=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_weights_of_1_give_the_same_bits_as_none(
    backend: Any, k: kc.Case, optimizer: naive.Rule, batch_size: int, given_sparse: bool, n_threads: int, seed: int
) -> None:
    """The order omits some rows. Their weights are not 1."""
    if given_sparse:
        k = k._replace(x=kc.sparse(k.x, k.params.dtype, scale=k.scale))
    rng, n_threads = np.random.default_rng(seed), min(n_threads, backend.MAX_THREADS)
    order = rng.integers(0, len(k.x), rng.integers(1, 3 * batch_size + 1))
    weights = np.full(len(k.x), 7.0)
    weights[order] = 1
    results = []
    for each in (kc.NO_WEIGHTS, weights):
        call = bc.call(k._replace(weights=each), order, batch_size, optimizer, n_threads=n_threads)
        results.append([bc.together(backend, call), call.params, call.state, call.progress, call.report])
    cmp.assert_same_bits(*results)
    ones = k._replace(weights=np.ones(len(k.x)))
    cmp.assert_same_bits(bc.gradient(backend, ones), bc.gradient(backend, k._replace(weights=kc.NO_WEIGHTS)))


@kc.pairs("backend", "dtype")
def test_a_batch_of_weight_0_has_a_gradient_of_0_and_no_penalty(backend: Any, dtype: str) -> None:
    """The update is still made: momentum goes on, and the weights decay."""
    k = kc.case((3, 4, 2), "tanh", dtype=dtype, rows=3)
    k = k._replace(weights=np.zeros(3))
    for name in kc.RULES:
        rule = bc.rule(name, "all")
        state = np.full((rule.slots(), len(k.params)), 0.25, dtype)
        found = bc.train(backend, k, np.arange(3), 3, rule, state=state)
        moved, moments = k.params.tolist(), state.tolist()
        naive.update(rule, moved, moments, [0.0] * len(moved), k.naive.is_weight(), 0.1, 1, weight=0.0)
        cmp.assert_close(found.params, moved, TOLERANCE[dtype])
        cmp.assert_close(found.state.ravel(), np.ravel(moments), TOLERANCE[dtype])
        cmp.assert_close(found.report, [cmp.naive_report(k, penalty=rule.penalty)], TOLERANCE[dtype])
        assert found.steps == 1


@kc.pairs("backend", "inputs", "weights")
def test_an_update_follows_the_gradient_of_the_reported_cost_and_penalty(
    backend: Any, inputs: str, weights: str
) -> None:
    """In each batch, the increased cost is (COST_SUM + PENALTY_COST) / WEIGHT_SUM. The last batch is smaller."""
    k = kc.case((3, 4, 2), "tanh", ("softmax", "cross_entropy"), 8, "float64", inputs, weights=weights)
    rule, step = naive.Rule(penalty=0.7), 1e-5

    def increased_cost(rows: kc.Array, params: kc.Array) -> float:
        row = bc.train(backend, k._replace(params=params), rows, 5, rule, np.zeros(1)).report[0]
        return float((row[c.COST_SUM] + row[c.PENALTY_COST]) / row[c.WEIGHT_SUM])

    for rows in (np.arange(5), np.arange(5, 8)):
        moved = bc.train(backend, k, rows, 5, rule, np.ones(1)).params
        for i, change in enumerate(np.eye(len(k.params)) * step):
            sides = increased_cost(rows, k.params + change), increased_cost(rows, k.params - change)
            assert abs((k.params[i] - moved[i]) - (sides[0] - sides[1]) / (2 * step)) < 1e-8
