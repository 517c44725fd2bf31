"""Pictures of the weights of neurons, and of how close the weights are to edges.

Not here: what excites neurons (excitation.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet import checks
from fastnet.insight.weights import WeightStructure
from fastnet.network import Network
from fastnet.plots import pixels, style
from fastnet.plots.axes import axes_for, figure_of, short_names
from fastnet.plots.heatmap import MAX_NEURONS, PAIR, SINGLE, heatmap
from fastnet.text import numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NAMED, MAX_LETTERS = 20, 12  # classes that are named, and letters of a name
MIN_PIXELS = 16  # fewer inputs without names are columns of a table
SHOWN = 6  # images of each set
REACH = 99.5  # the percentile of |weight| with full colour: a few extremes would make the other weights pale
GAP = 0.3  # between the images before and after training, in widths of an image


@style.picture
def weights(
    network: Network,
    *,
    image_shape: tuple[int, int] | None = None,
    feature_names: Sequence[str] | None = None,
    deviations: ArrayLike | None = None,
    before: Network | None = None,
    layer: int = 0,
    narrow: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Draw the incoming weights of each neuron: in the first layer as images, of a table or a deeper layer as a table.

    The inputs are those of a table if they have names, or if they are not the pixels of a square image of at least 16
    pixels. Then the picture has a row for each input and a column for each neuron. At most 60 inputs and 64 neurons are
    drawn: those with the longest vectors of weights.

    Parameters
    ----------
    network : Network
        The network.
    image_shape : tuple of int, optional
        Rows and columns of the inputs. By default inputs without names are square images.
    feature_names : sequence of str, optional
        The names of the inputs of a table. By default the names in `network.schema`, or "input 1", "input 2" and so on.
    deviations : array_like, shape (n_in,), optional
        For a table: what the weights of each input are multiplied with. With the standard deviations of the columns,
        such as `x.std(axis=0)`, inputs of different units can be compared.
    before : Network, optional
        The network before its training. It is drawn in the same colours.
    layer : int
        The layer of weights, from 0; -1 is the output.
    narrow : bool
        Whether the picture is for a column of a page or a phone. A narrow picture has the weights before training above
        the weights after training, not beside them.
    ax : matplotlib.axes.Axes, optional
        The axes to draw a table into. By default a new figure is made.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `network` or `before` is no network, or `ax` is no Axes.
    ValueError
        The shape, the names or the deviations do not fit, the networks differ in their sizes, there is no such layer,
        or the picture does not fit into `ax` because it has several axes.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> figure = weights(fastnet.Network([16, 4, 3], seed=0))
    >>> figure = weights(fastnet.Network([3, 5, 1], seed=0), feature_names=["age", "height", "weight"])
    """
    checks.instance("network", network, Network)
    layer = checks.position("layer", layer, len(network.weights))
    drawn = {"": network.weights[layer]}
    if before is not None:
        checks.same_sizes(network.sizes, checks.instance("before", before, Network).sizes)
        drawn = {"before training": before.weights[layer], "after training": network.weights[layer]}
    names = _names(network, image_shape, feature_names) if layer == 0 else None
    if names is None and (deviations is not None or feature_names is not None):
        raise ValueError("feature_names and deviations are for the first layer of a table, not for images or layers")
    if ax is not None and (before is not None or (layer == 0 and names is None)):
        raise ValueError("ax is for one table of weights: leave out `before` and image_shape, or leave out ax")
    if names is not None:
        return heatmap(drawn, names, deviations, narrow, ax)
    scale = pixels.diverging(float(np.percentile(np.abs(np.stack(list(drawn.values()))), REACH)))
    if layer == 0:
        return _galleries(drawn, checks.image_shape(image_shape, network.sizes[0]), scale, narrow)
    return _tables(drawn, _classes(network, layer), layer, scale, ax)


def _classes(network: Network, layer: int) -> Sequence[str]:
    """Return the names of the outputs if this is the output layer and they have names, else ()."""
    names = network.schema.class_names if network.schema is not None else ()
    return names if layer == len(network.weights) - 1 and len(names) == network.sizes[-1] <= MAX_NAMED else ()


def _names(network: Network, shape: Any, given: Sequence[str] | None) -> Sequence[str] | None:
    """Return the names of the inputs of a table, or None for images."""
    n = network.sizes[0]
    if given is not None:
        return checks.texts("feature_names", given, n, "inputs")
    if shape is not None:
        return None
    own = network.schema.feature_names if network.schema is not None else ()
    if len(own) == n:
        return own
    return None if n >= MIN_PIXELS and math.isqrt(n) ** 2 == n else numbered("input", n)


def _galleries(
    drawn: dict[str, NDArray[np.floating[Any]]], shape: tuple[int, int], scale: dict[str, Any], narrow: bool
) -> Figure:
    n = len(next(iter(drawn.values())))
    shown = min(n, MAX_NEURONS)
    across = math.ceil(math.sqrt(shown))
    down = math.ceil(shown / across)
    beside, above = (1, len(drawn)) if narrow else (len(drawn), 1)
    width = style.COLUMN if narrow else PAIR if beside > 1 else SINGLE
    figure = style.figure(width, above * ((width - 0.8) / beside * down / across * shape[0] / shape[1] + 0.4))
    columns, rows = (_blocks(count, of) for count, of in ((beside, across), (above, down)))
    grid = figure.add_gridspec(len(rows), len(columns), width_ratios=columns, height_ratios=rows)
    axes: list[Axes] = []
    for block, (title, found) in enumerate(drawn.items()):
        left, top = (0, block * (down + 1)) if narrow else (block * (across + 1), 0)
        what = "neurons" if shown == n else f"the first {shown} of {n}{'' if narrow else ' neurons'}"
        pixels.heading(figure, grid[top : top + down, left : left + across], ", ".join(filter(None, (what, title))))
        for k, image in enumerate(found[:shown]):
            axes.append(figure.add_subplot(grid[top + k // across, left + k % across]))
            last = pixels.show(axes[-1], image, shape, **scale)
    figure.colorbar(last, ax=axes, label="weight", extend="both", aspect=40, pad=0.02)
    return figure


def _blocks(count: int, of: int) -> list[float]:
    """The sizes of the rows or columns of `count` blocks, with `of` in each block and a gap between two blocks."""
    return [*[1.0] * of, *[GAP, *[1.0] * of] * (count - 1)]


def _tables(
    drawn: dict[str, NDArray[np.floating[Any]]],
    classes: Sequence[str],
    layer: int,
    scale: dict[str, Any],
    ax: Axes | None,
) -> Figure:
    from matplotlib.ticker import MaxNLocator

    rows, columns = next(iter(drawn.values())).shape
    panel = 3.9
    height = min(7.0, max(2.2, panel * rows / columns)) + 0.8
    if len(drawn) == 1:
        axes = [axes_for(ax, panel + 1, height)]
    else:
        axes = list(style.figure(panel * len(drawn) + 1, height).subplots(1, len(drawn), sharey=True))
    for one, (title, found) in zip(axes, drawn.items(), strict=True):
        last = one.imshow(found, interpolation="nearest", aspect="auto", **scale)
        one.set_title(title)
        one.set_xlabel(f"neuron of hidden layer {layer}")
        for axis in (one.xaxis, one.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
    if classes:
        axes[0].set_yticks(range(rows), short_names(classes, MAX_LETTERS))
    else:
        axes[0].set_ylabel(f"neuron of layer {layer + 1}")
    axes[0].figure.colorbar(last, ax=axes, label="weight", extend="both", pad=0.02)
    return figure_of(axes[0])


@style.picture
def structure(found: WeightStructure, *, image_shape: tuple[int, int] | None = None) -> Figure:
    """Compare trained weights with initial weights, blobs and edges: some images, their smoothness and edge shares.

    Parameters
    ----------
    found : WeightStructure
        The result of `insight.weight_structure`.
    image_shape : tuple of int, optional
        Rows and columns of the images. By default they are square.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `found` is no result of fastnet.insight.
    ValueError
        The shape does not fit.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> network, before = (fastnet.Network([64, 5, 3], seed=seed) for seed in (0, 1))
    >>> figure = structure(fastnet.insight.weight_structure(network, before))
    """
    checks.instance("found", found, WeightStructure, "fastnet.insight")
    kinds = found.kinds
    shape = checks.image_shape(image_shape, found["trained"].images.shape[1])
    figure = style.figure(9, 0.95 * len(kinds) * shape[0] / shape[1] + 0.7)
    grid = figure.add_gridspec(len(kinds), SHOWN + 2, width_ratios=[1.0] * SHOWN + [2.6, 3.2])
    for row, (kind, part) in enumerate(kinds.items()):
        for k, image in enumerate(part.images[:SHOWN]):
            axes = figure.add_subplot(grid[row, k])
            # Each image has a scale of its own, because the sets have no common unit.
            scale = pixels.diverging(float(np.abs(image).max()))
            pixels.show(axes, image, shape, **scale)
            if k == 0:
                axes.set_ylabel(kind)
    smooth, edge = (figure.add_subplot(grid[:, SHOWN + k]) for k in (0, 1))
    places, colours = range(len(kinds)), style.COLOURS[: len(kinds)]
    smooth.barh(places, [part.correlation for part in kinds.values()], height=0.5, color=colours)
    smooth.axvline(0, color=style.GREY, linewidth=0.8)
    smooth.set_xlabel("correlation of\nneighbouring pixels")
    spread = np.random.default_rng(0)  # moves points up and down, so that no point hides another
    for place, colour, marker, part in zip(places, colours, style.MARKERS, kinds.values(), strict=False):
        shares = part.edge_shares
        edge.plot(shares, place + spread.uniform(-0.2, 0.2, len(shares)), marker, color=colour, alpha=0.4)
        edge.plot([np.mean(shares)] * 2, (place - 0.35, place + 0.35), color=style.BLACK)
        edge.annotate(f"{np.mean(shares):.2f}", (np.mean(shares), place - 0.36), ha="center", va="bottom")
    edge.set_xlim(0, 1)
    edge.set_xlabel("share that one oriented\nedge explains (line: mean)")
    for axes in (smooth, edge):
        axes.set_ylim(len(kinds) - 0.5, -0.5)
        axes.set_yticks(places, ["" for _ in kinds] if axes is edge else list(kinds))
    return figure
