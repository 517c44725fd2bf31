"""Several runs as one line: their mean, and a band from the lowest to the highest run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet.plots.style import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND = {"title": "mean, lowest to highest seed", "title_fontsize": SMALL, "alignment": "left"}  # options of a legend


def band(axes: Axes, x: ArrayLike, runs: NDArray[np.float64], colour: str, **line: Any) -> None:
    """Draw runs (n_seeds, n_points) over x (n_points,). A point is left out if any run is NaN there."""
    complete = np.isfinite(runs).all(axis=0)
    x, runs = np.asarray(x)[complete], runs[:, complete]
    if not x.size:
        return
    axes.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, runs.mean(axis=0), color=colour, **line)
