"""Successive halving: its rungs, and trainings that go on as if nobody had stopped them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_cases import SPACE, TIMES, X, Y, run

from fastnet import EarlyStopping, ReduceOnPlateau
from fastnet.search import Trial
from fastnet.search.halving import ETA, rungs


@given(st.integers(1, 2000), st.integers(1, 500))
def test_each_rung_has_a_third_of_the_settings_and_three_times_the_epochs(trials: int, budget: int) -> None:
    found = rungs(trials, budget)
    assert found[0].settings == trials
    assert found[-1].epochs == budget
    for before, after in pairwise(found):
        assert after.settings == before.settings // ETA >= 1
        assert 1 <= before.epochs < after.epochs <= ETA * before.epochs


CALLBACKS: dict[str, Any] = {
    "none": None,
    "plateau": lambda trial: [ReduceOnPlateau("cost", patience=1, min_delta=0.5)],
    "best": lambda trial: [EarlyStopping(patience=50)],  # restores the best parameters at the end of each part
}


@pytest.mark.parametrize("callbacks", CALLBACKS)
def test_survivors_equal_trainings_that_nobody_interrupted(callbacks: str) -> None:
    space = SPACE | {"schedule": ["cosine", _own_schedule], "clip_norm": 0.5}
    arguments: dict[str, Any] = {"space": space, "trials": 9, "budget": 9, "callbacks": CALLBACKS[callbacks]}
    whole = {(one.trial.number, one.trial.replicate): one for one in run(**arguments, keep=9).records}
    networks = run(**arguments, keep=9).networks
    found = run(**arguments, method="halving")
    survivors = [record for record in found.records if record.rung == 2]
    assert len(survivors) == 2
    for record in survivors:
        key = record.trial.number, record.trial.replicate
        assert found.networks[key].parameters.tobytes() == networks[key].parameters.tobytes()
        assert record.value == whole[key].value
        for name, values in record.history.items():
            assert name in TIMES or repr(values) == repr(whole[key].history[name])
    assert sorted(record.epochs for record in found.records) == [1] * 12 + [3] * 4 + [9] * 2


def _own_schedule(step: int) -> float:
    return 1 / (1 + step)


def test_no_training_begins_again() -> None:
    """The callbacks of each part see only the epochs that its rung adds."""
    epochs: list[tuple[int, int, int]] = []

    def record(trial: Trial) -> list[Any]:
        return [lambda trainer, epoch: epochs.append((trial.number, trial.replicate, epoch.epoch))]

    run(method="halving", trials=9, budget=9, callbacks=record)
    assert len(epochs) == len(set(epochs)) == 18 * 1 + 6 * 2 + 2 * 6


@pytest.mark.parametrize("end", [1, 2])  # the first rung ends after epoch 2
def test_a_training_that_a_callback_ended_keeps_its_value(end: int) -> None:
    def stop(trial: Trial) -> list[Any]:
        return [lambda trainer, epoch: trainer.stop() if trial.replicate and epoch.epoch == end else None]

    found = run(method="halving", callbacks=stop)
    last = max(record.rung for record in found.records)
    assert [(one.trial.replicate, one.epochs) for one in found.records if one.rung == last] == 2 * [(0, 6), (1, end)]


def test_settings_that_diverge_do_not_go_on() -> None:
    space = {"learning_rate": [1e30], "optimizer": "sgd", "cost": "squared_error", "output": "identity"}
    targets = np.eye(3, dtype=np.float32)[Y]
    found = run(space=space, y=targets, x=X * 10, method="halving")
    assert {record.rung for record in found.records} == {0}
    assert all(np.isnan(record.value) and "no longer finite" in record.message for record in found.records)
