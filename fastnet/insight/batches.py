"""Full-batch, mini-batch and single-example descent, side by side.

Not here: what single steps do (descent.py), how fast the kernels are (fastnet.bench).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.errors import DivergedError
from fastnet.network import Network
from fastnet.training.callbacks import Callback, Progress
from fastnet.training.history import Epoch
from fastnet.training.trainer import Trainer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BatchRun:
    """A training with one batch size, looked at now and then: arrays (n,), the first entry before the first step.

    steps and examples are updates made and examples seen, int64; seconds are those of training alone; cost is
    that over all examples. diverged: the run ended early, because cost or parameters were no longer finite.
    """

    batch_size: int
    learning_rate: float
    steps: NDArray[np.int64]
    examples: NDArray[np.int64]
    seconds: Floats
    cost: Floats
    diverged: bool


def compare_batches(
    network: Network,
    x: Any,
    y: Any,
    batch_sizes: Sequence[int | None] = (None, 10, 1),
    *,
    epochs: int = 10,
    learning_rates: float | Sequence[float] | None = None,
    looks: int = 10,
    seed: int = 0,
    **trainer: Any,
) -> list[BatchRun]:
    """Trains copies of the network with different batch sizes, one after the other: cost against examples and seconds.

    batch_sizes: examples an update, None for all of them. learning_rates: one for all, or one each; the
    optimiser's own for None. looks: how often an epoch the cost is taken, at most once a batch. `trainer`: further
    arguments of Trainer, such as optimizer, schedule or backend.

    Raises ValueError or TypeError for unusable arguments.
    """
    checks.instance("network", network, Network)
    epochs = checks.whole_number("epochs", epochs, 1)
    looks = checks.whole_number("looks", looks, 1)
    x = network.check_inputs(x)
    y = network.check_targets(y, len(x))
    if not isinstance(batch_sizes, Iterable):
        raise TypeError(f"batch_sizes must be a list such as (None, 10, 1), not {batch_sizes!r}")
    sizes = [len(x) if size is None else size for size in batch_sizes]
    rates = list(learning_rates) if isinstance(learning_rates, Iterable) else [learning_rates] * len(sizes)
    if len(rates) != len(sizes):
        raise ValueError(f"learning_rates has {len(rates)} entries for {len(sizes)} batch sizes")
    runs = []
    for size, rate in zip(sizes, rates, strict=True):
        trial = Trainer(network.copy(), batch_size=size, learning_rate=rate, seed=seed, **trainer)
        looker = _Looker(trial, x, y, looks)
        base_rate, diverged = trial.learning_rate, False
        try:
            trial.fit(x, y, epochs=epochs, callbacks=[looker])
        except DivergedError:
            diverged = True
        steps, examples, seconds, cost = zip(*looker.seen, strict=True)
        counts = np.array(steps), np.array(examples)
        runs.append(BatchRun(size, base_rate, *counts, np.array(seconds), np.array(cost), diverged))
    return runs


class _Looker(Callback):
    """Takes the cost over all examples several times an epoch."""

    def __init__(self, trainer: Trainer, x: Any, y: Any, looks: int) -> None:
        self._x, self._y = x, y
        self.every = max(1, len(x) // (trainer.batch_size * looks))
        self._examples, self._seconds = 0, 0.0  # of the epochs that are over
        self.seen = list[tuple[int, int, float, float]]()
        self._look(trainer, 0, 0.0)

    def on_batches(self, trainer: Trainer, progress: Progress) -> None:
        if progress.batch < progress.batches:
            self._look(trainer, progress.examples, progress.seconds)

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        self._look(trainer, epoch.examples, epoch.seconds)
        self._examples += epoch.examples
        self._seconds += epoch.seconds

    def _look(self, trainer: Trainer, examples: int, seconds: float) -> None:
        cost = trainer.evaluate(self._x, self._y).cost
        self.seen.append((trainer.steps, self._examples + examples, self._seconds + seconds, cost))
