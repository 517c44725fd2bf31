"""Prepares a call of `fit` before its first batch; calls callbacks and validates between the batches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnet.backends import workspaces
from fastnet.backends.engine import Engine
from fastnet.backends.interrupts import Interrupts
from fastnet.evaluation import Squares, evaluation
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats, Ints
from fastnet.kernels.formulas import Sums
from fastnet.names import BatchSize
from fastnet.network import Network
from fastnet.source_rows import SourceRows
from fastnet.training.callbacks import Callback, EpochSoFar, FitInfo, batches_until_due, is_due
from fastnet.training.chunks import Chunks
from fastnet.training.divergence import DivergenceWatch
from fastnet.training.feeds import Feed, feed
from fastnet.training.history import Epoch
from fastnet.training.inputs import Examples, compile_for, prepare
from fastnet.training.kernel_calls import OptimizerState, Updates
from fastnet.training.order import draw_order, examples_in_batch
from fastnet.training.selection import NO_ROWS, Selection
from fastnet.training.windows import Window

if TYPE_CHECKING:  # only trainings of several processes need this module
    from fastnet.training.ranks import Ranks

NOTHING: Floats = np.empty(0)  # takes the place of the data between two fits
SCORES = {c.CLASSIFICATION: ("accuracy",), c.MULTILABEL: ("accuracy", "label_accuracy"), c.REGRESSION: ("r2",)}


class Validation(NamedTuple):
    """The examples to evaluate the network on after each epoch."""

    examples: Examples
    squares: Squares | None  # of their targets; None for a source, whose evaluation counts them


@dataclass(slots=True)
class Fit:
    """The objects that stay the same during one call of `fit`."""

    network: Network
    engine: Engine
    updates: Updates
    watch: DivergenceWatch
    chunks: Chunks
    plan: c.Plan
    made_for: tuple[object, ...]  # what the fields above depend on
    n_batches: int  # in an epoch; 0 for a stream
    rows: Ints  # the row numbers of the examples to train on
    squares: Squares | None  # of the targets to train on; None if the network is not for regression
    variance: float  # of these targets; nan if the network is not for regression
    validation: Validation | None
    inputs: str  # the description of x for the history
    epochs: int
    horizon: tuple[float, float]  # the start and the end of this fit in epochs, for the schedule
    callbacks: Sequence[Callback]
    interrupts: Interrupts
    memory: workspaces.Memory  # of the workspace
    feed: Feed | None = None  # None: the examples are in memory
    score_of_constant: float = math.nan  # of the best constant output; nan until it is needed
    fingerprint: dict[str, str] | None = None  # of the data, once it is needed
    has_warned: bool = False  # that the network does not learn
    averaging: str = ""  # the description for the history of what several processes average
    ranks: Ranks | None = None  # the exchanges with other processes; None: this process trains alone

    def batches_of_chunk(self, done: int, end: int) -> int:
        """Return the number of batches of the next chunk, from batch number `done` on, and before number `end`."""
        count = min(self.chunks.next_size(), end - done)
        return min((count, *batches_until_due(self.callbacks, done))) if self.callbacks else count

    def windows(self, shuffle: bool, rng: np.random.Generator, done: int) -> Iterable[Window]:
        """Return the windows of the next epoch without its first `done` batches. `rng` draws the epoch's order."""
        updates = self.updates
        if self.feed is not None:
            return self._windows(self.feed.windows(shuffle, rng, done * updates.batch_size, updates.interrupts))
        order = draw_order(self.rows, shuffle, rng)
        rest = order[done * updates.batch_size :] if done else order
        return (Window(updates.x, updates.y, updates.weights, rest),)

    def _windows(self, windows: Iterator[Window]) -> Iterator[Window]:
        for window in windows:
            yield window
            self.watch.leave_window()

    def use(self, window: Window) -> None:
        """Make the next updates on the examples of this window."""
        updates, self.rows = self.updates, window.order
        updates.x, updates.y, updates.weights = window.x, window.y, window.weights

    def end(self, kept: Kept | None = None) -> None:
        """Give back the workspace and forget the user's data. `kept`, if given, keeps this object for another fit."""
        workspaces.give_back(self.memory)
        updates = self.updates
        updates.x = updates.y = updates.weights = updates.work = self.memory = NOTHING
        self.rows, self.callbacks, self.validation, self.feed, self.squares = NO_ROWS, (), None, None, None
        self.watch.forget()
        self.chunks.forget_speed()
        if kept is not None:
            kept.fit = self

    def is_for(
        self, network: Network, layers: Ints, state: OptimizerState, parameters: Floats, made_for: tuple[object, ...]
    ) -> bool:
        """Whether another fit may use this object."""
        updates = self.updates
        return (
            self.made_for == made_for
            and self.network is network
            and updates.layers is layers
            and updates.state is state
            and updates.parameters is parameters
        )

    def info(self) -> FitInfo:
        """Return what `on_fit_begin` of each callback gets. R2 is left out if it is nan, for equal targets."""
        task = int(self.updates.layers[-1, c.TASK])
        found = ["cost", *SCORES[task]] if self.variance else ["cost"]
        if self.validation is not None:
            squares = self.validation.squares
            is_constant = squares is not None and not squares.total and self.ranks is None
            scores = () if is_constant else SCORES[task]
            found += [f"validation_{name}" for name in ("cost", *scores)]
        return FitInfo(self.epochs, self.n_batches, self.updates.epoch_rows if self.n_batches else 0, tuple(found))

    def hand_over(self, callback: Callable[[], None]) -> None:
        """Run a user's callback. The callback may change the parameters. Ctrl-C may interrupt it anywhere."""
        parameters = self.updates.parameters
        before = parameters.copy()
        self.interrupts.hand_over(callback)
        self.network.kernel_parameters(trained=True)  # raises if the callback made them read-only
        if (before != parameters).any():
            self.watch.forget()

    def tell(
        self, trainer: Any, so_far: Epoch, n_batches: int, rows: Ints, callbacks: Sequence[Callback] | None = None
    ) -> None:
        """Call `on_batches` of each callback that is due after batch number `n_batches`, which consists of `rows`.

        `callbacks`: the callbacks to look at. None: all.
        """
        for callback in self.callbacks if callbacks is None else callbacks:
            if is_due(callback, n_batches):
                progress = EpochSoFar(
                    epoch=so_far.epoch,
                    batch=n_batches,
                    batches=self.n_batches,
                    examples=so_far.examples,
                    cost=so_far.cost,
                    accuracy=so_far.accuracy,
                    label_accuracy=so_far.label_accuracy,
                    r2=so_far.r2,
                    seconds=so_far.seconds,
                    learning_rate=so_far.learning_rate,
                    rows=c.frozen(rows),  # a copy, so that no callback can change the order that kernels read
                )
                self.hand_over(partial(callback.on_batches, trainer, progress))

    def validated(self, epoch: Epoch) -> Epoch:
        """Return the epoch's record with the results on the validation data. On Ctrl-C, return it without them."""
        found = self.evaluated()
        return epoch if found is None else self.with_validation(epoch, *found)

    def evaluated(self) -> tuple[Sums, Squares] | None:
        """Return the sums over the validation data, and the squares of their targets. None without data, or on Ctrl-C.

        Several processes add what this returns to get the results on the validation data of all.
        """
        if self.validation is None:
            return None
        (x, y, weights, source), squares = self.validation
        if isinstance(source, SourceRows):
            return source.evaluated(self.engine, lambda: self.interrupts.pending)
        assert squares is not None
        sums = self.network.evaluated(x, y, weights, self.engine, is_over=lambda: self.interrupts.pending)
        return None if self.interrupts.pending else (sums, squares)

    def with_validation(self, epoch: Epoch, sums: Sums, squares: Squares) -> Epoch:
        """Return the epoch's record with the results on validation data."""
        found = evaluation(self.updates.layers, sums, squares.total)
        return dataclasses.replace(
            epoch,
            validation_cost=found.cost,
            validation_accuracy=found.accuracy,
            validation_label_accuracy=found.label_accuracy,
            validation_r2=found.r2,
        )


class Kept:
    """The last fit of a trainer, for its next fit, and the fit that runs. A copy of the trainer has neither."""

    fit: Fit | None = None
    running: Fit | None = None

    def taken(self) -> Fit | None:
        """Return the fit and keep it no longer."""
        fit, self.fit = self.fit, None
        return fit

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()


def begin(
    network: Network,
    layers: Ints,
    state: OptimizerState,
    selection: Selection,
    engine: Engine,
    *,
    batch_size: BatchSize,
    sparse: bool | None,
    epochs: int,
    horizon: tuple[float, float],
    callbacks: Sequence[Callback],
    interrupts: Interrupts,
    validation: Examples | None = None,
    kept: Kept | None = None,
    averages: bool = False,
) -> Fit:
    """Prepare a fit on checked examples. `layers` are the network's layers with dropout.

    `averages`: whether the fit may average gradients, for which the kernels need a slot of state.

    If `kept` holds a fit for as many examples of this kind, that fit is used again. `kept` is then empty, until the fit
    ends without an error.
    """
    (x, y, weights, source), rows, held_out, class_weights = selection
    n_rows = selection.n_rows
    size = examples_in_batch(batch_size, n_rows)
    parameters = network.kernel_parameters(trained=True)
    n_threads = engine.n_threads(layers, x, size)
    if source is not None and sparse:
        raise ValueError("sparse=True compresses examples in memory, but a source is read in each epoch: use 'auto'")
    x, inputs = prepare(x, network, engine, interrupts, sparse=sparse if source is None else False, epochs=epochs)
    made_for = engine, n_threads, size, n_rows, type(x), x.dtype
    fit = kept.taken() if kept is not None else None
    if fit is None or not fit.is_for(network, layers, state, parameters, made_for):
        fit = _made(network, layers, state, parameters, made_for, max(len(state.moments), int(averages)))
    fit.inputs, fit.rows, fit.squares = inputs, rows, selection.squares(layers, lambda: interrupts.pending)
    fit.variance = math.nan if fit.squares is None else fit.squares.variance
    fit.epochs, fit.horizon, fit.callbacks, fit.interrupts = epochs, horizon, callbacks, interrupts
    fit.score_of_constant, fit.fingerprint, fit.has_warned = math.nan, None, False
    fit.feed = None if source is None else feed(source, size, class_weights)
    updates = fit.updates
    updates.x, updates.y, updates.weights, updates.interrupts = x, y, weights, interrupts
    updates.work, fit.memory = workspaces.take(fit.plan.size, parameters.dtype)
    held_out = validation if held_out is None else held_out
    if held_out is not None:
        compile_for(held_out.x, parameters.dtype, engine, interrupts)
        squares = None
        if held_out.source is None:
            squares = Squares(layers)
            squares.add(held_out.y, held_out.weights)
        fit.validation = Validation(held_out, squares)
    return fit


def _made(
    network: Network,
    layers: Ints,
    state: OptimizerState,
    parameters: Floats,
    made_for: tuple[Engine, int, int, int, type, np.dtype[Any]],
    n_slots: int,
) -> Fit:
    """Return a fit without the data and the settings of a single call."""
    engine, n_threads, size, n_rows, kind, _ = made_for
    # Plan with network.layers. `layers` hold random keys for dropout, so each trainer would need its own entry in the
    # cache of plans.
    plan = c.plan(network.layers, size, n_slots, parameters.itemsize, n_threads, kind is c.SparseRows)
    chunks = Chunks(plan, size, parameters.size * (1 + n_slots))
    interrupts = Interrupts()
    updates = Updates(
        kernels=engine.kernels,
        layers=layers,
        parameters=parameters,
        state=state,
        x=NOTHING,
        y=NOTHING,
        weights=NOTHING,
        batch_size=size,
        epoch_rows=n_rows,
        work=NOTHING,
        n_threads=n_threads,
        is_long=chunks.is_long,
        interrupts=interrupts,
    )
    return Fit(
        network=network,
        engine=engine,
        updates=updates,
        watch=DivergenceWatch(updates),
        chunks=chunks,
        plan=plan,
        made_for=made_for,
        n_batches=-(-n_rows // size) if n_rows < c.WHOLE_ORDER else 0,
        rows=NO_ROWS,
        squares=None,
        variance=math.nan,
        validation=None,
        inputs="",
        epochs=0,
        horizon=(0, 0),
        callbacks=(),
        interrupts=interrupts,
        memory=NOTHING,
    )
