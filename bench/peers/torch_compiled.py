"""PyTorch with a compiled step: one graph per batch, with a hand-written backward pass in place of autograd."""

from __future__ import annotations

import numpy as np
import torch

from fastnet.bench.workloads import ADAM, MOMENTUM, Array, Workload


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: Array) -> None:
        torch.set_num_threads(1)
        self._workload = workload
        self._x = torch.from_numpy(x)
        given = torch.from_numpy(y)
        self._targets = torch.eye(workload.sizes[-1], dtype=self._x.dtype)[given] if workload.has_labels else given
        network = workload.network(dtype)
        self._parameters = [
            (torch.from_numpy(w.copy()), torch.from_numpy(b.copy()))
            for w, b in zip(network.weights, network.biases, strict=True)
        ]
        self._moments = [tuple(torch.zeros_like(p) for p in pair for _ in range(2)) for pair in self._parameters]
        self._steps = 0
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
        if self._workload.output == "identity":
            return sums
        return torch.softmax(sums, 1) if self._workload.output == "softmax" else torch.sigmoid(sums)

    def _plain_step(self, rows: torch.Tensor, rate: torch.Tensor, root: torch.Tensor) -> None:
        """A step; `rate` and `root` are Adam's corrections, which change with each step."""
        *activations, sums = self._sums(self._x[rows])
        outputs = self._output(sums)
        delta = outputs - self._targets[rows]
        if self._workload.cost == "squared_error":
            delta = 2 * delta
            if self._workload.output == "sigmoid":
                delta = delta * outputs * (1 - outputs)
        plain = self._workload.optimizer == "sgd"
        delta = delta * ((-self._workload.learning_rate if plain else 1) / len(rows))
        for level in reversed(range(len(self._parameters))):
            (w, b), a = self._parameters[level], activations[level]
            below = delta
            if level:
                derivative = a * (1 - a) if self._workload.activation == "sigmoid" else a > 0
                below = (delta @ w) * derivative
            if plain:
                w.addmm_(delta.t(), a)
                b.add_(delta.sum(0))
            else:
                m, v, m_bias, v_bias = self._moments[level]
                self._update(w, delta.t() @ a, m, v, rate, root)
                self._update(b, delta.sum(0), m_bias, v_bias, rate, root)
            delta = below

    def _update(self, p: torch.Tensor, g: torch.Tensor, m: torch.Tensor, v: torch.Tensor, *step: torch.Tensor) -> None:
        if self._workload.optimizer == "momentum":
            m.copy_(MOMENTUM * m + g)
            p.sub_(self._workload.learning_rate * m)
            return
        rate, root = step
        m.copy_(ADAM.beta1 * m + (1 - ADAM.beta1) * g)
        v.copy_(ADAM.beta2 * v + (1 - ADAM.beta2) * g * g)
        p.sub_(rate * m / (v.sqrt() * root + ADAM.epsilon))

    def epoch(self, order: Array) -> None:
        step, kind = self._step, self._x.dtype
        rate = root = torch.zeros((), dtype=kind)
        with torch.inference_mode():
            for rows in torch.from_numpy(order).split(self._workload.batch_size):
                self._steps += 1
                if self._workload.optimizer == "adam":
                    rate = torch.tensor(self._workload.learning_rate / (1 - ADAM.beta1**self._steps), dtype=kind)
                    root = torch.tensor((1 - ADAM.beta2**self._steps) ** -0.5, dtype=kind)
                step(rows, rate, root)

    def layers(self) -> list[tuple[Array, Array]]:
        return [(w.numpy(), b.numpy()) for w, b in self._parameters]

    def prepared(self, x: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(x))

    def outputs(self, prepared: torch.Tensor) -> Array:
        return np.asarray(self._output(self._sums(prepared)[-1]).numpy())

    def predict(self, prepared: torch.Tensor) -> Array:
        with torch.inference_mode():
            return np.asarray(self._labels(prepared).numpy())
