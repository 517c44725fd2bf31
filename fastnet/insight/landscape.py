"""The surface of the cost around a network, on a plane through its parameters.

Not here: the line between two networks (minima.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.evaluation import Evaluation
from fastnet.names import BackendName
from fastnet.network import Network
from fastnet.training.history import Epoch
from fastnet.training.pool import in_parallel
from fastnet.training.trainer import Trainer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Landscape:
    """The cost on a plane through a network's parameters. The network is at (0, 0).

    A plane shows only two of thousands of directions. Another plane can look different.

    Attributes
    ----------
    across : ndarray of float64, shape (p,)
        The coordinates along the first direction, in units of its length.
    up : ndarray of float64, shape (q,)
        The coordinates along the second direction.
    cost : ndarray of float64, shape (q, p)
        The cost of the network at (across[j], up[i]).
    accuracy : ndarray of float64, shape (q, p)
        The accuracy of the network at (across[j], up[i]).
    directions : ndarray of float64, shape (2, n_parameters)
        The two directions.
    path : ndarray of float64, shape (k, 2), or None
        The path of a descent, projected on the plane.
    variance : ndarray of float64, shape (2,), or None
        The share of the variance of the path's points along each direction.
    """

    across: Floats
    up: Floats
    cost: Floats
    accuracy: Floats
    directions: Floats
    path: Floats | None = None
    variance: Floats | None = None


def landscape(
    network: Network,
    x: Any,
    y: Any,
    *,
    seed: int = 0,
    span: float = 1.0,
    points: int = 25,
    backend: BackendName | None = None,
) -> Landscape:
    """Map the cost along two random directions.

    Each neuron's part of a direction is as long as the vector of the neuron's incoming weights. A coordinate of 1
    therefore changes each neuron in proportion to its weights, and maps of different networks can be compared. Biases
    do not change (Li et al. 2018, "Visualizing the loss landscape of neural nets").

    Parameters
    ----------
    network : Network
        The network in the middle of the map.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    seed : int
        The seed of the directions.
    span : float
        The map reaches from -span to span along each direction.
    points : int
        The number of points along each direction.
    backend : str, optional
        The backend that computes the costs.

    Returns
    -------
    Landscape

    Raises
    ------
    TypeError, ValueError
        The data or a setting do not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> landscape(fastnet.Network([4, 3], seed=0), x, y, points=5).cost.shape
    (5, 5)
    """
    checks.instance("network", network, Network)
    rng = checks.generator(seed)
    far = checks.number("span", span, above=0)
    directions = np.array([_random_direction(network, rng) for _ in range(2)])
    along = np.linspace(-far, far, checks.whole_number("points", points, 2))
    return _surface(network, directions, along, along, x, y, backend)


def descent_path(trainer: Trainer, x: Any, y: Any, *, epochs: int) -> NDArray[np.floating[Any]]:
    """Train, and return the parameters before and after each epoch.

    Parameters
    ----------
    trainer : Trainer
        The trainer. It trains its network.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    epochs : int
        Passes over the examples.

    Returns
    -------
    ndarray, shape (epochs + 1, n_parameters)
        The parameters, in the network's dtype. There are fewer rows if a callback stopped the trainer.

    Raises
    ------
    TypeError, ValueError, DivergedError
        As for Trainer.fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> descent_path(fastnet.Trainer(fastnet.Network([4, 3], seed=0)), x, y, epochs=3).shape
    (4, 15)
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
    backend: BackendName | None = None,
) -> Landscape:
    """Map the cost on the plane in which a descent moved most, and project the path of the descent on the plane.

    The plane goes through the network's parameters along the first two principal directions of the path's points. If
    the two shares of the variance sum to less than 1, the points do not lie in the plane. A sum close to 1 says little:
    a random walk in many dimensions has the shares 0.61 and 0.15 (Antognini and Sohl-Dickstein 2018, "PCA of high
    dimensional random walks with comparison to neural network training").

    Parameters
    ----------
    network : Network
        The network, usually at the end of the path.
    path : array_like, shape (k, n_parameters)
        The parameters along the path, such as `descent_path` returns.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    margin : float
        The map reaches beyond the path by this fraction of the path's extent, each way.
    points : int
        The number of points along each direction.
    backend : str, optional
        The backend that computes the costs.

    Returns
    -------
    Landscape

    Raises
    ------
    TypeError, ValueError
        The path has fewer than three different points or is for other networks, or another argument does not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> trainer = fastnet.Trainer(fastnet.Network([4, 3], seed=0), batch_size=10)
    >>> path = descent_path(trainer, x, y, epochs=4)
    >>> descent_landscape(trainer.network, path, x, y, points=5).path.shape
    (5, 2)
    """
    checks.instance("network", network, Network)
    wanted = checks.number("margin", margin, minimum=0)
    count = checks.whole_number("points", points, 2)
    places = np.asarray(path, np.float64)
    if places.ndim != 2 or len(places) < 3 or places.shape[1] != network.n_parameters:
        raise ValueError(f"path has shape {places.shape}; expected (k, {network.n_parameters}) with k of at least 3")
    if not np.isfinite(places).all():
        raise ValueError("path holds values that are not finite; expected a training that did not diverge")
    _, lengths, directions = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)
    if not lengths[1] > 1e-9 * lengths[0]:
        raise ValueError("path lies on a line; expected three points that are not on one line, which span a plane")
    directions = directions[:2]
    found = (places - network.parameters) @ directions.T
    low, high = found.min(axis=0), found.max(axis=0)
    room = wanted * (high - low)
    across, up = (np.linspace(a, b, count) for a, b in zip(low - room, high + room, strict=True))
    variance = (lengths**2 / (lengths**2).sum())[:2]
    return _surface(network, directions, across, up, x, y, backend, found, variance)


def _random_direction(network: Network, rng: np.random.Generator) -> Floats:
    """A random direction (n_parameters,). Each neuron's part is as long as the neuron's weights; biases are 0."""
    direction = np.zeros(network.n_parameters)
    for drawn, weights in zip(network.views(direction).weights, network.weights, strict=True):
        drawn[...] = rng.standard_normal(drawn.shape)
        drawn *= np.linalg.norm(weights, axis=1, keepdims=True) / np.linalg.norm(drawn, axis=1, keepdims=True)
    return direction


def _surface(
    network: Network,
    directions: Floats,
    across: Floats,
    up: Floats,
    x: Any,
    y: Any,
    backend: BackendName | None,
    path: Floats | None = None,
    variance: Floats | None = None,
) -> Landscape:
    """Cost and accuracy at the points of the plane, row by row in parallel."""

    def row(height: float) -> list[Evaluation]:
        moved, found = network.copy(), []
        for width in across:
            moved.parameters[...] = network.parameters + width * directions[0] + height * directions[1]
            found.append(moved.evaluate(x, y, backend=backend))
        return found

    values = np.array(in_parallel([partial(row, height) for height in up], backend))
    return Landscape(across, up, values[..., 0], values[..., 1], directions, path, variance)
