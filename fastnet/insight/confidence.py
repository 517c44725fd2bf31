"""The confidence of a network on images of noise, compared with its confidence on real images.

Not here: whether the confidence matches the accuracy (calibration.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.answers import check_classifier, top_outputs
from fastnet.insight.task import number_for_one
from fastnet.kernels.formulas import n_classes
from fastnet.names import BackendName
from fastnet.network import Network

Floats = NDArray[np.floating[Any]]

REAL = "real"
NOISE = ("uniform", "gaussian", "shuffled pixels")
SAMPLES = 8  # the result keeps this many images of each kind


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of a network to n images of one kind.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        The answers.
    top : ndarray, shape (n,)
        The output of each answer, in the network's dtype.
    shares : ndarray of float64, shape (n_classes,)
        The share of the images that get each class as their answer.
    samples : ndarray, shape (at most 8, n_in)
        The first images, with pixels as floats.
    """

    labels: NDArray[np.int64]
    top: Floats
    shares: NDArray[np.float64]
    samples: Floats

    @property
    def favourite(self) -> int:
        """The most frequent answer."""
        return int(np.argmax(self.shares))

    @property
    def median(self) -> float:
        """The median top output."""
        return float(np.median(self.top))

    def quantiles(self, at: Any = (0.05, 0.25, 0.5, 0.75, 0.95)) -> NDArray[np.float64]:
        """The quantiles of the top outputs, float64, at the given shares."""
        found: NDArray[np.float64] = np.quantile(self.top.astype(np.float64), at)
        return found


@dataclass(frozen=True, eq=False)
class NoiseConfidence:
    """The answers of a network to three kinds of noise and to real images.

    `found["uniform"]` is found.kinds["uniform"].

    Attributes
    ----------
    kinds : dict of str to Answers
        "uniform", "gaussian", "shuffled pixels" and "real", in this order.
    mean, deviation : float
        Mean and standard deviation of the real images' pixels. Before clipping, the Gaussian noise has the same values.
    low, high : float
        The smallest and the largest value that a pixel of any noise can have.
    """

    kinds: dict[str, Answers]
    mean: float
    deviation: float
    low: float
    high: float

    def __getitem__(self, kind: str) -> Answers:
        return self.kinds[checks.name_of("kind of image", kind, self.kinds)]


def confidence_on_noise(
    network: Network, images: Any, *, n: int = 10_000, seed: int = 0, backend: BackendName | None = None
) -> NoiseConfidence:
    """Run a classifier on images of noise and on real images.

    Three kinds of noise are drawn. Uniform: each pixel is uniform over the smallest range that holds 0, 1 and all
    pixels of `images`. Gaussian: each pixel is normal with the mean and standard deviation of all pixels of `images`,
    and is clipped to the same range. Shuffled pixels: each image has the pixels of one real image in a random order.

    Parameters
    ----------
    network : Network
        A classifier.
    images : array_like, shape (m, n_in)
        Real images, such as the images of a test set: floats, or uint8, which the network multiplies by its byte scale.
    n : int
        The number of noise images of each kind.
    seed : int
        The seed of the noise.
    backend : str, optional
        The backend that computes the outputs.

    Returns
    -------
    NoiseConfidence

    Raises
    ------
    ValueError
        The network is a regression network, or the images are sparse or do not fit.

    Examples
    --------
    >>> images = np.random.default_rng(0).random((20, 9))
    >>> found = confidence_on_noise(fastnet.Network([9, 3], seed=0), images, n=100)
    >>> len(found["uniform"].top), len(found["real"].top)
    (100, 20)
    """
    check_classifier(network, "confidence")
    n = checks.whole_number("n", n, 1)
    real = checks.dense_inputs(images, network.sizes[0], network.dtype, "images")
    mean, deviation, low, high = _statistics(real, number_for_one(real, network.byte_scale))
    rng = checks.generator(seed)

    def kinds() -> Iterator[tuple[str, Floats]]:
        shape, dtype = (n, network.sizes[0]), network.dtype.type
        uniform, gaussian, shuffled = NOISE
        yield uniform, dtype(low) + dtype(high - low) * rng.random(shape, dtype)
        yield gaussian, np.clip(dtype(mean) + dtype(deviation) * rng.standard_normal(shape, dtype), low, high)
        yield shuffled, rng.permuted(real[np.arange(n) % len(real)], axis=1)
        yield REAL, real

    found = {kind: _answers(network, x, backend) for kind, x in kinds()}
    return NoiseConfidence(found, mean, deviation, low, high)


def _statistics(images: Floats, one: float) -> tuple[float, float, float, float]:
    """Mean and standard deviation of the pixels, and the smallest and largest value that a pixel of noise can have.

    `one` is the number in `images` that stands for 1.
    """
    mean, deviation = float(images.mean(dtype=np.float64)) / one, float(images.std(dtype=np.float64)) / one
    low, high = float(images.min()) / one, float(images.max()) / one
    return mean, deviation, min(low, 0.0), max(high, 1.0)


def _answers(network: Network, x: Floats, backend: BackendName | None) -> Answers:
    labels, top = top_outputs(network, x, backend)
    counts = np.bincount(labels, minlength=n_classes(network.sizes[-1]))
    samples = x[:SAMPLES].astype(network.dtype)
    return Answers(labels, top, counts / len(x), samples / network.dtype.type(number_for_one(x, network.byte_scale)))
