"""The reference backend: a network and its training in NumPy, written as in a textbook.

`forward`, `backward`, `update` and `train` are the algorithm. The activations and the costs are in formulas.py.
Denormals are not flushed, since Python code cannot ask for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.contract import Floats, Ints, PreparedPredict, Rows, SparseRows, TrainCall
from fastnet.kernels.numpy_sparse import compress as compress  # a function of the contract
from fastnet.kernels.numpy_workspace import Layer, Workspace

MAX_THREADS = 1  # BLAS has threads of its own
COMPRESSION_PAYS = False  # sparse rows are unpacked again for BLAS
# The targets of so many examples are made together, and those classified right are counted together. For each batch of
# 10 alone that would take 4 of 35 microseconds.
WINDOW = 1024

# -- the algorithm, for one block of rows -----------------------------------------------------------------------------


def forward(layers: list[Layer], sums: Floats, moment: tuple[int, int, int] | None = None) -> Floats:
    """Computes the activations (n_out, rows) of the last layer. `sums` takes its weighted sums: a cost needs both.

    moment: with dropout, the number of the update, the place of the block in its batch, and how many updates are left.
    """
    last = layers[-1]
    for layer in layers:
        z = sums if layer is last else layer.a
        if layer.pieces is None:
            layer.weights.dot(layer.inputs, z)
        else:
            layer.pieces.weighted_sums(layer.weights, z)
        if layer is last:
            break
        a = layer.function(z, z)  # in the place of z
        if layer.masks is not None and moment is not None:
            mask = layer.masks.of(*moment, a.dtype)
            layer.masked_derivative = layer.derivative(a) * mask
            a *= mask
    return last.function(sums)


def backward(layers: list[Layer], delta: Floats, adding: bool) -> None:
    """Computes the gradient of every layer, from the last to the first.

    delta (n_out, rows) is the derivative of the cost by the last layer's weighted sums. adding: a batch of several
    blocks adds up their gradients, so all but the first block add.
    """
    for layer in reversed(layers):
        if layer.pieces is not None:
            layer.pieces.add_gradient(delta, layer.gradient, adding)
        elif adding:
            delta.dot(layer.inputs_t, layer.scratch)
            layer.gradient += layer.scratch
        else:
            delta.dot(layer.inputs_t, layer.gradient)
        below = layer.below
        if below is not None:
            delta = layer.weights_t.dot(delta)
            delta *= below.derivative(below.a) if below.masked_derivative is None else below.masked_derivative


def update(space: Workspace, optimizer: list[float], rate: float, t: int) -> None:
    """Makes update number t, from 1, of all parameters w with their gradient g. The gradient is used up.

    The formulas are UPDATES of formulas.py. Here each line is one pass over vectors, and none allocates.
    """
    w, g, scratch = space.params, space.gradient, space.scratch
    clip_norm, decay, kind = optimizer[c.CLIP_NORM], optimizer[c.WEIGHT_DECAY], optimizer[c.KIND]
    beta1, beta2 = optimizer[c.BETA1], optimizer[c.BETA2]
    if clip_norm > 0:
        norm = math.sqrt(np.dot(g, g))
        if not math.isfinite(norm):  # its square is too large for float32
            norm = float(np.linalg.norm(g.astype(np.float64)))
        if norm > clip_norm:
            g *= clip_norm / norm
    if decay > 0:  # g += decay * w, for weights only
        for layer in space.layers:
            np.multiply(layer.weights[:, :-1], decay, layer.scratch[:, :-1])
            layer.gradient[:, :-1] += layer.scratch[:, :-1]
    if kind == c.GRADIENT_DESCENT:
        g *= rate
    elif kind == c.MOMENTUM:
        (v,) = space.state
        v *= beta1
        v += g
        if optimizer[c.NESTEROV]:
            np.multiply(v, beta1, scratch)
            g += scratch
            g *= rate
        else:
            np.multiply(v, rate, g)
    else:
        m, v = space.state
        m *= beta1
        np.multiply(g, 1 - beta1, scratch)
        m += scratch
        v *= beta2
        g *= g
        g *= 1 - beta2
        v += g
        np.sqrt(v, scratch)
        scratch *= (1 - beta2**t) ** -0.5
        scratch += optimizer[c.EPSILON]
        np.divide(m, scratch, g)
        g *= rate / (1 - beta1**t)
    w -= g


# -- the contract -----------------------------------------------------------------------------------------------------


def predict(net: Ints, params: Floats, x: Rows, out: Floats, work: Floats) -> None:
    sparse = isinstance(x, SparseRows)
    plan = c.plan(net, len(x), 0, params.itemsize, sparse=sparse)
    _outputs(Workspace(net, params, work, plan, x.dtype, sparse), x, out)


def predictor(net: Ints, params: Floats, rows: int, x_dtype: np.dtype[Any], work: Floats) -> PreparedPredict:
    space = Workspace(net, params, work, c.plan(net, rows, 0, params.itemsize), x_dtype, sparse=False)
    return lambda x, out: _outputs(space, x, out)


def _outputs(space: Workspace, x: Rows, out: Floats) -> None:
    with np.errstate(all="ignore"):
        for block in _blocks(len(x), space.max_rows):
            rows = block.stop - block.start
            space.read(x, block, rows)
            out[block] = forward(space.layers, np.empty((space.n_out, rows), out.dtype)).T


def gradient(net: Ints, params: Floats, x: Rows, y: NDArray[np.generic], grad: Floats, work: Floats) -> float:
    sparse = isinstance(x, SparseRows)
    space = Workspace(net, params, work, c.plan(net, len(x), 0, params.itemsize, sparse=sparse), x.dtype, sparse)
    pair = formulas.PAIRS[net[-1, c.ACTIVATION], net[-1, c.COST]]
    cost = 0.0
    with np.errstate(all="ignore"):
        for block in _blocks(len(x), space.max_rows):
            rows = block.stop - block.start
            space.read(x, block, rows)
            target, z = np.empty((2, space.n_out, rows), work.dtype)
            formulas.targets(y[block], target)
            a = forward(space.layers, z)
            cost += pair.cost(z, a, target)
            backward(space.layers, pair.delta(a, target) * (1 / len(x)), adding=block.start > 0)
    space.unpack(space.gradient, grad)
    return cost / len(x)


def _blocks(n: int, max_rows: int) -> Iterator[slice]:
    for start in range(0, n, max_rows):
        yield slice(start, min(start + max_rows, n))


def train(call: TrainCall) -> float:
    net, x, order, progress = call.net, call.x, call.order, call.progress
    rates, optimizer = call.rates.tolist(), call.optimizer.tolist()  # NumPy's numbers would make float32 float64
    sparse, slots = isinstance(x, SparseRows), len(call.state)
    plan = c.plan(net, call.batch_size, slots, call.params.itemsize, sparse=sparse)
    space = Workspace(net, call.params, call.work, plan, x.dtype, sparse, slots)
    for slot, packed in zip(call.state, space.state, strict=True):
        space.pack(slot, packed)
    layers, pair = space.layers, formulas.PAIRS[net[-1, c.ACTIVATION], net[-1, c.COST]]
    has_dropout = bool(net[:, c.DROP].any())
    # Plain gradient descent multiplies the rate into the deltas: there are fewer of them than of the parameters.
    is_plain = optimizer[c.KIND] == c.GRADIENT_DESCENT and not (optimizer[c.CLIP_NORM] or optimizer[c.WEIGHT_DECAY])
    scale = np.empty((), call.work.dtype)
    total, steps, correct = 0.0, 0, 0  # of the batches that were completed
    cost, right = 0.0, 0  # of the batch under way
    with np.errstate(all="ignore"):
        for window, rows, batch, place in _windows(len(order), call.batch_size, plan.rows):
            opens, closes, done = place == 0, place + rows == batch, 0
            numbers = order[window].reshape(-1, rows)  # of the rows of x, block by block
            y = call.y[numbers]
            targets, sums = np.empty((2, len(numbers), space.n_out, rows), scale.dtype)
            formulas.targets(y, targets)
            for block, target, z in zip(numbers, targets, sums, strict=True):
                if progress[c.STOP]:
                    break
                space.read(x, block, rows)
                t = call.step + steps + 1
                a = forward(layers, z, (t, place, len(rates) - steps if rows == batch else 1) if has_dropout else None)
                cost = pair.cost(z, a, target) + (0.0 if opens else cost)
                if not math.isfinite(cost):
                    break
                scale[()] = (rates[steps] if is_plain else 1) / batch
                backward(layers, pair.delta(a, target) * scale, adding=not opens)
                if closes:
                    if is_plain:
                        np.subtract(space.params, space.gradient, space.params)
                    else:
                        update(space, optimizer, rates[steps], t)
                    total, steps = total + cost, steps + 1
                done += 1
            right += formulas.count_correct(sums[:done], y[:done])
            if closes and done:
                correct, right = correct + right, 0
            if done < len(numbers):
                break
    space.unpack(space.params, call.params)
    for slot, packed in zip(call.state, space.state, strict=True):
        space.unpack(packed, slot)
    progress[c.STEPS], progress[c.CORRECT] = steps, correct
    return total


def _windows(n: int, batch_size: int, max_rows: int) -> Iterator[tuple[slice, int, int, int]]:
    """Cuts an order of n rows into windows: some whole batches, of one block each, or one block of a larger batch.

    Yields the window, the rows of a block, the rows of a batch, and the place of a block's first row in its batch.
    """
    if batch_size > max_rows:
        for batch in _blocks(n, batch_size):
            size = batch.stop - batch.start
            for block in _blocks(size, max_rows):
                window = slice(batch.start + block.start, batch.start + block.stop)
                yield window, block.stop - block.start, size, block.start
        return
    whole = n // batch_size * batch_size
    for window in _blocks(whole, max(1, WINDOW // batch_size) * batch_size):
        yield window, batch_size, batch_size, 0
    if whole < n:  # the last batch is smaller
        yield slice(whole, n), n - whole, n - whole, 0
