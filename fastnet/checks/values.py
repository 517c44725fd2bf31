"""Checks of single values: names, numbers, flags, seeds, objects of fastnet."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def given(value: object) -> str:
    """Return a value's repr on one line of at most 80 characters. For a class, say how to make an object."""
    if isinstance(value, type):
        return f"the class {value.__name__}: write {value.__name__}()"
    text = " ".join(repr(value).split())  # the repr of an array has several lines
    return text if len(text) <= 80 else f"{text[:77]}..."


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: "; did you mean 'relu'?", or "" if no known name is close.

    A known name is also close if it is the only one that begins with the unknown name. Capital letters and the dashes
    before an option make no difference.
    """
    plain = {name.lstrip("-").lower(): name for name in known}
    text = str(name).lstrip("-").lower()
    longer = [known for known in plain if text and known.startswith(text)]
    close = difflib.get_close_matches(text, plain, n=1) or (longer if len(longer) == 1 else [])
    return f"; did you mean {plain[close[0]]!r}?" if close else ""


def name_of(kind: str, name: object, known: Iterable[str]) -> str:
    """Return `name` if it is one of `known`. The error suggests the closest name."""
    known = tuple(known)
    if isinstance(name, str) and name in known:
        return name
    raise ValueError(f"unknown {kind} {name!r}; there are {', '.join(known)}{suggestion(name, known)}")


def whole_number(name: str, value: object, minimum: int, maximum: int | None = None) -> int:
    """Return a whole number from `minimum` to `maximum` as an int."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]  # other values raise TypeError
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {number}")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum:,}")  # the number may have too many digits to print
    return number


def instance(name: str, value: object, kind: type[T], home: str = "fastnet") -> T:
    """Return the value if it is an object of `kind`. `home` is the module from which users import the class."""
    if not isinstance(value, kind):
        found = given(value) if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be a {home}.{kind.__name__}, not {found}")
    return value


def boolean(name: str, value: object) -> bool:
    """Return a bool. Refuse other values, even if Python would convert them."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {given(value)}")
    return bool(value)


def number(name: str, value: object, *, above: float | None = None, minimum: float | None = None) -> float:
    """Return a finite float. It must be more than `above` and at least `minimum`, if these are given."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        result = float(value)  # type: ignore[arg-type]  # other values raise TypeError
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    except OverflowError:  # a whole number with more than 308 digits
        raise ValueError(f"{name} must be a number that a float can hold") from None
    if not math.isfinite(result):
        raise ValueError(f"{name} must be finite, not {result}")
    if above is not None and not result > above:
        raise ValueError(f"{name} must be more than {above:g}, not {result:g}")
    if minimum is not None and not result >= minimum:
        raise ValueError(f"{name} must be at least {minimum:g}, not {result:g}")
    return result


UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def byte_count(name: str, value: object) -> int:
    """Return a number of bytes of 1 or more: a whole number, or a text such as "256 MB" or "1.5 GiB"."""
    if not isinstance(value, str):
        return whole_number(name, value, 1)
    digits = value.strip().rstrip("BbIiKkMmGgTt ")
    units = {unit.lower(): size for unit, size in UNITS.items()}
    size = units.get(value.strip().removeprefix(digits).strip().lower())
    try:
        found = float(digits) * size if size else math.nan
    except ValueError:
        found = math.nan
    if not 1 <= found < 2**63:
        raise ValueError(f"{name} must be a number of bytes, or a text such as '256 MB' or '1 GB', not {value!r}")
    return int(found)


def fraction(name: str, value: object) -> float:
    """Return a float from 0 to below 1."""
    found = number(name, value)
    if not 0 <= found < 1:
        raise ValueError(f"{name} must be from 0 to below 1, not {value}")
    return found


def between_0_and_1(name: str, value: object) -> float:
    """Return a float above 0 and below 1."""
    found = number(name, value)
    if not 0 < found < 1:
        raise ValueError(f"{name} must be between 0 and 1, not {value}")
    return found


def whole_numbers(name: str, values: object, minimum: int, maximum: int | None = None) -> tuple[int, ...]:
    """Return one or more different whole numbers from `minimum` to `maximum`."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list or range of whole numbers, not {values!r}")
    found = tuple(whole_number(f"{name}[{i}]", value, minimum) for i, value in enumerate(values))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{name} must be one or more different numbers, not {list(found)}")
    if maximum is not None and max(found) > maximum:
        raise ValueError(f"{name} must be at most {maximum}, not {max(found)}")
    return found


def position(name: str, value: object, length: int) -> int:
    """Return a position from 0 to length - 1. A negative value counts from the end."""
    found = whole_number(name, value, -length)
    if found >= length:
        raise ValueError(f"there is no {name} {found}: give one from 0 to {length - 1}")
    return found % length


def text(name: str, value: object) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {given(value)}")
    return value


def texts(name: str, values: object, n: int | None = None, of: str = "") -> tuple[str, ...]:
    """Return a sequence of texts as a tuple. With `n` it must have one for each of n columns; `of` is their word."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of names, not {given(values)}")
    found = tuple(values)
    if odd := [value for value in found if not isinstance(value, str)]:
        raise TypeError(f"{name} must hold names, not {given(odd[0])}")
    if n is not None and len(found) != n:
        raise ValueError(f"{name} has {len(found)} names; expected one for each of {n} {of}")
    return found


def seeds(values: object) -> tuple[int, ...]:
    """Return the seeds of several runs, such as range(5): one or more, all different."""
    return whole_numbers("seeds", values, 0)


def generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """Return the given random generator, or a new generator from a seed. None stands for a random seed.

    Kernels index by the orders that the generator draws. A subclass could draw invalid orders, so its objects are
    replaced by a plain NumPy generator with the same bit generator.
    """
    if isinstance(seed, np.random.Generator):
        return seed if type(seed) is np.random.Generator else np.random.Generator(seed.bit_generator)
    try:
        return np.random.default_rng(None if seed is None else whole_number("seed", seed, 0))
    except TypeError:
        raise TypeError(
            f"seed must be a whole number, a numpy.random.Generator or None, not {given(seed)}; "
            "np.random.default_rng(0) makes a Generator"
        ) from None
