"""Pictures of a classifier's answers: what it confuses, and its worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_COUNTED = 15  # classes up to which every cell has its number
MAX_NAMED = 20  # classes that are named; of more, some are
NAME = 12  # letters of a class's name
ACROSS = 4  # mistakes in a row


@style.picture
def confusion(matrix: NDArray[np.int64], class_names: Sequence[str], *, width: float = style.COLUMN) -> Figure:
    """How many examples of each class (row) were taken for each (column), as insight.answers has it.

    The colour is the share of the row's examples, on a scale that shows rare mistakes too (its square root). Up to 15
    classes, the numbers stand in the cells. width: inches. Raises ValueError where the names do not fit.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import PercentFormatter

    classes = len(matrix)
    if len(class_names) != classes:
        raise ValueError(f"a confusion matrix of {classes} classes needs as many names, not {len(class_names)}")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [style.shortened(name, NAME) for name in class_names]
    figure = style.figure(width, 0.84 * width)
    axes = figure.add_subplot()
    shades = axes.imshow(share, cmap=style.COUNTS, norm=PowerNorm(0.5, 0, 1))
    step = -(-classes // MAX_NAMED)
    upright = 0 if max(map(len, names)) <= 2 and classes <= MAX_COUNTED else 90
    axes.set_xticks(range(0, classes, step), names[::step], rotation=upright)
    axes.set_yticks(range(0, classes, step), names[::step])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("the network's answer")
    axes.set_ylabel("the truth")
    if classes <= MAX_COUNTED:
        for i, j in np.argwhere(matrix):
            ink = "white" if share[i, j] > 0.4 else style.BLACK
            axes.text(j, i, f"{matrix[i, j]}", ha="center", va="center", color=ink, fontsize=style.FONT_SIZE - 1)
    bar = figure.colorbar(shades, ax=axes, pad=0.02, ticks=[0, 0.01, 0.1, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return figure


@style.picture
def mistakes(
    images: NDArray[Any],
    truth: Sequence[str],
    predicted: Sequence[str],
    confidence: NDArray[np.floating],
    *,
    width: float = style.COLUMN,
) -> Figure:
    """Images (n, rows, columns) answered wrong, each with what it is, what the network says, and how sure it is.

    truth and predicted: class names, one an image. confidence: from 0 to 1. Ink is a large value. width: inches. Raises
    ValueError for no images.
    """
    if not len(images):
        raise ValueError("there are no mistakes to draw")
    captions = [
        f"is {style.shortened(is_, style.CAPTION)}\nsays {style.shortened(says, style.CAPTION)}\n{sure:.0%} sure"
        for is_, says, sure in zip(truth, predicted, confidence, strict=True)
    ]
    return captioned(images, captions, width=width)


@style.picture
def captioned(images: NDArray[Any], captions: Sequence[str], *, width: float = style.COLUMN) -> Figure:
    """Images (n, rows, columns), four in a row, each below a caption of a few lines. Ink is a large value.

    Bytes are drawn on the scale from 0 to 255, floats on that of all the images together. width: inches.
    """
    low, high = (0, 255) if images.dtype == np.uint8 else (images.min(), images.max())
    rows = -(-len(images) // ACROSS)
    tall = images.shape[1] / images.shape[2]
    figure = style.figure(width, 0.12 + rows * (0.6 + 0.8 * tall * width / ACROSS))
    panels = figure.subplots(rows, ACROSS, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, image, caption in zip(panels, images, captions, strict=False):
        axes.imshow(image, cmap=style.INK, vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(caption, fontsize=style.FONT_SIZE - 1, fontweight="normal", loc="center", pad=3)
    return figure
