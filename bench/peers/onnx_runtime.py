"""ONNX Runtime: inference only, with the graph that fastnet exports."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from fastnet.bench.workloads import Array, Workload
from fastnet.export import onnx_graph
from fastnet.network import Network


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: Array, threads: int = 1) -> None:
        network = workload.network(dtype)
        self._layers = [(w.copy(), b.copy()) for w, b in zip(network.weights, network.biases, strict=True)]
        self._outputs, self._labels = (_session(network, labels, threads) for labels in (False, True))

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


def _session(network: Network, labels: bool, threads: int) -> Any:
    """A session whose result is the outputs, or the labels from the weighted sums of the last layer."""
    graph = onnx_graph.Graph(network.sizes[0], network.dtype)
    sums = onnx_graph.weighted_sums(graph, network, network.parameters, graph.x)
    if labels:
        graph.add_output(onnx_graph.largest(graph, sums, "labels"))
    else:
        outputs = onnx_graph.activated(graph, network.activations_by_layer[-1], sums, "outputs")
        graph.add_output(outputs, network.sizes[-1])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    content = graph.model(network.description(), {}).SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
