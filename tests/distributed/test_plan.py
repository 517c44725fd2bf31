"""The plan of a training on many processes: its closed forms against simulations, and its laws."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import pytest

from fastnet.distributed import (
    Cluster,
    Work,
    allreduce_seconds,
    in_threads,
    measured_cluster,
    measured_work,
    measuring,
    plan,
)
from fastnet.distributed.cost import largest_normal, simulated_seconds, slowest_seconds
from fastnet.distributed.plan import EVERY

FAST = Cluster(latency=2e-6, bandwidth=10e9, adding=10e9, straggler=0.1)
WORK = Work((784, 16, 16, 10), 13_002, 10, 4e-6, 30e-6, 50e-6, (64, 52_016), (64, 156_048))


@pytest.mark.parametrize("n", [2, 3, 16, 1024])
def test_the_expected_largest_normal_is_the_mean_of_random_ones(n: int) -> None:
    drawn = np.random.default_rng(0).standard_normal((4000, n)).max(axis=1)
    assert abs(largest_normal(n) - drawn.mean()) < 4 * drawn.std() / math.sqrt(len(drawn))


@pytest.mark.parametrize("processes", [1, 2, 16, 256])
@pytest.mark.parametrize(("every", "n_bytes"), [(1, 64), (1, 4e6), (16, 52e3)])
def test_the_closed_form_agrees_with_the_simulation(processes: int, every: int, n_bytes: float) -> None:
    """The simulation has a clock for each process, and its partners wait for each other in each round."""
    update = 1e-3
    messages = sum(allreduce_seconds(processes, size, FAST) for size in (n_bytes, 64))
    closed = slowest_seconds(processes, update, every, FAST.straggler) + messages
    drawn = simulated_seconds(processes, update, every, (n_bytes, 64), FAST, repeats=400, seed=0)
    error = FAST.straggler * update * math.sqrt(every / 400)  # of the mean of 400 draws, at most
    assert abs(drawn - closed) < 4 * error


def test_an_allreduce_takes_the_rounds_of_the_better_algorithm() -> None:
    a, b = FAST.latency, 1 / FAST.bandwidth
    c = 1 / FAST.adding
    assert allreduce_seconds(1, 1e6, FAST) == 0
    assert allreduce_seconds(8, 8, FAST) == pytest.approx(3 * (a + 8 * b + 8 * c))
    n = 1e8
    assert allreduce_seconds(8, n, FAST) == pytest.approx(6 * a + 2 * 7 / 8 * n * b + 7 / 8 * n * c)
    odd = allreduce_seconds(8, n, FAST) + (a + n * b + n * c) + (a + n * b)  # the ninth sends, and gets the sum
    assert allreduce_seconds(9, n, FAST) == pytest.approx(odd)


def test_the_shares_of_the_time_and_the_speeds_fit_together() -> None:
    points = plan(WORK, FAST)
    assert {point.every for point in points} >= set(EVERY)
    for point in points:
        rest = WORK.update_seconds / point.seconds
        assert point.waiting + point.messages + point.calls + rest == pytest.approx(1)
        assert point.speedup == pytest.approx(point.processes * rest)
        assert point.efficiency == pytest.approx(1 - point.communication)
        assert point.examples_per_second == pytest.approx(point.processes * WORK.batch_size / point.seconds)
    assert {point.speedup for point in points if point.processes == 1} == {1}
    assert [point.processes for point in points if point.is_chosen] == [2**k for k in range(11)]


def test_the_plan_follows_its_inputs() -> None:
    """More latency, less bandwidth and more straggling cost time. Rarer averages and larger batches gain some."""

    def seconds(work: Work = WORK, every: int = 16, **changed: float) -> float:
        cluster = dataclasses.replace(FAST, **changed)
        return next(p.seconds for p in plan(work, cluster, processes=[64], every=[every]) if p.every == every)

    base = seconds()
    assert all(seconds(**{name: value}) > base for name, value in [("latency", 2e-5), ("bandwidth", 1e9)])
    assert seconds(straggler=0.3) > base > seconds(every=64)
    nothing = Cluster(latency=0, bandwidth=1e18, adding=math.inf, straggler=0)
    for point in plan(dataclasses.replace(WORK, gradient_seconds=4e-6, average_seconds=0), nothing):
        assert point.efficiency == pytest.approx(1)


class Slow:
    """A communicator of four processes. Its Allreduce takes the time of FAST, on a clock of its own."""

    rank, size = 0, 4

    def __init__(self) -> None:
        self.clock = 0.0

    def Allreduce(self, sendbuf: np.ndarray, recvbuf: np.ndarray) -> None:
        self.clock += allreduce_seconds(4, recvbuf.nbytes, dataclasses.replace(FAST, adding=math.inf))

    def allgather(self, sendobj: object) -> list[object]:
        return [sendobj] * 4

    def bcast(self, obj: object, root: int = 0) -> object:
        return obj


def test_a_cluster_is_measured_by_its_own_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the measured latency and bandwidth the formula gives the measured times."""
    communicator = Slow()
    monkeypatch.setattr(time, "perf_counter", lambda: communicator.clock)
    found = measured_cluster(communicator)
    assert found.latency == pytest.approx(FAST.latency, rel=1e-3)
    assert found.bandwidth == pytest.approx(FAST.bandwidth, rel=1e-3)


def test_the_messages_of_a_training_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "ROWS", 320)
    work = measured_work([8, 4, 3], batch_size=16, optimizer="adam", backend="numpy")
    assert work.n_parameters == 51
    assert work.gradient_seconds >= work.update_seconds > 0
    gradients, parameters = max(work.gradient_bytes), max(work.parameter_bytes)
    assert 51 * 4 <= gradients < 51 * 16  # the gradient, as float32 or float64, and some sums
    assert 3 * 51 * 4 <= parameters < 3 * 51 * 16  # with Adam's two moments
    assert max(measured_work([8, 4, 3], batch_size=16, optimizer="sgd", backend="numpy").parameter_bytes) < parameters


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Cluster(latency=-1), "latency must be at least 0"),
        (lambda: Cluster(bandwidth=0), "bandwidth must be more than 0"),
        (lambda: Cluster(straggler=1), "straggler must be from 0 to below 1"),
        (lambda: plan(WORK, FAST, processes=[0]), "at least 1"),
        (lambda: plan(WORK, FAST, every=[]), "one or more"),
        (lambda: simulated_seconds(3, 1, 1, [8], FAST, repeats=1, seed=0), "power of two"),
        (lambda: in_threads(print, 0), "n must be at least 1"),
        (lambda: in_threads(measured_cluster, 1), "mpiexec -n 2"),
    ],
)
def test_bad_numbers_are_refused_in_words(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
