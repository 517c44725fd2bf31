"""The updates that several processes make together: with averaged gradients, or on their own, then averaged."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from fastnet.errors import DivergedError
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Ints
from fastnet.training.divergence import DivergenceWatch, copied
from fastnet.training.kernel_calls import OptimizerState, Snapshot, Updates
from fastnet.training.ranks import Ranks
from fastnet.training.selection import NO_ROWS

NO_RATE = np.zeros(1)


class CommonGradients(DivergenceWatch):
    """Makes updates with the mean gradient over the batches of all processes, so all have the same parameters.

    The processes make parts of some updates each. If an update diverges, all of them go back to the start of the last
    part and repeat its updates, one at a time, until they find the first bad update.

    Raises
    ------
    AttributeError
        The backend has no `update`.
    """

    def __init__(self, updates: Updates, ranks: Ranks) -> None:
        super().__init__(updates)
        self._ranks, self._update_by = ranks, updates.kernels.update  # type: ignore[attr-defined]  # of AveragingBackend
        n, dtype = updates.parameters.size, updates.parameters.dtype
        self._gradient, self._mean = c.aligned_empty(n, dtype), c.aligned_empty(n, dtype)
        self._gradient[:] = 0  # the kernels read it
        self._first: Snapshot | None = None  # from before the updates below
        self._made: list[tuple[Updates, Ints, float]] = []  # the updates that may have to be repeated
        self._begun: tuple[Snapshot, int] | None = None  # the part that begins, and how many updates were made before

    def forget(self) -> None:
        """Drop the snapshots. After a callback changes the parameters, they are useless."""
        super().forget()
        self._first, self._begun = None, None
        self._made.clear()

    def leave_window(self) -> None:
        """Copy the rows of the updates that may have to be repeated."""
        ours = self._updates
        self._made = [
            (*copied(ours, rows), rate) if of is ours and rows.size else (of, rows, rate)
            for of, rows, rate in self._made
        ]

    def begin_part(self) -> None:
        """Begin a part. All processes begin it after the same update."""
        self._begun = self._updates.snapshot(NO_ROWS, NO_RATE), len(self._made)
        if self._first is None:
            self._first = self._begun[0]

    def end_part(self, epoch: int) -> None:
        """End a part. Raise DivergedError if a parameter or the optimiser's state is not finite."""
        if self._updates.not_finite():
            self._find_together(epoch)

    def make(self, rows: Ints, rates: NDArray[np.float64], epoch: int, is_last: bool) -> NDArray[np.float64]:
        """Make an update for each rate. A process whose rows have run out gives none for the last updates.

        Raises
        ------
        DivergedError
            As that of `DivergenceWatch.make`, in all processes.
        """
        updates, size = self._updates, self._updates.batch_size
        report = np.zeros((len(rates), c.REPORT_COLUMNS))
        for k, rate in enumerate(rates.tolist()):
            update = updates, rows[k * size : (k + 1) * size], rate
            self._made.append(update)
            found = self._make_one(*update)
            if found is None:
                self._find_together(epoch)
            report[k] = found
            if self._begun is not None:  # the last update of the part before was good
                self._first, n_before = self._begun
                del self._made[:n_before]
                self._begun = None
        return report

    def _make_one(self, updates: Updates, rows: Ints, rate: float) -> NDArray[np.float64] | None:
        """Make one update together and return its report on this process' rows. None if a cost is not finite."""
        state, ranks, gradient = self._updates.state, self._ranks, self._gradient
        report = np.zeros((1, c.REPORT_COLUMNS))
        if rows.size:
            state_of_gradient = OptimizerState(c.GRADIENT_ONLY, gradient[None], state.step)
            report = replace(updates, state=state_of_gradient).make(rows, NO_RATE)
        weight = float(report[0, c.WEIGHT_SUM]) if len(report) else 0.0
        ranks.meet(diverged=not len(report), weight=weight)
        if ranks.has_diverged:
            return None
        np.multiply(gradient, weight / ranks.weight, out=gradient)
        ranks.add(gradient, self._mean)
        self._update_by(
            self._updates.layers, updates.parameters, state.moments, self._mean, state.settings, rate, state.step
        )
        state.step += 1
        made: NDArray[np.float64] = report[0]
        return made

    def _find_together(self, epoch: int) -> NoReturn:
        updates, first, made = self._updates, self._first, self._made
        self._ranks.meet(diverged=first is None)  # whether a process cannot repeat the updates
        what, step = updates.not_finite() or "cost is", updates.state.step + 1
        rate = made[-1][2] if made else 0.0
        if first is not None and not self._ranks.has_diverged:
            updates.restore(first)
            self._gradient[:] = 0
            good = first
            for some, rows, rate in made:
                before = updates.snapshot(NO_ROWS, NO_RATE)
                report = self._make_one(some, rows, rate)
                what, step = updates.not_finite() or "cost is", before.step + 1
                if report is None:  # the cost was already bad, so the update before caused this
                    updates.restore(good)
                    break
                if what != "cost is":
                    updates.restore(before)
                    break
                good = before
        try:
            self.fail(what, epoch, step, rate)
        except DivergedError as error:
            self._ranks.end_with(error)


class ParameterAverage:
    """Averages the parameters, and with `with_state` the optimiser's state, weighted by the processes' examples."""

    def __init__(self, updates: Updates, ranks: Ranks, with_state: bool) -> None:
        self._updates, self._ranks = updates, ranks
        self._slots = len(updates.state.moments) if with_state else 0
        shape, dtype = (1 + self._slots, updates.parameters.size), updates.parameters.dtype
        self._ours, self._mean = np.empty(shape, dtype), np.empty(shape, dtype)

    def average(self, weight: float) -> None:
        """Average. `weight` is what this process brought to the last meeting."""
        updates, ours, slots = self._updates, self._ours, self._slots
        share = weight / self._ranks.weight
        np.multiply(updates.parameters, share, out=ours[0])
        np.multiply(updates.state.moments[:slots], share, out=ours[1:])
        self._ranks.add(ours, self._mean)
        updates.parameters[...] = self._mean[0]
        updates.state.moments[:slots] = self._mean[1:]
