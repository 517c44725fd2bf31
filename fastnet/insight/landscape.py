"""The cost's surface around a network, on a plane through its parameters.

Two directions of thousands: what a plane shows depends on which. Along random directions, made as long as the neurons'
own weights, planes of different networks can be compared; along the principal directions of a descent it moves most.
Not here: the line between two networks (minima.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.network import Evaluation, Network
from fastnet.training.history import Epoch
from fastnet.training.recipe import in_parallel
from fastnet.training.trainer import Trainer

Array = NDArray[Any]


@dataclass(frozen=True)
class Landscape:
    """The cost on a plane through a network's parameters, which are at (0, 0).

    across (p,), up (q,): the coordinates, in units of the two directions. cost, accuracy float64 (q, p): of the network
    at (across[j], up[i]). directions (2, n_parameters). path (k, 2): where a descent went, as projected on the plane,
    or None; variance (2,): the share of the variance of the path's points along each direction, or None.
    """

    across: NDArray[np.float64]
    up: NDArray[np.float64]
    cost: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    directions: NDArray[np.float64]
    path: NDArray[np.float64] | None = None
    variance: NDArray[np.float64] | None = None


def landscape(
    network: Network,
    x: Any,
    y: Any,
    *,
    seed: int = 0,
    span: float = 1.0,
    points: int = 25,
    backend: str | None = None,
) -> Landscape:
    """The cost on x, y at points x points places up to `span` each way along two random directions.

    Each neuron's part of a direction is made as long as its incoming weights, so that 1 changes every neuron as much as
    it is large; biases are left alone (Li et al. 2018, "Visualizing the loss landscape of neural nets").

    Raises ValueError or TypeError for unusable data or settings.
    """
    checks.instance("network", network, Network)
    rng = checks.generator(seed)
    far = checks.number("span", span, above=0)
    directions = np.array([_random_direction(network, rng) for _ in range(2)])
    along = np.linspace(-far, far, checks.whole_number("points", points, 2))
    return _surface(network, directions, along, along, x, y, backend)


def descent_path(trainer: Trainer, x: Any, y: Any, *, epochs: int) -> NDArray[np.floating[Any]]:
    """Trains, and returns the parameters (k, n_parameters) before and after each epoch.

    Raises what Trainer.fit does.
    """
    checks.instance("trainer", trainer, Trainer)
    checks.whole_number("epochs", epochs, 1)
    kept = [trainer.network.parameters.copy()]

    def keep(trainer: Trainer, epoch: Epoch) -> None:
        kept.append(trainer.network.parameters.copy())

    trainer.fit(x, y, epochs=epochs, callbacks=[keep])
    return np.array(kept)


def descent_landscape(
    network: Network,
    path: Any,
    x: Any,
    y: Any,
    *,
    margin: float = 0.25,
    points: int = 25,
    backend: str | None = None,
) -> Landscape:
    """The cost on x, y on the plane that a descent's path (k, n_parameters) moved in most, and the path on it.

    The plane goes through the network's parameters, the path's last as a rule, along the first two principal directions
    of the path's points; it reaches beyond the path by `margin` of its length each way. The path's points lie near the
    plane, not in it, where the variance of both directions is less than 1. That it is close to 1 says little: a random
    walk in many dimensions has 0.61 and 0.15 (Antognini and Sohl-Dickstein 2018, "PCA of high dimensional random walks
    with comparison to neural network training").

    Raises ValueError for a path of fewer than three different points, or of other networks, or for unusable data.
    """
    checks.instance("network", network, Network)
    wanted = checks.number("margin", margin, minimum=0)
    count = checks.whole_number("points", points, 2)
    places = np.asarray(path, np.float64)
    if places.ndim != 2 or len(places) < 3 or places.shape[1] != network.n_parameters:
        raise ValueError(
            f"path has shape {places.shape}; expected (k, {network.n_parameters}): parameters of three times or more"
        )
    if not np.isfinite(places).all():
        raise ValueError("path holds numbers that are not finite")
    _, lengths, directions = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)
    if not lengths[1] > 1e-9 * lengths[0]:
        raise ValueError("the path does not leave one line: a plane needs a path that bends")
    directions = directions[:2]
    found = (places - network.parameters) @ directions.T
    low, high = found.min(axis=0), found.max(axis=0)
    room = wanted * (high - low)
    across, up = (np.linspace(a, b, count) for a, b in zip(low - room, high + room, strict=True))
    variance = (lengths**2 / (lengths**2).sum())[:2]
    return _surface(network, directions, across, up, x, y, backend, found, variance)


def _random_direction(network: Network, rng: np.random.Generator) -> Array:
    direction = np.zeros(network.n_parameters)
    for drawn, weights in zip(network.views(direction).weights, network.weights, strict=True):
        drawn[...] = rng.standard_normal(drawn.shape)
        drawn *= np.linalg.norm(weights, axis=1, keepdims=True) / np.linalg.norm(drawn, axis=1, keepdims=True)
    return direction


def _surface(
    network: Network,
    directions: Array,
    across: Array,
    up: Array,
    x: Any,
    y: Any,
    backend: str | None,
    path: Array | None = None,
    variance: Array | None = None,
) -> Landscape:
    def row(height: float) -> list[Evaluation]:
        moved, found = network.copy(), []
        for width in across:
            moved.parameters[...] = network.parameters + width * directions[0] + height * directions[1]
            found.append(moved.evaluate(x, y, backend=backend))
        return found

    values = np.array(in_parallel([partial(row, height) for height in up], backend))
    return Landscape(across, up, values[..., 0], values[..., 1], directions, path, variance)
