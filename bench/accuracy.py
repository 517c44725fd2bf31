"""The suite `accuracy`: seconds of training until W1 reads 95 of 100 test images, by backend and peer."""

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
    "{title}, learning rate {rate:g}, constant. Seconds of the epochs up to the first after which the test accuracy "
    "is {target:.0%}, of at most {most}; the tests in between are not counted, what is done once a fit is not either. "
    "How many epochs is luck within a few: over a whole training rounding leads to another, equally good network."
)


def run(task: Task) -> Section:
    task.say(f"time to {TARGET:.0%} test accuracy")
    most = QUICK_EPOCHS if task.quick else MAX_EPOCHS
    with contenders(task, WORKLOAD) as running:
        records = [train(name, runner, most) for name, runner in running.items() if name != PEER]
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
        NOTE.format(title=WORKLOAD.title, rate=WORKLOAD.learning_rate, target=TARGET, most=most),
        records,
        text_columns=1,
    )


def train(name: str, runner: Runner, most: int) -> dict[str, Any]:
    seconds: list[float] = []
    accuracies: list[float] = []
    while len(seconds) < most and (not accuracies or accuracies[-1] < TARGET):
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
