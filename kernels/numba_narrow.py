"""The vector code of the Numba backend for small dense layers: the rows of a batch lie along the lanes.

The Cython backend has narrow.h, which explains columns, groups and tiles. numba_backend.py has the loops over layers.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types

from fastnet.kernels import contract as c
from fastnet.kernels.numba_vectors import (
    DERIVATIVE,
    GAIN,
    HIGH,
    I8,
    I32,
    I64,
    LOW,
    REST,
    VECTOR_BYTES,
    _cases,
    _chosen,
    _kernel,
    _lane_sums,
    _Lanes,
    _loop,
    _Mask,
    _random_words,
    _shuffled,
    _spread,
    _sum,
    _turned,
    _Vector,
)

COLUMN_TILE = 4  # a tile has up to COLUMN_TILE columns and up to COLUMN_GROUPS groups of rows
COLUMN_GROUPS = 4 if VECTOR_BYTES == 64 else 2
# What the cost of a row is computed from: its errors, or its weighted sums by one of three formulas.
FROM_ERRORS, SOFTMAX_SUMS, SIGMOID_SUMS, POISSON_SUMS = range(4)


def _least(b: ir.IRBuilder, one: Any, other: Any) -> ir.Value:
    one, other = (I64(x) if isinstance(x, int) else x for x in (one, other))
    return b.select(b.icmp_signed("<", one, other), one, other)


def _tiles(b: ir.IRBuilder, n: ir.Value, size: int) -> ir.Value:
    return b.udiv(_sum(b, n, size - 1), I64(size))


@_kernel
def turn_rows(v: _Lanes, x: Any, scale: Any, n: Any, order: Any, count: Any, out: Any, ld: Any) -> None:
    """Write rows order[0] to order[count - 1] of x (rows, n) as columns. The other lanes repeat the last row.

    x has numbers of the dtype, or bytes. A byte b becomes b * scale.
    """
    b, last = v.b, v.b.sub(count, I64(1))
    rows = [v.pointer(x, (b.load(v.pointer(order, _least(b, k, last))), n)) for k in range(v.n)]
    factor = v.splat(v.narrow(scale))

    def part(i: ir.Value, _: list[Any]) -> None:
        first = b.mul(i, I64(v.n))
        used = v.below(b.sub(n, first))
        if x.type.pointee == I8:
            kind = ir.VectorType(I8, v.n)
            places = [b.bitcast(v.pointer(row, first), kind.as_pointer()) for row in rows]
            lines = [b.uitofp(v.masked_load(place, used.value, 1), v.type) for place in places]
            lines = [(_Vector(v, line) * factor).value for line in lines]
        else:
            lines = [v.load_some(used, row, first).value for row in rows]
        # From the last column to the first: a column from n on goes to column n - 1, which is then written again.
        for k, line in reversed(list(enumerate(_turned(v, lines)))):
            column = _least(b, b.add(first, I64(k)), b.sub(n, I64(1)))
            v.store(_Vector(v, line), out, (column, ld))

    _loop(b, _tiles(b, n, v.n), part)


@_kernel
def narrow_product(
    v: _Lanes, w: Any, ldj: Any, ldi: Any, n: Any, columns: Any, from_start: Any, start: Any, x: Any, out: Any, ld: Any,
    groups: Any,
) -> None:  # fmt: skip
    """out[columns][groups] = s + w x, where w has its number (j, i) at w[j * ldj + i * ldi], and x has n columns.

    s is start[columns], or 0 if from_start is 0. There are at most COLUMN_GROUPS groups.
    """
    b, begin = v.b, v.b.icmp_signed("!=", from_start, I64(0))

    def tile(first: ir.Value, j_count: int, g_count: int) -> None:
        lines = [v.pointer(w, (first, ldj), (ldj, j)) for j in range(j_count)]
        places = [(j, g) for j in range(j_count) for g in range(g_count)]

        def term(i: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            inputs = [v.load(x, (i, ld), g * v.n) for g in range(g_count)]
            weights = [v.splat_at(line, (i, ldi)) for line in lines]
            return [v.fma(weights[j], inputs[g], a) for (j, g), a in zip(places, acc, strict=True)]

        starts = [b.select(begin, b.load(v.pointer(start, first, j)), v.scalar(0.0)) for j in range(j_count)]
        acc = _loop(b, n, term, [v.splat(starts[j]) for j, _ in places])
        for a, (j, g) in zip(acc, places, strict=True):
            v.store(a, out, (first, ld), (ld, j), g * v.n)

    def each(t: ir.Value, _: list[Any]) -> None:
        first = b.mul(t, I64(COLUMN_TILE))
        height = _least(b, b.sub(columns, first), COLUMN_TILE)
        sizes = [(j, g) for j in range(1, COLUMN_TILE + 1) for g in range(1, COLUMN_GROUPS + 1)]
        _cases(b, _sum(b, (height, 8), groups), {j * 8 + g: partial(tile, first, j, g) for j, g in sizes})

    _loop(b, _tiles(b, columns, COLUMN_TILE), each)


@_kernel
def narrow_gradient(
    v: _Lanes, delta: Any, neurons: Any, x: Any, n: Any, ld: Any, groups: Any, add: Any, grad: Any
) -> None:
    """grad[neurons][n] = the sum over the rows of delta x. With `add`, the sum is added to grad."""
    b, adding, last = v.b, v.b.icmp_signed("!=", add, I64(0)), v.b.sub(n, I64(1))

    def tile(first: ir.Value, start: ir.Value, j_count: int) -> None:
        deltas = [v.pointer(delta, (first, ld), (ld, j)) for j in range(j_count)]
        inputs = [v.pointer(x, (_least(b, b.add(start, I64(i)), last), ld)) for i in range(COLUMN_TILE)]

        def group(g: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            xs = [v.load(column, (g, v.n)) for column in inputs]
            ds = [v.load(column, (g, v.n)) for column in deltas]
            return [v.fma(ds[k // COLUMN_TILE], xs[k % COLUMN_TILE], a) for k, a in enumerate(acc)]

        acc = _loop(b, groups, group, [v.splat(0)] * (j_count * COLUMN_TILE))
        sums = [_lane_sums(v, acc[k : k + v.n]).value for k in range(0, len(acc), v.n)]
        four = v.part(COLUMN_TILE)
        for j in range(j_count):
            part, at = divmod(j * COLUMN_TILE, v.n)
            total = _Vector(four, _shuffled(b, sums[part], sums[part], range(at, at + COLUMN_TILE)))
            _add_or_store(adding, total, b.sub(n, start), grad, (first, n), (n, j), start)

    def neuron_tile(t: ir.Value, _: list[Any]) -> None:
        first = b.mul(t, I64(COLUMN_TILE))
        height = _least(b, b.sub(neurons, first), COLUMN_TILE)

        def input_tile(s: ir.Value, _: list[Any]) -> None:
            start = b.mul(s, I64(COLUMN_TILE))
            _cases(b, height, {j: partial(tile, first, start, j) for j in range(1, COLUMN_TILE + 1)})

        _loop(b, _tiles(b, n, COLUMN_TILE), input_tile)

    _loop(b, _tiles(b, neurons, COLUMN_TILE), neuron_tile)


@_kernel
def narrow_biases(v: _Lanes, delta: Any, neurons: Any, ld: Any, groups: Any, add: Any, grad: Any) -> None:
    """grad[neurons] = the sum over the rows of delta. With `add`, the sum is added to grad."""
    b, adding, last = v.b, v.b.icmp_signed("!=", add, I64(0)), v.b.sub(neurons, I64(1))
    four, lanes = v.part(COLUMN_TILE), range(COLUMN_TILE)

    def tile(t: ir.Value, _: list[Any]) -> None:
        first = b.mul(t, I64(COLUMN_TILE))
        columns = [v.pointer(delta, (_least(b, b.add(first, I64(k)), last), ld)) for k in lanes]

        def group(g: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            return [a + v.load(column, (g, v.n)) for column, a in zip(columns, acc, strict=True)]

        sums = _lane_sums(v, _loop(b, groups, group, [v.splat(0)] * COLUMN_TILE)).value
        _add_or_store(adding, _Vector(four, _shuffled(b, sums, sums, lanes)), b.sub(neurons, first), grad, first)

    _loop(b, _tiles(b, neurons, COLUMN_TILE), tile)


def _add_or_store(adding: ir.Value, total: _Vector, n: ir.Value, place: ir.Value, *at: Any) -> None:
    """Store the first n lanes, or add them to what is stored."""
    v, used = total.lanes, total.lanes.below(n)
    old = v.load_some(_Mask(v, v.b.select(adding, used.value, ir.Constant(used.value.type, None))), place, *at)
    v.store_some(total + old, used, place, *at)


@_kernel
def copy_some(v: _Lanes, source: Any, target: Any, n: Any) -> None:
    """target[n] = source[n], for n at most the number of lanes."""
    used = v.below(n)
    v.store_some(v.load_some(used, source), used, target)


@partial(_kernel, returns=types.float64)
def narrow_squares(v: _Lanes, g: Any, n: Any) -> Any:
    """The sum of the squares of g[n], in float64, for any n."""

    def part(t: ir.Value, total: list[ir.Value]) -> list[ir.Value]:
        first = v.b.mul(t, I64(v.n))
        x = v.wide(v.load_some(v.below(v.b.sub(n, first)), g, first))
        return [v.b.fadd(total[0], v.b.fmul(x, x, flags=("contract",)))]

    zero = ir.Constant(ir.VectorType(ir.DoubleType(), v.n), None)
    return v.total(_loop(v.b, _tiles(v.b, n, v.n), part, [zero])[0])


@_kernel
def narrow_dropout(
    v: _Lanes, activation: Any, drop: Any, key: Any, update: Any, row: Any, scale: Any, n: Any, ld: Any, groups: Any,
    a: Any, derivatives: Any,
) -> None:  # fmt: skip
    """apply_dropout for n columns, from row number `row` of the batch on."""
    b = v.b
    threshold, factor = _spread(b, b.trunc(drop, I32), v.n), v.splat(v.narrow(scale))
    wide = ir.VectorType(I64, v.n)
    lanes = ir.Constant(wide, list(range(v.n)))

    def four(t: ir.Value, _: list[Any]) -> None:
        def group(g: ir.Value, _: list[Any]) -> None:
            rows = b.add(_spread(b, _sum(b, row, (g, v.n)), v.n), lanes)
            for q, words in enumerate(_random_words(b, _spread(b, t, v.n), rows, key, update)):
                column = _sum(b, (t, 4), q)
                with b.if_then(b.icmp_signed("<", column, n)):
                    kept = _Mask(v, b.icmp_unsigned(">=", words, threshold)).select(factor, v.splat(0))
                    at = (column, ld), (g, v.n)
                    x = v.load(a, *at)
                    v.store(kept * _chosen(v, DERIVATIVE, activation, x, v.splat(1)), derivatives, *at)
                    v.store(kept * x, a, *at)

        _loop(b, groups, group)

    _loop(b, _tiles(b, n, 4), four)


@_kernel
def narrow_softmax(v: _Lanes, z: Any, a: Any, n: Any, ld: Any, groups: Any) -> None:
    """a = softmax(z) over n columns."""

    def group(g: ir.Value, _: list[Any]) -> None:
        at = v.b.mul(g, I64(v.n))

        def highest(k: ir.Value, best: list[_Vector]) -> list[_Vector]:
            x = v.load(z, (k, ld), at)
            return [(x > best[0]).select(x, best[0])]

        def power(k: ir.Value, total: list[_Vector]) -> list[_Vector]:
            e = v.exp(v.load(z, (k, ld), at) - best)
            v.store(e, a, (k, ld), at)
            return [total[0] + e]

        def divide(k: ir.Value, _: list[Any]) -> None:
            v.store(v.load(a, (k, ld), at) * share, a, (k, ld), at)

        best = _loop(v.b, n, highest, [v.load(z, at)])[0]
        share = 1 / _loop(v.b, n, power, [v.splat(0)])[0]
        _loop(v.b, n, divide)

    _loop(v.b, groups, group)


def _log(v: _Lanes, x: _Vector) -> _Vector:
    """log(x) for positive x that are not subnormal; a NaN stays NaN.

    x = 2^n m with m between sqrt(1/2) and sqrt(2), and log(m) = 2 atanh(s) with s = (m - 1) / (m + 1), |s| < 0.172.
    The series of atanh has as many terms as the rounding error needs.
    """
    b, terms = v.b, 11 if v.mantissa == 52 else 5
    shift = ir.Constant(v.ints, [v.mantissa] * v.n)
    root = b.bitcast(v.splat(math.sqrt(0.5)).value, v.ints)
    bits = b.bitcast(x.value, v.ints)
    exponent = b.ashr(b.sub(bits, root), shift)
    m = _Vector(v, b.bitcast(b.sub(bits, b.shl(exponent, shift)), v.type))
    n = _Vector(v, b.sitofp(exponent, v.type))
    f = m - 1
    s = f / (f + 2)
    square, p = s * s, v.splat(2 / (2 * terms + 1))
    for k in range(terms - 1, 0, -1):
        p = v.fma(p, square, v.splat(2 / (2 * k + 1)))
    rest = s * (f - square * p)  # log(m) = f - rest, and f is exact
    found = n * v.ln2[0] + (f - (rest - n * v.ln2[1]))
    return _Mask(v, b.fcmp_ordered("==", x.value, x.value)).select(found, x)


@_kernel
def narrow_output(
    v: _Lanes, kind: Any, activation: Any, mixing: Any, task: Any, n: Any, rows: Any, groups: Any, limit: Any,
    labelled: Any, weights: Any, sums: Any, labels: Any, factors: Any, z: Any, a: Any, delta: Any, ld: Any,
    numbers: Any,
) -> None:  # fmt: skip
    """Set the deltas of the output layer, and the sums of cost, score and right labels in sums[0] to sums[2].

    `kind` says how the cost is computed. With `mixing`, the derivative of a softmax is applied. `labels`, `factors` and
    `weights` have a number for each row: its class, the scale of its deltas and its weight. Without labels, delta holds
    the targets on entry. `limit` is the largest cross entropy of an output; `numbers` are those of `output_error`.
    """
    b = v.b
    double = ir.VectorType(ir.DoubleType(), v.n)
    with_labels, mixed, logs = (b.icmp_signed("!=", x, I64(0)) for x in (labelled, mixing, kind))
    multilabel = b.icmp_signed("==", task, I64(c.MULTILABEL))
    regression = b.icmp_signed("==", task, I64(c.REGRESSION))
    by_labels = b.or_(multilabel, b.icmp_signed("==", n, I64(1)))
    gain, low, high, rest = (v.splat_at(numbers, k) for k in (GAIN, LOW, HIGH, REST))
    most_cost, zero, one, half = v.splat(v.narrow(limit)), v.splat(0), v.splat(1), v.splat(0.5)

    def real(k: ir.Value) -> _Vector:
        return v.splat(b.sitofp(k, v.scalar))

    def equal(x: _Vector, y: _Vector) -> _Mask:
        return _Mask(v, b.fcmp_ordered("==", x.value, y.value))

    def whether(flag: ir.Value, yes: _Vector, no: _Vector) -> _Vector:
        return _Vector(v, b.select(flag, yes.value, no.value))

    def at_most(x: _Vector, limit: _Vector) -> _Vector:
        return (x > limit).select(limit, x)

    def at_least_zero(x: _Vector) -> _Vector:
        return (x < 0).select(zero, x)

    def group(g: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
        at = b.mul(g, I64(v.n))
        live = v.below(b.sub(rows, at))  # lanes that hold a row of their own
        label, factor = v.load(labels, at), v.load(factors, at)

        def target(k: ir.Value) -> _Vector:
            return whether(with_labels, equal(label, real(k)).select(one, zero), v.load(delta, (k, ld), at))

        def compare(k: ir.Value, found: list[_Vector]) -> list[_Vector]:
            best, chosen, most, wanted, right, share = found
            sum_, t, output = v.load(z, (k, ld), at), target(k), v.load(a, (k, ld), at)
            number, higher, larger = real(k), sum_ > best, t > most
            agree = b.icmp_unsigned(
                "==", b.fcmp_ordered(">=", sum_.value, zero.value), b.fcmp_ordered(">=", t.value, half.value)
            )
            return [
                higher.select(sum_, best), higher.select(number, chosen), larger.select(t, most),
                larger.select(number, wanted), right + _Mask(v, agree).select(one, zero),
                (output > share).select(output, share),
            ]  # fmt: skip

        start = [v.load(z, at), zero, target(I64(0)), zero, zero, v.load(a, at)]
        best, chosen, _, wanted, right, share = _loop(b, n, compare, start)
        score = whether(by_labels, equal(right, real(n)).select(one, zero), equal(chosen, wanted).select(one, zero))

        def summed(formula: Any) -> _Vector:
            def term(k: ir.Value, total: list[_Vector]) -> list[_Vector]:
                return [total[0] + formula(v.load(z, (k, ld), at), v.load(a, (k, ld), at), target(k))]

            total: _Vector = _loop(b, n, term, [zero])[0]
            return total

        def of_softmax() -> _Vector:  # log a = z - z_best + log a_best stays finite where a rounds to zero
            top = best - _log(v, share)
            return summed(lambda x, _, t: equal(t, zero).select(zero, t * at_most(top - x, most_cost)))

        def of_sigmoid() -> _Vector:
            def formula(x: _Vector, _: _Vector, t: _Vector) -> _Vector:
                e = v.exp((x < 0).select(x, 0 - x))
                u = e + 1
                soft = _log(v, u) + (e - (u - 1)) / u  # log(1 + e)
                wrong = at_most(at_least_zero(0 - x) + soft, most_cost), at_most(at_least_zero(x) + soft, most_cost)
                return t * wrong[0] + (1 - t) * wrong[1]

            return summed(formula)

        def of_poisson() -> _Vector:
            def formula(x: _Vector, output: _Vector, t: _Vector) -> _Vector:
                log = _log(v, (t > 0).select(t, one))
                return output - t + (t > 0).select(t * (log - x), zero)

            return summed(formula)

        formulas = {SOFTMAX_SUMS: of_softmax, SIGMOID_SUMS: of_sigmoid, POISSON_SUMS: of_poisson}
        log_cost = _cases(b, kind, formulas, zero)

        def error(k: ir.Value, found: list[_Vector]) -> list[_Vector]:
            cost, square, mean = found
            x = v.load(a, (k, ld), at)
            e = x - target(k)
            d = gain * e
            d = (d < low).select(low, d)
            d = (d > high).select(high, d)
            step = live.select(d * factor * _chosen(v, DERIVATIVE, activation, x, one), zero)
            v.store(step, delta, (k, ld), at)
            return [v.fma(d, e - rest * d, cost), v.fma(e, e, square), v.fma(step, x, mean)]

        cost, square, mean = _loop(b, n, error, [zero, zero, zero])
        with b.if_then(mixed):

            def mix(k: ir.Value, _: list[Any]) -> None:
                step = v.load(a, (k, ld), at) * (v.load(delta, (k, ld), at) - mean)
                v.store(live.select(step, zero), delta, (k, ld), at)

            _loop(b, n, mix)
        weight = b.load(b.bitcast(b.gep(weights, [at]), double.as_pointer()), align=8)
        found = whether(logs, log_cost, cost), whether(regression, square, score), whether(multilabel, right, zero)
        return [
            b.fadd(total, b.fmul(weight, v.wide(live.select(x, zero)), flags=("contract",)))
            for total, x in zip(totals, found, strict=True)
        ]

    totals = _loop(b, groups, group, [ir.Constant(double, None)] * 3)
    for k, total in enumerate(totals):
        b.store(v.total(total), b.gep(sums, [I64(k)]))
