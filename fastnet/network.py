"""Network: a multi-layer perceptron's shape and its parameters, all in one flat buffer.

Not here: training (trainer.py), convolutions, recurrent layers, autograd.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet import backends, checks
from fastnet.backends.forward import forward, parts, work_of
from fastnet.backends.threads import team_size
from fastnet.errors import DataError
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.predictor import Predictor

Array = NDArray[Any]
FORMAT = "fastnet network 1"
SETTINGS = ("activation", "output", "cost")  # that a file keeps, by the names of Network's arguments


class Views(NamedTuple):
    """A flat vector seen layer by layer: weights[l] (n_out, n_in) and biases[l] (n_out,) share its memory."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]


class Evaluation(NamedTuple):
    """The mean cost over some examples, and the share classified right (nan for a regression network)."""

    cost: float
    accuracy: float


class Network:
    """A multi-layer perceptron.

    Parameters
    ----------
    sizes
        The layers' widths, inputs first: [784, 16, 16, 10].
    activation
        Of the hidden layers, one name for all or a list: "sigmoid", "relu", "tanh", "leaky_relu" (slope 0.01 below
        zero), "identity".
    output
        Of the output layer: those, or "softmax". By default "sigmoid" with squared_error or a single output, and
        "softmax" with cross_entropy.
    cost
        "squared_error": the sum over outputs of squared differences, averaged over examples, WITHOUT the factor 1/2
        of some texts: its gradient is twice theirs, so their learning rate of 3.0 is 1.5 here. "cross_entropy", in
        nats, with softmax or sigmoid outputs.
    init
        "scaled": weights normal with variance 1/n_in, 2/n_in where the activation is (leaky) ReLU (LeCun et al.
        1998; He et al. 2015), biases zero. "normal": weights and biases standard normal.
    seed
        Of the initial parameters: the same seed, the same network. None: another each time.
    dtype
        float32 or float64, of the parameters and of the arithmetic.

    Raises ValueError or TypeError for an impossible network.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str | Sequence[str] = "sigmoid",
        output: str | None = None,
        cost: str = "squared_error",
        init: str = "scaled",
        seed: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self._sizes = checks.layer_sizes(sizes)
        hidden = checks.hidden_activations(activation, len(self._sizes) - 2)
        output, self._cost = checks.output_and_cost(output, cost, self._sizes[-1])
        self._activations = (*hidden, output)
        checks.name_of("init", init, ("scaled", "normal"))
        self._make_buffer(checks.real_dtype(dtype))
        self._initialise(init, checks.generator(seed))

    def _make_buffer(self, dtype: np.dtype[Any]) -> None:
        self._layers = _encode(self._sizes, self._activations, self._cost)
        n_parameters = int(self._layers[-1, c.BIASES]) + self._sizes[-1]
        self._buffer = c.aligned_empty(n_parameters, dtype)  # what kernels are handed, and nobody else
        self._parameters = self._buffer.view()  # the same memory, whose shape, dtype and flags a user may set

    def _initialise(self, init: str, rng: np.random.Generator) -> None:
        for activation, w, b in zip(self._activations, self.weights, self.biases, strict=True):
            n_in = w.shape[1]
            scale = math.sqrt(formulas.ACTIVATIONS[activation].gain / n_in) if init == "scaled" else 1.0
            w[...] = scale * rng.standard_normal(w.shape)  # in float64, so that both dtypes start from one network
            b[...] = rng.standard_normal(b.shape) if init == "normal" else 0

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def sizes(self) -> tuple[int, ...]:
        """The layers' widths, inputs first."""
        return self._sizes

    @property
    def activations_by_layer(self) -> tuple[str, ...]:
        """The activation of each layer of weights, the output's last."""
        return self._activations

    @property
    def cost_name(self) -> str:
        return self._cost

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._buffer.dtype

    @property
    def layers(self) -> NDArray[np.int64]:
        """The network as the kernels see it (fastnet.kernels.contract), read-only."""
        return self._layers.view()  # its shape and dtype are the caller's to change

    @property
    def n_parameters(self) -> int:
        return self._buffer.size

    @property
    def parameters(self) -> Array:
        """The one contiguous buffer (n_parameters,): layer by layer weights, row by row, then biases."""
        return self._parameters

    @property
    def weights(self) -> tuple[Array, ...]:
        """weights[l] (n_out, n_in), a view: row j is neuron j's picture of the layer below."""
        return self.views(self._intact_parameters()).weights

    @property
    def biases(self) -> tuple[Array, ...]:
        """biases[l] (n_out,), a view."""
        return self.views(self._intact_parameters()).biases

    def kernel_parameters(self, *, trained: bool = False) -> Array:
        """`parameters` as a kernel is handed them: the same memory, as an array that no user holds.

        Raises ValueError where `parameters` was reshaped, was given another dtype or, to be trained, is read-only.
        """
        self._intact_parameters(trained)
        return self._buffer

    def _intact_parameters(self, trained: bool = False) -> Array:
        return checks.parameters(self._parameters, self._buffer.shape, self._buffer.dtype, trained)

    def views(self, vector: Array) -> Views:
        """The same views of any vector (n_parameters,): a gradient, a snapshot. Raises ValueError for another shape."""
        checks.vector(vector, self.n_parameters, "vector")
        weights, biases = [], []
        for n_in, n_out, _, w, b, *_ in self._layers.tolist():
            weights.append(vector[w : w + n_in * n_out].reshape(n_out, n_in))
            biases.append(vector[b : b + n_out])
        return Views(tuple(weights), tuple(biases))

    @property
    def is_classifier(self) -> bool:
        """Whether the outputs are read as classes: sigmoid and softmax outputs are, others are a regression's."""
        return formulas.ACTIVATIONS[self._activations[-1]].is_probability

    def __repr__(self) -> str:
        *hidden, output = self._activations
        return (
            f"<Network {'-'.join(map(str, self._sizes))} {'/'.join(dict.fromkeys(hidden)) or 'no hidden layer'}, "
            f"{output}, {self._cost}, {self.n_parameters:,} parameters, {self.dtype}>"
        )

    # -- what it computes ------------------------------------------------------------------------------------

    def forward(self, x: Any, *, backend: str | None = None, out: Array | None = None) -> Array:
        """The output activations (n, n_out) of x (n, n_in), float or uint8 (which stands for x / 255), or sparse.

        Sparse is a matrix or array of scipy.sparse, here and wherever else x is wanted. `out`: a C-contiguous array
        (n, n_out) of the network's dtype, which is filled and returned; it must not share memory with x.
        """
        return _forward(self._layers, self.kernel_parameters(), self.check_inputs(x), backend, out)

    def activations(self, x: Any, *, backend: str | None = None) -> list[Array]:
        """The activations of every layer of weights: one array (n, n_out) a layer, the output last."""
        a, found = self.check_inputs(x), list[Array]()
        for level in range(len(self._layers)):
            a = _forward(self._layers[level : level + 1], self.kernel_parameters(), a, backend)
            found.append(a)
        return found

    def predict(self, x: Any, *, backend: str | None = None, out: Array | None = None) -> Array:
        """Class labels int64 (n,); for a regression network the outputs (n, n_out). `out` is filled and returned.

        The label is the number of the largest weighted sum of the output layer, which still tells classes apart where
        outputs round to 1; with a single output it is 1 where the sum is at least 0, a sigmoid of at least a half.
        """
        if not self.is_classifier:
            return self.forward(x, backend=backend, out=out)
        rows = self.check_inputs(x)
        found = checks.result(out, (len(rows),), np.int64)
        found[...] = formulas.classes(_forward(self.weighted_sums(), self.kernel_parameters(), rows, backend), axis=1)
        return found

    def compile(
        self,
        *,
        backend: str | None = None,
        max_batch: int = 1,
        threads: int | str = 1,
        x_dtype: DTypeLike | None = None,
    ) -> Predictor:
        """A function of x for hot loops, with the parameters as they are now: see Predictor.

        max_batch: rows of a kernel call, at most; larger inputs go in parts of as many, which `threads` threads (or
        "auto") share. x_dtype: of the inputs to prepare for at once; the others are when they first come.

        Raises ValueError or TypeError for impossible settings, BackendError for a missing backend.
        """
        return Predictor(self, backend=backend, max_batch=max_batch, threads=threads, x_dtype=x_dtype)

    def weighted_sums(self) -> NDArray[np.int64]:
        """`layers` without the last activation: a network whose outputs are the weighted sums of the last layer.

        Costs and classes are taken from them: they overflow nothing and still differ where sigmoids round to 1.
        """
        layers = self._layers.copy()
        layers[-1, c.ACTIVATION] = c.IDENTITY
        return layers

    def cost(self, x: Any, y: Any, *, backend: str | None = None) -> float:
        """The mean cost over the examples; y int labels (n,) or targets (n, n_out)."""
        return self.evaluate(x, y, backend=backend).cost

    def accuracy(self, x: Any, y: Any, *, backend: str | None = None) -> float:
        """The share of examples classified right. Raises ValueError for a regression network."""
        checks.classifier(self.is_classifier, self._activations[-1], "accuracy: use cost")
        return self.evaluate(x, y, backend=backend).accuracy

    def evaluate(self, x: Any, y: Any, *, backend: str | None = None) -> Evaluation:
        """The mean cost and the accuracy, in one pass."""
        return self._evaluate(x, y, backend, 1)

    def _evaluate(self, x: Any, y: Any, backend: str | None, threads: int | None) -> Evaluation:
        x = self.check_inputs(x)
        y = self.check_targets(y, len(x))
        cost, correct = 0.0, 0
        for part_cost, part_correct in self.evaluate_parts(x, y, backend, threads):
            cost, correct = cost + part_cost, correct + part_correct
        return Evaluation(cost / len(x), correct / len(x) if self.is_classifier else math.nan)

    def evaluate_parts(
        self, x: c.Rows, y: Array, backend: str | None, threads: int | None = 1
    ) -> Iterator[tuple[float, int]]:
        """The summed cost and the number right of a part of checked x, y after the other, each a short call."""
        layers = self.weighted_sums()
        output = int(self._layers[-1, c.ACTIVATION]), int(self._layers[-1, c.COST])
        for part in parts(layers, len(x)):
            sums = _forward(layers, self.kernel_parameters(), x[part], backend, threads=threads)
            yield formulas.evaluate(*output, sums, y[part])

    def gradient(self, x: Any, y: Any, *, backend: str | None = None) -> Array:
        """The gradient (n_parameters,) of the mean cost over the examples, in the order of `parameters`."""
        x = self.check_inputs(x)
        y = self.check_targets(y, len(x))
        kernels = backends.get(backends.resolve(backend).name)
        gradient = c.aligned_empty(self.n_parameters, self.dtype)
        plan = c.plan(self._layers, len(x), 0, self.dtype.itemsize, sparse=isinstance(x, c.SparseRows))
        work = c.aligned_empty(plan.size, self.dtype)
        kernels.gradient(self._layers, self.kernel_parameters(), x, y, gradient, work)
        return gradient

    def check_inputs(self, x: object, name: str = "x") -> c.Rows:
        """Return x as this network's kernels take it.

        Parameters
        ----------
        x : array or scipy.sparse matrix (n, n_in)
            Examples, one a row: floats, or uint8, which stands for x / 255.
        name : str
            The argument's name, for the error message.

        Returns
        -------
        numpy.ndarray or SparseRows (n, n_in)
            C-contiguous rows of the network's dtype, or of uint8. They share memory with x where no conversion is
            needed.

        Raises
        ------
        ValueError
            The shape or dtype is wrong, or a value is not finite.
        """
        return checks.inputs(x, self._sizes[0], self.dtype, name)

    def check_targets(self, y: object, n: int, name: str = "y") -> Array:
        """Return y as this network's kernels take it.

        Parameters
        ----------
        y : array (n,) or (n, n_out)
            Class labels, or a vector of targets for each example.
        n : int
            The number of examples.
        name : str
            The argument's name, for the error message.

        Returns
        -------
        numpy.ndarray
            Labels int64 (n,), or targets (n, n_out) of the network's dtype.

        Raises
        ------
        ValueError
            The shape or dtype is wrong, or a target lies outside the range of the output activation.
        """
        return checks.outputs(y, n, self._sizes[-1], self._activations[-1], self._cost, self.dtype, name)

    # -- kept and copied ---------------------------------------------------------------------------------------

    def copy(self) -> Self:
        """An independent network with the same parameters."""
        return copy.copy(self)

    def astype(self, dtype: DTypeLike) -> Self:
        """An independent network with the same parameters as float32 or float64. Raises as Network for other dtypes."""
        twin = self.copy()
        twin._make_buffer(checks.real_dtype(dtype))
        twin._buffer[...] = self._buffer
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle keeps: all but the buffer and what is made with it, and the parameters themselves."""
        kept = {name: value for name, value in vars(self).items() if name not in ("_layers", "_buffer", "_parameters")}
        return kept | {"parameters": np.array(self._buffer)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state.items() if name != "parameters"})
        self._make_buffer(state["parameters"].dtype)
        self._buffer[...] = state["parameters"]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the network to an .npz file, without pickle; a file of that name is replaced only by a whole one.

        Raises DataError where it cannot be written.
        """
        import json

        from fastnet.data.arrays import write_npz
        from fastnet.data.files import atomic_write

        *hidden, output = self._activations
        about = {
            "format": FORMAT,
            "sizes": self._sizes,
            "activation": hidden,
            "output": output,
            "cost": self._cost,
            "dtype": self.dtype.name,
        }
        with atomic_write(path) as file:
            write_npz(file, about=np.array(json.dumps(about)), parameters=self._buffer)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """A network that `save` wrote. Raises DataError for a file that is missing, corrupt or something else.

        A subclass loads as itself. Its own `__init__` is not called, as with pickle.
        """
        import json

        from fastnet.data.arrays import read_npz
        from fastnet.text import reason, shown

        arrays = read_npz(path)
        try:
            if absent := [name for name in ("about", "parameters") if name not in arrays]:
                raise ValueError(f"it has no array {' and no '.join(absent)}")
            about = json.loads(str(arrays["about"][()]))
            if not isinstance(about, dict) or not about.keys() >= {"format", "sizes", "dtype", *SETTINGS}:
                raise ValueError("its array about does not describe a network")
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']!r}, not {FORMAT!r}")
            sizes = checks.layer_sizes(about["sizes"])
            parameters, expected = (
                arrays["parameters"],
                sum(b * (a + 1) for a, b in pairwise(sizes)),
            )
            if parameters.shape != (expected,) or parameters.dtype != about["dtype"]:
                raise ValueError(
                    f"it holds parameters {parameters.shape} {parameters.dtype}, not ({expected},) {about['dtype']}"
                )
            network = cls.__new__(cls)
            settings = {name: about[name] for name in SETTINGS}
            Network.__init__(network, sizes, **settings, seed=0, dtype=parameters.dtype)
            network._buffer[...] = parameters
            return network
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{shown(path)} is not a network that fastnet saved: {reason(error)}") from error


def _encode(sizes: Sequence[int], activations: Sequence[str], cost: str) -> NDArray[np.int64]:
    layers = np.zeros((len(activations), c.LAYER_COLUMNS), np.int64)
    at = 0
    for row, n_in, n_out, activation in zip(layers, sizes, sizes[1:], activations, strict=False):
        row[: c.DROP] = n_in, n_out, formulas.ACTIVATIONS[activation].code, at, at + n_in * n_out, c.NO_COST
        at += n_out * (n_in + 1)
    layers[-1, c.COST] = formulas.COSTS[cost].code
    return c.frozen(layers)


def _forward(
    layers: NDArray[np.int64],
    parameters: Array,
    x: c.Rows,
    backend: str | None,
    out: Array | None = None,
    threads: int | None = 1,
) -> Array:
    name = backends.resolve(backend).name
    kernels = backends.get(name)
    out = checks.result(out, (len(x), int(layers[-1, c.N_OUT])), parameters.dtype)
    if threads != 1:
        threads = team_size(threads, kernels, name, len(x), work_of(layers, x, len(x)))
    forward(kernels, layers, parameters, x, out.view(), threads)  # of which nobody else can set the shape
    return out
