"""Dropout as the kernels see it: a threshold and a generator's key for each layer. Its arithmetic is in the kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Ints


def with_dropout(layers: Ints, rates: Sequence[float], rng: np.random.Generator) -> Ints:
    """A network's layers with the share of each hidden layer's activations that training drops.

    The keys are drawn from rng, but only where something is dropped: else its next numbers stay what they were.
    """
    if not any(rates):
        return layers
    found, hidden = layers.copy(), slice(len(rates))
    found[hidden, c.DROP] = [min(round(rate * c.DROP_RANGE), c.DROP_RANGE - 1) for rate in rates]
    found[hidden, c.DROP_KEY] = rng.integers(-(2**63), 2**63 - 1, len(rates), endpoint=True)
    return c.frozen(found)
