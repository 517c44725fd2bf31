"""ParameterAxis: the values of a parameter of a search on an axis, as numbers or as names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet.plots.axes import short_names
from fastnet.plots.scales import number_ticks
from fastnet.search.standing_texts import value_text

if TYPE_CHECKING:
    from matplotlib.axis import Axis

FAR = 5.0  # an axis is linear if its largest number is at most this many times the smallest
FEW = 6  # so many different numbers have a tick each
CLOSE = 0.08  # of an axis: the texts of ticks that are nearer to each other would overlap
MOST_NAMES = 15  # of the ticks of an axis
MAX_LETTERS = 14  # of the name of a value
_LOG_DISTRIBUTIONS = ("loguniform", "reciprocal", "lognorm")  # SciPy's names


@dataclass(frozen=True, eq=False)
class ParameterAxis:
    """The values of a parameter in several settings.

    Attributes
    ----------
    values : float64 array (n,)
        The number of each setting, or the position of its name in `names`. nan if the setting lacks a number.
    names : list of str
        The names of the values; [] for numbers.
    is_log : bool
        Whether the axis is logarithmic.
    """

    values: NDArray[np.float64]
    names: list[str]
    is_log: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        settings: Sequence[Mapping[str, Any]],
        spaces: Sequence[Mapping[str, Any]],
        max_letters: int = MAX_LETTERS,
    ) -> ParameterAxis:
        """Return the axis of a parameter. Names of values have at most `max_letters` letters.

        Numbers from a distribution on a logarithmic scale have a logarithmic axis. So have candidates whose median is
        nearer to the geometric mean of the smallest and the largest than to their arithmetic mean. A few candidates
        that are too close to each other on their axis, such as 0, 0.0001 and 0.1, become names.
        """
        found = [setting.get(name) for setting in settings]
        if all(value is None or _is_number(value) for value in found):
            values = np.array([np.nan if value is None else value for value in found], np.float64)
            candidates = [space.get(name) for space in spaces]
            axis = cls(values, [], _is_log(values[np.isfinite(values)], candidates))
            different = np.unique(values[np.isfinite(values)])
            if len(different) > FEW or axis.are_apart(different) or any(hasattr(one, "rvs") for one in candidates):
                return axis
            numbers = np.where(np.isfinite(values), np.searchsorted(different, values), np.nan)
            return cls(numbers, _number_texts(different))
        keys = sorted({_key(name, value) for value in found})
        places = {key: place for place, key in enumerate(keys)}
        values = np.array([places[_key(name, value)] for value in found], np.float64)
        return cls(values, short_names([text for _, text in keys], max_letters))

    @property
    def few_values(self) -> NDArray[np.float64]:
        """The different values in order if they have names, or are few and not too close, else an empty array."""
        different = np.unique(self.values[np.isfinite(self.values)])
        is_few = len(different) <= FEW and self.are_apart(different)
        return different if self.names or is_few else different[:0]

    def are_apart(self, different: NDArray[np.float64]) -> bool:
        """Whether the texts of ticks at these values, in order, do not overlap."""
        return bool((np.diff(self.shares(different)) >= CLOSE).all())

    def shares(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where values lie on the axis, from 0 to 1. An axis with one value has it in the middle."""
        scale = np.log if self.is_log else np.asarray
        low, high = scale(np.nanmin(self.values)), scale(np.nanmax(self.values))
        if low == high:
            return np.where(np.isnan(values), np.nan, 0.5)
        found: NDArray[np.float64] = (scale(values) - low) / (high - low)
        return found

    def ticks(self, is_share: bool = False) -> list[tuple[float, str]]:
        """Return the places from 0 to 1 of the ticks of this axis, and their texts. `is_share` writes percentages."""
        if self.names:
            places, names = self._named_ticks()
            return list(zip(self.shares(places).tolist(), names, strict=True))
        values = self.few_values
        if not len(values):
            values = self._round_numbers(7)
        texts = [f"{text}%" for text in _number_texts(100 * values)] if is_share else _number_texts(values)
        return list(zip(self.shares(values).tolist(), texts, strict=True))

    def _named_ticks(self) -> tuple[NDArray[np.float64], list[str]]:
        """Return the values that have a tick, and their names: of many names every second, third and so on."""
        step = -(-len(self.names) // MOST_NAMES)
        return np.arange(0, len(self.names), step, dtype=np.float64), self.names[::step]

    def _round_numbers(self, most: int) -> NDArray[np.float64]:
        """Return at most so many round numbers between the smallest and the largest value."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        low, high = float(np.nanmin(self.values)), float(np.nanmax(self.values))
        if self.is_log:
            subs = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
            found = np.asarray(LogLocator(subs=subs, numticks=most).tick_values(low, high))
        else:
            found = np.asarray(MaxNLocator(4).tick_values(low, high))
        found = found[(found >= low) & (found <= high)]
        return found[:: -(-len(found) // most)]

    def apply(self, axis: Axis) -> None:
        """Give an axis of Matplotlib this scale and its ticks."""
        if self.names:
            axis.set_ticks(*self._named_ticks())
            return
        axes: Any = axis.axes
        ticks = self.few_values
        if self.is_log:
            axes.set_xscale("log")
            ticks = ticks if len(ticks) else self._round_numbers(3)
        if len(ticks):
            axis.set_ticks(ticks, _number_texts(ticks))
            axis.set_ticks([], minor=True)
        else:
            number_ticks(axis)


def _number_texts(values: NDArray[np.float64]) -> list[str]:
    """Return numbers as texts of four digits, or of as many as tell different numbers apart."""
    count = len(np.unique(values))
    digits = next((n for n in (4, 6, 9) if len({f"{value:.{n}g}" for value in values}) == count), 17)
    return [f"{value:.{digits}g}" for value in values]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _key(name: str, value: Any) -> tuple[float, str]:
    """Return what names are sorted by, and the name: hidden layers by their neurons, others by their text."""
    sizes = value if name == "hidden" and isinstance(value, (tuple, list)) else [value]
    neurons = float(sum(sizes)) if name == "hidden" and all(map(_is_number, sizes)) else 0.0
    return neurons, value_text(name, value)


def _is_log(values: NDArray[np.float64], candidates: Sequence[Any]) -> bool:
    if not values.size or values.min() <= 0:
        return False
    distributions = [one for one in candidates if hasattr(one, "rvs")]  # not those that a condition returned
    if distributions:
        names = [getattr(getattr(one, "dist", None), "name", "") for one in distributions]
        return all(
            getattr(one, "is_log", name in _LOG_DISTRIBUTIONS) for one, name in zip(distributions, names, strict=True)
        )
    different = np.unique(values)
    low, middle, high = different[0], different[(len(different) - 1) // 2], different[-1]
    return bool(high > FAR * low and abs(middle - np.sqrt(low * high)) < abs(middle - (low + high) / 2))
