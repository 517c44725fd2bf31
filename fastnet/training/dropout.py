"""Dropout in the form that kernels take: a threshold and a random key for each hidden layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Ints


def draw_keys(rates: Sequence[float], rng: np.random.Generator) -> Ints:
    """Return a random key for each hidden layer.

    Keys are drawn from `rng` only if a rate is not 0. With rates of 0, the examples come in the same order as
    without dropout.
    """
    n = len(rates) if any(rates) else 0
    return rng.integers(-(2**63), 2**63 - 1, n, endpoint=True) if n else np.empty(0, np.int64)


def with_dropout(layers: Ints, rates: Sequence[float], keys: Ints) -> Ints:
    """Return a network's layers with the dropout rate and the key of each hidden layer."""
    if not any(rates):
        return layers
    found, hidden = layers.copy(), slice(len(rates))
    found[hidden, c.DROP] = [min(round(rate * c.DROP_RANGE), c.DROP_RANGE - 1) for rate in rates]
    found[hidden, c.DROP_KEY] = keys
    return c.frozen(found)
