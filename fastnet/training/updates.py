"""The updates of a fit: what they change, and the kernel call that makes them."""

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
    """What a kernel call made: the cost summed over the examples, and the numbers of updates and of right examples."""

    cost: float
    n_updates: int
    n_right: int


@dataclass(slots=True)
class OptimizerState:
    """What an optimiser keeps from update to update."""

    settings: NDArray[np.float64]  # (7,): the contract names the columns
    moments: Floats  # (slots, n_parameters): nothing for sgd, the velocity, or Adam's two moments
    step: int = 0  # updates made


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
    is_long: bool  # whether a call may last so long that it runs in a thread, for Ctrl-C's sake
    interrupts: Interrupts

    def make(self, rows: Ints, rates: NDArray[np.float64], progress: Ints | None = None) -> Made:
        """Make one update for each batch of rows, at these rates.

        The kernel stops early where a cost is not finite, or where `progress` says so: by default on Ctrl-C.
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
        """Return copies of everything that the update on these rows will change."""
        return Snapshot(self.parameters.copy(), self.state.moments.copy(), self.state.step, rows, rates)

    def restore(self, snapshot: Snapshot) -> None:
        """Put everything back as it was at the snapshot."""
        self.parameters[...] = snapshot.parameters
        self.state.moments[...] = snapshot.moments
        self.state.step = snapshot.step

    def not_finite(self) -> str:
        """Return what is no longer finite, for a message, or "".

        The moments count too. An infinite second moment, of a gradient whose square overflows, would never let its
        parameter change again.
        """
        if not np.isfinite(self.parameters).all():
            return "parameters are"
        return "" if np.isfinite(self.state.moments).all() else "optimiser's state is"
