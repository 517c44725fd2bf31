"""Keras on JAX: Sequential, compile and fit, one fit per epoch."""

from __future__ import annotations

import contextlib
import os
from typing import Any

# Set before Keras is imported: the import chooses the backend, and JAX starts a thread for each core it may use.
os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false " + os.environ.get("XLA_FLAGS", "")
with contextlib.suppress(AttributeError, OSError):  # macOS does not have sched_setaffinity
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import keras
import numpy as np

from fastnet.bench.workloads import ADAM, MOMENTUM, Array, Workload

jax.config.update("jax_enable_x64", True)


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: Array) -> None:
        self._workload, self._x = workload, x
        squared = workload.cost == "squared_error"
        n_out = workload.sizes[-1]
        self._y = np.eye(n_out, dtype=dtype)[y] if squared and workload.has_labels else y
        hidden = "sigmoid" if workload.activation == "sigmoid" else "relu"
        # The cost of a softmax takes the weighted sums, which is faster and more exact.
        last = {"softmax": None, "sigmoid": "sigmoid", "identity": None}[workload.output]
        dense = [keras.layers.Dense(n, hidden, dtype=dtype) for n in workload.sizes[1:-1]]
        dense.append(keras.layers.Dense(n_out, last, dtype=dtype))
        self._model = keras.Sequential([keras.Input((workload.sizes[0],), dtype=dtype), *dense])
        network = workload.network(dtype)
        for layer, w, b in zip(dense, network.weights, network.biases, strict=True):
            layer.set_weights([w.T, b])
        self._dense = dense
        loss = _squared if squared else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._model.compile(_optimizer(workload), loss)

    def epoch(self, order: Array) -> None:
        size = self._workload.batch_size
        self._model.fit(self._x[order], self._y[order], batch_size=size, shuffle=False, verbose=0)

    def layers(self) -> list[tuple[Array, Array]]:
        pairs = [layer.get_weights() for layer in self._dense]
        return [(w.T, b) for w, b in pairs]

    def prepared(self, x: Array) -> Array:
        return np.ascontiguousarray(x)

    def outputs(self, prepared: Array) -> Array:
        found = self._model.predict_on_batch(prepared)
        return np.asarray(keras.ops.softmax(found) if self._workload.output == "softmax" else found)

    def predict(self, prepared: Array) -> Array:
        return np.asarray(self._model.predict_on_batch(prepared).argmax(1))


def _squared(y: Any, outputs: Any) -> Any:
    return keras.ops.sum(keras.ops.square(outputs - y), axis=-1)


def _optimizer(workload: Workload) -> Any:
    rate = workload.learning_rate
    if workload.optimizer == "adam":
        return keras.optimizers.Adam(rate, ADAM.beta1, ADAM.beta2, ADAM.epsilon)
    return keras.optimizers.SGD(rate, momentum=MOMENTUM if workload.optimizer == "momentum" else 0.0)
