"""The reference backend: a network and its training in NumPy, written as in a textbook.

Read `forward`, `backward`, `cost_and_gradient`, `step` and `train` in this order. The activations and costs are in
formulas.py. Python code cannot tell the CPU to flush denormal numbers, so such numbers slow this backend down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.contract import Floats, Ints, PreparedPredict, Rows, TrainCall
from fastnet.kernels.formulas import Pair
from fastnet.kernels.numpy_batches import Batches, Block
from fastnet.kernels.numpy_sparse import compress as compress  # a function of the contract
from fastnet.kernels.numpy_workspace import Layer, Workspace

MAX_THREADS = 1  # BLAS has threads of its own
COMPRESSION_PAYS = False  # BLAS needs dense rows, so sparse rows are unpacked

NEVER_STOPPED = np.zeros(c.PROGRESS_COLUMNS, np.int64)  # the progress of a call that nothing stops

# -- the algorithm ----------------------------------------------------------------------------------------------------


def forward(layers: list[Layer], z_out: Floats) -> Floats:
    """Returns the activations (n_out, rows) of the last layer, and writes its weighted sums to `z_out`.

    The inputs are the rows that `Workspace.read` has read. In training with dropout, a mask drops hidden neurons.
    """
    last = layers[-1]
    for layer in layers:
        z = z_out if layer is last else layer.a
        if layer.pieces is None:
            layer.weights.dot(layer.inputs, z)
        else:
            layer.pieces.weighted_sums(layer.weights, z)
        if layer is last:
            break
        a = layer.function(z, z)  # overwrites z
        if layer.masks is not None:
            mask = next(layer.masks)
            layer.masked_derivative = layer.derivative(a) * mask
            a *= mask
    return last.function(z_out)


def backward(layers: list[Layer], delta: Floats, adding: bool) -> None:
    """Computes the gradient of each layer's parameters, from the last layer to the first.

    delta (n_out, rows) is the derivative of the cost with respect to the weighted sums of the last layer. The gradient
    overwrites `layer.gradient`. If `adding` is true, the gradient is added to `layer.gradient` instead.
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


def cost_and_gradient(
    space: Workspace, x: Rows, blocks: Iterable[Block], pair: Pair, factor: float, progress: Ints
) -> float:
    """Returns the weighted sum of the costs of a batch. Writes its gradient times `factor` to space.gradient.

    A large batch goes through the network block by block, and the gradients of its blocks add up. The cost is NaN if
    STOP was set before the last block.
    """
    cost, adding = 0.0, False
    space.factor[()] = factor
    for rows, target, z, error, weights in blocks:
        if progress[c.STOP]:
            return math.nan
        space.read(x, rows)
        a = forward(space.layers, z)
        np.subtract(a, target, error)
        if weights is None:
            cost += pair.cost(z, target, error, None)
            delta = pair.delta(a, error) * space.factor
        else:  # weights of 1 give the same bits as no weights
            cost += pair.cost(z, target, error, weights.astype(error.dtype))
            delta = pair.delta(a, error) * (weights * factor).astype(error.dtype)
        backward(space.layers, delta, adding)
        adding = True
    return cost


def squared_weights(space: Workspace) -> float:
    """Returns the sum of the squares of all weights, without the biases. Overwrites space.scratch."""
    np.multiply(space.params, space.params, space.scratch)
    return sum(float(layer.scratch[:, :-1].sum()) for layer in space.layers)


def clip_factor(g: Floats, clip_norm: float) -> float:
    """Returns the factor that clips the gradient g: 1 if no clipping is needed."""
    if clip_norm <= 0:
        return 1.0
    norm = math.sqrt(np.dot(g, g))
    if not math.isfinite(norm):  # the sum of the squares is too large for float32
        norm = float(np.linalg.norm(g.astype(np.float64)))
    return clip_norm / norm if norm > clip_norm else 1.0


def clip_and_decay(space: Workspace, clip_norm: float, decay: float) -> None:
    """Clips the gradient of the workspace, then adds the weight decay to it.

    `decay` is the weight decay of the batch, with the part that comes from PENALTY.
    """
    factor = clip_factor(space.gradient, clip_norm)
    if factor != 1:
        space.gradient *= factor
    if decay > 0:  # g += decay * w, for weights only
        for layer in space.layers:
            np.multiply(layer.weights[:, :-1], decay, layer.scratch[:, :-1])
            layer.gradient[:, :-1] += layer.scratch[:, :-1]


def step(
    w: Floats, g: Floats, state: Sequence[Floats], scratch: Floats, optimizer: list[float], rate: float, t: int
) -> None:
    """Makes update number t, counted from 1, of the parameters w with their gradient g. Overwrites g.

    UPDATES in formulas.py has the formulas. Each line changes an array in place, since the arrays can be large.
    """
    kind, beta1, beta2, epsilon, nesterov, *_, plain_epsilon = optimizer  # the contract's columns
    # From here on, the code turns g into the change that is subtracted from w.
    if kind == c.GRADIENT_DESCENT:
        g *= rate
    elif kind == c.MOMENTUM:
        (v,) = state
        v *= beta1  # v = beta1 * v + g
        v += g
        if nesterov:  # g = rate * (g + beta1 * v)
            np.multiply(v, beta1, scratch)
            g += scratch
            g *= rate
        else:
            np.multiply(v, rate, g)
    else:
        m, v = state
        m *= beta1  # m = beta1 * m + (1 - beta1) * g
        np.multiply(g, 1 - beta1, scratch)
        m += scratch
        v *= beta2  # v = beta2 * v + (1 - beta2) * g^2
        g *= g
        g *= 1 - beta2
        v += g
        np.sqrt(v, scratch)
        if plain_epsilon:  # scratch = sqrt(v) + epsilon
            rate *= (1 - beta2**t) ** 0.5
        else:  # scratch = sqrt(v / (1 - beta2^t)) + epsilon
            scratch *= (1 - beta2**t) ** -0.5
        scratch += epsilon
        np.divide(m, scratch, g)  # g = rate * m / (1 - beta1^t) / scratch
        g *= rate / (1 - beta1**t)
    w -= g


# -- the contract -----------------------------------------------------------------------------------------------------


def train(call: TrainCall) -> float:
    net, progress = call.net, call.progress
    # Python floats, because a NumPy float64 number times a float32 array would be a float64 array.
    rates, optimizer = call.rates.tolist(), call.optimizer.tolist()
    space = Workspace(net, call.params, call.work, call.batch_size, call.x, len(call.state))
    for slot, packed in zip(call.state, space.state, strict=True):
        space.pack(slot, packed)
    pair = formulas.pair_of(net)
    decay, penalty = optimizer[c.WEIGHT_DECAY], optimizer[c.PENALTY]
    # In plain gradient descent, the rate multiplies the deltas instead of the gradient, because there are fewer deltas
    # than parameters.
    is_plain = optimizer[c.KIND] == c.GRADIENT_DESCENT and not (optimizer[c.CLIP_NORM] or decay or penalty)
    batches = Batches(call, space)
    # Of the batches that made an update: their summed costs, the sums of their weights, and their penalties.
    costs, weights, penalties = list[float](), list[float](), list[float]()
    with np.errstate(all="ignore"):
        for (weight, blocks), rate in zip(batches, rates, strict=True):
            factor = (rate if is_plain else 1) / weight if weight else 0.0
            cost = cost_and_gradient(space, call.x, blocks, pair, factor, progress)
            if not math.isfinite(cost):  # the training diverged or was stopped
                break
            if is_plain:
                space.params -= space.gradient
            else:
                if penalty:
                    penalties.append(penalty / 2 * squared_weights(space))
                clip_and_decay(space, optimizer[c.CLIP_NORM], decay + penalty * factor)
                number = call.step + len(costs) + 1
                step(space.params, space.gradient, space.state, space.scratch, optimizer, rate, number)
            costs.append(cost)
            weights.append(weight)
        steps = len(costs)
        report = call.report[:steps]
        report[:, c.COST_SUM], report[:, c.WEIGHT_SUM] = costs, weights
        report[:, c.PENALTY_COST] = penalties or 0.0
        report[:, [c.SCORE, c.LABELS]] = batches.scores(steps)
        progress[c.STEPS] = steps
    space.unpack(space.params, call.params)
    for slot, packed in zip(call.state, space.state, strict=True):
        space.unpack(packed, slot)
    return sum(costs)


UPDATE_PIECE = 4096  # parameters: `update` copies this many gradients at a time


def update(
    net: Ints,
    params: Floats,
    state: Floats,
    gradient: Floats,
    optimizer: NDArray[np.float64],
    rate: float,
    done: int,
) -> None:
    options, scratch = optimizer.tolist(), np.empty(UPDATE_PIECE, params.dtype)
    rate = float(rate)  # a NumPy float64 would widen float32
    with np.errstate(all="ignore"):
        factor = clip_factor(gradient, options[c.CLIP_NORM])
        for first, last, decay in _spans(net, options[c.WEIGHT_DECAY]):
            for at in range(first, last, UPDATE_PIECE):
                piece = slice(at, min(at + UPDATE_PIECE, last))
                w, g = params[piece], gradient[piece] * factor
                if decay:
                    g += decay * w
                step(w, g, list(state[:, piece]), scratch[: len(g)], options, rate, done + 1)


def _spans(net: Ints, decay: float) -> Iterator[tuple[int, int, float]]:
    """Yields the first and the last place of the weights and of the biases of each layer, with their decay."""
    for row in net.tolist():
        yield row[c.WEIGHTS], row[c.WEIGHTS] + row[c.N_IN] * row[c.N_OUT], decay
        yield row[c.BIASES], row[c.BIASES] + row[c.N_OUT], 0.0


def gradient(
    net: Ints,
    params: Floats,
    x: Rows,
    y: NDArray[np.generic],
    weights: NDArray[np.float64],
    grad: Floats,
    work: Floats,
) -> float:
    space = Workspace(net, params, work, len(x), x)
    weight = float(weights.sum()) if weights.size else len(x)
    with np.errstate(all="ignore"):
        blocks = _blocks(space, y, weights)
        cost = cost_and_gradient(space, x, blocks, formulas.pair_of(net), 1 / weight, NEVER_STOPPED)
    space.unpack(space.gradient, grad)
    return cost / weight


def _blocks(space: Workspace, y: NDArray[np.generic], weights: NDArray[np.float64]) -> Iterator[Block]:
    """Yields the blocks of one batch of all rows."""
    for rows in _cut(len(y), space.max_rows):
        n = rows.stop - rows.start
        space.lay_out(n)
        target, z, error = np.empty((3, space.n_out, n), space.work.dtype)
        formulas.targets(y[rows], target)
        yield rows, target, z, error, weights[rows] if weights.size else None


def predict(net: Ints, params: Floats, x: Rows, out: Floats, work: Floats) -> None:
    _outputs(Workspace(net, params, work, len(x), x), x, out)


def predictor(net: Ints, params: Floats, rows: int, x_dtype: np.dtype[Any], work: Floats) -> PreparedPredict:
    space = Workspace(net, params, work, rows, np.empty((0, net[0, c.N_IN]), x_dtype))
    return lambda x, out: _outputs(space, x, out)


def _outputs(space: Workspace, x: Rows, out: Floats) -> None:
    with np.errstate(all="ignore"):
        for rows in _cut(len(x), space.max_rows):
            n = rows.stop - rows.start
            space.lay_out(n)
            space.read(x, rows)
            out[rows] = forward(space.layers, np.empty((space.n_out, n), out.dtype)).T


def _cut(n: int, max_rows: int) -> Iterator[slice]:
    """Cuts n rows into slices of at most max_rows."""
    for start in range(0, n, max_rows):
        yield slice(start, min(start + max_rows, n))
