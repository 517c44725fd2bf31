"""The mean of the outputs of several networks, and weighted sums with this mean as their activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels import formulas

Doubles = NDArray[np.float64]

_INVERSES: dict[str, Callable[[Doubles], Doubles]] = {
    "identity": lambda a: a,
    "relu": lambda a: a,  # the mean is 0 or more
    "leaky_relu": lambda a: np.where(a > 0, a, a / c.LEAKY_SLOPE),
    "tanh": np.arctanh,
}


def mean(outputs: Sequence[NDArray[Any]]) -> Doubles:
    """Return the mean of arrays of one shape, computed in float64."""
    total = outputs[0].astype(np.float64)
    for one in outputs[1:]:
        total += one
    return np.divide(total, len(outputs), out=total)


def mean_sums(activation: str, sums: Sequence[NDArray[Any]]) -> Doubles:
    """Return weighted sums (n, n_out) whose activations are the mean of the activations of several weighted sums.

    Costs and classes are computed from weighted sums. Of probabilities, the logarithm of the mean is computed from the
    logarithms, so that none is rounded to 0 or 1.

    Parameters
    ----------
    activation : str
        The activation of the output layer.
    sums : sequence of array (n, n_out)
        The weighted sums of each network.

    Examples
    --------
    >>> mean_sums("identity", [np.array([[1.0]]), np.array([[2.0]])])
    array([[1.5]])
    """
    if activation in _INVERSES:
        function = formulas.ACTIVATIONS[activation].function
        with np.errstate(divide="ignore"):  # the inverse of tanh is infinite at 1
            return _INVERSES[activation](mean([function(one.astype(np.float64)) for one in sums]))
    z = np.array(sums, np.float64)
    if activation == "softmax":
        z -= z.max(2, keepdims=True)
        return _log_mean(z - np.log(np.exp(z).sum(2, keepdims=True)))
    if activation == "sigmoid":  # log(p / (1 - p)) of the mean p
        return _log_mean(-np.logaddexp(0, -z)) - _log_mean(-np.logaddexp(0, z))
    assert activation == "exponential"
    return _log_mean(z)


def _log_mean(logarithms: Doubles) -> Doubles:
    """Return the logarithm of the mean over the first axis of numbers whose logarithms are given."""
    found: Doubles = np.logaddexp.reduce(logarithms, axis=0) - np.log(len(logarithms))
    return found
