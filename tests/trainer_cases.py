"""Helpers for the trainer's tests: small data, trainers, and a callback that records its calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnet
from fastnet import Callback, Cosine, Exponential, Network, Step, Trainer

RNG = np.random.default_rng(0)
X = RNG.random((53, 6), np.float32)  # 53 is prime: the last batch is smaller unless the batch size is 1 or 53
Y = RNG.integers(0, 3, 53)
OPTIMIZERS = ["sgd", "momentum", "nesterov", "adam"]
SCHEDULES: dict[str, Any] = {
    "constant": "constant",
    "step": Step(every=7.5),
    "exponential": Exponential(factor=0.9, warmup=2),
    "cosine": Cosine(epochs=40, warmup=3),
    "function": lambda step: 1 / (1 + step),
}


def make(**arguments: Any) -> Trainer:
    net = Network([6, 5, 3], activation="tanh", output="softmax", cost="cross_entropy", seed=0)
    defaults = {
        "network": net,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "batch_size": 8,
        "backend": "numpy",
        "seed": 0,
    }
    return Trainer(**defaults | arguments)


def bits(trainer: Trainer) -> bytes:
    return trainer.network.parameters.tobytes()


class Recorder(Callback):
    """Record the calls. Each call also calls `act`, if given."""

    def __init__(self, every: int | None = None, act: Callable[[Trainer, Any], None] | None = None) -> None:
        self.every = every
        self.act = act
        self.seen: list[Any] = []

    def on_batches(self, trainer: Trainer, progress: fastnet.EpochSoFar) -> None:
        self.seen.append(progress)
        if self.act:
            self.act(trainer, progress)


CHUNKS = {
    "tiny": {"CHUNK_SECONDS": 0.0, "PACKED_SECONDS": 0.0, "FIRST_CHUNK": 1},
    "huge": {"CHUNK_SECONDS": 1e9, "FIRST_CHUNK": 1 << 60},
    "first small": {"CHUNK_SECONDS": 1e9, "FIRST_CHUNK": 1},
    "threads": {"LONG_BATCH": 0},
    "tiny threads": {"CHUNK_SECONDS": 0.0, "PACKED_SECONDS": 0.0, "FIRST_CHUNK": 1, "LONG_BATCH": 0},
}
