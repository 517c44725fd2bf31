"""Estimators, and pipelines of scalers and an estimator, as ONNX files."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from fastnet import checks
from fastnet.export.onnx_graph import Graph, Value, activated, compared, largest, weighted_sums
from fastnet.network import Network
from fastnet.sklearn.fitted import Fitted, current_network


def to_onnx(model: Any, path: str | os.PathLike[str], *, x_dtype: DTypeLike | None = None) -> None:
    """Write a fitted estimator, or a Pipeline that ends with one, as an ONNX file (opset 17).

    The earlier steps of a Pipeline may be StandardScaler and MinMaxScaler. The input `x` has any number of rows. The
    outputs are those of the model's methods:

    - MLPClassifier: `probabilities` (n, n_classes) as `predict_proba` returns them, and `labels` (n,) as `predict`
      returns them. Whole numbers become int64, texts become strings.
    - MLPClassifier of several labels: `probabilities` (n, n_labels), and `labels`, int64 (n, n_labels), of 0 and 1.
    - MLPRegressor: `values`, (n,) or (n, n_outputs).

    The metadata of the file hold the classes and the names of the columns, if the model was fitted on named columns.

    Parameters
    ----------
    model : MLPClassifier, MLPRegressor or sklearn.pipeline.Pipeline
        The fitted model.
    path : str or os.PathLike
        The file. An existing file stays until the new one is complete.
    x_dtype : str or dtype, optional
        The dtype of the input: "float32", "float64" or "uint8". None: the dtype of the network, which is float64 for a
        model that was fitted on float64.

    Raises
    ------
    TypeError
        The model or a step of the pipeline is something else, or the classes are no int64, floats or texts.
    ValueError
        x_dtype is another dtype, or the parameters take 2 GiB or more.
    NotFittedError
        The model is not fitted.
    MissingLibraryError
        The package onnx is missing (extra `onnx`).
    DataError
        The file cannot be written.

    Examples
    --------
    >>> from fastnet.sklearn import MLPRegressor, to_onnx
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> model = make_pipeline(StandardScaler(), MLPRegressor(solver="lbfgs", random_state=0))
    >>> to_onnx(model.fit([[0.0], [1.0], [2.0]], [0.0, 2.0, 4.0]), "line.onnx")
    """
    *earlier, (name, last) = model.steps if isinstance(model, Pipeline) and model.steps else [("", model)]
    if not isinstance(last, Fitted):
        where = f"the last step {name!r}" if name else "model"
        raise TypeError(
            f"{where} must be an MLPClassifier or MLPRegressor of fastnet.sklearn, not {checks.given(last)}"
        )
    scalers = [(name, step) for name, step in earlier if step not in (None, "passthrough")]
    for name, step in scalers:
        if type(step) not in ADD:  # a subclass may compute something else
            raise TypeError(
                f"the step {name!r} is {checks.given(step)}, which to_onnx does not know: it knows StandardScaler and "
                "MinMaxScaler. Leave the step out of the pipeline, and apply it before the ONNX file"
            )
    for _, step in (*scalers, (name, last)):
        check_is_fitted(step)
    network = current_network(last)
    graph = Graph(network.sizes[0], network.dtype if x_dtype is None else x_dtype)
    x = graph.x
    if scalers and x.dtype == np.uint8:
        x = graph.cast(x, np.float64)  # as the scalers do
    for name, step in scalers:
        x = ADD[type(step)](graph, name, step, x)
    facts = (
        {"feature_names": json.dumps(model.feature_names_in_.tolist())} if hasattr(model, "feature_names_in_") else {}
    )
    if network.task == "regression":
        _add_values(graph, network, x)
    elif network.task == "multilabel":
        _add_several_labels(graph, network, x)
    else:
        facts["classes"] = json.dumps(last.classes_.tolist())
        _add_classes(graph, network, x, _as_constants(last.classes_))
    graph.write(path, network, facts)


# -- the scalers, with the roundings of scikit-learn's ---------------------------------------------------------------


def _add_standard(graph: Graph, name: str, scaler: StandardScaler, x: Value) -> Value:
    if scaler.with_mean:
        x = graph.node("Sub", x, graph.constant(f"{name}.mean", scaler.mean_, x.dtype), name=f"{name}.centered")
    if scaler.with_std:
        x = graph.node("Div", x, graph.constant(f"{name}.scale", scaler.scale_, x.dtype), name=f"{name}.scaled")
    return x


def _add_min_max(graph: Graph, name: str, scaler: MinMaxScaler, x: Value) -> Value:
    dtype = x.dtype
    for operator, number in (("Mul", scaler.scale_), ("Add", scaler.min_)):
        wide = graph.cast(x, np.float64)  # scikit-learn computes each operation in float64, and rounds its result
        constant = graph.constant(f"{name}.{operator}.number", number, np.float64)
        x = graph.cast(graph.node(operator, wide, constant, name=f"{name}.{operator}"), dtype)
    if scaler.clip:
        low, high = (graph.constant(f"{name}.limit_{k}", scaler.feature_range[k], dtype) for k in (0, 1))
        x = graph.node("Clip", x, low, high, name=f"{name}.clipped")
    return x


ADD: dict[type, Any] = {StandardScaler: _add_standard, MinMaxScaler: _add_min_max}


# -- the estimators: `predict` compares the outputs, where Network.predict compares the weighted sums ----------------


def _outputs(graph: Graph, network: Network, x: Value, name: str) -> Value:
    sums = weighted_sums(graph, network, network.kernel_parameters(), x)
    return activated(graph, network.activations_by_layer[-1], sums, name)


def _add_values(graph: Graph, network: Network, x: Value) -> None:
    n_out = network.sizes[-1]
    if n_out == 1:
        graph.add_output(graph.column(_outputs(graph, network, x, "value"), "values"))
    else:
        graph.add_output(_outputs(graph, network, x, "values"), n_out)


def _add_several_labels(graph: Graph, network: Network, x: Value) -> None:
    outputs = _outputs(graph, network, x, "probabilities")
    graph.add_output(outputs, network.sizes[-1])
    graph.add_output(compared(graph, "Greater", outputs, 0.5, "labels"), network.sizes[-1])


def _add_classes(graph: Graph, network: Network, x: Value, classes: NDArray[Any]) -> None:
    n_out = network.sizes[-1]
    outputs = _outputs(graph, network, x, "second_class" if n_out == 1 else "probabilities")
    if n_out == 1:
        number = graph.column(compared(graph, "Greater", outputs, 0.5, "is_second_class"), "class_number")
        first = graph.node("Sub", graph.constant("one", 1, outputs.dtype), outputs, name="first_class")
        outputs = graph.node("Concat", first, outputs, name="probabilities", axis=1)
        classes = classes.repeat(2) if len(classes) == 1 else classes  # a single class is predicted in any case
    else:
        number = largest(graph, outputs, "class_number")
    graph.add_output(outputs, max(n_out, 2))
    table = graph.constant("classes", classes, classes.dtype)
    graph.add_output(graph.node("Gather", table, number, name="labels"))


def _as_constants(classes: NDArray[Any]) -> NDArray[Any]:
    """Return classes as int64 or float64, or as texts of dtype object."""
    if classes.dtype.kind in "biu" and int(classes.max()) < 1 << 63:
        return classes.astype(np.int64)
    if classes.dtype.kind == "f":
        return classes.astype(np.float64)
    if classes.dtype.kind in "UO" and all(isinstance(value, str) for value in classes.tolist()):
        return classes.astype(object)
    raise TypeError(
        "an ONNX file can hold classes that are texts, floats, or whole numbers below 2**63, not "
        f"{checks.given(classes.tolist()[-1])}"
    )
