"""Helpers for the tests of searches: small data, a small space, and what must be equal between two searches."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.search import OMIT, SearchResult, loguniform, search

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 1)
SPACE: dict[str, Any] = {
    "hidden": [(4,), (8, 3)],
    "optimizer": ["adam", "momentum"],
    "learning_rate": loguniform(1e-3, 1e-1),
    "schedule": ["cosine", "constant"],
    "dropout": lambda setting: [0.0, 0.2] if setting["optimizer"] == "adam" else OMIT,
    "batch_size": 16,
    "backend": "numpy",
}
SMALL: dict[str, Any] = {"trials": 6, "seeds": 2, "budget": 6, "n_jobs": 1}


def run(**changes: Any) -> SearchResult:
    """Run a small search."""
    arguments = {"space": SPACE, "x": X, "y": Y, **SMALL, **changes}
    return search(**arguments)


def table(found: SearchResult) -> list[tuple[Any, ...]]:
    """Return everything in a result but the times, with the bytes of the networks' parameters."""
    trainings = [
        (
            record.trial.number,
            record.trial.replicate,
            sorted(record.trial.setting.items()),
            record.trial.seed,
            record.epochs,
            record.rung,
            repr(record.value),
            record.message,
            [repr((name, values)) for name, values in record.history.items() if name not in TIMES],
        )
        for record in found.records
    ]
    networks = [(key, network.parameters.tobytes()) for key, network in found.networks.items()]
    return [*trainings, *networks]


TIMES = ("seconds", "examples_per_second", "waiting")
