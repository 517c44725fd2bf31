"""What a network computes for rows: outputs, predictions, scores and gradients, as methods of Network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet import checks
from fastnet.architecture import Floats
from fastnet.backends.engine import Engine, choose
from fastnet.backends.forward import Refuse
from fastnet.errors import warn
from fastnet.evaluation import Evaluation, Parts, evaluation, total_squares
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.names import BackendName, Threads
from fastnet.network_formats import NetworkFormats
from fastnet.predictor import Predictor, predicted
from fastnet.source import Source
from fastnet.source_rows import SourceRows, is_source

Array = NDArray[Any]
MAX_PIXEL = 2.0  # a network that was trained on larger floats warns of bytes


class NetworkOutputs(NetworkFormats):
    """The part of a network that computes. `Network` makes the parameters."""

    _parameters: Floats

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters: float32 or float64."""
        return self._buffer.dtype

    def forward(
        self, x: Any, *, backend: BackendName | None = None, out: Array | None = None, threads: Threads = 1
    ) -> Floats:
        """Return the output layer's activations.

        Parameters
        ----------
        x : array, data frame or scipy.sparse matrix (n, n_in)
            Examples, one per row: floats, whole numbers or bools. A uint8 value v stands for v * byte_scale. A frame of
            pandas or polars needs numbers in all columns. A Source is read a block at a time.
        backend : str, optional
            A backend's name. None: the backend in use.
        out : numpy.ndarray (n, n_out), optional
            A C-contiguous array of the network's dtype for the result. It may be memory-mapped. It must not share
            memory with x. If x has a number that is not finite, `out` may hold the outputs of other rows.
        threads : int or "auto"
            How many threads may share the rows. "auto": as many as the process has cores, if there are rows enough.
            The result has the same bits for any number of threads. A Source is read by one more thread.

        Returns
        -------
        numpy.ndarray (n, n_out)
            `out`, or a new array of the network's dtype.

        Raises
        ------
        ValueError
            x or `out` has an invalid shape or dtype, or x has a value that is not finite.
        """
        engine = choose(backend, threads)
        if isinstance(x, Source):
            found = checks.result(out, (len(x), self._sizes[-1]), self.dtype)
            values = found.view()

            def use(part: slice, outputs: Floats) -> None:
                values[part] = outputs

            SourceRows(x, self, has_y=False).share(self._layers, engine, use)
            return found
        rows, refuse = self._unchecked_rows(x)
        return engine.forward(self._layers, self.kernel_parameters(), rows, out, refuse)

    def activations(self, x: Any, *, backend: BackendName | None = None) -> list[Floats]:
        """Return a list with an array (n, n_out) of activations for each layer of weights, the output layer's last."""
        rows, engine, found = self.check_rows(x), choose(backend), list[Floats]()
        for level in range(len(self._layers)):
            rows = engine.forward(self._layers[level : level + 1], self.kernel_parameters(), rows)
            found.append(rows)
        return found

    def predict(
        self, x: Any, *, backend: BackendName | None = None, out: Array | None = None, threads: Threads = 1
    ) -> Array:
        """Return what the task is about: classes, labels or values.

        Classification: the class of each example, which is the number of the output neuron with the largest weighted
        sum. The activations would be ambiguous, since several may round to 1. With a single output, the class is 1 if
        the weighted sum is at least 0, else 0. Multilabel: 1 for each label whose weighted sum is at least 0, else 0.
        Regression: the outputs.

        Parameters
        ----------
        x, backend, threads
            As for `forward`.
        out : numpy.ndarray, optional
            The array for the result.

        Returns
        -------
        numpy.ndarray
            `out`, or a new array: int64 (n,) for classification, int64 (n, n_out) for multilabel, (n, n_out) of the
            network's dtype for regression.
        """
        if self._task == "regression":
            return self.forward(x, backend=backend, out=out, threads=threads)
        layers, engine = self.layers_to_weighted_sums(), choose(backend, threads)
        if isinstance(x, Source):
            source = SourceRows(x, self, has_y=False)
            n_rows, share = len(source), partial(source.share, layers, engine)
        else:
            rows, refuse = self._unchecked_rows(x)
            n_rows = len(rows)
            share = partial(engine.share, layers, self.kernel_parameters(), rows, refuse=refuse)
        out = checks.result(out, (n_rows, self._sizes[-1])[: 1 if self.is_classifier else 2], np.int64)
        found = out.view()

        def use(part: slice, sums: Floats) -> None:
            found[part] = predicted(self._task, sums)

        share(use=use)
        return out

    def compile(
        self,
        *,
        backend: BackendName | None = None,
        max_batch: int = 1,
        threads: Threads = 1,
        x_dtype: DTypeLike | None = None,
    ) -> Predictor:
        """Return a `Predictor`: a function of x for hot loops. It keeps a copy of the current parameters."""
        return Predictor(self, backend=backend, max_batch=max_batch, threads=threads, x_dtype=x_dtype)

    def cost(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        backend: BackendName | None = None,
        threads: Threads = 1,
    ) -> float:
        """Return the mean cost over the examples. The arguments are those of `evaluate`."""
        return self.evaluate(x, y, sample_weight=sample_weight, backend=backend, threads=threads).cost

    def accuracy(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        backend: BackendName | None = None,
        threads: Threads = 1,
    ) -> float:
        """Return the accuracy that `evaluate` returns. Raises ValueError for a regression network."""
        if self._task == "regression":
            checks.classifier(self._task, "accuracy: use evaluate, for the cost and R2")
        return self.evaluate(x, y, sample_weight=sample_weight, backend=backend, threads=threads).accuracy

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        backend: BackendName | None = None,
        threads: Threads = 1,
    ) -> Evaluation:
        """Return the mean cost over the examples, and the scores that have a meaning for the task.

        Parameters
        ----------
        x, backend, threads
            As for `forward`.
        y : array
            Class labels (n,), or targets (n, n_out). A Source has its own.
        sample_weight : array (n,), optional
            The weight of each example in all means: 0 or more. A whole number counts the example that many times.

        Returns
        -------
        Evaluation
            The cost, the accuracy, the accuracy of single labels and R2.
        """
        engine = choose(backend, threads)
        if is_source(x, y, sample_weight):
            found = SourceRows(x, self).evaluated(engine)
            assert found is not None  # no caller ends it early
            sums, squares = found
            return evaluation(self._layers, sums, squares.total)
        rows, refuse = self._unchecked_rows(x)
        try:
            targets, weights = self.check_targets(y, len(rows)), checks.weights(sample_weight, len(rows))
        except ValueError:
            refuse()  # an error of x comes before one of y
            raise
        sums = self.evaluated(rows, targets, weights, engine, refuse=refuse)
        return evaluation(self._layers, sums, total_squares(self._layers, targets, weights))

    def gradient(self, x: Any, y: Any, *, sample_weight: Any = None, backend: BackendName | None = None) -> Floats:
        """Return the gradient (n_parameters,) of the mean cost over the examples, in the order of `parameters`.

        The arguments are those of `evaluate`.
        """
        rows = self.check_inputs(x)
        targets, weights = self.check_targets(y, len(rows)), checks.weights(sample_weight, len(rows))
        return choose(backend).gradient(self._layers, self.kernel_parameters(), rows, targets, weights)

    # -- for the trainer, the predictor and the experiments ----------------------------------------------------

    def kernel_parameters(self, *, trained: bool = False) -> Floats:
        """Return `parameters` for a kernel: the same memory, in an array that no user holds.

        Raises ValueError if a user set the shape or dtype of `parameters`, or if `trained` is true and `parameters` is
        read-only.
        """
        self._intact_parameters(trained)
        return self._buffer

    def _intact_parameters(self, trained: bool = False) -> Floats:
        return checks.parameters(self._parameters, self._buffer.shape, self._buffer.dtype, trained)

    def evaluated(
        self,
        x: checks.AnyRows,
        y: Array,
        weights: NDArray[np.float64],
        engine: Engine,
        *,
        is_over: Callable[[], bool] = lambda: False,
        refuse: Refuse | None = None,
    ) -> formulas.Sums:
        """Return the weighted sums of the costs and scores of rows x. `fastnet.evaluation` makes an evaluation of them.

        y are checked, `weights` are checked and (n,), or (0,) for weights of 1. `refuse` as for `Engine.forward`. Once
        `is_over` says so, the other parts of the rows are left out.
        """
        found = Parts()

        def use(part: slice, z: Floats) -> None:
            found.add(part, formulas.evaluate(self._layers, z, y[part], weights[part]))

        engine.share(self.layers_to_weighted_sums(), self.kernel_parameters(), x, use, refuse, is_over)
        return found.total()

    def check_inputs(self, x: object, name: str = "x") -> c.Rows:
        """Return examples x (n, n_in) in the form that the kernels take. Errors call x `name`.

        The result is sparse rows, or a C-contiguous array of the network's dtype or of uint8. It shares memory with x
        if no conversion is needed. Raises ValueError for a wrong shape or dtype, or a value that is not finite.
        """
        return checks.kernel_rows(self.check_rows(x, name))

    def check_rows(self, x: object, name: str = "x") -> checks.AnyRows:
        """Return examples x as `check_inputs` does, but a large or memory-mapped array may stay unconverted."""
        rows = checks.lazy_inputs(x, self._sizes[0], self.dtype, name, byte_scale=self._byte_scale)
        self.warn_of_bytes(x, rows)
        return rows

    def _unchecked_rows(self, x: object) -> tuple[checks.AnyRows, Refuse]:
        """Return what `check_rows` does, but floats may be infinite or nan, and a function that raises the error."""
        rows = checks.lazy_inputs(x, self._sizes[0], self.dtype, byte_scale=self._byte_scale, finite=False)
        self.warn_of_bytes(x, rows)
        return rows, partial(self.check_rows, x)

    def note_inputs(self, largest: float, *, anew: bool = False) -> None:
        """Remember the largest absolute value of the floats that the network is trained on. `anew` forgets others."""
        self._largest_input = largest if anew else max(self._largest_input, largest)

    def warn_of_bytes(self, *forms: object) -> None:
        """Warn once of bytes, which stand for 0 to 1, if the network was trained on much larger floats.

        `forms` are examples as the user gave them and as the kernels take them: bytes may be converted to floats.
        """
        if self._largest_input <= MAX_PIXEL:
            return
        if self._byte_scale == c.PIXEL_SCALE and any(map(checks.holds_bytes, forms)):
            warn(
                f"the network was trained on floats as large as {self._largest_input:g}, and here x holds bytes, which "
                "stand for 0 to 1: make the network with Network(byte_scale=1) if a byte stands for its own value, or "
                "give x as floats"
            )
            self._largest_input = 0.0  # one warning is enough

    def check_targets(self, y: object, n: int, name: str = "y") -> Array:
        """Return the labels or targets y of n examples in the form that the kernels take. Errors call y `name`.

        Labels become int64 (n,). Targets become (n, n_out) of the network's dtype. Raises ValueError for a wrong shape
        or dtype, or a target outside the range of the output activation.
        """
        return checks.outputs(y, n, self._sizes[-1], self._activations[-1], self._cost, self._task, self.dtype, name)
