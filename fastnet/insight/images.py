"""Measures how smooth images of weights are and whether they show edges. Draws edges and blobs for comparison.

Not here: the weights of a network (weights.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet import checks

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WAVELENGTHS = (4.0, 8.0)  # of the edge filters, in pixels: a digit's stroke of 2 to 4 pixels is half a wave
N_ORIENTATIONS = 8
MAX_CENTRES = 15  # the largest number of filter centres in each direction


def as_images(images: Any, image_shape: tuple[int, int] | None) -> tuple[Floats, tuple[int, int]]:
    """Return the images (n, n_in) in float64, and their rows and columns. By default images are square."""
    found = np.asarray(images, np.float64)
    if found.ndim != 2:
        raise ValueError(f"images has shape {found.shape}; expected (n, n_in): give one image as images[None]")
    return found, checks.image_shape(image_shape, found.shape[1])


def _pixel_mask(pixels: Any, image_shape: tuple[int, int]) -> Bools:
    """The mask (n_in,) of the pixels that count. None means all pixels."""
    n_in = image_shape[0] * image_shape[1]
    return np.ones(n_in, np.bool_) if pixels is None else checks.vector(pixels, n_in, "pixels").astype(np.bool_)


def neighbour_correlation(
    images: ArrayLike, image_shape: tuple[int, int] | None = None, *, pixels: Bools | None = None
) -> float:
    """Return the correlation of each pixel with its neighbours to the right and below, over all images together.

    The correlation is 0 for white noise and near 1 for smooth images.

    Parameters
    ----------
    images : array_like, shape (n, n_in)
        One image in each row, such as the weights of a first layer.
    image_shape : tuple of int, optional
        Rows and columns of an image. By default images are square.
    pixels : ndarray of bool, shape (n_in,), optional
        The pixels that count. By default all pixels count. A pixel that is zero in every training image counts too,
        although its weights have no gradient.

    Returns
    -------
    float
        The correlation; NaN where the pixels do not vary.

    Raises
    ------
    ValueError
        The shape does not fit.

    Examples
    --------
    >>> smooth = np.add.outer(np.arange(8), np.arange(8)).reshape(1, 64)
    >>> neighbour_correlation(smooth) > 0.9
    True
    """
    flat, shape = as_images(images, image_shape)
    grid, use = flat.reshape(-1, *shape), _pixel_mask(pixels, shape).reshape(shape)
    across, down = use[:, :-1] & use[:, 1:], use[:-1] & use[1:]
    first = np.concatenate([grid[:, :, :-1][:, across].ravel(), grid[:, :-1][:, down].ravel()])
    second = np.concatenate([grid[:, :, 1:][:, across].ravel(), grid[:, 1:][:, down].ravel()])
    if first.size == 0 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def gabor(image_shape: tuple[int, int], centre: tuple[Any, Any], wavelength: Any, angle: Any, phase: Any) -> Floats:
    """Gabor patches (..., n_in), the shape of an oriented edge or bar: a wave under a Gaussian (Daugman 1985).

    centre: row and column. wavelength: in pixels; the Gaussian's standard deviation is half a wavelength in every
    direction. angle: from the horizontal to the edge. phase: 0 for a bar, pi / 2 for an edge. Arrays broadcast.
    """
    rows, columns = np.indices(image_shape).reshape(2, -1)
    row, column, wavelength, angle, phase = (
        np.asarray(value, np.float64)[..., None] for value in (*centre, wavelength, angle, phase)
    )
    down, right = rows - row, columns - column
    across = down * np.cos(angle) - right * np.sin(angle)
    envelope = np.exp(-2 * (down**2 + right**2) / wavelength**2)
    found: Floats = envelope * np.cos(2 * np.pi * across / wavelength + phase)
    return found


def edge_share(images: ArrayLike, image_shape: tuple[int, int] | None = None, *, pixels: Bools | None = None) -> Floats:
    """Measure the share of each image that one oriented edge explains.

    This is the largest share of the image's squared weights that one filter of a bank explains. The bank has 8
    orientations, wavelengths of 4 and 8 pixels, and centres all over the image. Each filter is a pair of Gabor patches
    a quarter of a wave apart, so that it finds edges, bars and all forms between them (Adelson and Bergen 1985,
    "Spatiotemporal energy models for the perception of motion"). A pair explains the projection of the image on the
    plane of its two patches. An image that is a filter of the bank has the share 1. White noise has a share of about
    2 / n_in for any one pair, and of about 20 / n_in for the best pair.

    Parameters
    ----------
    images : array_like, shape (n, n_in)
        One image in each row.
    image_shape : tuple of int, optional
        Rows and columns of an image. By default images are square.
    pixels : ndarray of bool, shape (n_in,), optional
        The pixels that count, by default all. Other pixels are set to 0.

    Returns
    -------
    ndarray of float64, shape (n,)
        The share of each image; NaN for an image of zeros.

    Raises
    ------
    ValueError
        The shape does not fit.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((48, 196))
    >>> bool(edge_share(edges((14, 14))).mean() > 2 * edge_share(noise).mean())
    True
    """
    flat, shape = as_images(images, image_shape)
    flat = flat * _pixel_mask(pixels, shape)
    best = np.zeros(len(flat))
    rows, columns = (np.linspace(0, side - 1, min(side, MAX_CENTRES)).round().astype(np.int64) for side in shape)
    # A patch of twice the size is drawn with this centre. The patches at all centres are cut from the large patch.
    middle = shape[0] - 1, shape[1] - 1
    for wavelength in WAVELENGTHS:
        for angle in np.arange(N_ORIENTATIONS) * np.pi / N_ORIENTATIONS:
            pair = []
            for phase in (0, np.pi / 2):
                patch = gabor((2 * shape[0] - 1, 2 * shape[1] - 1), middle, wavelength, angle, phase)
                cuts = np.lib.stride_tricks.sliding_window_view(patch.reshape(2 * shape[0] - 1, -1), shape)
                pair.append(cuts[np.ix_(rows, columns)].reshape(-1, flat.shape[1]))
            best = np.maximum(best, _projected(flat, *pair).max(axis=1))
    with np.errstate(invalid="ignore"):
        found: Floats = best / (flat**2).sum(axis=1)
    return found


def _projected(images: Floats, first: Floats, second: Floats) -> NDArray[np.float32]:
    """The squared length (n, k) of the projection of each image on the plane of each pair (k, n_in)."""
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    rest = second - (first * second).sum(axis=1, keepdims=True) * first
    length = np.linalg.norm(rest, axis=1, keepdims=True)
    # In an image of few rows or columns the two patches may be equal. Then the remainder is rounding, not a direction.
    plane = length > 1e-6 * np.linalg.norm(first, axis=1, keepdims=True)
    second = np.divide(rest, length, out=np.zeros_like(rest), where=plane)
    single = images.astype(np.float32)  # half the work of float64; the share needs few digits
    found: NDArray[np.float32] = (single @ first.T.astype(np.float32)) ** 2 + (
        single @ second.T.astype(np.float32)
    ) ** 2
    return found


def edges(image_shape: tuple[int, int], n: int = 48, *, seed: int = 0) -> Floats:
    """Draw images that each show one oriented edge, like the first layer of a convolution (Krizhevsky et al. 2012).

    Orientation, phase, centre and wavelength (3 to 9 pixels) are drawn uniformly. They need not be in the bank of
    `edge_share`.

    Parameters
    ----------
    image_shape : tuple of int
        Rows and columns of an image.
    n : int
        The number of images.
    seed : int
        The seed of the draws.

    Returns
    -------
    ndarray of float64, shape (n, n_in)

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.

    Examples
    --------
    >>> edges((8, 8), 5).shape
    (5, 64)
    """
    rng = checks.generator(seed)
    rows, columns = checks.rows_and_columns(image_shape)
    n = checks.whole_number("n", n, 1)
    centre = rng.uniform(0.2, 0.8, n) * (rows - 1), rng.uniform(0.2, 0.8, n) * (columns - 1)
    return gabor(image_shape, centre, rng.uniform(3, 9, n), rng.uniform(0, np.pi, n), rng.uniform(0, 2 * np.pi, n))


def blobs(
    image_shape: tuple[int, int], correlation: float, n: int = 48, *, strength: Floats | None = None, seed: int = 0
) -> Floats:
    """Draw images of smooth noise without orientation: Gaussian blobs.

    Two pixels at a distance d have the covariance correlation ** (d ** 2).

    Parameters
    ----------
    image_shape : tuple of int
        Rows and columns of an image.
    correlation : float
        The correlation of neighbouring pixels, at most 1. A correlation below 0 counts as 0.
    n : int
        The number of images.
    strength : ndarray, shape (n_in,), optional
        The standard deviation of each pixel. By default 1.
    seed : int
        The seed of the draws.

    Returns
    -------
    ndarray of float64, shape (n, n_in)

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.

    Examples
    --------
    >>> 0.7 < neighbour_correlation(blobs((8, 8), 0.8, 500)) < 0.9
    True
    """
    rng = checks.generator(seed)
    shape = checks.rows_and_columns(image_shape)
    n = checks.whole_number("n", n, 1)
    if checks.number("correlation", correlation) > 1:
        raise ValueError(f"correlation must be at most 1, not {correlation:g}")
    rows, columns = (_smoothing(side, correlation) for side in shape)
    found: Floats = rows @ rng.standard_normal((n, *shape)) @ columns.T
    return found.reshape(n, -1) * (1.0 if strength is None else checks.vector(strength, found[0].size, "strength"))


def _smoothing(side: int, correlation: float) -> Floats:
    """The matrix (side, side) that gives white noise the covariance correlation ** distance ** 2."""
    at = np.arange(side)
    values, vectors = np.linalg.eigh(max(correlation, 0.0) ** np.subtract.outer(at, at) ** 2)
    found: Floats = vectors * np.sqrt(np.maximum(values, 0))
    return found
