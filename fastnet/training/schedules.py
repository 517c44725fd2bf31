"""Learning-rate schedules: the factor that multiplies the learning rate of each update."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastnet.checks import factors as check_factors
from fastnet.checks import given, name_of, number
from fastnet.names import ScheduleName

MAX_EPOCHS = 2**53  # schedules count epochs in float64, which holds every whole number up to this one
Factors = NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """Base class of the schedules. The base class itself keeps the rate constant.

    Time is a float: the epochs since the trainer's first update. A schedule of your own overrides `proper`.

    Parameters
    ----------
    warmup : float
        The length of a warm-up, in epochs. During the warm-up the factor rises linearly to 1.

    Raises
    ------
    ValueError
        A setting is out of range.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.Constant(warmup=2).factors(first=0, steps=4, per_epoch=1, horizon=(0, 4)).tolist()
    [0.5, 1.0, 1.0, 1.0]
    """

    warmup: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        number("warmup (epochs)", self.warmup, minimum=0)

    def factors(self, first: float, steps: int, per_epoch: int, horizon: tuple[float, float]) -> Factors:
        """Return the factors (steps,) of consecutive updates.

        Parameters
        ----------
        first : float
            The time of the first update.
        steps : int
            The number of updates.
        per_epoch : int
            The number of updates in an epoch.
        horizon : (float, float)
            The start and the end of the current fit in epochs, for a schedule without a length of its own.
        """
        time = first + np.arange(steps) / per_epoch
        proper = self.proper(time, horizon)
        if self.warmup:
            return np.asarray(np.minimum((time + 1 / per_epoch) / self.warmup, 1) * proper)
        return proper

    def proper(self, time: Factors, horizon: tuple[float, float]) -> Factors:
        """Return the schedule's own factors at these times. `factors` multiplies them by the warm-up's factors."""
        return np.ones_like(time)

    def after_warmup(self, time: Factors) -> Factors:
        """Return the epochs since the end of the warm-up, or 0 during the warm-up."""
        return np.maximum(time - self.warmup, 0)


@dataclass(frozen=True)
class Constant(Schedule):
    """The learning rate stays the same."""


@dataclass(frozen=True)
class Step(Schedule):
    """Multiply the rate by `factor` at the end of each period of `every` epochs.

    Parameters
    ----------
    every : float
        The length of a period, in epochs.
    factor : float
        A positive number.
    warmup : float
        The length of a warm-up, in epochs.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.Step(every=2, factor=0.5).factors(first=0, steps=5, per_epoch=1, horizon=(0, 5)).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    every: float = 10.0
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        number("every (epochs)", self.every, above=0)
        number("factor", self.factor, above=0)

    def proper(self, time: Factors, horizon: tuple[float, float]) -> Factors:
        """Return factor^k in period number k, counted from 0."""
        # Rounding may put the start of a period just below a whole number, so 1e-9 is added.
        return np.asarray(self.factor ** np.floor(self.after_warmup(time) / self.every + 1e-9))


@dataclass(frozen=True)
class Exponential(Schedule):
    """Multiply the rate by the same number at every update, so that an epoch multiplies it by `factor`.

    Parameters
    ----------
    factor : float
        A positive number.
    warmup : float
        The length of a warm-up, in epochs.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.Exponential(factor=0.5).factors(first=0, steps=3, per_epoch=1, horizon=(0, 3)).tolist()
    [1.0, 0.5, 0.25]
    """

    factor: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        number("factor", self.factor, above=0)

    def proper(self, time: Factors, horizon: tuple[float, float]) -> Factors:
        """Return factor^t at time t after the warm-up."""
        return np.asarray(self.factor ** self.after_warmup(time))


@dataclass(frozen=True)
class Cosine(Schedule):
    """Lower the rate along half a cosine: Loshchilov and Hutter (2017), without restarts.

    Parameters
    ----------
    epochs : float, optional
        The length in epochs from the trainer's first update, with the warm-up. The factor is `final` after this time.
        None: each call of `fit` follows a curve of its own. To spread one curve over several calls, give its length.
    final : float
        The last factor, from 0 to 1.
    warmup : float
        The length of a warm-up, in epochs.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.Cosine(epochs=4).factors(first=0, steps=5, per_epoch=1, horizon=(0, 5)).round(3).tolist()
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    epochs: float | None = None
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None and not number("epochs", self.epochs) > self.warmup:
            raise ValueError(f"epochs must be more than the warm-up of {self.warmup}, not {self.epochs}")
        if not 0 <= number("final", self.final) <= 1:
            raise ValueError(f"final must be a factor from 0 to 1, not {self.final}")

    def proper(self, time: Factors, horizon: tuple[float, float]) -> Factors:
        """Return final + (1 - final) * (1 + cos(pi * t)) / 2, where t rises from 0 to 1."""
        start, end = (0.0, self.epochs) if self.epochs is not None else horizon
        start = max(start, self.warmup)
        done = np.clip((time - start) / (end - start), 0, 1) if end > start else np.zeros_like(time)
        return np.asarray(self.final + (1 - self.final) * 0.5 * (1 + np.cos(math.pi * done)))


@dataclass(frozen=True)
class FromFunction(Schedule):
    """A user's function as a schedule. It takes the number of an update, counted from 0, and returns the factor."""

    function: Callable[[int], float] = lambda step: 1.0

    def of_steps(self, first: int, steps: int) -> Factors:
        """Return the factors (steps,) of the updates from number `first` on."""
        return np.array([self._factor(step) for step in range(first, first + steps)])

    def _factor(self, step: int) -> float:
        factor = self.function(step)
        try:
            return float(factor)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"the schedule gave {factor!r:.80} at step {step}; expected a finite factor") from None


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Constant,
    "step": Step,
    "cosine": Cosine,
    "exponential": Exponential,
}


OWN_SCHEDULES = (Constant, Step, Exponential, Cosine)


def as_schedule(schedule: ScheduleName | Schedule | Callable[[int], float]) -> Schedule:
    """Return the schedule of this name, the given schedule, or a schedule that calls the given function.

    Raises ValueError or TypeError for anything else.
    """
    if isinstance(schedule, Schedule):
        return schedule
    if isinstance(schedule, str):
        name_of("schedule", schedule, SCHEDULES)
        return SCHEDULES[schedule]()
    if callable(schedule) and not isinstance(schedule, type):
        return FromFunction(function=schedule)
    raise TypeError(
        f"schedule must be one of {', '.join(SCHEDULES)}, an object such as Cosine(), or a function of the update's "
        f"number, not {given(schedule)}"
    )


def has_no_length(schedule: Schedule) -> bool:
    """Whether the schedule takes its length from each fit."""
    return getattr(schedule, "epochs", 0) is None


def needs_length(schedule: Schedule) -> bool:
    """Whether the factors depend on the number of updates in an epoch."""
    return not isinstance(schedule, FromFunction) and (type(schedule) is not Constant or bool(schedule.warmup))


def factors_of_epoch(schedule: Schedule, epoch: int, step: int, steps: int, horizon: tuple[float, float]) -> Factors:
    """Return the factors (steps,) of one epoch's updates.

    Parameters
    ----------
    schedule : Schedule
        The schedule.
    epoch, step : int
        The number of epochs, and of updates, before this epoch.
    steps : int
        The number of updates in this epoch.
    horizon : (float, float)
        The start and the end of the current fit, in epochs.

    Raises
    ------
    ValueError
        A user's schedule did not return one finite factor of 0 or more for each update.
    """
    if type(schedule) is Constant and not schedule.warmup:
        factors = np.empty(steps)
        factors.fill(1.0)  # np.ones takes 0.6 us more
        return factors
    if isinstance(schedule, FromFunction):
        return check_factors(schedule.of_steps(step, steps), steps, step)
    with np.errstate(over="ignore"):  # an infinite factor is refused below
        factors = schedule.factors(epoch, steps, steps, horizon)
    return check_factors(factors, steps, step)
