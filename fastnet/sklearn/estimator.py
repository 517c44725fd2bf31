"""The part that both estimators share: one fit from checked data to attributes, and the outputs for new data."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from numbers import Number
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from fastnet import checks
from fastnet.backends.engine import Engine, choose
from fastnet.backends.read_ahead import ReadAhead
from fastnet.checks import AnyRows
from fastnet.names import BatchSize
from fastnet.network import Network
from fastnet.sklearn import advice, epochs, lbfgs, onnx_export
from fastnet.sklearn.descent import Descent
from fastnet.sklearn.fitted import Fitted, current_network, validated
from fastnet.sklearn.held_out import HeldOut, Score, split
from fastnet.sklearn.initial import draw_parameters
from fastnet.sklearn.parameters import ACTIVATIONS, STOCHASTIC, check_parameters, hidden_sizes, parameter_errors
from fastnet.sklearn.record import Record
from fastnet.source import Source
from fastnet.source_rows import raw_blocks
from fastnet.training.callbacks import as_callbacks
from fastnet.training.inputs import Examples
from fastnet.training.order import examples_in_batch
from fastnet.training.selection import Selection

Array = NDArray[Any]


class Validation(NamedTuple):
    """The arguments X_val, y_val and sample_weight_val of `fit`."""

    x: Any = None
    y: Any = None
    weights: Any = None

    def check(self, estimator: MLP) -> None:
        """Raise ValueError if an argument is missing, or if the estimator does not stop early."""
        given = {"X_val": self.x, "y_val": self.y, "sample_weight_val": self.weights}
        if all(value is None for value in given.values()):
            return
        for name in ("X_val", "y_val"):
            if given[name] is None:
                raise ValueError(f"{name} is missing: give X_val and y_val, or none of them")
        if not estimator.early_stopping:
            raise ValueError("X_val and y_val are for early stopping: set early_stopping=True too")
        if estimator.solver not in STOCHASTIC:
            raise ValueError("X_val and y_val are for early stopping, and lbfgs has none: choose 'sgd' or 'adam'")


class MLP(Fitted):
    """Base class of MLPClassifier and MLPRegressor, which define what targets and outputs mean."""

    hidden_layer_sizes: Any
    activation: str
    solver: str
    alpha: float
    batch_size: BatchSize
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: bool | int
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    backend: str | None
    threads: int | str
    dropout: Any
    callbacks: Any
    dtype: Any

    # -- what the subclasses define ----------------------------------------------------------------------------

    _has_numeric_y = False

    def _learn_y(self, y: Any, incremental: bool) -> None:
        """Learn the classes that occur in y, or check that y fits the classes of an earlier fit."""

    def _numbers(self, y: Any) -> Array:
        """Return targets as class numbers (n,), labels (n, n_outputs) or values (n, n_outputs)."""
        raise NotImplementedError

    def _kernel_y(self, y: Array) -> Array:
        """Return the result of `_numbers` in the form that the kernels of `network_` take."""
        raise NotImplementedError

    def _formulas(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        """Return the arguments output, cost and task of the network."""
        raise NotImplementedError

    def _n_outputs(self, y: Array) -> int:
        """Return the number of outputs that a network needs for these targets."""
        raise NotImplementedError

    @property
    def _score(self) -> Score:
        """The score that early stopping compares."""
        raise NotImplementedError

    def _stratify(self, y: Array) -> Array | None:
        """Return the classes in whose proportions early stopping splits the examples."""
        return None

    def _weights(self, sample_weight: Any, y: Any, incremental: bool) -> NDArray[np.float64]:
        """Return the weight of each example, or an empty array for weights of 1."""
        if isinstance(sample_weight, Number):
            sample_weight = np.full(len(y), sample_weight, np.float64)
        return checks.weights(sample_weight, len(y), "sample_weight")

    # -- a fit -------------------------------------------------------------------------------------------------

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, *, incremental: bool = False, validation: Validation | None = None
    ) -> Self:
        with parameter_errors():
            check_parameters(self)
            hidden = hidden_sizes(self.hidden_layer_sizes)
            dropout = checks.dropout(self.dropout, len(hidden))
        validation = validation or Validation()
        validation.check(self)
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        is_first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._checked_X_y(X, y, self._input_dtypes(), is_first)
        self._learn_y(y, incremental)
        y = self._numbers(y)
        weights = self._weights(sample_weight, y, incremental)
        random_state = check_random_state(self.random_state)
        sizes = [X.shape[1], *hidden, self._n_outputs(y)]
        if is_first:
            self._initialise(sizes, X.dtype, random_state)
        else:
            self._continue(sizes)
        network, engine = self.network_, choose(self.backend, self.threads)
        examples = Examples(network.check_inputs(X, "X"), self._kernel_y(y), weights)
        del X  # if the examples are a converted copy, the array that was converted need not stay in memory
        if self.solver in STOCHASTIC:
            self._descend(engine, examples, y, random_state, incremental, validation, dropout)
        else:
            self._minimise(engine, examples)
        if not np.isfinite(network.kernel_parameters()).all():
            raise ValueError(advice.not_finite())
        return self

    def _partial_fit_source(self, source: Source, train: Callable[[Any, Any], object]) -> Self:
        """Call `train` on each block of a source in turn. A thread reads ahead."""
        with ReadAhead(partial(raw_blocks, source)) as found:
            for X, y in found:
                train(X, y)
                if self._record.is_interrupted:
                    break
        return self

    def _checked_X_y(self, X: Any, y: Any, dtypes: list[Any], is_first: bool) -> Any:
        return validated(self, X, y, multi_output=True, dtype=dtypes, y_numeric=self._has_numeric_y, reset=is_first)

    def _input_dtypes(self) -> list[Any]:
        """Return the dtypes of X that need no conversion. Other dtypes become the first one."""
        return [np.float64, np.float32, np.uint8] if self.dtype is None else [self.dtype, np.uint8]

    def _initialise(self, sizes: list[int], x_dtype: np.dtype[Any], random_state: np.random.RandomState) -> None:
        """Make the network with new weights, and forget earlier fits."""
        if self.dtype is not None:
            dtype = np.dtype(self.dtype)
        else:  # L-BFGS needs float64: its line search compares losses that hardly differ
            dtype = x_dtype if x_dtype == np.float32 and self.solver != "lbfgs" else np.dtype(np.float64)
        network = self._new_network(sizes, dtype)
        draw_parameters(network, random_state, self.activation)
        self._hold(network)
        self._record: Record = Record()
        self._descent: Descent | None = None
        self.n_layers_, self.n_outputs_ = len(sizes), sizes[-1]
        self.n_iter_ = self.t_ = 0

    def _network_arguments(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        with parameter_errors():
            return {"activation": ACTIVATIONS[self.activation], **self._formulas(dtype)}

    def _new_network(self, sizes: list[int], dtype: np.dtype[Any]) -> Network:
        self._made_with = self._network_arguments(dtype)
        network = Network(sizes, **self._made_with, seed=0, dtype=dtype, byte_scale=1.0)
        self.out_activation_ = OUT_ACTIVATIONS[network.activations_by_layer[-1]]
        return network

    def _continue(self, sizes: list[int]) -> None:
        """Go on with the network of an earlier fit."""
        network = current_network(self)
        if list(network.sizes) != sizes:
            raise ValueError(
                f"the network of the earlier fit has layers of {list(network.sizes)}, and this fit needs {sizes}: keep "
                "hidden_layer_sizes and the targets, or fit with warm_start=False"
            )
        if self._made_with != self._network_arguments(network.dtype):  # the activation or the loss has changed
            parameters, network = network.parameters, self._new_network(sizes, network.dtype)
            network.parameters = parameters
        if network is not self.network_:
            self._hold(network)

    def _descend(
        self,
        engine: Engine,
        examples: Examples,
        y: Array,
        random_state: np.random.RandomState,
        incremental: bool,
        validation: Validation,
        dropout: tuple[float, ...],
    ) -> None:
        """Train with sgd or adam."""
        network, record = self.network_, self._record
        descent = self._descent if incremental else None
        if descent is None:
            descent = self._descent = Descent.of(self, network, dropout, random_state)
        else:
            descent.continue_with(network, self.alpha)
        # After a warm start, scikit-learn keeps the last weights if no epoch of the call reaches a new best score.
        record.best_parameters = None if record.losses else network.kernel_parameters().copy()
        rows, held_out = self._held_out(examples, y, random_state, validation)
        rule = epochs.Rule(
            batch_size=self._batch_rows(len(rows)),
            max_iter=self.max_iter,
            shuffle=self.shuffle,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            verbose=bool(self.verbose),
            is_single=incremental,
            cost_divisor=self._cost_divisor(),
        )
        selection = Selection(examples, rows, held_out and held_out.examples)
        callbacks = [] if incremental else as_callbacks(self.callbacks)
        try:
            ended = epochs.train(network, descent, record, selection, held_out, rule, random_state, engine, callbacks)
        finally:
            self._publish(record)
        record.is_interrupted = ended == epochs.INTERRUPTED
        if held_out is not None and record.best_parameters is not None:
            network.kernel_parameters(trained=True)[...] = record.best_parameters
        self._warn(ended, held_out is not None, examples.x)

    def _warn(self, ended: str, has_best: bool, x: AnyRows) -> None:
        """Say why training ended, if it did not converge."""
        if ended == epochs.INTERRUPTED:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        if ended == epochs.DIVERGED and not has_best:
            raise ValueError(advice.not_finite(self.n_iter_))
        if ended == epochs.DIVERGED:
            warnings.warn(advice.diverged(self.n_iter_), ConvergenceWarning, stacklevel=5)
        if ended == epochs.MAX_ITER:
            warnings.warn(advice.max_iter_reached(self, x), ConvergenceWarning, stacklevel=5)

    def _held_out(
        self, examples: Examples, y: Array, random_state: np.random.RandomState, validation: Validation
    ) -> tuple[NDArray[np.int64], HeldOut | None]:
        """Return the rows to train on, and the examples for early stopping."""
        (x, targets, weights, _), rows = examples, np.arange(len(y))
        if validation.x is not None:
            return rows, self._given_validation(validation)
        if not self.early_stopping:
            return rows, None
        rows, held = split(len(y), self.validation_fraction, random_state, self._stratify(y))
        for name, part in (("to train on", rows), ("for early stopping", held)):
            if weights.size and not weights[part].any():
                raise ValueError(f"all examples {name} have weight 0: leave such examples out, or give X_val and y_val")
        chosen = Examples(x[held], targets[held], weights[held] if weights.size else weights)
        return rows, HeldOut(chosen, y[held], self._score)

    def _given_validation(self, validation: Validation) -> HeldOut:
        """Return the checked arguments X_val, y_val and sample_weight_val."""
        network = self.network_
        X, y = self._checked_X_y(validation.x, validation.y, [network.dtype, np.uint8], is_first=False)
        y = self._numbers(y)
        weights = checks.weights(validation.weights, len(y), "sample_weight_val")
        return HeldOut(Examples(network.check_inputs(X, "X_val"), self._kernel_y(y), weights), y, self._score)

    def _batch_rows(self, n: int) -> int:
        """Return the number of examples in a batch."""
        if self.batch_size != "auto" and self.batch_size > n:
            warnings.warn(
                f"Got `batch_size` less than 1 or larger than sample size. It is going to be clipped to {n}",
                stacklevel=5,
            )
        return examples_in_batch(self.batch_size, n)

    def _minimise(self, engine: Engine, examples: Examples) -> None:
        """Train with lbfgs."""
        if self.callbacks or np.any(self.dropout):
            raise ValueError("callbacks and dropout are for the solvers 'sgd' and 'adam': choose one of them")
        objective = lbfgs.Objective(self.network_, engine.kernels, examples, self.alpha, self._cost_divisor())
        found = lbfgs.solve(
            objective, tol=self.tol, max_iter=self.max_iter, max_fun=self.max_fun, verbose=bool(self.verbose)
        )
        self.loss_, self.n_iter_ = found.loss, found.n_iterations
        if found.problem:
            warnings.warn(advice.lbfgs_stopped(self, found.problem, examples.x), ConvergenceWarning, stacklevel=4)

    def _cost_divisor(self) -> int:
        """Return the number by which scikit-learn divides the cost, but not its gradient."""
        return 1

    def _publish(self, record: Record) -> None:
        """Set scikit-learn's attributes from the record."""
        self.loss_curve_, self.n_iter_, self.t_ = record.losses, record.n_epochs, record.n_examples
        if record.losses:
            self.loss_ = record.losses[-1]
        stopped_early = self.early_stopping
        self.best_loss_ = None if stopped_early else record.best_loss
        self.validation_scores_ = record.scores if stopped_early else None
        self.best_validation_score_ = record.best_score if stopped_early else None

    def to_onnx(self, path: str | os.PathLike[str], *, x_dtype: DTypeLike | None = None) -> None:
        """Write the fitted estimator as an ONNX file, as `fastnet.sklearn.to_onnx` does.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        x_dtype : str or dtype, optional
            The dtype of the input: "float32", "float64" or "uint8". None: the dtype of the network.

        Raises
        ------
        TypeError, ValueError, NotFittedError, MissingLibraryError, DataError
            As for `fastnet.sklearn.to_onnx`.
        """
        onnx_export.to_onnx(self, path, x_dtype=x_dtype)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


OUT_ACTIVATIONS = {"identity": "identity", "exponential": "exp", "sigmoid": "logistic", "softmax": "softmax"}
