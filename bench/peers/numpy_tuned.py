"""NumPy as fast as we could make it: the baseline of the speed ratios."""

# Nothing is allocated in the loop. The activations of a layer are (neurons, examples) with a last row of ones, so that
# the biases are a column of the weights and each product is one call of BLAS. The deltas contain the learning
# rate, so one addition updates the vector of all parameters. The list of calls is made once for each batch size.

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fastnet.bench.workloads import ADAM, MOMENTUM, Array, Workload

Calls = list[tuple[Callable[..., Any], tuple[Any, ...]]]


class Buffers(NamedTuple):
    """The arrays and calls for batches of one size."""

    x: Array  # (examples, inputs + 1)
    target: Array
    forward: Calls
    logits: Array  # the weighted sums of the last layer; `finish` turns them into outputs
    finish: Calls  # from the logits to the outputs
    step: Calls  # from the outputs to the update


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: Array) -> None:
        self._workload, self._dtype = workload, np.dtype(dtype)
        network, sizes = workload.network(dtype), workload.sizes
        ends = np.cumsum([0, *((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))])
        self._flat, self._gradient = np.empty((2, ends[-1]), dtype)
        shapes = [(n_out, n_in + 1) for n_in, n_out in pairwise(sizes)]
        self._weights, self._gradients = (
            [flat[a:b].reshape(shape) for a, b, shape in zip(ends, ends[1:], shapes, strict=False)]
            for flat in (self._flat, self._gradient)
        )
        for packed, w, b in zip(self._weights, network.weights, network.biases, strict=True):
            packed[:, :-1], packed[:, -1] = w, b
        self._x, self._y = self.prepared(x), y
        self._targets = np.eye(sizes[-1], dtype=dtype)
        self._buffers: dict[int, Buffers] = {}
        self._updates = self._planned_update()

    # -- the calls of a batch ----------------------------------------------------------------------------------

    def _buffer(self, rows: int) -> Buffers:
        if rows not in self._buffers:
            self._buffers[rows] = self._planned(rows)
        return self._buffers[rows]

    def _planned(self, rows: int) -> Buffers:
        sizes, squared = self._workload.sizes, self._workload.cost == "squared_error"
        x = np.empty((rows, sizes[0] + 1), self._dtype)
        # For each layer above the input: activations with ones, deltas, and scratch arrays.
        biased = [x.T, *(np.ones((n + 1, rows), self._dtype) for n in sizes[1:])]
        plain = [a[:-1] for a in biased]
        deltas, scratch = ([np.empty((n, rows), self._dtype) for n in sizes[1:]] for _ in range(2))
        target, row = np.empty((sizes[-1], rows), self._dtype), np.empty((1, rows), self._dtype)
        one, zero = self._dtype.type(1), self._dtype.type(0)
        step_size = 1 if self._workload.optimizer == "adam" else -self._workload.learning_rate
        rate = self._dtype.type(step_size * (2 if squared else 1) / rows)

        def sigmoid(z: Array) -> Calls:
            return [(np.negative, (z, z)), (np.exp, (z, z)), (np.add, (z, one, z)), (np.reciprocal, (z, z))]

        def relu(z: Array, out: Array) -> None:
            np.maximum(z, zero, out=out)

        forward: Calls = []
        for level, w in enumerate(self._weights, 1):
            forward.append((w.dot, (biased[level - 1], plain[level])))
            if level < len(self._weights):
                sigmoids = self._workload.activation == "sigmoid"
                forward += sigmoid(plain[level]) if sigmoids else [(relu, (plain[level], plain[level]))]

        out, delta, t = plain[-1], deltas[-1], scratch[-1]
        if self._workload.output == "sigmoid":
            finish = sigmoid(out)
        elif self._workload.output == "identity":
            finish = []
        else:
            finish = [
                (np.maximum.reduce, (out, 0, None, row, True)),
                (np.subtract, (out, row, out)),
                (np.exp, (out, out)),
                (np.add.reduce, (out, 0, None, row, True)),
                (np.divide, (out, row, out)),
            ]
        step: Calls = [(np.subtract, (out, target, delta))]
        if squared and self._workload.output == "sigmoid":
            step += [(np.subtract, (one, out, t)), (np.multiply, (t, out, t)), (np.multiply, (delta, t, delta))]
        step.append((np.multiply, (delta, rate, delta)))
        for level in range(len(self._weights), 0, -1):
            step.append((deltas[level - 1].dot, (biased[level - 1].T, self._gradients[level - 1])))
            if level > 1:
                a, delta, t = plain[level - 1], deltas[level - 2], scratch[level - 2]
                step.append((self._weights[level - 1][:, :-1].T.dot, (deltas[level - 1], delta)))
                if self._workload.activation == "sigmoid":
                    step += [(np.subtract, (one, a, t)), (np.multiply, (t, a, t))]
                else:
                    step.append((np.greater, (a, zero, t)))
                step.append((np.multiply, (delta, t, delta)))
        step += self._updates
        return Buffers(x, target, forward, out, finish, step)

    def _planned_update(self) -> Calls:
        """The calls that change the parameters; except for Adam, the gradient contains the factor -rate."""
        flat, g, kind = self._flat, self._gradient, self._workload.optimizer
        if kind == "sgd":
            return [(np.add, (flat, g, flat))]
        m, v, t = np.zeros((3, flat.size), self._dtype)
        if kind == "momentum":
            momentum = self._dtype.type(MOMENTUM)
            return [(np.multiply, (m, momentum, m)), (np.add, (m, g, m)), (np.add, (flat, m, flat))]
        beta1, beta2, rest1, rest2, epsilon = (
            self._dtype.type(value) for value in (ADAM.beta1, ADAM.beta2, 1 - ADAM.beta1, 1 - ADAM.beta2, ADAM.epsilon)
        )
        rate, root = np.zeros((2, 1), self._dtype)  # change with each step
        steps = 0

        def advance() -> None:
            nonlocal steps
            steps += 1
            rate[0] = self._workload.learning_rate / (1 - ADAM.beta1**steps)
            root[0] = (1 - ADAM.beta2**steps) ** -0.5

        return [
            (advance, ()),
            *((np.multiply, (m, beta1, m)), (np.multiply, (g, rest1, t)), (np.add, (m, t, m))),
            *(
                (np.multiply, (v, beta2, v)),
                (np.multiply, (g, g, t)),
                (np.multiply, (t, rest2, t)),
                (np.add, (v, t, v)),
            ),
            *((np.sqrt, (v, t)), (np.multiply, (t, root, t)), (np.add, (t, epsilon, t)), (np.divide, (m, t, t))),
            *((np.multiply, (t, rate, t)), (np.subtract, (flat, t, flat))),
        ]

    # -- the methods of worker.Model -------------------------------------------------------------------------

    def epoch(self, order: Array) -> None:
        size = self._workload.batch_size
        whole = len(order) // size * size
        self._batches(order[:whole].reshape(-1, size))
        if whole < len(order):
            self._batches(order[whole:].reshape(1, -1))

    def _batches(self, batches: Array) -> None:
        count, rows = batches.shape
        if not count:
            return
        buffers = self._buffer(rows)
        calls = [*buffers.forward, *buffers.finish, *buffers.step]
        targets = self._targets[self._y[batches]] if self._workload.has_labels else self._y[batches]
        targets = np.ascontiguousarray(targets.transpose(0, 2, 1))
        take, copy = self._x.take, np.copyto
        for batch, target in zip(batches, targets, strict=True):
            take(batch, 0, buffers.x, "clip")
            copy(buffers.target, target)
            for call, arguments in calls:
                call(*arguments)

    def layers(self) -> list[tuple[Array, Array]]:
        return [(w[:, :-1], w[:, -1]) for w in self._weights]

    def prepared(self, x: Array) -> Array:
        """The images with the column of ones that multiplies the biases."""
        return np.hstack([x, np.ones((len(x), 1), self._dtype)])

    def _forward(self, prepared: Array) -> Buffers:
        buffers = self._buffer(len(prepared))
        first, (z, *_) = self._weights[0], (arguments[1] for _, arguments in buffers.forward)
        first.dot(prepared.T, z)
        for call, arguments in buffers.forward[1:]:
            call(*arguments)
        return buffers

    def outputs(self, prepared: Array) -> Array:
        buffers = self._forward(prepared)
        for call, arguments in buffers.finish:
            call(*arguments)
        return buffers.logits.T.copy()

    def predict(self, prepared: Array) -> Array:
        """The labels from the weighted sums: neither sigmoid nor softmax changes which output is the largest."""
        return np.asarray(self._forward(prepared).logits.argmax(0))
