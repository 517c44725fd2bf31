"""The components of the gradient: which weights and biases change the cost most, as predicted and as measured.

Not here: the descent along the gradient (descent.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.names import BackendName
from fastnet.network import Network

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BIAS = -1  # the input of a bias, in place of an input's position
LENGTH = 0.02  # of a nudge: so short that the curvature of the cost has little effect


@dataclass(frozen=True)
class Ranking:
    """All weights and biases in the order of their gradient components, the largest in magnitude first.

    To first order, a step of plain gradient descent lowers the cost by the learning rate times the squared norm of the
    gradient. A component's share of the squared norm is its share of this fall.

    Attributes
    ----------
    component : ndarray of float64, shape (n_parameters,)
        The gradient's components, the largest in magnitude first.
    parameter : ndarray of int64, shape (n_parameters,)
        Each component's position in network.parameters.
    layer : ndarray of int64, shape (n_parameters,)
        Each component's layer of weights, from 0.
    neuron : ndarray of int64, shape (n_parameters,)
        Each component's neuron, from 0.
    input : ndarray of int64, shape (n_parameters,)
        The input, or the neuron of the layer below, that a weight comes from; -1 for a bias.
    by_layer : ndarray of float64, shape (n_layers, 2)
        The share of the squared norm in the weights and in the biases of each layer. Shares are NaN if the whole
        gradient is zero.
    by_neuron : tuple of ndarray of float64, each of shape (n_out,)
        The share of the squared norm in the weights and the bias of each neuron, one array for each layer.
    """

    component: Floats
    parameter: Ints
    layer: Ints
    neuron: Ints
    input: Ints
    by_layer: Floats
    by_neuron: tuple[Floats, ...]

    @property
    def norm(self) -> float:
        """The Euclidean norm of the gradient."""
        return float(np.linalg.norm(self.component))

    @property
    def zero_share(self) -> float:
        """The share of components that are exactly zero, such as the weights of pixels that are always zero."""
        return float(np.mean(self.component == 0))

    @property
    def cumulative(self) -> Floats:
        """Float64 (n_parameters + 1,): entry k is the share of the squared norm in the first k components."""
        squares = np.concatenate(([0.0], np.cumsum(self.component**2)))
        return np.asarray(squares / (squares[-1] or np.nan))

    def top(self, fraction: float) -> Ints:
        """The positions in network.parameters of the top fraction of the components, at least of one component.

        Raises
        ------
        ValueError
            `fraction` is at most 0, or above 1.
        """
        return self.parameter[: self._count(fraction)]

    def share(self, fraction: float) -> float:
        """The share of the squared norm in the top fraction of the components.

        Raises
        ------
        ValueError
            `fraction` is at most 0, or above 1.
        """
        return float(self.cumulative[self._count(fraction)])

    def _count(self, fraction: float) -> int:
        if not checks.number("fraction", fraction, above=0) <= 1:
            raise ValueError(f"fraction must be at most 1, not {fraction:g}")
        return max(1, round(fraction * len(self.component)))


def ranking(network: Network, x: Any, y: Any, *, backend: BackendName | None = None) -> Ranking:
    """Rank the weights and biases by the magnitude of their components of the gradient of the mean cost.

    Components of equal magnitude keep the order of network.parameters.

    Parameters
    ----------
    network : Network
        The network.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    backend : str, optional
        The backend that computes the gradient.

    Returns
    -------
    Ranking

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> found = ranking(fastnet.Network([4, 3], seed=0), x, y)
    >>> len(found.component), len(found.top(0.2)), round(float(found.by_layer.sum()), 6)
    (15, 3, 1.0)
    """
    checks.instance("network", network, Network)
    gradient = network.gradient(x, y, backend=backend).astype(np.float64)
    squares = list(zip(*network.views(gradient**2), strict=True))
    by_layer = np.array([[weights.sum(), biases.sum()] for weights, biases in squares])
    total = by_layer.sum() or np.nan
    by_neuron = tuple((weights.sum(axis=1) + biases) / total for weights, biases in squares)
    order = np.argsort(-np.abs(gradient), kind="stable")
    layer, neuron, below = _places(network)[:, order]
    return Ranking(gradient[order], order, layer, neuron, below, by_layer / total, by_neuron)


def _places(network: Network) -> Ints:
    """Layer, neuron and input of each parameter, int64 (3, n_parameters), in the order of network.parameters."""
    blocks = []
    for layer, weights in enumerate(network.weights):
        neuron, below = np.indices(weights.shape).reshape(2, -1)
        own = np.arange(len(weights))
        blocks += [
            (np.full_like(neuron, layer), neuron, below),
            (np.full_like(own, layer), own, np.full_like(own, BIAS)),
        ]
    return np.concatenate(blocks, axis=1)


@dataclass(frozen=True)
class Nudge:
    """The effect of a nudge of some parameters on the cost.

    Attributes
    ----------
    length : float
        The Euclidean length of the nudge; 0 if the gradient of the parameters is zero.
    predicted_change : float
        The change of the cost that the gradient predicts.
    actual_change : float
        The actual change of the cost.
    """

    length: float
    predicted_change: float
    actual_change: float


def nudge(
    network: Network, x: Any, y: Any, which: Any, length: float = LENGTH, *, backend: BackendName | None = None
) -> Nudge:
    """Move some parameters against their part of the gradient, and measure the change of the cost.

    The network itself stays as it is. The arithmetic is in float64. If this part of the gradient is zero, the nudge has
    length 0 and changes nothing.

    Parameters
    ----------
    network : Network
        The network.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    which : array_like of int
        Positions in network.parameters, such as `Ranking.top` returns, each at most once.
    length : float
        The Euclidean length of the nudge.
    backend : str, optional
        The backend that computes the gradient and the costs.

    Returns
    -------
    Nudge

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> nudge(fastnet.Network([4, 3], seed=0), x, y, [0, 1, 2]).actual_change < 0
    True
    """
    checks.instance("network", network, Network)
    length = checks.number("length", length, above=0)
    which = _positions(which, network.n_parameters)
    return _Nudged(network, x, y, backend).by(which, length)


@dataclass(frozen=True)
class Verification:
    """Nudges of the top fraction of a ranking, and of the same number of random components.

    All nudges have the same length.

    Attributes
    ----------
    fraction : float
        The top fraction.
    top : Nudge
        The nudge of the top components.
    random : tuple of Nudge
        The nudges of random components, one for each draw.
    advantage : float
        The change of the cost by the top components, divided by the mean change by random components.
    """

    fraction: float
    top: Nudge
    random: tuple[Nudge, ...]
    advantage: float


def verify_ranking(
    network: Network,
    x: Any,
    y: Any,
    *,
    fraction: float = 0.01,
    length: float = LENGTH,
    draws: int = 20,
    seed: int | np.random.Generator | None = 0,
    backend: BackendName | None = None,
) -> Verification:
    """Nudge the top fraction of the components, and the same number of random components.

    All nudges have the same length. Equal lengths isolate the effect of the direction: for short nudges the advantage
    of the top components is sqrt(T / D), where T and D are the shares of the squared norm in the top and in the draw.
    With equal learning rates in place of equal lengths, the advantage would be T / D, because the top components would
    also move farther.

    Parameters
    ----------
    network : Network
        The network.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    fraction : float
        The top fraction of the components.
    length : float
        The Euclidean length of each nudge.
    draws : int
        The number of random draws.
    seed : int, Generator or None
        The seed of the draws.
    backend : str, optional
        The backend that computes the gradient and the costs.

    Returns
    -------
    Verification

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> verify_ranking(fastnet.Network([4, 3], seed=0), x, y, fraction=0.2).advantage > 1
    True
    """
    which = ranking(network, x, y, backend=backend).top(fraction)
    length = checks.number("length", length, above=0)
    draws = checks.whole_number("draws", draws, 1)
    rng = checks.generator(seed)
    nudged = _Nudged(network, x, y, backend)
    top = nudged.by(which, length)
    random = tuple(nudged.by(rng.choice(network.n_parameters, len(which), replace=False), length) for _ in range(draws))
    mean = float(np.mean([one.actual_change for one in random]))
    return Verification(fraction, top, random, top.actual_change / mean if mean else np.nan)


class _Nudged:
    """A network in float64. `by` nudges its parameters, measures the cost, and restores the parameters."""

    def __init__(self, network: Network, x: Any, y: Any, backend: BackendName | None) -> None:
        self._twin = network.astype(np.float64)
        self._x = self._twin.check_inputs(x)
        self._y = self._twin.check_targets(y, len(self._x))
        self._backend = backend
        self._gradient = self._twin.gradient(self._x, self._y, backend=backend)
        self._parameters = self._twin.parameters.copy()
        self._cost = self._twin.cost(self._x, self._y, backend=backend)

    def by(self, which: Ints, length: float) -> Nudge:
        part = self._gradient[which]
        norm = float(np.linalg.norm(part))
        if norm == 0:
            return Nudge(0.0, 0.0, 0.0)
        self._twin.parameters[which] -= length / norm * part
        change = self._twin.cost(self._x, self._y, backend=self._backend) - self._cost
        self._twin.parameters[...] = self._parameters
        return Nudge(length, -length * norm, change)


def _positions(which: Any, n_parameters: int) -> Ints:
    found = np.asarray(which)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        raise ValueError("which must be a list of at least one position, such as ranking(...).top(0.01) returns")
    if found.min() < 0 or found.max() >= n_parameters:
        raise ValueError(f"which runs from {found.min()} to {found.max()}; positions are 0 to {n_parameters - 1}")
    if len(np.unique(found)) < len(found):
        raise ValueError("which holds a position twice; expected each position at most once")
    return found.astype(np.int64)
