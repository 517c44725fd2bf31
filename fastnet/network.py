"""Network: the shape of a multi-layer perceptron, and its parameters in one flat buffer."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from fastnet import checks
from fastnet.architecture import Floats
from fastnet.costs import CostObject
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.names import Activation, Cost, Init, Output, TaskName
from fastnet.network_outputs import NetworkOutputs


class Network(NetworkOutputs):
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
