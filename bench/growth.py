"""The suite `growth`: how the time of an epoch changes with the examples, width, batch size and threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from fastnet.bench.contenders import Session, take_turns
from fastnet.bench.report import Section, number, ratio
from fastnet.bench.suites import Task, max_threads
from fastnet.bench.workloads import WORKLOADS, Setup, Workload, verify

NOTE = (
    "Medians of {rounds} rounds. In each round, every backend trains for one epoch. The last two columns divide the "
    "time and the work of a row by the time and the work of the backend's first row of the same kind: examples, width, "
    "batch or threads. If both columns are equal, the time grows in proportion to the work. The machine has {cores} "
    "cores."
)
SMALL, WIDE = WORKLOADS["W1"], WORKLOADS["W6"]
BATCH_ROWS = 6_144  # a multiple of every batch size


class Point(NamedTuple):
    """One measurement: the value that the sweep varies, and the workload at this value."""

    sweep: str
    value: int
    workload: Workload
    rows: int
    threads: int = 1


def points(task: Task) -> list[Point]:
    rows = task.some(60_000)
    widths = [16, 64, 256] if task.quick else [16, 32, 64, 128, 256, 512]
    batches = [1, 32, 1024] if task.quick else [2**k for k in range(11)]
    cores = os.cpu_count() or 1
    threads = [n for n in (1, 2, 4, 8, 16) if n <= cores]
    return [
        *(Point("examples", rows // k, SMALL, rows // k) for k in (8, 4, 2, 1)),
        *(Point("width", n, _of_width(n), task.some(6_400)) for n in widths),
        *(Point("batch", n, replace(SMALL, name=f"batch {n}", batch_size=n), task.some(BATCH_ROWS)) for n in batches),
        *(Point("threads", n, WIDE, task.some(12_800), n) for n in threads),
    ]


def _of_width(n: int) -> Workload:
    """W3 with n neurons in each hidden layer. W6 would fail `verify`: rounding switches a few of its many ReLUs."""
    return replace(WORKLOADS["W3"], name=f"width {n}", sizes=(784, n, n, 10))


def run(task: Task) -> Section:
    records: list[dict[str, Any]] = []
    for sweep, value, workload, rows, threads in points(task):
        task.say(f"growth: {sweep} {value}")
        setups = [replace(s, threads=threads) for s in task.setups if max_threads(s.backend) >= threads]
        timings = measure(task, workload, setups, rows)
        for name, seconds in timings.items():
            first = next((r for r in records if (r["sweep"], r["backend"]) == (sweep, name)), None)
            time, work = _median(seconds), workload.train_flops // 2 * rows
            records.append(
                {
                    "sweep": sweep,
                    "value": value,
                    "backend": name,
                    "layers": workload.layers,
                    "batch_size": workload.batch_size,
                    "examples": rows,
                    "seconds": seconds,
                    "median_seconds": time,
                    "ns_per_multiply_add": time / work * 1e9,
                    "time_growth": time / first["median_seconds"] if first else 1.0,
                    "work_growth": work / first["work"] if first else 1.0,
                    "work": work,
                }
            )
    return _section(records, NOTE.format(rounds=task.rounds, cores=os.cpu_count()))


def measure(task: Task, workload: Workload, setups: Sequence[Setup], rows: int) -> dict[str, list[float]]:
    """The seconds of each epoch on the first `rows` examples, for each backend. Verifies each backend first."""
    images = task.images._replace(x=task.images.x[:rows], y=task.images.y[:rows])
    for setup in setups:
        verify(workload, setup, images.x, images.y)
    sessions = {setup.backend: Session(workload, setup, images) for setup in setups}
    try:
        timings = take_turns({name: session.epoch for name, session in sessions.items()}, task.rounds)
    finally:
        for session in sessions.values():
            session.close()
    return {name: timing.seconds for name, timing in timings.items()}


def _median(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


def _section(records: list[dict[str, Any]], note: str) -> Section:
    rows = [
        (
            *(f"{record['sweep']} {record['value']:,}", record["backend"], f"{record['layers']}"),
            *(f"{record['batch_size']}", f"{record['examples']:,}", number(record["median_seconds"])),
            *(number(record["ns_per_multiply_add"]), ratio(record["time_growth"]), ratio(record["work_growth"])),
        )
        for record in sorted(
            records, key=lambda r: (list(dict.fromkeys(q["sweep"] for q in records)).index(r["sweep"]), r["backend"])
        )
    ]
    columns = (
        *("growth", "backend", "network", "batch", "examples", "seconds per epoch", "ns per multiply-add"),
        *("time, first = 1", "work, first = 1"),
    )
    return Section("growth", "How the cost grows", columns, rows, note, records, text_columns=3)
