"""Several runs as one line: their mean, and a band from the lowest to the highest.

Not here: pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet.plots.style import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND = {"title": "mean, lowest to highest of the seeds", "title_fontsize": SMALL, "alignment": "left"}  # of a legend


def band(axes: Axes, x: ArrayLike, runs: NDArray[np.float64], colour: str, **line: Any) -> None:
    """Draws runs (seeds, points) over x (points,). A point is left out where a run has no value (NaN) there."""
    complete = np.isfinite(runs).all(axis=0)
    x, runs = np.asarray(x)[complete], runs[:, complete]
    if not x.size:
        return
    axes.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, runs.mean(axis=0), color=colour, **line)


def counts(axes: Axes, values: ArrayLike) -> None:
    """Makes the horizontal axis logarithmic, with ticks at these numbers."""
    values = np.asarray(values)
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.minorticks_off()


def percent(axes: Axes, which: str = "y") -> None:
    """Writes an axis of shares, 0 to 1, as percentages."""
    from matplotlib.ticker import PercentFormatter

    (axes.yaxis if which == "y" else axes.xaxis).set_major_formatter(PercentFormatter(1.0, decimals=0))
