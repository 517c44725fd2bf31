"""Sparse examples, and a network and a trainer for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet import Network, Trainer

RNG = np.random.default_rng(0)
BYTES = (RNG.integers(1, 256, (60, 70)) * (RNG.random((60, 70)) < 0.15)).astype(np.uint8)
BYTES[7] = 0
FLOATS = (BYTES / 255).astype(np.float32)
Y = RNG.integers(0, 3, 60)


def network(**arguments: Any) -> Network:
    return Network([70, 5, 3], activation="tanh", output="softmax", cost="cross_entropy", seed=0, **arguments)


def trainer(**arguments: Any) -> Trainer:
    return Trainer(
        network(),
        **{"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 8, "backend": "numpy", "seed": 0} | arguments,
    )
