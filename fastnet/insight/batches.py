"""Compares full-batch, mini-batch and single-example gradient descent: the cost against examples and seconds.

Not here: the effect of single steps (descent.py).
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
from fastnet.training.callbacks import Callback, EpochSoFar
from fastnet.training.history import Epoch
from fastnet.training.order import examples_in_batch
from fastnet.training.trainer import Trainer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BatchRun:
    """A training with one batch size. Its cost is measured before the first step and several times an epoch.

    Attributes
    ----------
    batch_size : int
        Examples in a batch.
    learning_rate : float
        The learning rate, before any schedule.
    steps : ndarray of int64, shape (n,)
        The number of updates before each measurement.
    examples : ndarray of int64, shape (n,)
        The number of examples seen before each measurement.
    seconds : ndarray of float64, shape (n,)
        The seconds of training before each measurement, without the time of the measurements.
    cost : ndarray of float64, shape (n,)
        The mean cost over all examples.
    diverged : bool
        Whether the run ended early because the cost or the parameters were no longer finite.
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
    measurements: int = 10,
    seed: int = 0,
    **trainer: Any,
) -> list[BatchRun]:
    """Train copies of a network with different batch sizes, one after the other.

    Parameters
    ----------
    network : Network
        The network to start from. It stays as it is.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    batch_sizes : sequence of int or None
        The sizes to compare. None means all examples in one batch.
    epochs : int
        Passes over the examples.
    learning_rates : float or sequence of float, optional
        One learning rate for all sizes, or one for each. By default the optimiser's default rate.
    measurements : int
        The number of measurements of the cost in each epoch. There is at most one measurement for each batch.
    seed : int
        The seed of the order of the examples.
    **trainer
        Further arguments of Trainer, such as optimizer, schedule or backend.

    Returns
    -------
    list of BatchRun
        One run for each batch size. A diverged run ends early.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> runs = compare_batches(fastnet.Network([4, 3], seed=0), x, y, (None, 10), epochs=2)
    >>> [(run.batch_size, int(run.steps[-1])) for run in runs]
    [(60, 2), (10, 12)]
    """
    checks.instance("network", network, Network)
    epochs = checks.whole_number("epochs", epochs, 1)
    measurements = checks.whole_number("measurements", measurements, 1)
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
        log = _CostLog(trial, x, y, measurements)
        base_rate, diverged = trial.learning_rate, False
        try:
            trial.fit(x, y, epochs=epochs, callbacks=[log])
        except DivergedError:
            diverged = True
        steps, examples, seconds, cost = zip(*log.lines, strict=True)
        counts = np.array(steps), np.array(examples)
        runs.append(BatchRun(size, base_rate, *counts, np.array(seconds), np.array(cost), diverged))
    return runs


class _CostLog(Callback):
    """Measures the cost over all examples several times an epoch."""

    def __init__(self, trainer: Trainer, x: Any, y: Any, measurements: int) -> None:
        self._x, self._y = x, y
        self.every = max(1, len(x) // (examples_in_batch(trainer.batch_size, len(x)) * measurements))
        self._examples, self._seconds = 0, 0.0  # sums over the epochs before this one
        self.lines = list[tuple[int, int, float, float]]()
        self._measure(trainer, 0, 0.0)

    def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
        if progress.batch < progress.batches:
            self._measure(trainer, progress.examples, progress.seconds)

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        self._measure(trainer, epoch.examples, epoch.seconds)
        self._examples += epoch.examples
        self._seconds += epoch.seconds

    def _measure(self, trainer: Trainer, examples: int, seconds: float) -> None:
        cost = trainer.evaluate(self._x, self._y).cost
        self.lines.append((trainer.steps, self._examples + examples, self._seconds + seconds, cost))
