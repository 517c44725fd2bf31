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

from fastnet.bench.workloads import ADAM, MOMENTUM, Array, Workload

jax.config.update("jax_enable_x64", True)
Parameters = list[tuple[jax.Array, jax.Array]]
State = tuple[Parameters, Parameters, Parameters, jax.Array]  # parameters, first and second moments, number of steps
OUTPUTS = {"softmax": jax.nn.softmax, "sigmoid": jax.nn.sigmoid, "identity": jnp.asarray}


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: Array) -> None:
        self._workload = workload
        network = workload.network(dtype)
        parameters = [(jnp.array(w), jnp.array(b)) for w, b in zip(network.weights, network.biases, strict=True)]
        zeros = [jax.tree.map(jnp.zeros_like, parameters) if workload.optimizer != "sgd" else [] for _ in range(2)]
        self._state: State = (parameters, *zeros, jnp.zeros((), parameters[0][0].dtype))
        self._x, self._y = jnp.asarray(x), jnp.asarray(y.astype(np.int32) if workload.has_labels else y)
        self._train = jax.jit(functools.partial(train, workload), donate_argnums=0)
        self._labels = jax.jit(lambda parameters, x: sums(workload, parameters, x).argmax(1))

    @property
    def _parameters(self) -> Parameters:
        return self._state[0]

    def epoch(self, order: Array) -> None:
        size = self._workload.batch_size
        whole = len(order) // size * size
        for batches in (order[:whole].reshape(-1, size), order[whole:].reshape(1, -1)):
            if batches.size:
                rows = jnp.asarray(batches.astype(np.int32))
                self._state = self._train(self._state, self._x, self._y, rows)
        jax.block_until_ready(self._parameters)

    def layers(self) -> list[tuple[Array, Array]]:
        return [(np.asarray(w), np.asarray(b)) for w, b in self._parameters]

    def prepared(self, x: Array) -> jax.Array:
        return jnp.asarray(x)

    def outputs(self, prepared: jax.Array) -> Array:
        return np.asarray(OUTPUTS[self._workload.output](sums(self._workload, self._parameters, prepared)))

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
    z = sums(workload, parameters, x)
    target = jax.nn.one_hot(y, workload.sizes[-1], dtype=x.dtype) if workload.has_labels else y
    if workload.cost == "squared_error":
        return jnp.square(OUTPUTS[workload.output](z) - target).sum(1).mean()
    return -(target * jax.nn.log_softmax(z)).sum(1).mean()


def train(workload: Workload, state: State, x: jax.Array, y: jax.Array, batches: jax.Array) -> State:
    rate = workload.learning_rate

    def step(state: State, rows: jax.Array) -> tuple[State, None]:
        parameters, m, v, steps = state
        gradient = jax.grad(functools.partial(cost, workload))(parameters, x[rows], y[rows])
        steps = steps + 1
        if workload.optimizer == "sgd":
            parameters = jax.tree.map(lambda p, g: p - rate * g, parameters, gradient)
        elif workload.optimizer == "momentum":
            m = jax.tree.map(lambda m, g: MOMENTUM * m + g, m, gradient)
            parameters = jax.tree.map(lambda p, m: p - rate * m, parameters, m)
        else:
            m = jax.tree.map(lambda m, g: ADAM.beta1 * m + (1 - ADAM.beta1) * g, m, gradient)
            v = jax.tree.map(lambda v, g: ADAM.beta2 * v + (1 - ADAM.beta2) * g * g, v, gradient)
            a, root = rate / (1 - ADAM.beta1**steps), jnp.sqrt(1 - ADAM.beta2**steps)
            parameters = jax.tree.map(lambda p, m, v: p - a * m / (jnp.sqrt(v) / root + ADAM.epsilon), parameters, m, v)
        return (parameters, m, v, steps), None

    trained, _ = jax.lax.scan(step, state, batches)
    return tuple(trained)
