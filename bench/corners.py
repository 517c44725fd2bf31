"""The suite `corners`: nanoseconds per multiply-add in cases that are often slow, and on ordinary shapes.

The inputs are random floats without zeros, so that no kernel can skip a multiply-add.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastnet.bench.contenders import take_turns
from fastnet.bench.report import Section, number, ratio
from fastnet.bench.suites import BASELINE, Task
from fastnet.bench.workloads import WORKLOADS, Array, Setup, Workload, verify
from fastnet.network import Network

WORK = 1 << 30  # multiply-adds of a measurement, approximately
QUICK_WORK = 1 << 22
MAX_ROWS = 20_000
SMALL, MIDDLE, WIDE = WORKLOADS["W1"], WORKLOADS["W5"], WORKLOADS["W6"]
NOTE = (
    "Medians of {rounds} rounds of one epoch on random floats without zeros, so that no multiply-add is skipped. "
    "Rows named by a shape alone are ordinary; all other rows are corners. The last two columns divide the time by "
    "two other times of the same backend: by the time of its fastest ordinary row, and by the time of the ordinary "
    "row that differs from this row in only one property."
)


class Corner(NamedTuple):
    """One measurement: an ordinary shape, or a corner that differs from an ordinary shape in one property."""

    title: str
    workload: Workload
    ordinary: str  # the title of the ordinary shape to compare with; empty for an ordinary shape
    dtype: str = "float32"
    change: Callable[[Network, Array], None] | None = None  # changes parameters or inputs in place


def _tiny_inputs(network: Network, x: Array) -> None:
    x *= 1e-39


def _tiny_weights(network: Network, x: Array) -> None:
    network.parameters[...] *= 1e-38


def _saturated(network: Network, x: Array) -> None:
    network.parameters[...] *= 300


def _sized(workload: Workload, sizes: tuple[int, ...] | None = None, batch: int | None = None) -> Workload:
    sizes, batch = sizes or workload.sizes, batch or workload.batch_size
    return replace(workload, name="-".join(map(str, sizes)), sizes=sizes, batch_size=batch)


CORNERS = (
    Corner("784-512-512-10, batch 128", WIDE, ""),
    Corner("784-128-64-10, batch 64", MIDDLE, ""),
    Corner("784-16-16-10, batch 128", _sized(SMALL, batch=128), ""),
    Corner("784-16-16-10, batch 10", SMALL, ""),
    Corner("784-16-16-10, batch 32", _sized(SMALL, batch=32), ""),
    Corner("batch 33, one more than 32", _sized(SMALL, batch=33), "784-16-16-10, batch 32"),
    Corner("batch 31, one less than 32", _sized(SMALL, batch=31), "784-16-16-10, batch 32"),
    Corner("batch 1", _sized(SMALL, batch=1), "784-16-16-10, batch 10"),
    Corner("width 1: 784-1-1-10", _sized(SMALL, (784, 1, 1, 10), 32), "784-16-16-10, batch 32"),
    Corner("width 10: 784-10-10-10", _sized(SMALL, (784, 10, 10, 10), 32), "784-16-16-10, batch 32"),
    Corner("width 17: 784-17-17-10", _sized(SMALL, (784, 17, 17, 10), 32), "784-16-16-10, batch 32"),
    Corner("all 17 wide: 17-17-17-10", _sized(SMALL, (17, 17, 17, 10), 32), "784-16-16-10, batch 32"),
    Corner("inputs below 1e-38 (denormal)", SMALL, "784-16-16-10, batch 10", change=_tiny_inputs),
    Corner("weights below 1e-38 (denormal)", SMALL, "784-16-16-10, batch 10", change=_tiny_weights),
    Corner("saturated sigmoids", SMALL, "784-16-16-10, batch 10", change=_saturated),
    Corner("float64, 784-16-16-10, batch 10", SMALL, "784-16-16-10, batch 10", "float64"),
    Corner("float64, 784-512-512-10, batch 128", WIDE, "784-512-512-10, batch 128", "float64"),
)


def run(task: Task) -> Section:
    """Runs on the compiled backends, or on NumPy if there is no other backend."""
    names = [setup.backend for setup in task.setups if setup.backend != BASELINE] or [BASELINE]
    found: dict[tuple[str, str], list[float]] = {}
    for corner in CORNERS:
        task.say(f"corner: {corner.title}")
        found |= {(corner.title, name): seconds for name, seconds in measure(task, corner, names).items()}
    records = []
    for corner in CORNERS:
        for name in names:
            own = {other: float(np.median(seconds)) for (other, who), seconds in found.items() if who == name}
            best = min(own[other.title] for other in CORNERS if not other.ordinary)
            records.append(
                {
                    "corner": corner.title,
                    "backend": name,
                    "layers": corner.workload.layers,
                    "batch_size": corner.workload.batch_size,
                    "dtype": corner.dtype,
                    "seconds_per_multiply_add": found[corner.title, name],
                    "times_the_best": own[corner.title] / best,
                    "times_its_ordinary": own[corner.title] / own[corner.ordinary] if corner.ordinary else 1.0,
                }
            )
    return _section(records, NOTE.format(rounds=task.rounds))


def measure(task: Task, corner: Corner, names: list[str]) -> dict[str, list[float]]:
    """The seconds per multiply-add in each round, for each backend."""
    workload = corner.workload
    work = workload.train_flops // 2
    batch, total = workload.batch_size, QUICK_WORK if task.quick else WORK
    rows = max(min(total // work, MAX_ROWS) // batch, 1) * batch
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 1, (rows, workload.sizes[0])).astype(corner.dtype)
    y = rng.integers(0, workload.sizes[-1], rows)
    turns = {}
    for name in names:
        setup = Setup(name, corner.dtype, sparse=False)
        verify(workload, setup, x, y)  # before the change: extreme numbers would hide an error
        network, own_x = workload.network(corner.dtype), x.copy()
        if corner.change is not None:
            corner.change(network, own_x)
        # A learning rate of 0 keeps the numbers extreme and skips no work.
        trainer = workload.trainer(network, setup)
        trainer.learning_rate = 0.0
        turns[name] = _epoch(trainer, own_x, y)
    timings = take_turns(turns, task.rounds)
    return {name: [seconds / work / rows for seconds in timing.seconds] for name, timing in timings.items()}


def _epoch(trainer: Any, x: Array, y: Array) -> Callable[[], float]:
    def epoch() -> float:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "column .* has a standard deviation")  # of the extreme numbers
            return float(trainer.fit(x, y, epochs=1).epochs[-1].seconds)

    return epoch


def _section(records: list[dict[str, Any]], note: str) -> Section:
    rows = [
        (
            *(record["corner"], record["backend"], number(float(np.median(record["seconds_per_multiply_add"])) * 1e9)),
            *(ratio(record["times_the_best"]), ratio(record["times_its_ordinary"])),
        )
        for record in records
    ]
    columns = ("shape or corner", "backend", "ns per multiply-add", "fastest ordinary = 1", "same shape = 1")
    return Section("corners", "Corners", columns, rows, note, records)
