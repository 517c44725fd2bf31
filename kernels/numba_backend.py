"""The Numba backend: the functions of cython_backend.pyx under the same names, compiled on first use.

The functions work on pointers and numbers. The vector code is in numba_vectors.py, which explains tiles and panels.
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import math
import platform
import struct
import warnings
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.compiler import compile_internal
from numba.core.targetconfig import ConfigStack
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels import numba_few_rows, numba_narrow, numba_vectors
from fastnet.kernels.contract import Floats, Ints
from fastnet.kernels.numba_few_rows import (
    FEW_SUMS,
    TALLEST,
    few_deltas,
    few_gradient,
    few_tile,
    pack_weights,
    unpack_weights,
)
from fastnet.kernels.numba_narrow import (
    COLUMN_GROUPS,
    COLUMN_TILE,
    FROM_ERRORS,
    POISSON_SUMS,
    SIGMOID_SUMS,
    SOFTMAX_SUMS,
    copy_some,
    narrow_biases,
    narrow_dropout,
    narrow_gradient,
    narrow_output,
    narrow_product,
    narrow_softmax,
    narrow_squares,
    turn_rows,
)
from fastnet.kernels.numba_vectors import (
    ADD,
    BETA1,
    BETA2,
    CHUNK_INPUTS,
    COMPRESSES,
    DECAY,
    EPSILON,
    FROM_START,
    FROM_ZERO,
    GIVEN,
    GROUP,
    LINE_ENTRIES,
    MACHINE,
    MAX_BYTES_COLUMNS,
    NODE_COLUMNS,
    PLAIN,
    RATE,
    REST1,
    REST2,
    ROOT,
    SCALE,
    SECOND_LEVEL,
    SPINS,
    STEP_COLUMNS,
    TILE_ROWS,
    TILE_VECTORS,
    UPDATE_INPUTS,
    WITH_ADAM,
    WITH_MOMENTUM,
    WITH_NESTEROV,
    _add_now,
    _address,
    _at,
    _at_most,
    _copy,
    _eight,
    _flush_denormals,
    _give_way,
    _intrinsic,
    _is_some,
    _itemsize,
    _lanes,
    _min,
    _node,
    _pointer,
    _prefetch,
    _quotient,
    _read_now,
    _real,
    _relax,
    _restore_denormals,
    _room,
    _share,
    _start_of,
    _write_now,
    _zero,
    activate_tile,
    add_rows,
    apply_dropout,
    compress_bytes,
    compress_reals,
    copy_row,
    cost_numbers,
    count_entries,
    count_right,
    forward_tile,
    is_first_largest,
    output_error,
    pack_panel,
    row_largest,
    scale_bytes,
    softmax,
    sorted_update,
    sparse_forward,
    sparse_update,
    square_sum,
    step_rows,
    times_derivative,
    total_of,
    transpose_panel,
    unpack_bytes,
    update_tiles,
)

# The options of every jitted function.
JIT_OPTIONS: dict[str, Any] = {
    "nogil": True,  # the trainer runs long calls in a thread
    "error_model": "numpy",  # a division by zero gives inf, not an exception
    "fastmath": {"contract"},  # a * b + c may become one instruction; options that ignore NaN stay off
}


# Numba's cache notices only changes of this file. With these hashes it also notices changes of the other files.
FILES = [Path(str(module.__file__)) for module in (c, numba_vectors, numba_few_rows, numba_narrow)]
OTHERS = [hashlib.sha256(file.read_bytes()).hexdigest() for file in FILES]


def _jit(function: Callable[..., Any]) -> Any:
    try:
        dispatcher = numba.njit(cache=True, **JIT_OPTIONS)(function)
        file = dispatcher._cache._cache_file
        file._source_stamp = (file._source_stamp, *OTHERS)
    except (RuntimeError, AttributeError):  # no cache folder, or an unknown layout of Numba's cache
        return _jit_without_cache()(function)
    return dispatcher


@cache  # warns once
def _jit_without_cache() -> Any:
    warnings.warn(
        "Numba cannot write its cache, so each process compiles again: set NUMBA_CACHE_DIR to a writable folder",
        RuntimeWarning,
        stacklevel=3,
    )
    return numba.njit(**JIT_OPTIONS)


def _inner(returns: types.Type = types.void, inline: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function of pointers and numbers that other jitted functions call.

    `njit` would compile the function alone, and again within each of its callers, up to the entry. `_inner` adds the
    function's code to the caller's library once, and LLVM optimises the library as a whole. The reason is in
    docs/decisions/numba-compilation.md. With `inline=False`, all callers share one copy of the machine code, and so its
    roundings: LLVM may fuse a multiplication and an addition in one copy and not in another.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        def typed(typing_context: Any, *arguments: Any) -> Any:
            kinds = tuple(types.intp if isinstance(a, types.Integer) else types.unliteral(a) for a in arguments)

            def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
                library = context.active_code_library
                added = _added.setdefault(library, {})
                if (function, kinds) not in added:
                    flags = ConfigStack().top().copy()  # the caller's flags
                    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.no_rewrites = True
                    code = compile_internal(
                        context.typing_context, context, library, function, kinds, returns, flags, {}
                    ).fndesc
                    compiled = library.get_function(code.mangled_name)
                    compiled.linkage = "linkonce_odr"  # dropped if all calls are inlined
                    if not inline:
                        compiled.add_function_attribute("noinline")
                    added[function, kinds] = code
                return context.call_internal_no_propagate(builder, added[function, kinds], signature, values)[1]

            return returns(*kinds), generate

        context = inspect.Parameter("typing_context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return _intrinsic(typed, function.__name__, [context, *inspect.signature(function).parameters.values()])

    return decorate


# The functions that _inner has added to each library. Numba's lock guards this dictionary.
_added: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()


MAX_THREADS = c.MAX_THREADS
COMPRESSION_PAYS = True


def instruction_set() -> str:
    """The instruction set that Numba compiles for."""
    return MACHINE.instruction_set


# -- the block: the arguments of the functions below ------------------------------------------------------------

# The block holds int64 numbers: a call's arguments, and numbers computed from them. Each thread of a team has a block
# of its own. The first ARRAYS columns are addresses of arrays, 0 if there is no array. Either BYTES or REALS is set,
# and either LABELS or TARGETS. For SparseRows, STARTS and INDICES are set, and REALS is the address of the values.
# UPDATE_NUMBER counts updates from 1. Outside training it is 0, which switches dropout off. FEW is 1 if the forward
# pass takes few rows and reads the weights from PARAMS, else 0. BATCH_ROW is the number of rows before the current
# block in its batch. LD is the length of a column of narrow layers, 0 for other layers. BYTE_SCALE holds the bits of a
# float64, and so do the columns from OPTIMIZER_STEP on: the numbers of a step, then BATCH_DECAY, the weight decay of
# the current batch. COST_NUMBERS are the four numbers of the cost, of the dtype of the parameters. INPUTS is the
# address of the block's inputs where `_predict_rows` reads the data in place, else 0. PANELS is 1 if a predictor has
# copied the weights of wide layers to panels. The next block starts at place NEXT of the order. This thread prefetches
# rows [NEXT_FIRST, NEXT_LAST) of it during the forward pass and the update. `_update` computes part PART of PARTS of
# the gradient, and stores it STORED_AT elements behind the parameters. OWN_GRADIENTS is Plan.own_gradients, or 0 if the
# threads share the inputs in the update. BASE is the row of the block where the thread's areas of rows start. OWN_TEAM
# to OWN_OPTIMIZER replace arrays that a call does not have. Plan.nodes follows after the columns.
(
    PARAMS, RESULT, STATE, WEIGHTS, ORDER, RATES, OPTIMIZER, PROGRESS, REPORT, TEAM, BYTES, REALS, STARTS, INDICES,
    LABELS, TARGETS, COLUMNS, ROWS, COUNT, BATCH_SIZE, EPOCH_ROWS, STEP, WORKER, N_PARAMS,
    ROOM, TASK, LAYERS, PACKED, BLOCK, SLOTS, DATA, N_THREADS, SPARSE, TARGET, RULE, UPDATE_NUMBER, BATCH_ROW, LD,
    BYTE_SCALE, FEW, INPUTS, PANELS, NEXT, NEXT_FIRST, NEXT_LAST, PART, PARTS, OWN_GRADIENTS, STORED_AT, BASE,
    OPTIMIZER_STEP,
) = range(51)  # fmt: skip
ARRAYS = COLUMNS + 1
BATCH_DECAY = OPTIMIZER_STEP + STEP_COLUMNS
COST_NUMBERS = BATCH_DECAY + 1
OWN_TEAM = COST_NUMBERS + 4
OWN_PROGRESS = OWN_TEAM + c.TEAM_COLUMNS + c.TEAM_LINE
OWN_REPORT = OWN_PROGRESS + c.PROGRESS_COLUMNS
OWN_OPTIMIZER = OWN_REPORT + c.REPORT_COLUMNS
BLOCK_COLUMNS = OWN_OPTIMIZER + c.OPTIMIZER_COLUMNS
# The gradient goes straight to the weights, or to the packed gradient, or tile by tile to the optimiser.
TO_WEIGHTS, TO_STORE, TO_OPTIMIZER = range(3)
# Three numbers describe the entries of a row or of a pair of rows: the address of the columns, the address of the
# values, and 4 * count + height. The height is 1 for a single row, 2 for the first row of a pair, 0 for the second.
ENTRIES = 3

# All arguments are pointers or numbers, which are cheap to compile, to pass and to index. (A Numba array would be
# seven values, with a reference count and checks for negative indices.) The first arguments are b, the block; t, the
# table Plan.nodes, where layer l is row l + 1; and work, the workspace. cython_backend.pyx explains the others.


@_inner(types.float64)
def _number(b, column):
    """The float64 whose bits are in a column of the block, or of another table."""
    return _pointer(_at(b, column), np.float64)[0]


@_inner(types.intp)
def _in_groups(n):
    return _quotient(n + GROUP - 1, GROUP) * GROUP


@_inner(types.intp)
def _groups_of(node):
    """The number of groups of a layer's inputs."""
    return _quotient(node[c.LAYER + c.N_IN] + GROUP - 1, GROUP)


@_inner(types.intp)
def _wait(b):
    """Wait for the other threads of the team. Return 1 if one of them has failed, else 0.

    Each atomic operation is a step of the model in tests/kernels/test_contract_barrier.py: change both together.
    """
    if b[N_THREADS] == 1:
        return 0
    team = _pointer(b[TEAM], b)
    now, spins = _read_now(team, c.TURN), 0
    if _add_now(team, c.ARRIVED, 1) == b[N_THREADS]:
        _write_now(team, c.ARRIVED, 0)
        _write_now(team, c.TURN, now + 1)
    while _read_now(team, c.TURN) == now:
        if _read_now(team, c.BROKEN) != 0:
            return 1
        spins += 1
        if spins > SPINS:
            _give_way()  # there may be more threads than cores
        else:
            _relax()
    return 0


# -- inputs ---------------------------------------------------------------------------------------------------


@_inner(types.intp)
def _row_of(b, k):
    return _pointer(b[ORDER], b)[k] if b[ORDER] != 0 else k


@_inner(types.intp)
def _compact_bytes(first, second, pair, n, places):
    """Do what compress_bytes does, for any n and on any CPU. Without a second row, `second` is `first`."""
    found = compress_bytes(first, second, pair, n, places)
    k = _quotient(n, 16) * 16 * COMPRESSES
    while k < n:
        end = _min(k + 8, n)
        if end == k + 8 and (_eight(first, k) | _eight(second, k)) == 0:
            k = end  # skip eight zero bytes at once
        while k < end:
            octets = np.int64(first[k]) << 8 | np.int64(second[k]) * pair
            places[found] = k << 16 | octets
            found += octets != 0
            k += 1
    return found


@_inner(types.intp)
def _compact_reals(first, second, pair, n, columns, values, ldv):
    found = compress_reals(first, second, pair, n, columns, values, ldv)
    for k in range(_quotient(n, _lanes(values)) * _lanes(values) * COMPRESSES, n):
        columns[found] = k
        values[found] = first[k]
        if pair:
            values[found + ldv] = second[k]
        found += (first[k] != 0) | (second[k] != 0)
    return found


@_inner(types.intp)
def _find_entries(b, n, work, first, second, columns, values, ldv):
    """Find the nonzero entries of a dense row, or of a pair of dense rows if second >= 0."""
    pair = np.int64(second >= 0)
    other = second if pair else first
    if b[BYTES] != 0:
        octets = _pointer(b[BYTES], np.uint8)
        found = _compact_bytes(_at(octets, first * n), _at(octets, other * n), pair, n, columns)
        unpack_bytes(columns, found, pair, _number(b, BYTE_SCALE), values, ldv)
        return found
    reals = _pointer(b[REALS], work)
    return _compact_reals(_at(reals, first * n), _at(reals, other * n), pair, n, columns, values, ldv)


@_inner(types.intp)
def _is_sparse(b, t, work):
    """Whether enough inputs are zero to make skipping them faster.

    The answer comes from a sample of all data, not of the current batch. So it does not depend on the order of rows.
    """
    n, sample, found = t[NODE_COLUMNS + c.LAYER + c.N_IN], _min(b[ROWS], c.SPARSE_SAMPLE), 0
    if b[STARTS] != 0:
        return 1
    if n < c.SPARSE_INPUTS or (b[BYTES] != 0 and n > MAX_BYTES_COLUMNS):
        return 0
    bytes_, reals = _pointer(b[BYTES], np.uint8), _pointer(b[REALS], work)
    for k in range(sample):
        at = _share(b[ROWS], k, sample) * n
        found += count_entries(_at(bytes_, at), n) if b[BYTES] != 0 else count_entries(_at(reals, at), n)
        if found > sample * n * c.SPARSE_SHARE:
            return 0
    return 1


@_inner(types.intp)
def _by_rows(b, t, work):
    """Whether to add the first layer's gradient row by row of the sparse inputs instead of input by input.

    Row by row is faster if the rows of weights are short.
    """
    return b[SPARSE] != 0 and _node(t, 0)[c.WIDTH] <= 2 * _lanes(work) and b[TARGET] != TO_OPTIMIZER


@_inner()
def _prefetch_all(start, length):
    for at in range(start, start + length, 64):
        _prefetch(at)


@_inner()
def _prefetch_row(b, n, itemsize, row):
    if b[LABELS] != 0:
        _prefetch(b[LABELS] + 8 * row)
    if b[STARTS] != 0:
        starts = _at(_pointer(b[STARTS], b), row)
        start, n = starts[0], starts[1] - starts[0]
        _prefetch_all(b[INDICES] + 4 * start, 4 * n)
        _prefetch_all(b[REALS] + itemsize * start, itemsize * n)
    elif b[BYTES] != 0:
        _prefetch_all(b[BYTES] + row * n, n)
    else:
        _prefetch_all(b[REALS] + row * n * itemsize, n * itemsize)


@_inner()
def _prefetch_next(b, t, work, i):
    if b[NEXT_FIRST] <= i < b[NEXT_LAST]:
        _prefetch_row(b, t[NODE_COLUMNS + c.LAYER + c.N_IN], _itemsize(work), _row_of(b, b[NEXT] + i))


@_inner()
def _gather(b, t, work, begin, rows, first, last, ahead):
    """Copy rows [first, last) of the block order[begin:begin + rows] to the inputs: as entries, or as dense numbers.

    Prefetch the first `ahead` rows of the next block, one after each conversion, because many prefetches at once wait
    for each other. In `train`, narrow layers take so little time that these prefetches delay the conversion. Then the
    forward pass prefetches the second row of each pair, and the update the first.
    """
    if b[LD]:
        _gather_columns(b, t, work, begin, rows, first, last, ahead)
        return
    n, below, itemsize = t[NODE_COLUMNS + c.LAYER + c.N_IN], t[c.WIDTH], _itemsize(work)
    ld_columns = _quotient(below * itemsize, 4)
    columns = _pointer(_at(work, t[c.SCRATCH_AT]), np.int32)
    spread = b[TASK] == TRAIN and b[STARTS] == 0 and _by_rows(b, t, work)
    b[NEXT], b[NEXT_FIRST], b[NEXT_LAST] = begin + rows, first, _min(last, ahead) if spread else 0
    for i in range(first, last):
        if i < ahead and not spread:
            _prefetch_row(b, n, itemsize, _row_of(b, begin + rows + i))
        inputs, row = _at(work, t[c.ACTIVATIONS_AT] + i * below), _row_of(b, begin + i)
        if b[SPARSE]:
            entries = _pointer(_at(work, t[c.ROWS_AT]), b)
            entry = _at(entries, i * ENTRIES)
            if b[STARTS] != 0:
                starts = _at(_pointer(b[STARTS], b), row)
                entry[0], entry[1] = b[INDICES] + 4 * starts[0], b[REALS] + itemsize * starts[0]
                entry[2] = (starts[1] - starts[0]) * 4 + 1
            elif (i - first) & 1:
                entry[2] = 0
            else:
                pair = i + 1 < last
                second = _row_of(b, begin + i + 1) if pair else -1
                here = _at(columns, i * ld_columns)
                entry[0], entry[1] = _address(here), _address(inputs)
                entry[2] = _find_entries(b, n, work, row, second, here, inputs, below) * 4 + 1 + pair
        else:
            if b[BYTES] != 0:
                scale_bytes(_at(_pointer(b[BYTES], np.uint8), row * n), n, _number(b, BYTE_SCALE), inputs)
                _zero(_at(inputs, n), below - n)
            else:
                copy_row(_at(_pointer(b[REALS], work), row * n), n, inputs, below)


@_inner()
def _sort_entries(entries, like, rows, first, last, ldv, begins, ends, sorted_rows, sorted_values):
    """Sort the entries of inputs [first, last) by input, over all rows. Advance `begins` past them.

    The entries of an input start at place (input - first) * (rows + 1) and end at `ends`. So the entries need not be
    counted first. (rows + 1 and not rows: cython_backend.pyx tells why.) Entry k is sorted_values[2 * k] and, beside
    it, sorted_rows[k * step]. If one value of a pair is 0, the 0 is written too, which saves a branch. The next entry
    of the input overwrites the 0.
    """
    step = _itemsize(like) >> 1
    for k in range(last - first):
        ends[k] = k * (rows + 1)
    ends = _at(ends, -first)
    for i in range(rows):
        entry = _at(entries, i * ENTRIES)
        columns, values, height = _pointer(entry[0], ends), _pointer(entry[1], like), entry[2] & 3
        seconds, k, count = _at(values, ldv), begins[i], entry[2] >> 2 if height else 0
        while k < count and columns[k] < last:
            column = columns[k]
            at = np.int64(ends[column])
            sorted_rows[at * step] = i
            sorted_values[at * 2] = values[k]
            at += _is_some(values, k)
            if height == 2:
                sorted_rows[at * step] = i + 1
                sorted_values[at * 2] = seconds[k]
                at += _is_some(seconds, k)
            ends[column] = at
            k += 1
        begins[i] = k


# -- the forward pass and the backward pass --------------------------------------------------------------------


@_inner()
def _multiply(
    x, ldx, depth, weights, ldw, panels, panel_rows, backward, biases, sums, outputs, width, used, activation, first,
    last, panel,
):  # fmt: skip
    """sums[first:last] = x . weights + biases, then outputs = activation(sums), tile by tile over packed panels.

    With `backward`, sums[first:last] = (x . weights^T) * derivative(outputs). If panel_rows is not 0, `panels` are the
    weights in panels of so many rows, packed before.
    """
    rows = last - first
    tiles, step = _quotient(rows + TILE_ROWS - 1, TILE_ROWS), TILE_VECTORS * _lanes(x)
    packing = backward or (panel_rows == 0 and width > step and tiles > 2)
    max_depth = c.PANEL_DEPTH if packing else depth
    for k in range(0, depth, max_depth):
        n = _min(max_depth, depth - k)
        begin = ADD if k > 0 else FROM_ZERO if backward else FROM_START
        for column in range(0, width, step):
            columns = _min(step, width - column)
            w, ldp = panel, columns
            if backward:
                transpose_panel(_at(weights, column * ldw + k), ldw, n, columns, panel)
            elif panel_rows != 0:
                w = _at(panels, column * panel_rows)  # k is 0
            elif packing:
                pack_panel(_at(weights, k * ldw + column), ldw, n, columns, panel)
            else:
                w, ldp = _at(weights, k * ldw + column), ldw
            for tile in range(tiles):
                start = first + _share(rows, tile, tiles)
                height, at = first + _share(rows, tile + 1, tiles) - start, start * width + column
                z, line = _at(sums, at), _at(x, start * ldx + k)
                forward_tile(
                    height, _quotient(columns, _lanes(x)), line, ldx, n, w, ldp, begin, _at(biases, column), z, width
                )
                if k + n < depth or activation == c.SOFTMAX:
                    continue
                if backward:
                    times_derivative(activation, _at(outputs, at), z, width, height, columns)
                else:
                    _activate_tile(activation, z, _at(outputs, at), width, height, columns, used - column)


@_inner()
def _activate_tile(activation, z, a, ld, rows, columns, used):
    activate_tile(activation, z, a, ld, rows, columns, used)


@_inner(types.intp)
def _sums_at(b, t, layer):
    """The offset of a layer's weighted sums. Only the last layer keeps its sums, for the cost and the class."""
    return t[c.OUTPUTS_AT] if layer == b[LAYERS] - 1 else _node(t, layer)[c.ACTIVATIONS_AT]


@_inner(types.intp)
def _panel_at(b, t, work):
    return t[c.PANEL_AT] + b[WORKER] * c.PANEL_ROWS * TILE_VECTORS * _lanes(work)


@_inner()
def _weighted_sums(b, t, work, layer, first, last):
    """outputs = activation(inputs . weights + biases) for rows [first, last). `_forward` computes softmax outputs."""
    node, lower = _node(t, layer), _node(t, layer - 1)
    inputs, ldx, weights, panel_rows = _at(work, lower[c.ACTIVATIONS_AT]), lower[c.WIDTH], node[c.WEIGHTS_AT], 0
    if layer == 0 and b[INPUTS] != 0:
        inputs, ldx = _pointer(b[INPUTS], work), node[c.LAYER + c.N_IN]
    if b[PANELS] != 0 and node[c.WIDTH] > TILE_VECTORS * _lanes(work):
        panel_rows = lower[c.WIDTH]
    _multiply(
        inputs, ldx, _groups_of(node) * GROUP, _at(work, weights), node[c.WIDTH], _at(work, weights + b[PACKED]),
        panel_rows, 0, _at(work, node[c.BIASES_AT]), _at(work, _sums_at(b, t, layer)),
        _at(work, node[c.ACTIVATIONS_AT]), node[c.WIDTH], node[c.LAYER + c.N_OUT], node[c.LAYER + c.ACTIVATION],
        first, last, _at(work, _panel_at(b, t, work)),
    )  # fmt: skip


@_inner()
def _propagate(b, t, work, layer, first, last):
    """The deltas of the lower layer: deltas . weights^T, times the derivatives of the lower layer's activation."""
    node, lower = _node(t, layer), _node(t, layer - 1)
    derivatives, activation = lower[c.ACTIVATIONS_AT], lower[c.LAYER + c.ACTIVATION]
    if _drop(b, lower):
        derivatives, activation = lower[c.SCRATCH_AT], GIVEN
    _multiply(
        _at(work, node[c.DELTAS_AT]), node[c.WIDTH], _in_groups(node[c.LAYER + c.N_OUT]),
        _at(work, node[c.WEIGHTS_AT]), node[c.WIDTH], _at(work, 0), 0, 1, _at(work, lower[c.DELTAS_AT]),
        _at(work, lower[c.DELTAS_AT]), _at(work, derivatives), lower[c.WIDTH], lower[c.LAYER + c.N_OUT], activation,
        first, last, _at(work, _panel_at(b, t, work)),
    )  # fmt: skip


@_inner()
def _sparse_sums(b, t, work, first, last):
    """`_weighted_sums` for sparse rows."""
    node, ldv, lanes, column = _node(t, 0), t[c.WIDTH], _lanes(work), 0
    width, sums = node[c.WIDTH], _at(work, _sums_at(b, t, 0))
    entries, columns = _pointer(_at(work, t[c.ROWS_AT]), b), _pointer(work, np.int32)
    while column < width:
        left = _quotient(width - column, lanes)
        part = 8 if left >= 8 else 4 if left >= 4 else 2 if left >= 2 else 1
        w, start = _at(work, node[c.WEIGHTS_AT] + column), _at(work, node[c.BIASES_AT] + column)
        for i in range(first, last):
            entry = _at(entries, i * ENTRIES)
            sparse_forward(
                entry[2] & 3, part, _pointer(entry[0], columns), _pointer(entry[1], work), ldv, entry[2] >> 2, w, width,
                start, _at(sums, i * width + column), width,
            )  # fmt: skip
            if entry[2] & 3:
                _prefetch_next(b, t, work, i + 1)
        column += part * lanes
    activation, at = node[c.LAYER + c.ACTIVATION], first * width
    if activation != c.SOFTMAX:
        outputs = _at(work, node[c.ACTIVATIONS_AT] + at)
        _activate_tile(activation, _at(sums, at), outputs, width, last - first, width, node[c.LAYER + c.N_OUT])


@_inner(types.intp)
def _drop(b, node):
    """A layer's dropout threshold. It is 0 outside of training."""
    return node[c.LAYER + c.DROP] if b[UPDATE_NUMBER] != 0 else 0


_drop_scale = _inner(types.float64)(c.drop_scale)


@_inner()
def _drop_neurons(b, node, work, first, last):
    """Apply dropout to rows [first, last)."""
    at, factors, drop = first * node[c.WIDTH], _room(work), _drop(b, node)
    factors[0] = _real(work, _drop_scale(drop))
    apply_dropout(
        node[c.LAYER + c.ACTIVATION], drop, node[c.LAYER + c.DROP_KEY], b[UPDATE_NUMBER], b[BATCH_ROW] + first, factors,
        _at(work, node[c.ACTIVATIONS_AT] + at), _at(work, node[c.SCRATCH_AT] + at), node[c.WIDTH], last - first,
    )  # fmt: skip


@_inner()
def _forward(b, t, work, first, last):
    if b[LD]:
        _forward_columns(b, t, work, first, last)
        return
    for layer in range(b[LAYERS]):
        if layer == 0 and b[SPARSE]:
            _sparse_sums(b, t, work, first, last)
        else:
            _weighted_sums(b, t, work, layer, first, last)
        if _drop(b, _node(t, layer)):
            _drop_neurons(b, _node(t, layer), work, first, last)
    node = _node(t, b[LAYERS] - 1)
    if node[c.LAYER + c.ACTIVATION] == c.SOFTMAX:  # only the last layer may be a softmax
        width, z, a = node[c.WIDTH], _at(work, t[c.OUTPUTS_AT]), _at(work, node[c.ACTIVATIONS_AT])
        softmax(_at(z, first * width), _at(a, first * width), node[c.LAYER + c.N_OUT], width, last - first)


@_inner()
def _backward(b, t, work, first, last):
    """Compute the deltas of all layers but the last. `_output` has set the deltas of the last layer."""
    if b[LD]:
        _backward_columns(b, t, work, first, last)
        return
    for layer in range(b[LAYERS] - 1, 0, -1):
        _propagate(b, t, work, layer, first, last)


# -- the cost -------------------------------------------------------------------------------------------------


@_inner(types.intp)
def _first_largest(a, n):
    """The first index of the largest number of a[n]. a has no NaN and is padded to whole vectors."""
    largest, k = row_largest(a, n), 0
    while k + 1 < n and a[k] != largest:
        k += 1
    return k


@_inner(types.float64)
def _cost_of_sums(node, n, z, a, target, labelled, label):
    """The cross entropy or the Poisson cost of one example, computed from its weighted sums z.

    The target is class `label` if `labelled` is true, else the vector `target`.
    """
    total, limit = 0.0, _number(node, c.LAYER + c.COST_NUMBER)
    if node[c.LAYER + c.ACTIVATION] == c.SOFTMAX:  # log a = z - z_best + log a_best stays finite where a rounds to zero
        log_best, largest = math.log(row_largest(a, n)), row_largest(z, n)
        if labelled:
            return _at_most(largest - np.float64(z[label]) - log_best, limit)
        for k in range(n):
            if target[k] != 0:
                total += target[k] * _at_most(largest - np.float64(z[k]) - log_best, limit)
        return total
    for k in range(n):
        value, wanted = np.float64(z[k]), np.float64(k == label) if labelled else np.float64(target[k])
        if node[c.LAYER + c.COST] == c.POISSON:
            total += np.float64(a[k]) - wanted
            if wanted > 0:
                total += wanted * (math.log(wanted) - value)
        else:  # the cost is high + soft for the target 0, and high + soft - value for the target 1
            soft, high = math.log1p(math.exp(-abs(value))), value if value > 0 else 0.0
            total += wanted * _at_most(high - value + soft, limit) + (1 - wanted) * _at_most(high + soft, limit)
    return total


@_inner()
def _output(b, t, work, begin, first, last, scale, line):
    """For rows [first, last), set the last layer's deltas, and the sums of cost and scores in the thread's line."""
    if b[LD]:
        _output_columns(b, t, work, begin, first, last, scale, line)
        return
    node, weight, cost, score, labels = _node(t, b[LAYERS] - 1), 1.0, 0.0, 0.0, 0.0
    n, width, activation = node[c.LAYER + c.N_OUT], node[c.WIDTH], node[c.LAYER + c.ACTIVATION]
    softmax, labelled, task = activation == c.SOFTMAX, b[LABELS] != 0, node[c.LAYER + c.TASK]
    from_sums = node[c.LAYER + c.COST] == c.CROSS_ENTROPY or node[c.LAYER + c.COST] == c.POISSON
    sums, numbers = _room(work), _pointer(_at(b, COST_NUMBERS), work)
    squares = _at(sums, _lanes(work))
    factors = _at(squares, _lanes(work))
    factors[0], factors[1] = _real(work, scale), _real(work, weight)
    _zero(sums, 2 * _lanes(work))
    # With cross entropy and Poisson's cost, the derivative of the activation cancels. For other costs, the end of the
    # loop applies the derivative of a softmax.
    derivative = c.IDENTITY if from_sums or softmax else activation
    for i in range(first, last):
        row, label = _row_of(b, begin + i), -1
        z, a = _at(work, t[c.OUTPUTS_AT] + i * width), _at(work, node[c.ACTIVATIONS_AT] + i * width)
        delta, target = _at(work, node[c.DELTAS_AT] + i * width), _pointer(b[TARGETS] + row * n * _itemsize(work), work)
        if b[WEIGHTS] != 0:
            weight = _pointer(b[WEIGHTS], np.float64)[row]
            factors[0], factors[1] = _real(work, scale * weight), _real(work, weight)
        if labelled:
            label = _pointer(b[LABELS], b)[row]
        else:
            copy_row(target, n, delta, width)
        if task == c.MULTILABEL:
            right = count_right(z, delta, label, n)
            labels += weight * right
            score += weight * (right == n)
        elif task == c.CLASSIFICATION:
            if n == 1:
                score += weight * ((z[0] >= 0) == (labelled or target[0] >= 0.5))
            else:
                score += weight * is_first_largest(z, n, label if labelled else _first_largest(delta, n))
        output_error(derivative, a, delta, width, label, factors, numbers, sums)
        if from_sums:
            cost += weight * _cost_of_sums(node, n, z, a, target, labelled, label)
        elif softmax:
            mean = _real(work, 0)
            for k in range(n):
                mean += delta[k] * a[k]
            for k in range(n):
                delta[k] = a[k] * (delta[k] - mean)
    line[c.THREAD_COST] = cost if from_sums else total_of(sums)
    line[c.THREAD_SCORE] = total_of(squares) if task == c.REGRESSION else score
    line[c.THREAD_LABELS] = labels


# -- the update: the gradient, and the optimiser's step with it -----------------------------------------------


@_inner()
def _step_tile(b, p, ld, gradient, ldg, columns, rows, decay):
    """Make the optimiser's step for a tile of packed parameters with the gradient (rows, columns)."""
    _step(b, p, ld, gradient, ldg, _at(p, 3 * b[PACKED]), _at(p, 4 * b[PACKED]), columns, rows, decay)


@_inner(inline=False)
def _step(b, p, ld, gradient, ldg, m, v, columns, rows, decay):
    """Make the optimiser's step for rows of parameters, with the state m and v. Any caller gets the same bits."""
    step = _pointer(_at(b, OPTIMIZER_STEP), np.float64)
    step[DECAY] = decay
    step_rows(b[RULE], step, p, ld, gradient, ldg, m, v, columns, rows)


@_inner()
def _update(b, t, work, rows):
    """Add this thread's share of every layer's gradient, inputs^T . deltas, to b[TARGET]."""
    if b[LD]:
        _update_columns(b, t, work, rows)
        return
    for layer in range(b[LAYERS] - 1, -1, -1):
        node = _node(t, layer)
        groups = _groups_of(node)
        first, last = _share(groups, b[PART], b[PARTS]), _share(groups, b[PART] + 1, b[PARTS])
        if layer > 0 or not b[SPARSE]:
            _update_weights(b, t, work, layer, rows, first, last)
        elif _by_rows(b, t, work):
            _update_sparse(b, t, work, rows, first * GROUP, last * GROUP)
        else:
            _update_sorted(b, t, work, rows, first * GROUP, last * GROUP)
        if b[PART] == 0:
            _update_biases(b, node, work, rows)


@_inner(types.intp)
def _offset(b):
    """The offset from packed parameters to their gradient. At offset 0, the parameters themselves are updated."""
    return 0 if b[TARGET] == TO_WEIGHTS else b[STORED_AT]


@_inner()
def _update_biases(b, node, work, rows):
    width, biases, fused = node[c.WIDTH], _at(work, node[c.BIASES_AT]), b[TARGET] == TO_OPTIMIZER
    sums = _at(biases, _offset(b))
    if fused:
        _zero(sums, width)
    add_rows(_at(work, node[c.DELTAS_AT]), width, rows, width, sums)
    if fused:
        _step_tile(b, biases, 0, sums, 0, width, 1, 0.0)


@_inner()
def _update_weights(b, t, work, layer, rows, first, last):
    """Compute the gradient of the weights of input groups [first, last)."""
    node, lower, lanes = _node(t, layer), _node(t, layer - 1), _lanes(work)
    width, below, step = node[c.WIDTH], lower[c.WIDTH], TILE_VECTORS * lanes
    x, w = _at(work, lower[c.ACTIVATIONS_AT] + first * GROUP), _at(work, node[c.WEIGHTS_AT] + first * GROUP * width)
    packing, tile, fused = width > step and last - first > 2, _room(work), b[TARGET] == TO_OPTIMIZER
    far = b[PACKED] * (1 + (b[SLOTS] if fused else 0)) * _itemsize(work) > SECOND_LEVEL
    max_rows, max_groups = (rows, CHUNK_INPUTS // GROUP) if fused else (c.PANEL_DEPTH, last - first)
    for column in range(0, width, step):
        columns = _min(step, width - column)
        deltas, ldd = _at(work, node[c.DELTAS_AT] + column), width
        if packing:
            panel = _at(work, _panel_at(b, t, work))
            pack_panel(deltas, width, rows, columns, panel)
            deltas, ldd = panel, columns
        g, row = 0, 0
        # Each round takes a few groups of inputs for the optimiser, or as many rows as fit in the first-level cache.
        while g < last - first and row < rows:
            n, count = _min(max_rows, rows - row), _min(max_groups, last - first - g)
            weights = _at(w, g * GROUP * width + column)
            target, ldo = _at(weights, _offset(b)), width
            ahead, slots = _at(target, UPDATE_INPUTS * width), 0  # the place of the next tile
            if fused:
                ahead, slots = weights, b[SLOTS]
                target, ldo = tile, columns
                _zero(tile, count * GROUP * columns)
            inputs, part = _at(x, row * below + g * GROUP), _at(deltas, row * ldd)
            update_tiles(
                _quotient(columns, lanes), inputs, below, n, count, part, ldd, target, ldo, ahead, width, b[PACKED],
                slots if far else -1,
            )  # fmt: skip
            if fused:
                _step_tile(b, weights, width, tile, columns, columns, count * GROUP, _number(b, BATCH_DECAY))
                g += count
            else:
                row += n


@_inner(types.intp)
def _count_below(columns, n, column):
    """How many of n ascending columns are smaller than `column`."""
    below = 0
    while below < n:
        middle = (below + n) >> 1
        if columns[middle] < column:
            below = middle + 1
        else:
            n = middle
    return below


@_inner()
def _update_sparse(b, t, work, rows, first, last):
    """Compute the gradient of the weights of inputs [first, last), row by row of the inputs."""
    node, entries, like = _node(t, 0), _pointer(_at(work, t[c.ROWS_AT]), b), _pointer(work, np.int32)
    width, w = node[c.WIDTH], _at(work, node[c.WEIGHTS_AT] + _offset(b))
    vectors, begin = _quotient(width, _lanes(work)), 0
    for i in range(rows):
        entry = _at(entries, i * ENTRIES)
        columns, values, end = _pointer(entry[0], like), _pointer(entry[1], work), entry[2] >> 2
        if entry[2] & 3:
            _prefetch_next(b, t, work, i)
        if b[PARTS] > 1:
            begin, end = _count_below(columns, end, first), _count_below(columns, end, last)
        sparse_update(
            entry[2] & 3, vectors, _at(columns, begin), _at(values, begin), t[c.WIDTH], end - begin,
            _at(work, node[c.DELTAS_AT] + i * width), width, w, width,
        )  # fmt: skip


@_inner()
def _update_sorted(b, t, work, rows, first, last):
    """Compute the gradient of the weights of inputs [first, last), input by input, from sorted entries."""
    entries, sorts = _pointer(_at(work, t[c.ROWS_AT]), b), t[c.SORTED_INPUTS]
    values = _at(work, t[c.SORTED_AT] + 2 * b[WORKER] * (b[BLOCK] + 1) * sorts)
    numbers = _pointer(_at(values, 1), np.int32)
    ends = _at(_pointer(_at(work, t[c.ENDS_AT]), np.int32), b[WORKER] * (sorts + 2 + b[BLOCK]))
    begins = _at(ends, sorts + 2)
    for i in range(rows):
        entry = _at(entries, i * ENTRIES)
        count = entry[2] >> 2 if b[PARTS] > 1 and entry[2] & 3 else 0
        begins[i] = _count_below(_pointer(entry[0], ends), count, first)
    for start in range(first, last, sorts):
        end = _min(start + sorts, last)
        _sort_entries(entries, work, rows, start, end, t[c.WIDTH], begins, ends, numbers, values)
        _update_piece(b, t, work, rows, start, end, ends, numbers, values)


@_inner()
def _update_piece(b, t, work, rows, first, last, ends, numbers, values):
    """`_update_sorted` for inputs [first, last), whose entries are already sorted."""
    node, lanes, tile, fused = _node(t, 0), _lanes(work), _room(work), b[TARGET] == TO_OPTIMIZER
    width, step, panel = node[c.WIDTH], TILE_VECTORS * lanes, _at(work, _panel_at(b, t, work))
    for column in range(0, width, step):
        columns = _min(step, width - column)
        vectors = _quotient(columns, lanes)
        pack_panel(_at(work, node[c.DELTAS_AT] + column), width, rows, columns, panel)
        for i in range(last - first):
            at, weights = i * (rows + 1), _at(work, node[c.WEIGHTS_AT] + (first + i) * width + column)
            if ends[i] == at and not fused:
                continue
            target = tile if fused else _at(weights, _offset(b))
            if fused:
                _zero(tile, columns)
            sorted_update(
                vectors, _at(numbers, at * (_itemsize(work) >> 1)), _at(values, at * 2), ends[i] - at, panel, columns,
                target,
            )  # fmt: skip
            if fused:
                _step_tile(b, weights, 0, tile, 0, columns, 1, _number(b, BATCH_DECAY))


@_inner()
def _begin_optimizer(b, options):
    step, kind = _pointer(_at(b, OPTIMIZER_STEP), np.float64), options[c.KIND]
    b[RULE] = PLAIN if kind == c.GRADIENT_DESCENT else WITH_ADAM
    if kind == c.MOMENTUM:
        b[RULE] = WITH_NESTEROV if options[c.NESTEROV] != 0 else WITH_MOMENTUM
    step[SCALE], step[EPSILON] = 1.0, options[c.EPSILON]
    step[BETA1], step[REST1] = options[c.BETA1], 1 - options[c.BETA1]
    step[BETA2], step[REST2] = options[c.BETA2], 1 - options[c.BETA2]


@_inner()
def _begin_step(b, options, rate, count, weight):
    """Set the numbers of update `count`. `weight` is the sum of the weights of its examples."""
    step = _pointer(_at(b, OPTIMIZER_STEP), np.float64)
    step[RATE] = rate
    step[BATCH_DECAY - OPTIMIZER_STEP] = options[c.WEIGHT_DECAY]
    if weight > 0:
        step[BATCH_DECAY - OPTIMIZER_STEP] += options[c.PENALTY] / weight
    if b[RULE] == WITH_ADAM:
        root = math.sqrt(1 - math.pow(options[c.BETA2], float(count)))
        step[RATE] = rate / (1 - math.pow(options[c.BETA1], float(count)))
        step[ROOT] = 1 / root
        if options[c.PLAIN_EPSILON] != 0:
            step[RATE] *= root
            step[ROOT] = 1.0


@_inner(types.float64)
def _weight_of(b, first, last):
    """The sum of the weights of the examples order[first:last]."""
    if b[WEIGHTS] == 0:
        return float(last - first)
    weights, total = _pointer(b[WEIGHTS], np.float64), 0.0
    for k in range(first, last):
        total += weights[_row_of(b, k)]
    return total


@_inner(types.float64)
def _squared_weights(b, t, work):
    """The sum of the squares of this thread's share of all weights."""
    if b[LD]:
        return _squared_columns(b, t, work)
    total = 0.0
    for layer in range(b[LAYERS]):
        node = _node(t, layer)
        groups, size = _groups_of(node), GROUP * node[c.WIDTH]
        first, last = _share(groups, b[WORKER], b[N_THREADS]) * size, _share(groups, b[WORKER] + 1, b[N_THREADS]) * size
        total += square_sum(_at(work, node[c.WEIGHTS_AT] + first), last - first)
    return total


@_inner()
def _clip(b, options, gradient, n):
    """Set the factor of the n numbers of the gradient."""
    step = _pointer(_at(b, OPTIMIZER_STEP), np.float64)
    step[SCALE] = 1.0
    if options[c.CLIP_NORM] > 0:
        norm = math.sqrt(narrow_squares(gradient, n))
        if norm > options[c.CLIP_NORM]:
            step[SCALE] = options[c.CLIP_NORM] / norm


@_inner()
def _clip_stored(b, t, work, options):
    """Set the factor of the packed gradient."""
    n = b[PACKED]
    if b[LD]:
        n = _parameters_of(b, t)
    _clip(b, options, _at(work, b[PACKED]), n)


@_inner(types.intp)
def _stays_flat(b, options):
    """Whether the step changes the flat parameters and the flat state, because packing the state would take longer.

    So it is with one batch. Plain gradient descent changes the packed weights, and the penalty adds up packed weights.
    Narrow layers are never packed.
    """
    if b[LD] or options[c.PENALTY] != 0 or (options[c.KIND] == c.GRADIENT_DESCENT and options[c.WEIGHT_DECAY] == 0):
        return 0
    return b[TASK] == TRAIN and b[COUNT] <= _min(b[BATCH_SIZE], b[EPOCH_ROWS]) and b[N_THREADS] == 1


@_inner()
def _step_flat(b, t, work, options):
    """Make the optimiser's step for the flat parameters and the flat state, with the packed gradient.

    The step of an element has the same bits as in `_step_stored`.
    """
    gradient = _at(work, 2 * b[PACKED])  # the scratch area
    _clip_stored(b, t, work, options)
    _unpack(b, t, _at(work, b[PACKED]), gradient, 0, 1)
    _step_spans(b, t, work, gradient)


@_inner()
def _step_spans(b, t, work, gradient):
    """Make the optimiser's step for the flat parameters and the flat state, with the flat gradient."""
    decay = _number(b, BATCH_DECAY)
    for layer in range(b[LAYERS]):
        row = _at(_node(t, layer), c.LAYER)
        _step_span(b, work, gradient, row[c.WEIGHTS], row[c.N_IN] * row[c.N_OUT], decay)
        _step_span(b, work, gradient, row[c.BIASES], row[c.N_OUT], 0.0)


@_inner()
def _step_span(b, work, gradient, at, n, decay):
    """Make the step for n consecutive elements. The last ones are copied to whole vectors and back."""
    lanes, last = _lanes(work), _room(work)
    p, g, state = _at(_pointer(b[PARAMS], work), at), _at(gradient, at), _pointer(b[STATE], work)
    m = _at(state, at) if b[SLOTS] > 0 else p
    v = _at(state, b[N_PARAMS] + at) if b[SLOTS] > 1 else p
    whole = _quotient(n, lanes) * lanes
    rest, g_last, m_last, v_last = n - whole, _at(last, lanes), _at(last, 2 * lanes), _at(last, 3 * lanes)
    _step(b, p, 0, g, 0, m, v, whole, 1, decay)
    if rest > 0:
        _zero(last, 4 * lanes)
        _copy(_at(p, whole), last, rest)
        _copy(_at(g, whole), g_last, rest)
        _copy(_at(m, whole), m_last, rest)
        _copy(_at(v, whole), v_last, rest)
        _step(b, last, 0, g_last, 0, m_last, v_last, lanes, 1, decay)
        if b[SLOTS] > 0:
            _copy(m_last, _at(m, whole), rest)
        if b[SLOTS] > 1:
            _copy(v_last, _at(v, whole), rest)
        _copy(last, _at(p, whole), rest)


@_inner()
def _step_stored(b, t, work, options):
    """Make the optimiser's step for this thread's share of all parameters, with the packed gradient."""
    packed = b[PACKED]
    _clip_stored(b, t, work, options)
    if b[LD]:
        _step_columns(b, t, work)
        return
    for layer in range(b[LAYERS]):
        node = _node(t, layer)
        groups, size = _groups_of(node), GROUP * node[c.WIDTH]
        first, last = _share(groups, b[WORKER], b[N_THREADS]) * size, _share(groups, b[WORKER] + 1, b[N_THREADS]) * size
        w = _at(work, node[c.WEIGHTS_AT] + first)
        _step_tile(b, w, 0, _at(w, packed), 0, last - first, 1, _number(b, BATCH_DECAY))
        if b[WORKER] == 0:
            w = _at(work, node[c.BIASES_AT])
            _step_tile(b, w, 0, _at(w, packed), 0, node[c.WIDTH], 1, 0.0)


@_inner()
def _clear_stored(b, work):
    """Set this thread's share of the packed gradient to 0, padding included."""
    first, last = _share(b[PACKED], b[WORKER], b[N_THREADS]), _share(b[PACKED], b[WORKER] + 1, b[N_THREADS])
    _zero(_at(work, b[PACKED] + first), last - first)


@_inner()
def _add_own(b, t, work):
    """Set this thread's share of the packed gradient to the sum of the gradients of all threads, padding included."""
    worker, n_threads = b[WORKER], b[N_THREADS]
    for layer in range(b[LAYERS]):
        node = _node(t, layer)
        groups, size = _groups_of(node), GROUP * node[c.WIDTH]
        first, last = _share(groups, worker, n_threads) * size, _share(groups, worker + 1, n_threads) * size
        if worker + 1 == n_threads:
            last = _node(t, layer - 1)[c.WIDTH] * node[c.WIDTH]
        _add_span(b, work, node[c.WEIGHTS_AT] + first, last - first)
        if worker == 0:
            _add_span(b, work, node[c.BIASES_AT], node[c.WIDTH])


@_inner()
def _add_span(b, work, at, n):
    """`_add_own` for n packed parameters from offset `at` on. The gradient of thread 0 comes first in each sum."""
    total, packed = _at(work, b[PACKED] + at), b[PACKED]
    _copy(_at(work, b[OWN_GRADIENTS] + at), total, n)
    add_rows(_at(work, b[OWN_GRADIENTS] + packed + at), packed, b[N_THREADS] - 1, n, total)


@_inner()
def _move_base(b, t, work, base):
    """Let the areas of rows start at row `base` of the block. So this thread's rows have the numbers 0, 1, 2 ..."""
    rows = base - b[BASE]
    for level in range(b[LAYERS] + 1):
        node = _node(t, level - 1)
        for column in range(c.ACTIVATIONS_AT, c.SCRATCH_AT + 1):
            node[column] += rows * node[c.WIDTH]
    t[c.OUTPUTS_AT] += rows * _node(t, b[LAYERS] - 1)[c.WIDTH]
    t[c.ROWS_AT] += rows * _quotient(8 * ENTRIES, _itemsize(work))
    b[BASE] = base


# -- narrow layers: the rows of a block lie along the lanes (numba_narrow.py) ---------------------------------------
# These functions take the place of those above. Weights, biases and the optimiser's state stay in the caller's arrays.


@_inner(types.intp)
def _groups(work, rows):
    return _quotient(rows + _lanes(work) - 1, _lanes(work))


@_inner(types.intp)
def _parameters_of(b, t):
    """The number of parameters. They lie without gaps, layer by layer."""
    node = _node(t, b[LAYERS] - 1)
    return node[c.LAYER + c.BIASES] + node[c.LAYER + c.N_OUT] - _node(t, 0)[c.LAYER + c.WEIGHTS]


@_inner(types.intp)
def _gradient_at(b, t, at):
    """The offset, in the workspace, of the gradient of the parameter at offset `at`."""
    return b[PACKED] + at - _node(t, 0)[c.LAYER + c.WEIGHTS]


@_inner()
def _gather_columns(b, t, work, begin, rows, first, last, ahead):
    """`_gather`, where `first` is a multiple of the number of lanes."""
    n, order, scale = t[NODE_COLUMNS + c.LAYER + c.N_IN], _pointer(b[ORDER], b), _number(b, BYTE_SCALE)
    for i in range(first, last, _lanes(work)):
        count, out = _min(_lanes(work), last - i), _at(work, t[c.ACTIVATIONS_AT] + i)
        for k in range(i, _min(i + count, ahead)):
            _prefetch_row(b, n, _itemsize(work), order[begin + rows + k])
        if b[BYTES] != 0:
            turn_rows(_pointer(b[BYTES], np.uint8), scale, n, _at(order, begin + i), count, out, b[LD])
        else:
            turn_rows(_pointer(b[REALS], work), scale, n, _at(order, begin + i), count, out, b[LD])


@_inner()
def _forward_columns(b, t, work, first, last):
    params, groups = _pointer(b[PARAMS], work), _groups(work, last - first)
    tiles = _quotient(groups + COLUMN_GROUPS - 1, COLUMN_GROUPS)
    for layer in range(b[LAYERS]):
        node, lower = _node(t, layer), _node(t, layer - 1)
        n_in, n_out, activation = node[c.LAYER + c.N_IN], node[c.LAYER + c.N_OUT], node[c.LAYER + c.ACTIVATION]
        weights, biases = _at(params, node[c.LAYER + c.WEIGHTS]), _at(params, node[c.LAYER + c.BIASES])
        for tile in range(tiles):  # the groups of a tile stay in the first-level cache
            group = _share(groups, tile, tiles)
            count, row = _share(groups, tile + 1, tiles) - group, first + group * _lanes(work)
            x, z = _at(work, lower[c.ACTIVATIONS_AT] + row), _at(work, _sums_at(b, t, layer) + row)
            a, columns = _at(work, node[c.ACTIVATIONS_AT] + row), count * _lanes(work)
            narrow_product(weights, n_in, 1, n_in, n_out, 1, biases, x, z, b[LD], count)
            if activation == c.SOFTMAX:
                narrow_softmax(z, a, n_out, b[LD], count)
            else:
                activate_tile(activation, z, a, b[LD], n_out, columns, columns)
        if _drop(b, node):
            a, derivatives = _at(work, node[c.ACTIVATIONS_AT] + first), _at(work, node[c.SCRATCH_AT] + first)
            narrow_dropout(
                activation, _drop(b, node), node[c.LAYER + c.DROP_KEY], b[UPDATE_NUMBER], b[BATCH_ROW] + first,
                _drop_scale(_drop(b, node)), n_out, b[LD], groups, a, derivatives,
            )  # fmt: skip


@_inner()
def _backward_columns(b, t, work, first, last):
    params, groups = _pointer(b[PARAMS], work), _groups(work, last - first)
    tiles = _quotient(groups + COLUMN_GROUPS - 1, COLUMN_GROUPS)
    for layer in range(b[LAYERS] - 1, 0, -1):
        node, lower = _node(t, layer), _node(t, layer - 1)
        n_in, n_out, weights = node[c.LAYER + c.N_IN], node[c.LAYER + c.N_OUT], node[c.LAYER + c.WEIGHTS]
        derivatives, activation = lower[c.ACTIVATIONS_AT], lower[c.LAYER + c.ACTIVATION]
        if _drop(b, lower):
            derivatives, activation = lower[c.SCRATCH_AT], GIVEN
        for tile in range(tiles):
            group = _share(groups, tile, tiles)
            count, row = _share(groups, tile + 1, tiles) - group, first + group * _lanes(work)
            deltas, below = _at(work, node[c.DELTAS_AT] + row), _at(work, lower[c.DELTAS_AT] + row)
            w = _at(params, weights)
            narrow_product(w, 1, n_in, n_out, n_in, 0, w, deltas, below, b[LD], count)
            a = _at(work, derivatives + row)
            times_derivative(activation, a, below, b[LD], n_in, count * _lanes(work))


@_inner()
def _output_columns(b, t, work, begin, first, last, scale, line):
    """`_output`. The deltas of lanes that repeat a row become 0."""
    node, order, ld = _node(t, b[LAYERS] - 1), _pointer(b[ORDER], b), b[LD]
    n, activation, cost = node[c.LAYER + c.N_OUT], node[c.LAYER + c.ACTIVATION], node[c.LAYER + c.COST]
    groups, given, weight = _groups(work, last - first), _pointer(b[WEIGHTS], np.float64), 1.0
    softmax, labelled = activation == c.SOFTMAX, b[LABELS] != 0
    kind = FROM_ERRORS
    if cost == c.POISSON:
        kind = POISSON_SUMS
    elif cost == c.CROSS_ENTROPY:
        kind = SOFTMAX_SUMS if softmax else SIGMOID_SUMS
    weights = _pointer(_at(work, t[c.ROWS_AT]), np.float64)
    labels = _pointer(_at(weights, ld), work)
    factors = _at(labels, ld)
    for i in range(first, first + groups * _lanes(work)):
        row = order[begin + _min(i, last - 1)]
        if b[WEIGHTS] != 0:
            weight = given[row]
        weights[i], factors[i] = weight, _real(work, scale * weight)
        if labelled:
            labels[i] = _real(work, _pointer(b[LABELS], b)[row])
    if not labelled:
        targets = _pointer(b[TARGETS], work)
        for i in range(first, last, _lanes(work)):
            count, out = _min(_lanes(work), last - i), _at(work, node[c.DELTAS_AT] + i)
            turn_rows(targets, 1.0, n, _at(order, begin + i), count, out, ld)
    mixing = softmax and kind == FROM_ERRORS
    z, a, delta = t[c.OUTPUTS_AT] + first, node[c.ACTIVATIONS_AT] + first, node[c.DELTAS_AT] + first
    derivative = c.IDENTITY if kind != FROM_ERRORS or softmax else activation
    narrow_output(
        kind, derivative, np.int64(mixing), node[c.LAYER + c.TASK], n, last - first, groups,
        _number(node, c.LAYER + c.COST_NUMBER), np.int64(labelled), _at(weights, first), line, _at(labels, first),
        _at(factors, first), _at(work, z), _at(work, a), _at(work, delta), ld, _pointer(_at(b, COST_NUMBERS), work),
    )  # fmt: skip


@_inner(types.intp)
def _neuron_of(node, part, parts):
    """The first neuron of a thread's share of a layer: whole tiles."""
    n = node[c.LAYER + c.N_OUT]
    return _min(n, _share(_quotient(n + COLUMN_TILE - 1, COLUMN_TILE), part, parts) * COLUMN_TILE)


@_inner()
def _update_columns(b, t, work, rows):
    """Compute the gradient of this thread's neurons, and make the step if nothing is left to wait for."""
    groups, add, ld = _groups(work, rows), np.int64(b[BATCH_ROW] > 0), b[LD]
    for layer in range(b[LAYERS]):
        node, n_in = _node(t, layer), _node(t, layer)[c.LAYER + c.N_IN]
        first = _neuron_of(node, b[WORKER], b[N_THREADS])
        n = _neuron_of(node, b[WORKER] + 1, b[N_THREADS]) - first
        delta, x = _at(work, node[c.DELTAS_AT] + first * ld), _at(work, _node(t, layer - 1)[c.ACTIVATIONS_AT])
        weights, biases = node[c.LAYER + c.WEIGHTS] + first * n_in, node[c.LAYER + c.BIASES] + first
        narrow_gradient(delta, n, x, n_in, ld, groups, add, _at(work, _gradient_at(b, t, weights)))
        narrow_biases(delta, n, ld, groups, add, _at(work, _gradient_at(b, t, biases)))
    if b[TARGET] == TO_OPTIMIZER:
        _step_columns(b, t, work)


@_inner()
def _step_columns(b, t, work):
    """Make the optimiser's step for the parameters of this thread's neurons."""
    decay = _number(b, BATCH_DECAY)
    if b[N_THREADS] == 1 and decay == 0:
        _step_part(b, t, work, _node(t, 0)[c.LAYER + c.WEIGHTS], _parameters_of(b, t), 0.0)
        return
    for layer in range(b[LAYERS]):
        node, n_in = _node(t, layer), _node(t, layer)[c.LAYER + c.N_IN]
        first = _neuron_of(node, b[WORKER], b[N_THREADS])
        n = _neuron_of(node, b[WORKER] + 1, b[N_THREADS]) - first
        _step_part(b, t, work, node[c.LAYER + c.WEIGHTS] + first * n_in, n * n_in, decay)
        _step_part(b, t, work, node[c.LAYER + c.BIASES] + first, n, 0.0)


@_inner()
def _step_part(b, t, work, at, n, decay):
    """Make the optimiser's step for n parameters from offset `at` on."""
    step, rule, tail, lanes = _pointer(_at(b, OPTIMIZER_STEP), np.float64), b[RULE], _room(work), _lanes(work)
    step[DECAY] = decay
    whole = _quotient(n, lanes) * lanes
    rest = n - whole
    p, g = _at(_pointer(b[PARAMS], work), at), _at(work, _gradient_at(b, t, at))
    m = _at(_pointer(b[STATE], work), at)
    v = _at(m, b[N_PARAMS])
    step_rows(rule, step, p, 0, g, 0, m, v, whole, 1)
    if rest:
        p, m, v = _at(p, whole), _at(m, whole), _at(v, whole)
        copy_some(p, tail, rest)
        copy_some(_at(g, whole), _at(tail, lanes), rest)
        if rule != PLAIN:
            copy_some(m, _at(tail, 2 * lanes), rest)
        if rule == WITH_ADAM:
            copy_some(v, _at(tail, 3 * lanes), rest)
        step_rows(rule, step, tail, 0, _at(tail, lanes), 0, _at(tail, 2 * lanes), _at(tail, 3 * lanes), lanes, 1)
        copy_some(tail, p, rest)
        if rule != PLAIN:
            copy_some(_at(tail, 2 * lanes), m, rest)
        if rule == WITH_ADAM:
            copy_some(_at(tail, 3 * lanes), v, rest)


@_inner(types.float64)
def _squared_columns(b, t, work):
    params, total = _pointer(b[PARAMS], work), 0.0
    for layer in range(b[LAYERS]):
        node, n_in = _node(t, layer), _node(t, layer)[c.LAYER + c.N_IN]
        first = _neuron_of(node, b[WORKER], b[N_THREADS])
        n = _neuron_of(node, b[WORKER] + 1, b[N_THREADS]) - first
        total += narrow_squares(_at(params, node[c.LAYER + c.WEIGHTS] + first * n_in), n * n_in)
    return total


# -- packing: weights (n_out, n_in) become (padded n_in, width), and back ---------------------------------------


@_inner()
def _pack(b, t, flat, packed, part, parts):
    """Pack the parameters. Threads may share the inputs of each layer: `part` of `parts` is a thread's share."""
    lanes = _lanes(flat)
    for layer in range(b[LAYERS]):
        node, vectors = _node(t, layer), _quotient(_node(t, layer - 1)[c.WIDTH], lanes)
        n_in, n_out, width = node[c.LAYER + c.N_IN], node[c.LAYER + c.N_OUT], node[c.WIDTH]
        pack_weights(
            _at(flat, node[c.LAYER + c.WEIGHTS]), n_in, n_out, _at(packed, node[c.WEIGHTS_AT]), width,
            _share(vectors, part, parts) * lanes, _share(vectors, part + 1, parts) * lanes,
        )  # fmt: skip
        if part == 0:
            _copy(_at(flat, node[c.LAYER + c.BIASES]), _at(packed, node[c.BIASES_AT]), n_out)
            _zero(_at(packed, node[c.BIASES_AT] + n_out), width - n_out)


@_inner()
def _unpack(b, t, packed, flat, part, parts):
    lanes = _lanes(flat)
    for layer in range(b[LAYERS]):
        node, vectors = _node(t, layer), _quotient(_node(t, layer - 1)[c.WIDTH], lanes)
        n_in, n_out, width = node[c.LAYER + c.N_IN], node[c.LAYER + c.N_OUT], node[c.WIDTH]
        unpack_weights(
            _at(packed, node[c.WEIGHTS_AT]), width, n_in, n_out, _at(flat, node[c.LAYER + c.WEIGHTS]),
            _share(vectors, part, parts) * lanes, _min(_share(vectors, part + 1, parts) * lanes, n_in),
        )  # fmt: skip
        if part == 0:
            _copy(_at(packed, node[c.BIASES_AT]), _at(flat, node[c.LAYER + c.BIASES]), n_out)


# -- the contract ---------------------------------------------------------------------------------------------

# All functions go through one jitted entry, which is compiled once for each dtype.
READY, PREDICT, GRADIENT, TRAIN, COMPRESS, UPDATE = range(6)


@_inner()
def _sums_of_few(x, ldx, rows, weights, n_in, n_out, biases, sums, lds):
    """sums[rows][n_out] = x[rows][n_in] . weights[n_out][n_in]^T + biases. Rows of x are padded to whole vectors."""
    for block in range(0, n_out, FEW_SUMS):  # the weights of a block stay in the cache for all rows
        end, r = _min(block + FEW_SUMS, n_out), 0
        while r < rows:
            height = TALLEST if rows - r > 2 else rows - r
            for j in range(block, end, _quotient(FEW_SUMS, height)):
                few_tile(
                    height, _at(x, r * ldx), ldx, rows - r, n_in, _at(weights, j * n_in), end - j, _at(biases, j),
                    _at(sums, r * lds + j), lds,
                )  # fmt: skip
            r += height


@_inner()
def _forward_few(b, t, work, flat, rows):
    """`_forward` for few rows of dense inputs, with weights that are not packed."""
    for layer in range(b[LAYERS]):
        node, lower = _node(t, layer), _node(t, layer - 1)
        width, n_out, sums = node[c.WIDTH], node[c.LAYER + c.N_OUT], _at(work, _sums_at(b, t, layer))
        outputs, activation = _at(work, node[c.ACTIVATIONS_AT]), node[c.LAYER + c.ACTIVATION]
        _sums_of_few(
            _at(work, lower[c.ACTIVATIONS_AT]), lower[c.WIDTH], rows, _at(flat, node[c.LAYER + c.WEIGHTS]),
            node[c.LAYER + c.N_IN], n_out, _at(flat, node[c.LAYER + c.BIASES]), sums, width,
        )  # fmt: skip
        if activation == c.SOFTMAX:
            softmax(sums, outputs, n_out, width, rows)
        else:
            _activate_tile(activation, sums, outputs, width, rows, width, n_out)


@_inner()
def _deltas_of_few(deltas, ldd, rows, weights, n_out, n_in, out, ldo):
    """out[rows][n_in] = deltas[rows][n_out] . weights[n_out][n_in], in whole vectors."""
    lanes, i = _lanes(out), 0
    while i < n_in:
        vectors, r = TILE_VECTORS if n_in - i >= TILE_VECTORS * lanes else 1, 0
        while r < rows:
            height = 4 if rows - r >= 4 else 1
            few_deltas(
                height, vectors, _at(deltas, r * ldd), ldd, n_out, _at(weights, i), n_in, n_in - i,
                _at(out, r * ldo + i), ldo,
            )  # fmt: skip
            r += height
        i += vectors * lanes


@_inner()
def _gradient_of_few(x, ldx, rows, deltas, ldd, n_in, n_out, out):
    """out[n_out][n_in] = deltas[rows][n_out]^T . x[rows][n_in]. The rows of x are padded to whole vectors."""
    lanes, j = _lanes(out), 0
    while j < n_out:
        neurons, i = 4 if n_out - j >= 4 else 1, 0
        while i < n_in:
            vectors = TILE_VECTORS if n_in - i >= TILE_VECTORS * lanes else 1
            few_gradient(
                neurons, vectors, _at(x, i), ldx, rows, _at(deltas, j), ldd, n_in - i, _at(out, j * n_in + i), n_in
            )
            i += vectors * lanes
        j += neurons


@_inner()
def _backward_few(b, t, work, flat, rows, gradient):
    """Overwrite the flat gradient with that of few rows. `_output` has set the deltas of the last layer."""
    for layer in range(b[LAYERS] - 1, -1, -1):
        node, lower = _node(t, layer), _node(t, layer - 1)
        n_in, n_out, width, below = node[c.LAYER + c.N_IN], node[c.LAYER + c.N_OUT], node[c.WIDTH], lower[c.WIDTH]
        deltas, biases = _at(work, node[c.DELTAS_AT]), _at(gradient, node[c.LAYER + c.BIASES])
        _gradient_of_few(
            _at(work, lower[c.ACTIVATIONS_AT]), below, rows, deltas, width, n_in, n_out,
            _at(gradient, node[c.LAYER + c.WEIGHTS]),
        )  # fmt: skip
        _copy(deltas, biases, n_out)
        for i in range(1, rows):
            for j in range(n_out):
                biases[j] += deltas[i * width + j]
        if layer > 0:
            outputs = _at(work, lower[c.DELTAS_AT])
            _deltas_of_few(deltas, width, rows, _at(flat, node[c.LAYER + c.WEIGHTS]), n_out, n_in, outputs, below)
            times_derivative(
                lower[c.LAYER + c.ACTIVATION], _at(work, lower[c.ACTIVATIONS_AT]), outputs, below, rows, below
            )


@_inner(types.float64)
def _gradient_rows(b, t, work):
    """`gradient` for few rows of dense inputs: overwrite the gradient and return the mean cost."""
    rows, flat, team = b[ROWS], _pointer(b[PARAMS], work), _pointer(b[TEAM], b)
    line = _pointer(_at(team, c.TEAM_COLUMNS), np.float64)
    weight = _weight_of(b, 0, rows)
    _gather(b, t, work, 0, rows, 0, rows, 0)
    _forward_few(b, t, work, flat, rows)
    _output(b, t, work, 0, 0, rows, 1.0 / weight, line)
    _backward_few(b, t, work, flat, rows, _pointer(b[RESULT], work))
    return line[c.THREAD_COST] / weight


@_inner()
def _pack_panels(b, t, work):
    """Copy the packed weights of wide layers to panels, so that calls on many rows need not do it.

    A panel has all rows and TILE_VECTORS vectors of each row; the last panel may be narrower. The panels take the place
    of the packed gradient.
    """
    step = TILE_VECTORS * _lanes(work)
    for layer in range(b[LAYERS]):
        width, below, weights = _node(t, layer)[c.WIDTH], _node(t, layer - 1)[c.WIDTH], _node(t, layer)[c.WEIGHTS_AT]
        for column in range(0, width, step):
            panel = _at(work, b[PACKED] + weights + column * below)
            pack_panel(_at(work, weights + column), width, below, _min(step, width - column), panel)


@_inner()
def _predict_rows(b, t, work):
    """Compute the outputs of all rows of the data, block by block."""
    node, out = _node(t, b[LAYERS] - 1), _pointer(b[RESULT], work)
    n, width = node[c.LAYER + c.N_OUT], node[c.WIDTH]
    n_in = t[NODE_COLUMNS + c.LAYER + c.N_IN]
    # Tiles read inputs in groups: where the last group of a row is whole, they can read the data in place.
    in_place = b[FEW] == 0 and b[SPARSE] == 0 and b[BYTES] == 0 and n_in % GROUP == 0
    for start in range(0, b[ROWS], b[BLOCK]):
        count = _min(b[BLOCK], b[ROWS] - start)
        b[INPUTS] = b[REALS] + start * n_in * _itemsize(work) if in_place else 0
        if not in_place:
            _gather(b, t, work, start, count, 0, count, _min(b[BLOCK], b[ROWS] - start - count))
        if b[FEW]:
            _forward_few(b, t, work, _pointer(b[PARAMS], work), count)
        else:
            _forward(b, t, work, 0, count)
        for i in range(count):
            _copy(_at(work, node[c.ACTIVATIONS_AT] + i * width), _at(out, (start + i) * n), n)


@_inner(types.UniTuple(types.float64, 4))
def _with_team(team, n_threads, cost, score, labels):
    """The sums with those of all threads added, and the sum of the squares of all weights."""
    squares = 0.0
    for k in range(n_threads):
        other = _pointer(_at(team, c.TEAM_COLUMNS + k * c.TEAM_LINE), np.float64)
        cost += other[c.THREAD_COST]
        score += other[c.THREAD_SCORE]
        labels += other[c.THREAD_LABELS]
        squares += other[c.THREAD_SQUARES]
    return cost, score, labels, squares


@_inner(types.float64)
def _train_batches(b, t, work):
    """Do this thread's share of all steps of a call of `train`. For `gradient`, all rows are one batch."""
    options, rates, training = _pointer(b[OPTIMIZER], np.float64), _pointer(b[RATES], np.float64), b[TASK] == TRAIN
    team, progress, block, size, n = _pointer(b[TEAM], b), _pointer(b[PROGRESS], b), b[BLOCK], b[BATCH_SIZE], b[COUNT]
    worker, n_threads, total, steps, stopped = b[WORKER], b[N_THREADS], 0.0, 0, False
    line = _pointer(_at(team, c.TEAM_COLUMNS + worker * c.TEAM_LINE), np.float64)
    flat = training and _stays_flat(b, options)
    b[PART], b[PARTS], b[STORED_AT], b[BASE] = worker, n_threads, b[PACKED], 0
    if b[LD]:
        b[OWN_GRADIENTS] = 0
    if b[OWN_GRADIENTS]:
        b[PART], b[PARTS], b[STORED_AT] = 0, 1, b[OWN_GRADIENTS] + worker * b[PACKED]
    elif training and options[c.CLIP_NORM] == 0 and size <= block:  # the batch is one block and needs no clipping
        if b[LD]:
            b[TARGET] = TO_OPTIMIZER
        elif options[c.KIND] == c.GRADIENT_DESCENT and options[c.WEIGHT_DECAY] == 0 and options[c.PENALTY] == 0:
            b[TARGET] = TO_WEIGHTS
        elif size <= c.PANEL_DEPTH and not flat and not _by_rows(b, t, work):  # each tile reads all rows, in the cache
            b[TARGET] = TO_OPTIMIZER
    start, stop, epoch_rows = 0, 0, b[EPOCH_ROWS]
    epoch_end = epoch_rows
    while stop < n:
        start, rate, scale = stop, 0.0, 0.0
        stop = _min(start + size, _min(n, epoch_end))
        if stop == epoch_end:
            epoch_end += epoch_rows
        weight = _weight_of(b, start, stop)
        if training:
            rate = rates[steps]
            b[UPDATE_NUMBER] = b[STEP] + steps + 1
            _begin_step(b, options, rate, b[UPDATE_NUMBER], weight)
        if weight > 0:
            scale = (-rate if b[TARGET] == TO_WEIGHTS else 1.0) / weight
        if b[OWN_GRADIENTS]:
            _zero(_at(work, b[STORED_AT]), b[PACKED])
        elif b[TARGET] == TO_STORE and b[LD] == 0:
            _clear_stored(b, work)  # other threads add to the gradient only after the next barrier
        # worker 0 reads the sums of all threads between the barriers of the batch
        line[c.THREAD_SQUARES] = _squared_weights(b, t, work) if options[c.PENALTY] != 0 else 0.0
        cost, score, labels, squares = 0.0, 0.0, 0.0, 0.0
        own_cost, own_score, own_labels = 0.0, 0.0, 0.0
        for first in range(start, stop, block):
            count = _min(block, stop - first)
            b[BATCH_ROW] = first - start
            if worker == 0:
                _write_now(team, c.STOPPING, _read_now(progress, c.STOP))
            if n_threads == 1 and team[c.STOPPING] != 0:
                stopped = True
                break
            pairs = count >> 1  # pairs of rows stay together
            from_row = _share(pairs, worker, n_threads) * 2
            to_row = _share(pairs, worker + 1, n_threads) * 2 if worker + 1 < n_threads else count
            if b[LD]:  # whole vectors of rows stay together
                groups = _groups(work, count)
                from_row = _share(groups, worker, n_threads) * _lanes(work)
                to_row = _min(count, _share(groups, worker + 1, n_threads) * _lanes(work))
            if b[OWN_GRADIENTS]:  # no thread needs the rows of another
                if count < block and first > start and _wait(b):  # but rows of a smaller block lie in other places
                    return 0.0
                _move_base(b, t, work, from_row)
                if _read_now(team, c.STOPPING) != 0:
                    own_cost = math.inf  # all threads read it at their next barrier, and discard the batch
                if math.isfinite(own_cost) and from_row < to_row:
                    b[BATCH_ROW] += from_row
                    begin, rows = first + from_row, to_row - from_row
                    _gather(b, t, work, begin, count, 0, rows, _min(block, n - begin - count))
                    _forward(b, t, work, 0, rows)
                    _output(b, t, work, begin, 0, rows, scale, line)
                    _backward(b, t, work, 0, rows)
                    _update(b, t, work, rows)
                    own_cost += line[c.THREAD_COST]
                    own_score += line[c.THREAD_SCORE]
                    own_labels += line[c.THREAD_LABELS]
                continue
            _gather(b, t, work, first, count, from_row, to_row, _min(block, n - first - count) if training else 0)
            _forward(b, t, work, from_row, to_row)
            _output(b, t, work, first, from_row, to_row, scale, line)
            _backward(b, t, work, from_row, to_row)
            if _wait(b):
                return 0.0
            cost, score, labels, squares = _with_team(team, n_threads, cost, score, labels)
            if training and (team[c.STOPPING] != 0 or not math.isfinite(cost)):
                stopped = True
                break
            _update(b, t, work, count)
            if _wait(b):
                return 0.0
        if b[OWN_GRADIENTS]:
            line[c.THREAD_COST], line[c.THREAD_SCORE], line[c.THREAD_LABELS] = own_cost, own_score, own_labels
            if _wait(b):
                return 0.0
            cost, score, labels, squares = _with_team(team, n_threads, cost, score, labels)
            stopped = not math.isfinite(cost)
            if not stopped:
                _add_own(b, t, work)
                if options[c.CLIP_NORM] > 0 and _wait(b):
                    return 0.0
        if stopped:
            break
        if flat:
            _step_flat(b, t, work, options)
        elif training and b[TARGET] == TO_STORE:
            _step_stored(b, t, work, options)
            if _wait(b):
                return 0.0
        if worker == 0:
            report = _at(_pointer(b[REPORT], np.float64), steps * c.REPORT_COLUMNS)
            report[c.COST_SUM], report[c.WEIGHT_SUM], report[c.SCORE], report[c.LABELS] = cost, weight, score, labels
            report[c.PENALTY_COST] = options[c.PENALTY] / 2 * squares
        total += cost
        steps += 1
    if worker == 0:
        progress[c.STEPS] = steps
    return total


@_inner(types.intp)
def _compress_rows(b, values):
    n, rows, room, total = b[COUNT], b[ROWS], b[ROOM], 0
    octets, reals, starts = _pointer(b[BYTES], np.uint8), _pointer(b[REALS], values), _pointer(b[STARTS], b)
    columns, plain = _pointer(b[COLUMNS], np.int32), n <= MAX_BYTES_COLUMNS or b[BYTES] == 0
    starts[0] = 0
    for i in range(rows):
        found, at = 0, i * n
        if room == 0:
            found = count_entries(_at(octets, at), n) if b[BYTES] != 0 else count_entries(_at(reals, at), n)
        elif plain and total + n + LINE_ENTRIES <= room:  # room for all that is written
            found = _find_entries(b, n, values, i, -1, _at(columns, total), _at(values, total), 0)
        else:
            for k in range(n):
                value = octets[at + k] * _real(values, _number(b, BYTE_SCALE)) if b[BYTES] != 0 else reals[at + k]
                if value != 0:
                    if total + found == room:  # another thread has changed x since the count
                        return room + 1
                    columns[total + found] = k
                    values[total + found] = value
                    found += 1
        total += found
        starts[i + 1] = total
    return total


@_inner()
def _find_arrays(b):
    """Replace the addresses of array objects by the addresses of their data, and missing arrays by the block's own."""
    if b[DATA] != 0:
        for k in range(ARRAYS):
            if b[k] != 0:
                b[k] = _pointer(b[k] + b[DATA], b)[0]
    if b[TEAM] == 0:
        b[TEAM] = _address(_at(b, OWN_TEAM))
    if b[PROGRESS] == 0:
        b[PROGRESS] = _address(_at(b, OWN_PROGRESS))
    if b[REPORT] == 0:
        b[REPORT] = _address(_at(b, OWN_REPORT))
    if b[OPTIMIZER] == 0:
        b[OPTIMIZER] = _address(_at(b, OWN_OPTIMIZER))


@_inner(types.float64)
def _task(b, work):
    t, task, cost = _at(b, BLOCK_COLUMNS), b[TASK], 0.0
    if task == READY:
        if b[DATA] != 0:  # replaces the addresses of array objects by the addresses of their data
            source = BYTES if b[BYTES] != 0 else REALS
            b[source], b[RESULT] = _pointer(b[source] + b[DATA], b)[0], _pointer(b[RESULT] + b[DATA], b)[0]
        b[SPARSE] = _is_sparse(b, t, work)
        _predict_rows(b, t, work)
        return cost
    _find_arrays(b)
    team, options, params = _pointer(b[TEAM], b), _pointer(b[OPTIMIZER], np.float64), _pointer(b[PARAMS], work)
    state, result = _pointer(b[STATE], work), _pointer(b[RESULT], work)
    if task == UPDATE:
        _begin_optimizer(b, options)
        _begin_step(b, options, _number(b, OPTIMIZER_STEP + RATE), b[STEP] + 1, 0.0)
        _clip(b, options, result, b[N_PARAMS])
        _step_spans(b, t, work, result)
        return cost
    if task != TRAIN and b[ROWS] > 0 and b[ROWS] <= c.FEW_ROWS and b[STARTS] == 0:
        if task == GRADIENT:
            return _gradient_rows(b, t, work)
        b[FEW] = 1
        _predict_rows(b, t, work)
        return cost
    if b[WORKER] == 0:
        if b[ROWS] > 0:
            team[c.SPARSE] = _is_sparse(b, t, work)
        flat = task == TRAIN and _stays_flat(b, options)
        if b[LD] == 0 or team[c.SPARSE]:
            _pack(b, t, params, work, 0, 1)
            for k in range(0 if flat else b[SLOTS]):
                _pack(b, t, _at(state, k * b[N_PARAMS]), _at(work, (3 + k) * b[PACKED]), 0, 1)
    if _wait(b):
        return cost
    b[SPARSE] = team[c.SPARSE]
    if b[SPARSE]:
        b[LD] = 0
    if task == PREDICT:
        if b[ROWS] > 0:
            _predict_rows(b, t, work)
        else:  # a predictor, before its first call
            _pack_panels(b, t, work)
            b[PANELS] = 1
        return cost
    if task == TRAIN:
        _begin_optimizer(b, options)
    cost = _train_batches(b, t, work)
    if b[WORKER] == 0 and b[LD] == 0 and not (task == TRAIN and _stays_flat(b, options)):
        _unpack(b, t, _at(work, b[PACKED] if task == GRADIENT else 0), result, 0, 1)
        for k in range(b[SLOTS]):
            _unpack(b, t, _at(work, (3 + k) * b[PACKED]), _at(state, k * b[N_PARAMS]), 0, 1)
    if task == GRADIENT:
        return cost / _number(b, OWN_REPORT + c.WEIGHT_SUM)
    return cost


@_jit
def _run(block, work):
    """The only jitted entry. The block has all arguments but the workspace.

    So a call unboxes only two arrays. Numba compiles one version for each dtype, which serves all types of x and y.
    """
    b, start = _start_of(block), _start_of(work)
    if b[TASK] == COMPRESS:  # with denormals flushed, compress would miss entries
        _find_arrays(b)
        return float(_compress_rows(b, start))
    before = _flush_denormals()
    cost = _task(b, start)
    _restore_denormals(before)
    return cost


@lru_cache(maxsize=64)
def _template(
    task: int, net_bytes: bytes, rows: int, slots: int, itemsize: int, n_threads: int = 1, sparse: bool = False
) -> Ints:
    """The block of calls of this kind, but for the columns that `_fill` sets."""
    net = np.frombuffer(net_bytes, np.int64).reshape(-1, c.LAYER_COLUMNS)
    p = c.plan(net, rows, slots, itemsize, n_threads, sparse)
    block = np.zeros(BLOCK_COLUMNS + p.nodes.size, np.int64)
    block[BLOCK_COLUMNS:] = p.nodes.ravel()
    block[TASK], block[LAYERS], block[PACKED], block[BLOCK] = task, len(net), p.packed, p.rows
    block[SLOTS], block[N_THREADS], block[TARGET], block[DATA] = slots, n_threads, TO_STORE, DATA_AT
    block[BYTE_SCALE], block[LD] = net[0, c.BYTE_SCALE], p.ld if task == TRAIN else 0
    block[OWN_GRADIENTS] = p.own_gradients
    block[OWN_TEAM + c.N_THREADS] = 1
    dtype = np.dtype(f"f{itemsize}")
    numbers = cost_numbers(int(net[-1, c.COST]), c.number(net[-1, c.COST_NUMBER]), dtype)
    block[COST_NUMBERS:OWN_TEAM].view(dtype)[:4] = numbers
    return block


@lru_cache(maxsize=8)
def _compression(scale: float) -> Ints:
    """The block of calls of `compress`, but for the columns that `_fill` sets."""
    block = np.zeros(BLOCK_COLUMNS, np.int64)
    block[TASK], block[DATA], block[BYTE_SCALE] = COMPRESS, DATA_AT, c.bits(scale)
    return block


# One call of struct fills the columns from PARAMS to ROOM in the time that NumPy takes for five assignments.
_fill: Callable[..., None] = struct.Struct(f"{ROOM + 1}q").pack_into


def _data(array: NDArray[Any]) -> int:
    """The address of an array's data."""
    return int(array.ctypes.data)


def _data_at() -> int:
    """The offset of the data address in a NumPy array object, or 0 if unknown. `ctypes.data` would take 1 us more."""
    array, at = np.zeros(1), object.__basicsize__  # the first field after the object's header
    sound = platform.python_implementation() == "CPython"
    return at if sound and ctypes.c_void_p.from_address(id(array) + at).value == array.ctypes.data else 0


# A block holds the addresses of the array objects, which the kernel replaces by the addresses of their data. The caller
# of `_run` keeps the objects.
DATA_AT = _data_at()
_place: Callable[[Any], int] = id if DATA_AT else _data


def _inputs(x: c.Rows) -> tuple[int, int, int, int]:
    """The columns BYTES, REALS, STARTS and INDICES of the block."""
    if isinstance(x, c.SparseRows):
        return 0, _place(x.values), _place(x.starts), _place(x.indices)
    return (_place(x), 0, 0, 0) if x.itemsize == 1 else (0, _place(x), 0, 0)


def _targets(y: NDArray[Any]) -> tuple[int, int]:
    """The columns LABELS and TARGETS of the block."""
    return (_place(y), 0) if y.ndim == 1 else (0, _place(y))


def predict(net: Ints, params: Floats, x: c.Rows, out: Floats, work: Floats) -> None:
    n = len(x)
    block = _template(PREDICT, net.tobytes(), n, 0, params.itemsize, 1, isinstance(x, c.SparseRows)).copy()
    _fill(block, 0, _place(params), _place(out), 0, 0, 0, 0, 0, 0, 0, 0, *_inputs(x), 0, 0, 0, n, 0, 0, 0, 0, 0, 0, 0)
    _run(block, work)


def predictor(net: Ints, params: Floats, rows: int, x_dtype: np.dtype[Any], work: Floats) -> c.PreparedPredict:
    block = _template(PREDICT, net.tobytes(), rows, 0, params.itemsize).copy()
    block[PARAMS] = _place(params)
    _run(block, work)  # packs the parameters; the block has no rows yet
    block[TASK], run, place = READY, _run, _place
    source, row_bytes = BYTES if x_dtype == np.uint8 else REALS, int(net[0, c.N_IN]) * x_dtype.itemsize

    def call(x: NDArray[Any], out: Floats) -> None:
        block[ROWS] = x.nbytes // row_bytes  # not len(x): another thread may set x.shape
        block[source] = place(x)
        block[RESULT] = place(out)
        run(block, work)

    return call


def gradient(
    net: Ints, params: Floats, x: c.Rows, y: NDArray[Any], weights: NDArray[np.float64], grad: Floats, work: Floats
) -> float:
    n = len(x)
    block = _template(GRADIENT, net.tobytes(), n, 0, params.itemsize, 1, isinstance(x, c.SparseRows)).copy()
    _fill(
        block, 0, _place(params), _place(grad), 0, _place(weights) if weights.size else 0, 0, 0, 0, 0, 0, 0,
        *_inputs(x), *_targets(y), 0, n, n, n, n, 0, 0, 0, 0,
    )  # fmt: skip
    return float(_run(block, work))


def train(call: c.TrainCall) -> float:
    (
        net, params, state, x, y, weights, order, batch_size, rates, optimizer, step, progress, report, work, team,
        worker, epoch_rows,
    ) = call  # fmt: skip
    place, n_threads, compressed = _place, int(team[c.N_THREADS]), isinstance(x, c.SparseRows)
    block = _template(TRAIN, net.tobytes(), batch_size, len(state), params.itemsize, n_threads, compressed).copy()
    parameters = place(params)
    _fill(
        block, 0, parameters, parameters, place(state), place(weights) if weights.size else 0, place(order),
        place(rates), place(optimizer), 0 if worker else place(progress),  # only worker 0 may use the shared progress
        place(report), place(team), *_inputs(x), *_targets(y), 0, len(x), len(order), batch_size, epoch_rows, step,
        worker, len(params), 0,
    )  # fmt: skip
    return float(_run(block, work))


def update(
    net: Ints,
    params: Floats,
    state: Floats,
    gradient: Floats,
    optimizer: NDArray[np.float64],
    rate: float,
    done: int,
) -> None:
    block, place = _template(UPDATE, net.tobytes(), 1, len(state), params.itemsize).copy(), _place
    _fill(
        block, 0, place(params), place(gradient), place(state), 0, 0, 0, place(optimizer), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, done, 0, len(params), 0,
    )  # fmt: skip
    block[OPTIMIZER_STEP + RATE] = c.bits(rate)
    _run(block, params)  # needs no workspace; `params` is an array of the dtype


def compress(x: NDArray[Any], scale: float, starts: Ints, indices: NDArray[np.int32], values: Floats) -> int:
    block, n, n_in = _compression(scale).copy(), *x.shape
    octets, reals, _, _ = _inputs(x)
    _fill(
        block, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, octets, reals, _place(starts), 0, 0, 0, _place(indices), n, n_in, 0, 0,
        0, 0, 0, len(indices),
    )  # fmt: skip
    return int(_run(block, values))


def warm_up(dtype: np.dtype[Any], x_dtype: np.dtype[Any]) -> None:
    """Compile the kernels of this dtype, or load them from the cache. They serve all types of x and y."""
    net = np.zeros((1, c.LAYER_COLUMNS), np.int64)
    net[0, [c.N_IN, c.N_OUT, c.BIASES]] = 1
    work = c.aligned_empty(c.plan(net, 1, 0, dtype.itemsize).size, dtype)
    predict(net, np.zeros(2, dtype), np.zeros((1, 1), x_dtype), np.empty((1, 1), dtype), work)
