"""Optimisers: their settings and their names.

Not here: the updates. Their formulas are in kernels/formulas.py (UPDATES), their code in kernels/numpy_backend.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastnet.checks import boolean, fraction, given, name_of, number
from fastnet.kernels import contract as c
from fastnet.names import OptimizerName

MIN_EPSILON = 1.2e-38  # just above the smallest normal float32; the kernels flush smaller numbers to 0


class Optimizer(Protocol):
    """The part of an optimiser that a trainer reads. GradientDescent, Momentum and Adam have it."""

    @property
    def kind(self) -> int: ...
    @property
    def default_learning_rate(self) -> float: ...
    def numbers(self) -> dict[int, float]: ...


@dataclass(frozen=True)
class GradientDescent:
    """Gradient descent on batches: w -= rate * gradient.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.Trainer(fastnet.Network([4, 3]), optimizer=fastnet.GradientDescent()).learning_rate
    0.1
    """

    kind = c.GRADIENT_DESCENT
    default_learning_rate = 0.1

    def numbers(self) -> dict[int, float]:
        """Return the columns of the kernel's settings vector that this optimiser sets, with their values."""
        return {}


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum (Polyak 1964): v = momentum * v + gradient; w -= rate * v.

    Parameters
    ----------
    momentum : float
        The share of the velocity v that an update keeps, from 0 to below 1.
    nesterov : bool
        Whether the update is w -= rate * (gradient + momentum * v): Sutskever et al. (2013), in PyTorch's form.

    Raises
    ------
    ValueError
        The momentum is out of range.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.Momentum(0.95, nesterov=True)
    Momentum(momentum=0.95, nesterov=True)
    """

    momentum: float = 0.9
    nesterov: bool = False

    kind = c.MOMENTUM
    default_learning_rate = 0.01

    def __post_init__(self) -> None:
        fraction("momentum", self.momentum)
        boolean("nesterov", self.nesterov)

    def numbers(self) -> dict[int, float]:
        """Return the columns of the kernel's settings vector that this optimiser sets, with their values."""
        return {c.BETA1: self.momentum, c.NESTEROV: float(self.nesterov)}


@dataclass(frozen=True)
class Adam:
    """Adam: algorithm 1 of Kingma and Ba (2015).

    Parameters
    ----------
    beta1, beta2 : float
        The decay rates of the first and the second moment, from 0 to below 1.
    epsilon : float
        A positive number, added to the square root of the second moment.

    Raises
    ------
    ValueError
        A setting is out of range.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.Adam(beta2=0.99)
    Adam(beta1=0.9, beta2=0.99, epsilon=1e-08)
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    kind = c.ADAM
    default_learning_rate = 0.001

    def __post_init__(self) -> None:
        fraction("beta1", self.beta1)
        fraction("beta2", self.beta2)
        if number("epsilon", self.epsilon) < MIN_EPSILON:
            raise ValueError(
                f"epsilon must be at least {MIN_EPSILON:g}, not {self.epsilon:g}: the kernels flush smaller numbers to "
                "0, and Adam would compute 0 / 0"
            )

    def numbers(self) -> dict[int, float]:
        """Return the columns of the kernel's settings vector that this optimiser sets, with their values."""
        return {c.BETA1: self.beta1, c.BETA2: self.beta2, c.EPSILON: self.epsilon}


OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": GradientDescent,
    "momentum": Momentum,
    "nesterov": lambda: Momentum(nesterov=True),
    "adam": Adam,
}


def as_optimizer(optimizer: OptimizerName | Optimizer) -> Optimizer:
    """Return the optimiser of this name, or the given object. Raises ValueError or TypeError for anything else."""
    if isinstance(optimizer, str):
        name_of("optimizer", optimizer, OPTIMIZERS)
        return OPTIMIZERS[optimizer]()
    if not isinstance(optimizer, (GradientDescent, Momentum, Adam)):
        raise TypeError(
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, or an object such as Adam(), not {given(optimizer)}"
        )
    return optimizer


def encode(optimizer: Optimizer, weight_decay: float, clip_norm: float | None) -> NDArray[np.float64]:
    """Return the optimiser's settings in the form that kernels take: float64 (7,). The contract names the columns."""
    vector = np.zeros(c.OPTIMIZER_COLUMNS)
    vector[[c.KIND, c.WEIGHT_DECAY, c.CLIP_NORM]] = optimizer.kind, weight_decay, clip_norm or 0
    for column, value in optimizer.numbers().items():
        vector[column] = value
    if vector[c.KIND] not in c.SLOTS:
        raise ValueError(f"the kind of {optimizer!r} is {vector[c.KIND]:g}; expected one of {list(c.SLOTS)}")
    return vector
