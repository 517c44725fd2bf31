"""Runs chunks of updates. If a number becomes infinite or nan, finds the update that caused this."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from fastnet.errors import DivergedError
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Ints
from fastnet.source_rows import sampled
from fastnet.training.kernel_calls import Snapshot, Updates
from fastnet.training.pieces import with_sample


class DivergenceWatch:
    """Makes the updates of chunks, and raises DivergedError if an update diverges.

    A bad update shows in the cost of the next batch, so the watch keeps a snapshot from before the last batch of each
    chunk. If the next chunk diverges, the watch repeats the updates from this snapshot, one at a time, until it finds
    the first bad update. The repeated updates equal the original updates, bit for bit.
    """

    def __init__(self, updates: Updates) -> None:
        self._updates = updates
        self._before_last: Snapshot | None = None
        self.good = np.empty((0, c.REPORT_COLUMNS))  # of a chunk that diverged: the report up to the bad update

    def forget(self) -> None:
        """Drop the snapshot. After a callback changes the parameters, the snapshot is useless."""
        self._before_last = None

    def leave_window(self) -> None:
        """Copy the rows of the snapshot's update. The window that holds them is about to be overwritten."""
        last = self._before_last
        if last is not None and last.updates is self._updates:
            updates, rows = copied(self._updates, last.rows)
            self._before_last = last._replace(rows=rows, updates=updates)

    def make(self, rows: Ints, rates: NDArray[np.float64], epoch: int, is_last: bool) -> NDArray[np.float64]:
        """Make the updates of a chunk in two calls: all batches but the last, then the last. Return their report.

        `rows` are a part of epoch number `epoch`, or several epochs from this one on. No snapshot follows the last
        chunk of a fit, which needs one call only.

        Raises
        ------
        DivergedError
            The cost, a parameter or the optimiser's state is not finite. The network gets back the parameters from
            before the update that caused this.
        """
        updates = self._updates
        first = self._before_last or updates.snapshot(rows[:0], rates[:0])
        parts = [(rows, rates)]
        if not is_last:
            last = updates.last_batch(len(rows))
            parts = [(rows[:last], rates[:-1]), (rows[last:], rates[-1:])]
        reports: list[NDArray[np.float64]] = []
        for part, part_rates in parts:
            if not part.size or updates.interrupts.pending:
                continue
            if part_rates.size == 1 and not is_last:
                self._before_last = updates.snapshot(part, part_rates)
            reports.append(updates.make(part, part_rates))
            stopped_early = len(reports[-1]) < part_rates.size and not updates.interrupts.pending
            if stopped_early or updates.not_finite():
                self._find(first, rows, rates, epoch)
        if not reports:
            return np.empty((0, c.REPORT_COLUMNS))
        return reports[0] if len(reports) == 1 else np.concatenate(reports)

    def _find(self, first: Snapshot, rows: Ints, rates: NDArray[np.float64], epoch: int) -> NoReturn:
        """Repeat the snapshot's update, then the chunk's updates, one at a time. Raise at the first bad update."""
        updates = self._updates
        updates.restore(first)
        never_stopped = np.zeros(c.PROGRESS_COLUMNS, np.int64)
        batches = c.batches(len(rows), updates.batch_size, updates.epoch_rows)
        n_batches = -(-updates.epoch_rows // updates.batch_size)  # of an epoch
        parts = [(updates, rows[batch], rates[k : k + 1]) for k, batch in enumerate(batches)]
        reports = [self.good]
        good: Snapshot | None = None
        for k, (on_part, part, rate) in enumerate([(first.updates, first.rows, first.rates), *parts], -1):
            if not part.size:
                continue
            before = updates.snapshot(part, rate)
            report = on_part.make(part, rate, never_stopped)
            n_updates = len(report)
            if k >= 0:
                reports.append(report)
            what = updates.not_finite() if n_updates else "cost is"
            if not what:
                good = before
                continue
            self.good = np.concatenate(reports)
            # If the kernel made no update, this batch's cost was already bad. The previous update caused this, so
            # restore the state from before the previous update.
            updates.restore(before if n_updates or good is None else good)
            self.fail(what, epoch + max(k, 0) // n_batches, before.step + 1, float(rate[0]))
        # All repeated updates were good, so another thread must have changed the data or the parameters.
        self.good = np.concatenate(reports)
        last_epoch = epoch + (len(rates) - 1) // n_batches
        self.fail("cost or a parameter is", last_epoch, updates.state.step + 1, float(rates[-1]))

    def fail(self, what: str, epoch: int, step: int, rate: float) -> NoReturn:
        """Raise DivergedError. `what` is as `Updates.not_finite` returns it."""
        self.forget()
        advice = "try a smaller learning rate, or clip_norm"
        if self._updates.not_finite():
            advice = "numbers were not finite before that step: check the code that sets the parameters"
        raise DivergedError(
            f"the {what} no longer finite in epoch {epoch}, step {step}, at learning rate {rate:g}; the network "
            f"has its parameters of step {self._updates.state.step}: {advice}",
            epoch=epoch,
            step=step,
            learning_rate=rate,
        )


def copied(updates: Updates, rows: Ints) -> tuple[Updates, Ints]:
    """Return updates on a copy of these rows, with the rows' numbers there. They equal updates on the window's rows."""
    numbers, order = with_sample(rows, sampled(len(updates.x)))
    return updates.of_rows(numbers), order
