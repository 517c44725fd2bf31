"""One training of a search, as a function of the data and of a task: the same on every machine and in any order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastnet import checks
from fastnet.errors import BackendError, DivergedError
from fastnet.network import Network
from fastnet.search.problem import Problem
from fastnet.search.records import Record, Trial
from fastnet.search.space import TRAINER, Setting, text_of
from fastnet.training.callbacks import Callback
from fastnet.training.history import FIELDS, TEXTS, Epoch
from fastnet.training.state import TrainingState
from fastnet.training.trainer import Trainer

HIDDEN = (16, 16)  # without `hidden` in the space, as in the recipe of `fastnet train` for pictures
SEQUENCES = ("hidden", "activation", "dropout")  # parameters whose value may have an entry for each layer
COLUMNS = tuple(name for name in FIELDS if name not in TEXTS)


@dataclass(frozen=True)
class Task:
    """A training, or its part up to a rung of a search by halving.

    Attributes
    ----------
    trial : Trial
        The training.
    epochs : int
        The number of epochs of the whole training.
    until : int
        The number of epochs after which this part ends.
    rung : int
        The number of the rung.
    state : TrainingState or None
        Where the last part ended.
    """

    trial: Trial
    epochs: int
    until: int
    rung: int = 0
    state: TrainingState | None = None


@dataclass(frozen=True)
class Outcome:
    """What a task gives back.

    Attributes
    ----------
    record : Record
        The results.
    network : Network
        The network.
    state : TrainingState or None
        Where the next part goes on; None for a training that has ended.
    """

    record: Record
    network: Network
    state: TrainingState | None


def new_trainer(problem: Problem, setting: Setting, seed: int, hidden: Sequence[int] | None = None) -> Trainer:
    """Return a new trainer with its network. `hidden` are other hidden layers than the setting's.

    Raises ValueError, TypeError or BackendError if a parameter is invalid.
    """
    network = problem.network(setting, widths(setting) if hidden is None else hidden, seed)
    return Trainer(network, seed=seed, **{name: setting[name] for name in TRAINER if name in setting})


def widths(setting: Setting) -> tuple[int, ...]:
    """Return the widths of the hidden layers. One number stands for one layer."""
    hidden = setting.get("hidden", HIDDEN)
    return tuple(hidden) if isinstance(hidden, (tuple, list)) else (hidden,)


def check_setting(problem: Problem, setting: Setting, number: int, *, is_halving: bool) -> Network:
    """Refuse a setting that no network or trainer takes, before the first training. Return a small such network.

    The network has one input, hidden layers of one neuron and at most three outputs, so that thousands of settings take
    little time, and wrong labels little memory.
    """
    try:
        for name, value in setting.items():
            if isinstance(value, (tuple, range, set, frozenset, Iterator)) and name not in SEQUENCES:
                raise TypeError(f"{name} is one value, {text_of(value)}: put candidates into a list")
        hidden = [checks.whole_number("a width of hidden", width, 1) for width in widths(setting)]
        checks.layer_sizes((problem.n_in, *hidden, max(problem.n_out, problem.n_classes, 1)))
        small = Problem(1, min(problem.n_out, 3), min(problem.n_classes, 3))
        trainer = new_trainer(small, setting, 0, (1,) * len(hidden))
        if is_halving:
            trainer.state()  # raises for an optimiser that no file can keep
        if "epochs" in setting:
            checks.whole_number("epochs", setting["epochs"], 1)
    except (ValueError, TypeError, BackendError) as error:
        raise type(error)(f"setting {number}, {text_of(setting)}: {error}") from error
    return trainer.network


def train(problem: Problem, task: Task) -> Outcome:
    """Run a task."""
    trial = task.trial
    fold = problem.folds[trial.replicate % len(problem.folds)]
    callbacks = _callbacks(problem, trial)
    pause = Pause(task.until)
    if task.until < task.epochs:
        callbacks.append(pause)
    if task.state is None:
        trainer, epochs = new_trainer(problem, dict(trial.setting), trial.seed), task.epochs
    else:
        trainer, epochs = Trainer.resume(task.state, schedule=trial.setting.get("schedule")), None
    message = ""
    try:
        with _used_once(callbacks):
            trainer.fit(
                fold.x,
                fold.y,
                epochs=epochs,
                sample_weight=fold.weights,
                validation_data=fold.validation,
                callbacks=callbacks,
                **problem.fit,
            )
        value = _value(problem, trainer, fold.validation)
        if not math.isfinite(value):
            value, message = math.nan, f"the metric is {value} on the rows held out"  # the journal knows no infinity
    except DivergedError as error:
        value, message = math.nan, str(error)
    history = {name: trainer.history[name] for name in COLUMNS}  # type: ignore[call-overload]  # the names are those of Epoch
    record = Record(trial, len(trainer.history), task.rung, value, math.fsum(history["seconds"]), history, message)
    return Outcome(record, trainer.network, None if message else pause.taken)


def _callbacks(problem: Problem, trial: Trial) -> list[Any]:
    made = [] if problem.callbacks is None else problem.callbacks(trial)
    if not isinstance(made, Iterable):
        raise TypeError(f"callbacks must return a list of callbacks for a training, not {checks.given(made)}")
    return list(made)


@contextmanager
def _used_once(callbacks: Sequence[Any]) -> Iterator[None]:
    """Refuse callbacks that another training of this process uses: each would see the epochs of both."""
    mine, owner = {id(one): one for one in callbacks if isinstance(one, Callback)}, object()
    shared = [one for key, one in mine.items() if _owners.setdefault(key, owner) is not owner]
    try:
        if shared:
            raise TypeError(
                f"callbacks returned the same {type(shared[0]).__name__} for two trainings at the same time: make a "
                "new one for each, such as lambda trial: [EarlyStopping()]"
            )
        yield
    finally:
        for key in mine:
            if _owners.get(key) is owner:
                del _owners[key]


_owners: dict[int, object] = {}  # of the callbacks of the trainings that run, by id


def _value(problem: Problem, trainer: Trainer, validation: tuple[Any, ...]) -> float:
    """Return the metric of a trained network on the validation rows."""
    metric = problem.metric
    if isinstance(metric, str) and problem.callbacks is None:  # callbacks may change the network after its evaluation
        return float(getattr(trainer.history.epochs[-1], f"validation_{metric}"))
    if isinstance(metric, str):
        x, y, *weights = validation
        found = trainer.evaluate(x, y, sample_weight=weights[0] if weights else None)
        return float(getattr(found, metric))
    result: Any = metric(trainer.network, *validation[:2])
    try:
        return float("" if isinstance(result, (str, bytes)) else result)
    except (TypeError, ValueError):
        raise TypeError(f"metric must return a number, not {checks.given(result)}") from None


class Pause(Callback):
    """Ends a fit after an epoch so that it can go on: it takes the state that the rest of the fit begins with."""

    comes_last = True

    def __init__(self, until: int) -> None:
        self._until = until
        self.taken: TrainingState | None = None

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        """Take the state after the last epoch. If another callback has ended the fit, the state says so."""
        if epoch.epoch >= self._until:
            self.taken = trainer.state()
            trainer.stop()
