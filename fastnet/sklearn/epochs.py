"""The epochs of the solvers sgd and adam: one kernel call for each epoch, and scikit-learn's rule to stop."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.backends.engine import Engine
from fastnet.backends.interrupts import Interrupts
from fastnet.backends.threads import run_team
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Ints, Rows, SparseRows
from fastnet.network import Network
from fastnet.sklearn.descent import Descent
from fastnet.sklearn.held_out import HeldOut
from fastnet.sklearn.record import Record
from fastnet.training.chunks import LONG_BATCH
from fastnet.training.inputs import prepare


@dataclass(slots=True)
class Data:
    """Checked examples, and the rows to train on."""

    x: Rows
    y: NDArray[Any]
    weights: NDArray[np.float64]  # (n,), or (0,) for weights of 1
    rows: Ints
    batch_size: int


@dataclass(frozen=True, slots=True)
class Rule:
    """When training stops, and what it prints. `is_single` is for `partial_fit`, which makes one epoch."""

    max_iter: int
    tol: float
    n_iter_no_change: float
    verbose: bool
    is_single: bool


class EpochCalls:
    """The kernel calls of one fit."""

    def __init__(
        self,
        network: Network,
        descent: Descent,
        data: Data,
        cost_divisor: int,
        engine: Engine,
        interrupts: Interrupts,
        epochs: int,
    ) -> None:
        dtype, size = network.dtype, data.batch_size
        self._descent, self._kernels, self._interrupts = descent, engine.kernels, interrupts
        self._n_threads = engine.n_threads(network.layers, data.x, size)
        self._x, _ = prepare(data.x, dtype, engine, interrupts, sparse=None, epochs=epochs)
        self._data, self._parameters = data, network.kernel_parameters(trained=True)
        is_sparse, slots = isinstance(self._x, SparseRows), len(descent.state.moments)
        plan = c.plan(network.layers, size, slots, dtype.itemsize, self._n_threads, is_sparse)
        self._work = c.aligned_empty(plan.size, dtype)
        starts = np.arange(0, len(data.rows), size)
        self._batch_rows = np.minimum(size, len(data.rows) - starts).astype(np.float64)
        self._report = np.empty((len(starts), c.REPORT_COLUMNS))
        self._cost_divisor = cost_divisor
        self._is_long = len(data.rows) * c.multiply_adds(network.layers) >= LONG_BATCH  # see Interrupts.call

    def make(self, order: Ints) -> bool:
        """Make the updates of an epoch. Return whether all were made: not on Ctrl-C, nor if a cost is not finite."""
        state, rates = self._descent.state, self._descent.rates(len(self._report))

        def train(team: Ints, worker: int) -> float:
            return self._kernels.train(
                c.TrainCall(
                    net=self._descent.layers,
                    params=self._parameters,
                    state=state.moments,
                    x=self._x,
                    y=self._data.y,
                    weights=self._data.weights,
                    order=order,
                    batch_size=self._data.batch_size,
                    rates=rates,
                    optimizer=state.settings,
                    step=state.step,
                    progress=self._interrupts.progress,
                    report=self._report,
                    work=self._work,
                    team=team,
                    worker=worker,
                )
            )

        call = partial(run_team, self._n_threads, train)
        if self._is_long:
            self._interrupts.call(call)
        else:
            call()
        n_updates = int(self._interrupts.progress[c.STEPS])
        state.step += n_updates
        return n_updates == len(rates)

    def loss(self) -> float:
        """Return the last epoch's loss: the mean over its examples, where each batch counts by its number of rows."""
        weight = self._report[:, c.WEIGHT_SUM]
        total = self._report[:, c.COST_SUM] / self._cost_divisor + self._report[:, c.PENALTY_COST]
        if self._data.weights.size:
            weight = np.where(weight > 0, weight, np.inf)  # a batch without any weight has no loss
        return float((total / weight).dot(self._batch_rows)) / len(self._data.rows)


def train(
    network: Network,
    descent: Descent,
    record: Record,
    data: Data,
    held_out: HeldOut | None,
    rule: Rule,
    random_state: np.random.RandomState | None,
    engine: Engine,
    cost_divisor: int,
) -> str:
    """Train until the rule says to stop. Return why training ended early, or "" if it converged.

    "max_iter": the loss, or the score, still improved. "diverged": a loss was not finite. On Ctrl-C, training ends with
    a warning. A `random_state` of None keeps the order of the examples.
    """
    try:
        with Interrupts() as interrupts:
            calls = EpochCalls(network, descent, data, cost_divisor, engine, interrupts, rule.max_iter)
            return _train(network, descent, record, data, held_out, rule, random_state, engine, calls, interrupts)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=5)
        return ""


def _train(
    network: Network,
    descent: Descent,
    record: Record,
    data: Data,
    held_out: HeldOut | None,
    rule: Rule,
    random_state: np.random.RandomState | None,
    engine: Engine,
    calls: EpochCalls,
    interrupts: Interrupts,
) -> str:
    n, order = len(data.rows), data.rows
    record.n_epochs = 0
    while record.n_epochs < rule.max_iter:
        if random_state is not None:
            shuffled = np.arange(n)
            random_state.shuffle(shuffled)  # each epoch shuffles the order of the one before, as scikit-learn does
            order = order[shuffled]
        is_complete = calls.make(order)
        if interrupts.pending:
            return ""
        record.add_loss(calls.loss() if is_complete else float("nan"), n)
        if rule.verbose:
            print(f"Iteration {record.n_epochs}, loss = {record.losses[-1]:.8f}")
        if held_out is None:
            record.judge_loss(rule.tol)
            reason = "Training loss"
        else:
            outputs = engine.forward(network.layers, network.kernel_parameters(), held_out.x)
            score = held_out.scored(outputs) if is_complete else float("nan")
            record.judge_score(score, rule.tol, network.kernel_parameters())
            reason = "Validation score"
            if rule.verbose:
                print(f"Validation score: {score:f}")
        if not is_complete:
            return "diverged"
        descent.epoch_ended(record.n_examples)
        if record.n_without_improvement > rule.n_iter_no_change:
            reason += f" did not improve more than tol={rule.tol:f} for {rule.n_iter_no_change} consecutive epochs."
            if descent.stops(reason, rule.verbose):
                return ""
            record.n_without_improvement = 0
        if rule.is_single:
            return ""
    return "max_iter"
