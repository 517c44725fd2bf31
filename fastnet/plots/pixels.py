"""Pixels in pictures: how an image is drawn, and what stands over several.

Not here: any whole picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage


def heading(figure: Figure, place: Any, text: str) -> None:
    """A title over several axes: those in `place`, a part of a grid (subplotspec)."""
    frame = figure.add_subplot(place)
    frame.set_axis_off()
    frame.set_title(text)


def show(axes: Axes, image: NDArray[Any], shape: tuple[int, int], **options: Any) -> AxesImage:
    """Draws pixels (n_in,) as an image without ticks; `options` are imshow's."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_linewidth(0.5)
    return axes.imshow(image.reshape(shape), interpolation="nearest", **options)
