"""The epochs of the solvers sgd and adam: the kernel calls that make them, and scikit-learn's rule to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.backends.engine import Engine
from fastnet.backends.interrupts import Interrupts
from fastnet.kernels import contract as c
from fastnet.network import Network
from fastnet.sklearn.descent import Descent
from fastnet.sklearn.held_out import HeldOut
from fastnet.sklearn.record import Record
from fastnet.training.callbacks import Callback
from fastnet.training.chunks import LONG_BATCH
from fastnet.training.fit import Fit, begin
from fastnet.training.history import History
from fastnet.training.selection import Selection
from fastnet.training.totals import Totals

MOST_AHEAD = 64  # epochs in one kernel call; more of them save less than 1% of a short epoch
CONVERGED, MAX_ITER, DIVERGED, INTERRUPTED = "converged", "max_iter", "diverged", "interrupted"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one call of `fit` or `partial_fit` does.

    Attributes
    ----------
    batch_size, max_iter, shuffle, tol, n_iter_no_change, verbose
        The estimator's parameters. The batch size is a number.
    is_single : bool
        Whether the call makes one epoch, as `partial_fit` does.
    cost_divisor : int
        The number by which scikit-learn divides the cost, but not its gradient.
    """

    batch_size: int
    max_iter: int
    shuffle: bool
    tol: float
    n_iter_no_change: float
    verbose: bool
    is_single: bool
    cost_divisor: int


class RunningFit:
    """What callbacks get in the place of a trainer.

    Attributes
    ----------
    network : Network
        The network. A callback may change its parameters.
    history : History
        The epochs of this fit so far. Without callbacks it stays empty.
    """

    def __init__(self, network: Network, descent: Descent) -> None:
        self.network = network
        self.history = History()
        self._descent = descent
        self.is_stopped = False

    @property
    def learning_rate(self) -> float:
        """The learning rate. A callback may set it."""
        return self._descent.rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._descent.set_rate(checks.number("learning_rate", value, minimum=0))

    @property
    def steps(self) -> int:
        """The number of updates made so far."""
        return self._descent.state.step

    def stop(self) -> None:
        """End the fit after this epoch."""
        self.is_stopped = True


def train(
    network: Network,
    descent: Descent,
    record: Record,
    selection: Selection,
    held_out: HeldOut | None,
    rule: Rule,
    random_state: np.random.RandomState,
    engine: Engine,
    callbacks: Sequence[Callback],
) -> str:
    """Train until the rule says to stop, and return why training ended.

    CONVERGED: the loss, or the score, no longer improved, or a callback stopped the fit. MAX_ITER: it still improved.
    DIVERGED: a loss was not finite. INTERRUPTED: Ctrl-C was pressed; the last update is complete.
    """
    try:
        with Interrupts() as interrupts, ExitStack() as at_end:
            fit = begin(
                network,
                descent.layers,
                descent.state,
                selection,
                engine,
                batch_size=rule.batch_size,
                sparse=None,
                epochs=rule.max_iter,
                horizon=(0.0, 0.0),
                callbacks=callbacks,
                interrupts=interrupts,
            )
            if len(fit.rows) * c.multiply_adds(network.layers) >= LONG_BATCH:
                fit.updates.is_long = True  # a call is a whole epoch here
            running = RunningFit(network, descent)
            for callback in callbacks:
                fit.hand_over(partial(callback.on_fit_begin, running, fit.info()))
                at_end.callback(interrupts.hand_over, partial(callback.on_fit_end, running))
            reason = _Loop(fit, running, descent, record, held_out, rule).run(random_state)
            fit.end()
            return reason
    except KeyboardInterrupt:
        return INTERRUPTED


class _Loop:
    """The epochs of one fit."""

    def __init__(
        self,
        fit: Fit,
        running: RunningFit,
        descent: Descent,
        record: Record,
        held_out: HeldOut | None,
        rule: Rule,
    ) -> None:
        self._fit, self._running, self._descent, self._record = fit, running, descent, record
        self._held_out, self._rule = held_out, rule
        starts = np.arange(0, len(fit.rows), rule.batch_size)
        self._batch_rows = np.minimum(rule.batch_size, len(fit.rows) - starts).astype(np.float64)
        is_seen = bool(fit.callbacks) or held_out is not None or rule.verbose or rule.is_single or rule.max_iter == 1
        self._goes_ahead = not is_seen and descent.schedule != "invscaling"  # its rate changes after each epoch

    def run(self, random_state: np.random.RandomState) -> str:
        """Make epochs. Return why they ended, as `train` does."""
        record, rule, fit = self._record, self._rule, self._fit
        order, n_batches = fit.rows, len(self._batch_rows)
        record.n_epochs = 0
        # A state takes 40 us, so there is one for the whole fit.
        first = random_state.get_state(legacy=False) if rule.shuffle and self._goes_ahead else None
        while record.n_epochs < rule.max_iter:
            orders = np.empty((self._next_epochs(), len(order)), np.int64)
            for row in orders:
                row[...] = order
                order = row
                if rule.shuffle:
                    random_state.shuffle(order)  # scikit-learn shuffles the order of the epoch before, in these steps
            rates = np.full(len(orders) * n_batches, self._descent.kernel_rate)
            began = time.perf_counter()
            report = fit.updates.make_in_one_call(orders.reshape(-1), rates, fit.interrupts.progress)
            seconds = time.perf_counter() - began
            is_stopped = fit.interrupts.pending
            has_diverged = len(report) < len(rates) and not is_stopped
            whole = len(report) // n_batches
            begun = whole + 1 if has_diverged else max(1, -(-len(report) // n_batches))
            if begun < len(orders) and first is not None:  # take back the draws for the epochs that did not begin
                random_state.set_state(first)
                for _ in range(record.n_epochs + begun):
                    random_state.shuffle(order)
            self._add(self._losses(report[: whole * n_batches]), has_diverged)
            if is_stopped:
                return INTERRUPTED
            if has_diverged:
                return DIVERGED
            fit.chunks.learn_speed(seconds, orders.size)
            if fit.callbacks:
                totals = Totals(record.n_epochs)
                totals.add(report, len(order), seconds, self._descent.rate)
                self._tell(totals, order)
            if self._is_over():
                return CONVERGED
            if rule.is_single:
                return CONVERGED
        return MAX_ITER

    def _add(self, losses: list[float], has_diverged: bool) -> None:
        """Add epochs to the record. The loss of an epoch that diverged is nan."""
        for loss in [*losses, math.nan] if has_diverged else losses:
            self._record.add_loss(loss, len(self._fit.rows))
            if self._rule.verbose:
                print(f"Iteration {self._record.n_epochs}, loss = {loss:.8f}")
            self._judge(has_diverged)

    def _next_epochs(self) -> int:
        """Return how many epochs the next kernel call makes: one, or as many as surely come before the fit ends.

        Training stops after more than `n_iter_no_change` epochs in a row without a better loss, so no epoch of a call
        but the last one can be the last epoch of the fit.
        """
        if not self._goes_ahead:
            return 1
        record, rule = self._record, self._rule
        before_stop = rule.n_iter_no_change + 1 - record.n_without_improvement
        in_time = self._fit.chunks.next_size() // len(self._batch_rows)
        return int(max(1, min(MOST_AHEAD, before_stop, in_time, rule.max_iter - record.n_epochs)))

    def _losses(self, report: NDArray[np.float64]) -> list[float]:
        """Return each epoch's loss: the mean over its examples, where each batch counts by its number of rows."""
        divisor, n_batches = self._rule.cost_divisor, len(self._batch_rows)
        if n_batches == 1:  # NumPy takes 5 us, and an epoch of iris takes 30
            return [
                (cost / divisor + penalty) / weight_sum if weight_sum else 0.0
                for cost, weight_sum, penalty, *_ in report.tolist()
            ]
        weight = report[:, c.WEIGHT_SUM]
        total = report[:, c.COST_SUM] / divisor + report[:, c.PENALTY_COST]
        if self._fit.updates.weights.size:
            weight = np.where(weight > 0, weight, np.inf)  # a batch without any weight has no loss
        by_epoch = (total / weight).reshape(-1, n_batches)
        return [float(each.dot(self._batch_rows)) / len(self._fit.rows) for each in by_epoch]

    def _judge(self, has_diverged: bool) -> None:
        """Compare the epoch's loss, or its score on the examples held out, with the best epoch."""
        held_out, network = self._held_out, self._fit.network
        if held_out is None:
            self._record.judge_loss(self._rule.tol)
            return
        parameters, score = network.kernel_parameters(), math.nan
        if not has_diverged:
            score = held_out.scored(self._fit.engine.forward(network.layers, parameters, held_out.examples.x))
        self._record.judge_score(score, self._rule.tol, parameters)
        if self._rule.verbose:
            print(f"Validation score: {score:f}")

    def _tell(self, totals: Totals, order: c.Ints) -> None:
        """Call the callbacks. An epoch is one kernel call, so `on_batches` is called at its end only."""
        fit, epoch = self._fit, totals.record(self._fit)
        fit.tell(self._running, epoch, fit.n_batches, order[(fit.n_batches - 1) * self._rule.batch_size :])
        epoch = fit.validated(epoch)
        self._running.history.epochs.append(epoch)
        for callback in fit.callbacks:
            fit.hand_over(partial(callback.on_epoch_end, self._running, epoch))

    def _is_over(self) -> bool:
        """Set the rate of the next epoch. Return whether there is none."""
        record, rule = self._record, self._rule
        self._descent.epoch_ended(record.n_examples)
        if self._running.is_stopped:
            return True
        if record.n_without_improvement <= rule.n_iter_no_change:
            return False
        measure = "Training loss" if self._held_out is None else "Validation score"
        reason = f"{measure} did not improve more than tol={rule.tol:f} for {rule.n_iter_no_change} consecutive epochs."
        if self._descent.stops(reason, rule.verbose):
            return True
        record.n_without_improvement = 0
        return False
