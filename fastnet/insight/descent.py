"""The descent, step by step: what the gradient promises of each step and what the step brings.

Not here: how large the rate should be (rates.py), batches of different sizes (batches.py), the gradient's own
components (gradients.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.errors import DivergedError
from fastnet.training.callbacks import Callback, Progress
from fastnet.training.history import Epoch
from fastnet.training.trainer import Trainer

Floats = NDArray[np.float64]
RESOLUTION = 1e-12  # of a change of cost, relative to the cost: what a sum in float64 may be wrong by


@dataclass(frozen=True)
class DescentLog:
    """The steps of a descent, one entry a step: arrays (n_steps,), float64 but for `overshoot`.

    cost is that before the step, of the step's own batch, and so are gradient_norm and the changes of cost; where the
    batch is all examples they are those of the whole. step_length is the Euclidean length of what the step really did
    to the parameters, predicted_change is gradient . step: for plain gradient descent rate * norm and -rate * norm^2.
    overshoot: predicted and actual change differ in sign, and by more than rounding.

    diverged: the trainer raised DivergedError after the last step of the log.
    """

    learning_rate: Floats
    gradient_norm: Floats
    step_length: Floats
    cost: Floats
    predicted_change: Floats
    actual_change: Floats
    overshoot: NDArray[np.bool_]
    batch_size: int
    diverged: bool

    def __len__(self) -> int:
        return len(self.cost)

    @property
    def ratio(self) -> Floats:
        """actual_change / predicted_change (n_steps,): 1 for short steps, below 0 where overshot, NaN for 0 / 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.predicted_change == 0, np.nan, self.actual_change / self.predicted_change)


def descent_log(trainer: Trainer, x: Any, y: Any, steps: int, *, backend: str | None = None) -> DescentLog:
    """Trains for some steps more, as `trainer.fit` does, and returns what each of them did.

    x (n, n_in) and y as for `fit`. The steps are the trainer's own: its batch size, order, optimiser, and its schedule,
    over as many epochs as the steps take. Its state and history are left as by a fit that was stopped after so many.
    Costs and gradients are taken in float64 on `backend`, by default the trainer's, at the parameters that the network
    really had, whatever its dtype: a change of cost is known to 1e-12 of the cost. They are the cost's alone: of
    weight decay, clipping, momentum and dropout only the step knows. Floats x are kept as float64 meanwhile.

    Raises TypeError or ValueError for unusable arguments. A diverged trainer ends the log, see DescentLog.
    """
    checks.instance("trainer", trainer, Trainer)
    steps = checks.whole_number("steps", steps, 1)
    logger = _Logger(trainer, x, y, steps, trainer.backend if backend is None else backend)
    batches = math.ceil(logger.examples / logger.batch_size)  # of an epoch, the last perhaps a smaller one
    diverged = False
    try:
        trainer.fit(x, y, epochs=math.ceil(steps / batches), callbacks=[logger])
    except DivergedError:
        diverged = True
    rate, norm, length, cost, predicted, actual = np.array(logger.lines, np.float64).reshape(-1, 6).T
    overshoot = (predicted * actual < 0) & (np.abs(actual) > RESOLUTION * np.abs(cost))
    return DescentLog(rate, norm, length, cost, predicted, actual, overshoot, logger.batch_size, diverged)


class _Logger(Callback):
    """Notes a line of figures after each step, and stops the trainer after so many."""

    every = 1

    def __init__(self, trainer: Trainer, x: Any, y: Any, steps: int, backend: str | None) -> None:
        self._twin = trainer.network.astype(np.float64)  # where the trainer's network is, or was a step ago
        self._x = self._twin.check_inputs(x)
        self._y = self._twin.check_targets(y, len(self._x))
        self._steps, self._backend = steps, backend
        self._cost = np.nan  # after the last step, on its batch
        self.examples = len(self._x)
        self.batch_size = min(trainer.batch_size, self.examples)
        self.lines: list[tuple[float, ...]] = []

    def on_batches(self, trainer: Trainer, progress: Progress) -> None:
        twin, whole = self._twin, self.batch_size == self.examples
        x, y = (self._x, self._y) if whole else (self._x[progress.rows], self._y[progress.rows])
        gradient = twin.gradient(x, y, backend=self._backend)
        before = self._cost if whole and self.lines else twin.cost(x, y, backend=self._backend)
        step = trainer.network.parameters - twin.parameters
        twin.parameters[...] = trainer.network.parameters
        self._cost = twin.cost(x, y, backend=self._backend)
        figures = _norm(gradient), _norm(step), before, _dot(gradient, step), self._cost - before
        self.lines.append((progress.learning_rate, *figures))
        if len(self.lines) == self._steps:
            trainer.stop()


class StopAtMinimum(Callback):
    """Stops a fit where the gradient of the cost over x, y is no longer than `norm`: as flat as this tells, a minimum.

    A small gradient is no proof: at a saddle, or where neurons are saturated, it is small too. It is taken
    after every epoch, or every `every` batches, and is that of the cost alone: with weight decay the two balance each
    other at a minimum, and neither is zero.

        >>> trainer.fit(x, y, epochs=1000, callbacks=[fastnet.insight.StopAtMinimum(x, y, 1e-3)])

    Attributes
    ----------
    steps : list of int
        The trainer's steps when it was looked at.
    norms : list of float
        The gradient's norm each time.
    reached : bool
        Whether the last of them was small enough.

    Raises ValueError or TypeError for impossible settings, and from within `fit` for unusable data.
    """

    def __init__(self, x: Any, y: Any, norm: float, *, every: int | None = None) -> None:
        self._x, self._y = x, y
        self._norm = checks.number("norm", norm, above=0)
        self.every = None if every is None else checks.whole_number("every", every, 1)
        self.steps: list[int] = []
        self.norms: list[float] = []

    @property
    def reached(self) -> bool:
        """Whether the gradient was small enough when it was last looked at."""
        return bool(self.norms) and self.norms[-1] <= self._norm

    def on_batches(self, trainer: Trainer, progress: Progress) -> None:
        """Looks, where `every` was given."""
        if self.every is not None:
            self._look(trainer)

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        """Looks, where `every` was not given."""
        if self.every is None:
            self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        gradient = trainer.network.gradient(self._x, self._y, backend=trainer.backend)
        self.steps.append(trainer.steps)
        self.norms.append(_norm(gradient.astype(np.float64)))
        if self.reached:
            trainer.stop()


def _dot(a: Floats, b: Floats) -> float:
    """The dot product, not by BLAS: its threads, started for each, can take longer than the whole step."""
    return float(np.multiply(a, b).sum())


def _norm(a: Floats) -> float:
    return math.sqrt(_dot(a, a))
