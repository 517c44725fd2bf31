"""The kernel contract: a team of threads in one call of `train` gives the results of one thread."""

from __future__ import annotations

import threading
import time
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest

from fastnet.kernels import contract as c

TRAINED = cmp.TRAINED


def test_every_backend_names_its_largest_team(backend: Any) -> None:
    assert isinstance(backend.MAX_THREADS, int)
    assert backend.MAX_THREADS >= 1


def assert_as_alone(
    backend: Any, k: kc.Case, order: kc.Array, batch_size: int, rule: naive.Rule, n_threads: int, scale: float = 1
) -> bc.Trained:
    dtype = k.params.dtype.name
    found = bc.train(backend, k, order, batch_size, rule, n_threads=n_threads)
    alone = bc.train(backend, k, order, batch_size, rule)
    cmp.assert_close(found.params, alone.params, scale * TRAINED[dtype])
    cmp.assert_close(found.state, alone.state, scale * TRAINED[dtype])
    assert found.cost == pytest.approx(alone.cost, rel=scale * TRAINED[dtype])
    assert found.steps == alone.steps == -(-len(order) // batch_size)
    off = np.abs(found.report.sum(0) - alone.report.sum(0))
    uncertain = [c.SCORE, c.LABELS] if dtype == "float32" and k.naive.task != "regression" else []
    assert (off[uncertain] <= 3).all()  # rounding decides a tie: an example counts up to its weight
    off[uncertain] = 0
    assert (off <= scale * TRAINED[dtype] * alone.report.sum(0).clip(1)).all()
    again = bc.train(backend, k, order, batch_size, rule, n_threads=n_threads)
    cmp.assert_same_bits(again, found)
    return found


@kc.pairs("n_threads", "rule", "extra", "dtype", "inputs", "targets", "task", "weights")
def test_teams_with_every_optimiser(
    threaded: Any,
    rule: str,
    extra: str,
    dtype: str,
    inputs: str,
    targets: str,
    n_threads: int,
    task: str,
    weights: str,
) -> None:
    optimizer = bc.rule(rule, extra)
    output = ("softmax", "cross_entropy")
    k = kc.case((30, 19, 9, 3), "tanh", output, 60, dtype, inputs, targets, 0, task, weights)
    assert_as_alone(threaded, k, np.random.default_rng(1).integers(0, 60, 100), 24, optimizer, n_threads)


@kc.pairs("n_threads", "dtype", "weights", sparse=[False, True], batch_size=[1, 2, 3, 5, 17, 64, 256, 257, 600, 1500])
def test_teams_with_batches_of_every_size(
    threaded: Any, batch_size: int, sparse: bool, dtype: str, weights: str, n_threads: int
) -> None:
    """Some batches have fewer rows than the team has threads, and some have more rows than a block."""
    output = ("softmax", "cross_entropy")
    k = kc.case((40, 18, 3), "sigmoid", output, 1500, dtype, "bytes", "labels", weights=weights)
    k = kc.mostly_zero(k)
    if sparse:
        k = k._replace(x=kc.sparse(k.x, dtype))
    order = np.random.default_rng(2).permutation(1500)[: min(30 * batch_size + batch_size // 2 + 1, 1500)]
    assert_as_alone(threaded, k, order, batch_size, naive.Rule(), n_threads, 5)


@kc.pairs("threaded", "n_threads", "rule", "extra", "dtype", zeros=[False, True])
def test_teams_with_a_shared_gradient_of_several_blocks(
    threaded: Any, rule: str, extra: str, dtype: str, zeros: bool, n_threads: int
) -> None:
    """The parameters outweigh the rows, so each thread computes the gradient of its inputs."""
    k = kc.case((500, 500, 3), "relu", ("softmax", "cross_entropy"), 350, dtype, "floats", "labels")
    k = kc.mostly_zero(k) if zeros else k
    assert not c.plan(k.net, 300, 0, int(dtype[-2:]) // 8, n_threads).own_gradients
    order = np.random.default_rng(5).integers(0, 350, 700)
    assert_as_alone(threaded, k, order, 300, bc.rule(rule, extra), n_threads, 5)


@kc.pairs("threaded", "n_threads", "hidden", "output", "dtype")
def test_teams_with_layers_of_every_kind(
    threaded: Any, output: tuple[str, str], hidden: str, dtype: str, n_threads: int
) -> None:
    k = kc.case((7, 33, 5, 2), hidden, output, 40, dtype)
    assert_as_alone(threaded, k, np.arange(40), 16, naive.Rule(), n_threads)


@kc.pairs("threaded", "n_threads", sizes=[(1, 1), (1, 3), (2, 1, 2), (200, 2)])
def test_teams_with_more_threads_than_neurons(threaded: Any, sizes: tuple[int, ...], n_threads: int) -> None:
    k = kc.case(sizes, "tanh", ("identity", "squared_error"), 30)
    assert_as_alone(threaded, k, np.arange(30), 9, kc.RULES["momentum"], n_threads)


@kc.pairs("threaded", "n_threads", "rule")
def test_a_stop_set_beforehand_ends_the_call(threaded: Any, rule: str, n_threads: int) -> None:
    k = kc.case((6, 5, 3))
    state = np.full((kc.RULES[rule].slots(), len(k.params)), 0.25)
    found = bc.train(threaded, k, np.arange(7), 4, kc.RULES[rule], state=state, stop=1, n_threads=n_threads)
    cmp.assert_same_bits([found.params, found.state], [k.params, state])
    assert (found.cost, found.steps, found.score) == (0, 0, 0)


@kc.pairs("threaded", "n_threads", "dtype")
def test_a_stop_set_during_the_call_stops_the_team(threaded: Any, dtype: str, n_threads: int) -> None:
    """All threads stop before the same step: with a shared gradient, and with a gradient of each thread."""
    cmp.assert_a_stop_ends_it(threaded, dtype, naive.Rule(), n_threads)
    cmp.assert_a_stop_ends_it(threaded, dtype, naive.Rule(), n_threads, 128)


@kc.pairs("threaded", "n_threads", "rule", "dtype", row=[12, 15])
def test_a_cost_that_is_not_finite_stops_all(threaded: Any, row: int, rule: str, dtype: str, n_threads: int) -> None:
    """The row with the NaN is the first or the last of a batch, so different workers find it."""
    k = kc.case((6, 5, 3), "tanh", ("softmax", "cross_entropy"), 20, dtype)
    k.x[row, 2] = np.nan
    order = np.arange(20)
    found = bc.train(threaded, k, order, 4, kc.RULES[rule], n_threads=n_threads)
    before = bc.train(threaded, k, order[:12], 4, kc.RULES[rule], bc.rates(order, 4)[:3], n_threads=n_threads)
    assert found.steps == 3
    cmp.assert_same_bits(found, before)


@kc.pairs("threaded", "n_threads")
def test_teams_train_the_same_when_split_at_any_batch(threaded: Any, n_threads: int) -> None:
    k = kc.case((17, 5, 3), "relu", ("softmax", "cross_entropy"), 60, "float32", "bytes", "labels")
    order = np.random.default_rng(2).permutation(60)
    rates = bc.rates(order, 16)
    whole = bc.train(threaded, k, order, 16, kc.RULES["adam"], rates, n_threads=n_threads)
    head = bc.train(threaded, k, order[:32], 16, kc.RULES["adam"], rates[:2], n_threads=n_threads)
    rest = k._replace(params=head.params)
    tail = bc.train(
        threaded, rest, order[32:], 16, kc.RULES["adam"], rates[2:], step=2, state=head.state, n_threads=n_threads
    )
    cmp.assert_same_bits([tail.params, tail.state], [whole.params, whole.state])


@kc.pairs("threaded", "n_threads")
def test_a_broken_team_returns(threaded: Any, n_threads: int) -> None:
    """One worker never calls `train`, and a timer marks the team as broken. The other workers must return."""
    k = kc.case((6, 5, 3), rows=40)
    call = bc.call(k, np.arange(40), 8, naive.Rule(), n_threads=n_threads)
    threads = [
        threading.Thread(target=threaded.train, args=(call._replace(worker=worker),), daemon=True)
        for worker in range(n_threads - 1)
    ]
    for thread in threads:
        thread.start()
    threading.Timer(0.2, call.team.__setitem__, (c.BROKEN, 1)).start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


@kc.pairs("threaded", "n_threads")
def test_a_team_larger_than_the_cores_yields(threaded: Any, n_threads: int) -> None:
    """A waiting thread yields its core. Otherwise each barrier would take a time slice of the scheduler."""
    k = kc.case((20, 16, 3), rows=100)
    assert_as_alone(threaded, k, np.arange(100), 20, naive.Rule(), min(8 * n_threads, threaded.MAX_THREADS), 5)


# -- a gradient of each thread, for the thread's rows ------------------------------------------------------------


def with_own_gradients(inputs: str, dtype: str, width: int, batch_size: int, n_threads: int, weights: str) -> kc.Case:
    """A network whose inputs outweigh its parameters. The threads of a team then keep gradients of their own."""
    k = kc.case((210, width, 9, 3), "tanh", ("softmax", "cross_entropy"), 700, dtype, weights=weights)
    if inputs != "dense":
        k = kc.mostly_zero(k)
    if inputs == "given sparse":
        k = k._replace(x=kc.sparse(k.x, dtype))
    plan = c.plan(k.net, batch_size, 0, int(dtype[-2:]) // 8, n_threads)
    assert plan.own_gradients
    assert not plan.ld
    return k


@kc.pairs(
    "threaded", "n_threads", "rule", "extra", "dtype", "weights", drops=[False, True],
    inputs=["dense", "sparse", "given sparse"], width=[18, 40], batch_size=[256, 301, 577],
)  # fmt: skip
def test_own_gradients_with_every_optimiser(
    threaded: Any,
    rule: str,
    extra: str,
    dtype: str,
    weights: str,
    drops: bool,
    inputs: str,
    width: int,
    batch_size: int,
    n_threads: int,
) -> None:
    """Some batches have a smaller last block, whose rows are divided in other places. The last batch is smaller."""
    k = with_own_gradients(inputs, dtype, width, batch_size, n_threads, weights)
    if drops:
        k = kc.dropping(k, (1 << 31, 8), (1 << 30, 9))
    order = np.random.default_rng(3).integers(0, 700, 2 * batch_size + 7)
    assert_as_alone(threaded, k, order, batch_size, bc.rule(rule, extra), n_threads, 5)


@kc.pairs("threaded", "n_threads", "dtype", "rule", row=[0, 255, 299])
def test_own_gradients_stop_where_the_cost_is_not_finite(
    threaded: Any, row: int, dtype: str, rule: str, n_threads: int
) -> None:
    """Another thread finds the NaN for each row. It lies in the first block of the second batch, or in the second."""
    k = with_own_gradients("dense", dtype, 18, 300, n_threads, "none")
    order = np.arange(600)
    k.x[300 + row, 2] = np.nan
    found = bc.train(threaded, k, order, 300, kc.RULES[rule], n_threads=n_threads)
    before = bc.train(threaded, k, order[:300], 300, kc.RULES[rule], bc.rates(order, 300)[:1], n_threads=n_threads)
    assert found.steps == 1
    cmp.assert_same_bits(found, before)
    stopped = bc.train(threaded, k, order, 300, kc.RULES[rule], stop=1, n_threads=n_threads)
    assert (stopped.cost, stopped.steps) == (0, 0)
    cmp.assert_same_bits([stopped.params], [k.params])


@kc.pairs("threaded", "n_threads", "dtype", inputs=["dense", "sparse"])
def test_own_gradients_do_not_depend_on_the_split_of_an_order(
    threaded: Any, inputs: str, dtype: str, n_threads: int
) -> None:
    """A call that ends within an epoch gives the bits of a longer call."""
    k, adam = with_own_gradients(inputs, dtype, 40, 300, n_threads, "none"), kc.RULES["adam"]
    order = np.random.default_rng(4).permutation(700)
    rates = bc.rates(order, 300)
    whole = bc.train(threaded, k, order, 300, adam, rates, n_threads=n_threads)
    head = bc.train(threaded, k, order[:300], 300, adam, rates[:1], n_threads=n_threads)
    tail = bc.train(
        threaded, k._replace(params=head.params), order[300:], 300, adam, rates[1:], 1, head.state, n_threads=n_threads
    )
    cmp.assert_same_bits([tail.params, tail.state], [whole.params, whole.state])


@kc.pairs("threaded", "dtype")
def test_own_gradients_wait_before_a_smaller_block(threaded: Any, dtype: str) -> None:
    """In a smaller block, a thread's rows lie where another thread may still compute its rows of the block before.

    Worker 0 only arrives at the first barrier. So worker 1 computes rows 128 to 255 of the first block, and no other.
    """
    k = with_own_gradients("dense", dtype, 18, 300, 2, "none")
    call = bc.call(k, np.arange(300), 300, naive.Rule(), n_threads=2)._replace(worker=1)
    call.work.fill(0)
    call.team[c.ARRIVED] = 1
    thread = threading.Thread(target=threaded.train, args=(call,), daemon=True)
    thread.start()
    nodes = c.plan(k.net, 300, 0, k.params.itemsize, 2).nodes
    rows = call.work[nodes[0, c.ACTIVATIONS_AT] :][: 256 * nodes[0, c.WIDTH]].reshape(256, -1)
    deadline = time.monotonic() + 60
    while not (call.team[c.ARRIVED] == 1 and rows[255].any()) and time.monotonic() < deadline:
        time.sleep(0.01)
    moved_on = rows[:128].any()
    call.team[c.BROKEN] = 1
    thread.join(20)
    assert not thread.is_alive()
    assert rows[128:].any(axis=1).all()
    assert not moved_on
