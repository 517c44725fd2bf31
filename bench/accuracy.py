"""The suite `accuracy`: seconds of training until W1 reaches 95% test accuracy, for each backend and peer."""

from __future__ import annotations

import math
from typing import Any

from fastnet.bench.contenders import Runner
from fastnet.bench.report import Section, number, percent
from fastnet.bench.suites import PEER, Task, contenders
from fastnet.bench.workloads import WORKLOADS

TARGET = 0.95
MAX_EPOCHS, QUICK_EPOCHS = 40, 2
WORKLOAD = WORKLOADS["W1"]
NOTE = (
    "{title}, constant learning rate {rate:g}. Training ends when the test accuracy first reaches {target:.0%}, or "
    "after {limit} epochs. The seconds are the sum over these epochs, without the tests between epochs and without the "
    "work before the first epoch. The number of epochs varies by chance, because different rounding leads to a "
    "different, equally good network."
)


def run(task: Task) -> Section:
    task.say(f"time to {TARGET:.0%} test accuracy")
    limit = QUICK_EPOCHS if task.quick else MAX_EPOCHS
    with contenders(task, WORKLOAD) as running:
        records = [train(name, runner, limit) for name, runner in running.items() if name != PEER]
    rows = [
        (
            *(r["backend"], number(r["seconds_to_target"]), str(r["epochs"]), percent(r["test_accuracy"][-1], 2)),
            "" if r["reached"] else "not reached",
        )
        for r in records
    ]
    return Section(
        "accuracy",
        f"Time to {TARGET:.0%} test accuracy",
        ("backend", "seconds", "epochs", "test accuracy", "remark"),
        rows,
        NOTE.format(title=WORKLOAD.title, rate=WORKLOAD.learning_rate, target=TARGET, limit=limit),
        records,
        text_columns=1,
    )


def train(name: str, runner: Runner, limit: int) -> dict[str, Any]:
    """Trains until the test accuracy reaches TARGET, for at most `limit` epochs."""
    seconds: list[float] = []
    accuracies: list[float] = []
    while len(seconds) < limit and (not accuracies or accuracies[-1] < TARGET):
        seconds.append(runner.epoch())
        accuracies.append(runner.accuracy() or 0.0)
    reached = accuracies[-1] >= TARGET
    return {
        "backend": name,
        "target": TARGET,
        "reached": reached,
        "seconds_to_target": sum(seconds) if reached else math.nan,
        "epochs": len(seconds),
        "seconds": seconds,
        "test_accuracy": accuracies,
    }
