"""The epochs of a fit: their updates in chunks, their records, and the callbacks after them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial

from fastnet import checks
from fastnet.errors import DivergedError
from fastnet.training.ahead import rates_ahead, train_ahead
from fastnet.training.fit import Fit
from fastnet.training.history import Epoch
from fastnet.training.resuming import ResumableTrainer
from fastnet.training.schedules import factors_of_epoch
from fastnet.training.standstill import warn_of_standstill
from fastnet.training.state import FitSoFar, restore_callbacks
from fastnet.training.totals import Totals


class TrainingLoop(ResumableTrainer):
    """The third part of a trainer: it trains the epochs of a fit, which `Trainer` has prepared."""

    def _run(self, fit: Fit, resumed: FitSoFar | None, at_end: ExitStack) -> None:
        """Train the epochs of a fit. `at_end` gets the callbacks' `on_fit_end`."""
        for callback in fit.callbacks:
            fit.hand_over(partial(callback.on_fit_begin, self, fit.info()))
            at_end.callback(fit.interrupts.hand_over, partial(callback.on_fit_end, self))
        if resumed is not None:
            restore_callbacks(fit.callbacks, resumed.callbacks)
            self._resumed = None
        end, interrupts = int(fit.horizon[1]), fit.interrupts
        while (left := end - self._epoch) > 0 and not interrupts.pending:
            if self._stopped and self._totals is None:  # a fit that was stopped within an epoch still ends this epoch
                break
            rates = None
            if self._totals is None:
                rates = rates_ahead(fit, self._schedule, self.learning_rate, self._epoch, self._state.step, left)
            if rates is not None:
                try:
                    self._epoch += train_ahead(fit, rates, self._epoch, self._shuffle, self._rng, self.history)
                except DivergedError as error:
                    self._epoch = error.epoch
                    raise
            else:
                try:
                    epoch = self._train_epoch(fit, self._shuffle)
                except KeyboardInterrupt:  # raised while `on_batches` of a callback ran
                    if self._totals is not None and self._totals.n_batches:
                        self.history.epochs.append(self._totals.record(fit))
                    raise
                if epoch is None:
                    break
                epoch = epoch if interrupts.pending else fit.validated(epoch)
                self.history.epochs.append(epoch)
                if not interrupts.pending:
                    self._totals = None
                    for callback in fit.callbacks:
                        fit.hand_over(partial(callback.on_epoch_end, self, epoch))
            warn_of_standstill(fit, self.history, self.learning_rate, self._optimizer)

    def _train_epoch(self, fit: Fit, shuffle: bool) -> Epoch | None:
        """Train one epoch in chunks of batches. Return None if Ctrl-C came before the first update."""
        size, n_batches = fit.updates.batch_size, fit.n_batches
        if (totals := self._totals) is None:
            totals = self._totals = Totals(self._epoch + 1)
            # The state takes 3 us. Only callbacks need it, since they may keep the state of the training.
            self._drawn_from = self._rng.bit_generator.state if fit.callbacks else None
        factors = partial(factors_of_epoch, self._schedule, self._epoch, horizon=fit.horizon)
        begin, of_epoch = 0, factors(self._state.step - totals.n_batches, n_batches)
        self._epoch += 1
        record: Epoch | None = None
        for window in fit.windows(shuffle, self._rng, totals.n_batches):
            if window.x is not fit.updates.x:
                fit.use(window)
                totals.wait(window.waited)
            first = totals.n_batches
            end = first - (-len(window.order) // size)
            if not n_batches:  # a stream: the factors are those of the window
                begin, of_epoch = first, factors(self._state.step, end - first)
            while (done := totals.n_batches) < end and not self._stopped and not fit.interrupts.pending:
                count = fit.batches_of_chunk(done, end)
                rows = window.order[(done - first) * size : (done - first + count) * size]
                some = of_epoch[done - begin : done - begin + count]
                rates = checks.rates(self.learning_rate, some, self._state.step)
                began = time.perf_counter()
                is_last = done + count == n_batches and self._epoch >= fit.horizon[1]
                report = fit.watch.make(rows, rates, self._epoch, is_last)
                seconds = time.perf_counter() - began
                if n_updates := len(report):
                    n_examples = min(n_updates * size, len(rows))
                    fit.chunks.learn_speed(seconds, n_examples)
                    totals.add(report, n_examples, seconds, float(rates[n_updates - 1]))
                    record = totals.record(fit)
                    if fit.callbacks:
                        last = rows[(n_updates - 1) * size :][:size]
                        fit.tell(self, record, totals.n_batches, window.numbered(last))
            if self._stopped or fit.interrupts.pending:
                break
        if not totals.n_batches:
            self._epoch -= 1
            return None
        return record or totals.record(fit)
