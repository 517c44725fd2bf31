"""Vector code of the Numba backend between flat and packed parameters. The Cython backend has few_rows.h.

In the flat parameters, a row has the weights of one neuron; in the packed parameters, a row has the weights of one
input. `few_tile` needs no packed weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir

from fastnet.kernels.numba_vectors import (
    I64,
    TILE_VECTORS,
    _cases,
    _kernel,
    _lane_sums,
    _Lanes,
    _loop,
    _shuffled,
    _sum,
    _turned,
    _Vector,
)

FEW_SUMS = 4 * TILE_VECTORS  # of a tile: as many sums as leave registers for the weights; whole vectors of them
TALLEST = TILE_VECTORS  # rows of the highest tile: it has four neurons
# The sizes of the tiles of deltas and of the gradient: rows or neurons, and vectors. Only one vector may be ragged.
FEW_SIZES = [(4, TILE_VECTORS), (1, TILE_VECTORS), (4, 1), (1, 1)]


def _squares(v: _Lanes, first: Any, last: Any, n: Any, square: Callable[[Any, Any], None]) -> None:
    """Call square(i, j) for the corners of squares of vectors: inputs i from `first` to `last`, neurons j below n."""

    def line(i: ir.Value, _: list[_Vector]) -> None:
        _loop(v.b, _vectors(v, n), lambda j, _: square(_sum(v.b, first, (i, v.n)), v.b.mul(j, I64(v.n))))

    _loop(v.b, _vectors(v, v.b.sub(last, first)), line)


def _vectors(v: _Lanes, n: ir.Value) -> ir.Value:
    """How many vectors n elements need."""
    return v.b.sdiv(_sum(v.b, n, v.n - 1), I64(v.n))


def _whole_or_part(v: _Lanes, rows: Any, columns: Any, body: Callable[[bool], None]) -> None:
    """Call body(True) for a square with at least a vector of rows and of columns, else body(False)."""
    b, n = v.b, I64(v.n)
    whole = b.and_(b.icmp_signed(">=", rows, n), b.icmp_signed(">=", columns, n))
    _cases(b, b.zext(whole, I64), {1: partial(body, True), 0: partial(body, False)})


def _columns_of(v: _Lanes, k: int, rows: Any, columns: Any) -> ir.Value:
    """The columns of row k of a square: none from `rows` on."""
    return v.b.select(v.b.icmp_signed("<", I64(k), rows), columns, I64(0))


@_kernel
def pack_weights(
    v: _Lanes, weights: Any, n_in: Any, n_out: Any, packed: Any, width: Any, first: Any, last: Any
) -> None:
    """packed[first:last][width] = the transpose of weights[n_out][n_in].

    `first` and `last` are whole vectors of inputs. Inputs from n_in on and neurons from n_out on become zero.
    """

    def square(i: ir.Value, j: ir.Value) -> None:
        source, target = v.pointer(weights, (j, n_in), i), v.pointer(packed, (i, width), j)
        rows, columns = v.b.sub(n_out, j), v.b.sub(n_in, i)

        def copy(whole: bool) -> None:
            if whole:
                lines = [v.load(source, (n_in, k)) for k in range(v.n)]
            else:
                lines = [v.load_some(v.below(_columns_of(v, k, rows, columns)), source, (n_in, k)) for k in range(v.n)]
            for k, line in enumerate(_turned(v, [line.value for line in lines])):
                v.store(_Vector(v, line), target, (width, k))

        _whole_or_part(v, rows, columns, copy)

    _squares(v, first, last, width, square)


@_kernel
def unpack_weights(
    v: _Lanes, packed: Any, width: Any, n_in: Any, n_out: Any, weights: Any, first: Any, last: Any
) -> None:
    """The reverse: weights[n_out][first:last] = the transpose of packed[first:last][width], without the padding."""

    def square(i: ir.Value, j: ir.Value) -> None:
        source, target = v.pointer(packed, (i, width), j), v.pointer(weights, (j, n_in), i)
        rows, columns = v.b.sub(n_out, j), v.b.sub(n_in, i)

        def copy(whole: bool) -> None:
            for k, line in enumerate(_turned(v, [v.load(source, (width, k)).value for k in range(v.n)])):
                if whole:
                    v.store(_Vector(v, line), target, (n_in, k))
                else:
                    v.store_some(_Vector(v, line), v.below(_columns_of(v, k, rows, columns)), target, (n_in, k))

        _whole_or_part(v, rows, columns, copy)

    _squares(v, first, last, n_out, square)


@_kernel
def few_tile(
    v: _Lanes, height: Any, x: Any, ldx: Any, rows: Any, n: Any, w: Any, neurons: Any, biases: Any, sums: Any, lds: Any
) -> None:
    """sums[rows][neurons] = x . w^T + biases, for at most `height` rows and FEW_SUMS / height neurons.

    Each sum has a vector of its own along the inputs. A tile with fewer rows or neurons computes the last ones again.
    The rows of x are padded with zeros to whole vectors.
    """
    b, whole = v.b, v.b.udiv(n, I64(v.n))
    rest, done = b.urem(n, I64(v.n)), b.mul(whole, I64(v.n))

    def number(k: int, limit: ir.Value) -> ir.Value:
        return b.select(b.icmp_signed("<", I64(k), limit), I64(k), b.sub(limit, I64(1)))

    def tile(r_count: int) -> None:
        j_count = FEW_SUMS // r_count
        lines = [v.pointer(w, (number(j, neurons), n)) for j in range(j_count)]
        inputs = [v.pointer(x, (number(r, rows), ldx)) for r in range(r_count)]

        def added(acc: list[_Vector], at: ir.Value, load: Callable[[ir.Value], _Vector]) -> list[_Vector]:
            x_vectors, acc = [v.load(line, at) for line in inputs], list(acc)
            for j, line in enumerate(lines):
                weights = load(line)
                for r in range(r_count):
                    acc[r * j_count + j] = v.fma(x_vectors[r], weights, acc[r * j_count + j])
            return acc

        def vector(k: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            at = b.mul(k, I64(v.n))
            return added(acc, at, lambda line: v.load(line, at))

        def last(_: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            return added(acc, done, lambda line: v.load_some(v.below(rest), line, done))

        acc = _loop(b, whole, vector, [v.splat(0)] * FEW_SUMS)
        acc = _loop(b, b.select(b.icmp_signed(">", rest, I64(0)), I64(1), I64(0)), last, acc)
        totals = [_lane_sums(v, acc[k : k + v.n]).value for k in range(0, FEW_SUMS, v.n)]
        for r in range(r_count):
            with b.if_then(b.icmp_signed("<", I64(r), rows)):
                for j in range(0, j_count, v.n):
                    group = min(v.n, j_count - j)
                    first = r * j_count + j
                    lanes = [(first % v.n + k) % v.n for k in range(v.n)]
                    some = _shuffled(b, totals[first // v.n], totals[first // v.n], lanes)
                    count = b.select(b.icmp_signed("<", neurons, I64(j + group)), b.sub(neurons, I64(j)), I64(group))
                    start = v.load_some(v.below(count), biases, j)
                    v.store_some(_Vector(v, some) + start, v.below(count), sums, (lds, r), j)

    heights = sorted({1, 2, TALLEST})
    _cases(b, height, {r: partial(tile, r) for r in heights})


@_kernel
def few_deltas(
    v: _Lanes, height: Any, vectors: Any, deltas: Any, ldd: Any, n: Any, w: Any, ldw: Any, used: Any, out: Any,
    ldo: Any,
) -> None:  # fmt: skip
    """out[height][vectors] = deltas[height][n] . w[n][vectors]. A single vector of w has `used` elements."""

    def tile(r_count: int, v_count: int) -> None:
        places = [(r, k) for r in range(r_count) for k in range(v_count)]

        def neuron(j: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            if v_count == 1:
                weights = [v.load_some(v.below(used), w, (j, ldw))]
            else:
                weights = [v.load(w, (j, ldw), k * v.n) for k in range(v_count)]
            factors = [v.splat_at(deltas, (ldd, r), j) for r in range(r_count)]
            return [v.fma(factors[r], weights[k], a) for (r, k), a in zip(places, acc, strict=True)]

        for a, (r, k) in zip(_loop(v.b, n, neuron, [v.splat(0)] * len(places)), places, strict=True):
            v.store(a, out, (ldo, r), k * v.n)

    _cases(v.b, _sum(v.b, (height, 8), vectors), {r * 8 + k: partial(tile, r, k) for r, k in FEW_SIZES})


@_kernel
def few_gradient(
    v: _Lanes, neurons: Any, vectors: Any, x: Any, ldx: Any, rows: Any, deltas: Any, ldd: Any, used: Any, out: Any,
    ldo: Any,
) -> None:  # fmt: skip
    """out[neurons][vectors] = deltas[rows][neurons]^T . x[rows][vectors]. One vector of out has `used` elements."""

    def tile(j_count: int, v_count: int) -> None:
        places = [(j, k) for j in range(j_count) for k in range(v_count)]

        def row(r: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            inputs = [v.load(x, (r, ldx), k * v.n) for k in range(v_count)]
            factors = [v.splat_at(deltas, (r, ldd), j) for j in range(j_count)]
            return [v.fma(factors[j], inputs[k], a) for (j, k), a in zip(places, acc, strict=True)]

        for a, (j, k) in zip(_loop(v.b, rows, row, [v.splat(0)] * len(places)), places, strict=True):
            if v_count == 1:
                v.store_some(a, v.below(used), out, (ldo, j))
            else:
                v.store(a, out, (ldo, j), k * v.n)

    _cases(v.b, _sum(v.b, (neurons, 8), vectors), {j * 8 + k: partial(tile, j, k) for j, k in FEW_SIZES})
