"""The kernel contract: `train` on small dense layers, with the rows of a batch along the lanes (contract.narrow).

The rule decides by shape. Most tests here force one of the two paths, so that both run on the same shapes.
"""

from __future__ import annotations

import math
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
from drawn_cases import cases, rules
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet.kernels import contract as c


def train(backend: Any, k: kc.Case, *arguments: Any, is_narrow: bool = True, **options: Any) -> bc.Trained:
    with bc.forced_path(is_narrow):
        return bc.train(backend, k, *arguments, **options)


def oracle(k: kc.Case, order: kc.Array, size: int, rule: naive.Rule, rates: kc.Array) -> bc.Trained:
    """Train with the scalar loops."""
    params, state, reports = k.params, [[0.0] * len(k.params) for _ in range(rule.slots())], []
    for step, rate in enumerate(rates):
        done = cmp.naive_step(k, params, state, order[step * size : (step + 1) * size], rule, float(rate), step + 1)
        params = done.params
        reports.append(done.report[0])
    report = np.array(reports)
    return bc.Trained(report[:, c.COST_SUM].sum(), params, np.array(state).reshape(-1, len(params)), len(rates), report)


def assert_equals_oracle(
    backend: Any, k: kc.Case, order: kc.Array, size: int, rule: naive.Rule, is_narrow: bool = True
) -> None:
    rates = bc.rates(order, size, bc.first_rate(k))
    found = train(backend, k, order, size, rule, rates, is_narrow=is_narrow)
    expected = oracle(k, order, size, rule, rates)
    tolerance = 10 * cmp.TRAINED[k.params.dtype.name]  # rounding may decide the side of a kink of a ReLU
    cmp.assert_close(found.params, expected.params, tolerance)
    cmp.assert_close(found.state, expected.state, tolerance)
    if k.naive.task != "regression":  # rounding may decide a tie
        expected.report[:, [c.SCORE, c.LABELS]] = found.report[:, [c.SCORE, c.LABELS]]
    cmp.assert_close(found.report, expected.report, tolerance)
    assert found.steps == len(rates)


@settings(max_examples=60)
@given(
    k=cases(),
    size=st.integers(1, 40),
    length=st.integers(1, 50),
    rule=rules(),
    is_narrow=st.sampled_from([True, False]),
)
def test_both_paths_equal_the_oracle(
    backend: Any, k: kc.Case, size: int, length: int, rule: naive.Rule, is_narrow: bool
) -> None:
    """Any shape, activation, output, cost, dtype and optimiser, in batches of any size, the last one smaller."""
    order = np.random.default_rng(length).integers(0, len(k.x), min(length, 2 * size))
    assert_equals_oracle(backend, k, order, size, rule, is_narrow)


@kc.pairs("output", "hidden", "dtype", "targets", "weights", "inputs")
def test_every_cost_and_activation(
    backend: Any, output: tuple[str, str], hidden: str, dtype: str, targets: str, weights: str, inputs: str
) -> None:
    k = kc.case((6, 9, 3), hidden, output, 21, dtype, inputs, targets, weights=weights)
    assert_equals_oracle(backend, k, np.arange(21)[::-1].copy(), 21, naive.Rule())


@kc.pairs("dtype", "weights", "targets")
def test_costs_of_certain_outputs(backend: Any, dtype: str, weights: str, targets: str) -> None:
    """Large sums: the softmax rounds to 0, and the logarithm must not. The limit of the cost counts."""
    for output in (("softmax", "cross_entropy"), ("sigmoid", "cross_entropy")):
        for limit in (math.inf, 20.0):
            k = kc.case((4, 3), output=output, rows=19, dtype=dtype, targets=targets, weights=weights, number=limit)
            k = k._replace(params=k.params * 60)
            found = train(backend, k, np.arange(19), 19, naive.Rule(), np.zeros(1))
            cmp.assert_close(found.report[0, c.COST_SUM], cmp.naive_report(k)[c.COST_SUM], cmp.TOLERANCE[dtype])


@kc.pairs("rule", "extra", "dtype", "weights", size=[1, 7, 16, 33, 257, 600])
def test_an_order_can_be_cut_at_any_batch(
    backend: Any, rule: str, extra: str, dtype: str, weights: str, size: int
) -> None:
    """A batch may have several blocks. The bits are the same, for a workspace full of NaN."""
    k = kc.dropping(kc.case((5, 10, 3), "tanh", ("softmax", "cross_entropy"), 50, dtype, weights=weights), (1 << 30, 9))
    order = np.random.default_rng(3).integers(0, 50, 3 * size + size // 2)
    optimizer, rates = bc.rule(rule, extra), bc.rates(order, size)
    whole = train(backend, k, order, size, optimizer, rates)
    head = train(backend, k, order[: 2 * size], size, optimizer, rates[:2])
    rest = k._replace(params=head.params)
    tail = train(backend, rest, order[2 * size :], size, optimizer, rates[2:], step=2, state=head.state)
    cmp.assert_same_bits([tail.params, tail.state], [whole.params, whole.state])
    cmp.assert_same_bits([np.concatenate([head.report, tail.report])], [whole.report])


@kc.pairs("rule", "extra", "dtype", "inputs", size=[5, 20, 48, 300])
def test_dropout_and_blocks_equal_the_other_path(
    backend: Any, rule: str, extra: str, dtype: str, inputs: str, size: int
) -> None:
    """The dropped neurons depend on the row in the batch, also in its second block."""
    k = kc.case((7, 13, 6, 3), "relu", ("softmax", "cross_entropy"), 60, dtype, inputs, "labels")
    k = kc.dropping(k, (1 << 31, 5), (1 << 30, -5))
    order = np.random.default_rng(4).integers(0, 60, 2 * size)
    found, expected = (
        train(backend, k, order, size, bc.rule(rule, extra), is_narrow=is_narrow) for is_narrow in (True, False)
    )
    cmp.assert_close(found.params, expected.params, 10 * cmp.TRAINED[dtype])
    cmp.assert_close(found.report[:, c.COST_SUM], expected.report[:, c.COST_SUM], 10 * cmp.TRAINED[dtype])


@kc.pairs("threaded", "rule", "extra", "dtype", "weights", n_threads=[2, 3, 5], size=[3, 40, 300])
def test_a_team_gives_the_bits_of_one_thread(
    threaded: Any, rule: str, extra: str, dtype: str, weights: str, n_threads: int, size: int
) -> None:
    """Sums over rows and over inputs have one order, whatever the shares of the threads. Only the cost is regrouped."""
    k = kc.case((9, 17, 5, 3), "tanh", ("softmax", "cross_entropy"), 60, dtype, weights=weights)
    k = kc.dropping(k, (1 << 30, 5), (1 << 30, -5))
    order = np.random.default_rng(6).integers(0, 60, 2 * size + 1)
    optimizer = bc.rule(rule, extra)
    alone = train(threaded, k, order, size, optimizer)
    team = train(threaded, k, order, size, optimizer, n_threads=n_threads)
    cmp.assert_same_bits([team.params, team.state], [alone.params, alone.state])
    cmp.assert_close(team.report, alone.report, 1e-12 if dtype == "float64" else 1e-6)


@kc.pairs("backend", "dtype", "rule")
def test_a_row_that_is_not_finite_stops_before_the_update(backend: Any, dtype: str, rule: str) -> None:
    """The lanes after the last row repeat it. They must not hide its NaN, and must not bring one of their own."""
    k = kc.case((6, 5, 3), "relu", ("softmax", "cross_entropy"), 40, dtype)
    k.x[39, 2] = np.nan
    order = np.arange(40)
    found = train(backend, k, order, 20, kc.RULES[rule])
    before = train(backend, k, order[:20], 20, kc.RULES[rule], bc.rates(order, 20)[:1])
    assert found.steps == 1
    cmp.assert_same_bits(found, before)


def test_a_hidden_layer_whose_bias_overflows(backend: Any) -> None:
    """An input of 0 would overflow the exponential. No row is 0, so no lane may be."""
    k = kc.case((1, 2, 2), "exponential", ("identity", "squared_error"), 5, "float32", targets="labels")
    params = np.array([-100, -100, 200, 200, 1e-3, 1e-3, 1e-3, 1e-3, 0, 0], np.float32)
    k = k._replace(params=params, x=np.full((5, 1), 2, np.float32))
    found = train(backend, k, np.arange(5), 5, naive.Rule())
    assert np.isfinite(found.params).all()
    assert (found.params != params).any()


def test_the_rule() -> None:
    """Small tables use columns. Batches far below a vector, wide layers and sparse rows do not."""

    def columns(sizes: tuple[int, ...], rows: int, itemsize: int = 4, sparse: bool = False) -> bool:
        net = kc.network(sizes, ["relu"] * (len(sizes) - 1), "squared_error")
        return c.plan(net, rows, 0, itemsize, sparse=sparse).ld > 0

    assert columns((4, 8, 3), 16)
    assert columns((4, 100, 3), 150)
    assert columns((30, 100, 2), 200)
    assert columns((30, 100, 2), 200, 8)
    assert not columns((30, 100, 2), 200, sparse=True)
    assert not columns((30, 100, 2), 1)
    assert not columns((784, 512, 10), 128)
    assert not columns((128, 256, 256, 1000), 256)
