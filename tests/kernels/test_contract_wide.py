"""The kernel contract: wide layers. Their weights go in panels, their update in tiles of six inputs, and a row of many
outputs takes several vectors, or a part of one."""

from __future__ import annotations

import math
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest

from fastnet.kernels import contract as c

TOLERANCE = {"float32": 5e-6, "float64": 5e-14}


@kc.pairs("backend", "dtype", "inputs", sizes=[(12, 70, 3), (13, 130, 65), (20, 64, 80)])
def test_a_predictor_of_a_wide_network_equals_the_oracle(
    backend: Any, sizes: tuple[int, ...], dtype: str, inputs: str
) -> None:
    """The predictor serves few rows and many: more than a block, so that a later block is read in place, too."""
    k = kc.case(sizes, "relu", ("softmax", "cross_entropy"), 280, dtype, inputs)
    expected = naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x[-30:], k.scale))
    predictor = backend.predictor(k.net, k.params, 280, k.x.dtype, bc.workspace(k, 280))
    for rows in (1, 7, 30, 280):
        out = np.full((rows, sizes[-1]), np.nan, dtype)
        predictor(k.x[-rows:].copy(), out)
        known = min(rows, 30)
        cmp.assert_close(out[-known:], expected[-known:], TOLERANCE[dtype])


@kc.pairs("backend", "dtype", "rule", inputs_of_layer=[4, 8, 12, 16, 20, 24, 28, 44], width=[5, 30, 40, 50, 70])
def test_an_update_in_tiles_of_six_inputs_equals_the_oracle(
    backend: Any, inputs_of_layer: int, width: int, rule: str, dtype: str
) -> None:
    """Every rest of inputs beside the tiles, and every number of vectors of a column."""
    optimizer = bc.rule(rule, "decay")
    k = kc.case((inputs_of_layer, width, 2), "tanh", rows=9, dtype=dtype)
    params, grad = k.params.tolist(), cmp.naive_gradient(k)[1]
    state = [[0.0] * len(params) for _ in range(optimizer.slots())]
    naive.update(optimizer, params, state, grad, k.naive.is_weight(), 0.1, 1, 9)
    found = bc.train(backend, k, np.arange(9), 9, optimizer, np.array([0.1]))
    cmp.assert_close(found.params, params, 4 * TOLERANCE[dtype])


@kc.pairs("compiled", "rule", "dtype", rows=[30, 300])
def test_a_network_larger_than_the_second_level_cache(
    compiled: Any, reference: Any, rows: int, rule: str, dtype: str
) -> None:
    """Its update prefetches parameters. A batch of 300 rows is two blocks."""
    k = kc.case((516, 600, 3), "relu", ("softmax", "cross_entropy"), rows, dtype)
    order, optimizer = np.arange(rows), bc.rule(rule, "decay")
    one, other = (bc.train(b, k, order, rows, optimizer, np.array([0.01])) for b in (compiled, reference))
    if rule != "adam":  # Adam divides a gradient near 0 by its own size
        cmp.assert_close(one.params, other.params, 4 * TOLERANCE[dtype])
    cmp.assert_close(one.report, other.report, 4 * TOLERANCE[dtype])


@kc.pairs("backend", "dtype", "targets", n_out=[2, 15, 16, 17, 33, 100], cost=["cross_entropy", "squared_error"])
def test_a_softmax_of_many_outputs(backend: Any, n_out: int, cost: str, targets: str, dtype: str) -> None:
    k = kc.case((5, n_out), "relu", ("softmax", cost), 6, dtype, targets=targets)
    cmp.assert_close(bc.predict(backend, k), naive.predict(k.naive, k.params.tolist(), k.x.tolist()), TOLERANCE[dtype])
    for found, expected in zip(bc.gradient(backend, k), cmp.naive_gradient(k), strict=True):
        cmp.assert_close(found, expected, TOLERANCE[dtype])
    found = bc.train(backend, k, np.arange(6), 6, bc.rule("descent", "plain"))
    cmp.assert_close(found.report, [cmp.naive_report(k)], TOLERANCE[dtype])


@kc.pairs("backend", "dtype", n_out=[2, 17, 40])
def test_the_class_of_tied_targets_is_the_first_in_any_vector(backend: Any, n_out: int, dtype: str) -> None:
    """The network's class is 1. Example i has its largest targets at i and at later places, so only example 1 is
    classified correctly. Numbers below 0, as in these targets, must not lose against the padding."""
    k = kc.case((3, n_out), "relu", ("identity", "squared_error"), n_out, dtype)
    k.params[:] = 0
    k.params[-n_out + 1] = 1
    k.y[:] = -2
    for i in range(n_out):
        k.y[i, [i, (i + n_out) // 2, n_out - 1]] = -1
    found = bc.train(backend, k, np.arange(n_out), n_out, bc.rule("descent", "plain"))
    assert found.report[0, 3] == 1
    cmp.assert_close(found.report, [cmp.naive_report(k)], TOLERANCE[dtype])


@kc.pairs("dtype", "targets", "weights", n_out=[1, 3, 21, 40], is_limited=[False, True])
@pytest.mark.parametrize(
    "output", [("sigmoid", "cross_entropy"), ("exponential", "poisson")], ids=["entropy", "poisson"]
)
def test_costs_with_a_logarithm_for_each_output(
    backend: Any, output: tuple[str, str], n_out: int, is_limited: bool, targets: str, weights: str, dtype: str
) -> None:
    """Packed layers. The padding of the last vector must not count. Each logarithm of cross entropy has a limit."""
    number = 0.5 if is_limited and output[1] == "cross_entropy" else math.inf
    k = kc.case((5, n_out), "relu", output, 11, dtype, targets=targets, weights=weights, number=number)
    with bc.forced_path(is_narrow=False):
        found = bc.train(backend, k, np.arange(11), 11, naive.Rule(), np.zeros(1))
    cmp.assert_close(found.report[0, c.COST_SUM], cmp.naive_report(k)[c.COST_SUM], 10 * TOLERANCE[dtype])
