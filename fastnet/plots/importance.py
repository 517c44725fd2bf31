"""Pictures of what a model depends on: the importance of the columns, and the outputs against one column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.insight.importance import Importance
from fastnet.insight.partial_dependence import PartialDependence
from fastnet.plots import style
from fastnet.plots.axes import LETTER, axes_for, figure_of, legend_above, legend_height, short_names
from fastnet.plots.scales import number_ticks, percent_ticks
from fastnet.plots.training import SCORES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_COLUMNS = 20  # only the most important columns are drawn
MAX_LETTERS = 24  # of a column's name
MAX_LEVEL_LETTERS = 14  # of a level of a categorical column
BAR = 0.24  # inches for a bar
PANEL = 2.2  # inches: the height of a picture of one column


@style.picture
def importance(found: Importance, *, width: float = style.COLUMN, ax: Axes | None = None) -> Figure:
    """Draw the importance of each column as a bar, with its spread, the most important column first.

    A bar is the mean fall of the score if the column is shuffled. Its line reaches one standard deviation of the
    repeats to both sides. At most 20 columns are drawn.

    Parameters
    ----------
    found : Importance
        The result of `insight.importance`.
    width : float
        The width in inches of a new figure.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into. By default a new figure is made.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `found` is no result of fastnet.insight, or `ax` is no Axes.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((50, 4)), np.arange(50) % 3
    >>> figure = importance(fastnet.insight.importance(fastnet.Network([4, 3], seed=0), x, y))
    """
    checks.instance("found", found, Importance, "fastnet.insight")
    n = len(found.mean)
    drawn = found.order[:MAX_COLUMNS]
    axes = axes_for(ax, width, 0.75 + BAR * len(drawn))
    places = np.arange(len(drawn))
    axes.barh(
        places,
        found.mean[drawn],
        xerr=found.deviation[drawn],
        height=0.7,
        color=style.SKY,
        error_kw={"ecolor": style.BLACK, "elinewidth": 1.2},
    )
    axes.axvline(0, color=style.GREY, linewidth=0.8)
    axes.set_yticks(places, short_names([found.feature_names[k] for k in drawn], MAX_LETTERS))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.set_xlabel(f"fall of {'R2' if found.measure == 'r2' else 'the ' + SCORES[found.measure]}")
    if found.measure != "r2":
        percent_ticks(axes.xaxis, float(np.ptp(axes.get_xlim())))
    else:
        number_ticks(axes.xaxis)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    if len(drawn) < n:
        axes.set_ylabel(f"the {len(drawn)} most important of {n} columns")
    return figure_of(axes)


@style.picture
def partial_dependence(
    found: PartialDependence | Sequence[PartialDependence], *, width: float = style.COLUMN, ax: Axes | None = None
) -> Figure:
    """Draw the mean output of a model against the values of a column, or of several columns one below the other.

    Of two classes, the second is drawn. Of more than seven outputs, those that change most are drawn.

    Parameters
    ----------
    found : PartialDependence or sequence of PartialDependence
        Results of `insight.partial_dependence` for one model.
    width : float
        The width in inches of a new figure.
    ax : matplotlib.axes.Axes, optional
        The axes to draw a single result into. By default a new figure is made.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `found` is no result of fastnet.insight, or `ax` is no Axes.
    ValueError
        There are no results, their outputs differ, or there are several results and `ax`.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x = np.random.default_rng(0).random((50, 4))
    >>> network = fastnet.Network([4, 3], seed=0)
    >>> figure = partial_dependence([fastnet.insight.partial_dependence(network, x, k) for k in range(2)])
    """
    given = found if isinstance(found, (list, tuple)) else [found]
    several = [checks.instance("found", one, PartialDependence, "fastnet.insight") for one in given]
    if not several:
        raise ValueError("found is empty; expected at least one result to draw")
    first = several[0]
    if any((one.output_names, one.measure) != (first.output_names, first.measure) for one in several):
        raise ValueError("the results have different outputs; expected results of one model")
    if ax is not None and len(several) > 1:
        raise ValueError(f"ax is for one result, but found has {len(several)}: draw each into axes of its own")
    drawn = _drawn_outputs(several)
    names = short_names([first.output_names[k] for k in drawn], MAX_LEVEL_LETTERS)
    heights = [PANEL + LETTER * max(map(len, _levels(one)), default=0) * _is_upright(one, width) for one in several]
    height = sum(heights) + (legend_height(names, width) if _has_legend(first) else 0)
    if len(several) == 1:
        panels = [axes_for(ax, width, height)]
    else:
        panels = list(style.figure(width, height).subplots(len(several), 1, sharey=True))
    artists = [
        _draw(axes, one, drawn, names, _is_upright(one, width)) for axes, one in zip(panels, several, strict=True)
    ]
    if _has_legend(first):
        legend_above(panels[0], artists[0])
    return figure_of(panels[0])


def _has_legend(one: PartialDependence) -> bool:
    """Whether the outputs need names: several, or the probability of one class."""
    return len(one.output_names) > 1


def _levels(one: PartialDependence) -> list[str]:
    return short_names(one.grid.tolist(), MAX_LEVEL_LETTERS) if one.is_categorical else []


def _is_upright(one: PartialDependence, width: float) -> bool:
    """Whether the names of the levels do not fit side by side."""
    levels = _levels(one)
    return LETTER * max(map(len, levels), default=0) * len(levels) > 0.8 * width


def _drawn_outputs(several: list[PartialDependence]) -> list[int]:
    """Return the positions of the outputs that are drawn, in order."""
    n = len(several[0].output_names)
    if n == 2 and several[0].measure == "probability":  # the first probability is 1 - the second
        return [1]
    change = np.max([np.ptp(one.average, axis=0) for one in several], axis=0)
    return sorted(np.argsort(-change, kind="stable")[: len(style.COLOURS)].tolist())


def _draw(axes: Axes, one: PartialDependence, drawn: list[int], names: list[str], is_upright: bool) -> list[Any]:
    """Draw these outputs as lines, or as points for a categorical column. Return the artists."""
    places = np.arange(len(one.grid)) if one.is_categorical else one.grid
    artists = []
    for k, name, colour, marker in zip(drawn, names, style.COLOURS, style.MARKERS, strict=False):
        kind = marker if one.is_categorical else "-"
        artists += axes.plot(places, one.average[:, k], kind, color=colour, label=name)
    if one.is_categorical:
        axes.set_xticks(places, _levels(one), rotation=90 if is_upright else 0)
        axes.set_xlim(-0.5, len(places) - 0.5)
    number_ticks(axes.yaxis)
    if not one.is_categorical:
        number_ticks(axes.xaxis)
    axes.set_ylabel(f"mean {one.measure}")
    axes.set_xlabel(style.shortened(one.name, 2 * MAX_LETTERS))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return artists
