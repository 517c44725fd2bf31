"""Successive halving: its rungs, and trainings that go on as if nobody had stopped them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_cases import SPACE, TIMES, X, Y, run, table

from fastnet import EarlyStopping, ReduceOnPlateau
from fastnet.search import Record, Trial
from fastnet.search.halving import ETA, rungs
from fastnet.search.records import standings
from fastnet.search.running import KeptNetworks


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


def test_the_networks_of_the_best_settings_are_kept_in_any_order_of_the_results() -> None:
    """A setting that goes on is kept, even if another one reaches the next rung first."""
    found = run(method="halving", trials=16, budget=9, keep=4)
    best = [one.number for one in standings(found.records, lower_is_better=False)[:4]]
    assert list(found.networks) == [(number, replicate) for number in best for replicate in (0, 1)]
    kept, network = KeptNetworks(1, found.request, None), found.networks[best[0], 0]
    kept.keep_at_least(2)
    parts = [(0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]  # setting, replicate, rung
    for number, replicate, rung in parts:
        record = Record(Trial(number, replicate, {}, 0), 1, rung, 1.0 - number / 2, 0.0, {})
        kept.add(record, network)
    kept.keep_at_least(0)
    assert list(kept.networks()) == [(0, 0), (0, 1)]


def test_the_network_of_a_training_that_ended_early_is_kept_while_its_setting_goes_on() -> None:
    """Setting 0 leads on the first rung and gets worse. Setting 1 ended before that rung did, and wins."""
    values = iter([1.0] * 2 + [0.9] * 2 + [0.0] * 14 + [0.5] * 2)

    def stop(trial: Trial) -> list[Any]:
        return [lambda trainer, epoch: trainer.stop() if trial.number else None]

    found = run(method="halving", trials=9, budget=18, keep=1, callbacks=stop, metric=lambda *_: next(values))
    assert list(found.networks) == [(1, 0), (1, 1)]
    assert found.best.network is found.networks[1, 0]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_finished_halving_is_read_again_with_its_networks(tmp_path: Path, keep: int) -> None:
    """The best setting need not be among the best `keep` of the first rung."""
    searches = [run(method="halving", trials=18, budget=9, keep=keep, folder=tmp_path) for _ in range(2)]
    assert table(searches[0]) == table(searches[1])
    assert len(searches[1].networks) == 2 * keep
