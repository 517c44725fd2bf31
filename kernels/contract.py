"""The kernel contract: what a backend is, the codes it is handed, and the workspace it may use.

A backend is a module with the functions of `Backend`. Kernels never allocate (the NumPy backend: nothing
that grows with the parameters or with x), print or raise, have no random state (dropout's numbers are a function of
their arguments), and they trust these: user input is rejected before it gets here, see fastnet/checks.
This file computes nothing with data: the formulas are in formulas.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32 or float64: one of the two throughout a call
Ints = NDArray[np.int64]

# -- a network, as the kernels see it: int64 (n_layers, 8), one row a layer -----------------------------
# WEIGHTS and BIASES are offsets into the flat parameter vector; a slice of consecutive rows is a network too.
N_IN, N_OUT, ACTIVATION, WEIGHTS, BIASES, COST, DROP, DROP_KEY = range(8)
LAYER_COLUMNS = 8

# The codes of activations and costs. Their names and formulas are the tables of formulas.py.
SIGMOID, RELU, TANH, LEAKY_RELU, IDENTITY, SOFTMAX = range(6)
LEAKY_SLOPE = 0.01
NO_COST, SQUARED_ERROR, CROSS_ENTROPY = range(3)  # NO_COST: of every layer but the last

MAX_LAYERS = 256  # the Cython backend keeps their descriptions on the C stack

# Dropout (Srivastava et al. 2014), of hidden layers (the last layer's DROP is 0) and in `train` only. For each row of a
# batch a neuron is dropped, its activation made 0, where its random number is below DROP, one of 0 to 2^32 - 1; the
# other activations are multiplied by drop_scale(DROP) then, so that prediction needs no change.
# The random numbers are those of Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): its
# four numbers at counter (g, row, update low, update high) are those of neurons 4 g to 4 g + 3. The row is the place
# in its batch, the update its number as Adam counts it, the first being 1; the key is DROP_KEY, 64 bits: (low, high).
# So no mask depends on blocks, threads or on how an order is cut.
PHILOX_ROUNDS = 10
PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57  # of counters 0 and 2
PHILOX_STEPS = 0x9E3779B9, 0xBB67AE85  # what the keys grow by from round to round
DROP_RANGE = 1 << 32


def drop_scale(drop: int) -> float:
    """What activations that are kept are multiplied by: 1 / (1 - the share that is dropped)."""
    return DROP_RANGE / (DROP_RANGE - drop)


# -- an optimiser, as the kernels see it: float64 (7,) --------------------------------------------------
# BETA1 is momentum's too; a CLIP_NORM or WEIGHT_DECAY of 0 means none.
KIND, BETA1, BETA2, EPSILON, NESTEROV, WEIGHT_DECAY, CLIP_NORM = range(7)
OPTIMIZER_COLUMNS = 7
GRADIENT_DESCENT, MOMENTUM, ADAM = range(3)
SLOTS = {GRADIENT_DESCENT: 0, MOMENTUM: 1, ADAM: 2}  # rows of state, as long as the parameters: v; m and v

# -- what `train` reports: int64 (3,) ---------------------------------------------------------------------
# STOP is IN: read before every block of rows; once it is not zero the kernel returns, the batch under way
# undone. STEPS (updates made) and CORRECT (examples of those batches classified right) are OUT.
#
# The one rule of classes: the class of an example is taken from the weighted sums of the last layer, whatever its
# activation. Outputs may be equal where sums still differ, as sigmoids that round to 1. The class is the number of the
# largest sum, the first of equal ones. With one output it is 1 where the sum is at least 0, else 0. The class of a
# vector of targets is the number of its largest, the first of equal ones. Of one target it is 1 where that is at least
# a half, else 0. An example with a sum that is not a number may count as right or not.
STOP, STEPS, CORRECT = range(3)
PROGRESS_COLUMNS = 3

# -- sparse inputs ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Rows (n, n_in) of which only the entries that are not zero are kept: compressed sparse rows (CSR).

    Row i has values[k] in column indices[k] for k from starts[i] to starts[i + 1], columns ascending, none twice.
    starts int64 (n + 1,), indices int32 and values, of the parameters' dtype, (n_entries,). A slice shares them; an
    array of row numbers takes copies of those rows.
    """

    starts: Ints
    indices: NDArray[np.int32]
    values: NDArray[Any]
    n_in: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, rows: slice | Ints) -> SparseRows:
        if not isinstance(rows, slice):
            counts = np.diff(self.starts)[rows]
            starts = np.concatenate(([0], np.cumsum(counts)))
            at = np.repeat(self.starts[rows] - starts[:-1], counts) + np.arange(starts[-1])
            return SparseRows(starts, self.indices[at], self.values[at], self.n_in)
        first, last, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"rows are taken in their order, not {rows}")
        return SparseRows(self.starts[first : max(first, last) + 1], self.indices, self.values, self.n_in)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.n_in


Rows = NDArray[Any] | SparseRows  # what x may be

# -- a team of threads: int64 (TEAM_COLUMNS + n_threads * TEAM_LINE,), zeros at first, see `team` ------------
# The threads of a team share one `train` call. ARRIVED and TURN are their barrier; a worker that cannot go on sets
# BROKEN, and the others return at once. From TEAM_COLUMNS on each worker has a line of its own: its COST (float64) and
# RIGHT (examples classified right) of the block under way. STOPPING is STOP as worker 0 read it, and SPARSE
# whether it found the inputs sparse: the same for all.
N_THREADS, ARRIVED, TURN, BROKEN, STOPPING, SPARSE = range(6)
TEAM_COLUMNS = TEAM_LINE = 8
THREAD_COST, THREAD_CORRECT = range(2)
MAX_THREADS = 64


def team(n_threads: int) -> Ints:
    """What a team of so many threads shares in one call of `train`."""
    shared = np.zeros(TEAM_COLUMNS + n_threads * TEAM_LINE, np.int64)
    shared[N_THREADS] = n_threads
    return shared


# -- the workspace ----------------------------------------------------------------------------------------
ALIGNMENT = 64  # bytes: a cache line, and the widest vector
BLOCK_ROWS = 256  # a larger batch goes through the layers in blocks of at most this many rows,
BLOCK_WORK = 1 << 31  # and of at most this many multiply-adds forward, so that STOP is read often enough
MIN_BLOCK_ROWS = 16
GROUP = 4  # inputs the compiled backends handle together
PANEL_ROWS, PANEL_VECTORS = 256, 4  # the compiled backends' packed panel; 4 vectors of at most 64 bytes
PANEL_DEPTH = 128  # rows of it that stay in the first-level cache
# The compiled backends skip inputs that are zero where there are at least SPARSE_INPUTS of them, and in SPARSE_SAMPLE
# rows, spread over all, at most a SPARSE_SHARE is not zero.
SPARSE_INPUTS, SPARSE_SAMPLE, SPARSE_SHARE = 64, 32, 0.4
# What would grow with rows times inputs is for so many inputs at a time: a sort of entries, and all that is dense of
# sparse rows. The images of the benchmarks, of 784 inputs, are in one piece.
PIECE_INPUTS = 4096

# Columns of Plan.nodes; row 0 is the input, row l the output of layer l. From LAYER on, row l repeats the network's
# row of layer l, and row 0 has the places that are no layer's.
WIDTH, ACTIVATIONS_AT, DELTAS_AT, SCRATCH_AT, WEIGHTS_AT, BIASES_AT, LAYER = range(7)
OUTPUTS_AT, PANEL_AT, ROWS_AT, ENDS_AT, SORTED_AT, SORTED_INPUTS = range(LAYER, LAYER + 6)


class Plan(NamedTuple):
    """Where a kernel call keeps what, counted in elements of the dtype from the start of the workspace.

    The workspace starts with the packed parameters, the packed gradient, a scratch of the same length and
    `slots` packed rows of optimiser state, `packed` elements each. The compiled backends pack weights as
    (n_in, width), a row for each input and the neurons along it, padded with zeros: both to whole 64-byte lines.

    In row 0 are the places of: OUTPUTS_AT two more areas as large as one of the last layer's; PANEL_AT a packed panel
    for each worker of a team; ROWS_AT three int64 numbers for each row. A worker sorts the entries of SORTED_INPUTS
    inputs at a time, and has for it: at ENDS_AT an int32 number for each of them and two more, then one for each row;
    at SORTED_AT that many inputs of one row more, twice.
    The three areas of row 0 itself are for the inputs of all rows; for SparseRows, for PIECE_INPUTS of them at most.
    """

    rows: int  # rows of a block
    packed: int  # elements of the packed parameters
    size: int  # elements of the whole workspace
    nodes: Ints  # (n_layers + 1, 14), offsets of areas, rows * WIDTH elements each: see the columns above


def padded(n: int, itemsize: int) -> int:
    """`n` elements rounded up to whole 64-byte lines."""
    lane = ALIGNMENT // itemsize
    return -(-n // lane) * lane


def block_rows(net: Ints, rows: int) -> int:
    """Rows of a block when a batch has `rows` rows. It depends on nothing else, so no result depends on time."""
    work = int((net[:, N_IN] * net[:, N_OUT]).sum())
    return max(1, min(rows, BLOCK_ROWS, max(MIN_BLOCK_ROWS, BLOCK_WORK // max(work, 1))))


def plan(net: Ints, rows: int, slots: int, itemsize: int, n_threads: int = 1, sparse: bool = False) -> Plan:
    """The one formula of the workspace: for batches of at most `rows` rows and `slots` rows of state.

    `sparse`: x is SparseRows. Nothing then grows with rows times inputs.
    """
    return _plan(net.tobytes(), rows, slots, itemsize, n_threads, sparse)


@functools.lru_cache(maxsize=64)  # thousands of small networks of a few shapes: the shapes repeat
def _plan(net_bytes: bytes, rows: int, slots: int, itemsize: int, n_threads: int, sparse: bool) -> Plan:
    net = np.frombuffer(net_bytes, np.int64).reshape(-1, LAYER_COLUMNS)
    lane = ALIGNMENT // itemsize
    rows = block_rows(net, rows)
    sizes = [int(net[0, N_IN]), *(int(n) for n in net[:, N_OUT])]
    nodes = np.zeros((len(sizes), LAYER + LAYER_COLUMNS), np.int64)
    nodes[1:, LAYER:] = net
    packed = 0
    for level, n in enumerate(sizes):
        nodes[level, WIDTH] = padded(n, itemsize)
        if level:
            nodes[level, WEIGHTS_AT] = packed
            packed += padded(sizes[level - 1], itemsize) * int(nodes[level, WIDTH])
            nodes[level, BIASES_AT] = packed
            packed += int(nodes[level, WIDTH])
    at = (3 + slots) * packed
    for level, n in enumerate([min(sizes[0], PIECE_INPUTS) if sparse else sizes[0], *sizes[1:]]):
        area = rows * (padded(n, itemsize) + lane)  # a line more a row: the NumPy backend keeps a row of ones
        nodes[level, ACTIVATIONS_AT : SCRATCH_AT + 1] = (at, at + area, at + 2 * area)
        at += 3 * area
    nodes[0, OUTPUTS_AT], at = at, at + 2 * area
    nodes[0, PANEL_AT], at = at, at + n_threads * PANEL_ROWS * PANEL_VECTORS * lane
    nodes[0, ROWS_AT], at = at, at + padded(rows * 24 // itemsize, itemsize)
    sorts = min(PIECE_INPUTS, -(-sizes[0] // (n_threads * GROUP)) * GROUP)  # the largest share of the inputs, in groups
    nodes[0, SORTED_INPUTS] = sorts
    nodes[0, ENDS_AT], at = at, at + padded(n_threads * (sorts + 2 + rows), itemsize)
    nodes[0, SORTED_AT], at = at, at + padded(2 * n_threads * (rows + 1) * sorts, itemsize)
    return Plan(rows, packed, at, frozen(nodes))


def aligned_empty(size: int, dtype: np.dtype[Any] | type) -> Floats:
    """An uninitialised vector that starts on a 64-byte line: a misaligned panel costs a quarter of the speed."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.empty(size * itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * itemsize].view(dtype)


def frozen(numbers: Ints) -> Ints:
    """A copy that nobody can make writeable again: its memory is a bytes object's. Not for an empty array."""
    return np.frombuffer(numbers.tobytes(), numbers.dtype).reshape(numbers.shape)


class TrainCall(NamedTuple):
    """All that one call of `Backend.train` is given. The threads of a team differ in `worker` only."""

    net: Ints  # IN (n_layers, 8)
    params: Floats  # INOUT (n_params,)
    state: Floats  # INOUT (slots, n_params): the optimiser's, SLOTS says how many rows
    x: Rows  # IN (n, n_in)
    y: NDArray[Any]  # IN (n,) labels, or (n, n_out) targets
    order: Ints  # IN (m,): rows of x and y; the first batch_size are the first batch, and so on
    batch_size: int  # the last batch may be smaller
    rates: NDArray[np.float64]  # IN (ceil(m / batch_size),): the learning rate of each step
    optimizer: NDArray[np.float64]  # IN (7,)
    step: int  # updates made before this call; Adam's bias correction and dropout count them
    progress: Ints  # (3,): IN STOP; OUT STEPS and CORRECT, which worker 0 writes
    work: Floats  # plan(net, batch_size, slots, itemsize, n_threads, sparse).size elements, or more
    team: Ints  # INOUT: see `team`
    worker: int  # the number of this thread in its team, from 0


class Backend(Protocol):
    """A kernel backend. Every array is C-contiguous, in native byte order, and allocated by the caller.

    T is the dtype of the parameters, float32 or float64. x is an array of T, or of uint8, which stands for x / 255, or
    SparseRows of T. y is int64 (n,), class labels, or T (n, n_out), targets. work is T (at least
    plan(...).size,), its contents of no matter before or after; `plan` is told where x is SparseRows. IN arrays may be
    read-only and are left unchanged.
    Numbers are finite: a weight of infinity meets an input of zero, which is not a number, in the NumPy backend
    alone, since the compiled ones skip such inputs.
    """

    MAX_THREADS: int  # of a team of threads in `train`; 1 where the backend's arithmetic has threads of its own
    COMPRESSION_PAYS: bool  # whether it trains faster on SparseRows than on the same rows as sparse floats

    def predict(self, net: Ints, params: Floats, x: Rows, out: Floats, work: Floats) -> None:
        """The forward pass.

        IN net (n_layers, 8), params (n_params,), x (n, n_in); OUT out (n, n_out): the last layer's
        activations; work of plan(net, n, 0, itemsize).
        """

    def predictor(self, net: Ints, params: Floats, rows: int, x_dtype: np.dtype[Any], work: Floats) -> Predictor:
        """A function of (x, out) that does what `predict` does with the parameters as they are now.

        For many calls on few rows: what can be done once is done now. x: an array of x_dtype, T or uint8; work of
        plan(net, rows, 0, itemsize), where calls with more rows go by `rows` at a time; it is the function's own from
        now on.
        """

    def gradient(self, net: Ints, params: Floats, x: Rows, y: NDArray[Any], grad: Floats, work: Floats) -> float:
        """The mean cost over the rows of x, and its gradient.

        IN net, params, x (n, n_in), y; OUT grad (n_params,), overwritten; work of
        plan(net, n, 0, itemsize).
        """

    def train(self, call: TrainCall) -> float:
        """Make one optimiser step for each batch of rows that `call.order` names, in that order.

        Returns the cost summed over the examples of the steps made. The cost of a batch is taken before its update.
        With dropout, the cost and progress[CORRECT] are those of the network with its dropped neurons.
        `train` stops before the update of a batch whose cost is not finite: progress[STEPS] then tells which.

        The threads of a team make the call together. Each hands over the same record but for `worker`, and all run at
        once, since they wait for each other. They share out the rows of a batch for the passes, then the inputs of
        each layer for the update, so that no gradient is added up across threads. Only what worker 0 returns counts.
        """

    def compress(self, x: NDArray[Any], starts: Ints, indices: NDArray[np.int32], values: NDArray[Any]) -> int:
        """Writes the entries of x that are not zero as SparseRows and returns their number.

        IN x (n, n_in) of T or uint8; OUT starts (n + 1,), indices and values, T, as long as there are entries, or
        both empty: then they are counted only. No more are written than fit; another number than was counted tells that
        x has changed in between.
        """


Predictor = Callable[[NDArray[Any], Floats], None]
