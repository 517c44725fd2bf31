"""Trainer: the policy between kernel calls - epochs, order, learning rates, callbacks, interrupts, divergence.

The arithmetic is in the kernels, the updates' formulas too. Not here: early stopping (a few lines of callback),
checkpoints (Network.save in a callback), the threads of a team (threads.py), what is compressed (sparse.py).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from fastnet import backends, checks
from fastnet.backends.compression import compressed, compresses, described
from fastnet.backends.forward import work_of
from fastnet.backends.interrupts import Interrupts
from fastnet.backends.threads import OneAtATime, run_team, team_size
from fastnet.backends.warming import compiles, warm_up
from fastnet.errors import DivergedError
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, Ints, Rows, SparseRows
from fastnet.network import Evaluation, Network
from fastnet.training.callbacks import Callback, Progress, as_callbacks, every_of
from fastnet.training.dropout import with_dropout
from fastnet.training.history import Epoch, History
from fastnet.training.optimizers import FromFunction, Optimizer, Schedule, as_optimizer, as_schedule, encode

Array = NDArray[Any]
CHUNK_SECONDS = 0.05  # of a kernel call: how often callbacks on batches run and an interrupt is seen
# A call packs the parameters and the optimiser's state and unpacks them, in about 3 ns a number, and a chunk is two
# calls: for each number a chunk lasts at least so long that this stays below 1% of it.
PACKED_SECONDS = 2 * 3e-9 / 0.01
FIRST_CHUNK = 1 << 28  # work (see _Run) of the first, before the machine's speed is known
LONG_BATCH = 1 << 28  # work of a batch from which on a call runs in a thread: it could outlast a chunk
ACTIVATION_WORK, BATCH_WORK = 50, 1 << 19  # of a padded output, and of the Python around a batch, in multiply-adds


class _Run(NamedTuple):
    """What stays the same for the epochs of one call."""

    parameters: Array  # the network's
    x: Rows
    y: Array
    inputs: str  # what x is, for the history
    batch_size: int
    kernels: Backend
    choice: backends.Choice
    n_threads: int  # of the team of threads
    work: Array
    work_of_batch: int  # about so many multiply-adds: what narrow layers cost counts as such too
    chunk_seconds: float
    in_a_thread: bool  # whether calls may outlast CHUNK_SECONDS
    horizon: tuple[float, float]
    callbacks: Sequence[Callback]
    interrupts: Interrupts


class Trainer:
    """Trains a network by gradient descent on batches.

    Parameters
    ----------
    network
        The Network; its parameters are changed in place.
    optimizer
        "sgd" (plain gradient descent), "momentum" (0.9), "nesterov", "adam", or an object: Momentum(0.95).
    learning_rate
        Multiplied by the schedule's factor. By default 0.1 for sgd, 0.01 for momentum, 0.001 for adam.
    schedule
        "constant", "step", "cosine", "exponential", an object (Cosine(epochs=30, warmup=1)), or a function of the
        update's number, from 0, that returns the factor.
    batch_size
        Examples an update; the last batch of an epoch may be smaller. len(x) is plain gradient descent.
    weight_decay
        L2: adds weight_decay * W to the gradient of the weights, not of the biases.
    clip_norm
        The gradient is scaled down to this norm where it is longer, before the weight decay.
    dropout
        The share, from 0 to less than 1, of a hidden layer's activations that training drops in each example, anew in
        each update (Srivastava et al. 2014); the others are scaled by 1 / (1 - dropout), and prediction uses them all.
        One number, or one for each hidden layer. The same seed drops the same on every backend.
    shuffle
        Draws a new order of the examples each epoch; False keeps theirs.
    backend
        "cython", "numba", "numpy", "auto"; None: as use_backend or FASTNET_BACKEND say, or auto.
    seed
        Of the order and of dropout. The same seed, backend, machine and number of threads: the same parameters, bit for
        bit.
    threads
        That share the work of each batch, never more than there are cores for this process. "auto": one for small
        batches, else as many as there are cores, with 16 examples each or more. numpy takes 1 only, for its BLAS has
        threads of its own.
    sparse
        Whether `fit` first compresses dense inputs to the entries that are not zero, 8 bytes each in float32. "auto":
        where that pays: floats on the compiled backends, with 64 inputs or more, 40% or fewer of them not zero, and 8
        epochs or more to go. Sparse inputs stay sparse in any case. The history's `inputs` says what was done.

    Raises ValueError or TypeError for impossible settings, BackendError for a missing backend.
    """

    def __init__(
        self,
        network: Network,
        *,
        optimizer: str | Optimizer = "sgd",
        learning_rate: float | None = None,
        schedule: str | Schedule | Callable[[int], float] = "constant",
        batch_size: int = 32,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        dropout: float | Sequence[float] = 0.0,
        shuffle: bool = True,
        backend: str | None = None,
        seed: int | np.random.Generator | None = None,
        threads: int | str = 1,
        sparse: bool | str = "auto",
    ) -> None:
        self._network = checks.instance("network", network, Network)
        self._optimizer = as_optimizer(optimizer)
        self._schedule = as_schedule(schedule)
        self.learning_rate = self._optimizer.default_learning_rate if learning_rate is None else learning_rate
        self._batch_size = checks.whole_number("batch_size", batch_size, 1)
        self._encoded = encode(
            self._optimizer,
            checks.number("weight_decay", weight_decay, minimum=0),
            None if clip_norm is None else checks.number("clip_norm", clip_norm, above=0),
        )
        self._dropout = checks.dropout(dropout, len(network.sizes) - 2)
        self._shuffle = checks.flag("shuffle", shuffle)
        self._backend = backend
        self._threads = checks.threads(threads)
        self._sparse = checks.sparse(sparse)
        name = backends.resolve(backend).name  # a missing backend is an error now, not after the data is loaded
        team_size(self._threads, backends.get(name), name, 1, 0)  # and so are threads that it cannot have
        self._rng = checks.generator(seed)
        self._layers = with_dropout(network.layers, self._dropout, self._rng)
        self._state = np.zeros((c.SLOTS[int(self._encoded[c.KIND])], network.n_parameters), network.dtype)
        self._one_fit = OneAtATime("a Trainer is for one fit at a time: make one for each thread, with its own network")
        self._undo: _Undo | None = None
        self._step = 0  # updates made
        self._epoch = 0  # epochs begun
        self._broken_off: Epoch | None = None  # the record of an epoch that an exception ended
        self._stopped = False
        self._seconds_per_example: float | None = None  # as the last chunk took
        self.history = History()

    @property
    def network(self) -> Network:
        """The network that is trained. A trainer keeps to its own: the optimiser's state is that network's."""
        return self._network

    @property
    def learning_rate(self) -> float:
        """The base rate, which the schedule's factor multiplies; may be set at any time, by a callback too."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = checks.number("learning_rate", value, minimum=0)

    @property
    def batch_size(self) -> int:
        """Examples an update, as given: where there are fewer, all of them."""
        return self._batch_size

    @property
    def dropout(self) -> tuple[float, ...]:
        """The share of each hidden layer's activations that an update drops."""
        return self._dropout

    @property
    def backend(self) -> str | None:
        """The backend as given, None where another may decide; the history says which one it was."""
        return self._backend

    @property
    def steps(self) -> int:
        """Updates made so far."""
        return self._step

    def stop(self) -> None:
        """Ends the running `fit` at the next batch boundary; for callbacks."""
        self._stopped = True

    def __repr__(self) -> str:
        return f"<Trainer of {self.network!r}, {self._optimizer!r}, after {self._epoch} epochs, {self._step} steps>"

    # -- the public calls --------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 1,
        validation_data: tuple[Any, Any] | None = None,
        callbacks: Sequence[Callback | Callable[[Trainer, Epoch], object]] = (),
    ) -> History:
        """Trains for some epochs more and returns the history of all.

        x (n, n_in) float32, float64 or uint8 (which stands for x / 255; never copied to floats as a whole), or sparse,
        of scipy; y int labels (n,) or targets (n, n_out). A callback is a Callback or a function(trainer, epoch) for
        the end of an epoch. Called again it goes on where it stopped, optimiser state, order and schedule included;
        an epoch that was broken off is not finished, the next begins anew.

        Raises ValueError for unusable data, DivergedError when the cost, a parameter or the optimiser's state is no
        longer finite (the network then has the last parameters with which all were), KeyboardInterrupt at a batch
        boundary, RuntimeError where this trainer is in a fit already: in another thread, or in one whose callback
        calls this.
        """
        epochs = checks.whole_number("epochs", epochs, 0)
        x = self.network.check_inputs(x)
        y = self.network.check_targets(y, len(x))
        validation = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise TypeError("validation_data must be a pair (x, y)")
            validation_x = self.network.check_inputs(validation_data[0], "validation x")
            validation = validation_x, self.network.check_targets(validation_data[1], len(validation_x), "validation y")
        with Interrupts() as interrupts, self._one_fit:  # in this order: Ctrl-C is not to keep it taken
            self._stopped = False
            run = self._start(x, y, (self._epoch, self._epoch + epochs), callbacks, interrupts, epochs)
            if validation is not None:
                self._warm_up(run.kernels, validation[0], interrupts)
            for _ in range(epochs):
                if self._stopped or interrupts.pending:
                    break
                order = self._rng.permutation(len(x)) if self._shuffle else np.arange(len(x))
                try:
                    epoch = self._train_epoch(run, order)
                except KeyboardInterrupt:  # in a callback on batches
                    self.history.epochs += [self._broken_off] if self._broken_off is not None else []
                    raise
                if epoch is None:
                    break
                if validation is not None and not interrupts.pending:
                    epoch = self._validated(epoch, validation, run)
                self.history.epochs.append(epoch)
                for callback in run.callbacks if not interrupts.pending else ():
                    self._hand_over(run, partial(callback.on_epoch_end, self, epoch))
        return self.history

    def partial_fit(self, x: Any, y: Any) -> Epoch:
        """One pass over a part of a stream, in its order, in batches; returns its record and keeps none.

        The schedule counts a call as an epoch. Raises as `fit` does.
        """
        x = self.network.check_inputs(x)
        y = self.network.check_targets(y, len(x))
        if getattr(self._schedule, "epochs", 0) is None:
            raise ValueError("a stream has no known end: give the schedule its length, such as Cosine(epochs=100)")
        with Interrupts() as interrupts, self._one_fit:  # in this order: Ctrl-C is not to keep it taken
            self._stopped = False
            run = self._start(x, y, (0, 0), (), interrupts, 1)
            epoch = self._train_epoch(run, np.arange(len(x)))
        if epoch is None:  # a handler of the user's own did not raise
            raise KeyboardInterrupt
        return epoch

    def evaluate(self, x: Any, y: Any) -> Evaluation:
        """The mean cost over the examples, and the share classified right (nan for a regression network)."""
        return self.network._evaluate(x, y, self._backend, self._threads)

    # -- a run -------------------------------------------------------------------------------------------------

    def _start(
        self,
        x: Rows,
        y: Array,
        horizon: tuple[float, float],
        callbacks: Sequence[Callback | Callable[[Trainer, Epoch], object]],
        interrupts: Interrupts,
        epochs: int,
    ) -> _Run:
        self._undo = None  # the user may have changed the parameters since
        self._seconds_per_example = None  # of another batch size and other data
        choice = backends.resolve(self._backend)
        kernels = backends.get(choice.name)
        batch_size = min(self._batch_size, len(x))
        net, itemsize = self.network.layers, self.network.dtype.itemsize
        n_threads = team_size(self._threads, kernels, choice.name, batch_size, work_of(net, x, batch_size))
        compress = compresses(self._sparse, kernels, x, epochs)
        self._warm_up(kernels, x, interrupts, compress)
        if compress and not interrupts.pending:
            x = cast(SparseRows, interrupts.call(partial(compressed, kernels, x, self.network.dtype)))
        plan = c.plan(net, batch_size, len(self._state), itemsize, n_threads, isinstance(x, SparseRows))
        work_of_batch = batch_size * (plan.packed + ACTIVATION_WORK * int(plan.nodes[1:, c.WIDTH].sum())) + BATCH_WORK
        chunk_seconds = max(CHUNK_SECONDS, PACKED_SECONDS * self.network.n_parameters * (1 + len(self._state)))
        return _Run(
            parameters=self.network.kernel_parameters(trained=True),
            x=x,
            y=y,
            inputs=described(x, compress),
            batch_size=batch_size,
            kernels=kernels,
            choice=choice,
            n_threads=n_threads,
            work=c.aligned_empty(plan.size, self.network.dtype),
            work_of_batch=work_of_batch,
            chunk_seconds=chunk_seconds,
            in_a_thread=work_of_batch >= LONG_BATCH or chunk_seconds > CHUNK_SECONDS,
            horizon=horizon,
            callbacks=as_callbacks(callbacks),
            interrupts=interrupts,
        )

    def _warm_up(self, kernels: Backend, x: Rows, interrupts: Interrupts, compress: bool = False) -> None:
        """Has a backend compile what it will need for x: seconds, perhaps, which are not the first epoch's."""
        if compiles(kernels) and not interrupts.pending:
            sparse = compress or isinstance(x, SparseRows)
            interrupts.call(partial(warm_up, kernels, self.network.dtype, x.dtype, sparse), abandon=True)

    def _train_epoch(self, run: _Run, order: NDArray[np.int64]) -> Epoch | None:
        """One pass over the order, in chunks of batches. None where an interrupt came before the first."""
        batches = -(-len(order) // run.batch_size)
        factors = self._factors(batches, run.horizon)
        self._epoch += 1
        done = examples = correct = 0
        cost = seconds = rate = 0.0
        self._broken_off = None
        while done < batches and not self._stopped and not run.interrupts.pending:
            count = min(self._chunk(run), batches - done, *self._until_callback(run, done))
            rows = order[done * run.batch_size : (done + count) * run.batch_size]
            rates = checks.rates(self._learning_rate, factors[done : done + count], self._step)
            began = time.perf_counter()
            summed, steps, right = self._train_chunk(run, rows, rates)
            elapsed = time.perf_counter() - began
            done += steps
            examples += min(steps * run.batch_size, len(rows))
            cost, correct, seconds = cost + summed, correct + right, seconds + elapsed
            if steps:
                rate = float(rates[steps - 1])
                self._seconds_per_example = elapsed / min(steps * run.batch_size, len(rows))
                self._broken_off = self._record(run, examples, cost, correct, seconds, rate)
                self._tell(run, done, batches, self._broken_off, rows[(steps - 1) * run.batch_size :][: run.batch_size])
        if not done:
            self._epoch -= 1
        return self._broken_off

    def _record(self, run: _Run, examples: int, cost: float, correct: int, seconds: float, rate: float) -> Epoch:
        return Epoch(
            self._epoch,
            cost / examples,
            self._share(correct, examples),
            math.nan,
            math.nan,
            seconds,
            examples,
            examples / max(seconds, 1e-9),
            rate,
            run.choice.name,
            run.choice.reason,
            run.n_threads,
            run.inputs,
        )

    def _factors(self, batches: int, horizon: tuple[float, float]) -> NDArray[np.float64]:
        if isinstance(self._schedule, FromFunction):
            factors = self._schedule.of_steps(self._step, batches)
        else:
            with np.errstate(over="ignore"):  # what is infinite is refused below
                factors = self._schedule.factors(self._epoch, batches, batches, horizon)
        return checks.factors(factors, batches, self._step)

    def _share(self, correct: int, examples: int) -> float:
        return correct / examples if self.network.is_classifier else math.nan

    def _chunk(self, run: _Run) -> int:
        """Batches of the next kernel call. How they are cut changes no result: a law of the contract."""
        if self._seconds_per_example is None:
            return max(1, FIRST_CHUNK // run.work_of_batch)
        return max(1, int(run.chunk_seconds / max(self._seconds_per_example * run.batch_size, 1e-7)))

    @staticmethod
    def _until_callback(run: _Run, done: int) -> list[int]:
        return [every - done % every for callback in run.callbacks if (every := every_of(callback)) is not None]

    def _tell(self, run: _Run, done: int, batches: int, so_far: Epoch, rows: NDArray[np.int64]) -> None:
        for callback in run.callbacks:
            every = every_of(callback)
            if every is None or done % every == 0:
                progress = Progress(
                    so_far.epoch,
                    done,
                    batches,
                    so_far.examples,
                    so_far.cost,
                    so_far.accuracy,
                    so_far.seconds,
                    so_far.learning_rate,
                    c.frozen(rows),  # a copy: the kernels index by the order itself
                )
                self._hand_over(run, partial(callback.on_batches, self, progress))

    def _hand_over(self, run: _Run, callback: Callable[[], None]) -> None:
        """Runs a user's own code, which may be interrupted anywhere and may change the parameters."""
        before = run.parameters.copy()
        run.interrupts.hand_over(callback)
        self.network.kernel_parameters(trained=True)  # it may have made them read-only
        if not np.array_equal(before, run.parameters):
            self._undo = None

    def _validated(self, epoch: Epoch, validation: tuple[Rows, Array], run: _Run) -> Epoch:
        x, y = validation
        cost, correct = 0.0, 0
        for part_cost, part_correct in self.network.evaluate_parts(x, y, run.choice.name, self._threads):
            if run.interrupts.pending:
                return epoch
            cost, correct = cost + part_cost, correct + part_correct
        accuracy = self._share(correct, len(x))
        return dataclasses.replace(epoch, validation_cost=cost / len(x), validation_accuracy=accuracy)

    # -- a chunk -----------------------------------------------------------------------------------------------

    def _train_chunk(self, run: _Run, rows: NDArray[np.int64], rates: NDArray[np.float64]) -> tuple[float, int, int]:
        """The summed cost, updates made and examples right of a kernel call or two.

        The last batch goes by itself, after a snapshot: should the next chunk's first cost not be finite, that
        snapshot has the last parameters whose cost was.
        """
        undo = self._undo or self._snapshot(run, rows[:0], rates[:0])
        last = (len(rates) - 1) * run.batch_size
        summed, steps, right = 0.0, 0, 0
        for part, part_rates in ((rows[:last], rates[:-1]), (rows[last:], rates[-1:])):
            if not part.size or run.interrupts.pending:
                continue
            if part_rates.size == 1:
                self._undo = self._snapshot(run, part, part_rates)
            part_summed, made, part_right = self._call(run, part, part_rates, run.interrupts.progress)
            broken_off = made < part_rates.size and not run.interrupts.pending
            if broken_off or self._not_finite(run):
                self._explain_divergence(run, undo, rows, rates)
            summed, steps, right = summed + part_summed, steps + made, right + part_right
        return summed, steps, right

    def _call(
        self, run: _Run, rows: NDArray[np.int64], rates: NDArray[np.float64], progress: NDArray[np.int64]
    ) -> tuple[float, int, int]:
        def train(team: Ints, worker: int) -> float:
            return run.kernels.train(
                c.TrainCall(
                    net=self._layers,
                    params=run.parameters,
                    state=self._state,
                    x=run.x,
                    y=run.y,
                    order=rows,
                    batch_size=run.batch_size,
                    rates=rates,
                    optimizer=self._encoded,
                    step=self._step,
                    progress=progress,
                    work=run.work,
                    team=team,
                    worker=worker,
                )
            )

        call = partial(run_team, run.n_threads, train)
        summed = run.interrupts.call(call) if run.in_a_thread else call()
        assert summed is not None
        made = int(progress[c.STEPS])
        self._step += made
        return summed, made, int(progress[c.CORRECT])

    # -- divergence --------------------------------------------------------------------------------------------

    def _snapshot(self, run: _Run, rows: NDArray[np.int64], rates: NDArray[np.float64]) -> _Undo:
        return _Undo(run.parameters.copy(), self._state.copy(), self._step, rows, rates)

    def _restore(self, run: _Run, undo: _Undo) -> None:
        run.parameters[...] = undo.parameters
        self._state[...] = undo.state
        self._step = undo.step

    def _not_finite(self, run: _Run) -> str:
        """What is no longer finite after an update; "" where all is well.

        The state counts: a second moment of infinity, from a gradient whose square overflows, would keep its parameter
        where it is for ever.
        """
        if not np.isfinite(run.parameters).all():
            return "parameters are"
        return "" if np.isfinite(self._state).all() else "optimiser's state is"

    def _explain_divergence(
        self, run: _Run, undo: _Undo, rows: NDArray[np.int64], rates: NDArray[np.float64]
    ) -> NoReturn:
        """Repeats the chunk from `undo` on, an update at a time: the same updates, bit for bit, find the first bad one.

        Leaves the last parameters that were finite and had a finite cost.
        """
        self._restore(run, undo)
        uninterrupted = np.zeros(c.PROGRESS_COLUMNS, np.int64)
        batches = [(rows[k * run.batch_size : (k + 1) * run.batch_size], rates[k : k + 1]) for k in range(len(rates))]
        good: _Undo | None = None
        for part, rate in [(undo.rows, undo.rates), *batches]:
            if not part.size:
                continue
            before = self._snapshot(run, part, rate)
            _, made, _ = self._call(run, part, rate, uninterrupted)
            what = self._not_finite(run) if made else "cost is"
            if not what:
                good = before
                continue
            self._restore(run, before if made or good is None else good)
            self._raise_diverged(run, what, before.step + 1, float(rate[0]))
        # Data or parameters were changed from outside while this ran: the network has what the repetition led to.
        self._raise_diverged(run, "cost or a parameter is", self._step + 1, float(rates[-1]))

    def _raise_diverged(self, run: _Run, what: str, step: int, rate: float) -> NoReturn:
        self._undo = None
        advice = "try a smaller learning rate, or clip_norm"
        if self._not_finite(run):
            advice = "they were not finite before that step: look at what set them"
        raise DivergedError(
            f"the {what} no longer finite in epoch {self._epoch}, step {step}, at learning rate {rate:g}; the network "
            f"has its parameters of step {self._step}: {advice}",
            epoch=self._epoch,
            step=step,
            learning_rate=rate,
        )


class _Undo(NamedTuple):
    """The trainer's state before a batch, and that batch."""

    parameters: Array
    state: Array
    step: int
    rows: NDArray[np.int64]
    rates: NDArray[np.float64]
