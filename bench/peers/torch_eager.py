"""PyTorch as in its tutorials: Sequential, autograd and the SGD optimiser; one tensor in place of a DataLoader."""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from fastnet.bench.workloads import ADAM, MOMENTUM, Array, Workload


def sequential(workload: Workload, dtype: str, layers: list[torch.nn.Linear]) -> torch.nn.Sequential:
    """The layers with fastnet's first parameters and activations between them. The last layer has no activation."""
    network = workload.network(dtype)
    with torch.no_grad():
        for layer, w, b in zip(layers, network.weights, network.biases, strict=True):
            layer.weight.copy_(torch.from_numpy(w))
            layer.bias.copy_(torch.from_numpy(b))
    between = torch.nn.Sigmoid if workload.activation == "sigmoid" else torch.nn.ReLU
    stack: list[torch.nn.Module] = []
    for layer in layers:
        stack += [layer, between()]
    return torch.nn.Sequential(*stack[:-1])


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Any, y: Array) -> None:
        torch.set_num_threads(1)
        self._workload = workload
        kind = torch.float64 if dtype == "float64" else torch.float32
        self._x, self._y = self.prepared(x), torch.from_numpy(y)
        self._targets = torch.eye(workload.sizes[-1], dtype=kind)[self._y] if workload.has_labels else self._y
        self._layers = [torch.nn.Linear(n_in, n_out, dtype=kind) for n_in, n_out in pairwise(workload.sizes)]
        if not isinstance(x, np.ndarray):
            self._layers[0] = SparseLinear(workload.sizes[0], workload.sizes[1], kind)
        self._logits = sequential(workload, dtype, self._layers)
        self._optimizer = optimizer(workload, self._logits.parameters())

    def epoch(self, order: Array) -> None:
        squared = self._workload.cost == "squared_error"
        for rows in torch.from_numpy(order).split(self._workload.batch_size):
            x = self._x[rows] if isinstance(self._x, torch.Tensor) else self._x[rows.numpy()]
            logits = self._logits(x)
            if squared:
                cost = (OUTPUTS[self._workload.output](logits) - self._targets[rows]).square().sum(1).mean()
            else:
                cost = functional.cross_entropy(logits, self._y[rows])
            self._optimizer.zero_grad()
            cost.backward()
            self._optimizer.step()

    def layers(self) -> list[tuple[Array, Array]]:
        return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in self._layers]

    def prepared(self, x: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(x)) if isinstance(x, np.ndarray) else x

    def outputs(self, prepared: Any) -> Array:
        with torch.inference_mode():
            logits = self._logits(prepared)
            return np.asarray(OUTPUTS[self._workload.output](logits).numpy())

    def predict(self, prepared: Any) -> Array:
        with torch.inference_mode():
            return np.asarray(self._logits(prepared).argmax(1).numpy())


OUTPUTS = {"softmax": functools.partial(torch.softmax, dim=1), "sigmoid": torch.sigmoid, "identity": torch.clone}


def optimizer(workload: Workload, parameters: Any) -> torch.optim.Optimizer:
    if workload.optimizer == "adam":
        betas = ADAM.beta1, ADAM.beta2
        return torch.optim.Adam(parameters, lr=workload.learning_rate, betas=betas, eps=ADAM.epsilon)
    momentum = MOMENTUM if workload.optimizer == "momentum" else 0.0
    return torch.optim.SGD(parameters, lr=workload.learning_rate, momentum=momentum)


class SparseLinear(torch.nn.Module):
    """A first layer for rows of a CSR matrix: the weighted sum of the columns' weight vectors, an EmbeddingBag."""

    def __init__(self, n_in: int, n_out: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.columns = torch.nn.Parameter(torch.empty(n_in, n_out, dtype=dtype))
        self.bias = torch.nn.Parameter(torch.empty(n_out, dtype=dtype))

    @property
    def weight(self) -> torch.Tensor:
        return self.columns.t()

    def forward(self, x: Any) -> torch.Tensor:
        indices, starts = (torch.from_numpy(part.astype(np.int64)) for part in (x.indices, x.indptr[:-1]))
        values = torch.from_numpy(x.data)
        sums = functional.embedding_bag(indices, self.columns, starts, mode="sum", per_sample_weights=values)
        return sums + self.bias
