"""The vector code of the Numba backend: functions that generate its inner loops in LLVM. The Cython backend has vec.h.

Loops over layers, batches and blocks are in numba_backend.py.
"""

# A Python function decorated with `_kernel` generates a kernel's code for one dtype, with ordinary loops and operators.
# Jitted code calls the kernel like a function of pointers and numbers.
# A tile is a part of a matrix that is computed at once, in registers or in the first-level cache. A panel is a part of
# the weights or of the deltas, copied ("packed") to contiguous memory.

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from fastnet.kernels import contract as c


def _intrinsic(typed: Callable[..., Any], name: str, parameters: Sequence[inspect.Parameter]) -> Any:
    """Make an intrinsic with these parameters. Numba binds a call's arguments to their names."""
    typed.__name__, typed.__signature__ = name, inspect.Signature(parameters)  # type: ignore[attr-defined]  # Numba reads it
    return intrinsic(typed)


# -- what Numba compiles for -----------------------------------------------------------------------------------

# llvmlite does not say which instructions a CPU has. The assembly of these two functions shows the instructions.
PROBE = """
declare <16 x float> @llvm.fmuladd.v16f32(<16 x float>, <16 x float>, <16 x float>)
define <16 x float> @multiply_add(<16 x float> %a, <16 x float> %b, <16 x float> %c) {
  %d = call <16 x float> @llvm.fmuladd.v16f32(<16 x float> %a, <16 x float> %b, <16 x float> %c)
  ret <16 x float> %d
}
define <8 x i32> @add_some(i8 %lanes, <8 x i32> %a, <8 x i32> %b) {
  %mask = bitcast i8 %lanes to <8 x i1>
  %sum = add <8 x i32> %a, %b
  %c = select <8 x i1> %mask, <8 x i32> %sum, <8 x i32> %a
  ret <8 x i32> %c
}
"""


class Machine(NamedTuple):
    """The machine that Numba compiles for. The CPU in use may have more instructions."""

    x86: bool  # x86-64
    arm: bool  # ARM64
    register_bytes: int  # of its widest vector register
    compresses: bool  # has AVX-512's compress instruction for all vector lengths
    instruction_set: str


def machine(triple: str, cpu: str, features: str) -> Machine:
    """The machine that these LLVM names describe. `magic_tuple` of Numba's code generator returns the names."""
    compiler = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
    code, architecture = compiler.emit_assembly(llvm.parse_assembly(PROBE)), triple.partition("-")[0]
    x86, arm = architecture == "x86_64", architecture in ("aarch64", "arm64")
    name = "SSE2" if x86 else "NEON" if arm else architecture
    if "%zmm" in code:
        return Machine(x86, arm, 64, re.search(r"%ymm\d+ \{%k", code) is not None, "AVX-512")
    if "%ymm" in code:
        fused = re.search(r"vfmadd\w+\s+%ymm", code) and re.search(r"vpaddd\s+%ymm", code)
        return Machine(x86, arm, 32, False, "AVX2 and FMA" if fused else "AVX")
    return Machine(x86, arm, 16, False, name)


MACHINE = machine(*cpu_target.target_context.codegen().magic_tuple())

# -- vectors: LLVM values with operators ---------------------------------------------------------------------

VECTOR_BYTES = max(MACHINE.register_bytes, 32)  # LLVM splits vectors that are longer than a register
COMPRESSES = MACHINE.compresses
TILE_VECTORS, TILE_ROWS = (4, 6) if VECTOR_BYTES == 64 else (2, 6)  # a tile fits the registers
GROUP, NODE_COLUMNS = c.GROUP, c.LAYER + c.LAYER_COLUMNS
MAX_BYTES_COLUMNS = 32768  # an int32 number holds a column and two bytes
LINE_ENTRIES = 16  # a compression may write up to 16 places past the last entry
UPDATE_INPUTS = 6  # inputs of a tile of the update
SECOND_LEVEL = 1 << 20  # bytes of the second-level cache: the update of a network that fits needs no prefetches
CHUNK_INPUTS = 24  # with TO_OPTIMIZER, a tile holds the gradient of 24 inputs
SPINS = 4000  # how often a barrier spins before it yields the core (about 40 microseconds)
I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
assert c.BLOCK_ROWS <= c.PANEL_ROWS
assert c.PANEL_VECTORS >= TILE_VECTORS


class _Lanes:
    """The vector of a dtype: its LLVM types, its constants, and the operations on it."""

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
        # ln 2 in two parts. The first has so few digits that n * ln2[0] is exact.
        self.ln2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10) if double else (0.693359375, -2.12194440e-4)

    def splat(self, value: Any) -> _Vector:
        if isinstance(value, (int, float)):
            return _Vector(self, ir.Constant(self.type, [float(value)] * self.n))
        return _Vector(self, _spread(self.b, value, self.n))

    def narrow(self, number: ir.Value) -> ir.Value:
        """A float64 as a number of the dtype."""
        return number if self.scalar == number.type else self.b.fptrunc(number, self.scalar)

    def pointer(self, base: ir.Value, *offsets: Any) -> ir.Value:
        return self.b.gep(base, [_sum(self.b, *offsets)])

    def load(self, base: ir.Value, *offsets: Any) -> _Vector:
        at = self.b.bitcast(self.pointer(base, *offsets), self.type.as_pointer())
        return _Vector(self, self.b.load(at, align=self.scalar_bytes))

    def store(self, vector: _Vector, base: ir.Value, *offsets: Any) -> None:
        at = self.b.bitcast(self.pointer(base, *offsets), self.type.as_pointer())
        self.b.store(vector.value, at, align=self.scalar_bytes)

    def masked_load(self, place: ir.Value, used: ir.Value, align: int) -> ir.Value:
        """The vector at `place`. Lanes outside of the mask are not read and become 0."""
        kind = place.type.pointee
        element = "i8" if kind.element == I8 else f"f{8 * self.scalar_bytes}"
        name = f"llvm.masked.load.v{kind.count}{element}.p0v{kind.count}{element}"
        return _call_llvm(self.b, name, kind, place, I32(align), used, ir.Constant(kind, None))

    def load_some(self, used: _Mask, base: ir.Value, *offsets: Any) -> _Vector:
        """The lanes of the mask; the other lanes are not read and become 0."""
        at = self.b.bitcast(self.pointer(base, *offsets), self.type.as_pointer())
        return _Vector(self, self.masked_load(at, used.value, self.scalar_bytes))

    def store_some(self, vector: _Vector, used: _Mask, base: ir.Value, *offsets: Any) -> None:
        """Store the lanes of the mask."""
        at = self.b.bitcast(self.pointer(base, *offsets), self.type.as_pointer())
        kind = f"v{self.n}f{8 * self.scalar_bytes}"
        values = vector.value, at, I32(self.scalar_bytes), used.value
        _call_llvm(self.b, f"llvm.masked.store.{kind}.p0{kind}", ir.VoidType(), *values)

    def part(self, n: int) -> _Lanes:
        """Vectors of n lanes of the same dtype."""
        part = _Lanes(self.b, types.float64 if self.mantissa == 52 else types.float32)
        part.n, part.type, part.ints = n, ir.VectorType(self.scalar, n), ir.VectorType(self.ints.element, n)
        return part

    def wide(self, x: _Vector) -> ir.Value:
        """The vector as float64."""
        return x.value if self.mantissa == 52 else self.b.fpext(x.value, ir.VectorType(ir.DoubleType(), self.n))

    def total(self, vector: ir.Value) -> ir.Value:
        """The sum of the lanes of a vector of float64."""
        lanes = [self.b.extract_element(vector, I32(k)) for k in range(self.n)]
        while len(lanes) > 1:
            lanes = [self.b.fadd(one, other) for one, other in zip(lanes[::2], lanes[1::2], strict=True)]
        return lanes[0]

    def splat_at(self, base: ir.Value, *offsets: Any) -> _Vector:
        return self.splat(self.b.load(self.pointer(base, *offsets)))

    @property
    def scalar_bytes(self) -> int:
        return 8 if self.mantissa == 52 else 4

    def fma(self, x: _Vector, y: _Vector, z: _Vector) -> _Vector:
        name = f"llvm.fmuladd.v{self.n}f{8 * self.scalar_bytes}"
        return _Vector(self, _call_llvm(self.b, name, self.type, x.value, y.value, z.value))

    # exp(x) = 2^n (1 + p(r)) with x = n ln 2 + r and |r| <= ln 2 / 2. p is the Taylor series of exp(r) - 1, up to a
    # degree whose remainder is below the rounding error. Arguments are clamped to the exponent's range; NaN stays NaN.
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
        """exp(x) - 1. It is accurate near 0, where subtracting 1 from exp(x) would lose digits."""
        p, power = self.exp_parts(x)
        return self.fma(power, p, power - 1)

    def below(self, n: ir.Value) -> _Mask:
        """The mask of the first n lanes."""
        lanes = ir.Constant(self.ints, list(range(self.n)))
        return _Mask(self, self.b.icmp_signed("<", lanes, self.int_splat(n)))

    def int_splat(self, n: ir.Value) -> ir.Value:
        return _spread(self.b, self.b.trunc(n, self.ints.element), self.n)

    def across(self, vector: _Vector, fold: Callable[[_Vector, _Vector], _Vector]) -> ir.Value:
        """Fold all lanes into one number: each step folds one half into the other."""
        lanes = self.n
        while lanes > 1:
            lanes //= 2
            other = _shuffled(self.b, vector.value, vector.value, [i % lanes + lanes for i in range(self.n)])
            vector = fold(vector, _Vector(self, other))
        return self.b.extract_element(vector.value, I32(0))

    def sqrt(self, x: _Vector) -> _Vector:
        return _Vector(self, _call_llvm(self.b, f"llvm.sqrt.v{self.n}f{8 * self.scalar_bytes}", self.type, x.value))

    # Loads four values at once and repeats the four over the lanes. `spread` then copies one value to all lanes.
    def quad_load(self, base: ir.Value, *offsets: Any) -> ir.Value:
        four = ir.VectorType(self.scalar, 4)
        at = self.b.bitcast(self.pointer(base, *offsets), four.as_pointer())
        value = self.b.load(at, align=self.scalar_bytes)
        value = _shuffled(self.b, value, value, [i % 4 for i in range(self.n)])
        if MACHINE.x86 and MACHINE.register_bytes == VECTOR_BYTES:  # otherwise LLVM turns each spread into a load
            value = self.b.asm(ir.FunctionType(self.type, [self.type]), "", "=v,0", [value], side_effect=False)
        return value

    def spread(self, quad: ir.Value, k: int) -> _Vector:
        return _Vector(self, _shuffled(self.b, quad, quad, [i // 4 * 4 + k for i in range(self.n)]))


class _Vector:
    """A vector value. Its operators generate instructions; a comparison returns a `_Mask`."""

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


def _shuffled(b: ir.IRBuilder, one: ir.Value, other: ir.Value, lanes: Sequence[int]) -> ir.Value:
    return b.shuffle_vector(one, other, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


def _spread(b: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """A vector with this value in all lanes."""
    empty = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    return _shuffled(b, b.insert_element(empty, value, I32(0)), empty, [0] * lanes)


def _call_llvm(b: ir.IRBuilder, name: str, returns: ir.Type, *values: ir.Value) -> ir.Value:
    kind = ir.FunctionType(returns, [value.type for value in values])
    return b.call(cgutils.get_or_insert_function(b.module, kind, name), list(values))


def _sum(b: ir.IRBuilder, *terms: Any) -> ir.Value:
    """The 64-bit sum of terms: LLVM values, Python numbers, and products (value, factor)."""
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


Carried = Any  # a _Vector, or any LLVM value


def _value(x: Carried) -> ir.Value:
    return x.value if isinstance(x, _Vector) else x


def _as(like: Carried, value: ir.Value) -> Carried:
    return _Vector(like.lanes, value) if isinstance(like, _Vector) else value


def _loop(
    b: ir.IRBuilder,
    count: ir.Value,
    body: Callable[[ir.Value, list[Carried]], list[Carried] | None],
    carried: Sequence[Carried] = (),
) -> list[Carried]:
    """for i in range(count): carried = body(i, carried). The carried values stay in registers."""
    before, head, done = b.block, b.append_basic_block(), b.append_basic_block()
    b.cbranch(b.icmp_signed(">", count, I64(0)), head, done)
    b.position_at_end(head)
    i = b.phi(I64)
    phis = [b.phi(_value(v).type) for v in carried]
    new = body(i, [_as(v, phi) for v, phi in zip(carried, phis, strict=True)]) or []
    tail, following = b.block, b.add(i, I64(1))
    b.cbranch(b.icmp_signed("<", following, count), head, done)
    i.add_incoming(I64(0), before)
    i.add_incoming(following, tail)
    b.position_at_end(done)
    results = []
    for start, phi, value in zip(carried, phis, new, strict=True):
        phi.add_incoming(_value(start), before)
        phi.add_incoming(_value(value), tail)
        result = b.phi(phi.type)
        result.add_incoming(_value(start), before)
        result.add_incoming(_value(value), tail)
        results.append(_as(start, result))
    return results


def _cases(
    b: ir.IRBuilder, key: ir.Value, bodies: Mapping[int, Callable[[], Carried]], default: Carried = None
) -> Carried:
    """switch (key): run the code of one body. Return the body's result, or `default` if no body has the key."""
    before, done = b.block, b.append_basic_block()
    switch = b.switch(key, done)
    results = [] if default is None else [(default, before)]
    for value, body in bodies.items():
        block = b.append_basic_block()
        switch.add_case(I64(value), block)
        b.position_at_end(block)
        result = body()
        results.append((result, b.block))
        b.branch(done)
    b.position_at_end(done)
    if default is None:
        return None
    phi = b.phi(_value(default).type)
    for result, block in results:
        phi.add_incoming(_value(result), block)
    return _as(default, phi)


def _kinds(arguments: Sequence[Any]) -> tuple[list[Any], types.Float]:
    """The types of a kernel's arguments. The lanes have the dtype of the last pointer to floating-point numbers."""
    kinds = [types.intp if isinstance(a, types.Integer) else types.unliteral(a) for a in arguments]
    dtypes = [a.dtype for a in kinds if isinstance(a, types.CPointer) and a.dtype in (types.float32, types.float64)]
    return kinds, dtypes[-1] if dtypes else types.float32


def _kernel(write: Callable[..., Any], returns: types.Type = types.void) -> Any:
    """An intrinsic on pointers and whole numbers. `write(lanes, *arguments)` generates the code of one function.

    LLVM must not inline this function. In a caller's loop it would compute the kernel's constants and addresses before
    the loop, on every call, and keep them on the stack: an update of a tiny network took twice as long.
    """

    def typed(typing_context: Any, *arguments: Any) -> Any:
        kinds, lanes_of = _kinds(arguments)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
            kind = ir.FunctionType(context.get_value_type(returns), [value.type for value in values])
            name = "_".join(["fastnet", write.__name__, *(str(value.type) for value in values)])
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            if function.is_declaration:
                function.linkage = "linkonce_odr"  # the modules of a library share the function
                function.attributes.add("noinline")
                function.attributes.add("nounwind")
                inner = ir.IRBuilder(function.append_basic_block("entry"))
                result = write(_Lanes(inner, lanes_of), *function.args)
                inner.ret(context.get_dummy_value() if returns == types.void else result)
            return builder.call(function, values)

        return returns(*kinds), generate

    return _intrinsic(typed, write.__name__, list(inspect.signature(write).parameters.values()))


def _inline(write: Callable[..., Any], returns: types.Type = types.void) -> Any:
    """Like `_kernel`, for a few instructions: the code is generated in the caller."""

    def typed(typing_context: Any, *arguments: Any) -> Any:
        kinds, lanes_of = _kinds(arguments)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
            result = write(_Lanes(builder, lanes_of), *values)
            return context.get_dummy_value() if returns == types.void else result

        return returns(*kinds), generate

    return _intrinsic(typed, write.__name__, list(inspect.signature(write).parameters.values()))


_number = partial(_inline, returns=types.intp)


# -- register tiles: arguments are pointers to first elements, and row lengths in elements ---------------------

FROM_ZERO, FROM_START, ADD = range(3)


@_kernel
def forward_tile(
    v: _Lanes, rows: Any, vectors: Any, x: Any, ldx: Any, n: Any, w: Any, ldw: Any, begin: Any, start: Any, out: Any,
    ldo: Any,
) -> None:  # fmt: skip
    """out[rows][vectors] = x[rows][n] w[n][vectors] + s. n is a multiple of GROUP.

    `begin` chooses s: 0 (FROM_ZERO), the row `start` (FROM_START) or out (ADD).
    """
    from_zero, from_start = v.b.icmp_signed("==", begin, I64(FROM_ZERO)), v.b.icmp_signed("==", begin, I64(FROM_START))
    source, lds = v.b.select(from_start, start, out), v.b.select(from_start, I64(0), ldo)
    groups = v.b.udiv(n, I64(GROUP))

    def tile(r_count: int, v_count: int) -> None:
        places = [(r, k) for r in range(r_count) for k in range(v_count)]
        size = len(places)
        chains = 4 if size < 4 else 1  # four independent sums hide the latency
        lines = [v.pointer(x, (ldx, r)) for r in range(r_count)]

        def group(g: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            first = v.b.mul(g, I64(GROUP))
            here = [v.pointer(line, first) for line in lines]
            acc = list(acc)
            for i in range(GROUP):
                w_line = v.pointer(w, (first, ldw), (ldw, i))
                weights = [v.load(w_line, k * v.n) for k in range(v_count)]
                inputs = [v.splat_at(line, i) for line in here]
                for at, (r, k) in enumerate(places, i % chains * size):
                    acc[at] = v.fma(inputs[r], weights[k], acc[at])
            return acc

        zero = v.splat(0)
        acc = [_Mask(v, from_zero).select(zero, v.load(source, (lds, r), k * v.n)) for r, k in places]
        acc = _loop(v.b, groups, group, acc + [zero] * (size * (chains - 1)))
        for at, (r, k) in enumerate(places):
            a = acc[at]
            if chains == 4:
                a = (a + acc[at + size]) + (acc[at + 2 * size] + acc[at + 3 * size])
            v.store(a, out, (ldo, r), k * v.n)

    sizes = [(r, k) for r in range(1, TILE_ROWS + 1) for k in range(1, TILE_VECTORS + 1)]
    _cases(v.b, _sum(v.b, (rows, 8), vectors), {r * 8 + k: partial(tile, r, k) for r, k in sizes})


@_kernel
def update_tiles(
    v: _Lanes, vectors: Any, x: Any, ldx: Any, rows: Any, n: Any, delta: Any, ldd: Any, out: Any, ldo: Any, ahead: Any,
    lda: Any, packed: Any, slots: Any,
) -> None:  # fmt: skip
    """For n groups of inputs: out[n GROUP][vectors] += x[rows][n GROUP]^T delta[rows][vectors].

    The tiles have 6 inputs, and 4 where the rest needs it or where the columns are few. While a tile is computed, its
    place in the parameters `ahead` is prefetched, and its places in `slots` rows of the optimiser's state, 3 * packed
    and 4 * packed elements further. With slots < 0 nothing is prefetched.
    """

    def tile(i_count: int, v_count: int, first: ir.Value) -> None:
        places = [(i, k) for i in range(i_count) for k in range(v_count)]
        column, target = v.pointer(x, first), v.pointer(out, (first, ldo))

        def row(r: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            deltas = [v.load(delta, (r, ldd), k * v.n) for k in range(v_count)]
            inputs = [v.splat_at(column, (r, ldx), i) for i in range(i_count)]
            return [v.fma(inputs[i], deltas[k], a) for (i, k), a in zip(places, acc, strict=True)]

        def row_with_prefetch(r: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            i, k = v.b.udiv(r, I64(v_count)), v.b.urem(r, I64(v_count))
            line = _sum(v.b, (v.b.add(first, i), lda), (k, v.n))
            for slot in range(3):  # the parameters and up to two rows of state; a missing row is the parameters
                there = v.b.icmp_signed(">=", slots, I64(slot))
                place = v.b.select(there, v.b.mul(packed, I64(slot + 2)), I64(0)) if slot else I64(0)
                at = v.b.bitcast(v.pointer(ahead, line, place), I8.as_pointer())
                _call_llvm(v.b, "llvm.prefetch.p0i8", ir.VoidType(), at, I32(0), I32(2), I32(1))
            return row(r, acc)

        few = v.b.icmp_signed("<", rows, I64(len(places)))
        lines = v.b.select(few, rows, I64(len(places)))
        lines = v.b.select(v.b.icmp_signed("<", slots, I64(0)), I64(0), lines)
        acc = [v.load(target, (ldo, i), k * v.n) for i, k in places]
        acc = _loop(v.b, lines, row_with_prefetch, acc)  # one line a row: many prefetches at once wait for each other
        acc = _loop(v.b, v.b.sub(rows, lines), lambda r, acc: row(v.b.add(r, lines), acc), acc)
        for a, (i, k) in zip(acc, places, strict=True):
            v.store(a, target, (ldo, i), k * v.n)

    def tiles(v_count: int) -> None:
        threes = v.b.udiv(n, I64(3)) if 2 * v_count > TILE_VECTORS else I64(0)  # three groups are two tiles of six
        sixes, fours = v.b.mul(threes, I64(2)), v.b.sub(n, v.b.mul(threes, I64(3)))
        after = v.b.mul(sixes, I64(UPDATE_INPUTS))
        if 2 * v_count > TILE_VECTORS:
            _loop(v.b, sixes, lambda g, _: tile(UPDATE_INPUTS, v_count, v.b.mul(g, I64(UPDATE_INPUTS))))
        _loop(v.b, fours, lambda g, _: tile(GROUP, v_count, _sum(v.b, after, (g, GROUP))))

    _cases(v.b, vectors, {k: partial(tiles, k) for k in range(1, TILE_VECTORS + 1)})


@_kernel
def add_rows(v: _Lanes, delta: Any, ld: Any, rows: Any, columns: Any, sums: Any) -> None:
    """sums[columns] += the sum of the rows of delta, in whole vectors."""

    def column(k: ir.Value, _: list[_Vector]) -> None:
        def row(i: ir.Value, total: list[_Vector]) -> list[_Vector]:
            return [total[0] + v.load(delta, (i, ld), (k, v.n))]

        v.store(_loop(v.b, rows, row, [v.load(sums, (k, v.n))])[0], sums, (k, v.n))

    _loop(v.b, v.b.udiv(columns, I64(v.n)), column)


@_kernel
def pack_panel(v: _Lanes, source: Any, ld: Any, rows: Any, width: Any, panel: Any) -> None:
    """panel[rows][width] = source[rows][width], in whole vectors."""

    def row(i: ir.Value, _: list[_Vector]) -> None:
        def column(k: ir.Value, _: list[_Vector]) -> None:
            v.store(v.load(source, (i, ld), (k, v.n)), panel, (i, width), (k, v.n))

        _loop(v.b, v.b.udiv(width, I64(v.n)), column)

    _loop(v.b, rows, row)


@_kernel
def copy_row(v: _Lanes, source: Any, n: Any, target: Any, width: Any) -> None:
    """target[width] = source[n], then zeros. The width is whole vectors. Nothing is read after source[n]."""

    def vector(k: ir.Value, _: list[_Vector]) -> None:
        at = v.b.mul(k, I64(v.n))
        v.store(v.load_some(v.below(v.b.sub(n, at)), source, at), target, at)

    _loop(v.b, v.b.udiv(width, I64(v.n)), vector)


def _turned(v: _Lanes, lines: Sequence[ir.Value]) -> list[ir.Value]:
    """The transpose of a square of vectors."""
    lines, step = list(lines), 1
    while step < v.n:  # swap lanes between vectors that are `step` apart
        upper = [v.n + i - step if i & step else i for i in range(v.n)]
        lower = [v.n + i if i & step else i + step for i in range(v.n)]
        for i in range(v.n):
            if not i & step:
                pair = lines[i], lines[i + step]
                lines[i], lines[i + step] = _shuffled(v.b, *pair, upper), _shuffled(v.b, *pair, lower)
        step *= 2
    return lines


def _lane_sums(v: _Lanes, vectors: Sequence[_Vector]) -> _Vector:
    """The vector whose lane k is the sum of the lanes of vectors[k]. There are at most as many vectors as lanes."""
    size = 1 << (len(vectors) - 1).bit_length()
    lines, step = [x.value for x in vectors] + [v.splat(0).value] * (size - len(vectors)), size // 2
    while step:  # the sum of a blend, [a0 a1 b2 b3], and a shuffle, [a2 a3 b0 b1]: two shuffles take twice the time
        blend = [v.n + i if i & step else i for i in range(v.n)]
        cross = [v.n + i - step if i & step else i + step for i in range(v.n)]
        pairs = [(lines[i], lines[i + step]) for i in range(step)]
        lines = [v.b.fadd(_shuffled(v.b, *pair, blend), _shuffled(v.b, *pair, cross)) for pair in pairs]
        step //= 2
    total = lines[0]
    while size < v.n:  # lane l holds a part of the sum of vectors[l % size]
        total = v.b.fadd(total, _shuffled(v.b, total, total, [i ^ size for i in range(v.n)]))
        size *= 2
    return _Vector(v, total)


@_kernel
def transpose_panel(v: _Lanes, source: Any, ld: Any, rows: Any, width: Any, panel: Any) -> None:
    """panel[rows][width] = source[width][rows], rows rounded up to whole vectors, one square of vectors at a time."""

    def square(at: ir.Value, target: ir.Value) -> None:
        lines = [v.load(at, (ld, i)).value for i in range(v.n)]
        for i, line in enumerate(_turned(v, lines)):
            v.store(_Vector(v, line), target, (width, i))

    def row(i: ir.Value, _: list[_Vector]) -> None:
        def column(k: ir.Value, _: list[_Vector]) -> None:
            first, column = v.b.mul(i, I64(v.n)), v.b.mul(k, I64(v.n))
            square(v.pointer(source, (column, ld), first), v.pointer(panel, (first, width), column))

        _loop(v.b, v.b.udiv(width, I64(v.n)), column)

    _loop(v.b, v.b.udiv(_sum(v.b, rows, v.n - 1), I64(v.n)), row)


# -- sparse rows: n entries, each a column and a value --------------------------------------------------------
# One load takes four values of the first row, and shuffles spread each value over a vector. The second row's values are
# loaded one by one. So there are no more loads than multiply-adds, and no more shuffles than multiply-adds.

SPARSE_VECTORS = 1, 2, 4, 8


def _fours(b: ir.IRBuilder, n: ir.Value, four: Callable[..., Any], one: Callable[..., Any], carried: Any) -> Any:
    """carried = four(i, carried) for each group of four entries, then one(i, carried) for each remaining entry."""
    whole = b.and_(n, I64(-4))
    carried = _loop(b, b.udiv(n, I64(4)), lambda g, acc: four(b.mul(g, I64(4)), acc), carried)
    return _loop(b, b.and_(n, I64(3)), lambda k, acc: one(b.add(whole, k), acc), carried)


def _place(v: _Lanes, base: ir.Value, ld: ir.Value, numbers: ir.Value, *at: Any) -> ir.Value:
    """A pointer to row numbers[at] of base."""
    return v.pointer(base, (v.b.sext(v.b.load(v.pointer(numbers, *at)), I64), ld))


@_kernel
def sparse_forward(
    v: _Lanes, rows: Any, vectors: Any, columns: Any, values: Any, ldv: Any, n: Any, w: Any, ldw: Any, start: Any,
    out: Any, ldo: Any,
) -> None:  # fmt: skip
    """out[rows][vectors] = start + the sum of values[rows][k] w[columns[k]]."""

    def tile(r_count: int, v_count: int) -> None:
        size = r_count * v_count
        chains = max(1, 4 // size)

        def entry(i: ir.Value, k: int, inputs: list[_Vector], acc: list[_Vector], chain: int) -> None:
            line = _place(v, w, ldw, columns, i, k)
            for j in range(v_count):
                weights = v.load(line, j * v.n)
                for r in range(r_count):
                    at = chain * size + r * v_count + j
                    acc[at] = v.fma(inputs[r], weights, acc[at])

        def four(i: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            acc, quad = list(acc), v.quad_load(values, i)
            for k in range(4):
                inputs = [v.spread(quad, k)] + [v.splat_at(values, i, k, ldv)] * (r_count - 1)
                entry(i, k, inputs, acc, k % chains)
            return acc

        def one(i: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            acc = list(acc)
            entry(i, 0, [v.splat_at(values, i, (ldv, r)) for r in range(r_count)], acc, 0)
            return acc

        begin = [v.load(start, j * v.n) for j in range(v_count)] * r_count
        acc = _fours(v.b, n, four, one, begin + [v.splat(0)] * (size * (chains - 1)))
        for at in range(size):
            for chain in range(1, chains):
                acc[at] = acc[at] + acc[at + chain * size]
            v.store(acc[at], out, (ldo, at // v_count), at % v_count * v.n)

    sizes = [(r, k) for r in (1, 2) for k in SPARSE_VECTORS]
    _cases(v.b, _sum(v.b, (rows, 16), vectors), {r * 16 + k: partial(tile, r, k) for r, k in sizes})


@_kernel
def sparse_update(
    v: _Lanes, rows: Any, vectors: Any, columns: Any, values: Any, ldv: Any, n: Any, delta: Any, ldd: Any, w: Any,
    ldw: Any,
) -> None:  # fmt: skip
    """w[columns[k]][vectors] += values[rows][k] delta[rows][vectors], summed over the rows."""

    def tile(r_count: int, v_count: int) -> None:
        deltas = [[v.load(delta, (ldd, r), j * v.n) for j in range(v_count)] for r in range(r_count)]

        def entry(inputs: list[_Vector], *at: Any) -> None:
            line = _place(v, w, ldw, columns, *at)
            for j in range(v_count):
                total = v.load(line, j * v.n)
                for r in range(r_count):
                    total = v.fma(inputs[r], deltas[r][j], total)
                v.store(total, line, j * v.n)

        def four(i: ir.Value, _: list[_Vector]) -> None:
            quads = [v.quad_load(values, i, (ldv, r)) for r in range(r_count)]
            for k in range(4):
                entry([v.spread(quad, k) for quad in quads], i, k)

        def one(i: ir.Value, _: list[_Vector]) -> None:
            entry([v.splat_at(values, i, (ldv, r)) for r in range(r_count)], i)

        _fours(v.b, n, four, one, [])

    sizes = [(r, k) for r in (1, 2) for k in (1, 2)]
    _cases(v.b, _sum(v.b, (rows, 16), vectors), {r * 16 + k: partial(tile, r, k) for r, k in sizes})


@_kernel
def sorted_update(v: _Lanes, vectors: Any, rows: Any, values: Any, n: Any, delta: Any, ldd: Any, out: Any) -> None:
    """out[vectors] += the sum of value * delta[row] over the n entries of one input, as _sort_entries stores them."""

    def tile(v_count: int) -> None:
        def entry(k: ir.Value, acc: list[_Vector]) -> list[_Vector]:
            line, value = _place(v, delta, ldd, rows, (k, v.scalar_bytes // 2)), v.splat_at(values, (k, 2))
            return [v.fma(value, v.load(line, j * v.n), a) for j, a in enumerate(acc)]

        acc = _loop(v.b, n, entry, [v.load(out, j * v.n) for j in range(v_count)])
        for j, a in enumerate(acc):
            v.store(a, out, j * v.n)

    _cases(v.b, vectors, {k: partial(tile, k) for k in range(1, TILE_VECTORS + 1)})


# Compression moves the lanes that are not zero to the front of a register, with one AVX-512 instruction. The form of
# the instruction that writes to memory (LLVM's masked.compressstore) is very slow on some processors.


def _compressed(b: ir.IRBuilder, values: ir.Value, some: ir.Value) -> ir.Value:
    kind, zero = values.type, ir.Constant(values.type, None)
    letter = "f" if isinstance(kind.element, (ir.FloatType, ir.DoubleType)) else "i"
    bits = 64 if isinstance(kind.element, ir.DoubleType) else 32
    name = f"llvm.x86.avx512.mask.compress.v{kind.count}{letter}{bits}"
    return _call_llvm(b, name, kind, values, zero, some)


def _count(b: ir.IRBuilder, mask: ir.Value) -> ir.Value:
    """The number of lanes of a mask that are set."""
    bits = ir.IntType(mask.type.count)
    return b.zext(_call_llvm(b, f"llvm.ctpop.i{bits.width}", bits, b.bitcast(mask, bits)), I64)


def _vector_at(b: ir.IRBuilder, lanes: int, base: ir.Value, *offsets: Any) -> ir.Value:
    kind = ir.VectorType(base.type.pointee, lanes).as_pointer()
    return b.bitcast(b.gep(base, [_sum(b, *offsets)]), kind)


@partial(_kernel, returns=types.intp)
def compress_bytes(v: _Lanes, first: Any, second: Any, pair: Any, n: Any, places: Any) -> Any:
    """Write column << 16 | first << 8 | second for each column with a nonzero byte. Return the number of columns.

    The kernel handles whole vectors of sixteen bytes; the caller handles the remaining bytes.
    """
    if not COMPRESSES:
        return I64(0)
    b, kind = v.b, ir.VectorType(I32, 16)
    both = _spread(b, b.select(b.icmp_signed("!=", pair, I64(0)), I32(255), I32(0)), 16)

    def sixteen(k: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
        found, here = carried
        a, z = (b.zext(b.load(_vector_at(b, 16, row, (k, 16)), align=1), kind) for row in (first, second))
        octets = b.or_(b.shl(a, ir.Constant(kind, [8] * 16)), b.and_(z, both))
        some = b.icmp_signed("!=", octets, ir.Constant(kind, None))
        b.store(_compressed(b, b.or_(octets, here), some), _vector_at(b, 16, places, found), align=4)
        return [b.add(found, _count(b, some)), b.add(here, ir.Constant(kind, [16 << 16] * 16))]

    start = ir.Constant(kind, [i << 16 for i in range(16)])
    return _loop(b, b.udiv(n, I64(16)), sixteen, [I64(0), start])[0]


@partial(_kernel, returns=types.intp)
def compress_reals(v: _Lanes, first: Any, second: Any, pair: Any, n: Any, columns: Any, values: Any, ldv: Any) -> Any:
    """Write the columns where at least one row is not zero, and the values there. Return the number of columns.

    The kernel handles whole vectors; the caller handles the remaining numbers.
    """
    if not COMPRESSES:
        return I64(0)
    b, kind, zero = v.b, ir.VectorType(I32, v.n), v.splat(0).value
    paired = b.icmp_signed("!=", pair, I64(0))

    def vector(k: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
        found, here = carried
        a, z = v.load(first, (k, v.n)).value, v.load(second, (k, v.n)).value
        # without a second row, `second` is the first row
        some = b.or_(b.fcmp_unordered("!=", a, zero), b.fcmp_unordered("!=", z, zero))
        b.store(_compressed(b, here, some), _vector_at(b, v.n, columns, found), align=4)
        v.store(_Vector(v, _compressed(b, a, some)), values, found)
        with b.if_then(paired):
            v.store(_Vector(v, _compressed(b, z, some)), values, found, ldv)
        return [b.add(found, _count(b, some)), b.add(here, ir.Constant(kind, [v.n] * v.n))]

    return _loop(b, b.udiv(n, I64(v.n)), vector, [I64(0), ir.Constant(kind, list(range(v.n)))])[0]


@_kernel
def unpack_bytes(v: _Lanes, places: Any, n: Any, pair: Any, scale: Any, values: Any, ldv: Any) -> None:
    """Split each number from compress_bytes: the column stays in `places`, and values = scale * bytes.

    The kernel handles whole vectors.
    """
    b, kind, factor = v.b, ir.VectorType(I32, v.n), v.splat(v.narrow(scale))
    paired = b.icmp_signed("!=", pair, I64(0))

    def scaled(numbers: ir.Value) -> _Vector:
        octets = b.and_(numbers, ir.Constant(kind, [255] * v.n))
        return _Vector(v, b.sitofp(octets, v.type)) * factor

    def vector(k: ir.Value, _: list[_Vector]) -> None:
        at = _vector_at(b, v.n, places, (k, v.n))
        numbers = b.load(at, align=4)
        v.store(scaled(b.lshr(numbers, ir.Constant(kind, [8] * v.n))), values, (k, v.n))
        with b.if_then(paired):
            v.store(scaled(numbers), values, (k, v.n), ldv)
        b.store(b.ashr(numbers, ir.Constant(kind, [16] * v.n)), at, align=4)

    _loop(b, b.udiv(_sum(b, n, v.n - 1), I64(v.n)), vector)


def _vectors_and_rest(v: _Lanes, n: ir.Value, body: Callable[..., Any], carried: Sequence[Carried] = ()) -> Any:
    """Call body(lanes, place, carried) for n numbers: first in whole vectors, then one by one."""
    whole = v.b.udiv(n, I64(v.n))
    carried = _loop(v.b, whole, lambda k, acc: body(v.n, v.b.mul(k, I64(v.n)), acc), carried)
    start, rest = v.b.mul(whole, I64(v.n)), v.b.urem(n, I64(v.n))
    return _loop(v.b, rest, lambda k, acc: body(1, v.b.add(start, k), acc), carried)


@_kernel
def scale_bytes(v: _Lanes, octets: Any, n: Any, scale: Any, out: Any) -> None:
    """out[n] = scale * octets[n]."""
    factor = v.narrow(scale)

    def convert(lanes: int, at: ir.Value, _: list[_Vector]) -> None:
        values = v.b.uitofp(v.b.load(_vector_at(v.b, lanes, octets, at), align=1), ir.VectorType(v.scalar, lanes))
        values = v.b.fmul(values, _spread(v.b, factor, lanes))
        v.b.store(values, _vector_at(v.b, lanes, out, at), align=v.scalar_bytes)

    _vectors_and_rest(v, n, convert)


@partial(_kernel, returns=types.intp)
def count_entries(v: _Lanes, x: Any, n: Any) -> Any:
    """How many of n numbers are not zero."""

    def count(lanes: int, at: ir.Value, found: list[ir.Value]) -> list[ir.Value]:
        octets = x.type.pointee == I8
        values = v.b.load(_vector_at(v.b, lanes, x, at), align=1 if octets else v.scalar_bytes)
        zero = ir.Constant(values.type, None)
        some = v.b.icmp_unsigned("!=", values, zero) if octets else v.b.fcmp_unordered("!=", values, zero)
        return [v.b.add(found[0], _count(v.b, some))]

    return _vectors_and_rest(v, n, count, [I64(0)])[0]


# -- activations, and their derivatives as functions of the output ---------------------------------------------
# A switch selects the formula for each vector. The branch predictor makes this switch almost free.


def _tanh(v: _Lanes, z: _Vector) -> _Vector:
    e = v.expm1(z + z)
    return e / (e + 2)


def _exponential(v: _Lanes, z: _Vector) -> _Vector:
    """exp(z), and infinity where exp(z) would overflow, so that training notices the divergence."""
    return (z > v.exp_range[1]).select(v.splat(math.inf), v.exp(z))


ACTIVATION: dict[int, Callable[[_Lanes, _Vector], _Vector]] = {  # all other codes: the identity
    c.SIGMOID: lambda v, z: 1 / (v.exp(0 - z) + 1),
    c.RELU: lambda v, z: (z < 0).select(v.splat(0), z),  # a NaN stays NaN
    c.TANH: _tanh,
    c.LEAKY_RELU: lambda v, z: (z < 0).select(z * c.LEAKY_SLOPE, z),
    c.EXPONENTIAL: _exponential,
}
GIVEN = c.EXPONENTIAL + 1  # not an activation: the array holds the derivatives that apply_dropout has stored
DERIVATIVE: dict[int, Callable[[_Lanes, _Vector], _Vector]] = {  # all other codes: 1
    c.SIGMOID: lambda v, a: a * (1 - a),
    c.RELU: lambda v, a: (a > 0).select(v.splat(1), v.splat(0)),
    c.TANH: lambda v, a: 1 - a * a,
    c.LEAKY_RELU: lambda v, a: (a > 0).select(v.splat(1), v.splat(c.LEAKY_SLOPE)),
    c.EXPONENTIAL: lambda v, a: a,
    GIVEN: lambda v, derivative: derivative,
}


def _chosen(v: _Lanes, formulas: dict[int, Any], activation: ir.Value, x: _Vector, default: _Vector) -> _Vector:
    bodies = {code: partial(formula, v, x) for code, formula in formulas.items()}
    chosen: _Vector = _cases(v.b, activation, bodies, default)
    return chosen


@_kernel
def activate_tile(v: _Lanes, activation: Any, z: Any, a: Any, ld: Any, rows: Any, columns: Any, used: Any) -> None:
    """a = activation(z). Columns from `used` on are padding and become zero."""

    def row(r: ir.Value, _: list[_Vector]) -> None:
        def vector(k: ir.Value, _: list[_Vector]) -> None:
            at = v.b.mul(k, I64(v.n))
            x = v.load(z, (r, ld), at)
            y = _chosen(v, ACTIVATION, activation, x, x)
            v.store(v.below(v.b.sub(used, at)).select(y, v.splat(0)), a, (r, ld), at)

        _loop(v.b, v.b.udiv(columns, I64(v.n)), vector)

    _loop(v.b, rows, row)


@_kernel
def times_derivative(v: _Lanes, activation: Any, a: Any, delta: Any, ld: Any, rows: Any, columns: Any) -> None:
    """delta *= the derivative of the activation at outputs a."""

    def row(r: ir.Value, _: list[_Vector]) -> None:
        def vector(k: ir.Value, _: list[_Vector]) -> None:
            derivative = _chosen(v, DERIVATIVE, activation, v.load(a, (r, ld), (k, v.n)), v.splat(1))
            v.store(v.load(delta, (r, ld), (k, v.n)) * derivative, delta, (r, ld), (k, v.n))

        _loop(v.b, v.b.udiv(columns, I64(v.n)), vector)

    _loop(v.b, rows, row)


# -- dropout ---------------------------------------------------------------------------------------------------

DROP_GROUPS = 8  # groups of four neurons whose random numbers are drawn together


def _random_words(b: ir.IRBuilder, groups: ir.Value, rows: ir.Value, key: ir.Value, update: ir.Value) -> list[ir.Value]:
    """Philox4x32-10: the four numbers of groups[i] of neurons in rows[i], as four vectors of 32-bit numbers."""
    wide, n = groups.type, groups.type.count

    def all_lanes(value: Any) -> ir.Value:
        return ir.Constant(wide, [value] * n) if isinstance(value, int) else _spread(b, value, n)

    half, low = all_lanes(32), all_lanes(0xFFFFFFFF)  # 32-bit words are in 64-bit lanes, the size of a product
    keys = [all_lanes(part) for part in (b.and_(key, I64(0xFFFFFFFF)), b.lshr(key, I64(32)))]
    c0, c1 = b.and_(groups, low), b.and_(rows, low)
    c2, c3 = all_lanes(b.and_(update, I64(0xFFFFFFFF))), all_lanes(b.lshr(update, I64(32)))
    for number in range(c.PHILOX_ROUNDS):
        k0, k1 = (
            b.and_(b.add(k, all_lanes(number * step & 0xFFFFFFFF)), low)
            for k, step in zip(keys, c.PHILOX_STEPS, strict=True)
        )
        p0, p1 = (b.mul(x, all_lanes(m)) for x, m in zip((c0, c2), c.PHILOX_MULTIPLIERS, strict=True))
        c0, c1 = b.xor(b.xor(b.lshr(p1, half), c1), k0), b.and_(p1, low)
        c2, c3 = b.xor(b.xor(b.lshr(p0, half), c3), k1), b.and_(p0, low)
    return [b.trunc(x, ir.VectorType(I32, n)) for x in (c0, c1, c2, c3)]


def _words_in_order(b: ir.IRBuilder, first: ir.Value, row: ir.Value, key: ir.Value, update: ir.Value) -> ir.Value:
    """The four numbers of each of DROP_GROUPS groups of neurons of one row, from group `first` on, in order."""
    lanes = ir.Constant(ir.VectorType(I64, DROP_GROUPS), list(range(DROP_GROUPS)))
    groups = b.add(_spread(b, first, DROP_GROUPS), lanes)
    w0, w1, w2, w3 = _random_words(b, groups, _spread(b, row, DROP_GROUPS), key, update)
    both = range(2 * DROP_GROUPS)
    return _shuffled(
        b,
        _shuffled(b, w0, w1, both),
        _shuffled(b, w2, w3, both),
        [w * DROP_GROUPS + j for j in range(DROP_GROUPS) for w in range(4)],
    )


@_kernel
def apply_dropout(
    v: _Lanes, activation: Any, drop: Any, key: Any, update: Any, row: Any, factors: Any, a: Any, derivatives: Any,
    ld: Any, rows: Any,
) -> None:  # fmt: skip
    """Apply dropout to rows of a batch, from row number `row` on: a becomes 0 for a dropped neuron, else scale * a.

    `derivatives` becomes 0 or scale * derivative(a); the backward pass multiplies the deltas by it. On entry,
    factors[0] is the scale. The kernel then uses `factors` as scratch memory.
    """
    b, n_numbers = v.b, 4 * DROP_GROUPS
    scale = _spread(b, b.load(factors), n_numbers)
    threshold = _spread(b, b.trunc(drop, I32), n_numbers)

    def line(r: ir.Value, _: list[_Vector]) -> None:
        def chunk(k: ir.Value, _: list[_Vector]) -> None:
            first = v.b.mul(k, I64(DROP_GROUPS))
            words = _words_in_order(b, first, b.add(row, r), key, update)
            kept = b.select(b.icmp_unsigned("<", words, threshold), ir.Constant(scale.type, None), scale)
            b.store(kept, b.bitcast(factors, scale.type.as_pointer()), align=v.scalar_bytes)
            start = b.mul(k, I64(n_numbers))
            left = b.sub(ld, start)
            n = b.select(b.icmp_signed("<", left, I64(n_numbers)), left, I64(n_numbers))

            def vector(i: ir.Value, _: list[_Vector]) -> None:
                at = (r, ld), start, (i, v.n)
                x, factor = v.load(a, *at), v.load(factors, (i, v.n))
                v.store(factor * _chosen(v, DERIVATIVE, activation, x, v.splat(1)), derivatives, *at)
                v.store(factor * x, a, *at)

            _loop(b, b.udiv(n, I64(v.n)), vector)

        _loop(b, b.udiv(_sum(b, ld, n_numbers - 1), I64(n_numbers)), chunk)

    _loop(b, rows, line)


@_kernel
def softmax(v: _Lanes, z: Any, a: Any, n: Any, width: Any, rows: Any) -> None:
    """a[rows][width] = softmax(z[rows][n]), with padding 0."""
    vectors = v.b.udiv(width, I64(v.n))

    def used(k: ir.Value) -> _Mask:
        return v.below(v.b.sub(n, v.b.mul(k, I64(v.n))))

    def higher(one: _Vector, other: _Vector) -> _Vector:
        return (other > one).select(other, one)

    def row(r: ir.Value, _: list[_Vector]) -> None:
        line, out = v.pointer(z, (r, width)), v.pointer(a, (r, width))

        def highest(k: ir.Value, best: list[_Vector]) -> list[_Vector]:
            return [higher(best[0], used(k).select(v.load(line, (k, v.n)), best[0]))]

        def power(k: ir.Value, total: list[_Vector]) -> list[_Vector]:
            e = used(k).select(v.exp(v.load(line, (k, v.n)) - best), v.splat(0))
            v.store(e, out, (k, v.n))
            return [total[0] + e]

        def divide(k: ir.Value, _: list[_Vector]) -> None:
            v.store(used(k).select(v.load(out, (k, v.n)) / total, v.splat(0)), out, (k, v.n))

        best = v.splat(v.across(_loop(v.b, vectors, highest, [v.splat(-math.inf)])[0], higher))
        total = v.splat(v.across(_loop(v.b, vectors, power, [v.splat(0)])[0], lambda one, other: one + other))
        _loop(v.b, vectors, divide)

    _loop(v.b, rows, row)


# -- the output layer -----------------------------------------------------------------------------------------


# Each cost that is a sum over the outputs is one of these formulas of the error e of an output:
#     its derivative is d = min(max(GAIN e, LOW), HIGH), and the cost is d (e - REST d).
GAIN, LOW, HIGH, REST = range(4)


def cost_numbers(cost: int, number: float, dtype: np.dtype[Any]) -> tuple[float, float, float, float]:
    """GAIN, LOW, HIGH and REST of a cost. For the other costs, d is the error."""
    info = np.finfo(dtype)
    largest, steep = float(info.max), 2.0 ** (info.maxexp - 1)  # steep * e is at least 1 for any e above 0
    formulas: dict[int, tuple[float, float, float, float]] = {
        c.SQUARED_ERROR: (2, -largest, largest, 0.25),
        c.ABSOLUTE_ERROR: (steep, -1, 1, 0),
        c.HUBER: (1, -min(number, largest), min(number, largest), 0.5),
        c.QUANTILE: (steep, -number, 1 - number, 0),
    }
    return formulas.get(cost, (1, -largest, largest, 0.5))


def _target(v: _Lanes, targets: Any, label: Any, at: ir.Value) -> _Vector:
    """A vector of the target: 1 at `label` and 0 elsewhere, or the given targets if label < 0."""
    given = _Mask(v, v.b.icmp_signed("<", label, I64(0)))
    lanes = ir.Constant(v.ints, list(range(v.n)))
    one = _Mask(v, v.b.icmp_signed("==", lanes, v.int_splat(v.b.sub(label, at))))
    return given.select(v.load(targets, at), one.select(v.splat(1), v.splat(0)))


@_kernel
def output_error(
    v: _Lanes, activation: Any, a: Any, delta: Any, columns: Any, label: Any, factors: Any, numbers: Any, sums: Any
) -> None:
    """delta = factors[0] d derivative(a), in whole vectors, with d and the cost of each output as above.

    factors[1] is the weight of the example. The kernel adds weight * cost to the first vector of `sums`, and weight *
    error^2 to the second. Where label < 0, delta holds the target on entry.
    """
    factor, weight = v.splat_at(factors), v.splat_at(factors, 1)
    gain, low, high, rest = (v.splat_at(numbers, k) for k in (GAIN, LOW, HIGH, REST))

    def vector(k: ir.Value, totals: list[_Vector]) -> list[_Vector]:
        at = v.b.mul(k, I64(v.n))
        x = v.load(a, at)
        error = x - _target(v, delta, label, at)
        d = gain * error
        d = (d < low).select(low, d)
        d = (d > high).select(high, d)
        v.store(d * factor * _chosen(v, DERIVATIVE, activation, x, v.splat(1)), delta, at)
        cost, square = totals
        return [v.fma(weight * d, error - rest * d, cost), v.fma(weight * error, error, square)]

    totals = _loop(v.b, v.b.udiv(columns, I64(v.n)), vector, [v.load(sums), v.load(sums, v.n)])
    for k, total in enumerate(totals):
        v.store(total, sums, k * v.n)


@partial(_kernel, returns=types.intp)
def count_right(v: _Lanes, z: Any, targets: Any, label: Any, n: Any) -> Any:
    """How many of n labels are right: predicted if z >= 0, true if the target is at least 0.5. Reads whole vectors."""
    b = v.b

    def vector(k: ir.Value, found: list[ir.Value]) -> list[ir.Value]:
        at = b.mul(k, I64(v.n))
        predicted = b.fcmp_ordered(">=", v.load(z, at).value, v.splat(0).value)
        true = b.fcmp_ordered(">=", _target(v, targets, label, at).value, v.splat(0.5).value)
        return [b.add(found[0], _count(b, b.and_(b.icmp_unsigned("==", predicted, true), v.below(b.sub(n, at)).value)))]

    return _loop(b, b.udiv(_sum(b, n, v.n - 1), I64(v.n)), vector, [I64(0)])[0]


@partial(_kernel, returns=types.intp)
def is_first_largest(v: _Lanes, a: Any, n: Any, label: Any) -> Any:
    """Whether `label` is the first index of the largest number of a[n]. Reads whole vectors, without branches."""
    b, best = v.b, v.splat_at(a, label)

    def vector(k: ir.Value, beaten: list[ir.Value]) -> list[ir.Value]:
        at = b.mul(k, I64(v.n))
        x = v.load(a, at)
        tie = b.and_(b.fcmp_ordered("==", x.value, best.value), v.below(b.sub(label, at)).value)
        worse = b.and_(b.or_((x > best).value, tie), v.below(b.sub(n, at)).value)
        return [b.or_(beaten[0], worse)]

    none = ir.Constant(ir.VectorType(I1, v.n), None)
    beaten = _loop(b, b.udiv(_sum(b, n, v.n - 1), I64(v.n)), vector, [none])[0]
    bits = ir.IntType(v.n)
    return b.zext(b.icmp_unsigned("==", b.bitcast(beaten, bits), bits(0)), I64)


@partial(_kernel, returns=types.float64)
def row_largest(v: _Lanes, a: Any, n: Any) -> Any:
    """The largest number of a[n] without its NaN, or -infinity. a is padded to whole vectors."""

    def higher(one: _Vector, other: _Vector) -> _Vector:
        return (other > one).select(other, one)

    def vector(k: ir.Value, best: list[_Vector]) -> list[_Vector]:
        used = v.below(v.b.sub(n, v.b.mul(k, I64(v.n))))
        return [higher(best[0], used.select(v.load(a, (k, v.n)), best[0]))]

    vectors = v.b.udiv(_sum(v.b, n, v.n - 1), I64(v.n))
    largest = v.across(_loop(v.b, vectors, vector, [v.splat(-math.inf)])[0], higher)
    return largest if v.scalar == ir.DoubleType() else v.b.fpext(largest, ir.DoubleType())


@partial(_inline, returns=types.float64)
def total_of(v: _Lanes, vector: Any) -> Any:
    """The sum of a vector's lanes."""
    total = v.across(v.load(vector), lambda one, other: one + other)
    return total if v.scalar == ir.DoubleType() else v.b.fpext(total, ir.DoubleType())


# -- optimisers -----------------------------------------------------------------------------------------------

PLAIN, WITH_MOMENTUM, WITH_NESTEROV, WITH_ADAM = range(4)
# The numbers of a step, float64. SCALE multiplies the gradient. DECAY times the parameters is added to the gradient.
# RATE is the learning rate, for Adam divided by 1 - beta1^t. ROOT is Adam's 1 / sqrt(1 - beta2^t). REST1 is 1 - beta1,
# and REST2 is 1 - beta2.
SCALE, DECAY, RATE, ROOT, BETA1, REST1, BETA2, REST2, EPSILON = range(9)
STEP_COLUMNS = 9


@_kernel
def step_rows(
    v: _Lanes, rule: Any, step: Any, p: Any, ldp: Any, g: Any, ldg: Any, m: Any, s: Any, columns: Any, rows: Any
) -> None:
    """Make one step for rows of parameters p, in whole vectors, with gradient g. m and s are the optimiser's state."""
    b = v.b
    numbers = [b.load(b.gep(step, [I64(k)])) for k in range(STEP_COLUMNS)]
    scale, decay, rate, root, beta1, rest1, beta2, rest2, epsilon = (v.splat(v.narrow(number)) for number in numbers)

    def row(r: ir.Value, _: list[_Vector]) -> None:
        def each(formula: Callable[..., _Vector]) -> None:
            def vector(k: ir.Value, _: list[_Vector]) -> None:
                at = (r, ldp), (k, v.n)
                x = v.load(p, *at)
                d = v.fma(decay, x, scale * v.load(g, (r, ldg), (k, v.n)))
                v.store(x - formula(at, d), p, *at)

            _loop(b, b.udiv(columns, I64(v.n)), vector)

        def plain(at: Any, d: _Vector) -> _Vector:
            return rate * d

        def mean(at: Any, d: _Vector) -> _Vector:
            new = v.fma(beta1, v.load(m, *at), d)
            v.store(new, m, *at)
            return new

        def momentum(at: Any, d: _Vector) -> _Vector:  # m = beta m + g; p -= rate m
            return rate * mean(at, d)

        def nesterov(at: Any, d: _Vector) -> _Vector:  # p -= rate (g + beta m), with the new m
            return rate * v.fma(beta1, mean(at, d), d)

        def adam(at: Any, d: _Vector) -> _Vector:  # Kingma and Ba (2015), algorithm 1
            first = mean(at, rest1 * d)
            second = v.fma(beta2, v.load(s, *at), rest2 * d * d)
            v.store(second, s, *at)
            return rate * first / v.fma(v.sqrt(second), root, epsilon)

        formulas = {PLAIN: plain, WITH_MOMENTUM: momentum, WITH_NESTEROV: nesterov, WITH_ADAM: adam}
        _cases(b, rule, {code: partial(each, formula) for code, formula in formulas.items()})

    _loop(b, rows, row)


@partial(_kernel, returns=types.float64)
def square_sum(v: _Lanes, g: Any, n: Any) -> Any:
    """The sum of the squares of g[n], in float64 and whole vectors."""

    def vector(k: ir.Value, total: list[ir.Value]) -> list[ir.Value]:
        x = v.wide(v.load(g, (k, v.n)))
        return [v.b.fadd(total[0], v.b.fmul(x, x, flags=("contract",)))]

    zero = ir.Constant(ir.VectorType(ir.DoubleType(), v.n), None)
    return v.total(_loop(v.b, v.b.udiv(n, I64(v.n)), vector, [zero])[0])


# -- small intrinsics ----------------------------------------------------------------------------------------


@partial(_inline, returns=types.float64)
def _at_most(v: _Lanes, value: Any, limit: Any) -> Any:
    """min(value, limit); a NaN stays NaN."""
    return v.b.select(v.b.fcmp_ordered(">", value, limit), limit, value)


@_number
def _min(v: _Lanes, one: Any, other: Any) -> Any:
    return v.b.select(v.b.icmp_signed("<", one, other), one, other)


@_number
def _quotient(v: _Lanes, dividend: Any, divisor: Any) -> Any:
    """dividend // divisor for unsigned numbers. Numba's own division adds code for signs and zeros."""
    return v.b.udiv(dividend, divisor)


@_number
def _share(v: _Lanes, n: Any, part: Any, parts: Any) -> Any:
    """The start of part number `part` of n items. The parts are even: 10 rows in 2 tiles are 5 + 5, not 6 + 4."""
    product, whole = v.b.mul(n, part), v.b.icmp_signed("==", parts, I64(1))
    start: ir.Value = _cases(v.b, v.b.zext(whole, I64), {0: lambda: v.b.udiv(product, parts)}, product)
    return start  # most often there is one part, and a division takes 4 ns


@_number
def _address(v: _Lanes, pointer: Any) -> Any:
    return v.b.ptrtoint(pointer, I64)


@_number
def _eight(v: _Lanes, octets: Any, offset: Any) -> Any:
    """Eight bytes as one 64-bit number."""
    return v.b.load(v.b.bitcast(v.b.gep(octets, [offset]), I64.as_pointer()), align=1)


@_number
def _is_some(v: _Lanes, values: Any, k: Any) -> Any:
    """1 if any bit of values[k] is set, else 0. That is cheaper than a comparison, which also looks for NaN."""
    whole = ir.IntType(8 * v.scalar_bytes)
    number = v.b.load(v.b.bitcast(v.pointer(values, k), whole.as_pointer()))
    return v.b.zext(v.b.icmp_unsigned("!=", number, ir.Constant(whole, 0)), I64)


@_inline
def _zero(v: _Lanes, target: Any, n: Any) -> None:
    cgutils.memset(v.b, target, v.b.mul(n, I64(v.scalar_bytes)), 0)


@_inline
def _copy(v: _Lanes, source: Any, target: Any, n: Any) -> None:
    cgutils.raw_memcpy(v.b, target, source, n, v.scalar_bytes)


@_inline
def _prefetch(v: _Lanes, address: Any) -> None:
    """Prefetch the cache line at this address into the second-level cache, to read it."""
    at = v.b.inttoptr(address, I8.as_pointer())
    _call_llvm(v.b, "llvm.prefetch.p0i8", ir.VoidType(), at, I32(0), I32(2), I32(1))


@intrinsic
def _node(typing_context: Any, t: Any, layer: Any) -> Any:
    """A pointer to the row of Plan.nodes for a layer's outputs. The row for layer - 1 describes the layer's inputs."""

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
def _pointer(typing_context: Any, place: Any, like: Any) -> Any:
    """Convert an address or a pointer to a pointer to the dtype of `like` (a dtype or a pointer)."""
    kind = like if isinstance(like, types.CPointer) else types.CPointer(like.dtype)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        convert = builder.bitcast if isinstance(signature.args[0], types.CPointer) else builder.inttoptr
        return convert(values[0], context.get_value_type(signature.return_type))

    return kind(place if isinstance(place, types.CPointer) else types.intp, like), generate


@intrinsic
def _real(typing_context: Any, pointer: Any, value: Any) -> Any:
    """The value converted to the dtype that pointer points to."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        return context.cast(builder, values[1], signature.args[1], signature.return_type)

    return pointer.dtype(pointer, types.unliteral(value)), generate


@_number
def _itemsize(v: _Lanes, pointer: Any) -> Any:
    return I64(v.scalar_bytes)


@_number
def _lanes(v: _Lanes, pointer: Any) -> Any:
    """The number of lanes of a vector."""
    return I64(v.n)


@intrinsic
def _room(typing_context: Any, pointer: Any) -> Any:
    """A pointer to stack memory with room for the largest gradient tile."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        lanes = _Lanes(builder, signature.return_type.dtype)
        with builder.goto_entry_block():  # not alloca_once of cgutils, which clears the 4 kB on each entry
            room = builder.alloca(ir.ArrayType(lanes.type, CHUNK_INPUTS * TILE_VECTORS))
        return builder.bitcast(room, lanes.scalar.as_pointer())

    return pointer(pointer), generate


# -- threads: atomic access to memory that other threads read and write -----------------------------------------


@_number
def _read_now(v: _Lanes, pointer: Any, index: Any) -> Any:
    """pointer[index], loaded from memory in each call (acquire): another thread may write it."""
    return v.b.load_atomic(v.b.gep(pointer, [index]), "acquire", 8)


@_inline
def _write_now(v: _Lanes, pointer: Any, index: Any, value: Any) -> None:
    """pointer[index] = value (release)."""
    v.b.store_atomic(value, v.b.gep(pointer, [index]), "release", 8)


@_number
def _add_now(v: _Lanes, pointer: Any, index: Any, value: Any) -> Any:
    """Add value to pointer[index] atomically and return the sum."""
    return v.b.add(v.b.atomic_rmw("add", v.b.gep(pointer, [index]), value, "acq_rel"), value)


@_inline
def _relax(v: _Lanes) -> None:
    """Pause briefly in a spin loop."""
    if MACHINE.x86:
        _call_llvm(v.b, "llvm.x86.sse2.pause", ir.VoidType())
    elif MACHINE.arm:
        _call_llvm(v.b, "llvm.aarch64.hint", ir.VoidType(), I32(1))


@_inline
def _give_way(v: _Lanes) -> None:
    """Yield the core to another thread, where the C library can."""
    if hasattr(os, "sched_yield"):
        _call_llvm(v.b, "sched_yield", I32)


@intrinsic
def _flush_denormals(typing_context: Any) -> Any:
    """Flush denormals to zero on this thread. Return the previous floating-point state."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        state = _floating_point_state(builder)
        flushing = 1 << 24 if MACHINE.arm else 0x8040  # ARM64: FZ; x86-64: FTZ and DAZ
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
    """Read or set the floating-point control register of x86-64 or ARM64. Do nothing on other machines."""
    if MACHINE.x86:
        slot = cgutils.alloca_once(builder, I32)
        name = "llvm.x86.sse.stmxcsr" if new is None else "llvm.x86.sse.ldmxcsr"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [I8.as_pointer()]), name
        )
        if new is not None:
            builder.store(builder.trunc(new, I32), slot)
        builder.call(function, [builder.bitcast(slot, I8.as_pointer())])
        return builder.zext(builder.load(slot), I64)
    if MACHINE.arm:  # inline assembly would need LLVM's parser, which Numba does not start
        if new is None:
            return _call_llvm(builder, "llvm.aarch64.get.fpcr", I64)
        return _call_llvm(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), new)
    return I64(0)
