"""JAX with all batches of an epoch in one compiled `lax.scan`. Weights (n_out, n_in) are the faster layout."""

from __future__ import annotations

import contextlib
import functools
import os

# Set before JAX is imported: the import reads the flags and starts a thread for each core that it may use.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false " + os.environ.get("XLA_FLAGS", "")
with contextlib.suppress(AttributeError, OSError):  # macOS does not have sched_setaffinity
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from fastnet.bench.workloads import Array, Workload

jax.config.update("jax_enable_x64", True)
Parameters = list[tuple[jax.Array, jax.Array]]


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: NDArray[np.int64]) -> None:
        self._workload = workload
        network = workload.network(dtype)
        self._parameters = [(jnp.array(w), jnp.array(b)) for w, b in zip(network.weights, network.biases, strict=True)]
        self._x, self._y = jnp.asarray(x), jnp.asarray(y.astype(np.int32))
        self._train = jax.jit(functools.partial(train, workload), donate_argnums=0)
        self._labels = jax.jit(lambda parameters, x: sums(workload, parameters, x).argmax(1))

    def epoch(self, order: NDArray[np.int64]) -> None:
        size = self._workload.batch_size
        whole = len(order) // size * size
        for batches in (order[:whole].reshape(-1, size), order[whole:].reshape(1, -1)):
            if batches.size:
                rows = jnp.asarray(batches.astype(np.int32))
                self._parameters = self._train(self._parameters, self._x, self._y, rows)
        jax.block_until_ready(self._parameters)

    def layers(self) -> list[tuple[Array, Array]]:
        return [(np.asarray(w), np.asarray(b)) for w, b in self._parameters]

    def prepared(self, x: Array) -> jax.Array:
        return jnp.asarray(x)

    def outputs(self, prepared: jax.Array) -> Array:
        z = sums(self._workload, self._parameters, prepared)
        return np.asarray(jax.nn.softmax(z) if self._workload.output == "softmax" else jax.nn.sigmoid(z))

    def predict(self, prepared: jax.Array) -> Array:
        return np.asarray(self._labels(self._parameters, prepared))


def sums(workload: Workload, parameters: Parameters, x: jax.Array) -> jax.Array:
    """The weighted sums of the last layer, (n, n_out)."""
    hidden = jax.nn.sigmoid if workload.activation == "sigmoid" else jax.nn.relu
    for w, b in parameters[:-1]:
        x = hidden(x @ w.T + b)
    w, b = parameters[-1]
    return x @ w.T + b


def cost(workload: Workload, parameters: Parameters, x: jax.Array, y: jax.Array) -> jax.Array:
    z, target = sums(workload, parameters, x), jax.nn.one_hot(y, workload.sizes[-1], dtype=x.dtype)
    if workload.cost == "squared_error":
        return jnp.square(jax.nn.sigmoid(z) - target).sum(1).mean()
    return -(target * jax.nn.log_softmax(z)).sum(1).mean()


def train(workload: Workload, parameters: Parameters, x: jax.Array, y: jax.Array, batches: jax.Array) -> Parameters:
    def step(parameters: Parameters, rows: jax.Array) -> tuple[Parameters, None]:
        gradient = jax.grad(functools.partial(cost, workload))(parameters, x[rows], y[rows])
        return jax.tree.map(lambda p, g: p - workload.learning_rate * g, parameters, gradient), None

    trained, _ = jax.lax.scan(step, parameters, batches)
    return list(trained)
