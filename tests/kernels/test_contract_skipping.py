"""The kernel contract: dense inputs that are mostly zero. The compiled backends skip these zeros.

A backend skips zeros only if the network has at least SPARSE_INPUTS inputs. Most other contract tests use fewer.
"""

from __future__ import annotations

from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest

from fastnet.kernels import contract as c

TOLERANCE = {"float32": 3e-6, "float64": 3e-14}
TRAINED = {"float32": 1e-5, "float64": 2e-13}
# The neurons of the first layers fill one to nine vectors. Most numbers of inputs are no multiple of a vector or block.
SHAPES = [(64, 16, 3), (65, 1), (79, 17, 2), (80, 40), (101, 70, 4), (130, 9, 5), (70, 130, 2), (784, 16, 16, 10)]


def case(sizes: tuple[int, ...], rows: int, dtype: str, inputs: str, share: float = 0.2) -> kc.Case:
    k = kc.case(sizes, "tanh", ("sigmoid", "squared_error"), rows, dtype, inputs, byte_scale=0.003)
    return kc.mostly_zero(k, share)


@kc.pairs("backend", "dtype", "inputs", rows=[1, 2, 7, 20], sizes=SHAPES)
def test_predict_and_gradient(backend: Any, rows: int, sizes: tuple[int, ...], dtype: str, inputs: str) -> None:
    k = case(sizes, rows, dtype, inputs)
    expected = naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x, k.scale))
    cmp.assert_close(bc.predict(backend, k), expected, TOLERANCE[dtype])
    (cost, grad), (expected_cost, expected_grad) = bc.gradient(backend, k), cmp.naive_gradient(k)
    cmp.assert_close(cost, expected_cost, TOLERANCE[dtype])
    cmp.assert_close(grad, expected_grad, TOLERANCE[dtype])


@kc.pairs("backend", "dtype", "inputs", sizes=[(64, 16, 3), (67, 130, 2)])
def test_many_rows_are_predicted_in_pieces(backend: Any, sizes: tuple[int, ...], dtype: str, inputs: str) -> None:
    """The number of rows is odd, or more than a block. The second layer is so wide that a block is one piece."""
    for rows in (33, 64, 600):
        k = case(sizes, rows, dtype, inputs)
        expected = naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x, k.scale))
        cmp.assert_close(bc.predict(backend, k), expected, TOLERANCE[dtype])


@kc.pairs("backend", "rule", "extra", "dtype", "inputs", sizes=SHAPES)
def test_training_on_mostly_zero_inputs_equals_gradient_and_the_formula(
    backend: Any, extra: str, rule: str, sizes: tuple[int, ...], dtype: str, inputs: str
) -> None:
    """The order is random, and the last batch is smaller."""
    optimizer = bc.rule(rule, extra)
    k = case(sizes, 12, dtype, inputs)
    order = np.random.default_rng(1).integers(0, 12, 11)
    params, is_weight = k.params.tolist(), k.naive.is_weight()
    state = [[0.0] * len(params) for _ in range(optimizer.slots())]
    for step, start in enumerate(range(0, 11, 4)):
        rows = order[start : start + 4]
        now = k._replace(params=np.array(params, dtype), x=k.x[rows], y=k.y[rows])
        grad = bc.gradient(backend, now)[1].tolist()
        naive.update(optimizer, params, state, grad, is_weight, bc.rates(order, 4)[step], step + 1, len(rows))
    found = bc.train(backend, k, order, 4, optimizer)
    cmp.assert_close(found.params, params, TRAINED[dtype])
    cmp.assert_same_bits(found, bc.train(backend, k, order, 4, optimizer))


@kc.pairs("backend", "rule", "dtype", "inputs", batch_size=[1, 2, 127, 128, 129, 256, 257, 600])
def test_batches_of_any_size(backend: Any, batch_size: int, rule: str, dtype: str, inputs: str) -> None:
    """One call gives the same bits as two calls on its parts, and the same result as a call on SparseRows."""
    k = case((70, 20, 3), 700, dtype, inputs)
    order = np.random.default_rng(2).permutation(700)[:600]
    whole = bc.train(backend, k, order, batch_size, kc.RULES[rule], bc.rates(order, batch_size))
    at = 600 // 2 // batch_size * batch_size
    rates, done = bc.rates(order, batch_size), at // batch_size
    head = bc.train(backend, k, order[:at], batch_size, kc.RULES[rule], rates[:done])
    rest = k._replace(params=head.params)
    tail = bc.train(backend, rest, order[at:], batch_size, kc.RULES[rule], rates[done:], done, head.state)
    cmp.assert_same_bits((whole.params, whole.state), (tail.params, tail.state))
    sparse = k._replace(x=kc.sparse(k.x, k.params.dtype, scale=k.scale))
    found = bc.train(backend, sparse, order, batch_size, kc.RULES[rule], bc.rates(order, batch_size))
    cmp.assert_close(found.params, whole.params, {"float32": 1e-4, "float64": 1e-12}[dtype])


@kc.pairs("backend", "dtype", "inputs")
def test_full_rows_that_the_sample_missed(backend: Any, dtype: str, inputs: str) -> None:
    """Only the rows in the kernel's sample are mostly zero. The workspace must also have room for full rows."""
    n = 4 * c.SPARSE_SAMPLE
    k = kc.case((66, 33, 2), "tanh", ("sigmoid", "squared_error"), n, dtype, inputs)
    x = np.where(k.x == 0, 1, k.x).astype(k.x.dtype)
    x[:: n // c.SPARSE_SAMPLE] = 0
    k, order = k._replace(x=x), np.arange(n)
    for rule in ("descent", "adam"):
        found = bc.train(backend, k, order, 101, kc.RULES[rule])
        sparse = k._replace(x=kc.sparse(k.x, k.params.dtype, False))
        cmp.assert_close(found.params, bc.train(backend, sparse, order, 101, kc.RULES[rule]).params, TRAINED[dtype])
    expected = naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x))
    cmp.assert_close(bc.predict(backend, k), expected, TOLERANCE[dtype])


@pytest.mark.parametrize(("n_in", "share", "skips"), [(64, 0.35, True), (64, 0.45, False), (63, 0.2, False)])
@kc.pairs("backend", "inputs")
def test_zeros_are_skipped_where_enough_inputs_are_zero(
    backend: Any, n_in: int, share: float, skips: bool, inputs: str
) -> None:
    """An input that is always zero has a NaN weight. The outputs are finite only if the backend skips zeros."""
    k = kc.case((n_in, 5, 2), "tanh", ("sigmoid", "squared_error"), 40, "float64", inputs)
    k.x[k.x == 0] = 1
    k.x[:, int(n_in * share) :] = 0
    k.x[:, 3] = 0
    k.params[3 : n_in * 5 : n_in] = np.nan
    if backend.__name__.endswith("numpy_backend"):
        skips = False
    assert np.isfinite(bc.predict(backend, k)).all() == skips
