"""NumPy as in a tutorial: whole batches, one expression per formula, a new array for each result."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.bench.workloads import ADAM, MOMENTUM, Array, Workload


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Any, y: Array) -> None:
        network = workload.network(dtype)
        self._weights, self._biases = [w.copy() for w in network.weights], [b.copy() for b in network.biases]
        self._workload, self._x = workload, x
        self._targets = np.eye(workload.sizes[-1], dtype=dtype)[y] if workload.has_labels else y
        self._parameters = [*self._weights, *self._biases]
        self._moments = [(np.zeros_like(p), np.zeros_like(p)) for p in self._parameters]
        self._steps = 0

    def _hidden(self, z: Array) -> Array:
        return sigmoid(z) if self._workload.activation == "sigmoid" else np.maximum(z, 0)

    def _forward(self, x: Any) -> list[Any]:
        activations = [x]
        for w, b in zip(self._weights[:-1], self._biases[:-1], strict=True):
            activations.append(self._hidden(activations[-1] @ w.T + b))
        z = activations[-1] @ self._weights[-1].T + self._biases[-1]
        return [*activations, OUTPUTS[self._workload.output](z)]

    def epoch(self, order: Array) -> None:
        for start in range(0, len(order), self._workload.batch_size):
            rows = order[start : start + self._workload.batch_size]
            activations = self._forward(self._x[rows])
            delta = activations[-1] - self._targets[rows]
            if self._workload.cost == "squared_error":  # without the factor 1/2
                delta = 2 * delta
                if self._workload.output == "sigmoid":
                    delta = delta * activations[-1] * (1 - activations[-1])
            gradients: list[Array] = [np.empty(0)] * len(self._parameters)
            for level in reversed(range(len(self._weights))):
                a = activations[level]
                gradients[level] = delta.T @ a / len(rows)
                gradients[level + len(self._weights)] = delta.mean(axis=0)
                if level:
                    derivative = a * (1 - a) if self._workload.activation == "sigmoid" else a > 0
                    delta = delta @ self._weights[level] * derivative
            self._update(gradients)

    def _update(self, gradients: list[Array]) -> None:
        rate, kind = self._workload.learning_rate, self._workload.optimizer
        self._steps += 1
        for p, g, (m, v) in zip(self._parameters, gradients, self._moments, strict=True):
            if kind == "sgd":
                p -= rate * g
            elif kind == "momentum":
                m[...] = MOMENTUM * m + g
                p -= rate * m
            else:
                m[...] = ADAM.beta1 * m + (1 - ADAM.beta1) * g
                v[...] = ADAM.beta2 * v + (1 - ADAM.beta2) * g * g
                mean, square = m / (1 - ADAM.beta1**self._steps), v / (1 - ADAM.beta2**self._steps)
                p -= rate * mean / (np.sqrt(square) + ADAM.epsilon)

    def layers(self) -> list[tuple[Array, Array]]:
        return list(zip(self._weights, self._biases, strict=True))

    def prepared(self, x: Any) -> Any:
        return x

    def outputs(self, prepared: Any) -> Array:
        return np.asarray(self._forward(prepared)[-1])

    def predict(self, prepared: Any) -> Array:
        return np.asarray(self._forward(prepared)[-1].argmax(axis=1))


def sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def identity(z: Array) -> Array:
    return z


OUTPUTS = {"sigmoid": sigmoid, "softmax": softmax, "identity": identity}
