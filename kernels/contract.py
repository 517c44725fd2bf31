"""The kernel contract: the functions of a backend, the arrays and codes they take, and the layout of the workspace.

Start with `Backend` and `TrainCall`, at the end. The formulas are in formulas.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32 or float64, the same for all arrays of a call
Ints = NDArray[np.int64]

# -- a network: int64 (n_layers, LAYER_COLUMNS), one row for each layer of weights ---------------------------
# N_IN, N_OUT      the numbers of the layer's inputs and of its neurons
# ACTIVATION       a code from the list below: SIGMOID, RELU, ...
# WEIGHTS, BIASES  where the weights (n_out, n_in), row by row, and the biases (n_out,) start in the parameter vector
# COST             the code of the cost in the last row, NO_COST in the other rows
# DROP, DROP_KEY   the threshold and the key of dropout, see below; 0 for a layer without dropout
# COST_NUMBER      the number of the cost in the last row, such as the delta of Huber's cost; else 0
# TASK             what the outputs mean, in the last row: CLASSIFICATION, REGRESSION or MULTILABEL
# BYTE_SCALE       in the first row: a byte b of x stands for the input b * scale
# COST_NUMBER and BYTE_SCALE hold the bits of a float64: see `bits` and `number`.
# A slice of consecutive rows is also a network.
N_IN, N_OUT, ACTIVATION, WEIGHTS, BIASES, COST, DROP, DROP_KEY, COST_NUMBER, TASK, BYTE_SCALE = range(11)
LAYER_COLUMNS = 11

# The codes of activations and costs. Their names and formulas are in the tables of formulas.py.
SIGMOID, RELU, TANH, LEAKY_RELU, IDENTITY, SOFTMAX, EXPONENTIAL = range(7)
LEAKY_SLOPE = 0.01
(
    NO_COST,
    SQUARED_ERROR,
    CROSS_ENTROPY,
    HALF_SQUARED_ERROR,
    ABSOLUTE_ERROR,
    HUBER,
    QUANTILE,
    POISSON,
) = range(8)
CLASSIFICATION, REGRESSION, MULTILABEL = range(3)

MAX_LAYERS = 256  # the Cython backend keeps a record of each layer on the C stack


def bits(value: float) -> int:
    """The bits of a float64 as a whole number, for a column of a network."""
    return int(np.float64(value).view(np.int64))


def number(column: int | np.int64) -> float:
    """The float64 whose bits a column of a network holds."""
    return float(np.int64(column).view(np.float64))


def count_parameters(sizes: Sequence[int]) -> int:
    """The number of weights and biases of a network. `sizes` are the widths of its layers, from the inputs on."""
    return sum(n_out * (n_in + 1) for n_in, n_out in pairwise(sizes))


def multiply_adds(net: Ints) -> int:
    """The number of multiply-adds in the forward pass of one row."""
    return _multiply_adds(net.tobytes())


@functools.lru_cache(maxsize=64)  # computing it takes 5 us, a tenth of a prediction of 100 rows
def _multiply_adds(net_bytes: bytes) -> int:
    net = np.frombuffer(net_bytes, np.int64).reshape(-1, LAYER_COLUMNS)
    return int((net[:, N_IN] * net[:, N_OUT]).sum())


# -- dropout (Srivastava et al. 2014) --------------------------------------------------------------------------
# `train` applies dropout to hidden layers; the last layer's DROP is 0. Each neuron has a random number, 0 to 2^32 - 1,
# for each row of a batch. Where the number is below DROP, the neuron is dropped: its activation becomes 0. All other
# activations are multiplied by drop_scale(DROP), so that prediction needs no change.
#
# The numbers come from Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), with the 64
# bits of DROP_KEY as its key (low word, high word). The counter (g, row, low word of update, high word of update) gives
# the numbers of neurons 4 g to 4 g + 3. `row` is the row's place in its batch. `update` counts updates from 1, as Adam
# does. So the dropped neurons do not depend on blocks, on threads or on how the batches are split into calls.
PHILOX_ROUNDS = 10
PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57  # for words 0 and 2 of the counter
PHILOX_STEPS = 0x9E3779B9, 0xBB67AE85  # added to the two words of the key after each round
DROP_RANGE = 1 << 32


def drop_scale(drop: int) -> float:
    """The factor of the kept activations: 1 / (1 - probability of dropping a neuron)."""
    return DROP_RANGE / (DROP_RANGE - drop)


WHOLE_ORDER = 1 << 62  # the epoch_rows of a call within one epoch


def batches(n: int, batch_size: int, epoch_rows: int = WHOLE_ORDER) -> list[slice]:
    """The batches of an order of `n` rows: see `TrainCall`."""
    ends = [(start, min(start + epoch_rows, n)) for start in range(0, n, epoch_rows)]
    return [slice(at, min(at + batch_size, end)) for start, end in ends for at in range(start, end, batch_size)]


# -- an optimiser: float64 (OPTIMIZER_COLUMNS,) ----------------------------------------------------------------
# KIND                      GRADIENT_DESCENT, MOMENTUM or ADAM
# BETA1, BETA2, EPSILON     for Adam; BETA1 is also the coefficient of momentum
# NESTEROV                  1 for Nesterov's momentum, else 0
# WEIGHT_DECAY, CLIP_NORM   0 for no decay, 0 for no clipping
# PENALTY                   The summed cost of a batch is increased by PENALTY / 2 times the sum of the squared weights
#                           (of all layers, without the biases). The gradient is that of the increased cost. So a batch
#                           of n examples has a weight decay of PENALTY / n, on top of WEIGHT_DECAY. 0 for no penalty.
# PLAIN_EPSILON             1 if Adam adds EPSILON to sqrt(v), 0 if it adds EPSILON to sqrt(v / (1 - BETA2^t))
KIND, BETA1, BETA2, EPSILON, NESTEROV, WEIGHT_DECAY, CLIP_NORM, PENALTY, PLAIN_EPSILON = range(9)
OPTIMIZER_COLUMNS = 9
GRADIENT_DESCENT, MOMENTUM, ADAM = range(3)
SLOTS = {GRADIENT_DESCENT: 0, MOMENTUM: 1, ADAM: 2}  # rows of state: none; the velocity; Adam's m and v
# With these settings and a rate of 0, `train` on one batch leaves the parameters unchanged and writes the batch's
# gradient to state[0], with dropout, and without clipping, decay and penalty. The report is that of any training. It is
# momentum with a coefficient of 0, so that no kernel needs code for it. state[0] must be finite before the call.
GRADIENT_ONLY = np.zeros(OPTIMIZER_COLUMNS)
GRADIENT_ONLY[KIND] = MOMENTUM
GRADIENT_ONLY.flags.writeable = False

# -- the progress of a call of `train`: int64 (PROGRESS_COLUMNS,) ------------------------------------------------
# STOP     IN: the kernel reads STOP before every block of rows. Once STOP is not 0, the kernel discards the current
#          batch and returns. Another thread may set STOP at any time.
# STEPS    OUT: the number of updates made
STOP, STEPS = range(2)
PROGRESS_COLUMNS = 2

# -- the report of a call of `train`: float64 (n_batches, REPORT_COLUMNS), one row for each update made --------------
# All numbers are computed before the batch's update. w is the weight of an example, 1 without weights.
# COST_SUM     the sum of w * cost over the examples of the batch, without the penalty
# WEIGHT_SUM   the sum of w
# PENALTY_COST PENALTY / 2 times the sum of the squared weights of the network
# SCORE        classification: the sum of w over the examples that are classified correctly
#              multilabel: the sum of w over the examples whose labels are all predicted correctly
#              regression: the sum of w times the squared differences between output and target
# LABELS       multilabel: the sum of w times the number of labels that are predicted correctly; else 0
#
# The predicted class is read from the weighted sums of the last layer, not from its outputs: different sums can
# give equal outputs, such as sigmoids that round to 1. The class is the index of the largest sum, and the first such
# index where sums are equal. With one output, the class is 1 if the sum is at least 0, else 0. The class of a target
# vector is the index of its largest number, and the first such index where numbers are equal. The class of a single
# target is 1 if the target is at least 0.5, else 0. If a sum is NaN, the example may count as correct or as wrong.
# In a multilabel network, each output is a label of its own: predicted if its sum is at least 0, true if its target is
# at least 0.5.
COST_SUM, WEIGHT_SUM, PENALTY_COST, SCORE, LABELS = range(5)
REPORT_COLUMNS = 5

# -- inputs: an array of floats or bytes, or sparse rows ----------------------------------------------------------
PIXEL_SCALE = 1 / 255  # the default BYTE_SCALE of a network: bytes are pixels, and 255 stands for 1


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Compressed sparse rows (CSR): the nonzero entries of an array (n, n_in).

    Row i holds values[k] in column indices[k], for k from starts[i] to starts[i + 1] - 1. Within a row, the columns
    ascend and no column occurs twice. starts is int64 (n + 1,), indices int32 (n_entries,) and values (n_entries,) of
    the parameters' dtype. Indexing with a slice shares these arrays; indexing with row numbers copies the rows.
    """

    starts: Ints
    indices: NDArray[np.int32]
    values: NDArray[Any]
    n_in: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, rows: slice | Ints) -> SparseRows:
        if not isinstance(rows, slice):
            counts, at = self.entries(rows)
            starts = np.concatenate(([0], np.cumsum(counts)))
            return SparseRows(starts, self.indices[at], self.values[at], self.n_in)
        first, last, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"a slice of SparseRows needs a step of 1, not {rows}")
        return SparseRows(self.starts[first : max(first, last) + 1], self.indices, self.values, self.n_in)

    def entries(self, rows: slice | Ints) -> tuple[Ints, Ints]:
        """Return the number of entries of each of these rows, and the place of each entry in `indices` and `values`."""
        first = self.starts[:-1][rows]
        counts = self.starts[1:][rows] - first
        at = np.repeat(first - (np.cumsum(counts) - counts), counts)
        at += np.arange(len(at))
        return counts, at

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.n_in


Rows = NDArray[Any] | SparseRows  # the inputs x of a kernel

# -- a team of threads: int64 (TEAM_COLUMNS + n_threads * TEAM_LINE,) --------------------------------------------
# The threads of a team share one call of `train` and this array.
# N_THREADS      the number of threads of the team
# ARRIVED, TURN  the state of the barrier. ARRIVED has a cache line of its own: waiting threads read the line of TURN
# BROKEN         1 once a thread has failed: the other threads return at their next barrier
# STOPPING       the value of STOP that worker 0 read last
# SPARSE         whether worker 0 found the inputs sparse
# From TEAM_COLUMNS on, each thread has a cache line of its own. The line holds the cost of the thread's rows in the
# current block, THREAD_COST, and their part of the report's SCORE and LABELS, THREAD_SCORE and THREAD_LABELS. The sum
# of the squares of the thread's share of the weights, for the penalty, is THREAD_SQUARES. All four are float64.
N_THREADS, TURN, BROKEN, STOPPING, SPARSE = range(5)
TEAM_LINE = 8
ARRIVED = TEAM_LINE
TEAM_COLUMNS = 2 * TEAM_LINE
THREAD_COST, THREAD_SCORE, THREAD_LABELS, THREAD_SQUARES = range(4)
MAX_THREADS = 64


def team(n_threads: int) -> Ints:
    """The array that `n_threads` threads share in one call of `train`."""
    if n_threads == 1:
        return _ALONE.copy()  # one thread needs no cache lines of its own; a line's start takes 2 us to find
    shared = aligned_empty(TEAM_COLUMNS + n_threads * TEAM_LINE, np.int64)
    shared[...] = 0
    shared[N_THREADS] = n_threads
    return shared


_ALONE = np.zeros(TEAM_COLUMNS + TEAM_LINE, np.int64)
_ALONE[N_THREADS] = 1

# -- the workspace ----------------------------------------------------------------------------------------
ALIGNMENT = 64  # bytes of a cache line, and of the widest vector
# A batch goes through the layers in blocks, so that STOP is read often enough. A block has at most BLOCK_ROWS rows. If
# the forward pass of such a block needs more than BLOCK_WORK multiply-adds, a block has fewer rows, but at least
# MIN_BLOCK_ROWS.
BLOCK_ROWS, BLOCK_WORK, MIN_BLOCK_ROWS = 256, 1 << 31, 16
GROUP = 4  # inputs that the compiled backends handle together
PANEL_ROWS, PANEL_VECTORS = 256, 4  # limits of a panel (packed weights or deltas): rows, and vectors per row
PANEL_DEPTH = 256  # rows of the panel that a tile reads at once
# The compiled backends skip zero inputs if a row has at least SPARSE_INPUTS inputs and at most SPARSE_SHARE of
# the inputs are not zero. They measure this share on SPARSE_SAMPLE rows, spread evenly over the data.
SPARSE_INPUTS, SPARSE_SAMPLE, SPARSE_SHARE = 64, 32, 0.4
# `predict` computes at most FEW_ROWS dense rows with the weights as they are; packing them would take longer.
FEW_ROWS = 16
# The workspace has an area for sorted entries and an area for unpacked sparse rows. Both hold at most PIECE_INPUTS
# inputs at a time; otherwise they would grow with rows times inputs. MNIST images have 784 inputs, which is one piece.
PIECE_INPUTS = 4096
# The compiled backends have a second path for small layers: `narrow` says where it is used.
NARROW_WIDTH = 200
# A thread may keep a gradient of its own if the packed parameters take at most OWN_GRADIENT_BYTES: see `own_gradients`.
OWN_GRADIENT_BYTES, OWN_GRADIENT_GAIN = 1 << 22, 1.5

# The columns of Plan.nodes. Row 0 is the network's input, row l the output of layer l. From column LAYER on, row l
# repeats the network's row for layer l. In row 0 these columns hold other numbers: OUTPUTS_AT to SORTED_INPUTS.
WIDTH, ACTIVATIONS_AT, DELTAS_AT, SCRATCH_AT, WEIGHTS_AT, BIASES_AT, LAYER = range(7)
OUTPUTS_AT, PANEL_AT, ROWS_AT, ENDS_AT, SORTED_AT, SORTED_INPUTS = range(LAYER, LAYER + 6)


class Plan(NamedTuple):
    """The layout of the workspace. Offsets count elements of the dtype from the start of the workspace.

    The workspace starts with 3 + slots areas of `packed` elements: the packed parameters, the packed gradient, a
    scratch area and the `slots` packed rows of the optimiser's state. The compiled backends pack the weights of a layer
    as (n_in, width), so that a row has the weights of one input to all neurons. Rows and columns are padded with zeros
    to whole 64-byte lines.

    In each row of `nodes`, ACTIVATIONS_AT, DELTAS_AT and SCRATCH_AT are the offsets of areas of `rows` rows. The areas
    of row 0 hold the inputs; for SparseRows these areas are at most PIECE_INPUTS wide. WIDTH is the padded number of
    inputs or neurons. WEIGHTS_AT and BIASES_AT are offsets into the packed parameters. Row 0 also has:

    - OUTPUTS_AT: two more areas, each as large as one area of the last layer.
    - PANEL_AT: a packed panel for each thread.
    - ROWS_AT: three int64 numbers for each row.
    - SORTED_INPUTS: how many inputs a thread sorts at a time.
    - ENDS_AT: SORTED_INPUTS + 2 + rows int32 numbers for each thread.
    - SORTED_AT: (rows + 1) * SORTED_INPUTS pairs of elements for each thread: a value, and the number of its row.

    Where `ld` is not 0, the layers are narrow. `train` may then use the areas of activations, deltas and outputs for
    columns (kernels/narrow.h): a column has one number for each row and a length of `ld`, an odd number of lines, so
    that the columns of a tile do not fall into the same lines of a cache. ROWS_AT then has room for `ld` times 32
    bytes: for each row a weight, a class and two factors. The packed gradient holds the gradient in the order of the
    parameters. Nothing else is packed.

    Where `own_gradients` is not 0, each thread has a packed gradient of its own, of `packed` elements from there on. It
    holds the gradient of the thread's rows of a batch.
    """

    rows: int  # rows of a block
    packed: int  # elements of the packed parameters
    size: int  # elements of the whole workspace
    nodes: Ints  # (n_layers + 1, LAYER + LAYER_COLUMNS)
    ld: int  # the length of a column of narrow layers, else 0
    own_gradients: int  # where the threads' own gradients start, or 0


def padded(n: int, itemsize: int) -> int:
    """`n` elements rounded up to whole 64-byte lines."""
    lane = ALIGNMENT // itemsize
    return -(-n // lane) * lane


def block_rows(net: Ints, rows: int) -> int:
    """The number of rows of a block, for batches of `rows` rows. It does not depend on the number of threads."""
    return max(1, min(rows, BLOCK_ROWS, max(MIN_BLOCK_ROWS, BLOCK_WORK // max(multiply_adds(net), 1))))


def narrow(net: Ints, rows: int, itemsize: int) -> bool:
    """Whether `train` with batches of `rows` rows uses columns, unless it skips zeros.

    The rule counts operations on vectors of 64 bytes. Columns pad the rows of a block, and take 3 operations more for
    each weight, to add the lanes of its gradient. Packed layers pad neurons, and take about 40 operations more for each
    row: a copy, the class, the cost. docs/decisions/small-tables.md has the measurements.
    """
    if int(net[:, [N_IN, N_OUT]].max()) > NARROW_WIDTH:
        return False
    lane = ALIGNMENT // itemsize
    block = block_rows(net, rows)
    columns, packed = 0, 40 * block
    for layer, (n_in, n_out) in enumerate(net[:, [N_IN, N_OUT]].tolist()):
        products = 2 + (layer > 0)  # forward, gradient, and backward except to the inputs
        columns += n_in * n_out * (products * -(-block // lane) + 3)
        packed += block * 2 * -(-n_in // GROUP) * GROUP * -(-n_out // lane)
        packed += block * (layer > 0) * -(-n_out // GROUP) * GROUP * -(-n_in // lane)
    return columns <= 1.25 * packed


def own_gradients(net: Ints, rows: int, n_threads: int, packed: int, itemsize: int) -> bool:
    """Whether each thread of a team computes the gradient of its rows of a batch of `rows` rows.

    Else each thread computes the gradient of its inputs, over all rows. The rule counts the elements that a thread
    reads and another thread has written: the deltas of the rows and its share of their inputs, or its share of all
    threads' gradients. docs/decisions/own-gradients.md has the measurements.
    """
    if n_threads == 1 or block_rows(net, rows) < 2 * n_threads or packed * itemsize > OWN_GRADIENT_BYTES:
        return False
    inputs, neurons = (int(n) for n in net[:, [N_IN, N_OUT]].sum(axis=0))
    return rows * (inputs // n_threads + neurons) >= OWN_GRADIENT_GAIN * packed


def plan(net: Ints, rows: int, slots: int, itemsize: int, n_threads: int = 1, sparse: bool = False) -> Plan:
    """The workspace layout of a call, for batches of at most `rows` rows and `slots` rows of optimiser state.

    With `sparse`, x is SparseRows, and no area grows with rows times inputs.
    """
    return _plan(net.tobytes(), rows, slots, itemsize, n_threads, sparse)


@functools.lru_cache(maxsize=64)  # many networks of a program have the same shape
def _plan(net_bytes: bytes, rows: int, slots: int, itemsize: int, n_threads: int, sparse: bool) -> Plan:
    net = np.frombuffer(net_bytes, np.int64).reshape(-1, LAYER_COLUMNS)
    lane = ALIGNMENT // itemsize
    is_narrow = narrow(net, rows, itemsize) and not sparse
    batch_rows, rows = rows, block_rows(net, rows)
    ld = (-(-rows // lane) | 1) * lane if is_narrow else 0
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
        area = rows * (padded(n, itemsize) + lane)  # 64 bytes more: the NumPy backend appends a 1
        area = max(area, n * ld)
        nodes[level, ACTIVATIONS_AT : SCRATCH_AT + 1] = (at, at + area, at + 2 * area)
        at += 3 * area
    nodes[0, OUTPUTS_AT], at = at, at + 2 * area
    nodes[0, PANEL_AT], at = at, at + n_threads * PANEL_ROWS * PANEL_VECTORS * lane
    nodes[0, ROWS_AT], at = at, at + padded(max(rows * 24, ld * 32) // itemsize, itemsize)
    sorts = min(PIECE_INPUTS, -(-sizes[0] // (n_threads * GROUP)) * GROUP)  # inputs of a thread, in whole groups
    nodes[0, SORTED_INPUTS] = sorts
    nodes[0, ENDS_AT], at = at, at + padded(n_threads * (sorts + 2 + rows), itemsize)
    nodes[0, SORTED_AT], at = at, at + padded(2 * n_threads * (rows + 1) * sorts, itemsize)
    own = 0
    if own_gradients(net, batch_rows, n_threads, packed, itemsize):
        own, at = at, at + n_threads * packed
    return Plan(rows, packed, at, frozen(nodes), ld, own)


def aligned_empty(size: int, dtype: np.dtype[Any] | type) -> Floats:
    """An uninitialised vector that starts on a 64-byte line. A misaligned panel costs a quarter of the speed."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.empty(size * itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * itemsize].view(dtype)


def frozen(numbers: Ints) -> Ints:
    """A copy of a non-empty array that nobody can make writeable, because a bytes object owns its memory."""
    return np.frombuffer(numbers.tobytes(), numbers.dtype).reshape(numbers.shape)


class TrainCall(NamedTuple):
    """The arguments of one call of `Backend.train`. The records of a team's threads differ in `worker` only.

    IN arrays are read, OUT arrays overwritten, INOUT arrays updated in place. T is the dtype of `params`.
    """

    net: Ints  # IN (n_layers, LAYER_COLUMNS)
    params: Floats  # INOUT (n_params,)
    state: Floats  # INOUT (slots, n_params), T: the optimiser's state, with SLOTS[kind] rows
    x: Rows  # IN (n, n_in)
    y: NDArray[Any]  # IN (n,) or (n, n_out)
    weights: NDArray[np.float64]  # IN (n,): the weight of each example; or (0,), if every weight is 1
    order: Ints  # IN (m,): row numbers of x and y; each batch takes the next batch_size of these numbers
    batch_size: int  # the last batch of an epoch may be smaller
    rates: NDArray[np.float64]  # IN (n_batches,): the learning rate of each step
    optimizer: NDArray[np.float64]  # IN (OPTIMIZER_COLUMNS,)
    step: int  # updates made before this call; Adam's bias correction and dropout continue this count
    progress: Ints  # (PROGRESS_COLUMNS,): IN STOP; OUT STEPS, which worker 0 writes
    report: NDArray[np.float64]  # OUT (n_batches, REPORT_COLUMNS): worker 0 writes the rows of updates made
    work: Floats  # T, at least plan(net, batch_size, slots, itemsize, n_threads, sparse).size elements
    team: Ints  # INOUT: what `team(n_threads)` returned
    worker: int  # the number of this thread in its team, from 0 to n_threads - 1
    epoch_rows: int = WHOLE_ORDER  # a batch also ends after each epoch_rows numbers of `order`, where an epoch ends


class Backend(Protocol):
    """A backend: a module, or any other object, with these five functions and two constants.

    Arguments. Every array is C-contiguous, in native byte order, and allocated by the caller. T, float32 or float64, is
    the dtype of the parameters. `x` is an array of T, SparseRows of T, or an array of uint8, where a byte b stands for
    b * BYTE_SCALE. `y` is class labels, int64 (n,), or targets, T (n, n_out). `work` is at least as large as the plan
    says; its contents are undefined before and after a call.

    Rules. A kernel leaves IN arrays unchanged; they may be read-only. A kernel does not allocate, print, raise or hold
    the GIL. (The NumPy backend holds the GIL between operations. It may allocate arrays that do not grow with the
    parameters or with x.) The result depends on the arguments alone: a kernel keeps no state and no random generator.
    A kernel does not check its arguments: fastnet/checks has rejected bad input. All numbers are finite.
    For infinite weights, backends may differ: NumPy computes 0 * inf = NaN, and compiled backends skip zero inputs.
    """

    MAX_THREADS: int  # the largest team for `train`; 1 if the backend's arithmetic starts threads of its own
    COMPRESSION_PAYS: bool  # whether training on SparseRows is faster than on the same rows as a dense array

    def predict(self, net: Ints, params: Floats, x: Rows, out: Floats, work: Floats) -> None:
        """Compute the activations of the last layer.

        IN net, params (n_params,), x (n, n_in). OUT out (n, n_out). work: plan(net, n, 0, itemsize, sparse=...).
        """

    def predictor(self, net: Ints, params: Floats, rows: int, x_dtype: np.dtype[Any], work: Floats) -> PreparedPredict:
        """Return a function of (x, out) that does what `predict` does with the current parameters, within rounding.

        The function is for many calls on few rows. `predict` prepares each call anew, `predictor` prepares all calls
        once. x is an array of x_dtype, T or uint8, with any number of rows; the function takes `rows` at a time.
        work: plan(net, rows, 0, itemsize). The function keeps `work` for its calls.
        """

    def gradient(
        self,
        net: Ints,
        params: Floats,
        x: Rows,
        y: NDArray[Any],
        weights: NDArray[np.float64],
        grad: Floats,
        work: Floats,
    ) -> float:
        """Return the weighted mean cost over the rows of x and overwrite `grad` with its gradient.

        IN net, params (n_params,), x (n, n_in), y, weights (n,) or (0,), whose sum is more than 0. OUT grad
        (n_params,). work: plan(net, n, 0, itemsize, sparse=...).
        """

    def train(self, call: TrainCall) -> float:
        """Make one optimiser step for each batch of rows that `call.order` names, in that order.

        The cost of a batch is the mean over its examples, weighted by `call.weights`. A batch whose weights sum to 0
        has a gradient of 0. Weights that are all 1 give the same bits as no weights.

        Return the sum of the report's COST_SUM. The cost and the scores of a batch are computed before its update. With
        dropout, they are computed with the dropped neurons at 0. If the cost of a batch is not finite, `train` returns
        before the update; progress[STEPS] is then the number of this batch, counted from 0.

        The threads of a team make the call at the same time, each with its own `worker`, and wait for each other at
        barriers. In the forward and the backward pass, the threads share the rows of a batch. In the update, the
        threads share the inputs of each layer. If the plan has `own_gradients`, each thread may first compute the
        gradient of its rows. The caller takes the result of worker 0.
        """

    def compress(
        self, x: NDArray[Any], scale: float, starts: Ints, indices: NDArray[np.int32], values: NDArray[Any]
    ) -> int:
        """Write the entries of x that are not zero as SparseRows and return their number.

        IN x (n, n_in), T or uint8; bytes are multiplied by `scale`. OUT starts (n + 1,), indices and values
        (n_entries,), T. With empty indices and values, `compress` only counts the entries. It never writes beyond the
        arrays: if another thread changes x after the count, the returned number may differ from the count.
        """


class AveragingBackend(Backend, Protocol):
    """A backend for trainings whose processes average their gradients: `train` with GRADIENT_ONLY, then `update`."""

    def update(
        self,
        net: Ints,
        params: Floats,
        state: Floats,
        gradient: Floats,
        optimizer: NDArray[np.float64],
        rate: float,
        done: int,
    ) -> None:
        """Make one optimiser step with a given gradient, as `train` makes it: with clipping, then with weight decay.

        IN net, gradient (n_params,), T, and optimizer (OPTIMIZER_COLUMNS,). INOUT params (n_params,) and state (slots,
        n_params). `done` is the number of updates made before. `update` does not know the batch's weight, so it leaves
        PENALTY out: a caller that wants it adds PENALTY / weight to WEIGHT_DECAY.
        """


PreparedPredict = Callable[[NDArray[Any], Floats], None]  # what Backend.predictor returns: a function of (x, out)
