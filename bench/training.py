"""The suite `train`: seconds of an epoch of each workload, on every backend and peer in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from fastnet.bench.contenders import Session, Timing, take_turns
from fastnet.bench.peers import PEERS, TUNED
from fastnet.bench.peers.process import Peer
from fastnet.bench.report import Section, number, percent, ratio, spread
from fastnet.bench.suites import BASELINE, Task, contenders
from fastnet.bench.workloads import Workload

NOTE = (
    "Medians of {rounds} rounds. The speed is the time of NumPy, or of tuned NumPy, divided by the time of the row: "
    "the median over the rounds. Dense-equivalent: every multiply-add of the formula counts, although the compiled "
    "kernels skip zero inputs. A share of more than 100% of the peak is therefore possible. Seconds per fit: the "
    "work before the first epoch. This work checks the data, and compresses the data if training is then faster. The "
    "seconds per epoch do not contain this work."
)
PEER_NOTE = (
    " Each peer runs in a process of its own, on one thread, and gets the images as floats. The peers start from "
    "fastnet's parameters and train on the same batches. Only scikit-learn draws its own order; on W1 and W3 it also "
    "has its own cost and parameters."
)


@dataclass(frozen=True)
class Result:
    """The rounds of one contender on one workload."""

    workload: Workload
    name: str
    rows: int  # examples of an epoch
    row_bytes: int  # of one example in the form that this contender reads
    timing: Timing
    baselines: dict[str, Timing]  # name -> its times in the same rounds
    accuracy: float | None
    preparation: float = math.nan  # seconds per fit, before the first epoch
    cpu_seconds: tuple[float, ...] = ()  # of each epoch, with the rehearsals; empty if unknown

    def speed(self, baseline: str = BASELINE) -> float:
        """The speed relative to the baseline; NaN if the baseline was not timed."""
        return self.timing.speed(self.baselines[baseline]) if baseline in self.baselines else math.nan

    @property
    def operations(self) -> int:
        return self.workload.train_flops * self.rows

    @property
    def flops(self) -> float:
        return self.operations / self.timing.median

    @property
    def intensity(self) -> float:
        """Operations per byte of examples."""
        return self.workload.train_flops / self.row_bytes

    @property
    def share(self) -> float:
        return self.timing.share(self.operations)

    def cells(self) -> tuple[str, ...]:
        seconds = self.timing.seconds
        tuned = (ratio(self.speed(TUNED)),) if TUNED in self.baselines else ()
        return (
            *(self.workload.name, self.name, number(median(seconds)), spread(seconds), ratio(self.speed()), *tuned),
            *(f"{self.flops / 1e9:.1f}", percent(self.share), percent(self.accuracy, 2), number(self.preparation)),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "workload": self.workload.name,
            "title": self.workload.title,
            "backend": self.name,
            "seconds": self.timing.seconds,
            "median_seconds": self.timing.median,
            "speed_over_numpy": self.speed(),
            "speed_over_tuned_numpy": self.speed(TUNED),
            "dense_equivalent_gflops": self.flops / 1e9,
            "operations_per_byte": self.intensity,
            "peak_gflops": [peak / 1e9 for peak in self.timing.peaks],
            "share_of_peak": self.share,
            "test_accuracy": self.accuracy,
            "once_a_fit_seconds": self.preparation,
            "cpu_seconds": list(self.cpu_seconds),
        }


def stored_bytes(x: Any) -> int:
    """The bytes of an array, or of the three arrays of a sparse matrix."""
    return int(x.nbytes if isinstance(x, np.ndarray) else x.data.nbytes + x.indices.nbytes + x.indptr.nbytes)


def run(task: Task) -> list[Result]:
    results = []
    for workload in task.workloads:
        task.say(f"{workload.name}: {workload.title}")
        with contenders(task, workload) as running:
            timings = take_turns({name: runner.epoch for name, runner in running.items()}, task.rounds, task.peak)
            baselines = {name: timings[name] for name in (BASELINE, TUNED) if name in timings}
            for name, runner in running.items():
                once = runner.preparation if isinstance(runner, Session) else math.nan
                cpu = tuple(runner.cpu_seconds) if isinstance(runner, Peer) else ()
                row_bytes = workload.sizes[0] * np.dtype(task.dtype).itemsize  # assumed for `--peer`
                if isinstance(runner, Session):
                    row_bytes = max(1, stored_bytes(task.images.x) // task.rows)
                results.append(
                    Result(
                        *(workload, name, task.rows, row_bytes, timings[name], baselines, runner.accuracy(), once, cpu)
                    )
                )
    return results


def section(results: list[Result], rounds: int) -> Section:
    tuned = ("speed, tuned NumPy = 1",) if TUNED in results[0].baselines else ()
    about = dict.fromkeys(result.workload for result in results)
    peers = [f"{name}: {PEERS[name].title}" for name in dict.fromkeys(r.name for r in results) if name in PEERS]
    return Section(
        "results",
        "Training",
        (
            *("workload", "backend", "seconds per epoch", "min to max", "speed, NumPy = 1", *tuned),
            *("dense-equivalent GFLOP/s", "share of the FMA peak", "test accuracy", "seconds per fit"),
        ),
        [result.cells() for result in results],
        NOTE.format(rounds=rounds) + (PEER_NOTE if peers else ""),
        [result.to_dict() for result in results],
        items=[*(f"{workload.name}: {workload.title}" for workload in about), *peers],
    )
