"""Neurons' incoming weights as pictures: whether they show edges, and which of them were never touched.

Not here: what excites neurons (excitation.py), the pictures (fastnet.plots).

Images here are weights (n, n_in), one image a row, of `image_shape` rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.kernels import contract as c
from fastnet.network import Network

Array = NDArray[Any]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WAVELENGTHS = (4.0, 8.0)  # of the edge filters, in pixels: strokes of digits are 2 to 4 pixels wide
ORIENTATIONS = 8
ASPECT = 0.5  # of their envelope: as long along the edge as a wavelength, half as wide across
MAX_PLACES = 15  # of the centres of the filters, in each direction


def _images(images: Any, image_shape: tuple[int, int] | None) -> tuple[Floats, tuple[int, int]]:
    """The images (n, n_in) in float64, and their rows and columns, a square's where none are given."""
    found = np.asarray(images, np.float64)
    if found.ndim != 2:
        raise ValueError(f"images has shape {found.shape}; expected (n, n_in), one row an image: for one, images[None]")
    return found, checks.image_shape(image_shape, found.shape[1])


def _use(pixels: Any, image_shape: tuple[int, int]) -> Bools:
    """Which pixels (n_in,) count: those given, all for None."""
    n_in = image_shape[0] * image_shape[1]
    return np.ones(n_in, np.bool_) if pixels is None else checks.vector(pixels, n_in, "pixels").astype(np.bool_)


# -- smoothness ------------------------------------------------------------------------------------------------


def neighbour_correlation(
    images: Array, image_shape: tuple[int, int] | None = None, *, pixels: Bools | None = None
) -> float:
    """The correlation of neighbouring pixels, to the right and below, over all images together; 0 for white noise.

    pixels: (n_in,), True for the pixels that count, by default all: those too that no training image ever lights and
    whose weights are as they were drawn. NaN where nothing varies.

    Raises ValueError where the shape does not fit.
    """
    flat, shape = _images(images, image_shape)
    grid, use = flat.reshape(-1, *shape), _use(pixels, shape).reshape(shape)
    across, down = use[:, :-1] & use[:, 1:], use[:-1] & use[1:]
    first = np.concatenate([grid[:, :, :-1][:, across].ravel(), grid[:, :-1][:, down].ravel()])
    second = np.concatenate([grid[:, :, 1:][:, across].ravel(), grid[:, 1:][:, down].ravel()])
    if first.size == 0 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


# -- edges -----------------------------------------------------------------------------------------------------


def gabor(image_shape: tuple[int, int], centre: tuple[Any, Any], wavelength: Any, angle: Any, phase: Any) -> Floats:
    """Gabor patches (..., n_in), what an oriented edge or bar looks like: a wave under a Gaussian (Daugman 1985).

    centre: row and column. wavelength: in pixels; the Gaussian's deviation is half of it across the edge and along it.
    angle: of the edge to the horizontal. phase: 0 for a bar, pi / 2 for an edge. Arrays broadcast.
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


def edge_share(images: Array, image_shape: tuple[int, int] | None = None, *, pixels: Bools | None = None) -> Floats:
    """How much of each image is one oriented edge: the largest share (n,) of its squared weights that any explains.

    Each of a bank of edges (8 orientations, wavelengths of 4 and 8 pixels, centres all over the image) is a pair of
    Gabor patches a quarter of a wave apart, so that it may be an edge, a bar or between (Adelson and Bergen 1985); its
    share is that of the image's projection on the two. 1 for one such edge; white noise has 2 of n_in for any one pair,
    and as its best some 20 of n_in. pixels: as in neighbour_correlation; the others count as 0.
    NaN for an image of zeros.
    """
    flat, shape = _images(images, image_shape)
    flat = flat * _use(pixels, shape)
    best = np.zeros(len(flat))
    rows, columns = (np.linspace(0, side - 1, min(side, MAX_PLACES)).round().astype(np.int64) for side in shape)
    middle = shape[0] - 1, shape[1] - 1  # of a patch twice as large, from which those at all places are cut
    for wavelength in WAVELENGTHS:
        for angle in np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS:
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
    """The squared length (n, k) of each image's projection on the plane of each pair (k, n_in)."""
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    rest = second - (first * second).sum(axis=1, keepdims=True) * first
    length = np.linalg.norm(rest, axis=1, keepdims=True)
    # In an image of few rows or columns the two may be one and the same: what rounding leaves is no direction.
    plane = length > 1e-6 * np.linalg.norm(first, axis=1, keepdims=True)
    second = np.divide(rest, length, out=np.zeros_like(rest), where=plane)
    single = images.astype(np.float32)  # half the work of float64, and far more digits than the share needs
    found: NDArray[np.float32] = (single @ first.T.astype(np.float32)) ** 2 + (
        single @ second.T.astype(np.float32)
    ) ** 2
    return found


def edges(image_shape: tuple[int, int], n: int = 48, *, seed: int = 0) -> Floats:
    """n images of one oriented edge each, like the first layer of a trained convolution (Krizhevsky et al. 2012).

    Orientation, phase, place and wavelength (3 to 9 pixels) are drawn evenly: not those of the bank of edge_share.
    """
    rng = checks.generator(seed)
    rows, columns = checks.rows_and_columns(image_shape)
    n = checks.whole_number("n", n, 1)
    centre = rng.uniform(0.2, 0.8, n) * (rows - 1), rng.uniform(0.2, 0.8, n) * (columns - 1)
    return gabor(image_shape, centre, rng.uniform(3, 9, n), rng.uniform(0, np.pi, n), rng.uniform(0, 2 * np.pi, n))


def blobs(
    image_shape: tuple[int, int], correlation: float, n: int = 48, *, strength: Array | None = None, seed: int = 0
) -> Floats:
    """n images of noise as smooth as that correlation of neighbours, without orientation: Gaussian blobs.

    Two pixels at a distance d have the covariance correlation ** (d ** 2); a correlation below 0 counts as 0. strength:
    (n_in,), the deviation of each pixel, by default 1 everywhere.
    """
    rng = checks.generator(seed)
    shape = checks.rows_and_columns(image_shape)
    n = checks.whole_number("n", n, 1)
    if checks.number("correlation", correlation) > 1:
        raise ValueError(f"a correlation is at most 1, not {correlation:g}")
    rows, columns = (_smoothing(side, correlation) for side in shape)
    found: Floats = rows @ rng.standard_normal((n, *shape)) @ columns.T
    return found.reshape(n, -1) * (1.0 if strength is None else checks.vector(strength, found[0].size, "strength"))


def _smoothing(side: int, correlation: float) -> Floats:
    """The matrix (side, side) that gives white noise the covariance correlation ** distance ** 2."""
    at = np.arange(side)
    values, vectors = np.linalg.eigh(max(correlation, 0.0) ** np.subtract.outer(at, at) ** 2)
    found: Floats = vectors * np.sqrt(np.maximum(values, 0))
    return found


@dataclass(frozen=True, eq=False)
class Structure:
    """How alike neighbours are in a set of images (n, n_in), and how much of each image (n,) is one oriented edge."""

    images: Array
    correlation: float
    edge_shares: Floats


@dataclass(frozen=True, eq=False)
class WeightStructure:
    """A layer's weights after training and before, beside what they would be if they were blobs, or edges.

    kinds: "initial", "trained", "blobs" (of `blobs`, as smooth as the trained weights and as strong at each pixel),
    "edges" (of `edges`).
    """

    kinds: dict[str, Structure]

    def __getitem__(self, kind: str) -> Structure:
        return self.kinds[checks.name_of("set of images", kind, self.kinds)]


def weight_structure(
    network: Network,
    before: Network,
    image_shape: tuple[int, int] | None = None,
    *,
    pixels: Bools | None = None,
    seed: int = 0,
) -> WeightStructure:
    """Whether the first layer's weights have come to show edges; `before` is the network before its training.

    image_shape: of the inputs, by default square. pixels: those that count, as in neighbour_correlation.

    Raises ValueError where the shape does not fit, or the two networks are not of one shape.
    """
    for name, one in (("network", network), ("before", before)):
        checks.instance(name, one, Network)
    checks.same_sizes(network.sizes, before.sizes)
    shape = checks.image_shape(image_shape, network.sizes[0])
    smooth = neighbour_correlation(network.weights[0], shape, pixels=pixels)
    sets = {
        "initial": before.weights[0],
        "trained": network.weights[0],
        "blobs": blobs(
            shape, float(np.nan_to_num(smooth)), strength=np.sqrt(np.mean(network.weights[0] ** 2, axis=0)), seed=seed
        ),
        "edges": edges(shape, seed=seed),
    }
    shares = edge_share(np.concatenate(list(sets.values())), shape, pixels=pixels)
    ends = np.cumsum([len(images) for images in sets.values()])[:-1]
    return WeightStructure(
        {
            kind: Structure(np.array(images), neighbour_correlation(images, shape, pixels=pixels), part)
            for (kind, images), part in zip(sets.items(), np.split(shares, ends), strict=True)
        }
    )


# -- pixels that say nothing -----------------------------------------------------------------------------------


def never_lit(x: Any) -> Bools:
    """Which inputs (n_in,) are zero in every example of x (n, n_in), dense or sparse."""
    rows = checks.inputs(x, int(np.prod(np.shape(x)[1:])), np.dtype(np.float64))
    if not isinstance(rows, c.SparseRows):
        return np.logical_not(rows.any(axis=0))
    used = slice(int(rows.starts[0]), int(rows.starts[-1]))
    found = np.ones(rows.n_in, np.bool_)
    found[rows.indices[used][rows.values[used] != 0]] = False
    return found


@dataclass(frozen=True, eq=False)
class UnlitWeights:
    """The first layer's weights of the inputs that are zero in every training example.

    pixels: bool (n_in,), those inputs. largest_change: of any of their weights in training, 0 unless they decay. kept:
    the mean of |weight| after the training over that before. Both NaN where every input is lit at times.
    """

    pixels: Bools
    largest_change: float
    kept: float


def unlit_weights(network: Network, before: Network, x: Any) -> UnlitWeights:
    """What training on x did to the weights of inputs that it never lit; `before` is the network before it.

    Their gradient is zero, so that they keep the bits they were drawn with; only weight decay changes them.

    Raises ValueError where the two networks are not of one shape, or x is not for them.
    """
    for name, one in (("network", network), ("before", before)):
        checks.instance(name, one, Network)
    checks.same_sizes(network.sizes, before.sizes)
    pixels = never_lit(checks.inputs(x, network.sizes[0], network.dtype))
    if not pixels.any():
        return UnlitWeights(pixels, float("nan"), float("nan"))
    after, first = (net.weights[0][:, pixels].astype(np.float64) for net in (network, before))
    return UnlitWeights(pixels, float(np.abs(after - first).max()), float(np.abs(after).mean() / np.abs(first).mean()))
