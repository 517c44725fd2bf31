"""Network: the shape of a multi-layer perceptron, and its parameters in one flat buffer."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any, Self, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet import checks
from fastnet.architecture import Floats
from fastnet.backends.engine import Engine, choose
from fastnet.backends.forward import parts
from fastnet.costs import CostObject
from fastnet.errors import warn
from fastnet.evaluation import Evaluation, evaluation, total_squares
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.names import Activation, BackendName, Cost, Init, Output, TaskName, Threads
from fastnet.network_formats import NetworkFormats
from fastnet.predictor import Predictor, predicted
from fastnet.source import Source
from fastnet.source_rows import SourceRows, is_source

Array = NDArray[Any]
MAX_PIXEL = 2.0  # a network that was trained on larger floats warns of bytes


class Network(NetworkFormats):
    """A multi-layer perceptron.

    Parameters
    ----------
    sizes : sequence of int
        The layers' widths, inputs first, such as [784, 16, 16, 10].
    activation : str or sequence of str
        The activation of the hidden layers, one name for all or one for each: "sigmoid", "relu", "tanh", "leaky_relu"
        (its derivative is 0.01 below zero) or "identity".
    output : str, optional
        The activation of the output layer: one of the names above, "softmax" or "exponential". None: what the cost and
        the task imply. Without both this is "softmax", or "sigmoid" for one output.
    cost : str or object, optional
        "squared_error" is the sum over the outputs of the squared differences, averaged over the examples. It has no
        factor 1/2. Books with this factor have half the gradient, so their learning rate of 3.0 is 1.5 here.
        "cross_entropy" is in nats, and needs softmax or sigmoid outputs. The others are "half_squared_error",
        "absolute_error", "huber", "quantile" and "poisson". `Huber`, `Quantile` and `CrossEntropy` are objects that set
        the number of a cost. None: what the output and the task imply. Without both this is "cross_entropy".
    task : str, optional
        What the outputs mean. "classification": each example has one class. "multilabel": each output is a label that
        an example has or has not. "regression": the outputs are values. None: classification for softmax and sigmoid
        outputs, else regression.
    init : str
        "scaled" draws weights from a normal distribution of variance 1/n_in (LeCun et al. 1998), or 2/n_in for a layer
        with a ReLU (He et al. 2015); biases are zero. "normal" draws weights and biases from the standard normal
        distribution.
    seed : int or numpy.random.Generator, optional
        The seed of the initial parameters. The same seed gives the same network. None gives a new network each time.
    dtype : float32 or float64
        The dtype of the parameters and of the arithmetic.
    byte_scale : float
        What a byte of 1 in x stands for. With the default, bytes are pixels and 255 stands for 1. With 1, bytes are
        counts and other numbers as they are.

    Attributes
    ----------
    schema : fastnet.data.Schema or None
        The names of the inputs and classes. You may set it, and `save` keeps it. No calculation uses it.

    Raises
    ------
    ValueError, TypeError
        A size, an activation, the output, the cost or the task is invalid, or they do not fit together.

    Examples
    --------
    >>> import fastnet
    >>> network = fastnet.Network([4, 8, 3], seed=0)
    >>> network
    <Network 4-8-3 relu, softmax, cross_entropy, 67 parameters, float32>
    >>> network.forward([[0.1, 0.2, 0.3, 0.4]]).shape
    (1, 3)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: Activation | Sequence[Output] = "relu",
        output: Output | None = None,
        cost: Cost | CostObject | None = None,
        task: TaskName | None = None,
        init: Init = "scaled",
        seed: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        byte_scale: float = c.PIXEL_SCALE,
    ) -> None:
        super().__init__(sizes, activation, output, cost, task, byte_scale)
        self._largest_input = 0.0  # of the floats that a trainer saw
        checks.name_of("init", init, ("scaled", "normal"))
        self._make_buffer(checks.real_dtype(dtype))
        self._initialise(init, checks.generator(seed))

    def _make_buffer(self, dtype: np.dtype[Any]) -> None:
        self._buffer = c.aligned_empty(self.n_parameters, dtype)  # only kernels get this array
        self._parameters = self._buffer.view()  # the same memory; users may set this array's shape, dtype and flags

    def _initialise(self, init: Init, rng: np.random.Generator) -> None:
        for activation, w, b in zip(self._activations, self.weights, self.biases, strict=True):
            n_in = w.shape[1]
            scale = math.sqrt(formulas.ACTIVATIONS[activation].gain / n_in) if init == "scaled" else 1.0
            w[...] = scale * rng.standard_normal(w.shape)  # drawn in float64, so that both dtypes get the same values
            b[...] = rng.standard_normal(b.shape) if init == "normal" else 0

    # -- properties ------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters: float32 or float64."""
        return self._buffer.dtype

    @property
    def parameters(self) -> Floats:
        """All parameters in one array (n_parameters,): for each layer its weights, row by row, then its biases.

        Setting this property copies the given numbers into the array: `network.parameters = other.parameters`.
        """
        return self._parameters

    @parameters.setter
    def parameters(self, values: Any) -> None:
        found = checks.new_parameters(values, self.n_parameters)
        with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite
            self.kernel_parameters(trained=True)[...] = found

    @property
    def weights(self) -> tuple[Floats, ...]:
        """A view (n_out, n_in) of each layer's weights. Row j holds the weights of neuron j."""
        return self.views(self._intact_parameters()).weights

    @property
    def biases(self) -> tuple[Floats, ...]:
        """A view (n_out,) of each layer's biases."""
        return self.views(self._intact_parameters()).biases

    def __repr__(self) -> str:
        return f"<Network {self.description()}, {self.n_parameters:,} parameters, {self.dtype}>"

    # -- computation -----------------------------------------------------------------------------------------

    def forward(self, x: Any, *, backend: BackendName | None = None, out: Array | None = None) -> Floats:
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
            memory with x.

        Returns
        -------
        numpy.ndarray (n, n_out)
            `out`, or a new array of the network's dtype.

        Raises
        ------
        ValueError
            x or `out` has an invalid shape or dtype, or x has a value that is not finite.
        """
        engine = choose(backend)
        if isinstance(x, Source):
            out = checks.result(out, (len(x), self._sizes[-1]), self.dtype)
            for part, found, _ in SourceRows(x, self, has_y=False).passes(self._layers, engine):
                out[part] = found
            return out
        return engine.forward(self._layers, self.kernel_parameters(), self.check_rows(x), out)

    def activations(self, x: Any, *, backend: BackendName | None = None) -> list[Floats]:
        """Return a list with an array (n, n_out) of activations for each layer of weights, the output layer's last."""
        rows, engine, found = self.check_rows(x), choose(backend), list[Floats]()
        for level in range(len(self._layers)):
            rows = engine.forward(self._layers[level : level + 1], self.kernel_parameters(), rows)
            found.append(rows)
        return found

    def predict(self, x: Any, *, backend: BackendName | None = None, out: Array | None = None) -> Array:
        """Return what the task is about: classes, labels or values.

        Classification: the class of each example, which is the number of the output neuron with the largest weighted
        sum. The activations would be ambiguous, since several may round to 1. With a single output, the class is 1 if
        the weighted sum is at least 0, else 0. Multilabel: 1 for each label whose weighted sum is at least 0, else 0.
        Regression: the outputs.

        Parameters
        ----------
        x, backend
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
            return self.forward(x, backend=backend, out=out)
        rows = SourceRows(x, self, has_y=False) if isinstance(x, Source) else self.check_rows(x)
        layers, engine = self.layers_to_weighted_sums(), choose(backend)
        out = checks.result(out, (len(rows), self._sizes[-1])[: 1 if self.is_classifier else 2], np.int64)
        if isinstance(rows, SourceRows):
            for part, sums, _ in rows.passes(layers, engine):
                out[part] = predicted(self._task, sums)
        else:
            out[...] = predicted(self._task, engine.forward(layers, self.kernel_parameters(), rows))
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

    def cost(self, x: Any, y: Any = None, *, sample_weight: Any = None, backend: BackendName | None = None) -> float:
        """Return the mean cost over the examples. The arguments are those of `evaluate`."""
        return self.evaluate(x, y, sample_weight=sample_weight, backend=backend).cost

    def accuracy(
        self, x: Any, y: Any = None, *, sample_weight: Any = None, backend: BackendName | None = None
    ) -> float:
        """Return the accuracy that `evaluate` returns. Raises ValueError for a regression network."""
        if self._task == "regression":
            checks.classifier(self._task, "accuracy: use evaluate, for the cost and R2")
        return self.evaluate(x, y, sample_weight=sample_weight, backend=backend).accuracy

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
        x, backend
            As for `forward`.
        y : array
            Class labels (n,), or targets (n, n_out). A Source has its own.
        sample_weight : array (n,), optional
            The weight of each example in all means: 0 or more. A whole number counts the example that many times.
        threads : int or "auto"
            How many threads may share the work.

        Returns
        -------
        Evaluation
            The cost, the accuracy, the accuracy of single labels and R2.
        """
        engine = choose(backend, threads)
        if is_source(x, y, sample_weight):
            return cast(Evaluation, SourceRows(x, self).evaluation(engine))  # None only where a caller ends it early
        rows, targets, weights = self._examples(x, y, sample_weight)
        found = self.evaluate_parts(rows, targets, weights, engine)
        sums = formulas.Sums(*map(sum, zip(*found, strict=True)))
        return evaluation(self._layers, sums, total_squares(self._layers, targets, weights))

    def gradient(self, x: Any, y: Any, *, sample_weight: Any = None, backend: BackendName | None = None) -> Floats:
        """Return the gradient (n_parameters,) of the mean cost over the examples, in the order of `parameters`.

        The arguments are those of `evaluate`.
        """
        rows, targets, weights = self._examples(x, y, sample_weight)
        rows = checks.kernel_rows(rows)
        return choose(backend).gradient(self._layers, self.kernel_parameters(), rows, targets, weights)

    def _examples(self, x: Any, y: Any, sample_weight: Any) -> tuple[checks.AnyRows, Array, NDArray[np.float64]]:
        rows = self.check_rows(x)
        return rows, self.check_targets(y, len(rows)), checks.weights(sample_weight, len(rows))

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

    def evaluate_parts(
        self, x: checks.AnyRows, y: Array, weights: NDArray[np.float64], engine: Engine
    ) -> Iterator[formulas.Sums]:
        """For each part of checked data, yield the weighted sums of costs and scores.

        `weights` are (n,), or (0,) for weights of 1. Each part is one short kernel call, so that the caller can stop in
        between. `fastnet.evaluation` turns the sums into an evaluation.
        """
        layers = self.layers_to_weighted_sums()
        for part in parts(layers, len(x)):
            z = engine.forward(layers, self.kernel_parameters(), x[part])
            yield formulas.evaluate(self._layers, z, y[part], weights[part])

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

    # -- copies ----------------------------------------------------------------------------------------------

    def copy(self) -> Self:
        """Return an independent network with the same parameters."""
        return copy.copy(self)

    def astype(self, dtype: DTypeLike) -> Self:
        """Return an independent network with the same parameters as float32 or float64."""
        twin = self.copy()
        twin._make_buffer(checks.real_dtype(dtype))
        twin._buffer[...] = self._buffer
        return twin

    @classmethod
    def _made(
        cls, sizes: tuple[int, ...], parameters: Floats, settings: dict[str, Any], largest_input: float = 0.0
    ) -> Self:
        network = cls.__new__(cls)  # as with pickle, the __init__ of a subclass is not called
        Network.__init__(network, sizes, **settings, seed=0, dtype=parameters.dtype)
        network._buffer[...] = parameters
        network.note_inputs(largest_input)
        return network

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and pickles: the values of the parameters in place of the buffers."""
        made = "_layers", "_layers_to_sums", "_buffer", "_parameters"
        kept = {name: value for name, value in vars(self).items() if name not in made}
        return kept | {"parameters": np.array(self._buffer)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state.items() if name != "parameters"})
        self._encode()
        checks.vector(state["parameters"], self.n_parameters, "parameters")  # before memory is taken for as many
        self._make_buffer(state["parameters"].dtype)
        self._buffer[...] = state["parameters"]
