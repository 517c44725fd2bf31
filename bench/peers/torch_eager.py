"""PyTorch as in its tutorials: Sequential, autograd and the SGD optimiser; one tensor in place of a DataLoader."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fastnet.bench.workloads import Array, Workload


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: NDArray[np.int64]) -> None:
        torch.set_num_threads(1)
        self._workload = workload
        self._x, self._y = torch.from_numpy(x), torch.from_numpy(y)
        self._targets = torch.eye(workload.sizes[-1], dtype=self._x.dtype)[self._y]
        self._layers = [torch.nn.Linear(n_in, n_out, dtype=self._x.dtype) for n_in, n_out in pairwise(workload.sizes)]
        network = workload.network(dtype)
        with torch.no_grad():
            for layer, w, b in zip(self._layers, network.weights, network.biases, strict=True):
                layer.weight.copy_(torch.from_numpy(w))
                layer.bias.copy_(torch.from_numpy(b))
        between = torch.nn.Sigmoid if workload.activation == "sigmoid" else torch.nn.ReLU
        stack: list[torch.nn.Module] = []
        for layer in self._layers:
            stack += [layer, between()]
        self._logits = torch.nn.Sequential(*stack[:-1])
        self._optimizer = torch.optim.SGD(self._logits.parameters(), lr=workload.learning_rate)

    def epoch(self, order: NDArray[np.int64]) -> None:
        squared = self._workload.cost == "squared_error"
        for rows in torch.from_numpy(order).split(self._workload.batch_size):
            logits = self._logits(self._x[rows])
            if squared:
                cost = (torch.sigmoid(logits) - self._targets[rows]).square().sum(1).mean()
            else:
                cost = functional.cross_entropy(logits, self._y[rows])
            self._optimizer.zero_grad()
            cost.backward()
            self._optimizer.step()

    def layers(self) -> list[tuple[Array, Array]]:
        return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in self._layers]

    def prepared(self, x: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(x))

    def outputs(self, prepared: torch.Tensor) -> Array:
        with torch.inference_mode():
            logits = self._logits(prepared)
            outputs = torch.softmax(logits, 1) if self._workload.output == "softmax" else torch.sigmoid(logits)
            return np.asarray(outputs.numpy())

    def predict(self, prepared: torch.Tensor) -> Array:
        with torch.inference_mode():
            return np.asarray(self._logits(prepared).argmax(1).numpy())
