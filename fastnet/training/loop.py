"""The epochs of a fit: their updates in chunks, their records, and the callbacks after them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from fastnet import checks
from fastnet.errors import DivergedError
from fastnet.training.ahead import rates_ahead, train_ahead
from fastnet.training.callbacks import batches_until_due
from fastnet.training.fit import Fit
from fastnet.training.history import Epoch
from fastnet.training.resuming import ResumableTrainer, software_of
from fastnet.training.schedules import factors_of_epoch
from fastnet.training.standstill import warn_of_standstill
from fastnet.training.state import FitSoFar, restore_callbacks
from fastnet.training.totals import Totals

if TYPE_CHECKING:  # only trainings of several processes need these modules
    from fastnet.training.ranks import Ranks
    from fastnet.training.ranks_fit import CommonFit

_ALONE = nullcontext()


class TrainingLoop(ResumableTrainer):
    """The third part of a trainer: it trains the epochs of a fit, which `Trainer` has prepared."""

    def _run(self, fit: Fit, resumed: FitSoFar | None, at_end: ExitStack, common: CommonFit | None = None) -> None:
        """Train the epochs of a fit, which may be `common` to several processes.

        `at_end` gets the callbacks' `on_fit_end`.
        """
        for callback in fit.callbacks:
            fit.hand_over(partial(callback.on_fit_begin, self, fit.info()))
            at_end.callback(fit.interrupts.hand_over, partial(callback.on_fit_end, self))
        if resumed is not None:
            restore_callbacks(fit.callbacks, resumed.callbacks)
            self._resumed = None
        end, interrupts = int(fit.horizon[1]), fit.interrupts
        if common is not None:
            self._run_together(fit, common, end)
            return
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

    # -- several processes -------------------------------------------------------------------------------------

    def _has_company(self) -> bool:
        """Whether other processes train the network too."""
        return self._communicator is not None and self._communicator.size > 1

    def _processes(self) -> AbstractContextManager[Ranks | None]:
        """Return the context around a fit: that of the exchanges with the other processes, if there are any.

        Raises RuntimeError if this trainer is already in a fit, whose exchanges another fit would mix up.
        """
        if self._communicator is None or not self._has_company():
            return _ALONE
        if self._kept.running is not None:
            raise RuntimeError("a callback called fit of its own trainer, but processes cannot begin a fit in a fit")
        from fastnet.training.ranks import Ranks

        return Ranks(self._communicator)

    def _join(
        self, fit: Fit, ranks: Ranks | None, class_weight: Mapping[int, float] | str | None, validation_split: float
    ) -> CommonFit | None:
        """Begin the fit together with the other processes, if there are any. The last two are checked arguments of fit.

        Raises ValueError in all processes if something differs between them that must be the same.
        """
        if ranks is None:
            return None
        from fastnet.training.ranks_fit import digest, facts_of, join

        assert self._averaging is not None
        totals = self._totals
        facts = facts_of(self, fit, software_of(fit.engine.name))
        facts["class_weight"] = str(sorted(class_weight.items()) if isinstance(class_weight, Mapping) else class_weight)
        facts["validation_split"] = str(validation_split)
        facts["the epochs done"] = f"{self._epoch} and {0 if totals is None else totals.n_batches} batches"
        if totals is None:  # within an epoch, the processes may have parameters of their own
            facts["the network's parameters"] = digest(fit)
        common = join(fit, ranks, self._averaging, self._every, facts)
        self._every = common.every
        return common

    def _run_together(self, fit: Fit, common: CommonFit, end: int) -> None:
        """Train the epochs of a fit with other processes. All of them leave this loop after the same update."""
        ranks, interrupts = common.ranks, fit.interrupts
        while True:
            begins, digest = self._totals is None, common.digest()
            ranks.meet(
                interrupted=interrupts.pending,
                stopped=self._stopped,
                n_updates=common.next_size,
                rate=self.learning_rate,
                digest=digest,
            )
            self._stopped = ranks.is_stopped
            if begins:
                common.check_alike(self.learning_rate, digest)
            if self._epoch >= end or ranks.is_interrupted or (ranks.is_stopped and begins):
                break
            epoch, is_whole = self._train_epoch_together(fit, common)
            self.history.epochs.append(epoch)
            if not is_whole:
                break
            self._totals = None
            for callback in fit.callbacks:
                fit.hand_over(partial(callback.on_epoch_end, self, epoch))

    def _train_epoch_together(self, fit: Fit, common: CommonFit) -> tuple[Epoch, bool]:
        """Train one epoch in parts. After each part the processes meet. Return its record, and false on Ctrl-C."""
        from fastnet.training.ranks_fit import Supply

        ranks, n_batches = common.ranks, fit.n_batches
        if (totals := self._totals) is None:
            totals = self._totals = Totals(self._epoch + 1)
            self._drawn_from = self._rng.bit_generator.state if fit.callbacks else None
        first_step = self._state.step - totals.n_batches
        factors = factors_of_epoch(self._schedule, self._epoch, first_step, n_batches, fit.horizon)
        self._epoch += 1
        counting = [callback for callback in fit.callbacks if callback.every is not None]
        others = [callback for callback in fit.callbacks if callback.every is None]
        supply = Supply(fit, self._shuffle, self._rng, totals)
        every = common.begin_epoch(self._epoch, totals.n_batches)
        while (done := totals.n_batches) < n_batches and not (ranks.is_stopped or ranks.is_interrupted):
            until_average = every - done % every if every > 1 else n_batches
            end = min(done + ranks.n_updates, done + until_average, n_batches)
            common.begin_part()
            while (done := totals.n_batches) < end:
                rows, count = supply.take(min((end - done, *batches_until_due(fit.callbacks, done))))
                rates = checks.rates(self.learning_rate, factors[done : done + count], self._state.step)
                began = time.perf_counter()
                report = common.make(rows, rates, self._epoch)
                seconds = time.perf_counter() - began
                totals.add(report, len(rows), seconds, float(rates[-1]))
                if len(rows):
                    fit.chunks.learn_speed(seconds, len(rows))
                last = supply.numbered(rows[(count - 1) * fit.updates.batch_size :])
                if counting:
                    fit.tell(self, totals.record(fit), totals.n_batches, last, counting)
            began = time.perf_counter()
            is_average = end == n_batches or not end % every
            common.end_part(self._epoch, fit.interrupts.pending, self._stopped, is_average)
            totals.seconds += time.perf_counter() - began
            if ranks.tells:  # now all processes are at the same update
                ranks.tells = False
                fit.tell(self, totals.record(fit), totals.n_batches, last, others)
        self._stopped = ranks.is_stopped
        return common.record(totals), not ranks.is_interrupted
