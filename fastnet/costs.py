"""The costs that have a number: Huber, Quantile and CrossEntropy. A name, such as "huber", stands for the default."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, cast

from fastnet.checks import given, name_of, number
from fastnet.kernels.formulas import COSTS
from fastnet.names import Cost

MIN_DELTA, MAX_DELTA = 1e-30, 1e30  # float32 holds these numbers and their halves


@dataclass(frozen=True)
class Huber:
    """Huber's cost: squared for small errors, linear for large errors, so that outliers count less.

    Parameters
    ----------
    delta : float
        The distance between output and target at which the cost becomes linear. A distance d costs d^2 / 2 up to
        delta, and delta (d - delta / 2) beyond.

    Raises
    ------
    ValueError, TypeError
        delta is not a number from 1e-30 to 1e30.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.Network([4, 8, 1], cost=fastnet.Huber(2.0), task="regression").cost_number
    2.0
    """

    delta: float = 1.0

    name: ClassVar[Cost] = "huber"

    def __post_init__(self) -> None:
        delta = number("delta", self.delta)
        if not MIN_DELTA <= delta <= MAX_DELTA:
            raise ValueError(f"delta must be from {MIN_DELTA:g} to {MAX_DELTA:g}, not {delta:g}")
        object.__setattr__(self, "delta", delta)

    @property
    def number(self) -> float:
        """The number in the cost's formula."""
        return self.delta


@dataclass(frozen=True)
class Quantile:
    """The pinball cost. Its minimum is the quantile q of the targets; q = 0.5 gives the median.

    Parameters
    ----------
    q : float
        The quantile, above 0 and below 1. A target above the output costs q times the distance, a target below it
        costs 1 - q times the distance.

    Raises
    ------
    ValueError, TypeError
        q is not a number between 0 and 1.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.Network([4, 8, 1], cost=fastnet.Quantile(0.9), seed=0)
    <Network 4-8-1 relu, identity, quantile(q=0.9), 49 parameters, float32>
    """

    q: float = 0.5

    name: ClassVar[Cost] = "quantile"

    def __post_init__(self) -> None:
        q = number("q", self.q, above=0)
        if q >= 1:
            raise ValueError(f"q must be below 1, not {q:g}")
        object.__setattr__(self, "q", q)

    @property
    def number(self) -> float:
        """The number in the cost's formula."""
        return self.q


@dataclass(frozen=True)
class CrossEntropy:
    """The cross-entropy in nats, with an upper limit for the cost of each output.

    The limit changes the reported cost alone. The gradient is that of the cross-entropy without a limit.

    Parameters
    ----------
    limit : float
        Minus the logarithm of a probability counts as at most this number. The default is no limit.

    Raises
    ------
    ValueError, TypeError
        The limit is not a number above 0.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.Network([4, 8, 3], cost=fastnet.CrossEntropy(limit=36.0), seed=0)
    <Network 4-8-3 relu, softmax, cross_entropy(limit=36), 67 parameters, float32>
    """

    limit: float = math.inf

    name: ClassVar[Cost] = "cross_entropy"

    def __post_init__(self) -> None:
        if self.limit != math.inf:
            object.__setattr__(self, "limit", number("limit", self.limit, above=0))

    @property
    def number(self) -> float:
        """The number in the cost's formula."""
        return self.limit


CostObject: TypeAlias = Huber | Quantile | CrossEntropy
OBJECTS: dict[str, Callable[[float], CostObject]] = {
    "huber": Huber,
    "quantile": Quantile,
    "cross_entropy": CrossEntropy,
}


def name_and_number(cost: Cost | CostObject) -> tuple[Cost, float]:
    """Return the name and the number of a cost; 0 for a cost without a number.

    Raises ValueError for an unknown name, and TypeError for another object.
    """
    if isinstance(cost, (Huber, Quantile, CrossEntropy)):
        return cost.name, cost.number
    if not isinstance(cost, str):
        raise TypeError(f"cost must be a name or an object such as Huber(), not {given(cost)}")
    return cost, COSTS[name_of("cost", cost, COSTS)].default_number


def with_number(name: object, number: float | None) -> Cost | CostObject:
    """Return a cost as Network's argument: its name if the number is None or the default, else an object.

    Raises ValueError or TypeError for an unknown name or a wrong number.
    """
    if number is None or number == COSTS[name_of("cost", name, COSTS)].default_number:
        return cast(Cost, name)
    if name not in OBJECTS:
        raise ValueError(f"the cost {name} has no number, so {given(number)} has no meaning")
    return OBJECTS[name](number)


def described(name: str, number: float) -> str:
    """Return the cost as text: its name, and its number if that is not the default, such as "huber(delta=2)"."""
    row = COSTS[name]
    return name if number == row.default_number else f"{name}({row.number_name}={number:g})"
