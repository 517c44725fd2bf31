"""Draws pixels as an image in a figure, and a title over several images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage


def heading(figure: Figure, place: Any, text: str) -> None:
    """Draw a title over the axes in `place`, a part of a grid (a subplotspec)."""
    frame = figure.add_subplot(place)
    frame.set_axis_off()
    frame.set_title(text)


def show(axes: Axes, image: NDArray[np.number[Any]], shape: tuple[int, int], **options: Any) -> AxesImage:
    """Draw pixels (n_in,) as an image without ticks. imshow takes the `options`."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_linewidth(0.5)
    return axes.imshow(image.reshape(shape), interpolation="nearest", **options)


def diverging(reach: float) -> dict[str, Any]:
    """Options of `show` for a scale from -reach (red) through 0 (white) to reach (blue)."""
    reach = reach or 1.0
    return {"cmap": style.DIVERGING, "vmin": -reach, "vmax": reach}
