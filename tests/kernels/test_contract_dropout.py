"""The kernel contract: dropout drops the same neurons as the oracle.

Law 2 (train equals gradient and update) does not hold with dropout, so these tests compare train with the oracle.
"""

from __future__ import annotations

from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnet.kernels import contract as c

TOLERANCE = cmp.TRAINED
HALF, THIRD = 1 << 31, 1431655765
CROSS = ("softmax", "cross_entropy")


# -- the oracle --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "numbers"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_the_oracle_s_generator_gives_the_published_numbers(counter: Any, key: Any, numbers: str) -> None:
    assert " ".join(f"{number:08x}" for number in naive.philox(counter, key)) == numbers


@pytest.mark.parametrize("hidden", kc.HIDDEN)
def test_the_oracle_s_gradient_follows_its_cost_with_the_mask_fixed(hidden: str) -> None:
    k = kc.dropping(kc.case((2, 6, 5, 2), hidden, CROSS, 3), (HALF, 1), (THIRD, 2))
    xs, ts, kept = cmp.naive_inputs(k.x), cmp.naive_targets(k.y, 2), naive.factors(k.naive, 3, 1)
    assert {factor for row in kept for factor in row[0]} == {0, 2}
    assert {factor for row in kept for factor in row[1]} == {0, 2**32 / (2**32 - THIRD)}
    grad, h = cmp.naive_gradient(k, kept=kept)[1], 1e-5
    for i, derivative in enumerate(grad):
        sides = []
        for shift in (h, -h):
            moved = k.params.tolist()
            moved[i] += shift
            sides.append(naive.mean_cost(k.naive, moved, xs, ts, kept))
        assert (sides[0] - sides[1]) / (2 * h) == pytest.approx(derivative, rel=1e-6, abs=1e-9)


# -- train equals the oracle's gradient with dropout, and the optimiser's formula ---------------------------------


def expected_training(k: kc.Case, order: kc.Array, batch_size: int, rule: naive.Rule, step: int = 0) -> bc.Trained:
    """Train with the oracle's gradient, dropout and optimiser. Round to the dtype after each step."""
    params, report = k.params, []
    state = [[0.0] * len(params) for _ in range(rule.slots())]
    rates = bc.rates(order, batch_size, bc.first_rate(k))
    for number, rate in enumerate(rates.tolist()):
        rows = order[number * batch_size : (number + 1) * batch_size]
        done = cmp.naive_step(k, params, state, rows, rule, rate, step + number + 1)
        params = done.params
        report.append(done.report[0])
    total, moments = sum(row[c.COST_SUM] for row in report), np.array(state).reshape(-1, len(params))
    return bc.Trained(total, params, moments, len(rates), np.array(report))


def assert_trained(found: bc.Trained, expected: bc.Trained, tolerance: float, ties: bool = False) -> None:
    cmp.assert_close(found.params, expected.params, tolerance)
    cmp.assert_close(found.state, expected.state, tolerance)
    cmp.assert_close(found.cost, expected.cost, tolerance)
    assert found.steps == expected.steps
    columns = slice(c.SCORE if ties else None)
    cmp.assert_close(found.report[:, columns], expected.report[:, columns], tolerance)


@kc.pairs("rule", "extra", "dtype", "inputs", "targets", "weights")
def test_train_equals_the_oracle_s_gradient_and_the_formula(
    backend: Any, rule: str, extra: str, dtype: str, inputs: str, targets: str, weights: str
) -> None:
    """The order is random. The last batch is smaller. The first step is not 0. The two layers drop different shares."""
    optimizer = bc.rule(rule, extra)
    k = kc.case((6, 9, 5, 3), "tanh", CROSS, 20, dtype, inputs, targets, weights=weights)
    k = kc.dropping(k, (HALF, 11), (THIRD, -12))
    order = np.random.default_rng(1).integers(0, 20, 18)
    found = bc.train(backend, k, order, 5, optimizer, step=3)
    assert_trained(found, expected_training(k, order, 5, optimizer, 3), TOLERANCE[dtype])


@kc.pairs("backend", "hidden", "output", "dtype")
def test_dropout_in_layers_of_every_width(backend: Any, output: tuple[str, str], hidden: str, dtype: str) -> None:
    """Some layers are wider than one draw of random numbers. A layer without dropout is between two with dropout."""
    k = kc.dropping(kc.case((3, 70, 5, 18, 2), hidden, output, 7, dtype), (HALF, 1), (0, 2), (THIRD, 3))
    found = bc.train(backend, k, np.arange(7), 7, naive.Rule())
    assert_trained(found, expected_training(k, np.arange(7), 7, naive.Rule()), TOLERANCE[dtype])


@kc.pairs("backend", "rule", "dtype", given_sparse=[False, True])
def test_dropout_with_sparse_inputs(backend: Any, given_sparse: bool, rule: str, dtype: str) -> None:
    k = kc.dropping(kc.mostly_zero(kc.case((70, 37, 3), "relu", CROSS, 20, dtype)), (HALF, 5))
    expected = expected_training(k, np.arange(20), 10, kc.RULES[rule])
    if given_sparse:
        k = k._replace(x=kc.sparse(k.x, dtype))
    assert_trained(bc.train(backend, k, np.arange(20), 10, kc.RULES[rule]), expected, TOLERANCE[dtype])


@given(
    dtype=st.sampled_from(kc.DTYPES),
    widths=st.lists(st.sampled_from([1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33, 66]), min_size=1, max_size=3),
    drops=st.lists(
        st.tuples(
            st.sampled_from([0, 1, THIRD, HALF, 3 << 30, (1 << 32) - 1000]), st.integers(-(1 << 63), (1 << 63) - 1)
        ),
        min_size=3,
        max_size=3,
    ),
    hidden=st.sampled_from(kc.HIDDEN),
    rows=st.integers(1, 9),
    step=st.one_of(st.integers(0, 10), st.integers((1 << 32) - 3, (1 << 40))),
)
def test_any_shape_threshold_key_and_step(
    backend: Any, dtype: str, widths: list[int], drops: list[tuple[int, int]], hidden: str, rows: int, step: int
) -> None:
    """If nearly all neurons are dropped, the others are scaled by up to 4 million, so the rate must be small."""
    k = kc.case((2, *widths, 2), hidden, ("tanh", "squared_error"), rows, dtype)
    k = kc.dropping(k, *drops[: len(widths)])
    found = bc.train(backend, k, np.arange(rows), rows, naive.Rule(), np.array([1e-3]), step=step)
    kept = naive.factors(k.naive, rows, step + 1)
    cost, grad = cmp.naive_gradient(k, kept=kept)
    largest = max(1.0, float(np.abs(grad).max()))
    cmp.assert_close(found.cost / rows, cost, TOLERANCE[dtype])
    moved = (k.params - found.params.astype(np.float64)) / largest
    cmp.assert_close(moved, 1e-3 * np.array(grad) / largest, TOLERANCE[dtype])


@kc.pairs("backend", "rule", "dtype", rows=[c.BLOCK_ROWS + 1, 2 * c.BLOCK_ROWS + 88])
def test_rows_are_numbered_within_the_batch_not_the_block(backend: Any, rows: int, rule: str, dtype: str) -> None:
    k = kc.dropping(kc.case((3, 6, 2), "tanh", CROSS, rows, dtype), (HALF, 77))
    order = np.concatenate([np.arange(rows)[::-1], np.arange(40)])
    expected = expected_training(k, order, rows, kc.RULES[rule])
    assert_trained(bc.train(backend, k, order, rows, kc.RULES[rule]), expected, TOLERANCE[dtype])


# -- the mask itself -----------------------------------------------------------------------------------------


def masks(
    backend: Any, threshold: int, key: int, neurons: int, rows: int, update: int = 1, n_threads: int = 1
) -> kc.Array:
    """Return the factors of one hidden layer's activations, (rows, neurons), computed from the update of the weights.

    Hidden activations are 1 and outputs 0. In row r only output r has an error, so the gradient of that output's
    weights is proportional to row r's activations after dropout.
    """
    k = kc.dropping(kc.case((1, neurons, rows), "identity", ("identity", "squared_error"), rows), (threshold, key))
    params = np.zeros_like(k.params)
    params[neurons : 2 * neurons] = 1  # the hidden biases
    k = k._replace(params=params, y=np.eye(rows))
    moved = bc.train(
        backend, k, np.arange(rows), rows, naive.Rule(), np.array([rows / 2]), update - 1, n_threads=n_threads
    )
    weights = moved.params[2 * neurons : 2 * neurons + neurons * rows]
    return weights.reshape(rows, neurons)


@pytest.mark.parametrize("update", [1, 2, 1 << 32, (1 << 33) + 5])
def test_masks_equal_the_oracle_s(backend: Any, update: int) -> None:
    for neurons, rows, key in [(1, 300, 0), (67, 40, -1), (400, 5, 1 << 40), (6, 7, -(1 << 63))]:
        net = naive.Net((1, neurons, rows), ("identity", "identity"), "squared_error", drops=((THIRD, key),))
        expected = np.array([layers[0] for layers in naive.factors(net, rows, update)])
        cmp.assert_close(masks(backend, THIRD, key, neurons, rows, update), expected, 1e-15)


@kc.pairs("backend", threshold=[1 << 26, THIRD, HALF, 15 << 28])
def test_the_shares_dropped_are_binomial(backend: Any, threshold: int) -> None:
    """The number of dropped values in a mask, in each of its rows and in each of its columns is a binomial count.

    Measured with five keys: the z scores are at most 1.6 for a mask and at most 4.2 for its 456 rows and columns.
    """
    share = threshold / 2**32
    for key in range(5):
        dropped = masks(backend, threshold, key, 200, 256) == 0
        for counts, n in ((dropped.sum(), dropped.size), (dropped.sum(0), 256), (dropped.sum(1), 200)):
            z = np.abs(counts - n * share) / np.sqrt(n * share * (1 - share))
            assert z.max() < (4 if np.ndim(counts) == 0 else 5.5)


def test_masks_of_different_updates_keys_and_rows_are_independent(backend: Any) -> None:
    """Half of the values of two independent masks agree. Measured with five keys: a share of 0.494 to 0.508."""
    first = masks(backend, HALF, 1, 200, 64)
    others = [masks(backend, HALF, *other) for other in ((2, 200, 64), (1 + (1 << 32), 200, 64), (1, 200, 64, 2))]
    others += [np.roll(first, 1, 0), np.roll(first, 4, 1)]
    for other in others:
        assert 0.48 < (first == other).mean() < 0.52


def test_the_mean_over_masks_equals_the_network_without_dropout(backend: Any) -> None:
    """The hidden layer is linear. All 4,096 rows of the batch are the same example, and each row has its own mask.

    The target is 0, so the derivative of the cost with respect to the output's bias is twice the mean output. The mean
    is -0.70. The standard deviation is 1.21 for the output of a row and 0.019 for the mean of 4,096 rows. Measured
    errors with five keys: 0.002 to 0.024.
    """
    k = kc.case((4, 50, 1), "identity", ("identity", "squared_error"), 1, seed=2)
    k = k._replace(y=np.zeros((1, 1)))
    expected = float(bc.predict(backend, k)[0, 0])
    for key in range(5):
        dropped = kc.dropping(k, (HALF, key))
        moved = bc.train(backend, dropped, np.zeros(4096, np.int64), 4096, naive.Rule(), np.array([0.5]))
        assert k.params[-1] - moved.params[-1] == pytest.approx(expected, abs=0.06)


# -- results that dropout must not change ----------------------------------------------------------------------------


@kc.pairs("backend", "dtype")
def test_predictions_and_gradients_ignore_dropout(backend: Any, dtype: str) -> None:
    k = kc.case((5, 18, 9, 3), "tanh", CROSS, 20, dtype)
    dropped = kc.dropping(k, (HALF, 1), (THIRD, 2))
    cmp.assert_same_bits([bc.predict(backend, dropped)], [bc.predict(backend, k)])
    cmp.assert_same_bits(bc.gradient(backend, dropped), bc.gradient(backend, k))
    outs = [np.empty((20, 3), dtype) for _ in range(2)]
    for out, case in zip(outs, (dropped, k), strict=True):
        backend.predictor(case.net, k.params, 20, k.x.dtype, bc.workspace(case, 20))(k.x, out)
    cmp.assert_same_bits([outs[0]], [outs[1]])


@kc.pairs("backend", "rule", "dtype")
def test_a_threshold_of_zero_changes_no_bit(backend: Any, rule: str, dtype: str) -> None:
    k = kc.case((5, 18, 9, 3), "tanh", CROSS, 20, dtype)
    found = bc.train(backend, kc.dropping(k, (0, 5), (0, 6)), np.arange(20), 6, kc.RULES[rule])
    cmp.assert_same_bits(found, bc.train(backend, k, np.arange(20), 6, kc.RULES[rule]))


@kc.pairs("backend", "rule", "dtype", "inputs", batch_size=[1, 6])
def test_train_can_be_split_at_any_batch(backend: Any, rule: str, batch_size: int, dtype: str, inputs: str) -> None:
    k = kc.dropping(kc.case((17, 5, 20, 3), "relu", CROSS, 20, dtype, inputs, "labels"), (THIRD, 3), (HALF, 4))
    order = np.random.default_rng(2).permutation(20)
    rates = bc.rates(order, batch_size)
    whole = bc.train(backend, k, order, batch_size, kc.RULES[rule], rates)
    for at in (1, 2):
        head = bc.train(backend, k, order[: at * batch_size], batch_size, kc.RULES[rule], rates[:at])
        rest = k._replace(params=head.params)
        tail = bc.train(backend, rest, order[at * batch_size :], batch_size, kc.RULES[rule], rates[at:], at, head.state)
        cmp.assert_same_bits([tail.params, tail.state], [whole.params, whole.state])
        cmp.assert_same_bits([np.concatenate((head.report, tail.report))], [whole.report])
        assert head.cost + tail.cost == pytest.approx(whole.cost, rel=1e-12)


@kc.pairs("backend", "dtype")
def test_more_updates_than_a_kernel_draws_masks_for_at_once(backend: Any, dtype: str) -> None:
    k = kc.dropping(kc.case((3, 100, 2), "tanh", CROSS, 20, dtype), (HALF, 6))
    order, rates = np.resize(np.arange(20), 800), np.full(40, 0.1)
    whole = bc.train(backend, k, order, 20, naive.Rule(), rates)
    head = bc.train(backend, k, order[:140], 20, naive.Rule(), rates[:7])
    tail = bc.train(backend, k._replace(params=head.params), order[140:], 20, naive.Rule(), rates[7:], 7)
    cmp.assert_same_bits([tail.params], [whole.params])


@kc.pairs("threaded", "n_threads", "rule", "dtype", batch_size=[1, 5, 64, 300])
def test_teams_drop_the_same_neurons(threaded: Any, batch_size: int, rule: str, dtype: str, n_threads: int) -> None:
    backend = threaded
    k = kc.dropping(kc.case((40, 18, 70, 3), "sigmoid", CROSS, 300, dtype, "bytes", "labels"), (HALF, 8), (THIRD, 9))
    order = np.random.default_rng(3).permutation(300)[: 8 * batch_size + 2]
    alone, *together = (
        bc.train(backend, k, order, batch_size, kc.RULES[rule], n_threads=m) for m in (1, n_threads, n_threads)
    )
    cmp.assert_same_bits(*together)
    assert_trained(together[0], alone, 5 * TOLERANCE[dtype], ties=dtype == "float32")
    np.testing.assert_array_equal(masks(backend, THIRD, 5, 70, 41, 3, n_threads), masks(backend, THIRD, 5, 70, 41, 3))


@kc.pairs("backend", "rule", "dtype")
def test_training_with_dropout_stops_where_the_cost_is_not_finite(backend: Any, rule: str, dtype: str) -> None:
    k = kc.dropping(kc.case((6, 5, 3), "tanh", CROSS, 20, dtype), (HALF, 2))
    k.x[13, 2] = np.nan
    order = np.arange(20)
    found = bc.train(backend, k, order, 4, kc.RULES[rule])
    assert found.steps == 3
    cmp.assert_same_bits(found, bc.train(backend, k, order[:12], 4, kc.RULES[rule], bc.rates(order, 4)[:3]))


@kc.pairs("compiled", "rule", "hidden", "dtype", "inputs", "targets")
def test_backends_agree_after_an_epoch(
    compiled: Any, reference: Any, hidden: str, rule: str, dtype: str, inputs: str, targets: str
) -> None:
    k = kc.dropping(kc.case((40, 36, 16, 10), hidden, CROSS, 500, dtype, inputs, targets), (HALF, 6), (THIRD, 7))
    order = np.random.default_rng(4).permutation(500)
    rates = np.full(50, 0.1 if rule == "descent" else 0.01)  # momentum diverges at a higher rate
    cmp.assert_backends_agree(compiled, reference, k, order, kc.RULES[rule], rates)
