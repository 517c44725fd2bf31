"""Pictures of a search: all settings at once, the effect of each parameter, and all learning curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.plots import style
from fastnet.plots.axes import LETTER, axes_for, figure_of, legend_above, legend_height
from fastnet.plots.parameter_axis import MAX_LETTERS, ParameterAxis
from fastnet.plots.scales import number_ticks, percent_ticks
from fastnet.plots.training import SCORES, VALIDATION, WIDE
from fastnet.search.records import Record
from fastnet.search.result import SearchResult
from fastnet.search.standing_texts import varied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BELOW = -0.12  # where an axis has the settings without a value; its values are from 0 to 1
PALEST = 0.9  # of the colours of `style.SEQUENTIAL`: its last ones are too pale for lines
BINS = 5  # of the values of a parameter with many values
PANEL_WIDTH, PANEL_HEIGHT = 2.7, 2.3  # inches


@style.picture
def search_parallel(found: SearchResult, *, width: float = 8.0, ax: Axes | None = None) -> Figure:
    """Draw each setting of a search as a line across an axis for each parameter and one for the score.

    Only parameters that vary are drawn. Better scores are higher up, and their lines are darker. A setting without a
    parameter, or whose trainings diverged, crosses that axis below its values. A few candidates that are too close to
    each other for an axis of numbers, such as 0, 0.0001 and 0.1, have equal distances.

    Parameters
    ----------
    found : SearchResult
        What `fastnet.search.search` returns.
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
        `found` is no SearchResult, or `ax` is no Axes.
    ValueError
        No parameter varies.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> from fastnet.search import loguniform, search
    >>> x, y = np.random.default_rng(0).random((60, 2)), np.arange(60) % 2
    >>> space = {"hidden": [(2,), (4, 4)], "learning_rate": loguniform(1e-3, 1e-1), "optimizer": ["sgd", "adam"]}
    >>> figure = search_parallel(search(space, x, y, trials=8, seeds=2, budget=2, n_jobs=1))
    """
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    names, settings = _parameters(found), _settings(found)
    letters = min(MAX_LETTERS, max(4, int(width / (len(names) + 1) / LETTER) - 1))  # that fit between two axes
    columns = {name: ParameterAxis.of(name, settings, found.request.space, letters) for name in names}
    scores = np.array([one.score for one in found.standings])
    sign = -1 if found.request.lower_is_better else 1
    columns["score"] = ParameterAxis(scores, [], _is_wide(found.request.metric, scores))
    axes = axes_for(ax, width, 4.0)
    heights, n = np.full((len(scores), len(columns)), BELOW), len(columns)
    for place, (name, column) in enumerate(columns.items()):
        axes.axvline(place, color=style.GREY, linewidth=0.8, zorder=1)
        ticks: list[tuple[float, str]] = []
        if _has(column.values):
            shares, is_score = column.shares(column.values), name == "score"
            ticks = column.ticks("accuracy" in found.request.metric and is_score)
            if is_score and sign < 0:
                shares, ticks = 1 - shares, [(1 - height, text) for height, text in ticks]
            heights[:, place] = np.where(np.isnan(shares), BELOW, shares)
        if np.isnan(column.values).any():
            ticks.append((BELOW, "diverged" if name == "score" else "-"))
        for height, text in ticks:
            axes.annotate(
                text,
                (place, height),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=style.SMALL,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5},
                zorder=5,
            )
    lines = [np.column_stack([np.arange(n), row]) for row in heights]
    shades = _shades(len(lines))
    axes.add_collection(LineCollection(lines[:0:-1], colors=shades[:0:-1], linewidths=1.0, alpha=0.7, zorder=2))
    colour, thick, name = (style.RED, 2.6, "the best setting") if found.has_best else (shades[0], 1.0, "diverged")
    (best,) = axes.plot(*lines[0].T, color=colour, linewidth=thick, zorder=4, label=name)
    axes.set_xlim(-0.15, n - 0.55)
    axes.set_ylim(BELOW - 0.06, 1.06)
    titles = [style.shortened(_words(name), 24).replace(" ", "\n") for name in columns]
    longest = max(len(word) for title in titles for word in title.split("\n"))
    is_upright = LETTER * longest > 0.9 * width / n
    axes.set_xticks(range(n), titles, rotation=90 if is_upright else 0)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    shown = [Line2D([], [], color=shades[k], label=text) for k, text in ((0, "better"), (-1, "worse"))]
    legend_above(axes, [best, *shown] if len(lines) > 2 and found.has_best else [best])
    return figure_of(axes)


@style.picture
def search_effects(found: SearchResult, *, width: float = 8.0) -> Figure:
    """Draw the metric of each setting against each parameter that varies, with the mean and the spread.

    A small point is the mean of the metric over the trainings of a setting. Large points, or the line, are the means
    over the settings with a value, or with values in a range. Their bars, or the band, reach one standard deviation to
    both sides, on the scale of the axis. Diverged settings are left out. Of a search by halving, the metric after the
    first rung is drawn, which all settings have. A metric that is a function has no value there, so its last values
    are drawn. A few candidates that are too close to each other for an axis of numbers have equal distances.

    Parameters
    ----------
    found : SearchResult
        What `fastnet.search.search` returns.
    width : float
        The width in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `found` is no SearchResult.
    ValueError
        No parameter varies, or all settings diverged.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> from fastnet.search import loguniform, search
    >>> x, y = np.random.default_rng(0).random((60, 2)), np.arange(60) % 2
    >>> space = {"hidden": [(2,), (4, 4)], "learning_rate": loguniform(1e-3, 1e-1), "optimizer": ["sgd", "adam"]}
    >>> figure = search_effects(search(space, x, y, trials=8, seeds=2, budget=2, n_jobs=1))
    """
    names, settings = _parameters(found), _settings(found)
    if not found.has_best:
        raise ValueError(f"all {len(settings):,} settings diverged, so there is nothing to compare")
    metric, label = _compared(found)
    is_log = _is_wide(found.request.metric, metric)
    across = max(1, min(len(names), int(width / PANEL_WIDTH)))
    down = -(-len(names) // across)
    figure = style.figure(width, 0.2 + PANEL_HEIGHT * down)
    panels = figure.subplots(down, across, sharey=True, squeeze=False)
    for axes in panels.flat[len(names) :]:
        axes.remove()
    for k, name in enumerate(names):
        axes = panels.flat[k]
        _draw_effect(axes, ParameterAxis.of(name, settings, found.request.space), metric, is_log, width / across)
        axes.set_xlabel(style.shortened(_words(name), 30))
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        if k % across == 0:
            axes.set_ylabel(label)
    _metric_ticks(panels[0, 0], found.request.metric, metric)
    return figure


@style.picture
def search_curves(found: SearchResult, *, width: float = 6.0, ax: Axes | None = None) -> Figure:
    """Draw the learning curves of all trainings of a search on the rows held out, those of the best setting in red.

    Parameters
    ----------
    found : SearchResult
        What `fastnet.search.search` returns. The curves show its metric, or the cost if the metric is a function.
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
        `found` is no SearchResult, or `ax` is no Axes.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> from fastnet.search import search
    >>> x, y = np.random.default_rng(0).random((60, 2)), np.arange(60) % 2
    >>> figure = search_curves(search({"hidden": [(2,), (8,)]}, x, y, method="grid", seeds=2, budget=5, n_jobs=1))
    """
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    checks.instance("found", found, SearchResult, "fastnet.search")
    measure = found.request.metric if f"{VALIDATION}{found.request.metric}" in found.records[0].history else "cost"
    best = found.standings[0].number if found.has_best else None
    curves: dict[bool, list[NDArray[np.float64]]] = {True: [], False: []}
    for record in found.records:
        curve = _curve(record, measure)
        if len(curve):
            curves[record.trial.number == best].append(curve)
    texts = {True: f"the best setting, number {best}", False: "diverged" if best is None else "other settings"}
    names = {is_best: texts[is_best] for is_best in texts if curves[is_best]} or {False: texts[False]}
    axes = axes_for(ax, width, 3.0 + legend_height([*names.values()], width))
    colours = {True: style.RED, False: style.GREY}
    for is_best, alpha, line_width in ((False, 0.45, 0.8), (True, 1.0, 1.8)):
        axes.add_collection(
            LineCollection(
                curves[is_best], colors=colours[is_best], alpha=alpha, linewidths=line_width, zorder=3 if is_best else 2
            )
        )
        dots = [curve[0] for curve in curves[is_best] if len(curve) == 1]  # a line of one point cannot be seen
        if dots:
            axes.plot(*np.transpose(dots), ".", color=colours[is_best], alpha=alpha)
    axes.autoscale_view()
    values = np.concatenate([curve[:, 1] for part in curves.values() for curve in part] or [np.zeros(0)])
    _metric_ticks(axes, measure, values)
    axes.set_xlabel("epoch")
    locator: Any = axes.xaxis.get_major_locator()
    locator.set_params(integer=True)
    axes.set_ylabel(f"{SCORES.get(measure, measure)} on the rows held out")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    legend_above(axes, [Line2D([], [], color=colours[is_best], label=name) for is_best, name in names.items()])
    return figure_of(axes)


def _parameters(found: Any) -> list[str]:
    """Return the names of the parameters that vary. Raises TypeError or ValueError where there is nothing to draw."""
    checks.instance("found", found, SearchResult, "fastnet.search")
    names = varied(found.standings)
    if not names:
        raise ValueError("no parameter varies, so there is nothing to compare: search with several settings")
    return names


def _settings(found: SearchResult) -> list[Any]:
    return [one.setting for one in found.standings]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _has(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).any())


def _shades(count: int) -> list[Any]:
    """Return a colour for each rank, dark for the first."""
    from matplotlib import colormaps

    return list(colormaps[style.SEQUENTIAL](np.linspace(0, PALEST, count)))


def _compared(found: SearchResult) -> tuple[NDArray[np.float64], str]:
    """Return a number for each setting by which the settings can be compared, and what it is, for an axis."""
    standings, metric = found.standings, found.request.metric
    label = SCORES.get(metric, _words(metric))
    if len({one.rung for one in standings}) == 1 or f"{VALIDATION}{metric}" not in found.records[0].history:
        return np.array([one.mean for one in standings]), label
    first = min(one.epochs for one in standings)
    by_number: dict[int, list[float]] = {}
    for record in found.records:
        column = record.history[f"{VALIDATION}{metric}"]
        by_number.setdefault(record.trial.number, []).append(column[first - 1] if len(column) >= first else math.nan)
    return (
        np.array([np.mean(by_number[one.number]) for one in standings]),
        f"{label} after {first} epoch{'s' * (first > 1)}",
    )


def _draw_effect(axes: Axes, column: ParameterAxis, metric: NDArray[np.float64], is_log: bool, width: float) -> None:
    """Draw the metric against one parameter. `is_log`: the axis of the metric is logarithmic."""
    seen = np.isfinite(column.values) & np.isfinite(metric)
    values, metric = column.values[seen], metric[seen]
    shift = np.random.default_rng(0).uniform(-0.12, 0.12, len(values)) if column.names else 0
    axes.plot(values + shift, metric, ".", color=style.SKY, markersize=4, zorder=2)
    places, has_few = column.few_values, bool(len(column.few_values))
    if has_few:
        places = places[np.isin(places, values)]
        groups = [metric[values == value] for value in places]
    else:
        order = np.argsort(values, kind="stable")
        parts = [part for part in np.array_split(order, BINS) if len(part)]
        places, groups = np.array([np.median(values[part]) for part in parts]), [metric[part] for part in parts]
    lows, means, highs = np.array([_spread(group, is_log) for group in groups]).reshape(-1, 3).T
    column.apply(axes.xaxis)
    if has_few:
        bars = [means - lows, highs - means]
        axes.errorbar(places, means, bars, fmt="o", color=style.BLUE, markersize=6, elinewidth=1.4, zorder=3)
    else:
        axes.fill_between(places, lows, highs, color=style.BLUE, alpha=0.2, linewidth=0)
        axes.plot(places, means, color=style.BLUE, zorder=3)
    if column.names:
        axes.set_xlim(-0.5, len(column.names) - 0.5)
        letters = sum(map(len, column.names)) + len(column.names)
        if LETTER * letters > 0.75 * width:
            axes.tick_params(axis="x", rotation=90)


def _spread(values: NDArray[np.float64], is_log: bool) -> tuple[float, float, float]:
    """Return the mean less a standard deviation, the mean, and the mean plus one; of the logarithms if `is_log`."""
    scaled = np.log(values) if is_log else values
    mean, deviation = scaled.mean(), scaled.std()
    found = np.array([mean - deviation, mean, mean + deviation])
    low, middle, high = np.exp(found) if is_log else found
    return float(low), float(middle), float(high)


def _curve(record: Record, measure: str) -> NDArray[np.float64]:
    """Return the epochs and the finite values (n, 2) of a training on the rows held out."""
    points = zip(record.history["epoch"], record.history[f"{VALIDATION}{measure}"], strict=True)
    found = [(epoch, value) for epoch, value in points if value is not None and math.isfinite(value)]
    return np.array(found, np.float64).reshape(-1, 2)


def _metric_ticks(axes: Axes, metric: str, values: NDArray[np.float64]) -> None:
    """Write the ticks of the vertical axis as percentages or as numbers, on a logarithmic axis if they vary a lot."""
    if "accuracy" in metric:
        percent_ticks(axes.yaxis, float(np.nanmax(values) - np.nanmin(values)) if _has(values) else 1.0)
    elif _is_wide(metric, values):
        axes.set_yscale("log")
    else:
        number_ticks(axes.yaxis)


def _is_wide(metric: str, values: NDArray[np.float64]) -> bool:
    """Whether these values need a logarithmic axis."""
    if metric != "cost" or not _has(values):
        return False
    low, high = np.nanmin(values), np.nanmax(values)
    return bool(low > 0 and high > WIDE * low)
