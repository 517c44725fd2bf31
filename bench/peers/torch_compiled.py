"""PyTorch with a compiled step: one graph per batch, with a hand-written backward pass in place of autograd."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fastnet.bench.workloads import Array, Workload


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: NDArray[np.int64]) -> None:
        torch.set_num_threads(1)
        self._workload = workload
        self._x = torch.from_numpy(x)
        self._targets = torch.eye(workload.sizes[-1], dtype=self._x.dtype)[torch.from_numpy(y)]
        network = workload.network(dtype)
        self._parameters = [
            (torch.from_numpy(w.copy()), torch.from_numpy(b.copy()))
            for w, b in zip(network.weights, network.biases, strict=True)
        ]
        self._step = torch.compile(self._plain_step, dynamic=False)
        self._labels = torch.compile(lambda x: self._sums(x)[-1].argmax(1), dynamic=False)

    def _sums(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The input, the activations of the hidden layers, and the weighted sums of the last layer."""
        hidden = torch.sigmoid if self._workload.activation == "sigmoid" else torch.relu
        activations = [x]
        for w, b in self._parameters[:-1]:
            activations.append(hidden(torch.addmm(b, activations[-1], w.t())))
        w, b = self._parameters[-1]
        return [*activations, torch.addmm(b, activations[-1], w.t())]

    def _output(self, sums: torch.Tensor) -> torch.Tensor:
        return torch.softmax(sums, 1) if self._workload.output == "softmax" else torch.sigmoid(sums)

    def _plain_step(self, rows: torch.Tensor) -> None:
        *activations, sums = self._sums(self._x[rows])
        outputs = self._output(sums)
        delta = outputs - self._targets[rows]
        if self._workload.cost == "squared_error":
            delta = 2 * delta * outputs * (1 - outputs)
        delta = delta * (-self._workload.learning_rate / len(rows))
        for level in reversed(range(len(self._parameters))):
            (w, b), a = self._parameters[level], activations[level]
            below = delta
            if level:
                derivative = a * (1 - a) if self._workload.activation == "sigmoid" else a > 0
                below = (delta @ w) * derivative
            w.addmm_(delta.t(), a)
            b.add_(delta.sum(0))
            delta = below

    def epoch(self, order: NDArray[np.int64]) -> None:
        step = self._step
        with torch.inference_mode():
            for rows in torch.from_numpy(order).split(self._workload.batch_size):
                step(rows)

    def layers(self) -> list[tuple[Array, Array]]:
        return [(w.numpy(), b.numpy()) for w, b in self._parameters]

    def prepared(self, x: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(x))

    def outputs(self, prepared: torch.Tensor) -> Array:
        return np.asarray(self._output(self._sums(prepared)[-1]).numpy())

    def predict(self, prepared: torch.Tensor) -> Array:
        with torch.inference_mode():
            return np.asarray(self._labels(prepared).numpy())
