"""NumPy as in a tutorial: whole batches, one expression per formula, a new array for each result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastnet.bench.workloads import Array, Workload


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: NDArray[np.int64]) -> None:
        network = workload.network(dtype)
        self._weights, self._biases = [w.copy() for w in network.weights], [b.copy() for b in network.biases]
        self._workload, self._x = workload, x
        self._targets = np.eye(workload.sizes[-1], dtype=dtype)[y]

    def _hidden(self, z: Array) -> Array:
        return sigmoid(z) if self._workload.activation == "sigmoid" else np.maximum(z, 0)

    def _forward(self, x: Array) -> list[Array]:
        activations = [x]
        for w, b in zip(self._weights[:-1], self._biases[:-1], strict=True):
            activations.append(self._hidden(activations[-1] @ w.T + b))
        z = activations[-1] @ self._weights[-1].T + self._biases[-1]
        return [*activations, softmax(z) if self._workload.output == "softmax" else sigmoid(z)]

    def epoch(self, order: NDArray[np.int64]) -> None:
        for start in range(0, len(order), self._workload.batch_size):
            rows = order[start : start + self._workload.batch_size]
            activations = self._forward(self._x[rows])
            delta = activations[-1] - self._targets[rows]
            if self._workload.cost == "squared_error":  # without the factor 1/2
                delta = 2 * delta * activations[-1] * (1 - activations[-1])
            for level in reversed(range(len(self._weights))):
                a = activations[level]
                gradient, bias_gradient = delta.T @ a / len(rows), delta.mean(axis=0)
                if level:
                    derivative = a * (1 - a) if self._workload.activation == "sigmoid" else a > 0
                    delta = delta @ self._weights[level] * derivative
                self._weights[level] -= self._workload.learning_rate * gradient
                self._biases[level] -= self._workload.learning_rate * bias_gradient

    def layers(self) -> list[tuple[Array, Array]]:
        return list(zip(self._weights, self._biases, strict=True))

    def prepared(self, x: Array) -> Array:
        return x

    def outputs(self, prepared: Array) -> Array:
        return self._forward(prepared)[-1]

    def predict(self, prepared: Array) -> Array:
        return np.asarray(self._forward(prepared)[-1].argmax(axis=1))


def sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
