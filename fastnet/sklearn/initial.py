"""Initial weights: the same numbers as scikit-learn draws from the same random state (Glorot and Bengio 2010)."""

from __future__ import annotations

import numpy as np

from fastnet.network import Network


def draw_parameters(network: Network, random_state: np.random.RandomState, activation: str) -> None:
    """Set a network's weights and biases. They are uniform between -b and b, with b^2 = 6 / (n_in + n_out).

    For the activation "logistic", b^2 is 2 / (n_in + n_out). The numbers of a layer's weights come as (n_in, n_out).
    """
    factor = 2.0 if activation == "logistic" else 6.0
    for w, b in zip(network.weights, network.biases, strict=True):
        n_out, n_in = w.shape
        bound = np.sqrt(factor / (n_in + n_out))
        w[...] = random_state.uniform(-bound, bound, (n_in, n_out)).T
        b[...] = random_state.uniform(-bound, bound, n_out)
