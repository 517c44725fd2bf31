"""The steps of a descent: the change of cost that the gradient predicts for each step, and the actual change.

Not here: the learning rate (rates.py), batch sizes (batches.py), the gradient's components (gradients.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.errors import DivergedError
from fastnet.names import BackendName
from fastnet.training.callbacks import Callback, EpochSoFar
from fastnet.training.history import Epoch
from fastnet.training.order import examples_in_batch
from fastnet.training.trainer import Trainer

Floats = NDArray[np.float64]
ROUNDING = 1e-12  # the error of a change of cost in float64, relative to the cost


@dataclass(frozen=True)
class DescentLog:
    """The steps of a descent. Each array has one entry for each step.

    A step changes the parameters by s. With the gradient g the predicted change of the cost is g . s. For plain
    gradient descent at rate r this is `-r |g|^2`.

    Attributes
    ----------
    learning_rate : ndarray of float64, shape (n_steps,)
        The learning rate of each step.
    gradient_norm : ndarray of float64, shape (n_steps,)
        The Euclidean norm of the gradient before the step, on the step's batch.
    step_length : ndarray of float64, shape (n_steps,)
        The Euclidean length of the change of the parameters.
    cost : ndarray of float64, shape (n_steps,)
        The mean cost of the step's batch before the step.
    predicted_change : ndarray of float64, shape (n_steps,)
        The change of `cost` that the gradient predicts.
    actual_change : ndarray of float64, shape (n_steps,)
        The actual change of `cost` in the step.
    overshoot : ndarray of bool, shape (n_steps,)
        Whether the actual change has the opposite sign of the predicted change and is larger than rounding errors.
    batch_size : int
        Examples in a batch.
    diverged : bool
        Whether the trainer raised DivergedError after the last step.
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
        """actual_change / predicted_change, float64 (n_steps,).

        The ratio is near 1 for short steps, below 0 if the step overshot, and NaN if the predicted change is 0.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.predicted_change == 0, np.nan, self.actual_change / self.predicted_change)


def descent_log(trainer: Trainer, x: Any, y: Any, steps: int, *, backend: BackendName | None = None) -> DescentLog:
    """Train for more steps, and log the effect of each step.

    The steps use the trainer's batch size, order, optimiser and schedule, over as many epochs as needed. The trainer's
    state and history end as after a fit that was stopped at the last step. Costs and gradients are computed in float64
    at the network's parameters. They leave out weight decay, clipping, momentum and dropout, which change only the step
    itself.

    Parameters
    ----------
    trainer : Trainer
        The trainer. It trains its network.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples. Floats are converted to float64 for the call.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    steps : int
        The number of steps.
    backend : str, optional
        The backend that computes costs and gradients. By default the trainer's.

    Returns
    -------
    DescentLog
        The steps. The log ends early if the training diverges.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> trainer = fastnet.Trainer(fastnet.Network([4, 3], seed=0), optimizer="sgd", batch_size=60)
    >>> log = descent_log(trainer, x, y, 5)
    >>> len(log), bool(log.overshoot.any())
    (5, False)
    """
    checks.instance("trainer", trainer, Trainer)
    steps = checks.whole_number("steps", steps, 1)
    logger = _Logger(trainer, x, y, steps, trainer.backend if backend is None else backend)
    batches = math.ceil(logger.n_examples / logger.batch_size)  # in an epoch
    diverged = False
    try:
        trainer.fit(x, y, epochs=math.ceil(steps / batches), callbacks=[logger])
    except DivergedError:
        diverged = True
    rate, norm, length, cost, predicted, actual = np.array(logger.lines, np.float64).reshape(-1, 6).T
    overshoot = (predicted * actual < 0) & (np.abs(actual) > ROUNDING * np.abs(cost))
    return DescentLog(rate, norm, length, cost, predicted, actual, overshoot, logger.batch_size, diverged)


class _Logger(Callback):
    """Logs a line of numbers after each step, and stops the trainer after the last step."""

    every = 1

    def __init__(self, trainer: Trainer, x: Any, y: Any, steps: int, backend: BackendName | None) -> None:
        self._twin = trainer.network.astype(np.float64)  # the network before the latest step
        self._x = self._twin.check_inputs(x)
        self._y = self._twin.check_targets(y, len(self._x))
        self._steps, self._backend = steps, backend
        self._cost = np.nan  # the cost of the latest batch after its step
        self.n_examples = len(self._x)
        self.batch_size = examples_in_batch(trainer.batch_size, self.n_examples)
        self.lines: list[tuple[float, ...]] = []

    def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
        twin, whole = self._twin, self.batch_size == self.n_examples
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
    """A callback that stops a fit once the gradient of the cost over x, y is short.

    A short gradient does not prove a minimum: the gradient is also short at a saddle point, and where neurons are
    saturated. Weight decay is not part of the gradient. With weight decay the gradient does not vanish at a minimum: it
    balances the decay.

    Parameters
    ----------
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    norm : float
        The fit stops at a gradient of this Euclidean norm or less.
    every : int, optional
        Measure the gradient after this number of batches. By default it is measured after each epoch.

    Attributes
    ----------
    steps : list of int
        The number of the trainer's steps before each measurement.
    norms : list of float
        The norm of the gradient at each measurement.

    Raises
    ------
    TypeError, ValueError
        A setting does not fit. `fit` raises the same errors if the data do not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> trainer = fastnet.Trainer(fastnet.Network([4, 3], seed=0), optimizer="sgd")
    >>> stop = StopAtMinimum(x, y, 0.1)
    >>> history = trainer.fit(x, y, epochs=100, callbacks=[stop])
    >>> stop.reached, len(history) < 100
    (True, True)
    """

    def __init__(self, x: Any, y: Any, norm: float, *, every: int | None = None) -> None:
        self._x, self._y = x, y
        self._norm = checks.number("norm", norm, above=0)
        self.every = None if every is None else checks.whole_number("every", every, 1)
        self.steps: list[int] = []
        self.norms: list[float] = []

    @property
    def reached(self) -> bool:
        """Whether the gradient was short enough at the last measurement."""
        return bool(self.norms) and self.norms[-1] <= self._norm

    def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
        """Measure after batches if `every` is given."""
        if self.every is not None:
            self._measure(trainer)

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        """Measure after an epoch if `every` is not given."""
        if self.every is None:
            self._measure(trainer)

    def _measure(self, trainer: Trainer) -> None:
        gradient = trainer.network.gradient(self._x, self._y, backend=trainer.backend)
        self.steps.append(trainer.steps)
        self.norms.append(_norm(gradient.astype(np.float64)))
        if self.reached:
            trainer.stop()


def _dot(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    """The dot product without BLAS, whose threads can take longer to start than the whole step takes."""
    return float(np.multiply(a, b).sum())


def _norm(a: NDArray[np.floating[Any]]) -> float:
    return math.sqrt(_dot(a, a))
