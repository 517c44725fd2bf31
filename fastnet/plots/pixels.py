"""Pixels in pictures: the shape of images, and how one is drawn into axes.

Not here: any whole picture.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


def image_shape(n_in: int, shape: tuple[int, int] | None = None) -> tuple[int, int]:
    """Rows and columns of images of n_in pixels: those given, else of a square.

    Raises ValueError where these are not n_in pixels.
    """
    if shape is None:
        side = math.isqrt(n_in)
        if side * side != n_in:
            raise ValueError(f"{n_in} inputs are no square image: give image_shape, such as (28, 28), if they are one")
        return side, side
    rows, columns = shape
    if rows * columns != n_in:
        raise ValueError(f"image_shape {rows} x {columns} has {rows * columns} pixels, but there are {n_in} inputs")
    return rows, columns


def show(axes: Axes, image: NDArray[Any], shape: tuple[int, int], **options: Any) -> AxesImage:
    """Draws pixels (n_in,) as an image without ticks; `options` are imshow's."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_linewidth(0.5)
    return axes.imshow(image.reshape(shape), interpolation="nearest", **options)
