"""Comparisons of a backend's results: with the oracle's (naive.py), with another backend's, and bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import backend_calls as bc
import kernel_cases as kc
import naive
import numpy as np
import pytest

from fastnet.kernels import contract as c

# Tolerance of a comparison with the float64 oracle: some tens of rounding errors in sums of terms near 1.
TOLERANCE = {"float32": 2e-6, "float64": 3e-14}
# Tolerance after a few dozen optimiser steps, each of which adds its rounding errors.
TRAINED = {"float32": 5e-6, "float64": 1e-13}
# Largest difference after an epoch between two backends, or between a team and one thread. See docs/promises.md.
AGREEMENT = {"float32": 2e-5, "float64": 1e-12}


def naive_inputs(x: kc.Array, scale: float = c.PIXEL_SCALE) -> list[list[float]]:
    return [naive.numbers_of_bytes(row, scale) for row in x.tolist()] if x.dtype == np.uint8 else x.tolist()


def naive_targets(y: kc.Array, n_out: int) -> list[list[float]]:
    return [naive.target_of(label, n_out) for label in y.tolist()] if y.ndim == 1 else y.tolist()


def naive_gradient(k: kc.Case, rows: Any = slice(None), kept: Sequence[Any] | None = None) -> tuple[float, list[float]]:
    part = k.at(rows)
    xs, targets = naive_inputs(part.x, k.scale), naive_targets(part.y, k.naive.sizes[-1])
    return naive.gradient(k.naive, k.params.tolist(), xs, targets, kept, part.weights.tolist())


def naive_report(
    k: kc.Case, rows: Any = slice(None), kept: Sequence[Any] | None = None, penalty: float = 0.0
) -> list[float]:
    """Return the oracle's report of a batch of these rows."""
    part = k.at(rows)
    xs, targets = naive_inputs(part.x, k.scale), naive_targets(part.y, k.naive.sizes[-1])
    return naive.report(k.naive, k.params.tolist(), xs, targets, kept, part.weights.tolist(), penalty)


def naive_step(
    k: kc.Case, params: kc.Array, state: list[list[float]], rows: kc.Array, rule: naive.Rule, rate: float, count: int
) -> bc.Trained:
    """Make the oracle's update number `count` on these rows. Change `state` in place, and round the parameters."""
    now = k._replace(params=params)
    kept = naive.factors(k.naive, len(rows), count) if k.naive.drops else None
    grad = naive_gradient(now, rows, kept)[1]
    report = np.array([naive_report(now, rows, kept, rule.penalty)])
    moved = params.tolist()
    naive.update(rule, moved, state, grad, k.naive.is_weight(), rate, count, report[0, c.WEIGHT_SUM])
    moved_state = np.array(state).reshape(-1, len(params))
    return bc.Trained(report[0, c.COST_SUM], np.array(moved, params.dtype), moved_state, 1, report)


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Compare within `tolerance` times the largest value, or times 1 if all values are smaller.

    The rounding error of a sum is relative to its terms, which are near 1 here, even if the sum itself is small.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    largest = max(1.0, float(np.abs(expected).max(initial=0)))
    worst = float(np.abs(actual - expected).max(initial=0))
    assert worst <= tolerance * largest, f"off by {worst}, of {largest}"


def assert_same_bits(first: Any, second: Any) -> None:
    """Compare bit for bit: -0.0 differs from 0.0, and a NaN equals itself."""
    for a, b in zip(first, second, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def assert_backends_agree(
    compiled: Any, reference: Any, k: kc.Case, order: kc.Array, rule: naive.Rule, rates: kc.Array
) -> None:
    """Compare the results of two backends after an epoch in batches of 10."""
    found, expected = (bc.train(backend, k, order, 10, rule, rates) for backend in (compiled, reference))
    tolerance, dtype = AGREEMENT[k.params.dtype.name], k.params.dtype
    assert_close(found.params, expected.params, tolerance)
    assert found.cost == pytest.approx(expected.cost, rel=tolerance)
    assert abs(found.score - expected.score) <= (2 if dtype == np.float32 else 0)
    assert found.steps == expected.steps == len(rates)


def assert_a_stop_ends_it(backend: Any, dtype: str, rule: naive.Rule, n_threads: int = 1, size: int = 32) -> None:
    """Set STOP in another thread while `train` runs. The call must end early, after a whole number of steps."""
    k, steps = kc.case((64, 64, 10), "tanh", ("softmax", "cross_entropy"), 2 * size, dtype, targets="labels"), 150_000
    order, rate = np.resize(np.arange(2 * size), size * steps), np.full(steps, 0.01)  # a step takes 10 to 200 us
    bc.train(backend, k, order[: 2 * size], size, rule, n_threads=n_threads)  # compiles before the clock starts
    for delay in (0.05, 0.2, 0.8, 3.2):  # if no step was done on a busy machine, wait longer
        record = bc.call(k, order, size, rule, rate, n_threads=n_threads)
        timer = threading.Timer(delay, record.progress.__setitem__, (c.STOP, 1))
        timer.start()
        found = bc.trained(backend, record)
        timer.join()
        if found.steps:
            break
    assert 0 < found.steps < steps
    again = bc.train(backend, k, order[: size * found.steps], size, rule, rate[: found.steps], n_threads=n_threads)
    assert_same_bits(found[1:], again[1:])
