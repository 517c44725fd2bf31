"""The map of the cost around a network.

Not here: the line between two networks (minima.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.insight.landscape import Landscape
from fastnet.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@style.picture
def landscape(found: Landscape) -> Figure:
    """Draw the cost as a map with contour lines. A star marks the network. A line shows the path of the descent.

    Parameters
    ----------
    found : Landscape
        The result of `insight.landscape` or `insight.descent_landscape`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `found` is no result of fastnet.insight.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> figure = landscape(fastnet.insight.landscape(fastnet.Network([4, 3], seed=0), x, y, points=5))
    """
    checks.instance("found", found, Landscape, "fastnet.insight")
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure = style.figure(6.8, 5.2)
    axes = figure.subplots()
    cost = np.maximum(found.cost, np.finfo(np.float32).tiny)
    levels = np.geomspace(cost.min(), max(cost.max(), cost.min() * 1.001), 15)
    filled = axes.contourf(found.across, found.up, cost, levels, cmap=style.SEQUENTIAL, norm=LogNorm())
    axes.contour(found.across, found.up, cost, levels, colors="white", linewidths=0.5, alpha=0.6)
    bar = figure.colorbar(filled, label="cost (logarithmic)")
    bar.ax.yaxis.set_major_locator(FixedLocator(levels[::2].tolist()))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    if found.path is not None:
        look: dict[str, Any] = {
            "color": "white",
            "marker": "o",
            "markersize": 4,
            "markeredgecolor": style.BLACK,
            "linewidth": 1.2,
        }
        axes.plot(*found.path.T, label="after each epoch", **look)
        axes.plot(*found.path[0], "s", color=style.SKY, markersize=8, markeredgecolor=style.BLACK, label="start")
    axes.plot(0, 0, "*", color=style.RED, markersize=14, markeredgecolor="white", label="the network", clip_on=False)
    names = [f"{name} random direction (1: the length of a neuron's weights)" for name in ("first", "second")]
    title = "The cost around the network"
    if found.variance is not None:
        names = [
            f"{name} principal direction: {share:.0%} of the variance"
            for name, share in zip(("first", "second"), found.variance, strict=True)
        ]
        title = "The descent on the plane of its largest variance"
    axes.set(xlabel=names[0], ylabel=names[1], title=title)
    figure.legend(loc="outside lower center", ncols=3)
    return figure
