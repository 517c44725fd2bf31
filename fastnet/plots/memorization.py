"""Pictures of learning and memorising.

Not here: the conditions that are compared (explore/memorize.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet.plots import style
from fastnet.plots.bands import BAND, band
from fastnet.plots.scales import counts, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastnet.insight.memorization import Memorization


@style.picture
def memorization(conditions: Mapping[str, Memorization]) -> Figure:
    """Draw training accuracy (full line) and test accuracy (dashed) against epochs.

    Parameters
    ----------
    conditions : Mapping[str, Memorization]
        Results of `insight.memorization` by the names of their conditions.

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
    >>> recipe = fastnet.insight.MEMORIZER.but(epochs=3)
    >>> run = fastnet.insight.memorization(x, y, test=(x, y), recipe=recipe, seeds=[0, 1])
    >>> figure = memorization({"true labels": run})
    """
    from matplotlib.lines import Line2D

    figure = style.figure(8.5, 4.4)
    axes = figure.subplots()
    handles = []
    first = next(iter(conditions.values()))
    last = first.training.shape[1]
    ticks = [n * 10**power for power in range(6) for n in (1, 2, 5) if n * 10**power <= last]
    marked = [tick - 1 for tick in ticks]
    for i, (name, found) in enumerate(conditions.items()):
        epochs = np.arange(1, found.training.shape[1] + 1)
        colour, marker = style.COLOURS[i % len(style.COLOURS)], style.MARKERS[i % len(style.MARKERS)]
        band(axes, epochs, found.training, colour, marker=marker, markevery=marked)
        band(axes, epochs, found.test, colour, marker=marker, markevery=marked, linestyle="--")
        handles.append(Line2D([], [], color=colour, marker=marker, label=name))
    handles.append(Line2D([], [], color=style.BLACK, label="training examples"))
    if not np.isnan(first.chance):
        handles.append(Line2D([], [], color=style.BLACK, linestyle="--", label="test examples, true labels"))
        axes.axhline(first.chance, color=style.GREY, linewidth=1, linestyle=":")
        handles.append(Line2D([], [], color=style.GREY, linewidth=1, linestyle=":", label="chance"))
    axes.set(ylabel="accuracy", ylim=(0, 1.02), title=f"{_subject(first)}, {len(first.training)} seeds")
    counts(axes, ticks)
    axes.set(xlabel="epochs", xlim=(1, max(last, 2)))
    percent(axes.yaxis)
    figure.legend(handles=handles, loc="outside right center", **BAND)
    return figure


@style.picture
def corruption(results: Sequence[Memorization]) -> Figure:
    """Draw the final accuracy, and the epochs to fit, against the share of labels shuffled.

    Parameters
    ----------
    results : sequence of Memorization
        Results of `insight.memorization`, one for each share.

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
    >>> options = {"test": (x, y), "recipe": fastnet.insight.MEMORIZER.but(epochs=3), "seeds": [0, 1]}
    >>> figure = corruption([fastnet.insight.memorization(x, y, corrupted=c, **options) for c in (0, 1)])
    """
    figure = style.figure(8.5, 3.8)
    accuracy, epochs = figure.subplots(1, 2)
    shares = [found.corrupted for found in results]
    _accuracies(accuracy, shares, results)
    accuracy.axhline(results[0].chance, color=style.GREY, linewidth=1, linestyle=":", label="chance")
    _epochs_to_fit(epochs, np.asarray(shares), results, "every seed", style.GREEN, "^")
    epochs.set(ylabel=f"epochs to fit {results[0].goal:.0%} of the labels", title="Epochs until the network fits")
    epochs.set_ylim(0, 1.05 * epochs.get_ylim()[1])  # room for a cross at the limit
    for axes, side in ((accuracy, "left"), (epochs, "right")):
        axes.set_xlabel("share of labels shuffled")
        percent(axes.xaxis)
        figure.legend(*axes.get_legend_handles_labels(), loc=f"outside lower {side}", ncols=2, **BAND)
    return figure


@style.picture
def memorization_effect(
    what: str, values: Sequence[float], true: Sequence[Memorization], shuffled: Sequence[Memorization]
) -> Figure:
    """Draw the effect of a setting, such as the width: the epochs to fit, and the final accuracies.

    Parameters
    ----------
    what : str
        The name of the setting.
    values : sequence of float
        Its values.
    true, shuffled : sequence of Memorization
        Results with true and with shuffled labels, one for each value.

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
    >>> recipes = [fastnet.insight.MEMORIZER.but(epochs=3, hidden=(width,)) for width in (4, 8)]
    >>> runs = [fastnet.insight.memorization(x, y, test=(x, y), recipe=r, seeds=[0, 1]) for r in recipes]
    >>> figure = memorization_effect("width", [4, 8], runs, runs)
    """
    figure = style.figure(9, 4.1)
    epochs, end = figure.subplots(1, 2)
    places = np.arange(len(values))
    for results, name, colour, marker in (
        (true, "true labels", style.BLUE, "o"),
        (shuffled, "shuffled labels", style.RED, "s"),
    ):
        _epochs_to_fit(epochs, places, results, name, colour, marker)
        band(end, places, _columns(results, "final_training"), colour, marker=marker, label=f"training, {name}")
        band(end, places, _columns(results, "final_test"), colour, marker=marker, ls="--", label=f"test, {name}")
    goal = true[0].goal
    epochs.set(ylabel=f"epochs to fit {goal:.0%} of the labels", title=_subject(*true), ylim=(0, None))
    end.set(ylabel="accuracy", ylim=(0, 1.04), title=f"After at most {true[0].training.shape[1]} epochs")
    percent(end.yaxis)
    for axes in (epochs, end):
        axes.set_xlabel(what)
        axes.set_xticks(places, [f"{value:g}" for value in values])
    epochs.set_ylim(0, 1.4 * epochs.get_ylim()[1])  # room for the legend
    epochs.legend(loc="upper left", **BAND)
    # The legend is outside, because the lines may cross any part of the axes.
    figure.legend(*end.get_legend_handles_labels(), loc="outside lower right", ncols=4)
    return figure


@style.picture
def capacity(results: Mapping[str, Sequence[Memorization]]) -> Figure:
    """Draw the final training accuracy against the number of examples with shuffled labels.

    Parameters
    ----------
    results : Mapping[str, sequence of Memorization]
        For each network by its name, results for several numbers of examples.

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
    >>> options = {"corrupted": 1, "recipe": fastnet.insight.MEMORIZER.but(epochs=3), "seeds": [0, 1]}
    >>> runs = [fastnet.insight.memorization(x[:n], y[:n], **options) for n in (30, 60)]
    >>> figure = capacity({"4-128-3": runs})
    """
    figure = style.figure(7, 4)
    axes = figure.subplots()
    for i, (name, found) in enumerate(results.items()):
        label = f"{name}: {found[0].n_parameters:,} parameters"
        sizes = [one.n for one in found]
        band(axes, sizes, _columns(found, "final_training"), style.COLOURS[i], marker=style.MARKERS[i], label=label)
    sizes = sorted({one.n for found in results.values() for one in found})
    epochs = next(iter(results.values()))[0].training.shape[1]
    counts(axes, sizes)
    axes.set(
        xlabel="training examples with shuffled labels",
        ylabel=f"share fitted after {epochs} epochs",
        title="Share of the labels that the network fits",
        ylim=(0, 1.04),
    )
    percent(axes.yaxis)
    figure.legend(loc="outside lower center", ncols=2, **BAND)
    return figure


def _subject(*results: Memorization) -> str:
    """The title: the network and the number of examples. An h in the network is a width that varies."""
    layers = (set(layer) for layer in zip(*(found.sizes for found in results), strict=True))
    network = "-".join(str(*widths) if len(widths) == 1 else "h" for widths in layers)
    return f"{network} on {results[0].n:,} examples"


def _columns(results: Sequence[Memorization], name: str) -> NDArray[np.float64]:
    """A property (n_seeds,) of each result, as columns (n_seeds, n_results)."""
    return np.column_stack([getattr(found, name) for found in results])


def _accuracies(axes: Axes, x: Sequence[float], results: Sequence[Memorization]) -> None:
    band(axes, x, _columns(results, "final_training"), style.BLUE, marker="o", label="training, labels as given")
    band(axes, x, _columns(results, "final_test"), style.RED, marker="s", ls="--", label="test, true labels")
    axes.set(ylabel="accuracy", ylim=(0, 1.04), title=f"{_subject(results[0])}, at the end")
    percent(axes.yaxis)


def _epochs_to_fit(
    axes: Axes, places: NDArray[np.number[Any]], results: Sequence[Memorization], name: str, colour: str, marker: str
) -> None:
    """Draw the epochs to fit as a band. A cross at the limit marks a value at which some seed did not fit."""
    columns = _columns(results, "epochs_to_fit")
    band(axes, places, columns, colour, marker=marker, label=name)
    missing = ~np.isfinite(columns).all(axis=0)
    if missing.any():
        limit = results[0].training.shape[1]
        axes.plot(
            places[missing],
            np.full(missing.sum(), limit),
            "x",
            color=colour,
            markersize=8,
            label=f"{name}: not in {limit} epochs",
        )
