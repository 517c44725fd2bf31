"""What excites a neuron: the images that do so most, and an image made to do so.

Not here: what its weights look like (weights.py). Neurons are told apart by their weighted sums, which still differ
where activations round to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet import checks
from fastnet.insight.task import full_scale
from fastnet.network import Network

Array = NDArray[Any]

STEPS = 200
STEP = 0.05  # the mean change of a pixel in the first of them
GROWTH = 1.2  # of the next step, after one that went up


@dataclass(frozen=True, eq=False)
class ExcitingImages:
    """The k images that excite each of m neurons most, the most exciting first.

    layer: of weights, from 0. indices: int64 (m, k), of the images. sums: (m, k), the neuron's weighted sums.
    activations: (m, k). mean: (m, n_in), the mean of the k images, as floats.
    """

    layer: int
    indices: NDArray[np.int64]
    sums: Array
    activations: Array
    mean: Array


@dataclass(frozen=True, eq=False)
class IdealInputs:
    """Images made to excite m neurons.

    layer: of weights, from 0. neurons: int64 (m,). images: (m, n_in), pixels from 0 to 1. sums: (m,), the neurons'
    weighted sums. activations: (m,).
    """

    layer: int
    neurons: NDArray[np.int64]
    images: Array
    sums: Array
    activations: Array


def up_to(network: Network, layer: int, *, dtype: DTypeLike | None = None) -> Network:
    """A copy of the first layers, whose outputs are the weighted sums of layer `layer` (-1: the last)."""
    checks.instance("network", network, Network)
    layer = checks.position("layer", layer, len(network.weights))
    hidden = network.activations_by_layer[:layer]
    sizes = network.sizes[: layer + 2]
    found = Network(sizes, activation=hidden, output="identity", dtype=network.dtype if dtype is None else dtype)
    found.parameters[...] = network.parameters[: found.n_parameters]  # layer by layer, so that the first come first
    return found


def exciting_images(
    network: Network, images: Any, layer: int, k: int = 9, *, backend: str | None = None
) -> ExcitingImages:
    """The k images (of m, n_in) that excite each neuron of a layer most. layer: of weights, from 0; -1 is the output.

    Raises ValueError for a layer that is not there, fewer than k images, and what the network does not take.
    """
    checks.instance("network", network, Network)
    layer = checks.position("layer", layer, len(network.weights))
    rows = checks.dense_inputs(images, network.sizes[0], network.dtype, "images")
    if checks.whole_number("k", k, 1) > len(rows):
        raise ValueError(f"k={k} images are asked for, and there are {len(rows)}")
    sums = up_to(network, layer).forward(rows, backend=backend)
    indices = np.argsort(-sums, axis=0, kind="stable")[:k].T
    activations = network.activations(rows, backend=backend)[layer]
    return ExcitingImages(
        layer,
        indices,
        np.take_along_axis(sums.T, indices, axis=1),
        np.take_along_axis(activations.T, indices, axis=1),
        np.stack([rows[chosen].mean(axis=0) for chosen in indices]) / full_scale(rows),
    )


def input_gradient(
    network: Network, images: Array, neurons: Sequence[int] | NDArray[np.int64], *, backend: str | None = None
) -> tuple[Array, Array]:
    """The outputs (m,) and their gradients (m, n_in) by the pixels: of output neurons[i] at images[i].

    For a network with identity outputs, such as `up_to` gives, under the squared error. The pixels are made parameters:
    weights of a layer in front, whose one-hot inputs choose an image each; the network's own gradient does the rest. A
    target half above an output makes that output's error, 2 (output - target), -1.
    """
    m = len(images)
    hidden = network.activations_by_layer[:-1]
    front = Network([m, *network.sizes], activation=["identity", *hidden], output="identity", dtype=network.dtype)
    front.weights[0][...] = images.T
    front.biases[0][...] = 0
    front.parameters[front.n_parameters - network.n_parameters :] = network.parameters
    choose, each = np.eye(m, dtype=network.dtype), np.arange(m)
    outputs = front.forward(choose, backend=backend)
    targets = outputs.copy()
    targets[each, neurons] += 0.5
    gradient = front.views(front.gradient(choose, targets, backend=backend)).weights[0]
    return outputs[each, neurons], -m * gradient.T  # the cost is a mean over the m images, and was to fall


def ideal_inputs(
    network: Network,
    layer: int,
    neurons: Sequence[int] | None = None,
    *,
    start: Any = None,
    steps: int = STEPS,
    step: float = STEP,
    backend: str | None = None,
) -> IdealInputs:
    """Images that excite neurons of a layer, found by gradient ascent on the pixels, held from 0 to 1.

    layer: of weights, from 0; -1 is the output. neurons: their numbers, by default all. start: (m, n_in), an image for
    each neuron, by default grey (0.5), from where deep sigmoids may be too flat to leave: the image that excites the
    neuron most is a better start. step: the mean change of a pixel, before the limits, in the first step. A step that
    does not go up is taken back, and the next is half as long. The weighted sum is followed, whose gradient does not
    vanish as that of a sigmoid does (Erhan et al. 2009, Visualizing higher-layer features of a deep network).

    Raises ValueError for neurons or a layer that are not there, and impossible arguments.
    """
    checks.instance("network", network, Network)
    layer = checks.position("layer", layer, len(network.weights))
    width = network.sizes[layer + 1]
    if neurons is not None and not isinstance(neurons, Iterable):
        raise TypeError(f"neurons must be a list of their numbers, such as [{neurons!r}], not {neurons!r}")
    chosen = np.array(
        [checks.position("neuron", neuron, width) for neuron in (range(width) if neurons is None else neurons)],
        np.int64,
    )
    if not len(chosen):
        raise ValueError("neurons is empty; expected at least one neuron's number")
    steps, step = checks.whole_number("steps", steps, 0), checks.number("step", step, above=0)
    cut = up_to(network, layer, dtype=np.float64)
    images = np.full((len(chosen), network.sizes[0]), 0.5) if start is None else _start(start, network, len(chosen))
    sums, gradient = input_gradient(cut, images, chosen, backend=backend)
    rate = np.full((len(chosen), 1), step)
    for _ in range(steps):
        mean = np.abs(gradient).mean(axis=1, keepdims=True)
        tried = np.clip(images + rate * gradient / np.where(mean > 0, mean, 1), 0, 1)
        tried_sums, tried_gradient = input_gradient(cut, tried, chosen, backend=backend)
        better = tried_sums > sums
        images[better], sums[better], gradient[better] = tried[better], tried_sums[better], tried_gradient[better]
        rate *= np.where(better, GROWTH, 0.5)[:, None]
    activations = network.activations(images, backend=backend)[layer][np.arange(len(chosen)), chosen]
    return IdealInputs(layer, chosen, images, sums, activations)


def _start(start: Any, network: Network, m: int) -> Array:
    images = checks.dense_inputs(start, network.sizes[0], np.dtype(np.float64), "start")
    if len(images) != m:
        raise ValueError(f"start has {len(images)} images; expected one for each of the {m} neurons")
    return np.clip(images / full_scale(images), 0, 1)
