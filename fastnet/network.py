"""Network: the shape of a multi-layer perceptron, and its parameters in one flat buffer."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet import checks
from fastnet.backends.engine import Engine, choose
from fastnet.backends.forward import parts
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.names import Activation, BackendName, Cost, Init, Output, Threads
from fastnet.predictor import Floats, Predictor

Array = NDArray[Any]


class Views(NamedTuple):
    """Views of a flat vector, layer by layer: weights[l] (n_out, n_in) and biases[l] (n_out,) share its memory."""

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]


class Evaluation(NamedTuple):
    """The mean cost over some examples, and the share of examples classified right (nan for a regression network)."""

    cost: float
    accuracy: float


class Network:
    """A multi-layer perceptron.

    Parameters
    ----------
    sizes : sequence of int
        The layers' widths, inputs first, such as [784, 16, 16, 10].
    activation : str or sequence of str
        The activation of the hidden layers, one name for all or one for each: "sigmoid", "relu", "tanh", "leaky_relu"
        (its derivative is 0.01 below zero) or "identity".
    output : str, optional
        The activation of the output layer: one of the names above, or "softmax". The default is "softmax" for
        cross_entropy with several outputs, else "sigmoid".
    cost : str
        "squared_error" is the sum over the outputs of the squared differences, averaged over the examples. It has no
        factor 1/2. Books with this factor have half the gradient, so their learning rate of 3.0 is 1.5 here.
        "cross_entropy" is in nats, and needs softmax or sigmoid outputs.
    init : str
        "scaled" draws weights from a normal distribution of variance 1/n_in (LeCun et al. 1998), or 2/n_in for a layer
        with a ReLU (He et al. 2015); biases are zero. "normal" draws weights and biases from the standard normal
        distribution.
    seed : int or numpy.random.Generator, optional
        The seed of the initial parameters. The same seed gives the same network. None gives a new network each time.
    dtype : float32 or float64
        The dtype of the parameters and of the arithmetic.

    Raises
    ------
    ValueError, TypeError
        A size, an activation, the output or the cost is invalid, or they do not fit together.

    Examples
    --------
    >>> import fastnet
    >>> network = fastnet.Network([4, 8, 3], activation="relu", cost="cross_entropy", seed=0)
    >>> network
    <Network 4-8-3 relu, softmax, cross_entropy, 67 parameters, float32>
    >>> network.forward([[0.1, 0.2, 0.3, 0.4]]).shape
    (1, 3)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: Activation | Sequence[Output] = "sigmoid",
        output: Output | None = None,
        cost: Cost = "squared_error",
        init: Init = "scaled",
        seed: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self._sizes = checks.layer_sizes(sizes)
        hidden = checks.hidden_activations(activation, len(self._sizes) - 2)
        output_name, cost_name = checks.output_and_cost(output, cost, self._sizes[-1])
        self._activations = cast(tuple[Output, ...], (*hidden, output_name))
        self._cost = cast(Cost, cost_name)
        checks.name_of("init", init, ("scaled", "normal"))
        self._make_buffer(checks.real_dtype(dtype))
        self._initialise(init, checks.generator(seed))

    def _make_buffer(self, dtype: np.dtype[Any]) -> None:
        self._layers = _encode(self._sizes, self._activations, self._cost)
        n_parameters = int(self._layers[-1, c.BIASES]) + self._sizes[-1]
        self._buffer = c.aligned_empty(n_parameters, dtype)  # only kernels get this array
        self._parameters = self._buffer.view()  # the same memory; users may set this array's shape, dtype and flags

    def _initialise(self, init: Init, rng: np.random.Generator) -> None:
        for activation, w, b in zip(self._activations, self.weights, self.biases, strict=True):
            n_in = w.shape[1]
            scale = math.sqrt(formulas.ACTIVATIONS[activation].gain / n_in) if init == "scaled" else 1.0
            w[...] = scale * rng.standard_normal(w.shape)  # drawn in float64, so that both dtypes get the same values
            b[...] = rng.standard_normal(b.shape) if init == "normal" else 0

    # -- properties ------------------------------------------------------------------------------------------

    @property
    def sizes(self) -> tuple[int, ...]:
        """The layers' widths, inputs first."""
        return self._sizes

    @property
    def activations_by_layer(self) -> tuple[Output, ...]:
        """The activation of each layer of weights, the output layer's last."""
        return self._activations

    @property
    def cost_name(self) -> Cost:
        """The cost that training minimises."""
        return self._cost

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters: float32 or float64."""
        return self._buffer.dtype

    @property
    def is_classifier(self) -> bool:
        """Whether the network classifies: true for sigmoid and softmax outputs. Other outputs are for regression."""
        return formulas.ACTIVATIONS[self._activations[-1]].is_probability

    @property
    def n_parameters(self) -> int:
        """The number of weights and biases."""
        return self._buffer.size

    @property
    def parameters(self) -> Floats:
        """All parameters in one array (n_parameters,): for each layer its weights, row by row, then its biases."""
        return self._parameters

    @property
    def weights(self) -> tuple[Floats, ...]:
        """A view (n_out, n_in) of each layer's weights. Row j holds the weights of neuron j."""
        return self.views(self._intact_parameters()).weights

    @property
    def biases(self) -> tuple[Floats, ...]:
        """A view (n_out,) of each layer's biases."""
        return self.views(self._intact_parameters()).biases

    def views(self, vector: Array) -> Views:
        """Return views of a vector (n_parameters,), such as a gradient: the weights and the biases of each layer.

        Raises ValueError if the vector has another shape.
        """
        checks.vector(vector, self.n_parameters, "vector")
        weights, biases = [], []
        for n_in, n_out, _, w, b, *_ in self._layers.tolist():
            weights.append(vector[w : w + n_in * n_out].reshape(n_out, n_in))
            biases.append(vector[b : b + n_out])
        return Views(tuple(weights), tuple(biases))

    def __repr__(self) -> str:
        *hidden, output = self._activations
        return (
            f"<Network {'-'.join(map(str, self._sizes))} {'/'.join(dict.fromkeys(hidden)) or 'no hidden layer'}, "
            f"{output}, {self._cost}, {self.n_parameters:,} parameters, {self.dtype}>"
        )

    # -- computation -----------------------------------------------------------------------------------------

    def forward(self, x: Any, *, backend: BackendName | None = None, out: Array | None = None) -> Floats:
        """Return the output layer's activations.

        Parameters
        ----------
        x : array or scipy.sparse matrix (n, n_in)
            Examples, one per row, as floats or uint8. A uint8 value v stands for v / 255.
        backend : str, optional
            A backend's name. None: the backend in use.
        out : numpy.ndarray (n, n_out), optional
            A C-contiguous array of the network's dtype for the result. It must not share memory with x.

        Returns
        -------
        numpy.ndarray (n, n_out)
            `out`, or a new array of the network's dtype.

        Raises
        ------
        ValueError
            x or `out` has an invalid shape or dtype, or x has a value that is not finite.
        """
        rows = self.check_inputs(x)
        return choose(backend).forward(self._layers, self.kernel_parameters(), rows, out)

    def activations(self, x: Any, *, backend: BackendName | None = None) -> list[Floats]:
        """Return a list with an array (n, n_out) of activations for each layer of weights, the output layer's last."""
        a, engine, found = self.check_inputs(x), choose(backend), list[Floats]()
        for level in range(len(self._layers)):
            a = engine.forward(self._layers[level : level + 1], self.kernel_parameters(), a)
            found.append(a)
        return found

    def predict(self, x: Any, *, backend: BackendName | None = None, out: Array | None = None) -> Array:
        """Return the class of each example, or the outputs of a regression network.

        The class is the number of the output neuron with the largest weighted sum. The activations
        would be ambiguous, since several may round to 1. With a single output, the class is 1 if the weighted sum is at
        least 0, else 0.

        Parameters
        ----------
        x, backend
            As for `forward`.
        out : numpy.ndarray, optional
            The array for the result: int64 (n,), or (n, n_out) for a regression network.

        Returns
        -------
        numpy.ndarray
            The output array: int64 (n,), or (n, n_out) for a regression network.
        """
        if not self.is_classifier:
            return self.forward(x, backend=backend, out=out)
        rows = self.check_inputs(x)
        labels = checks.result(out, (len(rows),), np.int64)
        sums = choose(backend).forward(self.layers_to_weighted_sums(), self.kernel_parameters(), rows)
        labels[...] = formulas.classes(sums, axis=1)
        return labels

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

    def cost(self, x: Any, y: Any, *, backend: BackendName | None = None) -> float:
        """Return the mean cost over the examples. The arguments are those of `evaluate`."""
        return self.evaluate(x, y, backend=backend).cost

    def accuracy(self, x: Any, y: Any, *, backend: BackendName | None = None) -> float:
        """Return the share of examples classified right. Raises ValueError for a regression network."""
        checks.classifier(self.is_classifier, self._activations[-1], "accuracy: use cost")
        return self.evaluate(x, y, backend=backend).accuracy

    def evaluate(self, x: Any, y: Any, *, backend: BackendName | None = None, threads: Threads = 1) -> Evaluation:
        """Return the mean cost over the examples, and the share of examples classified right.

        Parameters
        ----------
        x, backend
            As for `forward`.
        y : array
            Class labels (n,), or targets (n, n_out).
        threads : int or "auto"
            How many threads may share the work.
        """
        rows = self.check_inputs(x)
        targets = self.check_targets(y, len(rows))
        cost, n_right = 0.0, 0
        for part_cost, part_right in self.evaluate_parts(rows, targets, choose(backend, threads)):
            cost, n_right = cost + part_cost, n_right + part_right
        return Evaluation(cost / len(rows), n_right / len(rows) if self.is_classifier else math.nan)

    def gradient(self, x: Any, y: Any, *, backend: BackendName | None = None) -> Floats:
        """Return the gradient (n_parameters,) of the mean cost over the examples, in the order of `parameters`."""
        rows = self.check_inputs(x)
        targets = self.check_targets(y, len(rows))
        return choose(backend).gradient(self._layers, self.kernel_parameters(), rows, targets)

    # -- for the trainer, the predictor and the experiments ----------------------------------------------------

    @property
    def layers(self) -> NDArray[np.int64]:
        """The network in the form that kernels take, read-only. `fastnet.kernels.contract` names the columns."""
        return self._layers.view()  # a view, since users may set an array's shape and dtype

    def layers_to_weighted_sums(self) -> NDArray[np.int64]:
        """Return `layers` without the last activation: the outputs are then the last layer's weighted sums.

        Costs and classes are computed from the weighted sums, since several activations may round to 1.
        """
        layers = self._layers.copy()
        layers[-1, c.ACTIVATION] = c.IDENTITY
        return layers

    def kernel_parameters(self, *, trained: bool = False) -> Floats:
        """Return `parameters` for a kernel: the same memory, in an array that no user holds.

        Raises ValueError if a user set the shape or dtype of `parameters`, or if `trained` is true and `parameters` is
        read-only.
        """
        self._intact_parameters(trained)
        return self._buffer

    def _intact_parameters(self, trained: bool = False) -> Floats:
        return checks.parameters(self._parameters, self._buffer.shape, self._buffer.dtype, trained)

    def evaluate_parts(self, x: c.Rows, y: Array, engine: Engine) -> Iterator[tuple[float, int]]:
        """For each part of checked data, yield its summed cost and the number of examples classified right.

        Each part is one short kernel call, so that the caller can stop in between.
        """
        layers = self.layers_to_weighted_sums()
        output = int(self._layers[-1, c.ACTIVATION]), int(self._layers[-1, c.COST])
        for part in parts(layers, len(x)):
            sums = engine.forward(layers, self.kernel_parameters(), x[part])
            yield formulas.evaluate(*output, sums, y[part])

    def check_inputs(self, x: object, name: str = "x") -> c.Rows:
        """Return examples x (n, n_in) in the form that the kernels take. Errors call x `name`.

        The result is sparse rows, or a C-contiguous array of the network's dtype or of uint8. It shares memory with x
        if no conversion is needed. Raises ValueError for a wrong shape or dtype, or a value that is not finite.
        """
        return checks.inputs(x, self._sizes[0], self.dtype, name)

    def check_targets(self, y: object, n: int, name: str = "y") -> Array:
        """Return the labels or targets y of n examples in the form that the kernels take. Errors call y `name`.

        Labels become int64 (n,). Targets become (n, n_out) of the network's dtype. Raises ValueError for a wrong shape
        or dtype, or a target outside the range of the output activation.
        """
        return checks.outputs(y, n, self._sizes[-1], self._activations[-1], self._cost, self.dtype, name)

    # -- copies and files ----------------------------------------------------------------------------------------

    def copy(self) -> Self:
        """Return an independent network with the same parameters."""
        return copy.copy(self)

    def astype(self, dtype: DTypeLike) -> Self:
        """Return an independent network with the same parameters as float32 or float64."""
        twin = self.copy()
        twin._make_buffer(checks.real_dtype(dtype))
        twin._buffer[...] = self._buffer
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and pickles: the values of the parameters in place of the buffers."""
        kept = {name: value for name, value in vars(self).items() if name not in ("_layers", "_buffer", "_parameters")}
        return kept | {"parameters": np.array(self._buffer)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state.items() if name != "parameters"})
        self._make_buffer(state["parameters"].dtype)
        self._buffer[...] = state["parameters"]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to an .npz file, without pickle. An existing file stays until the new one is complete.

        Raises DataError if the file cannot be written.
        """
        from fastnet import network_file  # imported here, since it imports fastnet.data, a lazy package

        *hidden, output = self._activations
        settings = {"activation": hidden, "output": output, "cost": self._cost}
        network_file.write(path, self._sizes, settings, self._buffer)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the network that `save` wrote.

        On a subclass, `load` returns an object of the subclass. As with pickle, its `__init__` is not called. Raises
        DataError if the file is missing or damaged, or was not written by `save`.
        """
        from fastnet import network_file

        with network_file.opened(path) as saved:
            network = cls.__new__(cls)
            Network.__init__(network, saved.sizes, **saved.settings, seed=0, dtype=saved.parameters.dtype)
            network._buffer[...] = saved.parameters
        return network


def _encode(sizes: Sequence[int], activations: Sequence[str], cost: str) -> NDArray[np.int64]:
    """Return the network in the form that kernels take: see `fastnet.kernels.contract`."""
    layers = np.zeros((len(activations), c.LAYER_COLUMNS), np.int64)
    at = 0
    for row, n_in, n_out, activation in zip(layers, sizes, sizes[1:], activations, strict=False):
        row[: c.DROP] = n_in, n_out, formulas.ACTIVATIONS[activation].code, at, at + n_in * n_out, c.NO_COST
        at += c.count_parameters((n_in, n_out))
    layers[-1, c.COST] = formulas.COSTS[cost].code
    return c.frozen(layers)
