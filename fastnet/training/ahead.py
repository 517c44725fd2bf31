"""Trains several epochs in one chunk, if nobody looks at the network between them.

Python takes about 50 us around a chunk: more than an epoch on 150 examples. The results are those of single epochs.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.errors import DivergedError
from fastnet.training.fit import Fit
from fastnet.training.history import History
from fastnet.training.order import draw_order
from fastnet.training.schedules import OWN_SCHEDULES, Schedule, factors_of_epoch
from fastnet.training.totals import records


def rates_ahead(
    fit: Fit, schedule: Schedule, learning_rate: float, epoch: int, step: int, left: int
) -> NDArray[np.float64] | None:
    """Return the learning rates of the next epochs that fit into a chunk, or None if the next epoch goes alone.

    `epoch` and `step` are the numbers of epochs and of updates so far, `left` is the number of epochs left.
    """
    # A user's schedule may look at the network.
    if left == 1 or fit.callbacks or fit.validation is not None or type(schedule) not in OWN_SCHEDULES:
        return None
    if fit.feed is not None or fit.ranks is not None:  # an epoch of a source has several windows
        return None
    n_batches = fit.n_batches
    count = min(left, fit.chunks.next_size() // n_batches)
    if count < 2:
        return None
    try:
        factors = [
            factors_of_epoch(schedule, epoch + k, step + k * n_batches, n_batches, fit.horizon) for k in range(count)
        ]
        return checks.rates(learning_rate, np.concatenate(factors), step)
    except ValueError:  # the rate of an epoch is not finite: the epochs before it are trained one by one
        return None


def train_ahead(
    fit: Fit, rates: NDArray[np.float64], epoch: int, shuffle: bool, rng: np.random.Generator, history: History
) -> int:
    """Train the epochs of these rates in one chunk, add their records to `history`, and return how many were begun.

    `epoch` is the number of epochs so far. If the chunk ends early, the random generator gets the state that it has
    after the order of the last epoch begun. On Ctrl-C, that epoch has a record of its updates.

    Raises
    ------
    DivergedError
        As `DivergenceWatch.make` raises it. `history` then has the records of the epochs before.
    """
    n_batches = fit.n_batches
    count = len(rates) // n_batches
    before = rng.bit_generator.state
    order = np.concatenate([draw_order(fit.rows, shuffle, rng) for _ in range(count)])
    report, begun, began = np.empty((0, 0)), 0, time.perf_counter()
    try:
        report = fit.watch.make(order, rates, epoch + 1, epoch + count >= fit.horizon[1])
        begun = -(-len(report) // n_batches)
    except DivergedError as error:
        begun = error.epoch - epoch
        report = fit.watch.good[: (begun - 1) * n_batches]
        raise
    finally:
        seconds = time.perf_counter() - began
        if shuffle and begun < count:
            rng.bit_generator.state = before
            for _ in range(max(begun, 1)):
                draw_order(fit.rows, shuffle, rng)
        if len(report):
            found = records(fit, epoch, report, seconds, rates)
            fit.chunks.learn_speed(seconds, sum(record.examples for record in found))
            history.epochs += found
    return begun
