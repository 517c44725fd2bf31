"""The training of `fastnet train`: standardizes, holds rows out, fits, and makes the network that is saved."""

from __future__ import annotations

import argparse
import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from fastnet import backends, checks
from fastnet import data as sets
from fastnet.backends.compression import compresses
from fastnet.backends.interrupts import Interrupts
from fastnet.backends.warming import warm_up
from fastnet.cli import processes, progress, results, resuming
from fastnet.cli.common import column_names
from fastnet.cli.options import SPARSE
from fastnet.data import Dataset
from fastnet.data.large_datasets import LargeDataset, split_reader
from fastnet.data.sources.joined import JoinedReader
from fastnet.errors import warn
from fastnet.network import Network
from fastnet.source import Source
from fastnet.text import plain
from fastnet.training.early_stopping import EarlyStopping
from fastnet.training.runs import TEST_ROWS, Run, class_names
from fastnet.training.spread import spread_message
from fastnet.training.standardize import Standardization, StandardizedReader
from fastnet.training.trainer import Trainer

Array = NDArray[Any]


class Fitting:
    """A trainer, its data, and the steps before and after its fit.

    Attributes
    ----------
    data : Dataset
        The data as the user gave them.
    trainer : Trainer
        The trainer. Its network takes standardized rows.
    standard : Standardization
        The step before the training. `network` folds it into the trained network.
    stopping : EarlyStopping or None
        What ends the training early.
    n_held_out : int
        The number of training rows that are held out for `stopping`.
    has_test : bool
        Whether the network is evaluated on the test rows after each epoch.
    """

    def __init__(self, args: argparse.Namespace, data: Dataset, trainer: Trainer, initial: Network) -> None:
        self._args = args
        self.data, self.trainer = data, trainer
        self._initial = initial
        self.standard = standardization(args, data, trainer.network.activations_by_layer[-1])
        self.stopping = EarlyStopping(patience=args.patience) if args.patience else None
        self._readers = split_reader(data.train, args.validation_split) if isinstance(data, LargeDataset) else None
        self.n_held_out = _held_out(args, len(data.x_train)) if args.validation_split else 0
        if self._readers is not None:
            self.n_held_out = len(self._readers[1])
        is_written = args.out is not None or args.report is not None  # a report draws the curve of the validation
        self.has_test = args.validate or (is_written and not self.n_held_out)

    @property
    def validation(self) -> str | None:
        """Which rows the validation columns of the history come from, in words, or None."""
        if self.n_held_out:
            rows = "1 row" if self.n_held_out == 1 else f"{self.n_held_out:,} rows"
            return f"{rows} held out of the training rows"
        return TEST_ROWS if self.has_test else None

    def fit(self, backend: str) -> None:
        """Train. The network is that of the best epoch if the training ends early, also after Ctrl-C."""
        data = self.data
        own = processes.rows_of(self._args.communicator, len(data.x_train))
        x, y = self._rows(data.x_train[own]), self.standard.outputs(data.y_train[own])
        self._compile(backend, x)
        with _named_in_warning(x, data.feature_names):
            self._descend(x, y)

    def _descend(self, x: Array, y: Array) -> None:
        args, data = self._args, self.data
        test = None
        if self.has_test:
            own = processes.rows_of(args.communicator, len(data.x_test))
            if args.communicator is not None and len(data.x_test) < args.communicator.size:
                own = slice(None)  # all processes test the same rows
            test = (self._rows(data.x_test[own]), self.standard.outputs(data.y_test[own]))
        more: Any = {"validation_data": test, "validation_split": args.validation_split}
        rows: tuple[Any, ...] = (x, y)
        if self._readers is not None:
            own_readers = (processes.reader_of(args.communicator, reader) for reader in self._readers)
            train, held = (self._source(reader) for reader in own_readers)
            rows, more = (train,), {"validation_data": held if self.n_held_out else test}
        if not args.resume:  # a resumed fit keeps its own number of epochs
            more["epochs"] = args.epochs
        self.trainer.fit(
            *rows,
            **more,
            callbacks=[
                *([self.stopping] if self.stopping else []),
                *resuming.callbacks(args),
                *progress.training_progress(args.epochs, args.quiet, "held out" if self.n_held_out else "test"),
            ],
        )

    def _source(self, reader: JoinedReader) -> Source:
        return sets.source(StandardizedReader(reader, self.standard, self.trainer.network.dtype), name=self.data.name)

    def run(self) -> Run:
        """Return the run so far. Its networks take raw rows."""
        args, data = self._args, self.data
        network, schema = self._folded(self.trainer.network), data.schema
        return Run.of(
            self.trainer,
            self._folded(self._initial),
            network=network,
            data=data.name,
            examples={"train": data.n_train, "test": data.n_test},
            split={
                "train": data.n_train - self.n_held_out,
                "validation": self.n_held_out,
                "test": data.n_test,
                "test_is_held_out": data.is_held_out,
            },
            validation=self.validation,
            best_epoch=self.stopping.best_epoch if self.stopping else None,
            columns=column_names(schema),
            feature_names=list(data.feature_names),
            target=schema.target if schema else "",
            class_names=class_names(network, data),
            standardization=self._standardization_record(),
            source=results.source_of(args),
            started=resuming.started(args),
            optimizer=args.optimizer,
            init=args.init,
            seed=args.seed,
        )

    def _rows(self, x: Array) -> Array:
        rows = self.standard.rows(x)
        # The trainer would convert a large array of float64 in every epoch.
        return rows if rows is x else rows.astype(self.trainer.network.dtype)

    def _folded(self, network: Network) -> Network:
        found = self.standard.folded(network, self.data.x_train)
        found.schema = self.data.schema
        return found

    def _standardization_record(self) -> dict[str, Any] | None:
        inputs, targets = self.standard
        if inputs is targets is None:
            return None
        return {
            name: None if spread is None else plain(spread)
            for name, spread in (("inputs", inputs), ("targets", targets))
        }

    def _compile(self, backend: str, x: Array) -> None:
        """Compile the kernels before `fit`, and print a line if this takes long. Only numba compiles at run time."""
        args, network, kernels = self._args, self.trainer.network, backends.get(backend)

        def call() -> None:
            warm_up(kernels, network.dtype, x.dtype)
            if compresses(checks.sparse(SPARSE[args.sparse]), kernels, x, args.epochs):
                warm_up(kernels, network.dtype, x.dtype, sparse=True)

        message = f"compiling the {backend} kernels, or loading them from the cache ... (later runs only load them)"
        with progress.told_if_slow(message, args.quiet), Interrupts() as interrupts:
            interrupts.call(call, abandon=True)


@contextlib.contextmanager
def _named_in_warning(x: Array, names: Sequence[str]) -> Iterator[None]:
    """Give the warning of columns that need scaling with the names of a table, in place of the one of `Trainer.fit`."""
    if names and (message := spread_message(x, names)):
        warn(message)
    with warnings.catch_warnings():
        if names:
            warnings.filterwarnings("ignore", "column .* of x has a standard deviation")
        yield


def _held_out(args: argparse.Namespace, n: int) -> int:
    """Return how many of n training rows are held out. Each process holds out its share of its own rows."""
    if args.communicator is None:
        return checks.held_out(args.validation_split, n)
    size = args.communicator.size
    return sum(checks.held_out(args.validation_split, len(range(rank, n, size))) for rank in range(size))


def standardization(args: argparse.Namespace, data: Dataset, output: str) -> Standardization:
    """Return what to standardize: the columns of tables, and targets where the outputs can be scaled to them.

    `output` is the activation of the output layer.
    """
    has_values = data.task == "regression" and output == "identity"
    targets = has_values and args.standardize is not False
    if isinstance(data, LargeDataset):
        return Standardization.of_reader(data.train, args.standardize, targets)
    return Standardization.of(data.x_train if args.standardize else None, data.y_train if targets else None)
