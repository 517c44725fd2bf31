"""The weights of a network's first layer: whether they show edges, and which weights training does not change.

Not here: what excites neurons (excitation.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.images import blobs, edge_share, edges, neighbour_correlation
from fastnet.kernels import contract as c
from fastnet.network import Network

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def _check_pair(network: Network, before: Network) -> None:
    for name, one in (("network", network), ("before", before)):
        checks.instance(name, one, Network)
    checks.same_sizes(network.sizes, before.sizes)


@dataclass(frozen=True, eq=False)
class Structure:
    """The smoothness and the edges of a set of images.

    Attributes
    ----------
    images : ndarray, shape (n, n_in)
        The images.
    correlation : float
        The correlation of neighbouring pixels.
    edge_shares : ndarray of float64, shape (n,)
        The share of each image that one oriented edge explains.
    """

    images: NDArray[np.floating[Any]]
    correlation: float
    edge_shares: Floats


@dataclass(frozen=True, eq=False)
class WeightStructure:
    """The structure of the first layer's weights before and after training, and of blobs and edges for comparison.

    `found["trained"]` is found.kinds["trained"].

    Attributes
    ----------
    kinds : dict of str to Structure
        "initial", "trained", "blobs" and "edges". Blobs are smooth noise. They are drawn with the
        same correlation of neighbours, and the same root mean square at each pixel, as the trained weights.
    """

    kinds: dict[str, Structure]

    def __getitem__(self, kind: str) -> Structure:
        return self.kinds[checks.name_of("set of images", kind, self.kinds)]


def weight_structure(
    network: Network,
    before: Network,
    image_shape: tuple[int, int] | None = None,
    *,
    pixels: Bools | None = None,
    seed: int = 0,
) -> WeightStructure:
    """Compare the first layer's weights with blobs and with edges.

    Parameters
    ----------
    network : Network
        The network after its training.
    before : Network
        The network before its training.
    image_shape : tuple of int, optional
        Rows and columns of the inputs. By default inputs are square images.
    pixels : ndarray of bool, shape (n_in,), optional
        The pixels that count, by default all.
    seed : int
        The seed of the blobs and edges.

    Returns
    -------
    WeightStructure

    Raises
    ------
    TypeError, ValueError
        The shape does not fit, or the two networks differ in their sizes.

    Examples
    --------
    >>> network, before = (fastnet.Network([64, 5, 3], seed=seed) for seed in (0, 1))
    >>> list(weight_structure(network, before).kinds)
    ['initial', 'trained', 'blobs', 'edges']
    """
    _check_pair(network, before)
    shape = checks.image_shape(image_shape, network.sizes[0])
    smooth = neighbour_correlation(network.weights[0], shape, pixels=pixels)
    sets = {
        "initial": before.weights[0],
        "trained": network.weights[0],
        "blobs": blobs(
            shape, float(np.nan_to_num(smooth)), strength=np.sqrt(np.mean(network.weights[0] ** 2, axis=0)), seed=seed
        ),
        "edges": edges(shape, seed=seed),
    }
    shares = edge_share(np.concatenate(list(sets.values())), shape, pixels=pixels)
    ends = np.cumsum([len(images) for images in sets.values()])[:-1]
    return WeightStructure(
        {
            kind: Structure(np.array(images), neighbour_correlation(images, shape, pixels=pixels), part)
            for (kind, images), part in zip(sets.items(), np.split(shares, ends), strict=True)
        }
    )


# -- inputs that are always zero -----------------------------------------------------------------------------------


def never_lit(x: Any) -> Bools:
    """Find the inputs that are zero in every example.

    Parameters
    ----------
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.

    Returns
    -------
    ndarray of bool, shape (n_in,)

    Raises
    ------
    TypeError, ValueError
        The examples are not numbers.

    Examples
    --------
    >>> never_lit(np.array([[0.0, 1.0], [0.0, 0.5]]))
    array([ True, False])
    """
    rows = checks.inputs(x, int(np.prod(np.shape(x)[1:])), np.dtype(np.float64))
    if not isinstance(rows, c.SparseRows):
        return np.logical_not(rows.any(axis=0))
    used = slice(int(rows.starts[0]), int(rows.starts[-1]))
    found = np.ones(rows.n_in, np.bool_)
    found[rows.indices[used][rows.values[used] != 0]] = False
    return found


@dataclass(frozen=True, eq=False)
class UnlitWeights:
    """The first layer's weights of inputs that are zero in every training example.

    Attributes
    ----------
    pixels : ndarray of bool, shape (n_in,)
        Whether each input is zero in every training example.
    largest_change : float
        The largest change of a weight of these inputs in training: 0 without weight decay. NaN if no input is always
        zero.
    kept : float
        The mean of `|weight|` of these inputs after training, divided by the mean before training. NaN if no input is
        always zero.
    """

    pixels: Bools
    largest_change: float
    kept: float


def unlit_weights(network: Network, before: Network, x: Any) -> UnlitWeights:
    """Measure how training on x changed the weights of inputs that are always zero.

    The gradient of these weights is zero. They keep their initial values, bit for bit, unless weight decay shrinks
    them.

    Parameters
    ----------
    network : Network
        The network after its training.
    before : Network
        The network before its training.
    x : array_like or sparse matrix, shape (n, n_in)
        The training examples.

    Returns
    -------
    UnlitWeights

    Raises
    ------
    TypeError, ValueError
        The two networks differ in their sizes, or x does not fit.

    Examples
    --------
    >>> network = fastnet.Network([2, 3], seed=0)
    >>> before = network.copy()
    >>> x, y = np.array([[0.0, 1.0], [0.0, 0.5], [0.0, 0.2]]), [0, 1, 2]
    >>> history = fastnet.Trainer(network).fit(x, y, epochs=5)
    >>> unlit_weights(network, before, x).largest_change
    0.0
    """
    _check_pair(network, before)
    pixels = never_lit(checks.inputs(x, network.sizes[0], network.dtype))
    if not pixels.any():
        return UnlitWeights(pixels, float("nan"), float("nan"))
    after, first = (net.weights[0][:, pixels].astype(np.float64) for net in (network, before))
    return UnlitWeights(pixels, float(np.abs(after - first).max()), float(np.abs(after).mean() / np.abs(first).mean()))
