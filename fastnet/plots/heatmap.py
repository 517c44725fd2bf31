"""The first layer of a network for a table, as a heat map: a row for each input, a column for each neuron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet.plots import pixels, style
from fastnet.plots.axes import axes_for, figure_of, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_INPUTS, MAX_NEURONS = 60, 64  # of more, the strongest are drawn
MAX_LETTERS = 24  # of the name of an input
ROW = 0.17  # inches for an input: enough for text of 8 points
MIN_HEIGHT = 1.2  # inches
SINGLE, PAIR = 5.0, 8.8  # inches: the width of one picture, and of two side by side, that need not be narrow

Weights = NDArray[np.floating[Any]]


def heatmap(
    drawn: dict[str, Weights], names: Sequence[str], deviations: ArrayLike | None, narrow: bool, ax: Axes | None
) -> Figure:
    """Draw weights (n_out, n_in) by their titles, in the same colours. All show the inputs that the last one needs."""
    from matplotlib.ticker import MaxNLocator

    last = next(reversed(drawn.values()))
    factors = _factors(deviations, last.shape[1])
    inputs = _strongest(last * factors, MAX_INPUTS, axis=0)
    neurons = _strongest(last * factors, MAX_NEURONS, axis=1)
    tables = {title: (found * factors)[np.ix_(neurons, inputs)].T for title, found in drawn.items()}
    scale = pixels.diverging(max(float(np.abs(table).max()) for table in tables.values()))
    panels = _panels(len(tables), len(inputs), narrow, ax)
    for axes, (title, table) in zip(panels, tables.items(), strict=True):
        shades = axes.imshow(table, interpolation="nearest", aspect="auto", **scale)
        axes.set_yticks(range(len(inputs)), short_names([names[k] for k in inputs], MAX_LETTERS))
        axes.tick_params(axis="y", length=0, labelsize=style.SMALL)
        axes.spines[:].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(title)
    panels[-1].set_xlabel(_which("neuron", neurons, last.shape[0]) or "neuron of the first layer")
    if len(neurons) < last.shape[0]:
        for axes in panels:
            axes.set_xticks([])  # the places are not the numbers of the neurons
    panels[0].set_ylabel(_which("input", inputs, last.shape[1]))
    label = "weight" if deviations is None else "weight x deviation"
    panels[0].figure.colorbar(shades, ax=panels, label=label, pad=0.02)
    return figure_of(panels[0])


def _factors(deviations: ArrayLike | None, n: int) -> NDArray[np.float64]:
    factors = np.ones(n) if deviations is None else np.asarray(deviations, np.float64)
    if factors.shape != (n,):
        raise ValueError(f"deviations has shape {factors.shape}; expected one number for each of {n} inputs")
    if not (np.isfinite(factors).all() and (factors >= 0).all()):
        raise ValueError("deviations must be finite numbers of 0 or more")
    return factors


def _strongest(table: Weights, limit: int, axis: int) -> NDArray[np.int64]:
    """Return the positions, in order, of the columns (axis 0) or rows (axis 1) with the longest vectors of weights."""
    return np.sort(np.argsort(-np.linalg.norm(table.astype(np.float64), axis=axis), kind="stable")[:limit])


def _which(what: str, shown: NDArray[np.int64], n: int) -> str:
    return f"the {len(shown)} strongest of {n} {what}s" if len(shown) < n else ""


def _panels(count: int, rows: int, narrow: bool, ax: Axes | None) -> list[Axes]:
    height = max(MIN_HEIGHT, ROW * rows) + 0.5
    if count == 1:
        return [axes_for(ax, style.COLUMN if narrow else SINGLE, height)]
    if narrow:
        return list(style.figure(style.COLUMN, count * (height + 0.2)).subplots(count, 1, sharex=True))
    return list(style.figure(PAIR, height + 0.2).subplots(1, count, sharey=True))
