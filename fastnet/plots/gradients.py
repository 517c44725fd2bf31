"""Pictures of the gradient: its top components, each layer's share, and each neuron's part as an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.gradients import Ranking
from fastnet.network import Network
from fastnet.plots import pixels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NEURONS = 32  # drawn by default


@style.picture
def ranking(ranking: Ranking, fractions: Sequence[float] = (0.01, 0.1)) -> Figure:
    """Draw the share of the gradient's squared norm in the top components, and the share in each layer.

    Parameters
    ----------
    ranking : Ranking
        The result of `insight.ranking`.
    fractions : sequence of float
        The top fractions to mark.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `ranking` is no result of fastnet.insight.
    ValueError
        A fraction is at most 0, or above 1.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> figure = ranking(fastnet.insight.ranking(fastnet.Network([4, 3], seed=0), x, y))
    """
    checks.instance("ranking", ranking, Ranking, "fastnet.insight")
    figure = style.figure(8.8, 4.2)
    curve, layers = figure.subplots(1, 2, width_ratios=(1.5, 1))
    cumulative = ranking.cumulative[1:]
    position = 100 * np.arange(1, len(cumulative) + 1) / len(cumulative)
    curve.plot(position, 100 * cumulative, color=style.BLUE)
    curve.set(title="Share of the top components", xlabel="top components (%)", ylabel="share of squared norm (%)")
    curve.set(xscale="log", ylim=(0, 104))
    curve.xaxis.set_major_formatter("{x:g}")
    for fraction, colour, marker in zip(fractions, style.COLOURS[1:], style.MARKERS, strict=False):
        share = 100 * ranking.share(fraction)
        label = f"top {100 * fraction:g}% hold {share:.0f}%"
        curve.plot(100 * fraction, share, marker, color=colour, markersize=8, label=label)
    if ranking.zero_share:
        label = f"exactly zero: {ranking.zero_share:.0%} of components"
        curve.axvspan(100 * (1 - ranking.zero_share), 100, color=style.GREY, alpha=0.3, linewidth=0, label=label)
    names = [f"layer {layer + 1}" for layer in range(len(ranking.by_layer))]
    left = np.zeros(len(names))
    for part, colour, label in zip(ranking.by_layer.T, (style.BLUE, style.ORANGE), ("weights", "biases"), strict=True):
        layers.barh(names, 100 * part, left=100 * left, color=colour, label=label, height=0.6)
        left = left + part
    for row, share in enumerate(left):
        layers.annotate(f" {share:.1%}", (100 * share, row), va="center", fontsize=style.SMALL)
    layers.invert_yaxis()
    layers.set(title="Shares of the layers", xlabel="share of squared norm (%)", xlim=(0, 118 * left.max()))
    for axes, side in ((curve, "left"), (layers, "right")):
        figure.legend(*axes.get_legend_handles_labels(), loc=f"outside lower {side}", ncols=2)
    return figure


@style.picture
def neuron_gradients(
    network: Network, gradient: NDArray[Any], image_shape: tuple[int, int], neurons: Sequence[int] | None = None
) -> Figure:
    """Draw the gradient with respect to the first layer's weights, one image for each neuron.

    All images have one scale. At a red pixel the gradient is below zero: a higher weight lowers the cost. At a blue
    pixel a higher weight raises the cost.

    Parameters
    ----------
    network : Network
        The network.
    gradient : ndarray, shape (n_parameters,)
        The network's gradient, such as network.gradient(x, y).
    image_shape : tuple of int
        Rows and columns of the inputs.
    neurons : sequence of int, optional
        The neurons' numbers. By default the first 32.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        `network` is no network, or the gradient, the shape or the neurons do not fit the network.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 9)), np.arange(60) % 3
    >>> network = fastnet.Network([9, 3], seed=0)
    >>> figure = neuron_gradients(network, network.gradient(x, y), (3, 3))
    """
    checks.instance("network", network, Network)
    maps = network.views(gradient).weights[0]
    rows, columns = checks.image_shape(image_shape, maps.shape[1])
    chosen = range(min(len(maps), MAX_NEURONS)) if neurons is None else neurons
    shown = [checks.whole_number("neurons", neuron, 0) for neuron in chosen]
    if not shown or max(shown) >= len(maps):
        raise ValueError(f"neurons must be at least one number, each from 0 to {len(maps) - 1}, not {list(shown)}")
    across = min(8, len(shown))
    down = math.ceil(len(shown) / across)
    width = max(4.5, 1.1 * across)
    figure = style.figure(width, 1.3 + down * (width - 0.4) / across * rows / columns)
    grid = figure.subplots(down, across, squeeze=False)
    scale = pixels.diverging(float(np.abs(maps[shown]).max()))
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, neuron in zip(grid.flat, shown, strict=False):
        axes.set_title(f"neuron {neuron}", fontsize=style.SMALL, fontweight="normal")
        image = pixels.show(axes, maps[neuron], (rows, columns), **scale)
    bar = figure.colorbar(image, ax=grid, location="bottom", shrink=0.6, aspect=40)
    bar.set_label("derivative of the cost with respect to the weight")
    bar.ax.locator_params(nbins=5)
    figure.suptitle(
        "Gradient with respect to the first layer's weights", x=0.01, ha="left", fontsize=style.FONT_SIZE, weight="bold"
    )
    return figure
