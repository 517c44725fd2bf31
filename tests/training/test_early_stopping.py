"""EarlyStopping and ReduceOnPlateau, and the monitors that both follow."""

from __future__ import annotations

import math
import signal
from typing import Any

import numpy as np
import pytest
from trainer_cases import X, Y, bits, make

import fastnet
from fastnet import Callback, EarlyStopping, Network, ReduceOnPlateau, Trainer
from fastnet.training.history import MEASURES


def keep(into: list[bytes]) -> Any:
    """Return a callback that keeps the parameters of each epoch."""
    return lambda trainer, epoch: into.append(bits(trainer))


@pytest.mark.parametrize(("monitor", "best"), [("validation_cost", np.argmin), ("validation_accuracy", np.argmax)])
@pytest.mark.parametrize("restores", [True, False])
def test_the_fit_stops_after_the_best_epoch_and_restores_it(monitor: str, best: Any, restores: bool) -> None:
    seen: list[bytes] = []
    stopping = EarlyStopping(monitor, patience=4, restore_best=restores)
    trainer = make(learning_rate=1.0)
    history = trainer.fit(X, Y, epochs=500, validation_split=0.3, callbacks=[stopping, keep(seen)])
    at = int(best(history[monitor]))
    assert len(history) == at + 1 + 4 < 500
    assert (stopping.best, stopping.best_epoch) == (history[monitor][at], at + 1)
    assert bits(trainer) == seen[at if restores else -1] != seen[-1 if restores else at]


def test_the_best_is_restored_if_the_epochs_run_out_or_the_fit_fails() -> None:
    class Fails(Callback):
        def on_epoch_end(self, trainer: Trainer, epoch: fastnet.Epoch) -> None:
            if epoch.epoch == 60:
                raise LookupError

    for epochs, callbacks in ((60, []), (99, [Fails()])):
        seen: list[bytes] = []
        trainer = make(learning_rate=1.0)
        arguments: Any = {"validation_split": 0.3, "callbacks": [EarlyStopping(patience=1000), keep(seen), *callbacks]}
        if callbacks:
            with pytest.raises(LookupError):
                trainer.fit(X, Y, epochs=epochs, **arguments)
        else:
            trainer.fit(X, Y, epochs=epochs, **arguments)
        at = int(np.argmin([*trainer.history["validation_cost"]]))
        assert bits(trainer) == seen[at] != seen[-1]


@pytest.mark.usefixtures("usual_sigint_handler")
def test_the_best_is_restored_after_ctrl_c() -> None:
    """The signal comes during an epoch, so that fit defers it to the next batch."""
    seen: list[bytes] = []

    def schedule(step: int) -> float:
        if step == 400:
            signal.raise_signal(signal.SIGINT)
        return 1.0

    trainer = make(learning_rate=1.0, schedule=schedule)
    stopping = EarlyStopping(patience=1000)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=999, validation_split=0.3, callbacks=[stopping, keep(seen)])
    assert stopping.best_epoch is not None
    assert bits(trainer) == seen[stopping.best_epoch - 1] != seen[-1]


def test_a_second_fit_forgets_the_first() -> None:
    stopping = EarlyStopping("cost", patience=1000)
    trainer = make()
    trainer.fit(X, Y, epochs=20, callbacks=[stopping])
    first = stopping.best
    trainer.network.parameters[:] = Network([6, 5, 3], seed=1).parameters
    trainer.fit(X, Y, epochs=2, callbacks=[stopping])
    assert stopping.best is not None
    assert first is not None
    assert stopping.best > first
    assert stopping.best_epoch in (21, 22)


def test_an_improvement_of_min_delta_is_none() -> None:
    history = make(learning_rate=1e-4).fit(
        X, Y, epochs=50, callbacks=[EarlyStopping("cost", patience=3, min_delta=0.1)]
    )
    assert len(history) == 4
    assert history["cost"] == sorted(history["cost"], reverse=True)


def test_the_rate_falls_on_a_plateau_down_to_the_smallest_rate() -> None:
    plateau = ReduceOnPlateau("cost", factor=0.5, patience=2, min_delta=100.0, min_rate=0.03)
    history = make().fit(X, Y, epochs=8, callbacks=[plateau])
    assert history["learning_rate"] == [0.1] * 3 + [0.05] * 2 + [0.03] * 3
    small = make(learning_rate=0.01)
    small.fit(X, Y, epochs=8, callbacks=[plateau])
    assert small.learning_rate == 0.01  # never raised


@pytest.mark.parametrize("make_callback", [EarlyStopping, ReduceOnPlateau])
@pytest.mark.parametrize(
    ("monitor", "words"),
    [
        ("validation_cost", "give validation_data or validation_split"),
        ("r2", "it records cost, accuracy: monitor one of these"),
        ("validation_r2", "give validation_data or validation_split"),
    ],
)
def test_a_monitor_that_would_be_nan_is_an_error_before_the_first_epoch(
    make_callback: Any, monitor: str, words: str
) -> None:
    trainer = make()
    with pytest.raises(ValueError, match=f"{monitor} is nan in each epoch of this fit.*{words}"):
        trainer.fit(X, Y, epochs=3, callbacks=[make_callback(monitor)])
    assert trainer.steps == 0
    assert len(trainer.fit(X, Y, epochs=1)) == 1


NETWORKS = {
    "classification": ({"output": "softmax", "cost": "cross_entropy"}, Y, ["cost", "accuracy"]),
    "multilabel": ({"task": "multilabel"}, np.eye(3)[Y] + np.eye(3)[0] > 0, ["cost", "accuracy", "label_accuracy"]),
    "regression": ({"output": "identity"}, np.eye(3)[Y], ["cost", "r2"]),
    "constant targets": ({"output": "identity"}, np.ones((53, 3)), ["cost"]),
}


@pytest.mark.parametrize("task", NETWORKS)
def test_the_measures_of_a_fit_are_those_that_are_not_nan(task: str) -> None:
    class Begins(Callback):
        def on_fit_begin(self, trainer: Trainer, info: fastnet.FitInfo) -> None:
            seen.append(info)

    arguments, y, measures = NETWORKS[task]
    trainer = Trainer(Network([6, 3], seed=0, **arguments), batch_size=8, seed=0)
    for more in ({}, {"validation_split": 0.5}):
        seen: list[fastnet.FitInfo] = []
        epoch = trainer.fit(X, y, epochs=2, callbacks=[Begins()], **more).epochs[-1]
        assert set(seen[0].measures) == {name for name in MEASURES if not math.isnan(getattr(epoch, name))}
        assert set(seen[0].measures) == {*measures, *(f"validation_{name}" for name in measures if more)}
        assert seen[0][:3] == (2, 4 if more else 7, 27 if more else 53)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"monitor": "val_loss"}, "unknown monitor 'val_loss'"),
        ({"monitor": "validation_costs"}, "did you mean 'validation_cost'"),
        ({"monitor": "seconds"}, "unknown monitor 'seconds'"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"min_delta": -1}, "min_delta"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, Any], words: str) -> None:
    for kind in (EarlyStopping, ReduceOnPlateau):
        with pytest.raises(ValueError, match=words):
            kind(**arguments)


@pytest.mark.parametrize("factor", [0, 1, 1.5])
def test_an_impossible_factor_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="factor must be between 0 and 1"):
        ReduceOnPlateau(factor=factor)


def test_every_callback_that_began_is_ended_if_another_one_fails() -> None:
    calls = []

    class Logs(Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_fit_begin(self, trainer: Trainer, info: fastnet.FitInfo) -> None:
            calls.append(f"{self.name} begins")
            if self.name == "c":
                raise LookupError("c")

        def on_fit_end(self, trainer: Trainer) -> None:
            calls.append(f"{self.name} ends")
            if self.name == "b":
                raise LookupError("b")

    with pytest.raises(LookupError):
        make().fit(X, Y, epochs=1, callbacks=[Logs("a"), Logs("b"), Logs("c")])
    assert calls == ["a begins", "b begins", "c begins", "b ends", "a ends"]
