"""Chooses and prepares everything that one call of `fit` needs before its first batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastnet.backends.engine import Engine
from fastnet.backends.interrupts import Interrupts
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Ints
from fastnet.network import Network
from fastnet.training.callbacks import Callback
from fastnet.training.chunks import Chunks
from fastnet.training.divergence import DivergenceWatch
from fastnet.training.history import Epoch
from fastnet.training.inputs import Examples, prepare
from fastnet.training.updates import Made, OptimizerState, Updates


class Fit(NamedTuple):
    """The objects that stay the same during one call of `fit`."""

    network: Network
    engine: Engine
    updates: Updates
    watch: DivergenceWatch
    chunks: Chunks
    inputs: str  # the description of x for the history
    horizon: tuple[float, float]  # the start and the end of this fit in epochs, for the schedule
    callbacks: Sequence[Callback]
    interrupts: Interrupts

    def hand_over(self, callback: Callable[[], None]) -> None:
        """Run a user's callback. The callback may change the parameters. Ctrl-C may interrupt it anywhere."""
        parameters = self.updates.parameters
        before = parameters.copy()
        self.interrupts.hand_over(callback)
        self.network.kernel_parameters(trained=True)  # raises if the callback made them read-only
        if not np.array_equal(before, parameters):
            self.watch.forget()

    def share(self, n_right: int, n_examples: int) -> float:
        """Return the share of examples classified right: nan for a regression network."""
        return n_right / n_examples if self.network.is_classifier else math.nan


def begin(
    network: Network,
    layers: Ints,
    state: OptimizerState,
    examples: Examples,
    engine: Engine,
    *,
    batch_size: int,
    sparse: bool | None,
    epochs: int,
    horizon: tuple[float, float],
    callbacks: Sequence[Callback],
    interrupts: Interrupts,
) -> Fit:
    """Prepare a fit on checked examples. `layers` are the network's layers with dropout."""
    batch_size = min(batch_size, len(examples.x))
    dtype, n_slots = network.dtype, len(state.moments)
    n_threads = engine.n_threads(layers, examples.x, batch_size)
    x, inputs = prepare(examples.x, dtype, engine, interrupts, sparse=sparse, epochs=epochs)
    # Plan with network.layers. `layers` hold random keys for dropout, so each trainer would need its own entry in the
    # cache of plans.
    plan = c.plan(network.layers, batch_size, n_slots, dtype.itemsize, n_threads, isinstance(x, c.SparseRows))
    chunks = Chunks(plan, batch_size, network.n_parameters * (1 + n_slots))
    updates = Updates(
        kernels=engine.kernels,
        layers=layers,
        parameters=network.kernel_parameters(trained=True),
        state=state,
        x=x,
        y=examples.y,
        batch_size=batch_size,
        work=c.aligned_empty(plan.size, dtype),
        n_threads=n_threads,
        is_long=chunks.is_long,
        interrupts=interrupts,
    )
    return Fit(network, engine, updates, DivergenceWatch(updates), chunks, inputs, horizon, callbacks, interrupts)


@dataclass(slots=True)
class Totals:
    """The sums over an epoch so far."""

    epoch: int
    n_updates: int = 0
    n_examples: int = 0
    n_right: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    learning_rate: float = 0.0  # of the last update

    def add(self, made: Made, n_examples: int, seconds: float, learning_rate: float) -> None:
        """Add a chunk."""
        self.n_updates += made.n_updates
        self.n_examples += n_examples
        self.n_right += made.n_right
        self.cost += made.cost
        self.seconds += seconds
        self.learning_rate = learning_rate

    def record(self, fit: Fit) -> Epoch:
        """Return the epoch's record so far."""
        return Epoch(
            epoch=self.epoch,
            cost=self.cost / self.n_examples,
            accuracy=fit.share(self.n_right, self.n_examples),
            validation_cost=math.nan,
            validation_accuracy=math.nan,
            seconds=self.seconds,
            examples=self.n_examples,
            examples_per_second=self.n_examples / max(self.seconds, 1e-9),
            learning_rate=self.learning_rate,
            backend=fit.engine.name,
            backend_reason=fit.engine.reason,
            threads=fit.updates.n_threads,
            inputs=fit.inputs,
        )
