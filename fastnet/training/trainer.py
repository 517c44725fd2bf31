"""Trainer: runs epochs, sets learning rates, calls callbacks and records the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from fastnet import checks
from fastnet.backends.engine import choose
from fastnet.backends.interrupts import Interrupts
from fastnet.backends.threads import OneAtATime
from fastnet.evaluation import Evaluation
from fastnet.kernels import contract as c
from fastnet.names import BackendName, BatchSize, OptimizerName, ScheduleName, Sparse, Threads
from fastnet.network import Network
from fastnet.notebook import card
from fastnet.source import Source
from fastnet.training.callbacks import Callback, as_callbacks
from fastnet.training.dropout import draw_keys, with_dropout
from fastnet.training.fit import Fit, begin
from fastnet.training.history import Epoch, History, costs, last_results
from fastnet.training.inputs import Examples, check_examples, check_source, check_validation_data
from fastnet.training.kernel_calls import OptimizerState
from fastnet.training.loop import TrainingLoop
from fastnet.training.optimizers import Optimizer, as_optimizer, encode
from fastnet.training.resuming import check_resumed
from fastnet.training.schedules import MAX_EPOCHS, Schedule, as_schedule, has_no_length
from fastnet.training.selection import Selection, select
from fastnet.training.spread import warn_of_spread
from fastnet.training.state import FitSoFar

if TYPE_CHECKING:
    from fastnet.training.averaging import Averaging, Communicator


class Trainer(TrainingLoop):
    """Train a network by gradient descent on batches.

    Parameters
    ----------
    network : Network
        The network. Its parameters are changed in place.
    optimizer : str or Optimizer
        "sgd" (plain gradient descent), "momentum" (0.9), "nesterov" or "adam"; or an object, such as Momentum(0.95).
    learning_rate : float, optional
        The base rate. The schedule's factor multiplies it. The default is 0.1 for sgd, 0.01 for momentum and nesterov,
        and 0.001 for adam.
    schedule : str, Schedule or function
        "constant", "step", "cosine" or "exponential"; an object, such as Cosine(epochs=30, warmup=1); or a function
        that takes the number of an update, counted from 0, and returns the factor.
    batch_size : int or "auto"
        The number of examples in an update. The last batch of an epoch may be smaller. With len(x), each epoch makes
        one update from all examples. "auto" is min(200, len(x)).
    weight_decay : float
        L2 regularisation: weight_decay * w is added to the gradient of the weights, not of the biases.
    clip_norm : float, optional
        The largest norm of the gradient. A longer gradient is scaled down to this norm, before weight decay is added.
    dropout : float or sequence of float
        The dropout rates of the hidden layers, from 0 to below 1: one rate for all layers, or a list with one for each
        (Srivastava et al. 2014). Activations that are kept are divided by 1 - rate, so that prediction needs no change.
        The same seed drops the same activations on every backend.
    shuffle : bool
        Whether each epoch draws a new order of the examples.
    backend : str, optional
        "cython", "numba", "numpy", "auto", or the name of a registered backend. None: the backend in use.
    seed : int or numpy.random.Generator, optional
        The seed of the examples' order and of dropout. The same seed, backend, machine and number of threads give the
        same parameters, bit for bit.
    threads : int or "auto"
        How many threads share the work of each batch. The limit is the number of cores that this process may use.
        "auto" takes one thread for small batches, else one for each core, with at least 16 examples for each thread.
        numpy takes one thread only, since its BLAS has threads of its own.
    sparse : bool or "auto"
        Whether `fit` first compresses dense inputs: it keeps only the entries that are not zero, with 8 bytes for each
        in float32. "auto" compresses where that is faster: for floats on a compiled backend, with at least 64 inputs,
        at least 8 epochs, and at most 40% of the entries not zero. Sparse inputs always stay sparse.
    communicator : Communicator, optional
        A communicator of mpi4py, such as MPI.COMM_WORLD. Its processes train one network together, each with a trainer
        of the same settings and with rows of its own. All of them call `fit`. None: this process trains alone.
    averaging : "auto", int or Averaging
        With a communicator: 1 averages the gradients in each update, 16 averages the parameters every 16 updates.
        "auto" chooses from measured times. `fastnet.distributed.Averaging` has more settings.

    Attributes
    ----------
    history : History
        The record of each epoch so far. `fit` returns it too.

    Raises
    ------
    ValueError, TypeError
        A setting is invalid.
    BackendError
        The backend is unknown, or missing here.

    Examples
    --------
    >>> import fastnet
    >>> network = fastnet.Network([2, 8, 2], seed=0)
    >>> trainer = fastnet.Trainer(network, learning_rate=0.05, seed=0)
    >>> x, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
    >>> history = trainer.fit(x, y, epochs=100)
    >>> network.accuracy(x, y)
    1.0
    """

    def __init__(
        self,
        network: Network,
        *,
        optimizer: OptimizerName | Optimizer = "adam",
        learning_rate: float | None = None,
        schedule: ScheduleName | Schedule | Callable[[int], float] = "constant",
        batch_size: BatchSize = "auto",
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        dropout: float | Sequence[float] = 0.0,
        shuffle: bool = True,
        backend: BackendName | None = None,
        seed: int | np.random.Generator | None = None,
        threads: Threads = 1,
        sparse: Sparse = "auto",
        communicator: Communicator | None = None,
        averaging: Averaging | int | Literal["auto"] = "auto",
    ) -> None:
        self._network = checks.instance("network", network, Network)
        self._optimizer = as_optimizer(optimizer)
        self._schedule = as_schedule(schedule)
        self.learning_rate = self._optimizer.default_learning_rate if learning_rate is None else learning_rate
        self._batch_size = checks.batch_size(batch_size)
        self._weight_decay = checks.number("weight_decay", weight_decay, minimum=0)
        self._clip_norm = None if clip_norm is None else checks.number("clip_norm", clip_norm, above=0)
        settings = encode(self._optimizer, self._weight_decay, self._clip_norm)
        self._dropout = checks.dropout(dropout, len(network.sizes) - 2)
        self._shuffle = checks.boolean("shuffle", shuffle)
        self._sparse = checks.sparse(sparse)
        choose(backend, threads)  # raises now if the backend is missing, before the user loads data
        self._backend, self._threads = backend, threads
        self._seed, self._rng = seed, checks.generator(seed)
        self._communicator = self._averaging = None
        if communicator is not None or averaging != "auto":
            from fastnet.training.averaging import checked, generator_of_process  # few trainings need this module

            self._communicator, self._averaging = checked(communicator, averaging)
            self._rng = generator_of_process(self._rng, seed, communicator)
        self._layers = with_dropout(network.layers, self._dropout, draw_keys(self._dropout, self._rng))
        moments = np.zeros((c.SLOTS[int(settings[c.KIND])], network.n_parameters), network.dtype)
        self._state = OptimizerState(settings, moments)
        self._one_fit = OneAtATime("a Trainer is for one fit at a time: make one for each thread, with its own network")
        self._begin_state()
        self.history = History()

    # -- properties --------------------------------------------------------------------------------------------

    @property
    def learning_rate(self) -> float:
        """The base rate. The schedule's factor multiplies it. You and your callbacks may set it at any time."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = checks.number("learning_rate", value, minimum=0)

    @property
    def steps(self) -> int:
        """The number of updates made so far."""
        return self._state.step

    def __repr__(self) -> str:
        return f"<Trainer of {self.network!r}, {self._optimizer!r}, after {self._epoch} epochs, {self.steps} steps>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the network, the settings, the last epoch and the curve of the cost."""
        facts = {
            "network": self.network.description(),
            "parameters": f"{self.network.n_parameters:,}",
            "optimizer": f"{self._optimizer!r}, learning rate {self._learning_rate:g}, batch size {self._batch_size}",
            "trained": f"{self._epoch:,} epochs, {self.steps:,} updates",
        }
        return card("Trainer", facts | last_results(self.history), curves=costs(self.history))

    # -- the public calls --------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int | None = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | Literal["balanced"] | None = None,
        validation_data: Source | tuple[Any, Any] | tuple[Any, Any, Any] | None = None,
        validation_split: float = 0.0,
        callbacks: Sequence[Callback | Callable[[Trainer, Epoch], object]] = (),
    ) -> History:
        """Train for `epochs` more epochs.

        A second call continues with the optimiser's state, the random generator and the schedule of the first call. It
        does not complete an interrupted epoch, but begins a new epoch.

        With a communicator, all its processes call `fit`, each with its own rows and validation data. The records
        cover the rows of all of them. `on_batches` of a callback sees the process' own rows. Class weights are balanced
        within each process. There is no warning of a network that does not learn.

        Parameters
        ----------
        x : array, data frame or scipy.sparse matrix (n, n_in)
            Examples, one per row, as for `Network.forward`. fastnet never makes a float copy of a whole uint8 array.
            Neither does it copy memory-mapped arrays, or arrays smaller than their float copy, if the copy would take
            more than 32 MiB: each epoch then converts the rows a piece at a time. Or a Source, which need not fit into
            memory: `fastnet.data.source` makes one.
        y : array
            Class labels (n,), or targets (n, n_out). A Source has its own.
        epochs : int
            The number of passes over the examples. Leave it out to finish the fit of a resumed trainer.
        sample_weight : array (n,), optional
            A weight for each example: finite, 0 or more. A batch's cost is the weighted mean. An example of weight 2
            counts as two equal examples. Examples of weight 0 are left out.
        class_weight : mapping or "balanced", optional
            For a classification: a weight for each class, such as {0: 1.0, 1: 5.0}, which multiplies the weights of the
            examples of this class. Classes that the mapping lacks have weight 1. "balanced" gives each class the same
            total weight, as in scikit-learn: n / (n_classes * count).
        validation_data : Source, (x, y) or (x, y, sample_weight), optional
            Examples to evaluate the network on after each epoch.
        validation_split : float
            The share of the examples to hold out as validation data, from 0 to below 1. The examples are chosen at
            random, for a classification with the same share of each class. Each call of `fit` holds out the same
            examples, if the data are the same.
        callbacks : sequence of Callback or function
            A function is called as function(trainer, epoch) after each epoch.

        Returns
        -------
        History
            The records of all epochs, including those of earlier calls.

        Raises
        ------
        ValueError, TypeError
            An argument is invalid, or differs between the processes of a communicator.
        DivergedError
            The cost, a parameter or the optimiser's state is not finite. The network gets back the parameters from
            before the update that caused this.
        KeyboardInterrupt
            Ctrl-C was pressed. The last update is complete.
        RuntimeError
            This trainer is already in a fit: another thread or a callback called this method.
        Exception
            With a communicator, each process raises the error of the first process that failed, with its name.
        """
        with self._processes() as ranks:
            resumed = self._fit_to_finish(epochs)
            epochs = checks.whole_number("epochs", resumed.epochs if resumed else epochs, 0, MAX_EPOCHS)
            split = checks.validation_split(validation_split, validation_data is not None)
            check_source(x, epochs, self._schedule, split)
            examples = check_examples(self._network, x, y, sample_weight)
            warn_of_spread(examples.x, checks.column_names(x))
            validation = check_validation_data(self._network, validation_data)
            horizon = resumed.horizon if resumed else (self._epoch, self._epoch + epochs)
            # Interrupts come first, so that Ctrl-C cannot leave the lock taken.
            with Interrupts() as interrupts, self._one_fit, ExitStack() as at_end:
                if split and self._split_seed is None and resumed is None:
                    self._split_seed = int(self._rng.integers(2**63))
                selection = select(examples, self._layers, class_weight, split, self._split_seed)
                fit = self._begin(selection, horizon, callbacks, interrupts, epochs, validation, resumed)
                if resumed is not None:
                    check_resumed(fit, resumed)
                with self._running_fit(fit):
                    common = self._join(fit, ranks, class_weight, split)
                    self._run(fit, resumed, at_end, common)
                    at_end.close()
                    if common is not None:
                        common.end()
                fit.end(self._kept if ranks is None else None)
        return self.history

    def partial_fit(self, x: Any, y: Any = None, *, sample_weight: Any = None) -> Epoch:
        """Train once on the next part of a stream, in the given order, and return the record of this pass.

        The schedule counts each call as an epoch. The record is not added to the history. The arguments and the errors
        are those of `fit`.
        """
        self._refuse_unfinished("finish it with fit(x, y)")
        if self._has_company():
            raise ValueError("partial_fit trains on one process: give each process' rows to fit")
        check_source(x, 1, self._schedule)
        examples = check_examples(self._network, x, y, sample_weight)
        if has_no_length(self._schedule):
            raise ValueError("a stream has no known end: give the schedule its length, such as Cosine(epochs=100)")
        with Interrupts() as interrupts, self._one_fit:
            fit = self._begin(select(examples, self._layers), (0, 0), (), interrupts, 1)
            epoch, self._totals = self._train_epoch(fit, shuffle=False), None
            fit.end(self._kept)
        if epoch is None:  # on Ctrl-C, if the user's signal handler did not raise
            raise KeyboardInterrupt
        return epoch

    def evaluate(self, x: Any, y: Any = None, *, sample_weight: Any = None) -> Evaluation:
        """Return what `Network.evaluate` returns, computed with the trainer's backend and threads."""
        return self._network.evaluate(x, y, sample_weight=sample_weight, backend=self._backend, threads=self._threads)

    def stop(self) -> None:
        """End the running `fit` before its next batch. Call this in a callback."""
        self._stopped = True

    @classmethod
    def _made(cls, network: Network, settings: Mapping[str, Any]) -> Self:
        trainer = cls.__new__(cls)  # as with Network.load, the __init__ of a subclass is not called
        Trainer.__init__(trainer, network, **settings)
        return trainer

    # -- a fit -------------------------------------------------------------------------------------------------

    def _begin(
        self,
        selection: Selection,
        horizon: tuple[float, float],
        callbacks: Sequence[Callback | Callable[[Trainer, Epoch], object]],
        interrupts: Interrupts,
        epochs: int,
        validation: Examples | None = None,
        resumed: FitSoFar | None = None,
    ) -> Fit:
        if resumed is None:
            self._stopped, self._totals, self._resumed = False, None, None
            engine = choose(self._backend, self._threads)
        else:
            self._stopped, engine = resumed.is_stopped, choose(resumed.backend, resumed.threads)
        return begin(
            self._network,
            self._layers,
            self._state,
            selection,
            engine,
            batch_size=self._batch_size,
            sparse=self._sparse,
            epochs=epochs,
            horizon=horizon,
            callbacks=as_callbacks(callbacks),
            interrupts=interrupts,
            validation=validation,
            kept=None if self._has_company() else self._kept,
            averages=self._has_company(),
        )
