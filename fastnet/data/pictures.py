"""Reads pictures as pixels with Pillow. Pillow is imported only when a picture is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastnet.data.files import PathLike, reading
from fastnet.errors import DataError
from fastnet.text import shown

if TYPE_CHECKING:
    from PIL import Image

_MAX_PIXELS = 1 << 24
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # no EPS: Pillow would run a program to read it


def read_picture(path: PathLike, image_shape: tuple[int, int], *, invert: bool = False) -> NDArray[np.uint8]:
    """Read an 8-bit picture as greyscale pixels for a network trained on images of `image_shape`.

    Digits must be white on black, as in MNIST. A picture of another size is resized smoothly if it has the proportions
    of `image_shape`. Transparent pixels get the background colour.

    Parameters
    ----------
    path : path
        A PNG, JPEG, GIF (its first frame), BMP, TIFF, WebP or PGM/PPM file.
    image_shape : (int, int)
        Rows and columns of the result.
    invert : bool
        Whether the picture is dark on light, such as ink on paper.

    Returns
    -------
    uint8 array of shape (rows * columns,)
        The pixels, row by row.

    Raises
    ------
    DataError
        The file cannot be read, is not a picture of these formats, has other proportions, or Pillow is missing.
    """
    rows, columns = image_shape
    with open_picture(path, invert) as picture:
        width, height = picture.size
        if width * rows != height * columns:
            raise DataError(
                f"{shown(path)} has {height} rows and {width} columns of pixels, but the network expects "
                f"{rows} x {columns}: crop or pad the picture to these proportions"
            )
        if (height, width) != image_shape:
            picture = picture.resize((columns, rows), resample=2)  # 2: bilinear; it averages pixels to shrink a picture
        pixels = np.array(picture, np.uint8).reshape(-1)
    return np.invert(pixels, out=pixels) if invert else pixels


@contextmanager
def open_picture(path: PathLike, invert: bool) -> Iterator[Image.Image]:
    """Open a picture, check its size, and yield it in greyscale. Transparent pixels get the background colour."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        message = f'{shown(path)} is a picture, which only Pillow can read: python -m pip install "fastnet-mlp[cli]"'
        raise DataError(message) from error
    with reading(path) as (file, _), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about large pictures, checked below, and about odd metadata
        with Image.open(file, formats=_FORMATS) as opened:
            width, height = opened.size
            if width * height > _MAX_PIXELS:
                raise DataError(
                    f"{shown(path)} has {width} x {height} pixels; expected at most {_MAX_PIXELS:,}: make it smaller"
                )
            if opened.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"):
                raise DataError(f"{shown(path)} has pixels of type {opened.mode}: save it as an 8-bit picture")
            picture: Image.Image = ImageOps.exif_transpose(opened)
            if "A" in picture.getbands() or "transparency" in picture.info:
                background = Image.new("RGBA", picture.size, "white" if invert else "black")
                picture = Image.alpha_composite(background, picture.convert("RGBA"))
            yield picture.convert("L")
