"""The reference backend and the baseline: NumPy alone, written as well as NumPy allows.

Whole batches, features by examples, so that every product is one call of BLAS; the bias is a last column of
the packed weights, met by a row of ones; every buffer is a view of the workspace and every call has an `out`.
It does not flush denormals, which no Python code can ask for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats, Ints, Plan

# -- activations: in place on z, with a scratch t; the slope beside its function, in terms of the output a ----


def _sigmoid(z: Floats, t: Floats) -> None:
    np.negative(z, z)
    np.exp(z, z)
    np.add(z, 1, z)
    np.reciprocal(z, z)


def _sigmoid_slope(a: Floats, t: Floats) -> None:
    np.subtract(1, a, t)
    np.multiply(t, a, t)


def _relu(z: Floats, t: Floats) -> None:
    np.maximum(z, 0, out=z)


def _relu_slope(a: Floats, t: Floats) -> None:
    np.greater(a, 0, t)


def _tanh(z: Floats, t: Floats) -> None:
    np.tanh(z, z)


def _tanh_slope(a: Floats, t: Floats) -> None:
    np.multiply(a, a, t)
    np.subtract(1, t, t)


def _leaky_relu(z: Floats, t: Floats) -> None:
    np.multiply(z, c.LEAKY_SLOPE, t)
    np.maximum(z, t, out=z)


def _leaky_relu_slope(a: Floats, t: Floats) -> None:
    np.greater(a, 0, t)
    np.maximum(t, c.LEAKY_SLOPE, out=t)


def _identity(z: Floats, t: Floats) -> None:
    pass


def _identity_slope(a: Floats, t: Floats) -> None:
    t.fill(1)


def _softmax(z: Floats, t: Floats) -> None:
    row = t[0]
    np.maximum.reduce(z, 0, out=row)
    np.subtract(z, row, z)
    np.exp(z, z)
    np.add.reduce(z, 0, out=row)
    np.divide(z, row, z)


_ACTIVATIONS: dict[int, Callable[[Floats, Floats], None]] = {
    c.SIGMOID: _sigmoid,
    c.RELU: _relu,
    c.TANH: _tanh,
    c.LEAKY_RELU: _leaky_relu,
    c.IDENTITY: _identity,
    c.SOFTMAX: _softmax,
}
_SLOPES: dict[int, Callable[[Floats, Floats], None]] = {
    c.SIGMOID: _sigmoid_slope,
    c.RELU: _relu_slope,
    c.TANH: _tanh_slope,
    c.LEAKY_RELU: _leaky_relu_slope,
    c.IDENTITY: _identity_slope,
}

# -- costs: summed over the examples; `error` receives the cost's slope, whose meaning stands with each --------


def _squared_error(activation: int, z: Floats, a: Floats, target: Floats, error: Floats, t: Floats) -> float:
    """sum (a - target)^2, without a factor 1/2; error = half of d cost / d a."""
    np.subtract(a, target, error)
    return float(np.vdot(error, error))


def _cross_entropy(activation: int, z: Floats, a: Floats, target: Floats, error: Floats, t: Floats) -> float:
    """-sum target log a over softmax outputs; over sigmoid outputs also -(1 - target) log(1 - a).

    Taken from the weighted sums z, which overflow nothing where a has rounded to 0 or 1. z is overwritten.
    error = d cost / d z, the same for both.
    """
    np.subtract(a, target, error)
    if activation == c.SOFTMAX:
        row = t[0]
        np.maximum.reduce(z, 0, out=row)
        np.subtract(z, row, z)
        np.exp(z, t)
        np.subtract(z, np.log(np.add.reduce(t, 0)), z)
        return -float(np.vdot(target, z))
    cost = -float(np.vdot(target, z))
    np.abs(z, t)
    np.maximum(z, 0, out=z)
    np.negative(t, t)
    np.exp(t, t)
    np.log1p(t, t)
    np.add(z, t, z)
    return cost + float(np.sum(z))


_COSTS = {c.SQUARED_ERROR: _squared_error, c.CROSS_ENTROPY: _cross_entropy}


def _to_delta(activation: int, cost: int, scale: float, a: Floats, error: Floats, t: Floats) -> None:
    """`error` as the cost left it becomes scale * d cost / d z."""
    if cost == c.CROSS_ENTROPY:
        np.multiply(error, scale, error)
    elif activation == c.SOFTMAX:  # the softmax mixes its layer: a_i (g_i - sum_j g_j a_j)
        np.multiply(error, a, t)
        np.subtract(error, np.add.reduce(t, 0), error)
        np.multiply(error, a, error)
        np.multiply(error, 2 * scale, error)
    else:
        _SLOPES[activation](a, t)
        np.multiply(error, t, error)
        np.multiply(error, 2 * scale, error)


def _count_correct(a: Floats, target: Floats) -> int:
    """Examples whose largest output is the target's largest; with one output, both on one side of a half."""
    if len(a) == 1:
        return int(np.count_nonzero((a >= 0.5) == (target >= 0.5)))
    return int(np.count_nonzero(np.argmax(a, 0) == np.argmax(target, 0)))


def output_cost(activation: int, cost: int, z: Floats, y: NDArray[np.generic]) -> tuple[float, int]:
    """The summed cost, and how many are right, of weighted sums z (n, n_out) of an output layer.

    Every backend's costs outside of training are taken here, in float64.
    """
    z = np.array(z.T, np.float64, order="C")
    a, t, error = z.copy(), np.empty_like(z), np.empty_like(z)
    target = _fill_target(np.empty_like(z), np.arange(len(z))[:, None], y)
    with np.errstate(all="ignore"):
        _ACTIVATIONS[activation](a, t)
        correct = _count_correct(a, target)
        return _COSTS[cost](activation, z, a, target, error, t), correct


def _fill_target(target: Floats, classes: Ints, y: NDArray[np.generic]) -> Floats:
    """Labels (rows,) or targets (rows, n_out) as targets (n_out, rows), some rows at a time."""
    if y.ndim == 1:
        np.equal(y, classes, target)
    else:
        np.copyto(target, y.T)
    return target


# -- one block of rows through the layers ---------------------------------------------------------------------


class _Up(NamedTuple):
    """A layer's part of the forward pass: z = weights . below, then the activation, in place."""

    weights: Floats  # (n_out, n_in + 1)
    below: Floats  # (n_in + 1, rows), the last row ones
    z: Floats  # (n_out, rows)
    sums: Floats | None  # (n_out, rows): a copy of the weighted sums, where the cost needs them
    activation: Callable[[Floats, Floats], None]
    scratch: Floats  # (n_out, rows)


class _Down(NamedTuple):
    """A layer's part of backpropagation; the last three are those of the layer below, None below the first."""

    deltas: Floats  # (n_out, rows)
    inputs: Floats  # (rows, n_in + 1)
    grads: Floats  # (n_out, n_in + 1)
    transposed: Floats  # (n_in, n_out): the weights without the biases
    lower: Floats | None  # (n_in, rows): its deltas
    outputs: Floats  # (n_in, rows)
    slope: Callable[[Floats, Floats], None]
    scratch: Floats  # (n_in, rows)


class _Views(NamedTuple):
    """The buffers of a block of rows, and the two passes over them."""

    inputs: Floats  # (rows, n_in + 1), the last column ones
    pixels: Floats  # (rows, n_in): without it
    raw: NDArray[np.generic]  # (rows, n_in) as x has them
    up: list[_Up]  # first layer first
    down: list[_Down]  # last layer first
    output: Floats  # (n_out, rows): of the last layer, as the next three
    delta: Floats
    scratch: Floats
    sums: Floats


class _Blocks:
    """The workspace, cut into views; those of a block are made once for each number of rows."""

    def __init__(self, net: Ints, work: Floats, p: Plan, x: NDArray[np.generic]) -> None:
        self.net, self.work, self.plan, self.x = net, work, p, x
        self.scale_input = x.dtype == np.uint8
        self.bytes_to_inputs = np.full(int(net[0, c.N_IN]) + 1, 1 / 255, work.dtype)
        self.bytes_to_inputs[-1] = 1  # the row of ones
        self.activations = [int(v) for v in net[:, c.ACTIVATION]]
        self.cost = int(net[-1, c.COST])
        self.classes = np.arange(net[-1, c.N_OUT])[:, None]
        self.n_params = int((net[:, c.N_OUT] * (net[:, c.N_IN] + 1)).sum())
        self.params = work[: self.n_params]
        self.grad = work[p.packed : p.packed + self.n_params]
        self.weights = self.matrices(self.params)
        self.grads = self.matrices(self.grad)
        self.transposed = [w[:, :-1].T for w in self.weights]
        self._views: dict[int, _Views] = {}

    def matrices(self, flat: Floats) -> list[Floats]:
        """Views of a packed vector: per layer (n_out, n_in + 1), the last column the biases."""
        found, at = [], 0
        for row in self.net:
            n_in, n_out = int(row[c.N_IN]) + 1, int(row[c.N_OUT])
            found.append(flat[at : at + n_in * n_out].reshape(n_out, n_in))
            at += n_in * n_out
        return found

    def pack(self, source: Floats, flat: Floats) -> None:
        for row, matrix in zip(self.net, self.matrices(flat), strict=True):
            n_out, n_in = matrix.shape
            at = int(row[c.WEIGHTS])
            matrix[:, :-1] = source[at : at + n_out * (n_in - 1)].reshape(n_out, n_in - 1)
            matrix[:, -1] = source[row[c.BIASES] : row[c.BIASES] + n_out]

    def unpack(self, flat: Floats, into: Floats) -> None:
        for row, matrix in zip(self.net, self.matrices(flat), strict=True):
            n_out, n_in = matrix.shape
            at = int(row[c.WEIGHTS])
            into[at : at + n_out * (n_in - 1)].reshape(n_out, n_in - 1)[...] = matrix[:, :-1]
            into[row[c.BIASES] : row[c.BIASES] + n_out] = matrix[:, -1]

    def targets(self, y: NDArray[np.generic]) -> Floats:
        return _fill_target(np.empty((len(self.classes), len(y)), self.work.dtype), self.classes, y)

    def views(self, rows: int) -> _Views:
        if rows not in self._views:
            self._views = {rows: self._cut(rows)}  # one at a time: the ones of another lie elsewhere
        return self._views[rows]

    def _cut(self, rows: int) -> _Views:
        def area(level: int, column: int, height: int) -> Floats:
            at = int(self.plan.nodes[level, column])
            return self.work[at : at + height * rows].reshape(height, rows)

        sizes = [int(self.net[0, c.N_IN]), *(int(n) for n in self.net[:, c.N_OUT])]
        last = len(sizes) - 1
        inputs = area(0, c.ACTIVATIONS_AT, sizes[0] + 1).reshape(rows, sizes[0] + 1)
        inputs[:, -1] = 1
        raw: NDArray[np.generic] = area(0, c.SCRATCH_AT, sizes[0]).reshape(rows, sizes[0])
        if self.scale_input:
            raw = raw.reshape(-1).view(np.uint8)[: rows * sizes[0]].reshape(rows, sizes[0])
        levels = range(1, last + 1)
        biased = [inputs.T, *(area(level, c.ACTIVATIONS_AT, sizes[level] + 1) for level in levels)]
        for a in biased[1:]:
            a[-1] = 1
        outputs = [a[:-1] for a in biased]
        deltas = [outputs[0], *(area(level, c.DELTAS_AT, sizes[level]) for level in levels)]
        scratch = [outputs[0], *(area(level, c.SCRATCH_AT, sizes[level]) for level in levels)]
        sums = self.work[self.plan.outputs : self.plan.outputs + sizes[-1] * rows].reshape(sizes[-1], rows)
        copied = self.cost == c.CROSS_ENTROPY
        up = [
            _Up(
                self.weights[level - 1],
                biased[level - 1],
                outputs[level],
                sums if copied and level == last else None,
                _ACTIVATIONS[self.activations[level - 1]],
                scratch[level],
            )
            for level in levels
        ]
        down = [
            _Down(
                deltas[level],
                biased[level - 1].T,
                self.grads[level - 1],
                self.transposed[level - 1],
                deltas[level - 1] if level > 1 else None,
                outputs[level - 1],
                _SLOPES[self.activations[level - 2]] if level > 1 else _identity_slope,
                scratch[level - 1],
            )
            for level in reversed(levels)
        ]
        return _Views(inputs, inputs[:, :-1], raw, up, down, outputs[-1], deltas[-1], scratch[-1], sums)

    def gather(self, v: _Views, rows: Ints | slice) -> None:
        """Rows of x into the block's inputs, bytes scaled."""
        raw = self.x[rows] if isinstance(rows, slice) else self.x.take(rows, 0, v.raw, "clip")
        np.copyto(v.pixels, raw)
        if self.scale_input:  # all of the contiguous buffer: quicker than its columns but one
            np.multiply(v.inputs, self.bytes_to_inputs, v.inputs)

    def forward(self, v: _Views) -> None:
        for weights, below, z, sums, activation, scratch in v.up:
            np.dot(weights, below, z)
            if sums is not None:
                np.copyto(sums, z)
            activation(z, scratch)

    def output(self, v: _Views, target: Floats, scale: float) -> float:
        """The summed cost; the last layer's deltas, times scale."""
        activation = self.activations[-1]
        cost = _COSTS[self.cost](activation, v.sums, v.output, target, v.delta, v.scratch)
        _to_delta(activation, self.cost, scale, v.output, v.delta, v.scratch)
        return cost

    def backward(self, v: _Views, add: bool) -> None:
        """The gradient of the block, added to the gradient of earlier blocks or in its place."""
        for deltas, inputs, grads, transposed, lower, outputs, slope, scratch in v.down:
            if add:
                grads += np.dot(deltas, inputs)
            else:
                np.dot(deltas, inputs, grads)
            if lower is not None:
                np.dot(transposed, deltas, lower)
                slope(outputs, scratch)
                np.multiply(lower, scratch, lower)


# -- optimisers: one step of the packed parameters --------------------------------------------------------------


def _update(b: _Blocks, state: list[Floats], t: Floats, optimizer: list[float], rate: float, count: int) -> None:
    """One step with the gradient in b.grad, which is used up; t is a scratch as long; count is 1 at the first."""
    p, g = b.params, b.grad
    clip = optimizer[c.CLIP_NORM]
    if clip > 0:
        norm = math.sqrt(np.dot(g, g))
        if not math.isfinite(norm):  # its square is beyond float32
            norm = float(np.linalg.norm(g.astype(np.float64)))
        if norm > clip:
            np.multiply(g, clip / norm, g)
    if optimizer[c.WEIGHT_DECAY] > 0:
        for gradient, w, product in zip(b.grads, b.weights, b.matrices(t), strict=True):
            np.multiply(w[:, :-1], optimizer[c.WEIGHT_DECAY], product[:, :-1])
            gradient[:, :-1] += product[:, :-1]
    kind = optimizer[c.KIND]
    if kind == c.GRADIENT_DESCENT:
        np.multiply(g, rate, g)
    elif kind == c.MOMENTUM:  # v = beta v + g; the step is v, or beta v + g once more (Nesterov)
        v = state[0]
        np.multiply(v, optimizer[c.BETA1], v)
        np.add(v, g, v)
        if optimizer[c.NESTEROV]:
            np.multiply(v, optimizer[c.BETA1], t)
            np.add(g, t, g)
            np.multiply(g, rate, g)
        else:
            np.multiply(v, rate, g)
    else:  # Kingma and Ba (2015), algorithm 1, the bias corrections taken out of the vectors
        beta1, beta2 = optimizer[c.BETA1], optimizer[c.BETA2]
        m, v = state
        np.multiply(m, beta1, m)
        np.multiply(g, 1 - beta1, t)
        np.add(m, t, m)
        np.multiply(v, beta2, v)
        np.multiply(g, g, g)
        np.multiply(g, 1 - beta2, g)
        np.add(v, g, v)
        np.sqrt(v, t)
        np.multiply(t, (1 - beta2**count) ** -0.5, t)
        np.add(t, optimizer[c.EPSILON], t)
        np.divide(m, t, g)
        np.multiply(g, rate / (1 - beta1**count), g)
    np.subtract(p, g, p)


_WINDOW = 1024  # examples


def _split(targets: Floats, batch_size: int) -> list[Floats]:
    """(n_out, rows) cut into batches, each contiguous."""
    n_out, rows = targets.shape
    whole = rows // batch_size
    cut = targets[:, : whole * batch_size].reshape(n_out, whole, batch_size).transpose(1, 0, 2)
    rest = targets[:, whole * batch_size :]
    return [*np.ascontiguousarray(cut), *([np.ascontiguousarray(rest)] if rest.size else [])]


# -- the contract ----------------------------------------------------------------------------------------------


def predict(net: Ints, params: Floats, x: NDArray[np.generic], out: Floats, work: Floats) -> None:
    p = c.plan(net, len(x), 0, params.itemsize)
    b = _Blocks(net, work, p, x)
    b.pack(params, b.params)
    with np.errstate(all="ignore"):
        for start in range(0, len(x), p.rows):
            block = slice(start, min(start + p.rows, len(x)))
            v = b.views(block.stop - start)
            b.gather(v, block)
            b.forward(v)
            out[block] = v.output.T


def gradient(
    net: Ints, params: Floats, x: NDArray[np.generic], y: NDArray[np.generic], grad: Floats, work: Floats
) -> float:
    p = c.plan(net, len(x), 0, params.itemsize)
    b = _Blocks(net, work, p, x)
    b.pack(params, b.params)
    cost = 0.0
    with np.errstate(all="ignore"):
        for start in range(0, len(x), p.rows):
            block = slice(start, min(start + p.rows, len(x)))
            v = b.views(block.stop - start)
            b.gather(v, block)
            b.forward(v)
            cost += b.output(v, b.targets(y[block]), 1 / len(x))
            b.backward(v, add=start > 0)
    b.unpack(b.grad, grad)
    return cost / len(x)


def train(
    net: Ints,
    params: Floats,
    state: Floats,
    x: NDArray[np.generic],
    y: NDArray[np.generic],
    order: Ints,
    batch_size: int,
    rates: NDArray[np.float64],
    optimizer: NDArray[np.float64],
    step: int,
    progress: Ints,
    work: Floats,
) -> float:
    p = c.plan(net, batch_size, len(state), params.itemsize)
    b = _Blocks(net, work, p, x)
    b.pack(params, b.params)
    n, scratch, slots = b.n_params, work[2 * p.packed : 2 * p.packed + b.n_params], []
    for k, source in enumerate(state):
        slots.append(work[(3 + k) * p.packed : (3 + k) * p.packed + n])
        b.pack(source, slots[k])
    options, rate = optimizer.tolist(), rates.tolist()  # Python floats: a NumPy one would widen float32 products
    # Plain gradient descent folds the rate into the deltas: one pass over the parameters less.
    folded = options[c.KIND] == c.GRADIENT_DESCENT and not options[c.CLIP_NORM] and not options[c.WEIGHT_DECAY]
    # Labels become targets, and outputs are judged, for a window of batches at a time.
    window = max(1, _WINDOW // batch_size) * batch_size
    total, correct, steps, stopped = 0.0, 0, 0, False
    with np.errstate(all="ignore"):
        for begin in range(0, len(order), window):
            rows = order[begin : begin + window]
            targets = b.targets(y[rows])
            outputs = np.empty_like(targets)
            judged = 0
            for start, target in zip(range(0, len(rows), batch_size), _split(targets, batch_size), strict=True):
                stop = min(start + batch_size, len(rows))
                scale = (-rate[steps] if folded else 1) / (stop - start)
                cost = 0.0
                for first in range(start, stop, p.rows):
                    if progress[c.STOP]:
                        stopped = True
                        break
                    end = min(first + p.rows, stop)
                    v = b.views(end - first)
                    b.gather(v, rows[first:end])
                    b.forward(v)
                    outputs[:, first:end] = v.output
                    cost += b.output(v, target[:, first - start : end - start], scale)
                    b.backward(v, first > start)
                if stopped or not math.isfinite(cost):
                    stopped = True
                    break
                if folded:
                    np.add(b.params, b.grad, b.params)
                else:
                    _update(b, slots, scratch, options, rate[steps], step + steps + 1)
                total, steps, judged = total + cost, steps + 1, stop
            correct += _count_correct(outputs[:, :judged], targets[:, :judged])
            if stopped:
                break
    b.unpack(b.params, params)
    for target, source in zip(state, slots, strict=True):
        b.unpack(source, target)
    progress[c.STEPS], progress[c.CORRECT] = steps, correct
    return total
