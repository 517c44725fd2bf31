"""ONNX: a graph of nodes and constants, the layers and the predictions of a network as nodes, and the file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnet import checks
from fastnet.architecture import Architecture, Floats
from fastnet.errors import require_extra
from fastnet.kernels import contract as c
from fastnet.version import __version__

if TYPE_CHECKING:
    from fastnet.data.schema import Schema

OPSET, IR_VERSION = 17, 8
X_DTYPES = ("uint8", "float32", "float64")
MAX_BYTES = (1 << 31) - (1 << 20)  # of the parameters; protobuf has no messages of 2 GiB or more
OPERATORS = {  # of all activations except leaky_relu
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "tanh": "Tanh",
    "identity": "Identity",
    "softmax": "Softmax",
    "exponential": "Exp",
}
OUTPUTS = {"classification": "probabilities", "multilabel": "probabilities", "regression": "values"}


class Described(Protocol):
    """What a file says about its model: a network or an ensemble."""

    @property
    def sizes(self) -> Sequence[int]: ...
    @property
    def task(self) -> str: ...
    @property
    def schema(self) -> Schema | None: ...
    def description(self) -> str: ...
    def cost_description(self) -> str: ...


class Value(NamedTuple):
    """A value of a graph: its name and the dtype of its entries. The dtype of texts is object."""

    name: str
    dtype: np.dtype[Any]


class Graph:
    """An ONNX graph with one input x (n, n_in), built node by node. The number of rows n is free.

    Parameters
    ----------
    n_in : int
        The number of columns of x.
    x_dtype : str or dtype
        The dtype of x: uint8, float32 or float64.

    Attributes
    ----------
    x : Value
        The input.

    Raises
    ------
    MissingLibraryError
        The package onnx is missing.
    ValueError
        x_dtype is another dtype.

    Examples
    --------
    >>> import numpy
    >>> graph = Graph(2, "float32")
    >>> doubled = graph.node("Mul", graph.x, graph.constant("two", 2, graph.x.dtype), name="doubled")
    >>> graph.add_output(doubled, 2)
    >>> [output.name for output in graph.model("twice", {}).graph.output]
    ['doubled']
    """

    def __init__(self, n_in: int, x_dtype: DTypeLike) -> None:
        require_extra("onnx", "an ONNX file needs the package onnx", "onnx")
        self.x = Value("x", checks.dtype_of("x_dtype", x_dtype, X_DTYPES))
        self._inputs = [_described(self.x, n_in)]
        self._outputs: list[Any] = []
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, name: str, values: ArrayLike, dtype: DTypeLike) -> Value:
        """Add an array of fixed values, converted to the dtype."""
        from onnx import numpy_helper

        array = np.asarray(values, dtype)
        self._constants.append(numpy_helper.from_array(array, name))
        return Value(name, array.dtype)

    def node(
        self, operator: str, *inputs: Value, name: str, dtype: DTypeLike | None = None, **attributes: Any
    ) -> Value:
        """Add a node and return its value. The dtype of the value is by default that of the first input."""
        from onnx import helper

        self._nodes.append(helper.make_node(operator, [value.name for value in inputs], [name], name, **attributes))
        return Value(name, inputs[0].dtype if dtype is None else np.dtype(dtype))

    def cast(self, value: Value, dtype: DTypeLike, name: str = "") -> Value:
        """Return the value in another dtype. Without a change of the dtype no node is added."""
        dtype = np.dtype(dtype)
        if value.dtype == dtype:
            return value
        return self.node("Cast", value, name=name or f"{value.name}.as_{dtype}", dtype=dtype, to=_code(dtype))

    def column(self, value: Value, name: str) -> Value:
        """Return the only column of a value (n, 1) as a value (n,)."""
        axes = self.constant(f"{name}.axes", [1], np.int64)
        return self.node("Squeeze", value, axes, name=name)

    def add_output(self, value: Value, width: int | None = None) -> None:
        """Declare a value (n, width) as an output. With the width None the shape is (n,)."""
        self._outputs.append(_described(value, width))

    def model(self, about: str, metadata: dict[str, str]) -> Any:
        """Return the graph as an onnx.ModelProto with a description and metadata."""
        from onnx import helper

        graph = helper.make_graph(self._nodes, "fastnet", self._inputs, self._outputs, self._constants)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, doc_string=about)
        model.producer_name, model.producer_version = "fastnet", __version__
        helper.set_model_props(model, metadata | {"fastnet_version": __version__})
        return model

    def write(self, path: str | os.PathLike[str], model: Described, metadata: dict[str, str]) -> None:
        """Write the graph and facts about the model. An existing file stays until the new one is complete.

        Raises DataError if the file cannot be written.
        """
        from fastnet.data.files import atomic_write  # imported here, since fastnet.data is a lazy package

        facts = {"task": model.task, "cost": model.cost_description()}
        if model.schema is not None:
            facts["schema"] = json.dumps(model.schema.to_dict())
        content = self.model(model.description(), facts | metadata).SerializeToString()
        with atomic_write(path) as file:
            file.write(content)


def _code(dtype: np.dtype[Any]) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(dtype))


def _described(value: Value, width: int | None) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(value.name, _code(value.dtype), ["n"] if width is None else ["n", width])


# -- a network ---------------------------------------------------------------------------------------------------------


def weighted_sums(graph: Graph, network: Architecture, parameters: Floats, x: Value, prefix: str = "") -> Value:
    """Add all layers of a network to the graph, without the activation of the last layer.

    Parameters
    ----------
    graph : Graph
        The graph.
    network : Architecture
        The layers.
    parameters : numpy.ndarray (n_parameters,)
        The weights and biases. Their dtype is the dtype of the arithmetic.
    x : Value
        The inputs (n, n_in). Bytes are multiplied by the network's byte_scale.
    prefix : str
        What the names of the values begin with. Each network of a graph needs another prefix.

    Returns
    -------
    Value
        The weighted sums (n, n_out) of the last layer. `activated` makes the outputs of them.

    Raises
    ------
    ValueError
        The parameters take 2 GiB or more.
    """
    if parameters.nbytes > MAX_BYTES:
        raise ValueError(
            f"the parameters take {parameters.nbytes:,} bytes, and an ONNX file holds at most {MAX_BYTES:,}: use a "
            "smaller network, or float32"
        )
    dtype = parameters.dtype
    value = graph.cast(x, dtype, prefix and f"{prefix}x.as_{dtype}")
    if x.dtype == np.uint8:
        scale = graph.constant(f"{prefix}byte_scale", network.byte_scale, dtype)
        value = graph.node("Mul", value, scale, name=f"{prefix}scaled")
    layers = zip(*network.views(parameters), network.activations_by_layer, strict=True)
    for k, (weights, biases, activation) in enumerate(layers, start=1):
        name = f"{prefix}layer_{k}"
        w = graph.constant(f"{name}.weights", weights, dtype)
        b = graph.constant(f"{name}.biases", biases, dtype)
        sums = graph.node("Gemm", value, w, b, name=f"{name}.sums", transB=1)
        if k < len(network.activations_by_layer):
            value = activated(graph, activation, sums, f"{name}.{activation}")
    return sums


def activated(graph: Graph, activation: str, sums: Value, name: str) -> Value:
    """Return the activations of weighted sums."""
    if activation == "leaky_relu":  # the slope of ONNX's LeakyRelu is a float32, also for float64 inputs
        slope = graph.constant(f"{name}.slope", c.LEAKY_SLOPE, sums.dtype)
        return graph.node("Max", sums, graph.node("Mul", sums, slope, name=f"{name}.below_zero"), name=name)
    attributes: dict[str, Any] = {"axis": 1} if activation == "softmax" else {}
    return graph.node(OPERATORS[activation], sums, name=name, **attributes)


def largest(graph: Graph, values: Value, name: str) -> Value:
    """Return the number (n,) of the column with the largest value; of several, the first."""
    return graph.node("ArgMax", values, name=name, dtype=np.int64, axis=1, keepdims=0)


def compared(graph: Graph, operator: str, values: Value, limit: float, name: str) -> Value:
    """Return 1 where "Greater" or "GreaterOrEqual" holds for a value and the limit, else 0."""
    limits = graph.constant(f"{name}.limit", limit, values.dtype)
    return graph.cast(graph.node(operator, values, limits, name=f"{name}.is_above", dtype=np.bool_), np.int64, name)


def write_network(
    path: str | os.PathLike[str], network: Architecture, parameters: Floats, x_dtype: DTypeLike | None
) -> None:
    """Write a network as an ONNX file. `Network.to_onnx` documents the arguments, the outputs and the errors."""
    graph, n_out = Graph(network.sizes[0], parameters.dtype if x_dtype is None else x_dtype), network.sizes[-1]
    sums, name = weighted_sums(graph, network, parameters, graph.x), OUTPUTS[network.task]
    graph.add_output(activated(graph, network.activations_by_layer[-1], sums, name), n_out)
    _add_labels(graph, network, sums, 0)
    graph.write(path, network, {})


def write_ensemble(
    path: str | os.PathLike[str],
    ensemble: Described,
    members: Sequence[tuple[Architecture, Floats]],
    x_dtype: DTypeLike | None,
) -> None:
    """Write several networks as one ONNX file whose outputs are the mean of theirs.

    `Ensemble.to_onnx` documents the outputs and the errors. `members` has each network with its parameters.
    """
    n_bytes = sum(parameters.nbytes for _, parameters in members)
    if n_bytes > MAX_BYTES:
        raise ValueError(
            f"the parameters take {n_bytes:,} bytes, and an ONNX file holds at most {MAX_BYTES:,}: use fewer networks"
        )
    dtype = np.result_type(*(parameters.dtype for _, parameters in members))
    graph, outputs = Graph(ensemble.sizes[0], dtype if x_dtype is None else x_dtype), list[Value]()
    for k, (network, parameters) in enumerate(members):
        sums = weighted_sums(graph, network, parameters, graph.x, f"member_{k}.")
        found = activated(graph, network.activations_by_layer[-1], sums, f"member_{k}.outputs")
        outputs.append(graph.cast(found, dtype))
    total = graph.node("Sum", *outputs, name="total")  # onnxruntime has no Mean of float64
    n_members = graph.constant("n_members", len(members), dtype)
    mean = graph.node("Div", total, n_members, name=OUTPUTS[ensemble.task])
    graph.add_output(mean, ensemble.sizes[-1])
    _add_labels(graph, ensemble, mean, 0.5)
    graph.write(path, ensemble, {"members": str(len(members))})


def _add_labels(graph: Graph, model: Described, values: Value, limit: float) -> None:
    """Add the classes or labels that weighted sums or outputs say. A label has at least the limit."""
    n_out = model.sizes[-1]
    if model.task == "classification" and n_out > 1:
        graph.add_output(largest(graph, values, "labels"))
    elif model.task == "classification":
        graph.add_output(graph.column(compared(graph, "GreaterOrEqual", values, limit, "label"), "labels"))
    elif model.task == "multilabel":
        graph.add_output(compared(graph, "GreaterOrEqual", values, limit, "labels"), n_out)
