"""Pictures of the final costs of many trainings, and of the line between two trained networks.

Not here: the surface around a minimum (landscape.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks
from fastnet.insight.minima import Minima, Path
from fastnet.plots import style
from fastnet.plots.bands import BAND, band
from fastnet.plots.scales import counts, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@style.picture
def minima(found: Minima) -> Figure:
    """Draw the final costs of all seeds, and their coefficient of variation, against the width of the hidden layer.

    Parameters
    ----------
    found : Minima
        The result of `insight.minima`.

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
    >>> recipe = fastnet.insight.MINIMIZER.but(epochs=1)
    >>> figure = minima(fastnet.insight.minima(x, y, widths=(2, 8), seeds=range(3), recipe=recipe))
    """
    checks.instance("found", found, Minima, "fastnet.insight")
    figure = style.figure(9, 3.9)
    costs, variation = figure.subplots(1, 2)
    of_test = np.isfinite(found.test_cost).all()
    which, cost = ("test", found.test_cost) if of_test else ("training", found.cost)
    counts(costs, found.widths)
    counts(variation, found.widths)
    band(costs, found.widths, cost.T, style.BLUE, label="mean")
    aside = np.exp(np.linspace(-0.08, 0.08, cost.shape[1]))  # moves the points aside, so that no point hides another
    for i, (width, ends) in enumerate(zip(found.widths, cost, strict=True)):
        label = {"label": "one seed"} if i == 0 else {}
        costs.plot(width * aside, ends, "o", color=style.BLUE, markersize=3.5, alpha=0.5, markeredgewidth=0, **label)
    costs.set(ylabel=f"{which} cost at the end", title=f"{cost.shape[1]} seeds each", ylim=(0, None))
    for values, name, colour, marker in (
        (found.variation, "test cost", style.BLUE, "o"),
        (found.training_variation, "training cost", style.RED, "s"),
    ):
        if np.isfinite(values).all():
            variation.plot(found.widths, values, color=colour, marker=marker, label=name)
    variation.set(ylabel="coefficient of variation", title="Standard deviation / mean", ylim=(0, None))
    for axes, side, options in ((costs, "left", BAND), (variation, "right", {})):
        axes.set_xlabel("neurons in the hidden layer")
        figure.legend(*axes.get_legend_handles_labels(), loc=f"outside lower {side}", ncols=2, **options)
    return figure


@style.picture
def interpolation(paths: Mapping[str, Path]) -> Figure:
    """Draw cost and accuracy along straight lines between two networks.

    Parameters
    ----------
    paths : Mapping[str, Path]
        Results of `insight.interpolate` by name, such as before and after matching neurons.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> a, b = fastnet.Network([4, 5, 3], seed=0), fastnet.Network([4, 5, 3], seed=1)
    >>> figure = interpolation({"as trained": fastnet.insight.interpolate(a, b, x, y, points=5)})
    """
    figure = style.figure(9, 3.8)
    cost, accuracy = figure.subplots(1, 2)
    for i, (name, path) in enumerate(paths.items()):
        look = {"color": style.COLOURS[i], "marker": style.MARKERS[i], "markevery": 2}
        cost.plot(path.at, path.cost, label=f"{name}: barrier {path.barrier:.2g}", **look)
        accuracy.plot(path.at, path.accuracy, label=name, **look)
    cost.set(ylabel="cost", ylim=(0, None), title="The cost between two networks")
    cost.set_ylim(0, 1.05 * cost.get_ylim()[1])  # room for the markers of a flat line
    figure.legend(*cost.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    accuracy.set(ylabel="accuracy", ylim=(0, 1.04), title="The accuracy between two networks")
    percent(accuracy.yaxis)
    for axes in (cost, accuracy):
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["network a", "1/4", "1/2", "3/4", "network b"])
        axes.set_xlabel("position on the straight line between the parameters")
    return figure
