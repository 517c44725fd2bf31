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
    n_examples: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0  # of the last update

    def add(self, report: NDArray[np.float64], n_examples: int, seconds: float, learning_rate: float) -> None:
        """Add a chunk. The batches are added one by one, so that the sums do not depend on the sizes of the chunks."""
        self.sums = np.add.reduce(np.concatenate((self.sums[None], report)))
        self.n_examples += n_examples
        self.seconds += seconds
        self.learning_rate = learning_rate

    def record(self, fit: Fit) -> Epoch:
        """Return the epoch's record so far."""
        cost, weight, score, labels = self.sums[[c.COST_SUM, c.WEIGHT_SUM, c.SCORE, c.LABELS]].tolist()
        found = evaluation(fit.updates.layers, Sums(cost, weight, score, labels), fit.variance * weight)
        return Epoch(
            epoch=self.epoch,
            cost=found.cost,
            accuracy=found.accuracy,
            label_accuracy=found.label_accuracy,
            r2=found.r2,
            validation_cost=math.nan,
            validation_accuracy=math.nan,
            validation_label_accuracy=math.nan,
            validation_r2=math.nan,
            seconds=self.seconds,
            examples=self.n_examples,
            examples_per_second=self.n_examples / max(self.seconds, 1e-9),
            learning_rate=self.learning_rate,
            backend=fit.engine.name,
            backend_reason=fit.engine.reason,
            threads=fit.updates.n_threads,
            inputs=fit.inputs,
        )
