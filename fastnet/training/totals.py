"""The sums over the batches of an epoch so far, and the record made from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fastnet.evaluation import evaluation
from fastnet.kernels import contract as c
from fastnet.kernels.formulas import Sums
from fastnet.training.fit import Fit
from fastnet.training.history import Epoch


@dataclass(slots=True)
class Totals:
    """The sums over an epoch so far."""

    epoch: int
    sums: NDArray[np.float64] = field(default_factory=partial(np.zeros, c.REPORT_COLUMNS))  # of the contract's report
    n_batches: int = 0
    n_examples: int = 0
    seconds: float = 0.0
    waited: float = 0.0  # the part of `seconds` in which the training waited for data
    learning_rate: float = 0.0  # of the last update

    def add(self, report: NDArray[np.float64], n_examples: int, seconds: float, learning_rate: float) -> None:
        """Add a chunk. The batches are added one by one, so that the sums do not depend on the sizes of the chunks."""
        parts = np.concatenate((self.sums[None], report)) if self.n_batches else report
        self.sums = parts[0] if len(parts) == 1 else np.add.reduce(parts, axis=0, initial=0.0)
        self.n_batches += len(report)
        self.n_examples += n_examples
        self.seconds += seconds
        self.learning_rate = learning_rate

    def wait(self, seconds: float) -> None:
        """Add the seconds that the training waited for a window."""
        self.seconds += seconds
        self.waited += seconds

    def record(self, fit: Fit) -> Epoch:
        """Return the epoch's record so far."""
        sums = self.sums.tolist()
        return _record(fit, self.epoch, sums, self.n_examples, self.seconds, self.learning_rate, self.waited)


def _record(
    fit: Fit,
    epoch: int,
    sums: list[float],
    n_examples: int,
    seconds: float,
    learning_rate: float,
    waited: float = 0.0,
) -> Epoch:
    """Return the record of an epoch from its sums, in the columns of the contract's report."""
    cost, weight, score, labels = sums[c.COST_SUM], sums[c.WEIGHT_SUM], sums[c.SCORE], sums[c.LABELS]
    found = evaluation(fit.updates.layers, Sums(cost, weight, score, labels), fit.variance * weight)
    return Epoch(
        epoch=epoch,
        cost=found.cost,
        accuracy=found.accuracy,
        label_accuracy=found.label_accuracy,
        r2=found.r2,
        validation_cost=math.nan,
        validation_accuracy=math.nan,
        validation_label_accuracy=math.nan,
        validation_r2=math.nan,
        seconds=seconds,
        examples=n_examples,
        examples_per_second=n_examples / max(seconds, 1e-9),
        waiting=waited / seconds if waited else 0.0,
        learning_rate=learning_rate,
        backend=fit.engine.name,
        backend_reason=fit.engine.reason,
        threads=fit.updates.n_threads,
        inputs=fit.inputs,
        averaging=fit.averaging,
    )


def records(
    fit: Fit, epoch: int, report: NDArray[np.float64], seconds: float, rates: NDArray[np.float64]
) -> list[Epoch]:
    """Return the records of the epochs after number `epoch` from their report. The last may have ended early.

    Each epoch gets a share of the seconds for its number of examples.
    """
    n_batches, n, size = fit.n_batches, len(fit.rows), fit.updates.batch_size
    whole, rest = divmod(len(report), n_batches)
    parts = report[: whole * n_batches].reshape(whole, n_batches, c.REPORT_COLUMNS)
    sums = np.add.reduce(parts, axis=1, initial=0.0).tolist()  # batch by batch, as `Totals.add` does
    last_rates = rates[n_batches - 1 : whole * n_batches : n_batches].tolist()
    n_rest = rest * size
    seconds_per_example = seconds / (whole * n + n_rest)
    found = [
        _record(fit, number, total, n, seconds_per_example * n, rate)
        for number, (total, rate) in enumerate(zip(sums, last_rates, strict=True), epoch + 1)
    ]
    if rest:
        total = np.add.reduce(report[whole * n_batches :], axis=0, initial=0.0).tolist()
        rate = float(rates[len(report) - 1])
        found.append(_record(fit, epoch + whole + 1, total, n_rest, seconds_per_example * n_rest, rate))
    return found
