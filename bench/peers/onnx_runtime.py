"""ONNX Runtime: inference only, with a graph of Gemm nodes made with the package onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from fastnet.bench.workloads import Array, Workload

OPSET = 17
NODES = {"sigmoid": "Sigmoid", "relu": "Relu", "softmax": "Softmax", "identity": "Identity"}


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: Array, threads: int = 1) -> None:
        network = workload.network(dtype)
        self._layers = [(w.copy(), b.copy()) for w, b in zip(network.weights, network.biases, strict=True)]
        self._outputs, self._labels = (
            _session(workload, dtype, self._layers, labels, threads) for labels in (False, True)
        )

    def epoch(self, order: Array) -> None:
        raise NotImplementedError("ONNX Runtime does not train")

    def layers(self) -> list[tuple[Array, Array]]:
        return self._layers

    def prepared(self, x: Array) -> dict[str, Array]:
        return {"x": np.ascontiguousarray(x)}

    def outputs(self, prepared: dict[str, Array]) -> Array:
        return np.asarray(self._outputs.run(None, prepared)[0])

    def predict(self, prepared: dict[str, Array]) -> Array:
        return np.asarray(self._labels.run(None, prepared)[0])


def _session(workload: Workload, dtype: str, layers: list[tuple[Array, Array]], labels: bool, threads: int) -> Any:
    """A session whose result is the outputs, or the labels from the weighted sums of the last layer."""
    kind = TensorProto.DOUBLE if dtype == "float64" else TensorProto.FLOAT
    nodes, constants, name = [], [], "x"
    for level, (w, b) in enumerate(layers):
        constants += [numpy_helper.from_array(array, f"{letter}{level}") for letter, array in (("w", w), ("b", b))]
        nodes.append(helper.make_node("Gemm", [name, f"w{level}", f"b{level}"], [f"z{level}"], transB=1))
        last = level == len(layers) - 1
        name = "result" if last else f"a{level}"
        if last and labels:
            nodes.append(helper.make_node("ArgMax", [f"z{level}"], [name], axis=1, keepdims=0))
        else:
            nodes.append(
                helper.make_node(NODES[workload.output if last else workload.activation], [f"z{level}"], [name])
            )
    x = helper.make_tensor_value_info("x", kind, [None, workload.sizes[0]])
    shape = [None] if labels else [None, workload.sizes[-1]]
    result = helper.make_tensor_value_info("result", TensorProto.INT64 if labels else kind, shape)
    graph = helper.make_graph(nodes, "mlp", [x], [result], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
