"""Names of choices: the types list the names in the tables, and a type checker refuses a misspelt name."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from fastnet import Epoch, backends, names
from fastnet.kernels import formulas
from fastnet.training import history
from fastnet.training.optimizers import OPTIMIZERS
from fastnet.training.schedules import SCHEDULES


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (names.Activation, [row.name for row in formulas.ACTIVATIONS.values() if row.is_hidden]),
        (names.Output, formulas.ACTIVATIONS),
        (names.Cost, formulas.COSTS),
        (names.OptimizerName, OPTIMIZERS),
        (names.ScheduleName, SCHEDULES),
        (get_args(names.BackendName)[0], ("auto", *backends.NAMES)),
    ],
)
def test_types_list_the_names_in_the_tables(kind: Any, table: Any) -> None:
    assert sorted(get_args(kind)) == sorted(table)


def test_the_fields_of_a_history_have_their_types() -> None:
    found = {history.FloatField: float, history.IntField: int, history.TextField: str}
    assert {name: of for kind, of in found.items() for name in get_args(kind)} == get_type_hints(Epoch)


GOOD = """
from typing import Any
import numpy as np
from numpy.typing import NDArray
import fastnet
class Stop(fastnet.Callback):
    def on_epoch_end(self, trainer: fastnet.Trainer, epoch: fastnet.Epoch) -> None:
        trainer.stop()
network = fastnet.Network([4, 3], activation=["relu"], output="softmax", cost="cross_entropy")
twin = fastnet.Network([4, 3], activation=network.activations_by_layer[:-1], cost=network.cost_name)
trainer = fastnet.Trainer(twin, optimizer="adam", schedule=lambda step: 1.0, backend="mine", threads="auto")
costs: list[float] = trainer.fit([[1.0] * 4], [0], epochs=1, callbacks=[Stop()])["cost"]
outputs: NDArray[np.floating[Any]] = network.forward([[1.0] * 4])
"""
WRONG = [
    'fastnet.Network([4, 3], activation="rleu")',
    'fastnet.Network([4, 3], output="sofmax")',
    'fastnet.Network([4, 3], cost="cross-entropy")',
    'fastnet.Trainer(network, optimizer="adm")',
    'fastnet.Trainer(network, schedule="cosin")',
    'fastnet.Trainer(network, threads="all")',
    'trainer.history["loss"]',
    'texts: list[str] = trainer.history["cost"]',
    "a: NDArray[np.int64] = network.forward([[1.0] * 4])",
    "b: NDArray[np.int64] = network.compile()([1.0] * 4)",
    "c: NDArray[np.int64] = network.gradient([[1.0] * 4], [0])",
    "d: NDArray[np.int64] = network.parameters",
]


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_a_type_checker_refuses_misspelt_names(tmp_path: Path) -> None:
    script, checkout = tmp_path / "script.py", Path(__file__).parents[1]
    script.write_text(GOOD + "\n".join(WRONG) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", str(script)],
        env=os.environ | {"MYPYPATH": str(checkout)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    refused = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    first = len(GOOD.splitlines()) + 1
    assert refused == set(range(first, first + len(WRONG))), done.stdout + done.stderr
