"""The Numba backend: the kernels of cython_backend.pyx, in the same structure, compiled when first called.

Arithmetic on whole vectors is written by the code generators below, with ordinary Python loops and operators over
LLVM values; what surrounds it is jitted Python. All of it is in this one file, long as it is: Numba's cache does
not notice a change in another file of what it compiled in, the contract's excepted, which it is told of.

Not here: checks of arguments (fastnet/checks.py), several threads, any other than first-order optimisers.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import platform
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.core.compiler import compile_internal
from numba.core.targetconfig import ConfigStack
from numba.extending import intrinsic
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats, Ints

# Every jit option in one place.
OPTIONS: dict[str, Any] = {
    "nogil": True,  # the trainer runs long calls in a thread
    "error_model": "numpy",  # a division by zero gives inf, not an exception
    "fastmath": {"contract"},  # a * b + c may become one instruction; nothing that would lose a NaN
}


CONTRACT = hashlib.sha256(Path(c.__file__).read_bytes()).hexdigest()


def _jit(function: Callable[..., Any]) -> Any:
    try:
        dispatcher = numba.njit(cache=True, **OPTIONS)(function)
        # The contract's numbers are compiled in, so that a change of that file makes the cached code stale too.
        file = dispatcher._cache._cache_file
        file._source_stamp = (file._source_stamp, CONTRACT)
    except (RuntimeError, AttributeError):  # Numba finds no folder for its cache, or keeps its stamp elsewhere now
        return _jit_without_cache()(function)
    return dispatcher


@cache  # warns once
def _jit_without_cache() -> Any:
    warnings.warn(
        "Numba has no folder for its cache, and each process compiles anew: set NUMBA_CACHE_DIR to one it can write",
        RuntimeWarning,
        stacklevel=3,
    )
    return numba.njit(**OPTIONS)


def _inner(returns: types.Type = types.void) -> Callable[[Callable[..., Any]], Any]:
    """A function of pointers and numbers that jitted ones call, compiled together with them: see CONTRIBUTING.md.

    Numba would optimise it and generate its code by itself, then once more within each function that calls it, and so
    on up to the entry. This adds it to the code of the caller, once, all of which is then optimised together.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        def typed(typing_context: Any, *arguments: Any) -> Any:
            kinds = tuple(types.intp if isinstance(a, types.Integer) else types.unliteral(a) for a in arguments)

            def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
                library = context.active_code_library
                added = _added.setdefault(library, {})
                if (function, kinds) not in added:
                    flags = ConfigStack().top().copy()  # the caller's
                    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.no_rewrites = True
                    code = compile_internal(
                        context.typing_context, context, library, function, kinds, returns, flags, {}
                    ).fndesc
                    library.get_function(code.mangled_name).linkage = "linkonce_odr"  # no more where all is inlined
                    added[function, kinds] = code
                return context.call_internal_no_propagate(builder, added[function, kinds], signature, values)[1]

            return returns(*kinds), generate

        context = inspect.Parameter("typing_context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return _intrinsic(typed, function.__name__, [context, *inspect.signature(function).parameters.values()])

    return decorate


# What _inner has added to each library, under Numba's lock.
_added: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()


def _intrinsic(typed: Callable[..., Any], name: str, parameters: Sequence[inspect.Parameter]) -> Any:
    """Numba folds a call's arguments into the signature, which it must know: *arguments would not do."""
    typed.__name__, typed.__signature__ = name, inspect.Signature(parameters)  # type: ignore[attr-defined]
    return intrinsic(typed)


# -- vectors: LLVM values with operators ---------------------------------------------------------------------

FEATURES = numba.config.CPU_FEATURES or get_host_cpu_features()
VECTOR_BYTES = 64 if "+avx512f" in FEATURES else 32
TILE_VECTORS, TILE_ROWS, DOT_ROWS = (4, 6, 6) if VECTOR_BYTES == 64 else (2, 6, 3)  # what the registers hold
GROUP, NODE_COLUMNS = c.GROUP, c.LAYER + c.LAYER_COLUMNS
PANEL_GROUPS = c.PANEL_ROWS // GROUP
I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)


def instruction_set() -> str:
    """What the kernels are compiled for."""
    if VECTOR_BYTES == 64:
        return "AVX-512"
    return "AVX2 and FMA" if "+avx2" in FEATURES else platform.machine()


class _Lanes:
    """A vector of a dtype: its types and constants, and the formulas on it."""

    def __init__(self, builder: ir.IRBuilder, dtype: types.Float) -> None:
        self.b = builder
        double = dtype == types.float64
        self.scalar = ir.DoubleType() if double else ir.FloatType()
        self.n = VECTOR_BYTES // (8 if double else 4)
        self.type = ir.VectorType(self.scalar, self.n)
        self.ints = ir.VectorType(I64 if double else I32, self.n)
        self.mantissa, self.bias = (52, 1023) if double else (23, 127)
        self.exp_range = (-708.0, 709.0) if double else (-87.0, 88.0)
        self.exp_degree = 13 if double else 7
        # ln 2 in two parts, the first with so few digits that n * ln2[0] is exact
        self.ln2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10) if double else (0.693359375, -2.12194440e-4)

    def splat(self, value: Any) -> _Vector:
        if isinstance(value, (int, float)):
            return _Vector(self, ir.Constant(self.type, [float(value)] * self.n))
        empty = ir.Constant(self.type, ir.Undefined)
        first = self.b.insert_element(empty, value, I32(0))
        return _Vector(self, self.b.shuffle_vector(first, empty, ir.Constant(ir.VectorType(I32, self.n), [0] * self.n)))

    def pointer(self, base: ir.Value, *offsets: Any) -> ir.Value:
        return self.b.gep(base, [_sum(self.b, *offsets)])

    def load(self, base: ir.Value, *offsets: Any) -> _Vector:
        at = self.b.bitcast(self.pointer(base, *offsets), self.type.as_pointer())
        return _Vector(self, self.b.load(at, align=self.scalar_bytes))

    def store(self, vector: _Vector, base: ir.Value, *offsets: Any) -> None:
        at = self.b.bitcast(self.pointer(base, *offsets), self.type.as_pointer())
        self.b.store(vector.value, at, align=self.scalar_bytes)

    def splat_at(self, base: ir.Value, *offsets: Any) -> _Vector:
        return self.splat(self.b.load(self.pointer(base, *offsets)))

    @property
    def scalar_bytes(self) -> int:
        return VECTOR_BYTES // self.n

    def fma(self, x: _Vector, y: _Vector, z: _Vector) -> _Vector:
        function = cgutils.get_or_insert_function(
            self.b.module,
            ir.FunctionType(self.type, [self.type] * 3),
            f"llvm.fmuladd.v{self.n}f{8 * self.scalar_bytes}",
        )
        return _Vector(self, self.b.call(function, [x.value, y.value, z.value]))

    # exp(x) = 2^n (1 + p(r)), x = n ln 2 + r, |r| <= ln 2 / 2; p is the Taylor series of exp(r) - 1, cut where its
    # remainder is below the rounding. Arguments beyond the exponent's range are clamped to it; NaN stays NaN.
    def exp_parts(self, x: _Vector) -> tuple[_Vector, _Vector]:
        low, high = self.exp_range
        x = (x < low).select(self.splat(low), x)
        x = (x > high).select(self.splat(high), x)
        scaled = x * math.log2(math.e)
        half = (scaled < 0).select(self.splat(-0.5), self.splat(0.5))
        n = self.b.fptosi((scaled + half).value, self.ints)
        r_n = _Vector(self, self.b.sitofp(n, self.type))
        r = self.fma(r_n, self.splat(-self.ln2[0]), x)
        r = self.fma(r_n, self.splat(-self.ln2[1]), r)
        p = self.splat(1 / math.factorial(self.exp_degree))
        for k in range(self.exp_degree - 1, 0, -1):
            p = self.fma(p, r, self.splat(1 / math.factorial(k)))
        shifted = self.b.shl(
            self.b.add(n, ir.Constant(self.ints, [self.bias] * self.n)),
            ir.Constant(self.ints, [self.mantissa] * self.n),
        )
        return p * r, _Vector(self, self.b.bitcast(shifted, self.type))

    def exp(self, x: _Vector) -> _Vector:
        p, power = self.exp_parts(x)
        return self.fma(power, p, power)

    def expm1(self, x: _Vector) -> _Vector:
        """Accurate near 0, where exp(x) - 1 would cancel."""
        p, power = self.exp_parts(x)
        return self.fma(power, p, power - 1)

    def sums(self, vectors: Sequence[_Vector]) -> ir.Value:
        """The sums over the lanes of GROUP vectors, as one short vector: butterflies that transpose as they add."""
        step, level = 1, list(vectors)
        while len(level) > 1:
            level = [self._butterfly(a, b, step) for a, b in zip(level[::2], level[1::2], strict=True)]
            step *= 2
        value, lanes = level[0].value, self.n
        while lanes > GROUP:
            lanes //= 2
            low, high = self._lanes(value, range(lanes)), self._lanes(value, range(lanes, 2 * lanes))
            value = self.b.fadd(low, high)
        return value

    def _butterfly(self, a: _Vector, b: _Vector, step: int) -> _Vector:
        keep = [i - step + self.n if i & step else i for i in range(self.n)]
        parts = [
            self.b.shuffle_vector(a.value, b.value, ir.Constant(ir.VectorType(I32, self.n), lanes))
            for lanes in (keep, [i + step for i in keep])
        ]
        return _Vector(self, self.b.fadd(*parts))

    def _lanes(self, value: ir.Value, lanes: range) -> ir.Value:
        return self.b.shuffle_vector(value, value, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


class _Vector:
    """A vector value; operators write instructions. A comparison gives a mask, which selects."""

    def __init__(self, lanes: _Lanes, value: ir.Value) -> None:
        self.lanes, self.value = lanes, value

    def _with(self, other: Any) -> ir.Value:
        return other.value if isinstance(other, _Vector) else self.lanes.splat(other).value

    def __add__(self, other: Any) -> _Vector:
        return _Vector(self.lanes, self.lanes.b.fadd(self.value, self._with(other), flags=("contract",)))

    def __sub__(self, other: Any) -> _Vector:
        return _Vector(self.lanes, self.lanes.b.fsub(self.value, self._with(other), flags=("contract",)))

    def __mul__(self, other: Any) -> _Vector:
        return _Vector(self.lanes, self.lanes.b.fmul(self.value, self._with(other), flags=("contract",)))

    def __truediv__(self, other: Any) -> _Vector:
        return _Vector(self.lanes, self.lanes.b.fdiv(self.value, self._with(other)))

    def __rtruediv__(self, other: float) -> _Vector:
        return self.lanes.splat(other) / self

    def __rsub__(self, other: float) -> _Vector:
        return self.lanes.splat(other) - self

    def __lt__(self, other: Any) -> _Mask:
        return _Mask(self.lanes, self.lanes.b.fcmp_ordered("<", self.value, self._with(other)))

    def __gt__(self, other: Any) -> _Mask:
        return _Mask(self.lanes, self.lanes.b.fcmp_ordered(">", self.value, self._with(other)))


class _Mask:
    def __init__(self, lanes: _Lanes, value: ir.Value) -> None:
        self.lanes, self.value = lanes, value

    def select(self, yes: _Vector, no: _Vector) -> _Vector:
        return _Vector(self.lanes, self.lanes.b.select(self.value, yes.value, no.value))


def _sum(b: ir.IRBuilder, *terms: Any) -> ir.Value:
    """A 64-bit integer: the sum of values, numbers and (value, factor) products."""
    number, total = 0, None
    for term in terms:
        if isinstance(term, int):
            number += term
            continue
        if isinstance(term, tuple):
            term = b.mul(term[0], term[1] if isinstance(term[1], ir.Value) else I64(term[1]))
        total = term if total is None else b.add(total, term)
    if total is None:
        return I64(number)
    return b.add(total, I64(number)) if number else total


def _loop(
    b: ir.IRBuilder,
    count: ir.Value,
    body: Callable[[ir.Value, list[_Vector]], list[_Vector]],
    carried: Sequence[_Vector] = (),
) -> list[_Vector]:
    """for i in range(count): carried = body(i, carried); the carried vectors stay in registers."""
    before, head, done = b.block, b.append_basic_block(), b.append_basic_block()
    b.cbranch(b.icmp_signed(">", count, I64(0)), head, done)
    b.position_at_end(head)
    i = b.phi(I64)
    phis = [b.phi(v.value.type) for v in carried]
    new = body(i, [_Vector(v.lanes, phi) for v, phi in zip(carried, phis, strict=True)])
    tail, following = b.block, b.add(i, I64(1))
    b.cbranch(b.icmp_signed("<", following, count), head, done)
    i.add_incoming(I64(0), before)
    i.add_incoming(following, tail)
    b.position_at_end(done)
    results = []
    for start, phi, value in zip(carried, phis, new, strict=True):
        phi.add_incoming(start.value, before)
        phi.add_incoming(value.value, tail)
        result = b.phi(start.value.type)
        result.add_incoming(start.value, before)
        result.add_incoming(value.value, tail)
        results.append(_Vector(start.lanes, result))
    return results


def _cases(b: ir.IRBuilder, key: ir.Value, bodies: dict[int, Callable[[], None]]) -> None:
    """switch (key): the code of one of the bodies is run."""
    done = b.append_basic_block()
    switch = b.switch(key, done)
    for value, body in bodies.items():
        block = b.append_basic_block()
        switch.add_case(I64(value), block)
        b.position_at_end(block)
        body()
        b.branch(done)
    b.position_at_end(done)


def _kernel(n_ints: int, pointers: int = 1) -> Callable[[Callable[..., None]], Any]:
    """An intrinsic (pointer, ..., int, ...) -> None whose code `write(lanes, *pointers, *ints)` generates."""

    def decorate(write: Callable[..., None]) -> Any:
        def typed(typing_context: Any, *arguments: Any) -> Any:
            signature = types.void(*arguments[:pointers], *([types.intp] * n_ints))

            def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
                write(_Lanes(builder, signature.args[0].dtype), *values)
                return context.get_dummy_value()

            return signature, generate

        return _intrinsic(typed, write.__name__, list(inspect.signature(write).parameters.values()))

    return decorate


# -- register tiles: offsets into the workspace, row lengths in elements -------------------------------------


@_kernel(n_ints=9, pointers=2)
def forward_tile(
    v: _Lanes, work: Any, groups: Any, rows: Any, vectors: Any, x: Any, ldx: Any, n: Any, w: Any, ldw: Any, out: Any,
    ldo: Any,
) -> None:  # fmt: skip
    """out[rows][vectors] += x[rows][inputs] w[inputs][vectors], the inputs being those of the n groups listed."""

    def tile(r_count: int, v_count: int) -> None:
        places = [(r, k) for r in range(r_count) for k in range(v_count)]
        outs = [v.pointer(work, out, (ldo, r)) for r in range(r_count)]
        lines = [v.pointer(work, x, (ldx, r)) for r in range(r_count)]

        def group(g: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            first = v.b.mul(v.b.sext(v.b.load(v.b.gep(groups, [g])), I64), I64(GROUP))
            here = [v.pointer(line, first) for line in lines]
            for i in range(GROUP):
                w_line = v.pointer(work, w, (first, ldw), (ldw, i))
                weights = [v.load(w_line, k * v.n) for k in range(v_count)]
                inputs = [v.splat_at(line, i) for line in here]
                acc = [v.fma(inputs[r], weights[k], a) for (r, k), a in zip(places, acc, strict=True)]
            return acc

        acc = _loop(v.b, n, group, [v.load(outs[r], k * v.n) for r, k in places])
        for (r, k), a in zip(places, acc, strict=True):
            v.store(a, outs[r], k * v.n)

    sizes = [(r, k) for r in range(1, TILE_ROWS + 1) for k in range(1, TILE_VECTORS + 1)]
    _cases(v.b, _sum(v.b, (rows, 8), vectors), {r * 8 + k: partial(tile, r, k) for r, k in sizes})


@_kernel(n_ints=9, pointers=2)
def update_tiles(
    v: _Lanes, work: Any, groups: Any, vectors: Any, x: Any, ldx: Any, rows: Any, n: Any, delta: Any, ldd: Any,
    out: Any, ldo: Any,
) -> None:  # fmt: skip
    """For each of the n groups listed: out[GROUP][vectors] += x[rows][GROUP]^T delta[rows][vectors]."""

    def tiles(v_count: int) -> None:
        places = [(i, k) for i in range(GROUP) for k in range(v_count)]

        def group(g: ir.Value, _: list[_Vector]) -> list[_Vector]:
            first = v.b.mul(v.b.sext(v.b.load(v.b.gep(groups, [g])), I64), I64(GROUP))

            def row(r: ir.Value, acc: list[_Vector]) -> list[_Vector]:
                deltas = [v.load(work, delta, (r, ldd), k * v.n) for k in range(v_count)]
                inputs = [v.splat_at(work, x, first, (r, ldx), i) for i in range(GROUP)]
                return [v.fma(inputs[i], deltas[k], a) for (i, k), a in zip(places, acc, strict=True)]

            at = [(out, (first, ldo), (ldo, i), k * v.n) for i, k in places]
            acc = _loop(v.b, rows, row, [v.load(work, *place) for place in at])
            for a, place in zip(acc, at, strict=True):
                v.store(a, work, *place)
            return []

        _loop(v.b, n, group)

    _cases(v.b, vectors, {k: partial(tiles, k) for k in range(1, TILE_VECTORS + 1)})


@_kernel(n_ints=9)
def backward_tiles(
    v: _Lanes, work: Any, rows: Any, delta: Any, ldd: Any, w: Any, ldw: Any, n: Any, groups: Any, out: Any, ldo: Any
) -> None:
    """For each of the groups: out[rows][GROUP] = delta[rows][n] . w[GROUP][n], n a whole number of vectors."""

    def tiles(r_count: int) -> None:
        places = [(r, i) for r in range(r_count) for i in range(GROUP)]

        def group(g: ir.Value, _: list[_Vector]) -> list[_Vector]:
            first = v.b.mul(g, I64(GROUP))

            def step(k: ir.Value, acc: list[_Vector]) -> list[_Vector]:
                weights = [v.load(work, w, (first, ldw), (ldw, i), (k, v.n)) for i in range(GROUP)]
                deltas = [v.load(work, delta, (ldd, r), (k, v.n)) for r in range(r_count)]
                return [v.fma(deltas[r], weights[i], a) for (r, i), a in zip(places, acc, strict=True)]

            acc = _loop(v.b, v.b.udiv(n, I64(v.n)), step, [v.splat(0.0)] * len(places))
            short = ir.VectorType(v.scalar, GROUP).as_pointer()
            for r in range(r_count):
                sums = v.sums(acc[r * GROUP : (r + 1) * GROUP])
                at = v.b.bitcast(v.pointer(work, out, (ldo, r), first), short)
                v.b.store(sums, at, align=v.scalar_bytes)
            return []

        _loop(v.b, groups, group)

    _cases(v.b, rows, {r: partial(tiles, r) for r in range(1, DOT_ROWS + 1)})


@_kernel(n_ints=6)
def copy_rows(v: _Lanes, work: Any, source: Any, lds: Any, rows: Any, width: Any, target: Any, ldt: Any) -> None:
    """target[rows][width] = source[rows][width], whole vectors; lds 0 repeats one row"""

    def row(i: ir.Value, _: list[_Vector]) -> list[_Vector]:
        def column(k: ir.Value, _: list[_Vector]) -> list[_Vector]:
            v.store(v.load(work, source, (i, lds), (k, v.n)), work, target, (i, ldt), (k, v.n))
            return []

        return _loop(v.b, v.b.udiv(width, I64(v.n)), column)

    _loop(v.b, rows, row)


@_kernel(n_ints=5, pointers=3)
def gather_row(
    v: _Lanes, work: Any, x: Any, flags: Any, row: Any, n: Any, target: Any, seen: Any, anywhere: Any
) -> None:
    """target[n] = x[row][n], bytes as shares of 255; sets the two rows of flags where it is not zero."""

    def convert(lanes: int, at: ir.Value) -> None:
        def vector(base: ir.Value, *offsets: Any) -> ir.Value:
            kind = ir.VectorType(base.type.pointee, lanes).as_pointer()
            return v.b.bitcast(v.b.gep(base, [_sum(v.b, *offsets)]), kind)

        source = vector(x, (row, n), at)
        values = v.b.load(source, align=1 if x.type.pointee == I8 else v.scalar_bytes)
        kind, small = ir.VectorType(v.scalar, lanes), ir.VectorType(I8, lanes)
        if x.type.pointee == I8:
            nonzero = values
            values = v.b.fmul(v.b.uitofp(values, kind), ir.Constant(kind, [1 / 255] * lanes))
        else:
            nonzero = v.b.zext(v.b.fcmp_unordered("!=", values, ir.Constant(kind, [0.0] * lanes)), small)
        v.b.store(values, vector(work, target, at), align=v.scalar_bytes)
        for place in (seen, anywhere):
            flag = vector(flags, place, at)
            v.b.store(v.b.or_(v.b.load(flag, align=1), nonzero), flag, align=1)

    def whole(k: ir.Value, _: list[_Vector]) -> list[_Vector]:
        convert(v.n, v.b.mul(k, I64(v.n)))
        return []

    def single(k: ir.Value, _: list[_Vector]) -> list[_Vector]:
        convert(1, v.b.add(v.b.mul(vectors, I64(v.n)), k))
        return []

    vectors = v.b.udiv(n, I64(v.n))
    _loop(v.b, vectors, whole)
    _loop(v.b, v.b.urem(n, I64(v.n)), single)


@_kernel(n_ints=4)
def add_rows(v: _Lanes, work: Any, delta: Any, rows: Any, width: Any, sums: Any) -> None:
    """sums[width] += delta[rows][width], whole vectors"""

    def columns(k: ir.Value, _: list[_Vector]) -> list[_Vector]:
        def row(i: ir.Value, total: list[_Vector]) -> list[_Vector]:
            return [total[0] + v.load(work, delta, (i, width), (k, v.n))]

        v.store(_loop(v.b, rows, row, [v.load(work, sums, (k, v.n))])[0], work, sums, (k, v.n))
        return []

    _loop(v.b, v.b.udiv(width, I64(v.n)), columns)


# -- activations of n values (whole vectors), and slopes in terms of the output ------------------------------


def _map(name: str, value: Callable[[_Lanes, _Vector], _Vector]) -> Any:
    """work[a:a + n] = value(work[z:z + n])"""

    def write(v: _Lanes, work: Any, z: Any, a: Any, n: Any) -> None:
        def step(k: ir.Value, _: list[_Vector]) -> list[_Vector]:
            v.store(value(v, v.load(work, z, (k, v.n))), work, a, (k, v.n))
            return []

        _loop(v.b, v.b.udiv(n, I64(v.n)), step)

    write.__name__ = name
    return _kernel(n_ints=3)(write)


def _times(name: str, slope: Callable[[_Lanes, _Vector], _Vector]) -> Any:
    """work[delta:delta + n] *= slope(work[a:a + n])"""

    def write(v: _Lanes, work: Any, a: Any, delta: Any, n: Any) -> None:
        def step(k: ir.Value, _: list[_Vector]) -> list[_Vector]:
            product = v.load(work, delta, (k, v.n)) * slope(v, v.load(work, a, (k, v.n)))
            v.store(product, work, delta, (k, v.n))
            return []

        _loop(v.b, v.b.udiv(n, I64(v.n)), step)

    write.__name__ = name
    return _kernel(n_ints=3)(write)


def _tanh(v: _Lanes, z: _Vector) -> _Vector:
    e = v.expm1(z + z)
    return e / (e + 2)


map_exp = _map("map_exp", lambda v, z: v.exp(z))
map_sigmoid = _map("map_sigmoid", lambda v, z: 1 / (v.exp(0 - z) + 1))
slope_sigmoid = _times("slope_sigmoid", lambda v, a: a * (1 - a))
map_tanh = _map("map_tanh", _tanh)
slope_tanh = _times("slope_tanh", lambda v, a: 1 - a * a)
map_relu = _map("map_relu", lambda v, z: (z < 0).select(v.splat(0), z))  # a NaN stays
slope_relu = _times("slope_relu", lambda v, a: (a > 0).select(v.splat(1), v.splat(0)))
map_leaky_relu = _map("map_leaky_relu", lambda v, z: (z < 0).select(z * c.LEAKY_SLOPE, z))
slope_leaky_relu = _times("slope_leaky_relu", lambda v, a: (a > 0).select(v.splat(1), v.splat(c.LEAKY_SLOPE)))


# -- small intrinsics ----------------------------------------------------------------------------------------


def _number(write: Callable[..., ir.Value]) -> Any:
    """An intrinsic (int, ...) -> int whose code `write(builder, *ints)` generates."""

    def typed(typing_context: Any, *arguments: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
            return write(builder, *values)

        return types.intp(*[types.intp] * len(arguments)), generate

    return _intrinsic(typed, write.__name__, list(inspect.signature(write).parameters.values()))


@_number
def _least(b: ir.IRBuilder, one: Any, other: Any) -> ir.Value:
    return b.select(b.icmp_signed("<", one, other), one, other)


@_number
def _quotient(b: ir.IRBuilder, dividend: Any, divisor: Any) -> ir.Value:
    """dividend // divisor, neither negative: Numba's own minds signs and zeros, in a page of code."""
    return b.udiv(dividend, divisor)


@intrinsic
def _node(typing_context: Any, t: Any, layer: Any) -> Any:
    """The row of a layer in the table, a pointer: of its outputs; that of layer - 1 has its inputs."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        return builder.gep(values[0], [builder.mul(builder.add(values[1], I64(1)), I64(NODE_COLUMNS))])

    return t(t, types.intp), generate


@intrinsic
def _start_of(typing_context: Any, array: Any) -> Any:
    """A pointer to the first element of an array."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        return context.make_array(signature.args[0])(context, builder, values[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def _at(typing_context: Any, pointer: Any, offset: Any) -> Any:
    """A pointer to pointer[offset]."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        return builder.gep(values[0], [values[1]])

    return pointer(pointer, types.intp), generate


@intrinsic
def _view(typing_context: Any, pointer: Any, like: Any) -> Any:
    """The same place as a pointer to numbers of another kind: a dtype, or that of another pointer."""
    kind = like if isinstance(like, types.CPointer) else types.CPointer(like.dtype)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        return builder.bitcast(values[0], context.get_value_type(signature.return_type))

    return kind(pointer, like), generate


@intrinsic
def _real(typing_context: Any, pointer: Any, value: Any) -> Any:
    """A number of the dtype that pointer points to."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        return context.cast(builder, values[1], signature.args[1], signature.return_type)

    return pointer.dtype(pointer, types.unliteral(value)), generate


@intrinsic
def _lanes(typing_context: Any, pointer: Any) -> Any:
    """How many numbers a vector holds."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        return I64(_Lanes(builder, signature.args[0].dtype).n)

    return types.intp(pointer), generate


@intrinsic
def _prefetch(typing_context: Any, pointer: Any, offset: Any) -> Any:
    """Asks for the cache line of pointer[offset]."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        at = builder.bitcast(builder.gep(values[0], [values[1]]), I8.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [at, I32(0), I32(2), I32(1)])  # to read; into the second-level cache; data
        return context.get_dummy_value()

    return types.void(pointer, types.intp), generate


@intrinsic
def _read_now(typing_context: Any, pointer: Any, index: Any) -> Any:
    """pointer[index], read from memory each time: another thread may write it."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        value = builder.load(builder.gep(values[0], [values[1]]))
        value.volatile = True
        return value

    return types.int64(pointer, types.intp), generate


@intrinsic
def _flush_denormals(typing_context: Any) -> Any:
    """Makes denormals zero on this thread; returns the floating-point state before."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        state = _floating_point_state(builder)
        flushing = 1 << 24 if "aarch64" in platform.machine() else 0x8040  # FZ; flush to zero, denormals are zero
        _floating_point_state(builder, builder.or_(state, I64(flushing)))
        return state

    return types.int64(), generate


@intrinsic
def _restore_denormals(typing_context: Any, state: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        _floating_point_state(builder, values[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


def _floating_point_state(builder: ir.IRBuilder, new: ir.Value | None = None) -> ir.Value:
    """Reads the control register, or sets it; nothing on machines that are neither x86-64 nor ARM64."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        slot = cgutils.alloca_once(builder, I32)
        name = "llvm.x86.sse.stmxcsr" if new is None else "llvm.x86.sse.ldmxcsr"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [I8.as_pointer()]), name
        )
        if new is not None:
            builder.store(builder.trunc(new, I32), slot)
        builder.call(function, [builder.bitcast(slot, I8.as_pointer())])
        return builder.zext(builder.load(slot), I64)
    if machine in ("aarch64", "arm64"):
        if new is None:
            return builder.asm(ir.FunctionType(I64, []), "mrs $0, fpcr", "=r", [], side_effect=True)
        return builder.asm(ir.FunctionType(ir.VoidType(), [I64]), "msr fpcr, $0", "r", [new], side_effect=True)
    return I64(0)


# -- a block of rows through the layers; each function as in cython_backend.pyx ------------------------------


# Arrays are pointers here: cheap to compile, to pass and to index (Numba's own arrays are seven values, which count
# references, and take negative indices).
# All take the same four first: t, the table Plan.nodes (a layer's row is one more than its number); work;
# flags, uint8 (tiles + 1, width of the input), not 0 where the input is not 0 in some row of a tile; and groups,
# int32, a list of groups of inputs.


@_inner(types.intp)
def _tiles(rows, most):
    return _quotient(rows + most - 1, most)


@_inner(types.intp)
def _start(tile, rows, tiles):
    """Tiles of as equal height as can be: 10 rows are 5 + 5, not 6 + 4."""
    return _quotient(rows * tile, tiles)


@_inner(types.intp)
def _groups_of(node):
    return _quotient(node[c.LAYER + c.N_IN] + GROUP - 1, GROUP)


@_inner()
def _zero(values, n):
    for k in range(n):
        values[k] = 0


@_inner()
def _copy(source, target, n):
    for k in range(n):
        target[k] = source[k]


@_inner(types.intp)
def _list_groups(flags, groups, flags_at, n, sparse):
    """Lists the groups among n with a flag set, or all of them; returns their number."""
    fours = _view(_at(flags, flags_at), np.uint32)  # a group's flags as one number
    found = 0
    for g in range(n):
        groups[found] = g
        found += not sparse or fours[g] != 0
    return found


@_inner()
def _gather(t, work, flags, x, itemsize, order, ordered, first, rows):
    """Rows order[first:first + rows] into the inputs, bytes scaled; those after them, as many, are prefetched."""
    n, width, tiles = t[NODE_COLUMNS + c.LAYER + c.N_IN], t[c.WIDTH], _tiles(rows, TILE_ROWS)
    ahead = ordered - first - rows
    _zero(flags, (tiles + 1) * width)
    for tile in range(tiles):
        for i in range(_start(tile, rows, tiles), _start(tile + 1, rows, tiles)):
            if i < ahead:  # a row at a time, between the conversions: all at once they would wait for each other
                following = order[first + rows + i] * n * itemsize
                for k in range(0, n * itemsize, 64):
                    _prefetch(x, following + k)
            row = order[first + i] if ordered > 0 else first + i
            target = t[c.ACTIVATIONS_AT] + i * width
            if itemsize == 1:
                gather_row(work, x, flags, row, n, target, tile * width, tiles * width)
            else:
                gather_row(work, _view(x, work), flags, row, n, target, tile * width, tiles * width)


@_inner(types.intp)
def _sums_at(t, layer, layers):
    return t[c.OUTPUTS_AT] if layer == layers - 1 else _node(t, layer)[c.ACTIVATIONS_AT]


@_inner()
def _weighted_sums(t, work, flags, groups, layer, sums, rows):
    """sums = inputs . weights + biases"""
    node, lower = _node(t, layer), _node(t, layer - 1)
    width, below = node[c.WIDTH], lower[c.WIDTH]
    inputs, weights = lower[c.ACTIVATIONS_AT], node[c.WEIGHTS_AT]
    tiles, lanes, n_groups = _tiles(rows, TILE_ROWS), _lanes(work), _groups_of(node)
    step = TILE_VECTORS * lanes
    copy_rows(work, node[c.BIASES_AT], 0, rows, width, sums, width)
    packing = width > step and tiles > 2
    most = PANEL_GROUPS if packing else c.LISTED_GROUPS
    for k in range(0, n_groups, most):
        n = _least(most, n_groups - k)
        for column in range(0, width, step):
            columns = _least(step, width - column)
            w, ldw = weights + k * GROUP * width + column, width
            if packing:
                copy_rows(work, w, width, n * GROUP, columns, t[c.PANEL_AT], columns)
                w, ldw = t[c.PANEL_AT], columns
            for tile in range(tiles):
                start = _start(tile, rows, tiles)
                height = _start(tile + 1, rows, tiles) - start
                found = _list_groups(flags, groups, tile * below + k * GROUP, n, layer == 0)
                x, out = inputs + start * below + k * GROUP, sums + start * width + column
                forward_tile(work, groups, height, _quotient(columns, lanes), x, below, found, w, ldw, out, width)


@_inner()
def _zero_padding(values, rows, width, used):
    for i in range(rows):
        for k in range(i * width + used, (i + 1) * width):
            values[k] = 0


@_inner()
def _softmax(work, sums, outputs, rows, width, used):
    for i in range(rows):
        z, a = _at(work, sums + i * width), _at(work, outputs + i * width)
        largest = z[0]
        for k in range(1, used):
            if z[k] > largest:
                largest = z[k]
        for k in range(width):
            a[k] = z[k] - largest
        map_exp(a, 0, 0, width)
        total = _real(work, 0)
        for k in range(used):
            total += a[k]
        for k in range(used):
            a[k] /= total


@_inner()
def _activate(t, work, layer, sums, rows):
    node = _node(t, layer)
    activation, width, outputs = node[c.LAYER + c.ACTIVATION], node[c.WIDTH], node[c.ACTIVATIONS_AT]
    used, n = node[c.LAYER + c.N_OUT], rows * width
    if activation == c.SIGMOID:
        map_sigmoid(work, sums, outputs, n)
    elif activation == c.RELU:
        map_relu(work, sums, outputs, n)
    elif activation == c.TANH:
        map_tanh(work, sums, outputs, n)
    elif activation == c.LEAKY_RELU:
        map_leaky_relu(work, sums, outputs, n)
    elif activation == c.SOFTMAX:
        _softmax(work, sums, outputs, rows, width, used)
    elif outputs != sums:  # identity
        copy_rows(work, sums, width, rows, width, outputs, width)
    _zero_padding(_at(work, outputs), rows, width, used)


@_inner()
def _times_slope(t, work, layer, rows):
    """The deltas of a layer times the slopes of its activation."""
    node = _node(t, layer)
    activation, n = node[c.LAYER + c.ACTIVATION], rows * node[c.WIDTH]
    a, delta = node[c.ACTIVATIONS_AT], node[c.DELTAS_AT]
    if activation == c.SIGMOID:
        slope_sigmoid(work, a, delta, n)
    elif activation == c.RELU:
        slope_relu(work, a, delta, n)
    elif activation == c.TANH:
        slope_tanh(work, a, delta, n)
    elif activation == c.LEAKY_RELU:
        slope_leaky_relu(work, a, delta, n)


@_inner(types.intp)
def _argmax(values, n):
    best = 0
    for k in range(1, n):
        if values[k] > values[best]:
            best = k
    return best


@_inner(types.boolean)
def _is_first_largest(values, n, right):
    """_argmax(values, n) == right, without a chain of branches."""
    beaten, highest = False, values[right]
    for k in range(n):
        beaten |= (values[k] > highest) | ((values[k] == highest) & (k < right))
    return not beaten


@_inner(types.float64)
def _row_cost(softmax, cross_entropy, n, z, a, error, target, labelled, right):
    """The cost of one example, of its sums, outputs, error = a - target, and target or else its label `right`."""
    if not cross_entropy:
        squares = _real(error, 0)
        for k in range(n):
            squares += error[k] * error[k]
        return np.float64(squares)
    total = 0.0
    if softmax:  # log a = z - z_best + log a_best, finite where a itself rounds to zero
        best = _argmax(a, n)
        log_best, largest = math.log(np.float64(a[best])), np.float64(z[best])
        if labelled:
            return largest - np.float64(z[right]) - log_best
        for k in range(n):
            if target[k] != 0:
                total += target[k] * (largest - np.float64(z[k]) - log_best)
        return total
    for k in range(n):
        value = np.float64(z[k])
        total += (value if value > 0 else 0.0) + math.log1p(math.exp(-abs(value)))
        if not labelled:
            total -= value * target[k]
    return total - np.float64(z[right]) if labelled else total


@_inner(types.Tuple((types.float64, types.intp)))
def _output(t, work, layer, labels, labelled, targets, order, ordered, first, rows, scale):
    """The cost summed over the rows, and how many are right; leaves the last layer's deltas, times scale."""
    node = _node(t, layer)
    n, width = node[c.LAYER + c.N_OUT], node[c.WIDTH]
    cross_entropy = node[c.LAYER + c.COST] == c.CROSS_ENTROPY
    softmax = node[c.LAYER + c.ACTIVATION] == c.SOFTMAX
    factor = _real(work, scale if cross_entropy else 2 * scale)
    correct, total = 0, 0.0
    for i in range(rows):
        row = order[first + i] if ordered > 0 else first + i
        z, a = _at(work, t[c.OUTPUTS_AT] + i * width), _at(work, node[c.ACTIVATIONS_AT] + i * width)
        error, target = _at(work, node[c.DELTAS_AT] + i * width), _at(targets, row * n)
        for k in range(n):
            error[k] = a[k]
        if labelled:
            right = labels[row]
            error[right] -= 1
        else:
            right = _argmax(target, n)
            for k in range(n):
                error[k] -= target[k]
        if n == 1:
            correct += (a[0] >= 0.5) == (labelled or target[0] >= 0.5)
        else:
            correct += _is_first_largest(a, n, right)
        total += _row_cost(softmax, cross_entropy, n, z, a, error, target, labelled, right)
        if softmax and not cross_entropy:  # the softmax mixes its layer
            mean = _real(work, 0)
            for k in range(n):
                mean += error[k] * a[k]
            for k in range(n):
                error[k] = a[k] * (error[k] - mean)
        for k in range(n):
            error[k] *= factor
    _zero_padding(_at(work, node[c.DELTAS_AT]), rows, width, n)
    if not cross_entropy:
        _times_slope(t, work, layer, rows)
    return total, correct


@_inner()
def _propagate(t, work, layer, rows):
    """The deltas of the layer below: deltas . weights^T times the slopes there."""
    node, lower = _node(t, layer), _node(t, layer - 1)
    width, below, n_groups = node[c.WIDTH], lower[c.WIDTH], _groups_of(node)
    tiles = _tiles(rows, DOT_ROWS)
    # A few rows of weights at a time stay in the cache while every tile of rows meets them.
    most = _quotient(c.CACHED_WEIGHTS, GROUP * width)
    most = most if most > 0 else 1
    for k in range(0, n_groups, most):
        w, n = node[c.WEIGHTS_AT] + k * GROUP * width, _least(most, n_groups - k)
        for tile in range(tiles):
            start = _start(tile, rows, tiles)
            height, out = _start(tile + 1, rows, tiles) - start, lower[c.DELTAS_AT] + start * below + k * GROUP
            backward_tiles(work, height, node[c.DELTAS_AT] + start * width, width, w, width, width, n, out, below)
    _zero_padding(_at(work, lower[c.DELTAS_AT]), rows, below, n_groups * GROUP)
    _times_slope(t, work, layer - 1, rows)


@_inner()
def _add_gradient(t, work, flags, groups, layer, rows, offset):
    """inputs^T . deltas and the deltas' sums, added at `offset` from the weights and biases (0: to themselves)."""
    node, lower = _node(t, layer), _node(t, layer - 1)
    width, below, n_groups, lanes = node[c.WIDTH], lower[c.WIDTH], _groups_of(node), _lanes(work)
    inputs, deltas, weights = lower[c.ACTIVATIONS_AT], node[c.DELTAS_AT], node[c.WEIGHTS_AT] + offset
    step = TILE_VECTORS * lanes
    add_rows(work, deltas, rows, width, node[c.BIASES_AT] + offset)
    anywhere = _tiles(rows, TILE_ROWS) * below
    packing = width > step and n_groups > 2
    for row in range(0, rows, c.PANEL_ROWS):
        n = _least(c.PANEL_ROWS, rows - row)
        for column in range(0, width, step):
            columns = _least(step, width - column)
            d, ldd = deltas + row * width + column, width
            if packing:
                copy_rows(work, d, width, n, columns, t[c.PANEL_AT], columns)
                d, ldd = t[c.PANEL_AT], columns
            for k in range(0, n_groups, c.LISTED_GROUPS):
                listed = _least(c.LISTED_GROUPS, n_groups - k)
                found = _list_groups(flags, groups, anywhere + k * GROUP, listed, layer == 0)
                x, out = inputs + row * below + k * GROUP, weights + k * GROUP * width + column
                update_tiles(work, groups, _quotient(columns, lanes), x, below, n, found, d, ldd, out, width)


# -- optimisers: one step; g is the gradient ------------------------------------------------------------------


@_inner()
def _update(p, g, m, v, n, options, gradient_scale, decay, rate, count):
    """p moves by the optimiser's step for gradient_scale * g + decay * p."""
    scale, wd, speed = _real(p, gradient_scale), _real(p, decay), _real(p, rate)
    beta1, beta2, epsilon = _real(p, options[c.BETA1]), _real(p, options[c.BETA2]), _real(p, options[c.EPSILON])
    rest1, rest2 = _real(p, 1 - options[c.BETA1]), _real(p, 1 - options[c.BETA2])
    if options[c.KIND] == c.GRADIENT_DESCENT:
        for i in range(n):
            p[i] -= speed * (scale * g[i] + wd * p[i])
    elif options[c.KIND] == c.MOMENTUM:  # v = beta v + g; the step is v, or beta v + g once more (Nesterov)
        if options[c.NESTEROV] != 0:
            for i in range(n):
                gi = scale * g[i] + wd * p[i]
                m[i] = beta1 * m[i] + gi
                p[i] -= speed * (gi + beta1 * m[i])
        else:
            for i in range(n):
                m[i] = beta1 * m[i] + (scale * g[i] + wd * p[i])
                p[i] -= speed * m[i]
    else:  # Kingma and Ba (2015), algorithm 1, the bias corrections taken out of the loop
        speed = _real(p, rate / (1 - math.pow(options[c.BETA1], float(count))))
        root = _real(p, 1 / math.sqrt(1 - math.pow(options[c.BETA2], float(count))))
        for i in range(n):
            gi = scale * g[i] + wd * p[i]
            m[i] = beta1 * m[i] + rest1 * gi
            v[i] = beta2 * v[i] + rest2 * gi * gi
            p[i] -= speed * m[i] / (_real(p, math.sqrt(v[i])) * root + epsilon)


@_inner()
def _optimizer_step(t, work, layers, packed, slots, options, rate, count):
    scale = 1.0
    if options[c.CLIP_NORM] > 0:
        total = 0.0
        for k in range(packed, 2 * packed):
            total += np.float64(work[k]) * np.float64(work[k])
        if math.sqrt(total) > options[c.CLIP_NORM]:
            scale = options[c.CLIP_NORM] / math.sqrt(total)
    m_at, v_at = 3 * packed if slots > 0 else 0, 4 * packed if slots > 1 else 0  # not read where there is none
    for layer in range(layers):
        node = _node(t, layer)
        for part in range(2):  # weights, and biases, which do not decay
            at = node[c.BIASES_AT] if part else node[c.WEIGHTS_AT]
            n = node[c.WIDTH] if part else node[c.BIASES_AT] - at
            decay = 0.0 if part else options[c.WEIGHT_DECAY]
            p = _at(work, at)
            _update(p, _at(p, packed), _at(p, m_at), _at(p, v_at), n, options, scale, decay, rate, count)


# -- packing: (n_out, n_in) rows into (inputs in whole groups, padded neurons) and back ------------------------


@_inner()
def _transpose(source, lds, target, ldt, rows, columns):
    """target[columns][rows] = source[rows][columns]"""
    for first in range(0, rows, 16):  # 16 by 16: few enough lines to stay in the cache
        for start in range(0, columns, 16):
            for i in range(first, _least(first + 16, rows)):
                for j in range(start, _least(start + 16, columns)):
                    target[j * ldt + i] = source[i * lds + j]


@_inner()
def _pack(t, layers, flat, packed, n_packed):
    _zero(packed, n_packed)
    for layer in range(layers):
        node = _node(t, layer)
        n_in, n_out, width = node[c.LAYER + c.N_IN], node[c.LAYER + c.N_OUT], node[c.WIDTH]
        _transpose(_at(flat, node[c.LAYER + c.WEIGHTS]), n_in, _at(packed, node[c.WEIGHTS_AT]), width, n_out, n_in)
        _copy(_at(flat, node[c.LAYER + c.BIASES]), _at(packed, node[c.BIASES_AT]), n_out)


@_inner()
def _unpack(t, layers, packed, flat):
    for layer in range(layers):
        node = _node(t, layer)
        n_in, n_out, width = node[c.LAYER + c.N_IN], node[c.LAYER + c.N_OUT], node[c.WIDTH]
        _transpose(_at(packed, node[c.WEIGHTS_AT]), width, _at(flat, node[c.LAYER + c.WEIGHTS]), n_in, n_in, n_out)
        _copy(_at(packed, node[c.BIASES_AT]), _at(flat, node[c.LAYER + c.BIASES]), n_out)


# -- the contract -----------------------------------------------------------------------------------------------

# One jitted entry for the three functions: compiled once for each dtype, not three times.
PREDICT, GRADIENT, TRAIN = range(3)


@_inner()
def _forward(t, work, flags, groups, layers, rows):
    for layer in range(layers):
        sums = _sums_at(t, layer, layers)
        _weighted_sums(t, work, flags, groups, layer, sums, rows)
        _activate(t, work, layer, sums, rows)


@_inner()
def _backward(t, work, flags, groups, layers, rows, offset):
    """The gradient added at `offset` from the parameters: to the packed gradient, or (0) to the parameters."""
    for layer in range(layers - 1, -1, -1):
        if layer > 0:  # before this layer's weights change
            _propagate(t, work, layer, rows)
        _add_gradient(t, work, flags, groups, layer, rows, offset)


@_inner()
def _copy_outputs(t, work, layer, first, rows, out):
    node = _node(t, layer)
    n, width = node[c.LAYER + c.N_OUT], node[c.WIDTH]
    for i in range(rows):
        _copy(_at(work, node[c.ACTIVATIONS_AT] + i * width), _at(out, (first + i) * n), n)


@_inner(types.float64)
def _batches(task, t, work, flags, groups, layers, x, itemsize, labels, labelled, targets, order, ordered, n, out,
             packed, block, batch_size, slots, rates, options, step, progress):  # fmt: skip
    """All batches, one after the other; predict's and gradient's is one batch of all rows.

    Returns the summed cost of the steps made; leaves outputs, the packed gradient or the packed parameters.
    """
    plain = task == TRAIN and options[c.KIND] == c.GRADIENT_DESCENT
    # Plain gradient descent adds the deltas, scaled by the rate, straight to the weights.
    fused = plain and options[c.CLIP_NORM] == 0 and options[c.WEIGHT_DECAY] == 0 and batch_size <= block
    total, steps, correct, stopped = 0.0, 0, 0, False
    for start in range(0, n, batch_size):
        stop = _least(start + batch_size, n)
        scale = (-rates[steps] if fused else 1.0) / (stop - start)
        if task != PREDICT and not fused:
            _zero(_at(work, packed), packed)
        cost, right = 0.0, 0
        for first in range(start, stop, block):
            if _read_now(progress, c.STOP):
                stopped = True
                break
            rows = _least(block, stop - first)
            _gather(t, work, flags, x, itemsize, order, ordered, first, rows)
            _forward(t, work, flags, groups, layers, rows)
            if task == PREDICT:
                _copy_outputs(t, work, layers - 1, first, rows, out)
                continue
            block_cost, block_right = _output(
                t, work, layers - 1, labels, labelled, targets, order, ordered, first, rows, scale
            )
            cost += block_cost
            right += block_right
            if task == TRAIN and not math.isfinite(cost):
                stopped = True
                break
            _backward(t, work, flags, groups, layers, rows, 0 if fused else packed)
        if stopped:
            break
        if task == TRAIN and not fused:
            _optimizer_step(t, work, layers, packed, slots, options, rates[steps], step + steps + 1)
        total += cost
        correct += right
        steps += 1
    progress[c.STEPS] = steps
    progress[c.CORRECT] = correct
    return total


@_jit
def _run(
    task, nodes, packed, block, given, params, state, x, itemsize, labels, targets, order, out, batch_size, rates,
    options, step, progress, workspace,
):  # fmt: skip
    before = _flush_denormals()
    t, work, flat, layers = _start_of(nodes), _start_of(workspace), _start_of(params), len(nodes) - 1
    flags, groups = _view(_at(work, t[c.SCRATCH_AT]), np.uint8), _view(_at(work, t[c.LISTS_AT]), np.int32)
    _zero(_at(work, t[c.ACTIVATIONS_AT]), block * t[c.WIDTH])  # once: only the padding stays zero
    slots, slot, n_slot = state.shape[0], _start_of(state), state.shape[1]
    _pack(t, layers, _start_of(given), work, packed)
    for k in range(slots):
        _pack(t, layers, _at(slot, k * n_slot), _at(work, (3 + k) * packed), packed)
    cost = _batches(
        task, t, work, flags, groups, layers, _start_of(x), itemsize, _start_of(labels), len(labels) > 0,
        _start_of(targets), _start_of(order), len(order), len(order) if task == TRAIN else len(x), _start_of(out),
        packed, block, batch_size, slots, _start_of(rates), _start_of(options), step, _start_of(progress),
    )  # fmt: skip
    if task != PREDICT:
        _unpack(t, layers, _at(work, packed if task == GRADIENT else 0), flat)
    for k in range(slots):
        _unpack(t, layers, _at(work, (3 + k) * packed), _at(slot, k * n_slot))
    _restore_denormals(before)
    return cost


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view: to Numba a read-only array is another type, and IN arrays come in one flavour."""
    view = array.view()
    view.flags.writeable = False
    return view


NO_ROWS, NO_NUMBERS = _frozen(np.empty(0, np.int64)), _frozen(np.empty(0))


@cache
def _nothing(dtype: np.dtype[Any]) -> tuple[Floats, Floats, Floats]:
    """Empty arrays for what a task does not use: a vector, a matrix, and a read-only matrix."""
    matrix = np.empty((0, 0), dtype)
    return np.empty(0, dtype), matrix, _frozen(matrix)


def _call(
    task: int,
    p: c.Plan,
    given: Floats,
    x: NDArray[Any],
    y: NDArray[Any] | None,
    work: Floats,
    *,
    params: Floats | None = None,
    state: Floats | None = None,
    out: Floats | None = None,
    order: Ints = NO_ROWS,
    batch_size: int = 0,
    rates: NDArray[np.float64] = NO_NUMBERS,
    optimizer: NDArray[np.float64] = NO_NUMBERS,
    step: int = 0,
    progress: Ints | None = None,
) -> float:
    """Calls _run with every argument in its one flavour, and empty arrays for what a task does not use.

    x goes as bytes, so that one version of the kernels takes every kind.
    """
    vector, matrix, targets = _nothing(given.dtype)
    labels = NO_ROWS
    if y is not None and y.ndim == 1:
        labels = _frozen(y)
    elif y is not None:
        targets = _frozen(y)
    cost = _run(
        task,
        p.nodes,
        p.packed,
        p.rows,
        _frozen(given),
        vector if params is None else params,
        matrix if state is None else state,
        _frozen(x.view(np.uint8)),
        x.itemsize,
        labels,
        targets,
        order,
        matrix if out is None else out,
        batch_size or len(x),
        rates,
        optimizer,
        step,
        np.zeros(c.PROGRESS_COLUMNS, np.int64) if progress is None else progress,
        work,
    )
    return float(cost)


def predict(net: Ints, params: Floats, x: NDArray[Any], out: Floats, work: Floats) -> None:
    _call(PREDICT, c.plan(net, len(x), 0, params.itemsize), params, x, None, work, out=out)


def gradient(net: Ints, params: Floats, x: NDArray[Any], y: NDArray[Any], grad: Floats, work: Floats) -> float:
    summed = _call(GRADIENT, c.plan(net, len(x), 0, params.itemsize), params, x, y, work, params=grad)
    return summed / len(x)


def train(
    net: Ints,
    params: Floats,
    state: Floats,
    x: NDArray[Any],
    y: NDArray[Any],
    order: Ints,
    batch_size: int,
    rates: NDArray[np.float64],
    optimizer: NDArray[np.float64],
    step: int,
    progress: Ints,
    work: Floats,
    team: Ints,
    member: int,
) -> float:
    p = c.plan(net, batch_size, len(state), params.itemsize)
    return _call(
        TRAIN,
        p,
        params,
        x,
        y,
        work,
        params=params,
        state=state,
        order=_frozen(order),
        batch_size=batch_size,
        rates=_frozen(rates),
        optimizer=_frozen(optimizer),
        step=step,
        progress=progress,
    )


def warm_up(dtype: np.dtype[Any], x_dtype: np.dtype[Any]) -> None:
    """Compiles, or takes from the cache, what a network of this dtype needs, whatever its inputs."""
    net = np.array([[1, 1, c.IDENTITY, 0, 1, c.SQUARED_ERROR]])
    work = c.aligned_empty(c.plan(net, 1, 0, dtype.itemsize).size, dtype)
    predict(net, np.zeros(2, dtype), np.zeros((1, 1), x_dtype), np.empty((1, 1), dtype), work)


def specialisations() -> int:
    """How many versions of the kernels are compiled: one for each dtype that was used."""
    return len(_run.signatures)
