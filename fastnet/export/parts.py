"""Parts: what a network is made of, read from a model of another library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.architecture import Floats
from fastnet.text import layers


class Layer(NamedTuple):
    """The parameters of one layer."""

    name: str  # for errors, such as "module 2 (Linear)"
    weights: NDArray[Any]  # (n_out, n_in)
    biases: NDArray[Any]  # (n_out,)


class Parts(NamedTuple):
    """The arguments of `Network._made`."""

    sizes: tuple[int, ...]  # the layers' widths, inputs first
    parameters: Floats  # (n_parameters,), a copy
    settings: dict[str, Any]  # keyword arguments of Network


def joined(found: Sequence[Layer], settings: dict[str, Any]) -> Parts:
    """Return the parts of a network with these layers.

    Raises ValueError if the shapes of the layers do not fit together, or their dtypes are not all float32 or all
    float64.
    """
    dtype = checks.real_dtype(found[0].weights.dtype)
    n_in = found[0].weights.shape[-1]
    sizes = [n_in]
    for layer in found:
        n_out = len(layer.biases)
        if layer.weights.shape != (n_out, n_in):
            raise ValueError(
                f"{layer.name} has weights {layer.weights.shape} and biases {layer.biases.shape}, and the layers "
                f"before it are {layers(sizes)}: the weights must have the shape (outputs, {n_in})"
            )
        if odd := {layer.weights.dtype, layer.biases.dtype} - {dtype}:
            raise ValueError(
                f"{layer.name} holds {odd.pop()}, and the first layer {dtype}: convert all parameters to one dtype"
            )
        sizes.append(n_out)
        n_in = n_out
    vectors = [vector for layer in found for vector in (layer.weights.ravel(), layer.biases)]
    return Parts(checks.layer_sizes(sizes), np.concatenate(vectors), settings)
