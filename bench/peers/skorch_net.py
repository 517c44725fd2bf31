"""skorch's NeuralNet around PyTorch's layers, with its DataLoader and default callbacks; one partial_fit per epoch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet

from fastnet.bench.peers.torch_eager import OUTPUTS, optimizer, sequential
from fastnet.bench.workloads import Array, Workload


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: Array) -> None:
        torch.set_num_threads(1)
        self._workload, self._x, self._y = workload, x, y
        kind = torch.float64 if dtype == "float64" else torch.float32
        self._layers = [torch.nn.Linear(n_in, n_out, dtype=kind) for n_in, n_out in pairwise(workload.sizes)]
        self._net = NeuralNet(
            sequential(workload, dtype, self._layers),
            torch.nn.CrossEntropyLoss if workload.cost == "cross_entropy" else _squared(workload),
            optimizer=lambda groups, lr: optimizer(workload, groups[0]["params"]),
            lr=workload.learning_rate,
            batch_size=workload.batch_size,
            max_epochs=1,
            train_split=None,
            iterator_train__shuffle=False,  # the order comes from fastnet
            verbose=0,
        ).initialize()

    def epoch(self, order: Array) -> None:
        self._net.partial_fit(self._x[order], self._y[order])

    def layers(self) -> list[tuple[Array, Array]]:
        return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in self._layers]

    def prepared(self, x: Array) -> Array:
        return np.ascontiguousarray(x)

    def outputs(self, prepared: Array) -> Array:
        return np.asarray(OUTPUTS[self._workload.output](torch.from_numpy(self._sums(prepared))).numpy())

    def predict(self, prepared: Array) -> Array:
        return np.asarray(self._sums(prepared).argmax(1))

    def _sums(self, prepared: Array) -> Array:
        """The weighted sums of the last layer, (n, n_out)."""
        self._net.set_params(batch_size=max(len(prepared), 1))
        try:
            return np.asarray(self._net.forward(prepared).numpy())
        finally:
            self._net.set_params(batch_size=self._workload.batch_size)


def _squared(workload: Workload) -> Any:
    class SquaredError(torch.nn.Module):
        def forward(self, sums: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            if workload.has_labels:
                y = torch.nn.functional.one_hot(y, workload.sizes[-1]).to(sums.dtype)
            return (OUTPUTS[workload.output](sums) - y).square().sum(1).mean()

    return SquaredError
