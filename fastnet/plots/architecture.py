"""The picture of a network as neurons and links.

Not here: the weights as images (weights.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.network import Network
from fastnet.plots import style
from fastnet.plots.axes import short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]

MAX_NEURONS = 20  # a layer of more neurons is drawn in part
SHOWN = 14  # the number of neurons drawn for a layer of more than MAX_NEURONS neurons
PIXEL_LINKS = 5  # a neuron is linked to this many pixels: those with the largest weights
WIDTH, HEIGHT = 14.0, 10.0  # of the drawing, in the units of its axes
MAX_GAP = 1.5  # the largest distance from one neuron to the next
MAX_STEP = 5.0  # the largest distance from one layer to the next
NAME = 2.4  # the room for a name beside a layer
NAMED_STEP = 2.6  # a step of at least this size has room for the names of activations
MAX_LETTERS = 9  # of the name of a class or an input
MAX_NAMED = 16  # more inputs have no room for their names


@style.picture
def architecture(
    network: Network,
    *,
    image_shape: tuple[int, int] | None = None,
    class_names: Sequence[str] = (),
    feature_names: Sequence[str] = (),
    width: float = style.COLUMN,
) -> Figure:
    """Draw the network as neurons (circles) and links (lines).

    The colour of a link shows the sign and size of its weight, its width shows the size. Each layer of links has its
    own scale: its largest weight has the full colour. A layer of more than 20 neurons is drawn in part: 14 neurons with
    the longest vectors of outgoing weights. Dots stand for the other neurons.

    Parameters
    ----------
    network : Network
        The network.
    image_shape : tuple of int, optional
        Rows and columns of the inputs. With a shape the inputs are drawn as an image. A darker pixel has a longer
        vector of outgoing weights. Each neuron of the first layer is linked to the five pixels with its largest
        weights.
    class_names : sequence of str
        Names to write beside the outputs.
    feature_names : sequence of str
        Names to write beside the inputs. More than 16 inputs have no room for names.
    width : float
        The width in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `network` is no network, or `image_shape` is no pair of whole numbers.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> figure = architecture(fastnet.Network([4, 5, 3], seed=0), class_names=["a", "b", "c"])
    """
    checks.instance("network", network, Network)
    if image_shape is not None:
        image_shape = checks.rows_and_columns(image_shape)
    sizes, depth = network.sizes, len(network.sizes)
    figure = style.figure(width, 0.76 * width)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_aspect("equal")
    step = min(MAX_STEP, WIDTH / (depth - 1))
    # of the outgoing weights of each input, in float64: squares of large weights leave float32
    lengths = [np.linalg.norm(w.astype(np.float64), axis=0) for w in network.weights]
    lengths.append(np.ones(sizes[-1]))
    image = image_shape is not None and image_shape[0] * image_shape[1] == sizes[0]
    shown = [_shown(length) for length in lengths]
    places = [_places(len(chosen), sizes[level]) for level, chosen in enumerate(shown)]
    across = [level * step for level in range(depth)]
    side = 0.0
    if image:
        assert image_shape is not None
        side = 1.35 * max(step, NAMED_STEP)
        columns, rows = _pixels(image_shape, side, across[0])
        _draw_image(axes, lengths[0].reshape(image_shape), columns, rows, side, across[0])
    for level, w in enumerate(network.weights):
        upper = np.arange(len(shown[level + 1]))
        if level == 0 and image:
            chosen = shown[1]
            best = np.argsort(-np.abs(w[chosen]), axis=1, kind="stable")[:, :PIXEL_LINKS]
            pairs = [(int(p), j) for j, row in enumerate(best) for p in row]
            starts = np.array([(columns[p], rows[p]) for p, _ in pairs])
            ends = np.array([(across[1], places[1][j]) for _, j in pairs])
            values = np.array([w[chosen[j], p] for p, j in pairs])
        else:
            below, above = np.meshgrid(np.arange(len(shown[level])), upper)
            starts = np.column_stack((np.full(below.size, across[level]), places[level][below.ravel()]))
            ends = np.column_stack((np.full(above.size, across[level + 1]), places[level + 1][above.ravel()]))
            values = w[shown[level + 1]][:, shown[level]].ravel()
        _draw_links(axes, starts, ends, values)
    named = class_names if len(class_names) == sizes[-1] == len(shown[-1]) else ()
    named_inputs = feature_names if len(feature_names) == sizes[0] <= MAX_NAMED and not image else ()
    axes.set_xlim(-max(0.5 * side, 0.8, NAME * bool(named_inputs)) - 0.3, across[-1] + (NAME if named else 0.8))
    axes.set_ylim(-HEIGHT / 2 - 2.4, HEIGHT / 2 + 0.4)
    for level in range(depth):
        if not (level == 0 and image):
            _draw_neurons(axes, across[level], places[level], sizes[level])
        low = -HEIGHT / 2 - 0.7
        what = "inputs" if level == 0 else network.activations_by_layer[level - 1].replace("_", " ")
        title = f"{sizes[level]:,}\n{what}" if step >= NAMED_STEP else f"{sizes[level]:,}"
        axes.text(across[level], low, title, ha="center", va="top", color=style.BLACK)
    for y, name in zip(places[-1], short_names(named, MAX_LETTERS), strict=False):
        axes.text(across[-1] + 0.55, y, name, va="center", color=style.BLACK)
    for y, name in zip(places[0], short_names(named_inputs, MAX_LETTERS), strict=False):
        axes.text(-0.55, y, name, ha="right", va="center", color=style.BLACK)
    _legend(axes)
    return figure


def _shown(lengths: NDArray[np.floating]) -> NDArray[np.int64]:
    """The numbers of the neurons of a layer that are drawn, from the smallest to the largest."""
    if len(lengths) <= MAX_NEURONS:
        return np.arange(len(lengths))
    return np.sort(np.argsort(-lengths, kind="stable")[:SHOWN])


def _places(count: int, size: int) -> NDArray[np.float64]:
    """The vertical position of each drawn neuron, the first on top. A layer drawn in part has a gap for the dots."""
    slots = count + (2 if count < size else 0)
    gap = min(MAX_GAP, HEIGHT / max(slots - 1, 1))
    rows = np.arange(count, dtype=np.float64)
    if count < size:
        rows[count // 2 :] += 2
    return ((slots - 1) / 2 - rows) * gap


def _pixels(shape: tuple[int, int], side: float, centre: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The places of the pixels (rows * columns) of the image of inputs."""
    rows, columns = shape
    pixel = side / max(shape)
    i, j = np.divmod(np.arange(rows * columns), columns)
    return centre + (j + 0.5 - columns / 2) * pixel, (rows / 2 - i - 0.5) * pixel


def _draw_image(axes: Axes, values: Array, x: Array, y: Array, side: float, centre: float) -> None:
    half = 0.5 * side / max(values.shape)
    extent = (float(x.min()) - half, float(x.max()) + half, float(y.min()) - half, float(y.max()) + half)
    axes.imshow(
        values, cmap=style.INK, vmin=0, vmax=1.6 * values.max() or 1, extent=extent, zorder=1, interpolation="nearest"
    )


def _draw_links(axes: Axes, starts: Array, ends: Array, values: Array) -> None:
    """Draw the links, the strongest last, so that no other link hides it."""
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    order = np.argsort(np.abs(values), kind="stable")
    strength = values[order] / (np.abs(values).max() or 1)
    # The paper has the colour of the middle. The ends are so dark that the colour-blind can hardly tell them apart.
    colours = colormaps[style.DIVERGING](0.5 + np.sign(strength) * (0.2 + 0.22 * np.abs(strength)))
    colours[:, 3] = 0.25 + 0.75 * np.abs(strength)
    lines = LineCollection(
        list(np.stack((starts[order], ends[order]), axis=1)),
        colors=colours,
        linewidths=0.3 + 1.9 * np.abs(strength),
        zorder=2,
    )
    axes.add_collection(lines)


def _draw_neurons(axes: Axes, x: float, places: Array, size: int) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Circle

    gap = abs(places[0] - places[1]) if len(places) > 1 else 1.0
    circles = [Circle((x, y), 0.32 * min(gap, 1.0)) for y in places]
    axes.add_collection(PatchCollection(circles, facecolor="white", edgecolor=style.BLACK, linewidth=0.9, zorder=3))
    if len(places) < size:
        middle = (places[len(places) // 2 - 1] + places[len(places) // 2]) / 2
        dots = middle + gap * np.array([-0.6, 0, 0.6])
        axes.plot(np.full(3, x), dots, ".", color=style.GREY, markersize=3, zorder=3)


def _legend(axes: Axes) -> None:
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    colours = colormaps[style.DIVERGING]
    handles = [
        Line2D([], [], color=colours(0.92), linewidth=2.2, label="excites (weight above 0)"),
        Line2D([], [], color=colours(0.08), linewidth=2.2, label="inhibits (below 0)"),
    ]
    axes.figure.legend(handles=handles, loc="outside upper center", ncols=2, handlelength=1.4, columnspacing=1.2)
