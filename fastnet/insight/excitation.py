"""What excites a neuron: the images with the largest weighted sums, and images made by gradient ascent on the sum.

The weighted sums of two images differ even if both activations round to 1. Not here: the weights (weights.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet import checks
from fastnet.insight.task import full_scale
from fastnet.names import BackendName
from fastnet.network import Network

Floats = NDArray[np.floating[Any]]

STEPS = 200
STEP = 0.05  # the mean change of a pixel in the first step
GROWTH = 1.2  # factor of the step size after a step that raised the sum


@dataclass(frozen=True, eq=False)
class ExcitingImages:
    """The k images that excite each of m neurons most, the most exciting image first.

    Attributes
    ----------
    layer : int
        The layer of weights, from 0.
    indices : ndarray of int64, shape (m, k)
        The positions of the images.
    sums : ndarray, shape (m, k)
        Each neuron's weighted sum for each of its images.
    activations : ndarray, shape (m, k)
        Each neuron's activation for each of its images.
    mean : ndarray, shape (m, n_in)
        The mean of each neuron's k images, with pixels as floats.
    """

    layer: int
    indices: NDArray[np.int64]
    sums: Floats
    activations: Floats
    mean: Floats


@dataclass(frozen=True, eq=False)
class IdealInputs:
    """Images made to excite m neurons, one image for each neuron.

    Attributes
    ----------
    layer : int
        The layer of weights, from 0.
    neurons : ndarray of int64, shape (m,)
        The neurons' positions in the layer.
    images : ndarray of float64, shape (m, n_in)
        The images, with pixels from 0 to 1.
    sums : ndarray of float64, shape (m,)
        Each neuron's weighted sum for its image.
    activations : ndarray, shape (m,)
        Each neuron's activation for its image.
    """

    layer: int
    neurons: NDArray[np.int64]
    images: Floats
    sums: Floats
    activations: Floats


def first_layers(network: Network, layer: int, *, dtype: DTypeLike | None = None) -> Network:
    """A network of the first layers. Its outputs are the weighted sums of layer `layer` (-1: the last)."""
    checks.instance("network", network, Network)
    layer = checks.position("layer", layer, len(network.weights))
    hidden = network.activations_by_layer[:layer]
    sizes = network.sizes[: layer + 2]
    found = Network(sizes, activation=hidden, output="identity", dtype=network.dtype if dtype is None else dtype)
    found.parameters[...] = network.parameters[: found.n_parameters]  # the parameters are stored layer by layer
    return found


def exciting_images(
    network: Network, images: Any, layer: int, k: int = 9, *, backend: BackendName | None = None
) -> ExcitingImages:
    """Find the k images that excite each neuron of a layer most.

    Parameters
    ----------
    network : Network
        The network.
    images : array_like, shape (n, n_in)
        The images to choose from: floats, or uint8, which the network multiplies by its byte scale.
    layer : int
        The layer of weights, from 0; -1 is the output.
    k : int
        Images for each neuron.
    backend : str, optional
        The backend that computes the sums.

    Returns
    -------
    ExcitingImages

    Raises
    ------
    ValueError
        There is no such layer, there are fewer than k images, or the images do not fit.

    Examples
    --------
    >>> images = np.random.default_rng(0).random((20, 9))
    >>> exciting_images(fastnet.Network([9, 5, 3], seed=0), images, 0, k=2).indices.shape
    (5, 2)
    """
    checks.instance("network", network, Network)
    layer = checks.position("layer", layer, len(network.weights))
    rows = checks.dense_inputs(images, network.sizes[0], network.dtype, "images")
    if checks.whole_number("k", k, 1) > len(rows):
        raise ValueError(f"k is {k}, and there are only {len(rows)} images: give a smaller k")
    sums = first_layers(network, layer).forward(rows, backend=backend)
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
    network: Network, images: Floats, neurons: Sequence[int] | NDArray[np.int64], *, backend: BackendName | None = None
) -> tuple[Floats, Floats]:
    """The outputs (m,) of neurons[i] at images[i], and their gradients (m, n_in) with respect to the pixels.

    The network must have identity outputs and the squared error, like the network that `first_layers` returns.
    `Network.gradient` computes the gradients: a layer in front has the images as its weights, and each one-hot input
    chooses one image. With a target of output + 1/2, the derivative 2 (output - target) of the error is -1.
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
    return outputs[each, neurons], -m * gradient.T  # a mean over m images, and each derivative is -1


def ideal_inputs(
    network: Network,
    layer: int,
    neurons: Sequence[int] | None = None,
    *,
    start: Any = None,
    steps: int = STEPS,
    step: float = STEP,
    backend: BackendName | None = None,
) -> IdealInputs:
    """Make images that excite neurons of a layer, by gradient ascent on the pixels.

    The ascent raises the weighted sum, not the activation: the gradient of a sigmoid can vanish (Erhan et al. 2009,
    "Visualizing higher-layer features of a deep network"). Pixels stay from 0 to 1. A step that does not raise the sum
    is undone, and the next step is half as long.

    Parameters
    ----------
    network : Network
        The network.
    layer : int
        The layer of weights, from 0; -1 is the output.
    neurons : sequence of int, optional
        The neurons' positions. By default all neurons of the layer.
    start : array_like, shape (m, n_in), optional
        The start image of each neuron. By default it is grey (0.5). At a grey image, deep sigmoid layers may have
        almost no gradient. The real image that excites the neuron most is a better start.
    steps : int
        The number of steps.
    step : float
        The mean change of a pixel in the first step.
    backend : str, optional
        The backend that computes the gradients.

    Returns
    -------
    IdealInputs

    Raises
    ------
    TypeError, ValueError
        There is no such layer or neuron, or an argument does not fit.

    Examples
    --------
    >>> network = fastnet.Network([9, 5, 3], seed=0)
    >>> made = ideal_inputs(network, -1, steps=20)
    >>> made.images.shape, float(made.images.min()) >= 0
    ((3, 9), True)
    """
    checks.instance("network", network, Network)
    layer = checks.position("layer", layer, len(network.weights))
    width = network.sizes[layer + 1]
    if neurons is not None and not isinstance(neurons, Iterable):
        raise TypeError(f"neurons must be a list of neuron numbers, such as [{neurons!r}], not {neurons!r}")
    chosen = np.array(
        [checks.position("neuron", neuron, width) for neuron in (range(width) if neurons is None else neurons)],
        np.int64,
    )
    if not len(chosen):
        raise ValueError("neurons is empty; expected at least one neuron's number")
    steps, step = checks.whole_number("steps", steps, 0), checks.number("step", step, above=0)
    cut = first_layers(network, layer, dtype=np.float64)
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


def _start(start: Any, network: Network, m: int) -> Floats:
    images = checks.dense_inputs(start, network.sizes[0], np.dtype(np.float64), "start")
    if len(images) != m:
        raise ValueError(f"start has {len(images)} images; expected one for each of the {m} neurons")
    return np.clip(images / full_scale(images), 0, 1)
