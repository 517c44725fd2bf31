"""The updates of a fit: the state that they change, and the kernel call that makes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.backends.interrupts import Interrupts
from fastnet.backends.threads import run_team
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, Floats, Ints, Rows


class Made(NamedTuple):
    """A kernel call's result: the summed cost, and the numbers of updates and of examples classified right."""

    cost: float
    n_updates: int
    n_right: int


@dataclass(slots=True)
class OptimizerState:
    """The state that an optimiser keeps between updates."""

    settings: NDArray[np.float64]  # (7,): the contract names the columns
    moments: Floats  # (slots, n_parameters): no slot for sgd, the velocity for momentum, two moments for Adam
    step: int = 0  # the number of updates made


class Snapshot(NamedTuple):
    """A copy of the parameters and the optimiser's state before an update, with the update's rows and rate."""

    parameters: Floats
    moments: Floats
    step: int
    rows: Ints
    rates: NDArray[np.float64]


@dataclass(slots=True)
class Updates:
    """The updates of one fit: a network, its data, the optimiser's state, and the backend."""

    kernels: Backend
    layers: Ints  # with dropout
    parameters: Floats  # (n_parameters,): the network's own buffer
    state: OptimizerState
    x: Rows
    y: NDArray[Any]
    batch_size: int
    work: Floats  # the workspace
    n_threads: int
    is_long: bool  # whether each call runs in a thread of its own, so that Ctrl-C is received during a long call
    interrupts: Interrupts

    def make(self, rows: Ints, rates: NDArray[np.float64], progress: Ints | None = None) -> Made:
        """Make one update for each batch of `rows`, with the learning rates `rates`.

        The kernel stops early if a cost is not finite, or if the column STOP of `progress` is set. In the default
        `progress`, Ctrl-C sets this column.
        """
        progress = self.interrupts.progress if progress is None else progress
        state = self.state

        def train(team: Ints, worker: int) -> float:
            return self.kernels.train(
                c.TrainCall(
                    net=self.layers,
                    params=self.parameters,
                    state=state.moments,
                    x=self.x,
                    y=self.y,
                    order=rows,
                    batch_size=self.batch_size,
                    rates=rates,
                    optimizer=state.settings,
                    step=state.step,
                    progress=progress,
                    work=self.work,
                    team=team,
                    worker=worker,
                )
            )

        call = partial(run_team, self.n_threads, train)
        cost = self.interrupts.call(call) if self.is_long else call()
        assert cost is not None
        n_updates = int(progress[c.STEPS])
        state.step += n_updates
        return Made(cost, n_updates, int(progress[c.CORRECT]))

    def snapshot(self, rows: Ints, rates: NDArray[np.float64]) -> Snapshot:
        """Return copies of the parameters and the optimiser's state, with the rows and the rate of the next update."""
        return Snapshot(self.parameters.copy(), self.state.moments.copy(), self.state.step, rows, rates)

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
        if not np.isfinite(self.parameters).all():
            return "parameters are"
        return "" if np.isfinite(self.state.moments).all() else "optimiser's state is"
