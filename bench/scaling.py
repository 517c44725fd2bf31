"""The suite `scaling`: one network on several threads, networks side by side, and the copies that memory allows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastnet.backends import machine
from fastnet.bench.contenders import Session, Timing, take_turns
from fastnet.bench.report import Section, number, ratio
from fastnet.bench.suites import Task, max_threads
from fastnet.bench.workloads import WORKLOADS, Images, Setup, Workload, verify

NOTE = (
    "Medians of {rounds} rounds; in each round all counts of a kind take their turn. `threads`: the threads share each "
    "batch of one network. `side by side`: each Python thread trains a network of its own, on one thread. `copy`: each "
    "thread copies a part of {mebibytes} MiB. GB/s: the bytes of the examples that all networks read in a second; for "
    "copies the bytes read and written. The last column is the speed divided by the speed at the count 1. The machine "
    "has {cores} cores."
)
COUNTS = (1, 2, 4, 8, 16)
SMALL, WIDE = WORKLOADS["W1"], WORKLOADS["W6"]
DEEP = replace(WIDE, name="deep", sizes=(100, 256, 256, 256, 256, 10), batch_size=512, learning_rate=0.01)


class Case(NamedTuple):
    """A network whose training is measured at each count of threads."""

    kind: str  # THREADS or BESIDE
    workload: Workload
    rows: int


THREADS, BESIDE, COPY = "threads", "side by side", "copy"
CASES = (
    Case(THREADS, replace(WIDE, name="W6 at 1,024", batch_size=1024), 12_288),
    Case(THREADS, WIDE, 6_400),
    Case(THREADS, DEEP, 10_240),
    Case(THREADS, replace(SMALL, name="W1 at 1,024", batch_size=1024), 60_000),
    Case(BESIDE, SMALL, 60_000),
    Case(BESIDE, WIDE, 6_400),
)


def counts() -> list[int]:
    cores = os.cpu_count() or 1
    return [n for n in COUNTS if n <= cores]


def run(task: Task) -> Section:
    records: list[dict[str, Any]] = []
    for case in CASES:
        for setup in task.setups:
            if max_threads(setup.backend) > 1:
                task.say(f"scaling: {setup.backend}, {case.workload.layers} at {case.workload.batch_size}, {case.kind}")
                records += records_of(case, setup.backend, measure(task, case, setup), data_of(task, case).x.nbytes)
    task.say("scaling: copies")
    size = machine.stream_bytes()
    timings = take_turns({n: copies(n, size) for n in counts()}, task.rounds)
    for n, timing in timings.items():
        speed = timing.speed(timings[1])
        bandwidth = 2 * size / timing.median  # a copy reads and writes
        records.append(
            {"kind": COPY, "backend": "numpy", "network": "", "batch_size": 0, "count": n, "seconds": timing.seconds}
            | {"median_seconds": timing.median, "speed": speed, "bytes_per_second": bandwidth}
        )
    return _section(records, NOTE.format(rounds=task.rounds, mebibytes=size >> 20, cores=os.cpu_count()))


def measure(task: Task, case: Case, setup: Setup) -> dict[int, Timing]:
    """The epochs of a case at each count of threads, in turns. Verifies the backend first."""
    images = data_of(task, case)
    verify(case.workload, replace(setup, threads=max(counts()) if case.kind == THREADS else 1), images.x, images.y)
    with ExitStack() as stack:

        def session(threads: int) -> Session:
            made = Session(case.workload, replace(setup, threads=threads), images)
            stack.callback(made.close)
            return made

        if case.kind == THREADS:
            return take_turns({n: session(n).epoch for n in counts()}, task.rounds)
        sessions = [session(1) for _ in range(max(counts()))]
        pool = stack.enter_context(ThreadPoolExecutor(len(sessions)))
        return take_turns({n: together(pool, [s.epoch for s in sessions[:n]]) for n in counts()}, task.rounds)


def data_of(task: Task, case: Case) -> Images:
    """The first images of the task; noise for a network with other inputs."""
    sizes, rows = case.workload.sizes, task.some(case.rows)
    if sizes[0] == task.images.x.shape[1]:
        return task.images._replace(x=task.images.x[:rows], y=task.images.y[:rows])
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((rows, sizes[0]), np.float32), rng.integers(0, sizes[-1], rows)
    return Images(x, y, x, y, "noise")


def together(pool: ThreadPoolExecutor, functions: Sequence[Callable[[], object]]) -> Callable[[], float]:
    """A turn that calls all functions at the same time. It returns the seconds until the last one has returned."""

    def turn() -> float:
        began = time.perf_counter()
        for future in [pool.submit(function) for function in functions]:
            future.result()
        return time.perf_counter() - began

    return turn


def copies(n: int, size: int) -> Callable[[], float]:
    """A turn in which n threads copy `size` bytes, each a part."""
    source, target = np.ones((n, size // n), np.uint8), np.zeros((n, size // n), np.uint8)

    def copy(part: int) -> None:
        np.copyto(target[part], source[part])  # releases the GIL

    def turn() -> float:
        with ThreadPoolExecutor(n) as pool:
            list(pool.map(copy, range(n)))  # starts the threads
            return together(pool, [partial(copy, part) for part in range(n)])()

    return turn


def records_of(case: Case, backend: str, timings: dict[int, Timing], size: int) -> list[dict[str, Any]]:
    """The records of a case. `size`: the bytes of the examples that a network reads in an epoch."""
    networks = {n: n if case.kind == BESIDE else 1 for n in timings}
    return [
        {
            "kind": case.kind,
            "backend": backend,
            "network": case.workload.layers,
            "batch_size": case.workload.batch_size,
            "count": n,
            "seconds": timing.seconds,
            "median_seconds": timing.median,
            "speed": networks[n] * timing.speed(timings[1]),
            "network_epochs_per_second": networks[n] / timing.median,
            "bytes_per_second": networks[n] * size / timing.median,
        }
        for n, timing in timings.items()
    ]


def _section(records: list[dict[str, Any]], note: str) -> Section:
    rows = [
        (
            *(record["kind"], record["backend"], record["network"]),
            *(f"{record['batch_size']:,}" if record["batch_size"] else "", f"{record['count']}"),
            number(record["median_seconds"]),
            f"{record['bytes_per_second'] / 1e9:.1f}",
            ratio(record["speed"]),
        )
        for record in records
    ]
    columns = ("kind", "backend", "network", "batch", "count", "seconds", "GB/s", "times one")
    return Section("scaling", "Several threads", columns, rows, note, records, text_columns=3)
