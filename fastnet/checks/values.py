"""Checks of single values: names, numbers, seeds, fastnet's own objects."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def name_of(kind: str, name: object, known: Iterable[str]) -> str:
    """`name` if it is one of `known`."""
    known = tuple(known)
    if isinstance(name, str) and name in known:
        return name
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown {kind} {name!r}; there are {', '.join(known)}{hint}")


def whole_number(name: str, value: object, least: int) -> int:
    """An int of at least `least`."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]  # that it may not be one is what is asked
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    return number


def instance(name: str, value: object, kind: type[T]) -> T:
    """The value, if it is one of fastnet's own such objects."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a fastnet.{kind.__name__}, not {type(value).__name__}")
    return value


def flag(name: str, value: object) -> bool:
    """A bool, not just something true or false."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def number(name: str, value: object, *, above: float | None = None, least: float | None = None) -> float:
    """A finite float, above or at least a bound."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        result = float(value)  # type: ignore[arg-type]  # that it may not be one is what is asked
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    if not math.isfinite(result):
        raise ValueError(f"{name} must be finite, not {result}")
    if above is not None and not result > above:
        raise ValueError(f"{name} must be more than {above:g}, not {result:g}")
    if least is not None and not result >= least:
        raise ValueError(f"{name} must be at least {least:g}, not {result:g}")
    return result


def whole_numbers(name: str, values: object, least: int, most: int | None = None) -> tuple[int, ...]:
    """At least one whole number, none twice, each within the bounds."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be whole numbers in a list or range, not {values!r}")
    found = tuple(whole_number(f"{name}[{i}]", value, least) for i, value in enumerate(values))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{name} must be at least one, none twice, not {list(found)}")
    if most is not None and max(found) > most:
        raise ValueError(f"{name} must be at most {most}, not {max(found)}")
    return found


def position(name: str, value: object, length: int) -> int:
    """A position from 0 to length - 1; negative ones count from the end."""
    found = whole_number(name, value, -length)
    if found >= length:
        raise ValueError(f"{name} {found} is not there: they are numbered from 0 to {length - 1}")
    return found % length


def seeds(values: object) -> tuple[int, ...]:
    """Seeds of several runs, such as range(5): at least one, none twice."""
    return whole_numbers("seeds", values, 0)


def generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """A random generator: of that seed, that one itself, or another each time for None.

    Kernels index by the orders that it draws, and a subclass could draw anything. Its bit generator is given to a
    generator of NumPy's own.
    """
    if isinstance(seed, np.random.Generator):
        return seed if type(seed) is np.random.Generator else np.random.Generator(seed.bit_generator)
    return np.random.default_rng(None if seed is None else whole_number("seed", seed, 0))
