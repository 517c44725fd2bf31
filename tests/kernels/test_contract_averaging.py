"""The kernel contract: gradients that processes average, and updates with a given gradient (laws 16 and 17)."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest

from fastnet import checks
from fastnet.kernels import contract as c


def gradient_only(backend: Any, k: kc.Case, rows: kc.Array, step: int = 0, n_threads: int = 1) -> bc.Trained:
    """Call `train` on one batch with GRADIENT_ONLY. The gradient is the state of the result."""
    call = bc.call(k, rows, len(rows), naive.Rule("momentum"), np.zeros(1), step, n_threads=n_threads)
    return bc.trained(backend, call._replace(optimizer=c.GRADIENT_ONLY))


def updated(
    backend: Any, k: kc.Case, state: kc.Array, gradient: kc.Array, rule: naive.Rule, rate: float, done: int
) -> tuple[kc.Array, kc.Array]:
    """Call `update` on copies. Return the parameters and the state. The IN arrays must stay the same."""
    given = [k.net.copy(), gradient.copy(), bc.optimizer(rule)]
    for array in given:
        array.flags.writeable = False
    params, moved = k.params.copy(), state.copy()
    backend.update(given[0], params, moved, given[1], given[2], rate, done)
    cmp.assert_same_bits(given, [k.net, gradient, bc.optimizer(rule)])
    return params, moved


def weighted(rule: naive.Rule, weight: float) -> naive.Rule:
    """Return the rule with the penalty of a batch as weight decay, as the caller of `update` passes it."""
    return replace(rule, weight_decay=rule.weight_decay + rule.penalty / weight, penalty=0.0)


@kc.pairs("dtype", "inputs", "targets", "task", "weights", is_narrow=[True, False], rows=[1, 13, c.BLOCK_ROWS + 9])
def test_gradient_only_leaves_the_parameters_and_gives_the_gradient(
    backend: Any, dtype: str, inputs: str, targets: str, task: str, weights: str, is_narrow: bool, rows: int
) -> None:
    k = kc.case((5, 18, 3), "tanh", ("sigmoid", "cross_entropy"), rows, dtype, inputs, targets, 0, task, weights)
    k = k if k.weights.size == 0 else k._replace(weights=k.weights + 0.5)
    with bc.forced_path(is_narrow):
        found = gradient_only(backend, k, np.arange(rows))
        trained = bc.train(backend, k, np.arange(rows), rows, naive.Rule())
    cmp.assert_same_bits([found.params], [k.params])
    cmp.assert_close(found.state[0], bc.gradient(backend, k)[1], cmp.TOLERANCE[dtype])
    cmp.assert_close(found.report, trained.report, cmp.TOLERANCE[dtype])
    assert found.steps == 1


@kc.pairs(
    "backend", "rule", "extra", "dtype", "inputs", "weights", sizes=[(6, 9, 3), (33, 17, 70, 10)], threads=[1, 2],
    drop=[0, 1 << 31], path=[True, False],
)  # fmt: skip
def test_gradient_only_then_update_equals_train(
    backend: Any,
    rule: str,
    extra: str,
    dtype: str,
    inputs: str,
    weights: str,
    sizes: tuple[int, ...],
    threads: int,
    drop: int,
    path: bool,
) -> None:
    """Three batches, so that the state of the optimiser counts. The last is smaller. The step count starts above 0."""
    optimizer, threads = bc.rule(rule, extra), min(threads, backend.MAX_THREADS)
    k = kc.case(sizes, "tanh", ("softmax", "cross_entropy"), 20, dtype, inputs, "labels", 0, weights=weights)
    k = kc.dropping(k, *((drop, 7 + layer) for layer in range(len(sizes) - 2))) if drop else k
    order, rates = np.random.default_rng(1).integers(0, 20, 13), np.array([0.1, 0.05, 0.02])
    with bc.forced_path(path):
        whole = bc.train(backend, k, order, 5, optimizer, rates, step=3)
        params, state, report = k.params, np.zeros_like(whole.state), []
        for number, rate in enumerate(rates):
            rows, now = order[5 * number : 5 * number + 5], k._replace(params=params)
            one = gradient_only(backend, now, rows, 3 + number, threads)
            weight = one.report[0, c.WEIGHT_SUM]
            scaled = weighted(optimizer, weight) if weight else replace(optimizer, penalty=0.0)
            params, state = updated(backend, now, state, one.state[0], scaled, rate, 3 + number)
            report.append(one.report[0])
    cmp.assert_close(params, whole.params, cmp.TRAINED[dtype])
    cmp.assert_close(state, whole.state, cmp.TRAINED[dtype])
    columns = [c.COST_SUM, c.WEIGHT_SUM]  # rounding may decide a score
    cmp.assert_close(np.array(report)[:, columns], whole.report[:, columns], cmp.TRAINED[dtype])


@kc.pairs("rule", "extra", "dtype", done=[0, 41], sizes=[(1, 1), (5, 3, 2), (70, 90, 3)])
def test_update_equals_the_optimiser_s_formula(
    backend: Any, rule: str, extra: str, dtype: str, done: int, sizes: tuple[int, ...]
) -> None:
    """The largest case has more parameters than a piece of the NumPy backend, and numbers of all remainders."""
    optimizer, k = replace(bc.rule(rule, extra), penalty=0.0), kc.case(sizes, dtype=dtype)
    rng = np.random.default_rng(2)
    gradient = rng.normal(0, 0.5, len(k.params)).astype(dtype)
    state = rng.random((optimizer.slots(), len(k.params))).astype(dtype)
    found = updated(backend, k, state, gradient, optimizer, 0.1, done)
    params, moments = k.params.tolist(), state.tolist()
    naive.update(optimizer, params, moments, gradient.tolist(), k.naive.is_weight(), 0.1, done + 1)
    for part, expected in zip(found, (params, np.reshape(moments, state.shape)), strict=True):
        cmp.assert_close(part, expected, cmp.TOLERANCE[dtype])


@kc.pairs("backend", "rule", "extra", "dtype", "inputs", "weights")
def test_parts_of_a_batch_make_the_update_of_the_whole(
    backend: Any, rule: str, extra: str, dtype: str, inputs: str, weights: str
) -> None:
    """This is what several processes do: they average their gradients by weight, then make the same update."""
    optimizer = replace(bc.rule(rule, extra), penalty=0.0)
    k = kc.case((7, 9, 3), "tanh", ("softmax", "cross_entropy"), 20, dtype, inputs, "labels", 0, weights=weights)
    whole = bc.train(backend, k, np.arange(20), 20, optimizer, np.array([0.1]))
    parts = [gradient_only(backend, k, rows) for rows in (np.arange(4), np.arange(4, 17), np.arange(17, 20))]
    shares = [part.report[0, c.WEIGHT_SUM] for part in parts]
    mean = sum(share * part.state[0].astype(np.float64) for share, part in zip(shares, parts, strict=True))
    gradient = (mean / sum(shares)).astype(dtype)
    params, state = updated(backend, k, np.zeros_like(whole.state), gradient, optimizer, 0.1, 0)
    cmp.assert_close(params, whole.params, cmp.TRAINED[dtype])
    cmp.assert_close(state, whole.state, cmp.TRAINED[dtype])


@kc.pairs("backend", "dtype")
def test_a_huge_gradient_is_clipped(backend: Any, dtype: str) -> None:
    """The sum of the squares of these numbers is too large for float32."""
    k, rule = kc.case((5, 3), dtype=dtype), naive.Rule(clip_norm=1.0)
    gradient = np.full_like(k.params, 1e25)
    params, _ = updated(backend, k, np.empty((0, len(k.params)), dtype), gradient, rule, 1.0, 0)
    cmp.assert_close(params, k.params - 1 / np.sqrt(len(k.params)), cmp.TOLERANCE[dtype])


def test_the_signature_is_the_protocol_s(backend: Any) -> None:
    expected = list(inspect.signature(c.AveragingBackend.update).parameters)[1:]
    assert list(inspect.signature(backend.update).parameters) == expected


def test_the_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        c.GRADIENT_ONLY[0] = 2


def test_a_backend_without_update_is_refused_in_words(backend: Any) -> None:
    assert checks.averaging_backend("own", backend) is backend
    with pytest.raises(ValueError, match="the backend 'mine' cannot average gradients, because it has no function up"):
        checks.averaging_backend("mine", object())  # type: ignore[arg-type]  # as little as a backend can have
