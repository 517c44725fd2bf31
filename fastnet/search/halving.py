"""Successive halving (Jamieson and Talwalkar, arXiv 1502.07943): many settings with few epochs, the best with more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastnet.search.records import Record, standings

ETA = 3  # of the settings of a rung, one in ETA goes on to the next, with ETA times the epochs


class Rung(NamedTuple):
    """A stage of a search by halving.

    Attributes
    ----------
    settings : int
        The number of settings.
    epochs : int
        How many epochs each training has made at its end, those of the rungs before included.
    """

    settings: int
    epochs: int


def rungs(trials: int, budget: int) -> list[Rung]:
    """Return the rungs of a search by halving.

    The last rung trains `budget` epochs. There are as many rungs before it as leave a setting for the last one, and an
    epoch for the first one.

    Examples
    --------
    >>> rungs(64, 30)
    [Rung(settings=64, epochs=2), Rung(settings=21, epochs=4), Rung(settings=7, epochs=10), Rung(settings=2, epochs=30)]
    """
    found = [Rung(trials, budget)]
    while (settings := found[-1].settings // ETA) and budget > ETA ** (len(found) - 1):
        found.append(Rung(settings, budget))
    last = len(found) - 1
    epochs = [-(-budget // ETA ** (last - k)) for k in range(len(found))]
    return [rung._replace(epochs=n) for rung, n in zip(found, epochs, strict=True)]


def chosen(records: Sequence[Record], count: int, lower_is_better: bool) -> list[int]:
    """Return the numbers of the best settings of a rung, ascending. A setting that diverged is not among them."""
    best = [one.number for one in standings(records, lower_is_better)[:count] if one.score == one.score]
    return sorted(best)
