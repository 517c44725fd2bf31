"""Spaces of settings: what a search may choose, and the settings that it draws from it or lists."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastnet import checks

NETWORK = ("activation", "output", "cost", "task", "init", "dtype", "byte_scale")
TRAINER = (
    *("optimizer", "learning_rate", "schedule", "batch_size", "weight_decay", "clip_norm", "dropout", "shuffle"),
    *("backend", "threads", "sparse"),
)
NAMES = ("hidden", "epochs", *NETWORK, *TRAINER)
MAX_GRID = 100_000  # settings; a larger grid is a mistake, and its networks would train for weeks

Setting = dict[str, Any]
Space = Mapping[str, Any]


class _Omitted:
    """The class of OMIT."""

    def __repr__(self) -> str:
        return "OMIT"

    def __reduce__(self) -> str:
        return "OMIT"  # a copy is the same object, since the search compares with `is`


OMIT: Final = _Omitted()
"""What a function of a space returns to leave its parameter out of a setting."""


@dataclass(frozen=True)
class Distribution:
    """A distribution of numbers. `loguniform`, `uniform` and `integers` make them.

    Attributes
    ----------
    kind : str
        "loguniform", "uniform" or "integers".
    low, high : float or int
        The limits.
    """

    kind: str
    low: float
    high: float

    @property
    def is_log(self) -> bool:
        """Whether equal ratios are equally likely, so that a picture needs a logarithmic axis."""
        return self.kind == "loguniform"

    def __repr__(self) -> str:
        return f"{self.kind}({self.low!r}, {self.high!r})"

    def rvs(self, random_state: np.random.Generator) -> float | int:
        """Draw a number. The name and the argument are those of SciPy's distributions."""
        if self.kind == "integers":
            return int(random_state.integers(int(self.low), int(self.high), endpoint=True))
        share = float(random_state.random())
        if self.kind == "uniform":
            return self.low + share * (self.high - self.low)
        found = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return min(max(found, self.low), self.high)  # rounding may leave the limits


def loguniform(low: float, high: float) -> Distribution:
    """Return the distribution of numbers whose logarithm is uniform: 0.001 to 0.01 is as likely as 0.01 to 0.1.

    Parameters
    ----------
    low, high : float
        The limits, above 0.

    Raises
    ------
    ValueError, TypeError
        A limit is not a number above 0, or `high` is not above `low`.

    Examples
    --------
    >>> from fastnet.search import loguniform
    >>> loguniform(1e-4, 1e-1)
    loguniform(0.0001, 0.1)
    """
    found = checks.number("low", low, above=0)
    return Distribution("loguniform", found, checks.number("high", high, above=found))


def uniform(low: float, high: float) -> Distribution:
    """Return the uniform distribution of numbers from `low` to `high`.

    Raises
    ------
    ValueError, TypeError
        A limit is not a finite number, or `high` is not above `low`.

    Examples
    --------
    >>> from fastnet.search import uniform
    >>> uniform(0, 0.5)
    uniform(0.0, 0.5)
    """
    found = checks.number("low", low)
    return Distribution("uniform", found, checks.number("high", high, above=found))


def integers(low: int, high: int) -> Distribution:
    """Return the distribution of the whole numbers from `low` to `high`, both included.

    Raises
    ------
    ValueError, TypeError
        A limit is not a whole number, or `high` is not above `low`.

    Examples
    --------
    >>> from fastnet.search import integers
    >>> integers(8, 64)
    integers(8, 64)
    """
    limit = 2**62
    found = checks.whole_number("low", low, -limit, limit)
    return Distribution("integers", found, checks.whole_number("high", high, found + 1, limit))


# -- checks ----------------------------------------------------------------------------------------------------------


def checked_spaces(space: object, method: str) -> list[Space]:
    """Return the spaces of a search, from one mapping or a list of mappings.

    Raises ValueError or TypeError for an unknown name, an empty list, and `epochs` in a search by halving, where the
    budget decides the number of epochs.
    """
    found = [space] if isinstance(space, Mapping) else space
    if isinstance(found, (str, bytes)) or not isinstance(found, Sequence):
        raise TypeError(f"space must be a mapping such as {{'learning_rate': [0.01, 0.1]}}, not {checks.given(space)}")
    if not found:
        raise ValueError("space is an empty list: give one or more mappings")
    for one in found:
        if not isinstance(one, Mapping):
            raise TypeError(f"a list of spaces must hold mappings, not {checks.given(one)}")
        for name, candidates in one.items():
            checks.name_of("parameter", name, NAMES)
            if isinstance(candidates, list) and not candidates:
                raise ValueError(f"{name} is an empty list: give one or more candidates")
            if method == "grid" and is_distribution(candidates):
                raise ValueError(
                    f"{name} is {text_of(candidates)}, which method='grid' cannot list: give a list of candidates, or "
                    "use method='random'"
                )
        if method == "halving" and "epochs" in one:
            raise ValueError("method='halving' chooses the epochs itself: leave out epochs, and give budget")
    return list(found)


def is_distribution(value: object) -> bool:
    """Whether a value of a space is a distribution: an object with a method `rvs`, as those of SciPy have."""
    return not isinstance(value, type) and callable(getattr(value, "rvs", None))


def is_condition(value: object) -> bool:
    """Whether a value of a space is a function of the setting so far."""
    return callable(value) and not isinstance(value, type) and not is_distribution(value)


# -- settings --------------------------------------------------------------------------------------------------------


def drawn(spaces: Sequence[Space], seed: int, number: int) -> Setting:
    """Return setting number `number` of a search at random. It depends on the seed and on this number only."""
    rng = np.random.default_rng([seed, 0, number])
    space = spaces[int(rng.integers(len(spaces)))] if len(spaces) > 1 else spaces[0]
    setting: Setting = {}
    for name, candidates in space.items():
        value = _asked(name, candidates, setting)
        if isinstance(value, list):
            value = value[int(rng.integers(len(value)))]
        elif is_distribution(value):
            value = value.rvs(random_state=rng)
        if value is not OMIT:
            setting[name] = plain_value(value)
    return setting


def grid(spaces: Sequence[Space]) -> list[Setting]:
    """Return all settings of the spaces, the last parameter of each changing fastest.

    Raises ValueError for a function that returns a distribution, and for more than 100,000 settings.
    """
    found: list[Setting] = []
    for space in spaces:
        for setting in _product(list(space.items()), {}):
            found.append(setting)
            if len(found) > MAX_GRID:
                raise ValueError(f"the grid has more than {MAX_GRID:,} settings: use method='random', or fewer values")
    return found


def _product(left: Sequence[tuple[str, Any]], setting: Setting) -> Iterator[Setting]:
    if not left:
        yield setting
        return
    (name, candidates), *others = left
    value = _asked(name, candidates, setting)
    if is_distribution(value):
        raise ValueError(
            f"the function for {name} returned {text_of(value)}, which method='grid' cannot list: return a list of "
            "candidates, or use method='random'"
        )
    for candidate in value if isinstance(value, list) else [value]:
        yield from _product(others, setting if candidate is OMIT else {**setting, name: plain_value(candidate)})


def _asked(name: str, candidates: Any, setting: Setting) -> Any:
    """Return the candidates. A function is asked for them; it gets a copy of the setting so far."""
    if not is_condition(candidates):
        return candidates
    found = candidates(dict(setting))
    if isinstance(found, list) and not found:
        raise ValueError(f"the function for {name} returned an empty list for {setting}: return OMIT to leave it out")
    return found


def plain_value(value: Any) -> Any:
    """Return a value of a setting with numbers of Python in place of numbers of NumPy."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return tuple(plain_value(entry) for entry in value)
    return tuple(map(plain_value, value)) if type(value) is tuple else value


def text_of(value: object) -> str:
    """Return a value as text that is the same in each process: without addresses in memory."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {text_of(entry)}" for name, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        left, right = "[]" if isinstance(value, list) else "()"
        comma = "," * (isinstance(value, tuple) and len(value) == 1)
        return left + ", ".join(map(text_of, value)) + comma + right
    if is_condition(value) and hasattr(value, "__qualname__"):
        return f"function {value.__module__}.{value.__qualname__}"
    if (frozen := getattr(value, "dist", None)) is not None and is_distribution(value):  # of SciPy
        arguments = [*map(text_of, value.args), *(f"{name}={text_of(one)}" for name, one in value.kwds.items())]  # type: ignore[attr-defined]  # only SciPy's frozen distributions have `dist`
        return f"{getattr(frozen, 'name', 'distribution')}({', '.join(arguments)})"
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(value))
