"""The reference backend and the baseline: NumPy alone, written as well as NumPy allows.

Whole batches, features by examples, so that every product is one call of BLAS; the bias is a last column of
the packed weights, met by a row of ones; every buffer is a view of the workspace and every call has an `out`.
A pass over a block of rows is the same calls on the same buffers each time: it is recorded once as a list of them
and replayed, which costs less than the Python around the calls would.

It does not flush denormals, which no Python code can ask for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats, Ints, Plan, Predictor, Rows, SparseRows

MAX_THREADS = 1  # BLAS has threads of its own
COMPRESSION_PAYS = False  # sparse rows are unpacked again for BLAS, of many inputs piece by piece

Calls = list[tuple[Callable[..., Any], tuple[Any, ...]]]  # functions and their arguments, the last one the output


def _replay(calls: Calls) -> None:
    for function, arguments in calls:
        function(*arguments)


def _maximum(z: Floats, other: Any, out: Floats) -> None:
    np.maximum(z, other, out=out)  # the one ufunc that wants its output by name


# -- activations: in place on z, with a scratch t; the slope beside its function, in terms of the output a, into t ----


def _sigmoid(z: Floats, t: Floats) -> Calls:
    return [(np.negative, (z, z)), (np.exp, (z, z)), (np.add, (z, 1, z)), (np.reciprocal, (z, z))]


def _sigmoid_slope(a: Floats, t: Floats) -> Calls:
    return [(np.subtract, (1, a, t)), (np.multiply, (t, a, t))]


def _relu(z: Floats, t: Floats) -> Calls:
    return [(_maximum, (z, 0, z))]


def _relu_slope(a: Floats, t: Floats) -> Calls:
    return [(np.greater, (a, 0, t))]


def _tanh(z: Floats, t: Floats) -> Calls:
    return [(np.tanh, (z, z))]


def _tanh_slope(a: Floats, t: Floats) -> Calls:
    return [(np.multiply, (a, a, t)), (np.subtract, (1, t, t))]


def _leaky_relu(z: Floats, t: Floats) -> Calls:
    return [(np.multiply, (z, c.LEAKY_SLOPE, t)), (_maximum, (z, t, z))]


def _leaky_relu_slope(a: Floats, t: Floats) -> Calls:
    return [(np.greater, (a, 0, t)), (_maximum, (t, c.LEAKY_SLOPE, t))]


def _identity(z: Floats, t: Floats) -> Calls:
    return []


def _identity_slope(a: Floats, t: Floats) -> Calls:
    return [(np.ndarray.fill, (t, 1))]


def _softmax(z: Floats, t: Floats) -> Calls:
    row = t[0]
    return [
        (np.maximum.reduce, (z, 0, None, row)),
        (np.subtract, (z, row, z)),
        (np.exp, (z, z)),
        (np.add.reduce, (z, 0, None, row)),
        (np.divide, (z, row, z)),
    ]


Formula = Callable[[Floats, Floats], Calls]
_ACTIVATIONS: dict[int, tuple[Formula, Formula]] = {
    c.SIGMOID: (_sigmoid, _sigmoid_slope),
    c.RELU: (_relu, _relu_slope),
    c.TANH: (_tanh, _tanh_slope),
    c.LEAKY_RELU: (_leaky_relu, _leaky_relu_slope),
    c.IDENTITY: (_identity, _identity_slope),
    c.SOFTMAX: (_softmax, _identity_slope),  # its costs have its slope in them
}

# -- dropout -------------------------------------------------------------------------------------------------

_COUNTERS = 8192  # whose random numbers are made together: their arrays stay in the cache
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_MULTIPLIERS = np.array(c.PHILOX_MULTIPLIERS, np.uint64)[:, None, None, None]
_STEPS = np.array(c.PHILOX_STEPS, np.uint64)[:, None, None, None]


class _Drop:
    """Which activations of one layer are kept, for blocks of so many rows; in small layers for some updates at once."""

    def __init__(self, drop: int, key: int, neurons: int, rows: int) -> None:
        self.threshold = np.uint64(drop)
        self.groups, self.rows = np.arange(-(-neurons // 4), dtype=np.uint64)[:, None], np.arange(rows, dtype=np.uint64)
        self.key = np.array([key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF], np.uint64)[:, None, None, None]
        self.number = self.place = 0  # the update and the place of a block's first row that `kept` begins with
        self.kept = np.empty((0, len(self.groups), 4, rows), np.bool_)

    def scale(self, counter: list[int], factors: Floats) -> None:
        """factors (neurons in fours, rows) = 0 where a neuron is dropped, else the scale."""
        number, place, left = counter  # the update, the block's first row in its batch, the updates left like this one
        if place != self.place or not self.number <= number < self.number + len(self.kept):
            self._draw(number, place, min(left, max(1, _COUNTERS // (self.groups.size * self.rows.size))))
        scale = factors.dtype.type(c.drop_scale(int(self.threshold)))
        np.multiply(self.kept[number - self.number], scale, factors.reshape(self.kept.shape[1:]))

    def _draw(self, number: int, place: int, updates: int) -> None:
        """Philox4x32-10, as the contract says, of some updates; of wide layers in some pieces."""
        self.number, self.place = number, place
        self.kept = np.empty((updates, *self.kept.shape[1:]), np.bool_)
        numbers = np.arange(number, number + updates, dtype=np.uint64)[:, None, None]
        size = max(1, _COUNTERS // (updates * self.rows.size))
        for start in range(0, len(self.groups), size):
            kept, key = self.kept[:, start : start + size], self.key
            even = np.empty((2, updates, kept.shape[1], self.rows.size), np.uint64)  # numbers 0 and 2 of a counter
            odd, product = np.empty_like(even), np.empty_like(even)
            even[0], even[1] = self.groups[start : start + size], numbers & _LOW
            odd[0], odd[1] = self.rows + np.uint64(place), numbers >> _HALF
            for _ in range(c.PHILOX_ROUNDS):
                np.multiply(even, _MULTIPLIERS, product)
                np.right_shift(product[::-1], _HALF, even)
                np.bitwise_xor(even, odd, even)
                np.bitwise_xor(even, key, even)
                np.bitwise_and(product[::-1], _LOW, odd)
                key = key + _STEPS & _LOW
            for k, words in enumerate((even[0], odd[0], even[1], odd[1])):
                np.greater_equal(words, self.threshold, kept[:, :, k])


# -- costs ---------------------------------------------------------------------------------------------------


class _Output(NamedTuple):
    """The output layer's buffers, (n_out, rows) but for the last three, which are scalars (shape ())."""

    z: Floats  # weighted sums; used up
    a: Floats  # activations
    target: Floats
    delta: Floats  # out: scale * d cost / d z
    t: Floats  # scratch
    scale: Floats
    scale2: Floats  # twice the scale
    cost: Floats  # out: summed over the examples


def _squared_error(o: _Output, slope: Formula) -> Calls:
    """sum (a - target)^2, without a factor 1/2."""
    flat = o.delta.reshape(-1)
    return [
        (np.subtract, (o.a, o.target, o.delta)),
        (flat.dot, (flat, o.cost)),
        *slope(o.a, o.t),
        (np.multiply, (o.delta, o.t, o.delta)),
        (np.multiply, (o.delta, o.scale2, o.delta)),
    ]


def _squared_error_of_softmax(o: _Output, slope: Formula) -> Calls:
    """The same; but the softmax mixes its layer: d cost / d z_i = a_i (g_i - sum_j g_j a_j), g = 2 (a - target)."""
    flat, row = o.delta.reshape(-1), o.z[0]
    return [
        (np.subtract, (o.a, o.target, o.delta)),
        (flat.dot, (flat, o.cost)),
        (np.multiply, (o.delta, o.a, o.t)),
        (np.add.reduce, (o.t, 0, None, row)),
        (np.subtract, (o.delta, row, o.delta)),
        (np.multiply, (o.delta, o.a, o.delta)),
        (np.multiply, (o.delta, o.scale2, o.delta)),
    ]


def _cross_entropy_of_softmax(o: _Output, slope: Formula) -> Calls:
    """-sum target log a, from z, which is finite where a has rounded to 0; targets sum to 1."""
    row = o.t[0]
    return [
        (np.maximum.reduce, (o.z, 0, None, row)),
        (np.subtract, (o.z, row, o.z)),
        (np.exp, (o.z, o.delta)),
        (np.add.reduce, (o.delta, 0, None, row)),
        (np.log, (row, row)),
        (np.subtract, (row, o.z, o.z)),
        (o.target.reshape(-1).dot, (o.z.reshape(-1), o.cost)),
        (np.subtract, (o.a, o.target, o.delta)),
        (np.multiply, (o.delta, o.scale, o.delta)),
    ]


def _cross_entropy_of_sigmoid(o: _Output, slope: Formula) -> Calls:
    """-sum target log a + (1 - target) log(1 - a), from z: sum max(z, 0) - target z + log(1 + exp(-|z|))."""
    return [
        (np.multiply, (o.target, o.z, o.delta)),
        (np.abs, (o.z, o.t)),
        (_maximum, (o.z, 0, o.z)),
        (np.subtract, (o.z, o.delta, o.z)),
        (np.negative, (o.t, o.t)),
        (np.exp, (o.t, o.t)),
        (np.log1p, (o.t, o.t)),
        (np.add, (o.z, o.t, o.z)),
        (np.add.reduce, (o.z.reshape(-1), 0, None, o.cost)),
        (np.subtract, (o.a, o.target, o.delta)),
        (np.multiply, (o.delta, o.scale, o.delta)),
    ]


def _cost(activation: int, cost: int, o: _Output) -> Calls:
    """The calls of a pair; the pairs that are not defined are refused before they get here."""
    softmax = activation == c.SOFTMAX
    if cost == c.SQUARED_ERROR:
        formula = _squared_error_of_softmax if softmax else _squared_error
    else:
        formula = _cross_entropy_of_softmax if softmax else _cross_entropy_of_sigmoid
    return formula(o, _ACTIVATIONS[activation][1])


def _count_correct(sums: Floats, target: Floats) -> int:
    """Examples (n_out, rows) classified right: see the contract's rule of classes."""
    if len(sums) == 1:
        return int(np.count_nonzero((sums >= 0) == (target >= 0.5)))
    return int(np.count_nonzero(np.argmax(sums, 0) == np.argmax(target, 0)))


# Outputs whose cost is taken at a time: they stay in the cache, and OpenBLAS gives so few to one thread. On a busy
# machine its threads take 40 ms for the cost of 4,000 examples, which are 0.7 ms so.
_COST_NUMBERS = 1 << 13


def output_cost(activation: int, cost: int, z: Floats, y: NDArray[np.generic]) -> tuple[float, int]:
    """The summed cost, and how many are right, of weighted sums z (n, n_out) of an output layer.

    Every backend's costs outside of training are taken here, in float64.
    """
    rows = max(1, _COST_NUMBERS // z.shape[1])
    pieces = [_output_cost(activation, cost, z[k : k + rows], y[k : k + rows]) for k in range(0, len(z), rows)]
    return sum(piece for piece, _ in pieces), sum(right for _, right in pieces)


def _output_cost(activation: int, cost: int, z: Floats, y: NDArray[np.generic]) -> tuple[float, int]:
    z = np.array(z.T, np.float64, order="C")
    target = _fill_target(np.empty_like(z), np.arange(len(z))[:, None], y)
    o = _Output(z, z.copy(), target, np.empty_like(z), np.empty_like(z), np.ones(()), np.ones(()), np.empty(()))
    right = _count_correct(z, target)
    with np.errstate(all="ignore"):
        _replay(_ACTIVATIONS[activation][0](o.a, o.t))
        _replay(_cost(activation, cost, o))
        return float(o.cost), right


def _fill_target(target: Floats, classes: Ints, y: NDArray[np.generic]) -> Floats:
    """Labels (rows,) or targets (rows, n_out) as targets (n_out, rows), some rows at a time."""
    if y.ndim == 1:
        np.equal(y, classes, target)
    else:
        np.copyto(target, y.T)
    return target


# -- sparse rows ---------------------------------------------------------------------------------------------


def _entries(x: SparseRows, rows: Ints | slice) -> tuple[Ints, Ints]:
    """The entries of some rows of x: which of these rows each is in, and its place in x.values.

    What is allocated for sparse rows, here and below, grows with the entries of a block and the neurons they meet.
    """
    first, end = (
        (x.starts[rows], x.starts[rows.start + 1 : rows.stop + 1])
        if isinstance(rows, slice)
        else (x.starts[rows], x.starts[rows + 1])
    )
    counts = end - first
    before = np.cumsum(counts) - counts
    at = np.repeat(first - before, counts)
    at += np.arange(len(at))
    return np.repeat(np.arange(len(counts)), counts), at


def _scatter(x: SparseRows, rows: Ints | slice, pixels: Floats) -> None:
    """The entries of some rows of x into their places."""
    lines, at = _entries(x, rows)
    pixels[lines, x.indices[at]] = x.values[at]


class _SparseLayer:
    """The first layer on sparse rows of more than PIECE_INPUTS inputs, for a block of so many rows.

    Only inputs that a block has entries of are looked at. They become dense PIECE_INPUTS at a time, for BLAS.
    """

    def __init__(self, weights: Floats, grads: Floats, rows: int, dense: Floats, space: Floats) -> None:
        self.weights, self.grads = weights.T, grads.T  # (n_in + 1, n_out): an input's weights lie side by side
        self.rows, self.dense, self.space = rows, dense, space

    def read(self, x: SparseRows, rows: Ints | slice) -> None:
        """Takes the entries of these rows, by input."""
        lines, at = _entries(x, rows)
        columns = x.indices[at]
        # Numbers of 16 bits are sorted three times as fast.
        by_input = np.argsort(columns.astype(np.min_scalar_type(x.n_in), copy=False), kind="stable")
        columns, at = columns[by_input], at[by_input]
        self.lines, self.values = lines[by_input], x.values[at]
        self.starts = np.flatnonzero(np.diff(columns, prepend=-1, append=-1))  # of each input's entries, and their end
        self.inputs = columns[self.starts[:-1]]  # those with entries
        self.numbers = np.repeat(np.arange(len(self.inputs)), np.diff(self.starts))  # which of them an entry is of

    def _pieces(self) -> Iterator[tuple[NDArray[np.int32], Floats, Floats]]:
        """Some inputs, their values (rows, inputs), and space (inputs, n_out) for weights or a gradient."""
        for first in range(0, len(self.inputs), c.PIECE_INPUTS):
            inputs = self.inputs[first : first + c.PIECE_INPUTS]
            part = slice(self.starts[first], self.starts[first + len(inputs)])
            dense = self.dense[: self.rows * len(inputs)].reshape(self.rows, len(inputs))
            dense.fill(0)
            dense[self.lines[part], self.numbers[part] - first] = self.values[part]
            n_out = self.weights.shape[1]
            yield inputs, dense, self.space[: len(inputs) * n_out].reshape(len(inputs), n_out)

    def sums(self, z: Floats, t: Floats) -> None:
        """z (n_out, rows) = the weighted sums."""
        z[...] = self.weights[-1][:, None]
        for inputs, dense, weights in self._pieces():
            self.weights.take(inputs, 0, weights, "clip")
            weights.T.dot(dense.T, t)
            np.add(z, t, z)

    def add_gradient(self, delta: Floats) -> None:
        self.grads[-1] += delta.sum(1)
        for inputs, dense, gradient in self._pieces():
            dense.T.dot(delta.T, gradient)
            self.grads[inputs] += gradient


# -- one block of rows through the layers --------------------------------------------------------------------


class _Passes(NamedTuple):
    """The calls for a block of rows, and the buffers they leave off at."""

    inputs: Floats  # (rows, n_in + 1), the last column ones
    pixels: Floats  # (rows, n_in): without it
    raw: NDArray[np.generic]  # (rows, n_in) as x has them
    sparse: _SparseLayer | None  # which takes the place of those three; then the inputs are but the ones
    output: _Output
    forward: Calls  # up to the last layer's weighted sums, in the place of its activations
    activate: Calls  # which become the activations
    cost: Calls
    backward: Calls  # the block's gradient in the place of the packed one
    backward_adding: Calls  # the block's gradient added to it


class _Blocks:
    """The workspace, cut into views; the passes over a block are recorded once for each number of rows."""

    def __init__(
        self, net: Ints, work: Floats, p: Plan, x_dtype: np.dtype[Any], sparse: bool = False, training: bool = False
    ) -> None:
        self.drops = net[:, [c.DROP, c.DROP_KEY]].tolist() if training else [[0, 0]] * len(net)
        self.counter = [0, 0, 0]  # dropout's, see _Drop.scale
        self.net, self.work, self.plan = net, work, p
        self.sizes = [int(net[0, c.N_IN]), *(int(n) for n in net[:, c.N_OUT])]
        self.in_pieces = sparse and self.sizes[0] > c.PIECE_INPUTS
        self.bytes_to_inputs = None
        if x_dtype == np.uint8:
            self.bytes_to_inputs = np.full(self.sizes[0] + 1, 1 / 255, work.dtype)
            self.bytes_to_inputs[-1] = 1  # the row of ones
        self.classes = np.arange(self.sizes[-1])[:, None]
        self.n_params = int((net[:, c.N_OUT] * (net[:, c.N_IN] + 1)).sum())
        self.params, self.grad, self.scratch = (work[k * p.packed : k * p.packed + self.n_params] for k in range(3))
        self.weights, self.grads, self.products = map(self.matrices, (self.params, self.grad, self.scratch))
        self._passes: dict[int, _Passes] = {}

    def matrices(self, flat: Floats) -> list[Floats]:
        """Views of a packed vector: per layer (n_out, n_in + 1), the last column the biases.

        A _SparseLayer's lie transposed.
        """
        found, at = list[Floats](), 0
        for n_in, n_out in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            end = at + (n_in + 1) * n_out
            if self.in_pieces and not found:
                found.append(flat[at:end].reshape(n_in + 1, n_out).T)
            else:
                found.append(flat[at:end].reshape(n_out, n_in + 1))
            at = end
        return found

    def both(self, flat: Floats, packed: Floats) -> list[tuple[Floats, Floats]]:
        """Pairs of views of a parameter vector and of a packed one, layer by layer: the weights, the biases."""
        pairs = []
        for row, matrix in zip(self.net, self.matrices(packed), strict=True):
            n_out, n_in = matrix.shape
            w, b = int(row[c.WEIGHTS]), int(row[c.BIASES])
            pairs.append((flat[w : w + n_out * (n_in - 1)].reshape(n_out, n_in - 1), matrix[:, :-1]))
            pairs.append((flat[b : b + n_out], matrix[:, -1]))
        return pairs

    def pack(self, flat: Floats, packed: Floats) -> None:
        for source, target in self.both(flat, packed):
            target[...] = source

    def unpack(self, packed: Floats, flat: Floats) -> None:
        for target, source in self.both(flat, packed):
            target[...] = source

    def targets(self, y: NDArray[np.generic]) -> Floats:
        return _fill_target(np.empty((len(self.classes), len(y)), self.work.dtype), self.classes, y)

    def passes(self, rows: int) -> _Passes:
        if rows not in self._passes:
            self._passes = {rows: self._record(rows)}  # one at a time: the ones of another lie elsewhere
        return self._passes[rows]

    def _record(self, rows: int) -> _Passes:
        def area(at: int, height: int) -> Floats:
            return self.work[at : at + height * rows].reshape(height, rows)

        sizes, nodes, last = self.sizes, self.plan.nodes.tolist(), len(self.sizes) - 1
        held = 0 if self.in_pieces else sizes[0]
        inputs = area(nodes[0][c.ACTIVATIONS_AT], held + 1).reshape(rows, held + 1)
        inputs[:, -1] = 1
        raw: NDArray[np.generic] = area(nodes[0][c.SCRATCH_AT], held).reshape(rows, held)
        sparse = None
        if self.in_pieces:
            dense = area(nodes[0][c.SCRATCH_AT], c.PIECE_INPUTS).reshape(-1)
            sparse = _SparseLayer(self.weights[0], self.grads[0], rows, dense, self.scratch)
        if self.bytes_to_inputs is not None:
            raw = raw.reshape(-1).view(np.uint8)[: rows * sizes[0]].reshape(rows, sizes[0])
        biased = [
            inputs.T,
            *(area(node[c.ACTIVATIONS_AT], n + 1) for node, n in zip(nodes[1:], sizes[1:], strict=True)),
        ]
        for a in biased[1:]:
            a[-1] = 1
        delta, t = (
            [area(node[column], n) for node, n in zip(nodes, [held, *sizes[1:]], strict=True)]
            for column in (c.DELTAS_AT, c.SCRATCH_AT)
        )
        output = _Output(
            area(nodes[0][c.OUTPUTS_AT], sizes[-1]),
            biased[-1][:-1],
            area(nodes[0][c.OUTPUTS_AT] + rows * sizes[-1], sizes[-1]),
            delta[-1],
            t[-1],
            *(np.empty((), self.work.dtype) for _ in range(3)),
        )
        forward: Calls = []
        activate: Calls = []  # of the last layer
        backward: Calls = []
        adding: Calls = []
        for level in range(1, last + 1):
            z = biased[level][:-1]
            if sparse is not None and level == 1:
                forward.append((sparse.sums, (z, t[level])))
            else:
                forward.append((self.weights[level - 1].dot, (biased[level - 1], z)))  # quicker to call than np.dot
            if level == last and self.net[-1, c.COST] == c.CROSS_ENTROPY:  # taken from the sums
                activate.append((np.copyto, (output.z, z)))
            activation = _ACTIVATIONS[self.net[level - 1, c.ACTIVATION]][0](z, t[level])
            (activate if level == last else forward).extend(activation)
            dropped, key = self.drops[level - 1]
            if dropped:
                factors = area(nodes[level][c.DELTAS_AT], -(-sizes[level] // 4) * 4)  # the deltas come later
                drop = _Drop(dropped, key, sizes[level], rows)
                forward.append((drop.scale, (self.counter, factors)))
                forward += _ACTIVATIONS[self.net[level - 1, c.ACTIVATION]][1](z, t[level])
                forward.append((np.multiply, (t[level], factors[: sizes[level]], t[level])))
                forward.append((np.multiply, (z, factors[: sizes[level]], z)))
        for level in range(last, 0, -1):
            if sparse is not None and level == 1:
                backward += [(self.grads[0].fill, (0,)), (sparse.add_gradient, (delta[level],))]
                adding.append((sparse.add_gradient, (delta[level],)))
                continue
            below = biased[level - 1].T
            backward.append((delta[level].dot, (below, self.grads[level - 1])))
            adding.append((delta[level].dot, (below, self.products[level - 1])))
            adding.append((np.add, (self.grads[level - 1], self.products[level - 1], self.grads[level - 1])))
            if level > 1:
                slope = _ACTIVATIONS[self.net[level - 2, c.ACTIVATION]][1](biased[level - 1][:-1], t[level - 1])
                down: Calls = [
                    (self.weights[level - 1][:, :-1].T.dot, (delta[level], delta[level - 1])),
                    *(slope if not self.drops[level - 2][0] else ()),  # taken on the way up, of dropped neurons 0
                    (np.multiply, (delta[level - 1], t[level - 1], delta[level - 1])),
                ]
                backward += down
                adding += down
        cost = _cost(int(self.net[-1, c.ACTIVATION]), int(self.net[-1, c.COST]), output)
        return _Passes(inputs, inputs[:, :-1], raw, sparse, output, forward, activate, cost, backward, adding)

    def sums(self, v: _Passes, x: Rows, rows: Ints | slice) -> None:
        """Rows of x into the block's inputs, bytes scaled; then up to the last layer's weighted sums."""
        if isinstance(x, SparseRows):
            if v.sparse is not None:
                v.sparse.read(x, rows)
            else:
                v.pixels.fill(0)
                _scatter(x, rows, v.pixels)
        else:
            v.pixels[...] = x[rows] if isinstance(rows, slice) else x.take(rows, 0, v.raw, "clip")
        if self.bytes_to_inputs is not None:  # all of the contiguous buffer: quicker than its columns but one
            np.multiply(v.inputs, self.bytes_to_inputs, v.inputs)
        _replay(v.forward)

    def forward(self, v: _Passes, x: Rows, rows: Ints | slice) -> None:
        self.sums(v, x, rows)
        _replay(v.activate)

    def outputs(self, x: Rows, out: Floats) -> None:
        """The forward pass of all of x, with the packed parameters."""
        for start in range(0, len(x), self.plan.rows):
            block = slice(start, min(start + self.plan.rows, len(x)))
            v = self.passes(block.stop - start)
            self.forward(v, x, block)
            out[block] = v.output.a.T

    def cost(self, v: _Passes, target: Floats, scale: float) -> float:
        """The summed cost; the last layer's deltas, times scale."""
        v.output.target[...] = target
        v.output.scale[()], v.output.scale2[()] = scale, 2 * scale
        _replay(v.cost)
        return float(v.output.cost)


# -- optimisers: one step of the packed parameters -----------------------------------------------------------


def _update(b: _Blocks, state: list[Floats], optimizer: list[float], rate: float, count: int) -> None:
    """One step with the gradient in b.grad, which is used up; count is 1 at the first."""
    p, g, t = b.params, b.grad, b.scratch
    clip = optimizer[c.CLIP_NORM]
    if clip > 0:
        norm = math.sqrt(np.dot(g, g))
        if not math.isfinite(norm):  # its square is beyond float32
            norm = float(np.linalg.norm(g.astype(np.float64)))
        if norm > clip:
            np.multiply(g, clip / norm, g)
    if optimizer[c.WEIGHT_DECAY] > 0:
        for gradient, w, product in zip(b.grads, b.weights, b.products, strict=True):
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


# Labels become targets, and weighted sums classes, for a window of examples at a time.
_WINDOW = 1024


class _Cut(NamedTuple):
    """A block of rows of a batch."""

    first: int
    end: int
    batch: int  # the rows of its batch
    opens: bool  # whether it is the batch's first block
    closes: bool  # whether it is the last


@functools.lru_cache(maxsize=64)
def _cuts(rows: int, batch_size: int, block: int) -> tuple[_Cut, ...]:
    cuts = []
    for start in range(0, rows, batch_size):
        stop = min(start + batch_size, rows)
        for first in range(start, stop, block):
            end = min(first + block, stop)
            cuts.append(_Cut(first, end, stop - start, first == start, end == stop))
    return tuple(cuts)


def _windows(rows: int, batch_size: int, block: int) -> Iterator[tuple[int, tuple[_Cut, ...]]]:
    """The windows' starts, and their cuts, counted from there: whole batches, or a few blocks of a larger one."""
    if batch_size <= _WINDOW:
        window = _WINDOW // batch_size * batch_size
        for begin in range(0, rows, window):
            yield begin, _cuts(min(window, rows - begin), batch_size, block)
        return
    for start in range(0, rows, batch_size):
        cuts = _cuts(min(batch_size, rows - start), batch_size, block)
        for k in range(0, len(cuts), max(1, _WINDOW // block)):
            part = cuts[k : k + max(1, _WINDOW // block)]
            shift = part[0].first
            yield start + shift, tuple(cut._replace(first=cut.first - shift, end=cut.end - shift) for cut in part)


def _split(targets: Floats, cuts: tuple[_Cut, ...]) -> list[Floats]:
    """(n_out, rows) cut into blocks, each contiguous; all but the last of one size at one go."""
    size, rows = cuts[0].end, targets.shape[1]
    if any(cut.first != k * size for k, cut in enumerate(cuts)):
        return [np.ascontiguousarray(targets[:, cut.first : cut.end]) for cut in cuts]
    whole = rows // size * size
    blocks = list(np.ascontiguousarray(targets[:, :whole].reshape(len(targets), -1, size).transpose(1, 0, 2)))
    return blocks if whole == rows else [*blocks, np.ascontiguousarray(targets[:, whole:])]


# -- the contract --------------------------------------------------------------------------------------------


def predict(net: Ints, params: Floats, x: Rows, out: Floats, work: Floats) -> None:
    sparse = isinstance(x, SparseRows)
    b = _Blocks(net, work, c.plan(net, len(x), 0, params.itemsize, sparse=sparse), x.dtype, sparse)
    b.pack(params, b.params)
    with np.errstate(all="ignore"):
        b.outputs(x, out)


def predictor(net: Ints, params: Floats, rows: int, x_dtype: np.dtype[Any], work: Floats) -> Predictor:
    b = _Blocks(net, work, c.plan(net, rows, 0, params.itemsize), x_dtype)
    b.pack(params, b.params)

    def call(x: NDArray[Any], out: Floats) -> None:
        with np.errstate(all="ignore"):
            b.outputs(x, out)

    return call


def gradient(net: Ints, params: Floats, x: Rows, y: NDArray[np.generic], grad: Floats, work: Floats) -> float:
    sparse = isinstance(x, SparseRows)
    p = c.plan(net, len(x), 0, params.itemsize, sparse=sparse)
    b = _Blocks(net, work, p, x.dtype, sparse)
    b.pack(params, b.params)
    cost = 0.0
    with np.errstate(all="ignore"):
        for start in range(0, len(x), p.rows):
            block = slice(start, min(start + p.rows, len(x)))
            v = b.passes(block.stop - start)
            b.forward(v, x, block)
            cost += b.cost(v, b.targets(y[block]), 1 / len(x))
            _replay(v.backward_adding if start else v.backward)
    b.unpack(b.grad, grad)
    return cost / len(x)


def train(call: c.TrainCall) -> float:
    net, params, state, x, y, order, batch_size, rates, optimizer, step, progress, work, *_ = call
    sparse = isinstance(x, SparseRows)
    p = c.plan(net, batch_size, len(state), params.itemsize, sparse=sparse)
    b = _Blocks(net, work, p, x.dtype, sparse, training=True)
    b.pack(params, b.params)
    slots = [work[(3 + k) * p.packed :][: b.n_params] for k in range(len(state))]
    for source, slot in zip(state, slots, strict=True):
        b.pack(source, slot)
    options, rate = optimizer.tolist(), rates.tolist()  # Python floats: a NumPy one would widen float32 products
    # Plain gradient descent folds the rate into the deltas: one pass over the parameters less.
    folded = options[c.KIND] == c.GRADIENT_DESCENT and not options[c.CLIP_NORM] and not options[c.WEIGHT_DECAY]
    total, correct, steps, stopped = 0.0, 0, 0, False
    cost, scale, right = 0.0, 0.0, 0  # of the batch under way
    with np.errstate(all="ignore"):
        for begin, cuts in _windows(len(order), batch_size, p.rows):
            rows = order[begin : begin + cuts[-1].end]
            targets = b.targets(y[rows])
            sums = np.empty_like(targets)
            closed = seen = 0  # examples of whole batches, and of all blocks, of this window
            for (first, end, batch, opens, closes), target in zip(cuts, _split(targets, cuts), strict=True):
                if progress[c.STOP]:
                    stopped = True
                    break
                if opens:
                    cost, scale = 0.0, (-rate[steps] if folded else 1) / batch
                    b.counter[:] = step + steps + 1, 0, len(rates) - steps if batch_size <= p.rows else 1
                v = b.passes(end - first)
                b.sums(v, x, rows[first:end])
                sums[:, first:end] = v.output.a
                _replay(v.activate)
                cost += b.cost(v, target, scale)
                if not math.isfinite(cost):
                    stopped = True
                    break
                _replay(v.backward if opens else v.backward_adding)
                b.counter[1] += end - first
                seen = end
                if not closes:
                    continue
                if folded:
                    np.add(b.params, b.grad, b.params)
                else:
                    _update(b, slots, options, rate[steps], step + steps + 1)
                total, steps, closed = total + cost, steps + 1, end
            judged = closed or seen  # a window holds whole batches, or a part of one
            right += _count_correct(sums[:, :judged], targets[:, :judged]) if judged else 0
            if closed:
                correct, right = correct + right, 0
            if stopped:
                break
    b.unpack(b.params, params)
    for target, source in zip(state, slots, strict=True):
        b.unpack(source, target)
    progress[c.STEPS], progress[c.CORRECT] = steps, correct
    return total


def compress(x: NDArray[Any], starts: Ints, indices: NDArray[np.int32], values: NDArray[Any]) -> int:
    blocks = [slice(first, first + c.BLOCK_ROWS) for first in range(0, len(x), c.BLOCK_ROWS)]
    starts[0] = 0
    for block in blocks:
        np.count_nonzero(x[block], axis=1, keepdims=False).cumsum(out=starts[1:][block])
        starts[1:][block] += starts[block.start]
    scale = 1 / 255 if x.dtype == np.uint8 else 1
    for block in blocks if len(indices) else ():
        rows, columns = np.nonzero(x[block])
        at = slice(starts[block.start], starts[block.start] + len(rows))
        if at.stop > len(indices):  # another thread has changed x since it was counted
            return len(indices) + 1
        indices[at] = columns
        np.multiply(x[block][rows, columns], values.dtype.type(scale), values[at])
    return int(starts[-1])
