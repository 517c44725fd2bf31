"""How sure a network is: of images that show nothing, beside real ones.

Not here: whether it is right as often as it is sure (calibration.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.task import full_scale
from fastnet.network import Network

Array = NDArray[Any]

REAL = "real"
NOISE = ("uniform", "gaussian", "shuffled pixels")
ANSWERS = "answers to be sure of"  # what a regression network lacks
SAMPLES = 8  # images of each kind that are kept to be looked at


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network answers to n images of one kind.

    labels: int64 (n,), the answers. top: (n,), the output of each answer, the largest. shares: (n_classes,), how often
    each class is the answer. samples: (at most 8, n_in), the first of the images, with pixels as floats.
    """

    labels: NDArray[np.int64]
    top: Array
    shares: NDArray[np.float64]
    samples: Array

    @property
    def favourite(self) -> int:
        """The most frequent answer."""
        return int(np.argmax(self.shares))

    @property
    def median(self) -> float:
        """The median top output."""
        return float(np.median(self.top))

    def quantiles(self, at: Any = (0.05, 0.25, 0.5, 0.75, 0.95)) -> NDArray[np.float64]:
        """Quantiles of the top outputs."""
        found: NDArray[np.float64] = np.quantile(self.top.astype(np.float64), at)
        return found


@dataclass(frozen=True, eq=False)
class NoiseConfidence:
    """What a network answers to noise, and to the real images.

    kinds: "uniform", "gaussian", "shuffled pixels" and "real", in this order. mean, deviation: of the real images'
    pixels, and so of the Gaussian noise before it is clipped to low..high. low, high: the range of all noise.
    """

    kinds: dict[str, Answers]
    mean: float
    deviation: float
    low: float
    high: float

    def __getitem__(self, kind: str) -> Answers:
        return self.kinds[checks.name_of("kind of image", kind, self.kinds)]


def confidence_on_noise(
    network: Network, images: Any, *, n: int = 10_000, seed: int = 0, backend: str | None = None
) -> NoiseConfidence:
    """What a classifier answers to n images of each kind of noise, and how sure it is, beside the real `images`.

    images: (m, n_in), floats or uint8 (which stands for value / 255), such as those of a test set. Uniform: each pixel
    by itself from 0 to 1, or over the range of images that leave 0..1. Gaussian: each pixel normal with the mean and
    standard deviation of all pixels of `images`, clipped to that range. Shuffled pixels: the pixels of one of the
    images each (in turn), in an order of its own.

    Raises ValueError for a regression network, for sparse images, and for what the network does not take.
    """
    checks.instance("network", network, Network)
    checks.classifier(network.is_classifier, network.activations_by_layer[-1], ANSWERS)
    n = checks.whole_number("n", n, 1)
    real = checks.dense_inputs(images, network.sizes[0], network.dtype, "images")
    mean, deviation, low, high = _statistics(real)
    rng = checks.generator(seed)

    def kinds() -> Iterator[tuple[str, Array]]:
        shape, dtype = (n, network.sizes[0]), network.dtype.type
        uniform, gaussian, shuffled = NOISE
        yield uniform, dtype(low) + dtype(high - low) * rng.random(shape, dtype)
        yield gaussian, np.clip(dtype(mean) + dtype(deviation) * rng.standard_normal(shape, dtype), low, high)
        yield shuffled, rng.permuted(real[np.arange(n) % len(real)], axis=1)
        yield REAL, real

    found = {kind: _answers(network, x, backend) for kind, x in kinds()}
    return NoiseConfidence(found, mean, deviation, low, high)


def _statistics(images: Array) -> tuple[float, float, float, float]:
    """Mean and standard deviation of the pixels, and the range that noise is drawn from."""
    scale = full_scale(images)
    mean, deviation = float(images.mean(dtype=np.float64)) / scale, float(images.std(dtype=np.float64)) / scale
    low, high = float(images.min()) / scale, float(images.max()) / scale
    return mean, deviation, min(low, 0.0), max(high, 1.0)


def top_outputs(network: Network, x: Any, backend: str | None) -> tuple[NDArray[np.int64], Array]:
    """A classifier's answers (n,), and the output (n,) of each: the largest.

    With a single output that of the answer: a for class 1, 1 - a for class 0.
    """
    labels, outputs = network.predict(x, backend=backend), network.forward(x, backend=backend)
    if outputs.shape[1] == 1:
        return labels, np.where(labels == 1, outputs[:, 0], 1 - outputs[:, 0])
    return labels, outputs.max(axis=1)


def _answers(network: Network, x: Array, backend: str | None) -> Answers:
    labels, top = top_outputs(network, x, backend)
    counts = np.bincount(labels, minlength=max(2, network.sizes[-1]))
    samples = x[:SAMPLES].astype(network.dtype)
    return Answers(labels, top, counts / len(x), samples / full_scale(x))
