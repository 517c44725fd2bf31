"""Pictures of the gradient's components: how few hold most of it, in which layers, and a neuron's as an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks
from fastnet.insight.gradients import Ranking
from fastnet.network import Array, Network
from fastnet.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NEURONS = 32  # in one picture, unless they are asked for


@style.picture
def ranking(ranking: Ranking, fractions: Sequence[float] = (0.01, 0.1)) -> Figure:
    """The share of the squared norm that the top components hold, with some fractions marked, and the layers' shares.

    Raises ValueError unless the fractions are above 0 and at most 1.
    """
    figure = style.figure(8.8, 4.2)
    curve, layers = figure.subplots(1, 2, width_ratios=(1.5, 1))
    cumulative = ranking.cumulative[1:]
    percent = 100 * np.arange(1, len(cumulative) + 1) / len(cumulative)
    curve.plot(percent, 100 * cumulative, color=style.BLUE)
    curve.set(
        title="How few hold most of the gradient", xlabel="top components (%)", ylabel="share of squared norm (%)"
    )
    curve.set(xscale="log", ylim=(0, 104))
    curve.xaxis.set_major_formatter("{x:g}")
    for fraction, colour, marker in zip(fractions, style.COLOURS[1:], style.MARKERS, strict=False):
        share = 100 * ranking.share(fraction)
        label = f"top {100 * fraction:g}% hold {share:.0f}%"
        curve.plot(100 * fraction, share, marker, color=colour, markersize=8, label=label)
    if ranking.zero_share:
        label = f"exactly zero: {ranking.zero_share:.0%} of all"
        curve.axvspan(100 * (1 - ranking.zero_share), 100, color=style.GREY, alpha=0.3, linewidth=0, label=label)
    curve.legend(loc="upper left")
    names = [f"layer {layer + 1}" for layer in range(len(ranking.by_layer))]
    left = np.zeros(len(names))
    for part, colour, label in zip(ranking.by_layer.T, (style.BLUE, style.ORANGE), ("weights", "biases"), strict=True):
        layers.barh(names, 100 * part, left=100 * left, color=colour, label=label, height=0.6)
        left = left + part
    for row, share in enumerate(left):
        layers.annotate(f" {share:.1%}", (100 * share, row), va="center", fontsize=style.SMALL)
    layers.invert_yaxis()
    layers.set(title="In which layer", xlabel="share of squared norm (%)", xlim=(0, 118 * left.max()))
    layers.legend(loc="lower right")
    return figure


@style.picture
def neuron_gradients(
    network: Network, gradient: Array, image_shape: tuple[int, int], neurons: Sequence[int] | None = None
) -> Figure:
    """What the cost says of each weight of the first layer's neurons: their parts of the gradient as images.

    gradient (n_parameters,), such as network.gradient(x, y). One scale for all, red below zero, where a higher
    weight lowers the cost, blue above. neurons: their numbers, by default the first 32.

    Raises ValueError or TypeError where the gradient, the shape or the neurons do not fit the network.
    """
    maps = network.views(gradient).weights[0]
    rows, columns = checks.image_shape(image_shape, maps.shape[1])
    chosen = range(min(len(maps), MAX_NEURONS)) if neurons is None else neurons
    shown = [checks.whole_number("neurons", neuron, 0) for neuron in chosen]
    if not shown or max(shown) >= len(maps):
        raise ValueError(f"neurons must be numbers from 0 to {len(maps) - 1}, at least one, not {list(shown)}")
    across = min(8, len(shown))
    down = math.ceil(len(shown) / across)
    largest = float(np.abs(maps[shown]).max()) or 1.0
    width = max(4.5, 1.1 * across)
    figure = style.figure(width, 1.3 + down * (width - 0.4) / across * rows / columns)
    grid = figure.subplots(down, across, squeeze=False)
    scale = {"cmap": style.DIVERGING, "vmin": -largest, "vmax": largest, "interpolation": "nearest"}
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, neuron in zip(grid.flat, shown, strict=False):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        axes.set_title(f"neuron {neuron}", fontsize=style.SMALL, fontweight="normal")
        image = axes.imshow(maps[neuron].reshape(rows, columns), **scale)
    bar = figure.colorbar(image, ax=grid, location="bottom", shrink=0.6, aspect=40)
    bar.set_label("change of the cost by that of the weight")
    bar.ax.locator_params(nbins=5)
    figure.suptitle(
        "The gradient by the first layer's weights", x=0.01, ha="left", fontsize=style.FONT_SIZE, weight="bold"
    )
    return figure
