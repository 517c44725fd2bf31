"""OptunaCallback: a study prunes fits, and two processes share a study in a SQLite file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnet
from fastnet.search import OptunaCallback

optuna = pytest.importorskip("optuna", reason="Optuna is not installed")

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def fit(trial: Any, measure: str = "validation_cost", **options: Any) -> fastnet.Trainer:
    trainer = fastnet.Trainer(fastnet.Network([3, 4, 2], seed=0), seed=0)
    trainer.fit(X, Y, **{"epochs": 6, "validation_split": 0.25, **options}, callbacks=[OptunaCallback(trial, measure)])
    return trainer


def test_the_pruner_sees_each_epoch_and_ends_the_fit() -> None:
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.0, n_warmup_steps=4))
    trainers = []

    def objective(trial: Any) -> float:
        trainer = fastnet.Trainer(fastnet.Network([3, 4, 2], seed=0), seed=0)
        trainers.append(trainer)
        trainer.fit(X, Y, epochs=9, validation_split=0.25, callbacks=[OptunaCallback(trial)])
        return 0.0

    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    costs = trainers[0].history["validation_cost"]
    assert trial.state == optuna.trial.TrialState.PRUNED
    assert len(costs) == 4  # the pruner gives up where the cost is above 0, after 4 epochs
    assert trial.intermediate_values == dict(enumerate(costs, 1))


def test_a_trial_that_is_not_pruned_equals_a_fit_without_the_callback() -> None:
    found: list[fastnet.Trainer] = []
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())
    study.optimize(lambda trial: found.append(fit(trial, "validation_accuracy")) or 1.0, n_trials=1)
    alone = fastnet.Trainer(fastnet.Network([3, 4, 2], seed=0), seed=0)
    alone.fit(X, Y, epochs=6, validation_split=0.25)
    np.testing.assert_array_equal(found[0].network.parameters, alone.network.parameters)
    assert len(study.trials[0].intermediate_values) == 6


def test_what_cannot_be_reported_is_refused() -> None:
    trial = optuna.create_study(direction="maximize").ask()
    with pytest.raises(ValueError, match=r"validation_cost.*direction='minimize'.*the study has 'maximize'"):
        OptunaCallback(trial)
    with pytest.raises(ValueError, match="validation_accuracy"):
        OptunaCallback(trial, "validation_acuracy")
    with pytest.raises(ValueError, match="validation"):
        fit(trial, "validation_accuracy", validation_split=0.0)
    with pytest.raises(TypeError, match="trial must be the trial that Optuna gives to the objective, not 3"):
        OptunaCallback(3)


WORKER = """
import sys
import numpy as np, optuna, fastnet
from fastnet.search import OptunaCallback
optuna.logging.set_verbosity(optuna.logging.WARNING)
x = np.random.default_rng(0).normal(size=(60, 3))
y = (x[:, 0] > 0).astype(int)
def objective(trial):
    trial.set_user_attr("worker", sys.argv[2])
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    trainer = fastnet.Trainer(fastnet.Network([3, 4, 2], seed=0), learning_rate=rate, seed=0)
    trainer.fit(x, y, epochs=4, validation_split=0.25, callbacks=[OptunaCallback(trial)])
    return trainer.history["validation_cost"][-1]
pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
study = optuna.load_study(study_name="ours", storage=sys.argv[1], pruner=pruner)
print("ready", flush=True)
sys.stdin.readline()
study.optimize(objective, n_trials=5)
"""


def test_two_processes_share_a_study_in_a_sqlite_file(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(study_name="ours", storage=storage)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, storage, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in "ab"
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.communicate("go\n", timeout=120)
        assert worker.returncode == 0
    study = optuna.load_study(study_name="ours", storage=storage)
    assert sorted(trial.user_attrs["worker"] for trial in study.trials) == ["a"] * 5 + ["b"] * 5
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    for trial in study.trials:
        assert trial.state in ended
        assert len(trial.intermediate_values) == 4 or trial.state == ended[1]
