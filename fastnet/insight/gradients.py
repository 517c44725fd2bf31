"""The gradient's components: which weights and biases the cost would notice most, and whether it really does.

Not here: the descent along the gradient (descent.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.network import Network

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BIAS = -1  # in place of an input's number
LENGTH = 0.02  # of a nudge: short enough that the gradient, not the curvature, decides what it brings


@dataclass(frozen=True)
class Ranking:
    """All weights and biases, those first for which the cost changes most when they are nudged: arrays (n_parameters,).

    component: the gradient's, float64, the largest in magnitude first. parameter: its number in network.parameters.
    layer, neuron: where it is, from 0, layer 0 being that above the inputs. input: the pixel or neuron below that a
    weight comes from; -1 for a bias. by_layer: the share of the squared norm in each layer's weights and in its biases
    (n_layers, 2); by_neuron: that of each neuron's weights and bias together, an array (n_out,) a layer. Shares are NaN
    where the whole gradient is zero.

    The squared norm is what the cost falls by, at first, for a step of plain gradient descent, divided by the rate.
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
        """The gradient's Euclidean norm."""
        return float(np.linalg.norm(self.component))

    @property
    def zero_share(self) -> float:
        """The share of components that are exactly zero, as those of weights from pixels that are never lit."""
        return float(np.mean(self.component == 0))

    @property
    def cumulative(self) -> Floats:
        """The share of the squared norm held by the first k components, k from 0 (n_parameters + 1,)."""
        squares = np.concatenate(([0.0], np.cumsum(self.component**2)))
        return np.asarray(squares / (squares[-1] or np.nan))

    def top(self, fraction: float) -> Ints:
        """The numbers in network.parameters of that fraction of them, the first of the ranking, rounded, at least one.

        Raises ValueError unless 0 < fraction <= 1.
        """
        return self.parameter[: self._count(fraction)]

    def share(self, fraction: float) -> float:
        """The share of the squared norm that the top fraction of the components holds. Raises as `top` does."""
        return float(self.cumulative[self._count(fraction)])

    def _count(self, fraction: float) -> int:
        if not checks.number("fraction", fraction, above=0) <= 1:
            raise ValueError(f"fraction must be at most 1, not {fraction:g}")
        return max(1, round(fraction * len(self.component)))


def ranking(network: Network, x: Any, y: Any, *, backend: str | None = None) -> Ranking:
    """Orders the network's weights and biases by how much the mean cost over x, y changes for a nudge of each.

    x (n, n_in) and y as for Network.gradient. Equal components keep the order of network.parameters. Raises as it does.
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
    """Layer, neuron and input of each parameter (3, n_parameters), in their order."""
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
    """What a nudge of some parameters does to the cost: the change the gradient predicts, and the actual one."""

    length: float
    predicted_change: float
    actual_change: float


def nudge(network: Network, x: Any, y: Any, which: Any, length: float = LENGTH, *, backend: str | None = None) -> Nudge:
    """What the cost over x, y would change by, were the parameters `which` moved against their part of the gradient.

    which: numbers in network.parameters, such as `Ranking.top` gives, each once. length: Euclidean, of the move. The
    network itself stays as it is; the arithmetic is in float64. Where their part of the gradient is zero there is no
    direction to go, and nothing changes.

    Raises ValueError or TypeError for unusable arguments.
    """
    checks.instance("network", network, Network)
    length = checks.number("length", length, above=0)
    which = _numbers(which, network.n_parameters)
    return _Nudged(network, x, y, backend).by(which, length)


@dataclass(frozen=True)
class Verification:
    """Nudges of the top fraction of a ranking's components, and of as many at random, by the same length.

    random: one entry a draw. advantage: how many times more the cost falls by the top ones than by random ones in the
    mean.
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
    backend: str | None = None,
) -> Verification:
    """Nudges the top fraction of the components against their gradient, and as many drawn at random.

    All nudges are of one length: the parameters move equally far, and the advantage is in the direction alone,
    sqrt(share of the top / share of the draw) for a short way. At one rate it would be the square of that, for the
    top ones would also move farther.

    Raises ValueError or TypeError for unusable arguments.
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
    """A network in float64 whose parameters are moved and put back."""

    def __init__(self, network: Network, x: Any, y: Any, backend: str | None) -> None:
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


def _numbers(which: Any, n_parameters: int) -> Ints:
    found = np.asarray(which)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        raise ValueError("which must be a list of numbers of parameters, at least one, such as ranking(...).top(0.01)")
    if found.min() < 0 or found.max() >= n_parameters:
        raise ValueError(f"which runs from {found.min()} to {found.max()}; the parameters are 0 to {n_parameters - 1}")
    if len(np.unique(found)) < len(found):
        raise ValueError("which names a parameter twice")
    return found.astype(np.int64)
