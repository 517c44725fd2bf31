"""Several epochs in one call of `train`: a batch ends where an epoch ends. Each epoch equals a call of its own."""

from __future__ import annotations

from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import numpy as np
import pytest

from fastnet.kernels import contract as c


def epochs_apart(backend: Any, k: kc.Case, call: c.TrainCall, epoch_rows: int) -> bc.Trained:
    """Train with a call for each epoch. The report has the rows of all epochs."""
    reports, done, cost = [], 0, 0.0
    for start in range(0, len(call.order), epoch_rows):
        order = call.order[start : start + epoch_rows]
        rates = call.rates[done : done + -(-len(order) // call.batch_size)]
        part = call._replace(
            order=order, rates=rates, step=done, report=np.full((len(rates), c.REPORT_COLUMNS), np.nan)
        )
        found = bc.trained(backend, part)
        reports.append(found.report)
        done, cost = done + found.steps, cost + found.cost
    return bc.Trained(cost, call.params, call.state, done, np.concatenate(reports))


# 12 rows of an epoch are one batch, two equal batches, batches of 5, 5 and 2, or twelve batches.
@kc.pairs("backend", "rule", "extra", "dtype", "inputs", "weights", batch_size=[12, 6, 5, 1], rows=[36, 31, 24, 7])
def test_epochs_in_one_call_equal_epochs_in_calls_of_their_own(
    backend: Any, rule: str, extra: str, dtype: str, inputs: str, weights: str, batch_size: int, rows: int
) -> None:
    optimizer, drops = bc.rule(rule, extra), (1 << 31, 77)
    k = kc.case((17, 5, 3), "tanh", ("softmax", "cross_entropy"), 12, dtype, inputs, "labels", 0, weights=weights)
    k = kc.dropping(k, drops)
    order = np.random.default_rng(2).integers(0, 12, rows)
    n_batches = len(c.batches(rows, batch_size, 12))
    rates = np.linspace(0.1, 0.4, n_batches)
    together = bc.trained(backend, bc.call(k, order, batch_size, optimizer, rates)._replace(epoch_rows=12))
    apart = epochs_apart(backend, k, bc.call(k, order, batch_size, optimizer, rates), 12)
    assert together.steps == apart.steps == n_batches
    cmp.assert_same_bits([together.params, together.state, together.report], [apart.params, apart.state, apart.report])
    assert together.cost == pytest.approx(apart.cost, rel=1e-12)


@kc.pairs("backend", "dtype")
def test_epochs_of_large_batches_end_where_the_epoch_ends(backend: Any, dtype: str) -> None:
    rows = c.BLOCK_ROWS + 30  # the first batch of an epoch is two blocks, the second is smaller
    k = kc.case((3, 4, 2), rows=rows + 40, dtype=dtype)
    order = np.random.default_rng(0).integers(0, rows + 40, 3 * (rows + 40))
    rates = np.full(6, 0.3)
    together = bc.trained(
        backend, bc.call(k, order, rows, bc.rule("adam", "plain"), rates)._replace(epoch_rows=rows + 40)
    )
    apart = epochs_apart(backend, k, bc.call(k, order, rows, bc.rule("adam", "plain"), rates), rows + 40)
    cmp.assert_same_bits([together.params, together.state, together.report], [apart.params, apart.state, apart.report])


@kc.pairs("threaded", "n_threads", "dtype")
def test_a_team_ends_batches_where_the_epoch_ends(threaded: Any, n_threads: int, dtype: str) -> None:
    k = kc.case((17, 5, 3), rows=12, dtype=dtype)
    order = np.random.default_rng(2).integers(0, 12, 31)
    rates = np.full(8, 0.3)
    calls = [bc.call(k, order, 5, bc.rule("adam", "all"), rates, n_threads=n_threads) for _ in range(2)]
    together = bc.trained(threaded, calls[0]._replace(epoch_rows=12))
    apart = epochs_apart(threaded, k, calls[1], 12)
    assert together.steps == 8
    cmp.assert_same_bits([together.params, together.state, together.report], [apart.params, apart.state, apart.report])


def test_the_batches_of_an_order() -> None:
    assert [(s.start, s.stop) for s in c.batches(9, 3, 4)] == [(0, 3), (3, 4), (4, 7), (7, 8), (8, 9)]
    assert [(s.start, s.stop) for s in c.batches(5, 3)] == [(0, 3), (3, 5)]
    assert c.batches(0, 3) == []
