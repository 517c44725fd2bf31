"""Optimisers and learning-rate schedules: their names and numbers.

Not here: the updates. Their formulas are OPTIMIZERS of kernels/formulas.py, their code is `update` of a backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastnet.checks import flag, name_of, number
from fastnet.kernels import contract as c

Rates = NDArray[np.float64]


class Optimizer(Protocol):
    """What a Trainer needs of an optimiser: one of the three below."""

    @property
    def kind(self) -> int: ...
    @property
    def default_learning_rate(self) -> float: ...
    def numbers(self) -> dict[int, float]: ...


@dataclass(frozen=True)
class GradientDescent:
    """Plain gradient descent: W -= rate * gradient."""

    kind = c.GRADIENT_DESCENT
    default_learning_rate = 0.1

    def numbers(self) -> dict[int, float]:
        return {}


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum: v = momentum * v + gradient; W -= rate * v.

    With `nesterov`, W -= rate * (gradient + momentum * v): Sutskever et al. (2013) as PyTorch writes it.
    Raises ValueError unless 0 <= momentum < 1.
    """

    momentum: float = 0.9
    nesterov: bool = False

    kind = c.MOMENTUM
    default_learning_rate = 0.01

    def __post_init__(self) -> None:
        _check_fraction("momentum", self.momentum)
        flag("nesterov", self.nesterov)

    def numbers(self) -> dict[int, float]:
        return {c.BETA1: self.momentum, c.NESTEROV: float(self.nesterov)}


@dataclass(frozen=True)
class Adam:
    """Adam, Kingma and Ba (2015), algorithm 1. Raises ValueError unless the betas are in [0, 1), epsilon > 0."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    kind = c.ADAM
    default_learning_rate = 0.001

    def __post_init__(self) -> None:
        _check_fraction("beta1", self.beta1)
        _check_fraction("beta2", self.beta2)
        # Below float32's smallest normal number it would be flushed to zero, and 0 / 0 is not a number.
        number("epsilon", self.epsilon, minimum=1.2e-38)

    def numbers(self) -> dict[int, float]:
        return {c.BETA1: self.beta1, c.BETA2: self.beta2, c.EPSILON: self.epsilon}


OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": GradientDescent,
    "momentum": Momentum,
    "nesterov": lambda: Momentum(nesterov=True),
    "adam": Adam,
}


def encode(optimizer: Optimizer, weight_decay: float, clip_norm: float | None) -> NDArray[np.float64]:
    """The optimiser as the kernels see it, float64 (7,)."""
    vector = np.zeros(c.OPTIMIZER_COLUMNS)
    vector[[c.KIND, c.WEIGHT_DECAY, c.CLIP_NORM]] = optimizer.kind, weight_decay, clip_norm or 0
    for column, value in optimizer.numbers().items():
        vector[column] = value
    if vector[c.KIND] not in c.SLOTS:
        raise ValueError(f"the kind of {optimizer!r} is {vector[c.KIND]:g}; expected one of {list(c.SLOTS)}")
    return vector


# -- schedules: the factor by which the learning rate is multiplied ---------------------------------------------


@dataclass(frozen=True)
class Schedule:
    """Base of the schedules; itself the constant one.

    Time is counted in epochs, as a real number, from the first update of the trainer. During the first `warmup`
    epochs the factor rises linearly from one update's share to 1; what follows is the schedule proper, on the time
    that is left.
    """

    warmup: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        number("warmup (epochs)", self.warmup, minimum=0)

    def factors(self, first: float, steps: int, per_epoch: int, horizon: tuple[float, float]) -> Rates:
        """The factors (steps,) of the updates from time `first` on, `per_epoch` of them an epoch.

        horizon is the (start, end) of the current fit, for a schedule that was given no length of its own.
        """
        time = first + np.arange(steps) / per_epoch
        proper = self.proper(time, horizon)
        if self.warmup:
            return np.asarray(np.minimum((time + 1 / per_epoch) / self.warmup, 1) * proper)
        return proper

    def proper(self, time: Rates, horizon: tuple[float, float]) -> Rates:
        """The factors at `time`, in epochs since the first update, without the warm-up's."""
        return np.ones_like(time)

    def after_warmup(self, time: Rates) -> Rates:
        """Epochs since the end of the warm-up, 0 during it."""
        return np.maximum(time - self.warmup, 0)


@dataclass(frozen=True)
class Constant(Schedule):
    """The learning rate stays as it is."""


@dataclass(frozen=True)
class Step(Schedule):
    """Multiplies the rate by `factor` every `every` epochs."""

    every: float = 10.0
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        number("every (epochs)", self.every, above=0)
        number("factor", self.factor, above=0)

    def proper(self, time: Rates, horizon: tuple[float, float]) -> Rates:
        # The sum of many 1 / per_epoch may fall just short of a whole number of epochs.
        return np.asarray(self.factor ** np.floor(self.after_warmup(time) / self.every + 1e-9))


@dataclass(frozen=True)
class Exponential(Schedule):
    """Multiplies the rate by `factor` an epoch, a little at every update."""

    factor: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        number("factor", self.factor, above=0)

    def proper(self, time: Rates, horizon: tuple[float, float]) -> Rates:
        return np.asarray(self.factor ** self.after_warmup(time))


@dataclass(frozen=True)
class Cosine(Schedule):
    """Falls along half a cosine from 1 to `final` (Loshchilov and Hutter 2017, without restarts).

    Over `epochs` epochs from the trainer's first update, warm-up included, and stays at `final` after them; where
    `epochs` is None, over each call of `fit` anew. To continue one curve over several calls, give its length.
    """

    epochs: float | None = None
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None and not number("epochs", self.epochs) > self.warmup:
            raise ValueError(f"epochs must be more than the warm-up of {self.warmup}, not {self.epochs}")
        if not 0 <= number("final", self.final) <= 1:
            raise ValueError(f"final must be a factor from 0 to 1, not {self.final}")

    def proper(self, time: Rates, horizon: tuple[float, float]) -> Rates:
        start, end = (0.0, self.epochs) if self.epochs is not None else horizon
        start = max(start, self.warmup)
        done = np.clip((time - start) / (end - start), 0, 1) if end > start else np.zeros_like(time)
        return np.asarray(self.final + (1 - self.final) * 0.5 * (1 + np.cos(math.pi * done)))


@dataclass(frozen=True)
class FromFunction(Schedule):
    """A user's function of the update's number (from 0) that returns the factor."""

    function: Callable[[int], float] = lambda step: 1.0

    def of_steps(self, first: int, steps: int) -> Rates:
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


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= number(name, value) < 1:
        raise ValueError(f"{name} must be from 0 to below 1, not {value}")


def as_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """The optimiser of that name, or the object itself. Raises ValueError or TypeError for anything else."""
    if isinstance(optimizer, str):
        return OPTIMIZERS[name_of("optimizer", optimizer, OPTIMIZERS)]()
    if not isinstance(optimizer, (GradientDescent, Momentum, Adam)):
        raise TypeError(f"optimizer must be one of {', '.join(OPTIMIZERS)} or such an object, not {optimizer!r}")
    return optimizer


def as_schedule(schedule: str | Schedule | Callable[[int], float]) -> Schedule:
    """The schedule of that name, the object itself, or one that asks the function. Raises as `as_optimizer`."""
    if isinstance(schedule, Schedule):
        return schedule
    if isinstance(schedule, str):
        return SCHEDULES[name_of("schedule", schedule, SCHEDULES)]()
    if callable(schedule) and not isinstance(schedule, type):
        return FromFunction(function=schedule)
    raise TypeError(
        f"schedule must be one of {', '.join(SCHEDULES)}, such an object, or a function of the step, not {schedule!r}"
    )
