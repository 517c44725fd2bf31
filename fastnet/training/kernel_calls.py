"""The updates of a fit: the state that they change, and the kernel call that makes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.backends.interrupts import Interrupts
from fastnet.backends.threads import run_team
from fastnet.checks import AnyRows, UnconvertedRows, is_finite, kernel_rows
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, Floats, Ints
from fastnet.training.pieces import pieces


@dataclass(slots=True)
class OptimizerState:
    """The state that an optimiser keeps between updates."""

    settings: NDArray[np.float64]  # (OPTIMIZER_COLUMNS,)
    moments: Floats  # (slots, n_parameters): no slot for sgd, the velocity for momentum, two moments for Adam
    step: int = 0  # the number of updates made


class Snapshot(NamedTuple):
    """A copy of the parameters and the optimiser's state before an update, with the update's rows and rate."""

    parameters: Floats
    moments: Floats
    step: int
    rows: Ints
    rates: NDArray[np.float64]
    updates: Updates  # on the examples that `rows` index


@dataclass(slots=True)
class Updates:
    """The updates of one fit: a network, its data, the optimiser's state, and the backend."""

    kernels: Backend
    layers: Ints  # with dropout
    parameters: Floats  # (n_parameters,): the network's own buffer
    state: OptimizerState
    x: AnyRows
    y: NDArray[Any]
    weights: NDArray[np.float64]
    batch_size: int
    epoch_rows: int  # the number of rows of an epoch
    work: Floats  # the workspace
    n_threads: int
    is_long: bool  # whether each call runs in a thread of its own, so that Ctrl-C is received during a long call
    interrupts: Interrupts

    def make(self, rows: Ints, rates: NDArray[np.float64], progress: Ints | None = None) -> NDArray[np.float64]:
        """Make one update for each batch of `rows`, with the learning rates `rates`.

        `rows` hold one or more epochs, the last perhaps not whole, or a part of one epoch.

        Return the contract's report (n_updates, REPORT_COLUMNS) of the updates made.

        The kernel stops early if a cost is not finite, or if the column STOP of `progress` is set. In the default
        `progress`, Ctrl-C sets this column.
        """
        progress = self.interrupts.progress if progress is None else progress
        if isinstance(self.x, UnconvertedRows):
            return self._make_in_pieces(self.x, rows, rates, progress)
        return self.make_in_one_call(rows, rates, progress)

    def make_in_one_call(self, rows: Ints, rates: NDArray[np.float64], progress: Ints) -> NDArray[np.float64]:
        """Make the updates as `make` does, on rows that need no conversion."""
        x = self.x
        assert not isinstance(x, UnconvertedRows)
        report = np.empty((len(rates), c.REPORT_COLUMNS))
        state = self.state
        alone = c.TrainCall(
            net=self.layers,
            params=self.parameters,
            state=state.moments,
            x=x,
            y=self.y,
            weights=self.weights,
            order=rows,
            batch_size=self.batch_size,
            rates=rates,
            optimizer=state.settings,
            step=state.step,
            progress=progress,
            report=report,
            work=self.work,
            team=c.team(1),
            worker=0,
            epoch_rows=self.epoch_rows,
        )

        def train(team: Ints, worker: int) -> float:
            return self.kernels.train(alone._replace(team=team, worker=worker))

        if self.is_long:
            self.interrupts.call(partial(run_team, self.n_threads, train))
        elif self.n_threads > 1:
            run_team(self.n_threads, train)
        else:
            self.kernels.train(alone)
        n_updates = int(progress[c.STEPS])
        state.step += n_updates
        return report[:n_updates]

    def _make_in_pieces(
        self, x: UnconvertedRows, rows: Ints, rates: NDArray[np.float64], progress: Ints
    ) -> NDArray[np.float64]:
        """Make the updates in calls on a converted copy of some rows at a time. The result is that of one call."""
        reports = [np.empty((0, c.REPORT_COLUMNS))]
        for numbers, order in pieces(x, rows, self.batch_size, self.epoch_rows):
            piece = self.of_rows(numbers)
            piece_rates = rates[: -(-len(order) // self.batch_size)]
            reports.append(piece.make(order, piece_rates, progress))
            if len(reports[-1]) < len(piece_rates):
                break
            rates = rates[len(piece_rates) :]
        return np.concatenate(reports)

    def of_rows(self, numbers: Ints) -> Updates:
        """Return the updates on copies of these rows, converted if necessary."""
        weights = self.weights[numbers] if self.weights.size else self.weights
        return replace(self, x=kernel_rows(self.x[numbers]), y=self.y[numbers], weights=weights)

    def last_batch(self, n: int) -> int:
        """Return where the last batch of `n` rows begins, as `make` takes them."""
        epoch = (n - 1) // self.epoch_rows * self.epoch_rows
        return epoch + (n - 1 - epoch) // self.batch_size * self.batch_size

    def snapshot(self, rows: Ints, rates: NDArray[np.float64]) -> Snapshot:
        """Return copies of the parameters and the optimiser's state, with the rows and the rate of the next update."""
        return Snapshot(self.parameters.copy(), self.state.moments.copy(), self.state.step, rows, rates, self)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the parameters and the optimiser's state of a snapshot."""
        self.parameters[...] = snapshot.parameters
        self.state.moments[...] = snapshot.moments
        self.state.step = snapshot.step

    def not_finite(self) -> str:
        """Return the part of a message that says what is not finite ("parameters are"), or "" if all is finite.

        The moments count too. If the square of a gradient overflows, Adam's second moment becomes infinite, and the
        parameter would never change again.
        """
        if not is_finite(self.parameters):
            return "parameters are"
        return "" if is_finite(self.state.moments) else "optimiser's state is"
