"""Networks for the tests of exports: a pairwise cover of activations, outputs, dtypes, depths and tasks."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pairwise

from fastnet import Network
from fastnet.kernels.formulas import ACTIVATIONS

HIDDEN = [row.name for row in ACTIVATIONS.values() if row.is_hidden]
# Each output activation with each task that it may have, and a number of outputs.
OUTPUTS = [
    *(("softmax", "classification", 3), ("softmax", "classification", 2), ("softmax", "regression", 3)),
    *(("sigmoid", "classification", 1), ("sigmoid", "classification", 3), ("sigmoid", "multilabel", 3)),
    *(("sigmoid", "multilabel", 1), ("sigmoid", "regression", 2), ("exponential", "regression", 2)),
    *((name, "regression", n) for n, name in enumerate(HIDDEN, 1) if name != "sigmoid"),
]
DTYPES = ["float32", "float64"]
WIDTHS = [(), (5,), (7, 3), (4, 1, 6)]  # of the hidden layers
N_IN = 6


def network(
    activation: str,
    output: tuple[str, str, int],
    dtype: str,
    widths: tuple[int, ...],
    seed: int,
    same: bool = False,
) -> Network:
    """Return a network with random parameters. Without `same`, the hidden layers have different activations."""
    name, task, n_out = output
    others = cycle(HIDDEN[HIDDEN.index(activation) :] + HIDDEN[: HIDDEN.index(activation)])
    hidden: Any = [activation if same else next(others) for _ in widths]
    net = Network([N_IN, *widths, n_out], activation=hidden, output=name, task=task, seed=seed, dtype=dtype)
    for b in net.biases:
        b[...] = np.random.default_rng(seed).normal(size=b.shape)
    return net


def covered() -> list[Network]:
    """Return a network for each row of the cover."""
    rows = pairwise.cover(HIDDEN, OUTPUTS, DTYPES, WIDTHS)
    return [network(*row, seed=seed) for seed, row in enumerate(rows)]


def drawn(n: int) -> list[Network]:
    """Return n networks whose axes are drawn at random."""
    rng = np.random.default_rng(1)
    axes: list[list[Any]] = [HIDDEN, OUTPUTS, DTYPES, WIDTHS]
    return [network(*(axis[rng.integers(len(axis))] for axis in axes), seed=100 + k) for k in range(n)]


def rows(net: Network, n: int = 50) -> np.ndarray[Any, Any]:
    """Return examples (n, n_in) of the network's dtype, from the normal distribution."""
    return np.random.default_rng(2).standard_normal((n, net.sizes[0])).astype(net.dtype)


def has_the_same_bits(a: Network, b: Network) -> bool:
    """Whether two networks have the same sizes, activations and parameters."""
    same = (a.sizes, a.activations_by_layer, a.dtype) == (b.sizes, b.activations_by_layer, b.dtype)
    return same and a.parameters.tobytes() == b.parameters.tobytes()
