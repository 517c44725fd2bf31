"""The reference backend: a network and its training in NumPy, written as in a textbook.

`forward`, `backward`, `update` and `train` are the algorithm; formulas.py has the activations and the costs.
Denormals are not flushed, since Python code cannot ask for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.contract import Floats, Ints, Plan, Predictor, Rows, SparseRows, TrainCall
from fastnet.kernels.numpy_sparse import Pieces, unpack
from fastnet.kernels.numpy_sparse import compress as compress  # a function of the contract
from fastnet.kernels.philox import Masks

MOST_MEMBERS = 1  # BLAS has threads of its own
COMPRESSION_PAYS = False  # sparse rows are unpacked again for BLAS

# -- the algorithm, for one block of rows -----------------------------------------------------------------------------


class Layer:
    """A layer's parameters, and its arrays for the block of rows that is on its way through the network.

    Each column of `inputs`, `a` and `delta` is an example. The biases are the last column of the weights, and the last
    row of the inputs is ones: so one matrix product gives the weighted sums, biases included.
    """

    def __init__(self, code: int, below: Layer | None, weights: Floats, gradient: Floats, scratch: Floats) -> None:
        self.function = formulas.BY_CODE[code].function
        self.derivative = cast(formulas.Derivative, formulas.BY_CODE[code].derivative)  # all but softmax have one
        self.below = below  # the layer whose activations are the inputs; None where these are x
        self.weights, self.gradient, self.scratch = weights, gradient, scratch  # (n_out, n_in + 1)
        self.weights_t = weights[:, :-1].T  # (n_in, n_out)
        self.inputs = self.inputs_t = self.a = weights[:0]  # (n_in + 1, rows), (rows, n_in + 1), (n_out, rows)
        self.pieces: Pieces | None = None  # the inputs where x is sparse rows of many inputs
        self.masks: Masks | None = None  # with dropout
        self.slope: Floats | None = None  # with dropout: the derivative times the mask


class Moment(NamedTuple):
    """Which block of which update this is: dropout's random numbers depend on it."""

    update: int  # from 1
    place: int  # of the block's first row in its batch
    updates_left: int  # whose blocks have the same place


def forward(layers: list[Layer], sums: Floats, moment: Moment | None = None) -> Floats:
    """The activations (n_out, rows) of the last layer; its weighted sums go to `sums`, as the costs need them."""
    for layer in layers:
        z = sums if layer is layers[-1] else layer.a
        if layer.pieces is None:
            layer.weights.dot(layer.inputs, z)
        else:
            layer.pieces.weighted_sums(layer.weights, z)
        if z is sums:
            break
        a = layer.function(z, z)
        if layer.masks is not None and moment is not None:
            mask = layer.masks.of(*moment, a.dtype)
            layer.slope = layer.derivative(a) * mask
            a *= mask
    return layer.function(sums)


def backward(layers: list[Layer], delta: Floats, adding: bool) -> None:
    """The gradient, from the derivative of the cost by the last layer's weighted sums, layer by layer downwards.

    adding: the block is not the first of its batch, and its gradient is added to theirs.
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
            delta *= below.derivative(below.a) if below.slope is None else below.slope


def update(space: Workspace, optimizer: list[float], rate: float, count: int) -> None:
    """One step of the optimiser with the gradient, which is used up. count: of the updates, this one included."""
    w, g, t = space.params, space.gradient, space.scratch
    clip, decay, kind = optimizer[c.CLIP_NORM], optimizer[c.WEIGHT_DECAY], optimizer[c.KIND]
    beta1, beta2 = optimizer[c.BETA1], optimizer[c.BETA2]
    if clip > 0:
        norm = math.sqrt(np.dot(g, g))
        if not math.isfinite(norm):  # its square is beyond float32
            norm = float(np.linalg.norm(g.astype(np.float64)))
        if norm > clip:
            g *= clip / norm
    if decay > 0:  # of the weights, not of the biases
        for layer in space.layers:
            np.multiply(layer.weights[:, :-1], decay, layer.scratch[:, :-1])
            layer.gradient[:, :-1] += layer.scratch[:, :-1]
    if kind == c.GRADIENT_DESCENT:
        g *= rate
    elif kind == c.MOMENTUM:
        (v,) = space.state
        v *= beta1
        v += g
        if optimizer[c.NESTEROV]:  # g = rate (g + beta1 v)
            np.multiply(v, beta1, t)
            g += t
            g *= rate
        else:
            np.multiply(v, rate, g)
    else:  # Adam; the bias corrections are numbers, taken out of the vectors
        m, v = space.state
        m *= beta1
        np.multiply(g, 1 - beta1, t)
        m += t
        v *= beta2
        g *= g
        g *= 1 - beta2
        v += g
        np.sqrt(v, t)
        t *= (1 - beta2**count) ** -0.5
        t += optimizer[c.EPSILON]
        np.divide(m, t, g)
        g *= rate / (1 - beta1**count)
    w -= g


# -- the arrays -------------------------------------------------------------------------------------------------------


class Workspace:
    """The workspace of a call, cut into the layers' arrays as `plan` says, and filled with parameters and inputs."""

    def __init__(
        self, net: Ints, params: Floats, work: Floats, plan: Plan, x_dtype: np.dtype[Any], sparse: bool, slots: int = 0
    ) -> None:
        self.net, self.work, self.nodes, self.x_dtype = net.tolist(), work, plan.nodes.tolist(), x_dtype
        self.sizes = [self.net[0][c.N_IN], *(row[c.N_OUT] for row in self.net)]
        self.in_pieces = sparse and self.sizes[0] > c.PIECE_INPUTS
        n_params = sum(row[c.N_OUT] * (row[c.N_IN] + 1) for row in self.net)
        vectors = [work[k * plan.packed :][:n_params] for k in range(3 + slots)]
        self.params, self.gradient, self.scratch, *self.state = vectors
        self.layers: list[Layer] = []
        for row, *matrices in zip(self.net, *map(self.matrices, vectors[:3]), strict=True):
            self.layers.append(Layer(row[c.ACTIVATION], self.layers[-1] if self.layers else None, *matrices))
        self.pack(params, self.params)
        self.byte = np.full((), 1 / 255, work.dtype) if x_dtype == np.uint8 else None  # what a byte of 1 stands for
        self.rows = 0  # of the block that the arrays are laid out for

    def matrices(self, packed: Floats) -> list[Floats]:
        """Views (n_out, n_in + 1) of a packed vector, layer by layer; that of Pieces lies transposed in memory."""
        found, at = list[Floats](), 0
        for n_in, n_out in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            flat = packed[at : at + n_out * (n_in + 1)]
            transposed = self.in_pieces and not found
            found.append(flat.reshape(n_in + 1, n_out).T if transposed else flat.reshape(n_out, n_in + 1))
            at += len(flat)
        return found

    def pairs(self, flat: Floats, packed: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Views of the same weights and of the same biases in a vector of the contract and in a packed one."""
        for row, matrix in zip(self.net, self.matrices(packed), strict=True):
            n_in, n_out, w, b = row[c.N_IN], row[c.N_OUT], row[c.WEIGHTS], row[c.BIASES]
            yield flat[w : w + n_out * n_in].reshape(n_out, n_in), matrix[:, :-1]
            yield flat[b : b + n_out], matrix[:, -1]

    def pack(self, flat: Floats, packed: Floats) -> None:
        for source, target in self.pairs(flat, packed):
            target[...] = source

    def unpack(self, packed: Floats, flat: Floats) -> None:
        for target, source in self.pairs(flat, packed):
            target[...] = source

    def lay_out(self, rows: int) -> None:
        """Gives the layers their arrays for a block of so many rows."""

        def area(at: int, height: int) -> Floats:
            return self.work[at : at + height * rows].reshape(height, rows)

        top, n_in = self.nodes[0], 0 if self.in_pieces else self.sizes[0]
        dense = area(top[c.SCRATCH_AT], c.PIECE_INPUTS if self.in_pieces else n_in).reshape(-1)
        inputs = area(top[c.ACTIVATIONS_AT], n_in + 1).reshape(rows, n_in + 1).T
        self.rows, self.inputs, self.pixels, self.ones = rows, inputs.T, inputs[:-1].T, inputs[-1]
        self.raw = dense.view(self.x_dtype)[: n_in * rows].reshape(rows, n_in)
        self.pieces = self.layers[0].pieces = Pieces(rows, dense, self.scratch) if self.in_pieces else None
        for layer, row, node in zip(self.layers, self.net, self.nodes[1:], strict=True):
            layer.inputs, layer.inputs_t = inputs, inputs.T
            inputs[-1] = 1
            inputs = area(node[c.ACTIVATIONS_AT], row[c.N_OUT] + 1)
            layer.a = inputs[:-1]
            layer.masks = Masks(row[c.DROP], row[c.DROP_KEY], row[c.N_OUT], rows) if row[c.DROP] else None

    def read(self, x: Rows, rows: Ints | slice) -> None:
        """Some rows of x as the inputs of the first layer."""
        n = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        if n != self.rows:
            self.lay_out(n)
        if isinstance(x, SparseRows):
            if self.pieces is not None:
                self.pieces.read(x, rows)
            else:
                unpack(x, rows, self.pixels)
            return
        self.pixels[...] = x[rows] if isinstance(rows, slice) else x.take(rows, 0, self.raw, "clip")
        if self.byte is not None:  # all of a contiguous array: three times as fast as its columns but one
            np.multiply(self.inputs, self.byte, self.inputs)
            self.ones[...] = 1


# -- the contract -----------------------------------------------------------------------------------------------------


def predict(net: Ints, params: Floats, x: Rows, out: Floats, work: Floats) -> None:
    plan = c.plan(net, len(x), 0, params.itemsize, sparse=isinstance(x, SparseRows))
    _outputs(Workspace(net, params, work, plan, x.dtype, isinstance(x, SparseRows)), plan.rows, x, out)


def predictor(net: Ints, params: Floats, rows: int, x_dtype: np.dtype[Any], work: Floats) -> Predictor:
    plan = c.plan(net, rows, 0, params.itemsize)
    space = Workspace(net, params, work, plan, x_dtype, sparse=False)
    return lambda x, out: _outputs(space, plan.rows, x, out)


def _outputs(space: Workspace, most: int, x: Rows, out: Floats) -> None:
    with np.errstate(all="ignore"):
        for start in range(0, len(x), most):
            block = slice(start, min(start + most, len(x)))
            space.read(x, block)
            out[block] = forward(space.layers, np.empty((space.sizes[-1], space.rows), out.dtype)).T


def gradient(net: Ints, params: Floats, x: Rows, y: NDArray[np.generic], grad: Floats, work: Floats) -> float:
    plan = c.plan(net, len(x), 0, params.itemsize, sparse=isinstance(x, SparseRows))
    space = Workspace(net, params, work, plan, x.dtype, isinstance(x, SparseRows))
    pair = formulas.PAIRS[net[-1, c.ACTIVATION], net[-1, c.COST]]
    cost = 0.0
    with np.errstate(all="ignore"):
        for start in range(0, len(x), plan.rows):
            block = slice(start, min(start + plan.rows, len(x)))
            space.read(x, block)
            z, target = np.empty((2, space.sizes[-1], space.rows), work.dtype)
            a = forward(space.layers, z)
            formulas.targets(y[block], target)
            cost += pair.cost(z, a, target)
            backward(space.layers, pair.delta(a, target) * (1 / len(x)), adding=start > 0)
    space.unpack(space.gradient, grad)
    return cost / len(x)


WINDOW = 1024  # examples whose targets are made together, and whose classes are counted together


class Window(NamedTuple):
    """A part of an order: some whole batches of one block each, or one block of a larger batch."""

    part: slice
    rows: int  # of a block
    batch: int  # rows of a batch
    place: int  # of a block's first row in its batch


def windows(n: int, batch_size: int, most: int) -> Iterator[Window]:
    """The windows of an order of n rows; a block has at most so many rows."""
    if batch_size > most:
        for start in range(0, n, batch_size):
            batch = min(batch_size, n - start)
            for place in range(0, batch, most):
                rows = min(most, batch - place)
                yield Window(slice(start + place, start + place + rows), rows, batch, place)
        return
    whole, together = n // batch_size * batch_size, max(1, WINDOW // batch_size) * batch_size
    for first in range(0, whole, together):
        yield Window(slice(first, min(first + together, whole)), batch_size, batch_size, 0)
    if whole < n:  # the last batch is smaller
        yield Window(slice(whole, n), n - whole, n - whole, 0)


def train(call: TrainCall) -> float:
    net, x, rate, optimizer = call.net, call.x, call.rates.tolist(), call.optimizer.tolist()
    plan = c.plan(net, call.batch_size, len(call.state), call.params.itemsize, sparse=isinstance(x, SparseRows))
    space = Workspace(net, call.params, call.work, plan, x.dtype, isinstance(x, SparseRows), len(call.state))
    for row, packed in zip(call.state, space.state, strict=True):
        space.pack(row, packed)
    pair = formulas.PAIRS[net[-1, c.ACTIVATION], net[-1, c.COST]]
    layers, drops, progress = space.layers, bool(net[:, c.DROP].any()), call.progress
    # The rate of plain gradient descent is multiplied into the deltas, which are fewer than the parameters.
    is_plain = optimizer[c.KIND] == c.GRADIENT_DESCENT and not (optimizer[c.CLIP_NORM] or optimizer[c.WEIGHT_DECAY])
    scale = np.empty((), space.work.dtype)
    total, steps, correct = 0.0, 0, 0
    cost, right, going = 0.0, 0, True  # of the batch under way
    with np.errstate(all="ignore"):
        for part, rows, batch, place in windows(len(call.order), call.batch_size, plan.rows):
            chosen = call.order[part].reshape(-1, rows)
            shape = len(chosen), space.sizes[-1], rows
            targets, sums = formulas.targets(call.y[chosen], np.empty(shape, scale.dtype)), np.empty(shape, scale.dtype)
            opens, closes, done = place == 0, place + rows == batch, 0
            for numbers, target, z in zip(chosen, targets, sums, strict=True):
                if progress[c.STOP]:
                    going = False
                    break
                space.read(x, numbers)
                left = len(rate) - steps if opens and closes else 1
                a = forward(layers, z, Moment(call.step + steps + 1, place, left) if drops else None)
                cost = pair.cost(z, a, target) + (0.0 if opens else cost)
                if not math.isfinite(cost):
                    going = False
                    break
                done += 1
                scale[()] = (rate[steps] if is_plain else 1) / batch
                backward(layers, pair.delta(a, target) * scale, adding=not opens)
                if closes:
                    if is_plain:
                        np.subtract(space.params, space.gradient, space.params)
                    else:
                        update(space, optimizer, rate[steps], call.step + steps + 1)
                    total, steps = total + cost, steps + 1
            right += formulas.count_correct(sums[:done], targets[:done])
            if closes and done:
                correct, right = correct + right, 0
            if not going:
                break
    space.unpack(space.params, call.params)
    for row, packed in zip(call.state, space.state, strict=True):
        space.unpack(packed, row)
    progress[c.STEPS], progress[c.CORRECT] = steps, correct
    return total
