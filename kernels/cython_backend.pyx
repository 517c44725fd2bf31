"""The Cython backend: `forward`, `backward` and `update_all` on blocks of rows, and the functions of the contract.

setup.py builds this file once for each instruction set and dtype. The inner loops are in vec.h and few_rows.h.
"""

# Why it is fast:
# - A packed row holds the weights of one input to all neurons of a layer (contract.Plan). So the inner loops
#   run along the neurons and need no sums across the lanes of a vector.
# - If most inputs are zero, as in images of digits, the kernels gather the other inputs as sparse rows. They read only
#   the weights of these inputs.
# - Small dense layers have the rows of a batch along the lanes and are not packed (narrow.h, contract.narrow).
# - If a batch is one block and nothing is clipped, plain gradient descent adds the gradient straight to the weights and
#   never stores it. Momentum and Adam take the gradient of a small batch from a tile in the first-level cache.
# A tile is a part of a matrix that is computed at once, in registers or in the first-level cache. A panel is a part of
# the weights or of the deltas, copied ("packed") to contiguous memory.

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport INFINITY, isfinite, log, pow, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from fastnet.kernels import contract

cdef extern from "vec.h" nogil:
    ctypedef float real  # float or double: FASTNET_FLOAT64 decides
    ctypedef int fp_state
    const char *FASTNET_ISA
    const int TEAMS
    const Py_ssize_t VL, GROUP, TILE_VECTORS, TILE_ROWS, UPDATE_INPUTS
    const int SIGMOID, RELU, TANH, LEAKY_RELU, IDENTITY, SOFTMAX, EXPONENTIAL, GIVEN
    const int NO_COST, SQUARED_ERROR, CROSS_ENTROPY, HALF_SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, QUANTILE, POISSON
    const int FROM_ZERO, FROM_START, ADD
    real LEAKY_SLOPE
    fp_state flush_denormals()
    void restore_denormals(fp_state before)
    void PREFETCH(const void *p)
    int64_t read_now(const int64_t *p)
    int team_wait(int64_t *n_threads, int64_t *arrived, int64_t *turn, int64_t *broken)
    void activate_tile(int activation, const real *z, real *a, Py_ssize_t ld, Py_ssize_t rows, Py_ssize_t columns,
                       Py_ssize_t used)
    void softmax_rows(const real *z, real *a, Py_ssize_t ld, Py_ssize_t rows, Py_ssize_t n)
    void softmax_derivative(const real *a, real *delta, Py_ssize_t columns)
    real row_largest(const real *a, Py_ssize_t n)
    Py_ssize_t first_largest(const real *a, Py_ssize_t n)
    void times_derivative(int activation, const real *a, real *delta, Py_ssize_t ld, Py_ssize_t rows,
                          Py_ssize_t columns)
    ctypedef struct drop_t:
        uint32_t threshold
    const uint32_t PHILOX_M0, PHILOX_M1, PHILOX_W0, PHILOX_W1
    drop_t drop_of(int64_t threshold, double scale, int64_t key, int64_t update)
    void apply_dropout(const drop_t *d, int activation, real *a, real *derivatives, Py_ssize_t ld, Py_ssize_t rows,
                       uint32_t row)
    void forward_tile(int rows, int vectors, const real *x, Py_ssize_t ldx, Py_ssize_t n, const real *w,
                      Py_ssize_t ldw, int begin, const real *start, real *out, Py_ssize_t ldo)
    ctypedef struct ahead_t:
        const real *start
        Py_ssize_t ld, packed, slots
    void update_tiles(int vectors, const real *x, Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t n, const real *delta,
                      Py_ssize_t ldd, real *out, Py_ssize_t ldo, const ahead_t *ahead)
    void add_rows(const real *delta, Py_ssize_t ld, Py_ssize_t rows, Py_ssize_t columns, real *sums)
    void transpose(const real *w, Py_ssize_t ldw, real *out, Py_ssize_t ldo)
    int sparse_part(Py_ssize_t vectors)
    void sparse_forward(int rows, int vectors, const int32_t *columns, const real *values, Py_ssize_t ldv, Py_ssize_t n,
                        const real *w, Py_ssize_t ldw, const real *start, real *out, Py_ssize_t ldo)
    void skipping_forward(int rows, int vectors, const int32_t *columns, const real *x, Py_ssize_t ldx, Py_ssize_t n,
                          const real *w, Py_ssize_t ldw, const real *start, real *out, Py_ssize_t ldo)
    void sparse_update(int height, int vectors, const int32_t *columns, const real *values, Py_ssize_t ldv,
                       Py_ssize_t n, const real *delta, Py_ssize_t ldd, real *w, Py_ssize_t ldw)
    ctypedef struct sorted_t:
        int32_t row
        real value
    Py_ssize_t sort_row(int height, const int32_t *columns, const real *values, Py_ssize_t ldv, Py_ssize_t k,
                        Py_ssize_t n, Py_ssize_t first, Py_ssize_t last, int32_t row, int32_t *ends, sorted_t *sorted)
    void sorted_update(int vectors, const sorted_t *entries, Py_ssize_t n, const real *delta, real *out)
    const Py_ssize_t MAX_BYTES_COLUMNS
    Py_ssize_t count_bytes(const uint8_t *row, Py_ssize_t n)
    Py_ssize_t count_reals(const real *row, Py_ssize_t n)
    Py_ssize_t compact_bytes(const uint8_t *first, const uint8_t *second, Py_ssize_t n, int32_t *all)
    Py_ssize_t compact_reals(const real *first, const real *second, Py_ssize_t n, int32_t *columns, real *values,
                             Py_ssize_t ldv)
    Py_ssize_t nonzero_columns(const real *first, const real *second, Py_ssize_t n, int32_t *columns)
    void unpack_bytes(int32_t *all, Py_ssize_t n, real scale, real *values, real *second)
    void output_error(int cost, real number, int activation, const real *a, real *delta, Py_ssize_t columns,
                      int64_t label, real factor, real weight, real *costs, real *squares)
    bint is_first_largest(const real *a, Py_ssize_t n, int64_t label)
    double log_cost_of_row(int cost, real limit, const real *z, const real *a, const real *targets, Py_ssize_t n,
                           int64_t label)
    Py_ssize_t correct_labels(const real *z, const real *targets, Py_ssize_t n, int64_t label)
    const int PLAIN, WITH_MOMENTUM, WITH_NESTEROV, WITH_ADAM
    ctypedef struct step_t:
        int kind
        real scale, decay, rate, root, beta1, rest1, beta2, rest2, epsilon
        double *squares
    void step_row(const step_t *s, real *p, const real *g, real *m, real *v, Py_ssize_t n)
    double multiply_add_peak(Py_ssize_t repeats, real *sink)
    const int BETWEEN_CALLS, PACK, GATHER, FORWARD, OUTPUT, BACKWARD, WAIT_DELTAS, UPDATE, WAIT_UPDATE, STEP, WAIT_STEP
    const int UNPACK, N_PHASES
    void lap(Py_ssize_t worker, int phase)
    int64_t spent(Py_ssize_t worker, int phase)

cdef extern from "few_rows.h" nogil:
    void copy_padded(const real *start, Py_ssize_t n, real *to, Py_ssize_t width)
    void pack_weights(const real *weights, Py_ssize_t n_in, Py_ssize_t n_out, real *packed, Py_ssize_t width,
                      Py_ssize_t first, Py_ssize_t last)
    void unpack_weights(const real *packed, Py_ssize_t width, Py_ssize_t n_in, Py_ssize_t n_out, real *weights,
                        Py_ssize_t first, Py_ssize_t last)
    void sums_of_few(const real *x, Py_ssize_t ldx, Py_ssize_t rows, const real *weights, Py_ssize_t n_in,
                     Py_ssize_t n_out, const real *biases, real *sums, Py_ssize_t lds)
    void deltas_of_few(const real *deltas, Py_ssize_t ldd, Py_ssize_t rows, const real *weights, Py_ssize_t n_out,
                       Py_ssize_t n_in, real *out, Py_ssize_t ldo)
    void gradient_of_few(const real *x, Py_ssize_t ldx, Py_ssize_t rows, const real *deltas, Py_ssize_t ldd,
                         Py_ssize_t n_in, Py_ssize_t n_out, real *out)

cdef extern from "narrow.h" nogil:
    ctypedef int64_t bits  # int32_t or int64_t, as large as `real`
    const Py_ssize_t COLUMN_TILE
    const int CLASSIFICATION_TASK, REGRESSION_TASK, MULTILABEL_TASK
    void turn_rows(const real *x, Py_ssize_t n, const int64_t *order, Py_ssize_t count, real *out, Py_ssize_t ld)
    void turn_bytes(const uint8_t *x, Py_ssize_t n, const int64_t *order, Py_ssize_t count, real scale, real *out,
                    Py_ssize_t ld)
    void narrow_forward(int activation, const real *weights, const real *biases, Py_ssize_t n_in, Py_ssize_t n_out,
                        const real *x, real *sums, real *outputs, Py_ssize_t ld, Py_ssize_t groups)
    void narrow_backward(int activation, const real *weights, Py_ssize_t n_in, Py_ssize_t n_out, const real *deltas,
                         const real *outputs, real *below, Py_ssize_t ld, Py_ssize_t groups)
    void narrow_gradient(const real *delta, Py_ssize_t neurons, const real *x, Py_ssize_t n, Py_ssize_t ld,
                         Py_ssize_t groups, int add, real *grad)
    void narrow_biases(const real *delta, Py_ssize_t neurons, Py_ssize_t ld, Py_ssize_t groups, int add, real *grad)
    void narrow_step(const step_t *s, real *p, const real *g, real *m, real *v, Py_ssize_t n)
    void narrow_dropout(const drop_t *d, int activation, real *a, real *derivatives, Py_ssize_t n, Py_ssize_t ld,
                        Py_ssize_t groups, uint32_t row)
    ctypedef struct narrow_output_t:
        int cost, task, activation
        Py_ssize_t n, ld, rows, groups
        double number
        const real *sums
        const real *outputs
        real *deltas
        const bits *labels
        const double *weights
        const real *relative
        const real *factors
        real scale
        double cost_sum, score, right_labels
    void narrow_output(narrow_output_t *o)

# The contract's codes as C integers.
cdef enum:
    MAX_LAYERS = 256  # a call keeps its layers on the C stack
    SKIPPING_ROWS = 32  # rows of a piece in skipping_sums: even, and their inputs fit into the second-level cache
    LINE_ENTRIES = 16  # compact_bytes and compact_reals may write up to 16 places past the last entry
    CHUNK_INPUTS = 24  # with TO_OPTIMIZER, a tile holds the gradient of 24 inputs
    SECOND_LEVEL = 1 << 20  # bytes of the second-level cache: the update of a network that fits needs no prefetches
    LANES = 16  # the largest number of lanes of a vector
cdef int GRADIENT_DESCENT = contract.GRADIENT_DESCENT, MOMENTUM = contract.MOMENTUM
cdef int N_IN = contract.N_IN, N_OUT = contract.N_OUT, ACTIVATION = contract.ACTIVATION
cdef int WEIGHTS = contract.WEIGHTS, BIASES = contract.BIASES, COST = contract.COST
cdef int DROP = contract.DROP, DROP_KEY = contract.DROP_KEY
cdef int COST_NUMBER = contract.COST_NUMBER, TASK = contract.TASK, BYTE_SCALE = contract.BYTE_SCALE
cdef int CLASSIFICATION = contract.CLASSIFICATION, REGRESSION = contract.REGRESSION, MULTILABEL = contract.MULTILABEL
assert (CLASSIFICATION_TASK, REGRESSION_TASK, MULTILABEL_TASK) == (CLASSIFICATION, REGRESSION, MULTILABEL)
cdef int WIDTH = contract.WIDTH, ACTIVATIONS_AT = contract.ACTIVATIONS_AT, DELTAS_AT = contract.DELTAS_AT
cdef int SCRATCH_AT = contract.SCRATCH_AT, WEIGHTS_AT = contract.WEIGHTS_AT, BIASES_AT = contract.BIASES_AT
cdef int OUTPUTS_AT = contract.OUTPUTS_AT, PANEL_AT = contract.PANEL_AT, ROWS_AT = contract.ROWS_AT
cdef int ENDS_AT = contract.ENDS_AT, SORTED_AT = contract.SORTED_AT, SORTED_INPUTS = contract.SORTED_INPUTS
cdef int KIND = contract.KIND, BETA1 = contract.BETA1, BETA2 = contract.BETA2, EPSILON = contract.EPSILON
cdef int NESTEROV = contract.NESTEROV, WEIGHT_DECAY = contract.WEIGHT_DECAY, CLIP_NORM = contract.CLIP_NORM
cdef int PENALTY = contract.PENALTY, PLAIN_EPSILON = contract.PLAIN_EPSILON
cdef int STOP = contract.STOP, STEPS = contract.STEPS
cdef int COST_SUM = contract.COST_SUM, WEIGHT_SUM = contract.WEIGHT_SUM, PENALTY_COST = contract.PENALTY_COST
cdef int SCORE = contract.SCORE, LABELS = contract.LABELS, REPORT_COLUMNS = contract.REPORT_COLUMNS
cdef int N_THREADS = contract.N_THREADS, ARRIVED = contract.ARRIVED, TURN = contract.TURN, BROKEN = contract.BROKEN
cdef int STOPPING = contract.STOPPING, TEAM_COLUMNS = contract.TEAM_COLUMNS, TEAM_LINE = contract.TEAM_LINE
cdef int SPARSE = contract.SPARSE
cdef Py_ssize_t LAYER_COLUMNS = contract.LAYER_COLUMNS, NODE_COLUMNS = contract.LAYER + contract.LAYER_COLUMNS
cdef object plan_of = contract.plan, SparseRows = contract.SparseRows
cdef Py_ssize_t PANEL_ROWS = contract.PANEL_ROWS, PANEL_DEPTH = contract.PANEL_DEPTH
cdef Py_ssize_t SPARSE_INPUTS = contract.SPARSE_INPUTS, SPARSE_SAMPLE = contract.SPARSE_SAMPLE
cdef double SPARSE_SHARE = contract.SPARSE_SHARE
cdef Py_ssize_t FEW_ROWS = contract.FEW_ROWS
assert contract.BLOCK_ROWS <= contract.PANEL_ROWS and contract.PANEL_VECTORS >= TILE_VECTORS
assert sizeof(sorted_t) == 2 * sizeof(real)  # the plan's two arrays in one
assert contract.GROUP == GROUP and contract.MAX_LAYERS == MAX_LAYERS
assert (SIGMOID, RELU, TANH, LEAKY_RELU, IDENTITY, SOFTMAX, EXPONENTIAL) == (
    contract.SIGMOID, contract.RELU, contract.TANH, contract.LEAKY_RELU, contract.IDENTITY, contract.SOFTMAX,
    contract.EXPONENTIAL)
assert (NO_COST, SQUARED_ERROR, CROSS_ENTROPY, HALF_SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, QUANTILE, POISSON) == (
    contract.NO_COST, contract.SQUARED_ERROR, contract.CROSS_ENTROPY, contract.HALF_SQUARED_ERROR,
    contract.ABSOLUTE_ERROR, contract.HUBER, contract.QUANTILE, contract.POISSON)
assert contract.PHILOX_MULTIPLIERS == (PHILOX_M0, PHILOX_M1) and contract.PHILOX_STEPS == (PHILOX_W0, PHILOX_W1)
cdef double leaky_slope = contract.LEAKY_SLOPE  # Cython would convert a Python number to `real` through a float
LEAKY_SLOPE = <real> leaky_slope
instruction_set = FASTNET_ISA.decode()
MAX_THREADS = contract.MAX_THREADS if TEAMS else 1


cdef struct Layer:
    Py_ssize_t n_in, n_out
    Py_ssize_t groups  # of GROUP inputs
    Py_ssize_t below, width  # padded row lengths of its inputs and outputs
    int activation
    real *weights  # packed (below, width); the biases (width,) follow
    real *biases
    const real *panels  # the weights in panels of TILE_VECTORS vectors, or NULL: see pack_panels
    real *inputs  # (rows, ldx): the activations of the layer below
    Py_ssize_t ldx  # below, or n_in where predict_rows reads the data in place
    real *sums  # (rows, width): weighted sums. Only the last layer keeps its sums, for the cost and the class
    real *outputs  # (rows, width): activations
    real *deltas  # (rows, width): scale * d cost / d sums
    real *derivatives  # (rows, width), with dropout only: derivatives of the activation, 0 for dropped neurons
    int64_t drop, drop_key  # drop is 0 outside of `train`
    double drop_scale
    Py_ssize_t weights_at, biases_at  # offsets in the flat parameter vector


cdef struct Data:  # x: bytes or reals; y: labels or targets; the weights. The unused pointers are NULL
    const uint8_t *bytes
    const real *reals
    const int64_t *starts  # not NULL for SparseRows, whose values are in `reals`
    const int32_t *indices
    const int64_t *labels
    const real *targets
    const double *weights  # NULL: every weight is 1
    Py_ssize_t rows


cdef struct Entries:  # a sparse row, or a pair of rows: the columns where at least one row is not zero
    const int32_t *columns
    const real *values  # of the first row; the values of the second row start Layer.below elements later
    int32_t count, height  # height: 1 for a single row, 2 for the first row of a pair, 0 for the second


cdef struct Sums:  # a thread's line of `team`
    double cost, score, labels  # of its rows of the current block
    double squares  # of its share of the weights, with a penalty only


assert (contract.THREAD_COST, contract.THREAD_SCORE, contract.THREAD_LABELS, contract.THREAD_SQUARES) == (0, 1, 2, 3)


cdef struct Block:  # the arguments of most functions below; each thread of a team has a Block of its own
    Layer *layers
    Py_ssize_t n_layers
    Data data
    real byte_scale
    int cost, task
    double cost_number
    bint sparse  # whether the inputs are `entries`, from SparseRows or from dense data
    Py_ssize_t skipping  # the first row of a block of floats whose zeros `predict` skips without copying, or -1
    int32_t *columns  # (rows, ld_columns): the columns of entries found in dense data; layers[0].inputs has the values
    Py_ssize_t ld_columns
    Entries *entries  # (rows,)
    Py_ssize_t sorted_inputs  # the number of inputs whose entries sort_entries sorts at a time
    int32_t *begins  # (rows,): for each row, the first entry that is not yet sorted; in skipping_sums, their number
    int32_t *ends  # (sorted_inputs,): where the sorted entries of each input end
    sorted_t *sorted  # (sorted_inputs, rows + 1)
    real *panel  # of this thread
    int64_t *team
    Py_ssize_t worker, n_threads
    Py_ssize_t part, parts  # the share of the gradient that `update_all` computes: worker and n_threads, or all of it
    Py_ssize_t own_gradients  # contract.Plan; 0 if the threads share the inputs in the update
    Py_ssize_t stored_at  # elements from the parameters to the gradient that `update_all` stores
    Py_ssize_t base  # with gradients of its own, the pointers to rows start at this row of the block
    const int64_t *next  # the rows of the next block, if `forward` and `update_all` prefetch them; or NULL
    Py_ssize_t next_first, next_last  # which of them this thread prefetches
    # for the update:
    real *work
    Py_ssize_t packed  # elements of the packed parameters
    int target  # where the gradient goes: TO_WEIGHTS, TO_STORE or TO_OPTIMIZER
    step_t step
    double decay  # of the weights
    bint penalty
    double squares[LANES]  # with a penalty: sums of the squares of the weights
    Py_ssize_t slots  # rows of the optimiser's state
    int64_t update_number  # of the current update, from 1
    Py_ssize_t batch_row  # the number of rows before the current block in its batch
    # for narrow layers, whose weights stay in the vector of parameters:
    Py_ssize_t ld  # the length of a column; 0 if the layers are packed
    real *params
    real *state
    Py_ssize_t n_params
    double *row_weights  # (ld,), and so are the next three: see narrow_output_t
    bits *row_labels
    real *row_factors
    real *row_relative


cdef enum:  # the gradient goes straight to the weights, or to the packed gradient, or tile by tile to the optimiser
    TO_WEIGHTS, TO_STORE, TO_OPTIMIZER


# -- shares and tiles --------------------------------------------------------------------------------------------

cdef inline Py_ssize_t share(Py_ssize_t n, Py_ssize_t part, Py_ssize_t parts) noexcept nogil:
    """The start of part number `part` of n items. The parts are even: 10 rows in 2 tiles are 5 + 5, not 6 + 4."""
    if parts == 1:  # a division takes 10 to 18 cycles, and an update of a tiny network would have 20
        return n if part else 0
    return n * part // parts


cdef inline Py_ssize_t tiles_of(Py_ssize_t rows, Py_ssize_t height) noexcept nogil:
    return (rows + height - 1) // height


cdef inline Py_ssize_t in_groups(Py_ssize_t n) noexcept nogil:
    return (n + GROUP - 1) // GROUP * GROUP


cdef inline void share_biases(const Layer *layer, Py_ssize_t part, Py_ssize_t parts, Py_ssize_t *first,
                              Py_ssize_t *last) noexcept nogil:
    """The biases [first, last) of part number `part`."""
    cdef Py_ssize_t vectors = layer.width // VL
    first[0] = share(vectors, part, parts) * VL
    last[0] = share(vectors, part + 1, parts) * VL


cdef bint wait(Block *b) noexcept nogil:
    """Wait for the other threads of the team. Return whether one of them has failed."""
    if b.n_threads == 1:
        return False
    return team_wait(&b.team[N_THREADS], &b.team[ARRIVED], &b.team[TURN], &b.team[BROKEN])


# -- inputs ------------------------------------------------------------------------------------------------------

cdef inline Py_ssize_t row_of(const int64_t *order, Py_ssize_t k) noexcept nogil:
    return order[k] if order != NULL else k


cdef void find_entries(const Block *b, Py_ssize_t first, Py_ssize_t second, int32_t *columns, real *values,
                       Entries *entries) noexcept nogil:
    """Find the nonzero entries of a row of the data, or of a pair of rows if second >= 0."""
    cdef Py_ssize_t n = b.layers[0].n_in, ld = b.layers[0].below
    cdef const uint8_t *bytes
    cdef const real *reals
    if b.data.starts != NULL:
        entries.columns = b.data.indices + b.data.starts[first]
        entries.values = b.data.reals + b.data.starts[first]
        entries.count = <int32_t> (b.data.starts[first + 1] - b.data.starts[first])
        return
    entries.columns = columns
    entries.values = values
    if b.data.bytes != NULL:
        bytes = b.data.bytes
        entries.count = <int32_t> compact_bytes(bytes + first * n, bytes + second * n if second >= 0 else NULL, n,
                                                columns)
        unpack_bytes(columns, entries.count, b.byte_scale, values, values + ld if second >= 0 else NULL)
    else:
        reals = b.data.reals
        entries.count = <int32_t> compact_reals(reals + first * n, reals + second * n if second >= 0 else NULL, n,
                                                columns, values, ld)


cdef bint is_sparse(const Block *b) noexcept nogil:
    """Whether enough inputs are zero to make skipping them faster.

    The answer comes from a sample of all data, not of the current batch. So it does not depend on the order of rows.
    """
    cdef Py_ssize_t n = b.layers[0].n_in, sample = min(b.data.rows, SPARSE_SAMPLE), k, row, found = 0
    if b.data.starts != NULL:
        return True
    if n < SPARSE_INPUTS or (b.data.bytes != NULL and n > MAX_BYTES_COLUMNS):
        return False
    for k in range(sample):
        row = share(b.data.rows, k, sample) * n
        found += count_bytes(b.data.bytes + row, n) if b.data.bytes != NULL else count_reals(b.data.reals + row, n)
        if found > sample * n * SPARSE_SHARE:
            return False
    return True


cdef inline void prefetch(const void *start, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i < length:
        PREFETCH(<const uint8_t *> start + i)
        i += 64


cdef void prefetch_row(const Block *b, Py_ssize_t row) noexcept nogil:
    cdef Py_ssize_t n = b.layers[0].n_in, start
    if b.data.labels != NULL:
        PREFETCH(b.data.labels + row)
    if b.data.weights != NULL:
        PREFETCH(b.data.weights + row)
    if b.data.starts != NULL:
        start = b.data.starts[row]
        n = b.data.starts[row + 1] - start
        prefetch(b.data.indices + start, n * sizeof(int32_t))
        prefetch(b.data.reals + start, n * sizeof(real))
    elif b.data.bytes != NULL:
        prefetch(b.data.bytes + row * n, n)
    else:
        prefetch(b.data.reals + row * n, n * sizeof(real))


cdef inline void prefetch_next(const Block *b, Py_ssize_t i) noexcept nogil:
    if b.next != NULL and b.next_first <= i < b.next_last:
        prefetch_row(b, b.next[i])


cdef void gather(Block *b, const int64_t *order, Py_ssize_t begin, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last,
                 Py_ssize_t ahead) noexcept nogil:
    """Copy rows [first, last) of the block order[begin:begin + rows] to the inputs: as entries, or as dense numbers.

    Prefetch the first `ahead` rows of the next block, one after each conversion, because many prefetches at once wait
    for each other. In `train`, narrow layers take so little time that these prefetches delay the conversion. Then the
    forward pass prefetches the second row of each pair, and the update the first.
    """
    cdef Layer *layer = b.layers
    cdef Py_ssize_t n = layer.n_in, i, k
    cdef const uint8_t *octets
    cdef real *inputs
    cdef real scale = b.byte_scale
    cdef bint pair
    if b.ld:
        narrow_gather(b, order, begin, rows, first, last, ahead)
        return
    b.next = order + begin + rows if order != NULL and by_rows(b) and b.data.starts == NULL else NULL
    b.next_first = first
    b.next_last = min(last, ahead)
    for i in range(first, last):
        if i < ahead and b.next == NULL:
            prefetch_row(b, row_of(order, begin + rows + i))
        inputs = layer.inputs + i * layer.below
        if b.sparse:
            if b.data.starts != NULL or (i - first) % 2 == 0:
                pair = b.data.starts == NULL and i + 1 < last
                b.entries[i].height = 1 + pair
                find_entries(b, row_of(order, begin + i), row_of(order, begin + i + 1) if pair else -1,
                             b.columns + i * b.ld_columns, inputs, &b.entries[i])
            else:
                b.entries[i].height = 0
        else:
            if b.data.bytes != NULL:
                octets = b.data.bytes + row_of(order, begin + i) * n
                for k in range(n):
                    inputs[k] = octets[k] * scale
                memset(inputs + n, 0, (layer.below - n) * sizeof(real))
            else:
                copy_padded(b.data.reals + row_of(order, begin + i) * n, n, inputs, layer.below)


cdef void sort_entries(Block *b, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Sort the entries of inputs [first, last) by input, over all rows. Advance b.begins past them.

    The entries of an input start at b.sorted + (input - first) * (rows + 1) and end at b.ends. So the entries need not
    be counted first. With 128 entries for each input, the inputs would fall into few sets of the cache; 129 avoid that.
    """
    cdef Py_ssize_t i
    cdef const Entries *tile
    for i in range(last - first):
        b.ends[i] = <int32_t> (i * (rows + 1))
    for i in range(rows):
        tile = &b.entries[i]
        if tile.height:
            b.begins[i] = <int32_t> sort_row(tile.height, tile.columns, tile.values, b.layers[0].below, b.begins[i],
                                             tile.count, first, last, <int32_t> i, b.ends, b.sorted)


# -- the forward pass and the backward pass -----------------------------------------------------------------------

cdef const real *pack_panel(const real *source, Py_ssize_t ld, Py_ssize_t rows, Py_ssize_t width,
                            real *panel) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):
        memcpy(panel + i * width, source + i * ld, width * sizeof(real))
    return panel


cdef const real *transpose_panel(const real *source, Py_ssize_t ld, Py_ssize_t rows, Py_ssize_t width,
                                 real *panel) noexcept nogil:
    """panel[rows][width] = source[width][rows], rows rounded up to whole vectors."""
    cdef Py_ssize_t i = 0, k
    while i < rows:
        k = 0
        while k < width:
            transpose(source + k * ld + i, ld, panel + i * width + k, width)
            k += VL
        i += VL
    return panel


cdef void weighted_sums(Block *b, Layer *layer, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """outputs = activation(inputs . weights + biases) for rows [first, last). `forward` computes softmax outputs."""
    multiply(b, layer.inputs, layer.ldx, layer.groups * GROUP, layer.weights, layer.width, layer.panels, layer.below,
             False, layer.biases, layer.sums, layer.outputs, layer.width, layer.n_out, layer.activation, first, last)


cdef void propagate(Block *b, Layer *layer, Layer *lower, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """The deltas of the lower layer: deltas . weights^T, times the derivatives of the lower layer's activation."""
    multiply(b, layer.deltas, layer.width, in_groups(layer.n_out), layer.weights, layer.width, NULL, 0, True, NULL,
             lower.deltas, lower.derivatives if lower.drop else lower.outputs, lower.width, lower.n_out,
             GIVEN if lower.drop else lower.activation, first, last)


cdef void multiply(Block *b, const real *x, Py_ssize_t ldx, Py_ssize_t depth, const real *weights, Py_ssize_t ldw,
                   const real *panels, Py_ssize_t panel_rows, bint backward, const real *biases, real *sums, real *outputs, Py_ssize_t width, Py_ssize_t used,
                   int activation, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """sums[first:last] = x . weights + biases, then outputs = activation(sums), tile by tile over packed panels.

    With `backward`, sums[first:last] = (x . weights^T) * derivative(outputs). `panels` are the weights in panels of
    `panel_rows` rows, packed before, or NULL.
    """
    cdef Py_ssize_t rows = last - first, tiles = tiles_of(rows, TILE_ROWS), step = TILE_VECTORS * VL
    cdef Py_ssize_t tile, start, height, k = 0, n, column, columns, ldp
    cdef bint packing = backward or (panels == NULL and width > step and tiles > 2)
    cdef Py_ssize_t max_depth = PANEL_DEPTH if packing else depth
    cdef const real *w
    cdef real *z
    cdef int begin
    while k < depth:
        n = min(max_depth, depth - k)
        begin = ADD if k > 0 else FROM_ZERO if backward else FROM_START
        column = 0
        while column < width:
            columns = min(step, width - column)
            ldp = columns
            if backward:
                w = transpose_panel(weights + column * ldw + k, ldw, n, columns, b.panel)
            elif panels != NULL:
                w = panels + column * panel_rows  # k is 0
            elif packing:
                w = pack_panel(weights + k * ldw + column, ldw, n, columns, b.panel)
            else:
                w = weights + k * ldw + column
                ldp = ldw
            for tile in range(tiles):
                start = first + share(rows, tile, tiles)
                height = first + share(rows, tile + 1, tiles) - start
                z = sums + start * width + column
                forward_tile(<int> height, <int> (columns // VL), x + start * ldx + k, ldx, n, w, ldp, begin,
                             biases + column if biases != NULL else NULL, z, width)
                if k + n < depth or activation == SOFTMAX:
                    continue
                if backward:
                    times_derivative(activation, outputs + start * width + column, z, width, height, columns)
                else:
                    activate_tile(activation, z, outputs + start * width + column, width, height, columns,
                                  used - column)
            column += columns
        k += n


cdef void sparse_sums(Block *b, Layer *layer, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """`weighted_sums` for sparse rows."""
    cdef Py_ssize_t i, column = 0, width = layer.width
    cdef const Entries *tile
    cdef int part
    while column < width:
        part = sparse_part((width - column) // VL)
        for i in range(first, last):
            tile = &b.entries[i]
            if tile.height:
                sparse_forward(tile.height, part, tile.columns, tile.values, layer.below, tile.count,
                               layer.weights + column, width, layer.biases + column, layer.sums + i * width + column,
                               width)
                prefetch_next(b, i + 1)
        column += part * VL
    if layer.activation != SOFTMAX:
        activate_tile(layer.activation, layer.sums + first * width, layer.outputs + first * width, width,
                      last - first, width, layer.n_out)


cdef void drop_neurons(Block *b, Layer *layer, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Apply dropout to rows [first, last)."""
    cdef drop_t drop = drop_of(layer.drop, layer.drop_scale, layer.drop_key, b.update_number)
    apply_dropout(&drop, layer.activation, layer.outputs + first * layer.width, layer.derivatives + first * layer.width,
              layer.width, last - first, <uint32_t> (b.batch_row + first))


cdef void skipping_sums(Block *b, Py_ssize_t begin, Py_ssize_t rows) noexcept nogil:
    """`sparse_sums` for rows [begin, begin + rows) of floats, for `predict`.

    Only the columns are stored, because no update needs the values later. A piece of few rows stays in the cache, and
    so do its columns. A wide layer has several parts, and takes a whole block for each, to read the weights less often.
    """
    cdef Layer *layer = &b.layers[0]
    cdef Py_ssize_t n = layer.n_in, width = layer.width, first = 0, last, i, column, found
    cdef Py_ssize_t piece = rows if width > 8 * VL else SKIPPING_ROWS
    cdef const real *x = b.data.reals + begin * n
    cdef const int32_t *columns
    cdef int part, height
    while first < rows:
        last = min(first + piece, rows)
        i = first
        while i < last:
            height = 2 if i + 1 < last else 1
            found = nonzero_columns(x + i * n, x + (i + height - 1) * n, n, b.columns + (i - first) * b.ld_columns)
            b.begins[i - first] = <int32_t> found
            for column in range(i, i + height):
                if begin + column + piece < b.data.rows:
                    prefetch(x + (column + piece) * n, n * sizeof(real))
            i += 2
        column = 0
        while column < width:
            part = sparse_part((width - column) // VL)
            i = first
            while i < last:
                skipping_forward(2 if i + 1 < last else 1, part, b.columns + (i - first) * b.ld_columns, x + i * n, n,
                                 b.begins[i - first], layer.weights + column, width, layer.biases + column,
                                 layer.sums + i * width + column, width)
                i += 2
            column += part * VL
        first = last
    if layer.activation != SOFTMAX:
        activate_tile(layer.activation, layer.sums, layer.outputs, width, rows, width, layer.n_out)


cdef void forward(Block *b, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t l
    if b.ld:
        forward_columns(b, first, last)
        return
    for l in range(b.n_layers):
        if l == 0 and b.skipping >= 0:
            skipping_sums(b, b.skipping, last)
        elif l == 0 and b.sparse:
            sparse_sums(b, &b.layers[l], first, last)
        else:
            weighted_sums(b, &b.layers[l], first, last)
        if b.layers[l].activation == SOFTMAX:
            softmax_rows(b.layers[l].sums + first * b.layers[l].width, b.layers[l].outputs + first * b.layers[l].width,
                         b.layers[l].width, last - first, b.layers[l].n_out)
        if b.layers[l].drop:
            drop_neurons(b, &b.layers[l], first, last)


cdef void forward_few(Block *b, const real *flat, Py_ssize_t rows) noexcept nogil:
    """`forward` for few rows of dense inputs, with weights that are not packed."""
    cdef Py_ssize_t l
    cdef Layer *layer
    for l in range(b.n_layers):
        layer = &b.layers[l]
        sums_of_few(layer.inputs, layer.below, rows, flat + layer.weights_at, layer.n_in, layer.n_out,
                    flat + layer.biases_at, layer.sums, layer.width)
        if layer.activation == SOFTMAX:
            softmax_rows(layer.sums, layer.outputs, layer.width, rows, layer.n_out)
        else:
            activate_tile(layer.activation, layer.sums, layer.outputs, layer.width, rows, layer.width, layer.n_out)


cdef void backward_few(Block *b, const real *flat, Py_ssize_t rows, real *gradient) noexcept nogil:
    """Overwrite the flat gradient with that of few rows. `output` has set the deltas of the last layer."""
    cdef Py_ssize_t l = b.n_layers - 1, i, j
    cdef Layer *layer
    cdef Layer *lower
    cdef real *sums
    while l >= 0:
        layer = &b.layers[l]
        gradient_of_few(layer.inputs, layer.below, rows, layer.deltas, layer.width, layer.n_in, layer.n_out,
                        gradient + layer.weights_at)
        sums = gradient + layer.biases_at
        memcpy(sums, layer.deltas, layer.n_out * sizeof(real))
        for i in range(1, rows):
            for j in range(layer.n_out):
                sums[j] += layer.deltas[i * layer.width + j]
        if l > 0:
            lower = &b.layers[l - 1]
            deltas_of_few(layer.deltas, layer.width, rows, flat + layer.weights_at, layer.n_out, layer.n_in,
                          lower.deltas, lower.width)
            times_derivative(lower.activation, lower.outputs, lower.deltas, lower.width, rows, lower.width)
        l -= 1


cdef void backward(Block *b, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Compute the deltas of all layers but the last. `output` has set the deltas of the last layer."""
    cdef Py_ssize_t l = b.n_layers - 1
    if b.ld:
        backward_columns(b, first, last)
        return
    while l > 0:
        propagate(b, &b.layers[l], &b.layers[l - 1], first, last)
        l -= 1


# -- the cost ----------------------------------------------------------------------------------------------------

cdef inline double target_of(const real *targets, Py_ssize_t label, Py_ssize_t k) noexcept nogil:
    """The target of output k: targets[k], or 1 at `label` and 0 elsewhere if targets are NULL."""
    return targets[k] if targets != NULL else k == label


cdef double softmax_entropy(Py_ssize_t n, double limit, const real *z, const real *a, const real *targets,
                            Py_ssize_t label) noexcept nogil:
    """The cross entropy of a row of n softmax outputs."""
    cdef Py_ssize_t k
    cdef double total = 0, log_sum
    # log_sum - z stays finite where a rounds to zero
    log_sum = <double> row_largest(z, n) - log(<double> row_largest(a, n))
    if targets == NULL:
        return min(log_sum - z[label], limit)
    for k in range(n):
        if targets[k] != 0:
            total += targets[k] * min(log_sum - z[k], limit)
    return total


cdef double weight_sum(const Data *data, const int64_t *order, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    """The sum of the weights of examples order[begin:end]."""
    cdef Py_ssize_t k
    cdef double total = 0
    if data.weights == NULL:
        return <double> (end - begin)
    for k in range(begin, end):
        total += data.weights[row_of(order, k)]
    return total


cdef void output(Block *b, const int64_t *order, Py_ssize_t begin, Py_ssize_t first, Py_ssize_t last, double scale,
                 double mean_weight, Sums *sums) noexcept nogil:
    """Set the last layer's deltas of rows [first, last). Set the cost, the score and the labels of `sums`.

    The deltas of an example are the derivatives of its cost, times its weight and `scale`. mean_weight is the mean
    weight of the examples of the batch.
    """
    cdef Layer *layer = &b.layers[b.n_layers - 1]
    cdef Py_ssize_t n = layer.n_out, width = layer.width, i, row, label = -1, correct
    cdef Py_ssize_t label_of_targets = 0
    cdef const real *z
    cdef const real *a
    cdef const real *targets = NULL
    cdef real *delta
    cdef real costs[LANES]
    cdef real squares[LANES]
    cdef double weight = 1, total = 0, score = 0, labels = 0
    cdef double relative = 1  # weight / mean_weight: in float32, weights above 1e38 would overflow
    cdef real factor = <real> scale  # factor: scale * weight
    # In the derivative of cross entropy and of Poisson's cost, the derivative of the activation cancels.
    cdef bint cancels = b.cost == CROSS_ENTROPY or b.cost == POISSON
    cdef bint mixing = layer.activation == SOFTMAX and not cancels  # the loop's end applies the softmax's derivative
    cdef int activation = IDENTITY if cancels or mixing else layer.activation
    if b.ld:
        output_columns(b, order, begin, first, last, scale, mean_weight, sums)
        return
    memset(costs, 0, sizeof(costs))
    memset(squares, 0, sizeof(squares))
    for i in range(first, last):
        row = row_of(order, begin + i)
        z = layer.sums + i * width
        a = layer.outputs + i * width
        delta = layer.deltas + i * width
        if b.data.weights != NULL:
            weight = b.data.weights[row]
            relative = weight / mean_weight
            factor = <real> (scale * weight)
        if b.data.labels != NULL:
            label = b.data.labels[row]
        else:
            targets = b.data.targets + row * n
            copy_padded(targets, n, delta, width)
            if b.task == CLASSIFICATION and n > 1:
                label_of_targets = first_largest(delta, n)
        if cancels:
            if layer.activation == SOFTMAX and b.cost == CROSS_ENTROPY:
                total += relative * softmax_entropy(n, b.cost_number, z, a, targets, label)
            else:
                total += relative * log_cost_of_row(b.cost, <real> b.cost_number, z, a, delta, n, label)
        output_error(b.cost, <real> b.cost_number, activation, a, delta, width, label, factor, <real> relative, costs,
                     squares)
        if b.task == MULTILABEL:
            correct = correct_labels(z, targets, n, label)
            labels += weight * correct
            score += weight * (correct == n)
        elif b.task != REGRESSION:
            if n == 1:
                score += weight * ((z[0] >= 0) == (target_of(targets, label, 0) >= 0.5))
            else:
                score += weight * is_first_largest(z, n, label if targets == NULL else label_of_targets)
        if mixing:
            softmax_derivative(a, delta, width)
    if not cancels:
        total = lanes_sum(costs)
    sums.cost = total * mean_weight
    sums.score = lanes_sum(squares) * mean_weight if b.task == REGRESSION else score
    sums.labels = labels


cdef inline double lanes_sum(const real *lanes) noexcept nogil:
    cdef Py_ssize_t k
    cdef double total = 0
    for k in range(VL):
        total += lanes[k]
    return total


# -- the update: the gradient, and the optimiser's step with it ----------------------------------------------------

cdef inline bint by_rows(const Block *b) noexcept nogil:
    """Whether to add the first layer's gradient row by row of the sparse inputs instead of input by input.

    Row by row is faster if the rows of weights are short.
    """
    return b.sparse and b.layers[0].width <= 2 * VL and b.target != TO_OPTIMIZER


cdef void update_all(Block *b, Py_ssize_t rows) noexcept nogil:
    """Add this thread's share of every layer's gradient, inputs^T . deltas, to b.target."""
    cdef Py_ssize_t l = b.n_layers - 1, first, last
    cdef Layer *layer
    if b.ld:
        update_columns(b, rows)
        return
    while l >= 0:
        layer = &b.layers[l]
        first = share(layer.groups, b.part, b.parts)
        last = share(layer.groups, b.part + 1, b.parts)
        if l > 0 or not b.sparse:
            update_weights(b, layer, rows, first, last)
        elif by_rows(b):
            update_sparse(b, layer, rows, first * GROUP, last * GROUP)
        else:
            update_sorted(b, layer, rows, first * GROUP, last * GROUP)
        update_biases(b, layer, rows)
        l -= 1


cdef inline real *stored(Block *b, real *parameters) noexcept nogil:
    """Where to add the gradient of packed parameters: to the parameters themselves, or to the packed gradient."""
    return parameters if b.target == TO_WEIGHTS else parameters + b.stored_at


cdef void update_biases(Block *b, Layer *layer, Py_ssize_t rows) noexcept nogil:
    """Compute the gradient of this thread's share of the biases, in whole vectors."""
    cdef Py_ssize_t first, last, n
    cdef real *sums
    share_biases(layer, b.part, b.parts, &first, &last)
    n = last - first
    sums = stored(b, layer.biases) + first
    if b.target == TO_OPTIMIZER:
        memset(sums, 0, n * sizeof(real))
    add_rows(layer.deltas + first, layer.width, rows, n, sums)
    if b.target == TO_OPTIMIZER:
        step_tile(b, layer.biases + first, n, sums, n, 1, False)


cdef void update_weights(Block *b, Layer *layer, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Compute the gradient of the weights of input groups [first, last)."""
    cdef Py_ssize_t width = layer.width, step = TILE_VECTORS * VL, row, n, column = 0, columns, ldd, g, count
    cdef const real *deltas
    cdef real *weights
    cdef real tile[CHUNK_INPUTS * 64]
    cdef bint packing = width > step and last - first > 2
    cdef ahead_t ahead
    ahead.ld = width
    ahead.packed = b.packed
    ahead.slots = b.slots if b.target == TO_OPTIMIZER else 0
    ahead.start = NULL
    cdef bint far = b.packed * (1 + ahead.slots) * <Py_ssize_t> sizeof(real) > SECOND_LEVEL
    while column < width:
        columns = min(step, width - column)
        deltas = layer.deltas + column
        ldd = width
        if packing:
            deltas = pack_panel(deltas, width, rows, columns, b.panel)
            ldd = columns
        if b.target == TO_OPTIMIZER:
            g = first
            while g < last:
                count = min(<Py_ssize_t> CHUNK_INPUTS // GROUP, last - g)
                memset(tile, 0, count * GROUP * columns * sizeof(real))
                if far:
                    ahead.start = layer.weights + g * GROUP * width + column
                update_tiles(<int> (columns // VL), layer.inputs + g * GROUP, layer.below, rows, count * GROUP, deltas,
                             ldd, tile, columns, &ahead)
                step_tile(b, layer.weights + g * GROUP * width + column, width, tile, columns, count * GROUP, True)
                g += count
        else:
            weights = stored(b, layer.weights + first * GROUP * width + column)
            row = 0
            while row < rows:  # as many rows at a time as fit in the first-level cache
                n = min(PANEL_DEPTH, rows - row)
                if far:
                    ahead.start = weights + UPDATE_INPUTS * width  # the place of the next tile
                update_tiles(<int> (columns // VL), layer.inputs + row * layer.below + first * GROUP, layer.below, n,
                             (last - first) * GROUP, deltas + row * ldd, ldd, weights, width, &ahead)
                row += n
        column += columns


cdef inline Py_ssize_t count_below(const int32_t *columns, Py_ssize_t n, Py_ssize_t column) noexcept nogil:
    """How many of n ascending columns are smaller than `column`."""
    cdef Py_ssize_t below = 0, middle
    while below < n:
        middle = (below + n) // 2
        if columns[middle] < column:
            below = middle + 1
        else:
            n = middle
    return below


cdef void update_sparse(Block *b, Layer *layer, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Compute the gradient of the weights of inputs [first, last), row by row of the inputs."""
    cdef Py_ssize_t i, begin = 0, end
    cdef const Entries *tile
    for i in range(rows):
        tile = &b.entries[i]
        if tile.height == 0:
            continue
        end = tile.count
        if b.parts > 1:
            begin = count_below(tile.columns, tile.count, first)
            end = count_below(tile.columns, tile.count, last)
        prefetch_next(b, i)
        sparse_update(tile.height, <int> (layer.width // VL), tile.columns + begin, tile.values + begin, layer.below,
                      end - begin, layer.deltas + i * layer.width, layer.width, stored(b, layer.weights), layer.width)


cdef void update_sorted(Block *b, Layer *layer, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Compute the gradient of the weights of inputs [first, last), input by input, from sorted entries."""
    cdef Py_ssize_t i, end
    cdef const Entries *tile
    for i in range(rows):
        tile = &b.entries[i]
        b.begins[i] = <int32_t> count_below(tile.columns, tile.count, first) if b.parts > 1 and tile.height else 0
    while first < last:
        end = min(first + b.sorted_inputs, last)
        sort_entries(b, rows, first, end)
        update_piece(b, layer, rows, first, end)
        first = end


cdef void update_piece(Block *b, Layer *layer, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """`update_sorted` for inputs [first, last), whose entries are already sorted."""
    cdef Py_ssize_t width = layer.width, step = TILE_VECTORS * VL, column = 0, columns, i, at
    cdef const real *deltas
    cdef real *weights
    cdef real *gradient
    cdef real tile[64]
    while column < width:
        columns = min(step, width - column)
        deltas = pack_panel(layer.deltas + column, width, rows, columns, b.panel)
        for i in range(last - first):
            at = i * (rows + 1)
            if b.ends[i] == at and b.target != TO_OPTIMIZER:
                continue
            weights = layer.weights + (first + i) * width + column
            gradient = stored(b, weights)
            if b.target == TO_OPTIMIZER:
                gradient = tile
                memset(tile, 0, columns * sizeof(real))
            sorted_update(<int> (columns // VL), b.sorted + at, b.ends[i] - at, deltas, gradient)
            if b.target == TO_OPTIMIZER:
                step_tile(b, weights, width, tile, columns, 1, True)
        column += columns


# -- optimisers -----------------------------------------------------------------------------------------------------

cdef double square_sum(const real *g, Py_ssize_t n) noexcept nogil:
    cdef double lanes[8]
    cdef Py_ssize_t i, j
    for j in range(8):
        lanes[j] = 0
    i = 0
    while i + 8 <= n:
        for j in range(8):
            lanes[j] += <double> g[i + j] * g[i + j]
        i += 8
    for j in range(n - i):  # none in a packed gradient, which has whole lines
        lanes[j] += <double> g[i + j] * g[i + j]
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))


cdef void begin_optimizer(step_t *s, const double *options) noexcept nogil:
    s.kind = (PLAIN if options[KIND] == GRADIENT_DESCENT else WITH_ADAM if options[KIND] != MOMENTUM
              else WITH_NESTEROV if options[NESTEROV] != 0 else WITH_MOMENTUM)
    s.scale = 1
    s.beta1 = <real> options[BETA1]
    s.beta2 = <real> options[BETA2]
    s.rest1 = <real> (1 - options[BETA1])
    s.rest2 = <real> (1 - options[BETA2])
    s.epsilon = <real> options[EPSILON]


cdef void begin_step(step_t *s, const double *options, double rate, double count) noexcept nogil:
    cdef double root
    s.rate = <real> rate
    if s.kind == WITH_ADAM:
        rate /= 1 - pow(options[BETA1], count)  # Cython would compute ** by complex numbers
        root = sqrt(1 - pow(options[BETA2], count))
        if options[PLAIN_EPSILON] != 0:
            rate *= root
            root = 1
        s.rate = <real> rate
        s.root = <real> (1 / root)


cdef double clip_factor(const real *gradient, Py_ssize_t n, const double *options) noexcept nogil:
    """The factor that clips a gradient of n numbers: 1 if no clipping is needed."""
    cdef double norm
    if options[CLIP_NORM] > 0:
        norm = sqrt(square_sum(gradient, n))
        if norm > options[CLIP_NORM]:
            return options[CLIP_NORM] / norm
    return 1


cdef void step_tile(Block *b, real *parameters, Py_ssize_t ld, const real *gradient, Py_ssize_t columns,
                    Py_ssize_t rows, bint are_weights) noexcept nogil:
    """Make the optimiser's step for a tile of packed parameters with the gradient (rows, columns).

    Weights decay, and with a penalty their squares are added to b.squares. Biases do not decay.
    """
    cdef Py_ssize_t i
    cdef real *p
    b.step.decay = <real> (b.decay if are_weights else 0)
    b.step.squares = b.squares if are_weights and b.penalty else NULL
    for i in range(rows):
        p = parameters + i * ld
        step_row(&b.step, p, gradient + i * columns, p + 3 * b.packed, p + 4 * b.packed, columns)


cdef void clip(Block *b, const double *options) noexcept nogil:
    """Set the factor of the packed gradient."""
    b.step.scale = <real> clip_factor(b.work + b.packed, (parameters_of(b) + 7) // 8 * 8 if b.ld else b.packed, options)


cdef void step_flat(Block *b, const double *options, real *params, real *state, Py_ssize_t n_params) noexcept nogil:
    """Make the optimiser's step for the flat parameters and the flat state, with the packed gradient.

    The step of an element has the same bits as in `step_stored`.
    """
    cdef Py_ssize_t l
    cdef Layer *layer
    cdef real *gradient = b.work + 2 * b.packed  # the scratch area
    clip(b, options)
    unpack_all(b, gradient, b.packed)
    b.step.squares = NULL
    for l in range(b.n_layers):
        layer = &b.layers[l]
        b.step.decay = <real> b.decay
        step_span(b, params, gradient, state, n_params, layer.weights_at, layer.n_in * layer.n_out)
        b.step.decay = 0
        step_span(b, params, gradient, state, n_params, layer.biases_at, layer.n_out)


cdef void step_span(Block *b, real *params, const real *gradient, real *state, Py_ssize_t n_params, Py_ssize_t at,
                    Py_ssize_t n) noexcept nogil:
    """Make the step for n consecutive elements. The last ones are copied to whole vectors and back."""
    cdef Py_ssize_t whole = n // VL * VL, rest = (n - whole) * sizeof(real), k
    cdef real *rows[3]
    cdef real last[4 * LANES]  # of the parameters, of the state and of the gradient
    rows[0] = params + at
    for k in range(2):
        rows[k + 1] = state + k * n_params + at if k < b.slots else params + at
    step_row(&b.step, rows[0], gradient + at, rows[1], rows[2], whole)
    if rest:
        memset(last, 0, sizeof(last))
        for k in range(1 + b.slots):
            memcpy(last + k * LANES, rows[k] + whole, rest)
        memcpy(last + 3 * LANES, gradient + at + whole, rest)
        step_row(&b.step, last, last + 3 * LANES, last + LANES, last + 2 * LANES, VL)
        for k in range(1 + b.slots):
            memcpy(rows[k] + whole, last + k * LANES, rest)


cdef void step_stored(Block *b, const double *options) noexcept nogil:
    """Make the optimiser's step for this thread's share of all parameters, with the packed gradient."""
    cdef Py_ssize_t l, first, last
    cdef Layer *layer
    clip(b, options)
    if b.ld:
        step_columns(b)
        return
    for l in range(b.n_layers):
        layer = &b.layers[l]
        first = share(layer.groups, b.worker, b.n_threads) * GROUP * layer.width
        last = share(layer.groups, b.worker + 1, b.n_threads) * GROUP * layer.width
        step_tile(b, layer.weights + first, 0, layer.weights + first + b.packed, last - first, 1, True)
        share_biases(layer, b.worker, b.n_threads, &first, &last)
        step_tile(b, layer.biases + first, 0, layer.biases + first + b.packed, last - first, 1, False)


cdef void clear_stored(Block *b) noexcept nogil:
    """Set this thread's share of the packed gradient to 0, padding included.

    A thread clears what it adds to in `update_all` and reads in `step_stored`. So they need no barrier between them.
    """
    cdef Py_ssize_t l, first, last
    cdef Layer *layer
    for l in range(b.n_layers):
        layer = &b.layers[l]
        first = share(layer.groups, b.worker, b.n_threads) * GROUP
        last = share(layer.groups, b.worker + 1, b.n_threads) * GROUP if b.worker + 1 < b.n_threads else layer.below
        memset(layer.weights + b.packed + first * layer.width, 0, (last - first) * layer.width * sizeof(real))
        share_biases(layer, b.worker, b.n_threads, &first, &last)
        memset(layer.biases + b.packed + first, 0, (last - first) * sizeof(real))


cdef void add_own(Block *b) noexcept nogil:
    """Set this thread's share of the packed gradient to the sum of the gradients of all threads, padding included."""
    cdef Py_ssize_t l, first, last
    cdef Layer *layer
    for l in range(b.n_layers):
        layer = &b.layers[l]
        first = share(layer.groups, b.worker, b.n_threads) * GROUP
        last = share(layer.groups, b.worker + 1, b.n_threads) * GROUP if b.worker + 1 < b.n_threads else layer.below
        add_span(b, layer.weights - b.work + first * layer.width, (last - first) * layer.width)
        share_biases(layer, b.worker, b.n_threads, &first, &last)
        add_span(b, layer.biases - b.work + first, last - first)


cdef inline void add_span(Block *b, Py_ssize_t at, Py_ssize_t n) noexcept nogil:
    """`add_own` for n packed parameters from offset `at` on. The gradient of thread 0 comes first in each sum."""
    cdef real *total = b.work + b.packed + at
    memcpy(total, b.work + b.own_gradients + at, n * sizeof(real))
    add_rows(b.work + b.own_gradients + b.packed + at, b.packed, b.n_threads - 1, n, total)


cdef void use_own_gradient(Block *b, Py_ssize_t at) noexcept nogil:
    """Let `update_all` compute the gradient of this thread's rows, and store it in the thread's own area."""
    b.own_gradients = at
    b.stored_at = at + b.worker * b.packed
    b.part = 0
    b.parts = 1
    b.target = TO_STORE


cdef void move_base(Block *b, Py_ssize_t base) noexcept nogil:
    """Let the pointers to rows start at row `base` of the block. So this thread's rows have the numbers 0, 1, 2 ..."""
    cdef Py_ssize_t l, rows = base - b.base
    cdef Layer *layer
    for l in range(b.n_layers):
        layer = &b.layers[l]
        layer.inputs += rows * layer.below
        layer.sums += rows * layer.width
        layer.outputs += rows * layer.width
        layer.deltas += rows * layer.width
        layer.derivatives += rows * layer.width
    b.columns += rows * b.ld_columns
    b.entries += rows
    b.base = base


# -- narrow layers: the rows of a block lie along the lanes (narrow.h) ---------------------------------------------

cdef void prepare_narrow(Block *b, real *params, real *state, Py_ssize_t n_params, Py_ssize_t ld,
                         real *row_numbers) noexcept nogil:
    """Use columns of length `ld`. The weights are those in `params`, not packed weights."""
    cdef Py_ssize_t l, n
    b.ld = ld
    b.params = params
    b.state = state
    b.n_params = n_params
    # A caller's workspace may start at any number of float32. The area has room for the 4 bytes that this skips.
    b.row_weights = <double *> ((<size_t> row_numbers + 7) // 8 * 8)
    b.row_labels = <bits *> (b.row_weights + ld)
    b.row_factors = <real *> (b.row_labels + ld)
    b.row_relative = b.row_factors + ld
    for l in range(b.n_layers):
        b.layers[l].weights = params + b.layers[l].weights_at
        b.layers[l].biases = params + b.layers[l].biases_at
    n = parameters_of(b)
    if b.worker == 0:  # square_sum reads 8 numbers at a time
        memset(b.work + b.packed + n, 0, ((n + 7) // 8 * 8 - n) * sizeof(real))


cdef inline Py_ssize_t parameters_of(Block *b) noexcept nogil:
    """The number of parameters. They lie without gaps, layer by layer, from layers[0].weights_at on."""
    cdef Layer *last = &b.layers[b.n_layers - 1]
    return last.biases_at + last.n_out - b.layers[0].weights_at


cdef inline real *gradient_at(Block *b, Py_ssize_t at) noexcept nogil:
    """The gradient of the parameter at offset `at`."""
    return b.work + b.packed + (at - b.layers[0].weights_at)


cdef inline Py_ssize_t groups_of(Py_ssize_t rows) noexcept nogil:
    return (rows + VL - 1) // VL


cdef void narrow_gather(Block *b, const int64_t *order, Py_ssize_t begin, Py_ssize_t rows, Py_ssize_t first,
                        Py_ssize_t last, Py_ssize_t ahead) noexcept nogil:
    """`gather` for columns. `first` is a multiple of VL."""
    cdef Layer *layer = b.layers
    cdef Py_ssize_t i = first, k, count
    while i < last:
        count = min(<Py_ssize_t> VL, last - i)
        for k in range(i, min(i + count, ahead)):
            prefetch_row(b, order[begin + rows + k])
        if b.data.bytes != NULL:
            turn_bytes(b.data.bytes, layer.n_in, order + begin + i, count, b.byte_scale, layer.inputs + i, b.ld)
        else:
            turn_rows(b.data.reals, layer.n_in, order + begin + i, count, layer.inputs + i, b.ld)
        i += VL


cdef void forward_columns(Block *b, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t l, groups = groups_of(last - first)
    cdef Layer *layer
    cdef drop_t drop
    for l in range(b.n_layers):
        layer = &b.layers[l]
        narrow_forward(layer.activation, layer.weights, layer.biases, layer.n_in, layer.n_out, layer.inputs + first,
                       layer.sums + first, layer.outputs + first, b.ld, groups)
        if layer.drop:
            drop = drop_of(layer.drop, layer.drop_scale, layer.drop_key, b.update_number)
            narrow_dropout(&drop, layer.activation, layer.outputs + first, layer.derivatives + first, layer.n_out, b.ld,
                           groups, <uint32_t> (b.batch_row + first))


cdef void backward_columns(Block *b, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t l = b.n_layers - 1
    cdef Layer *layer
    cdef Layer *lower
    while l > 0:
        layer = &b.layers[l]
        lower = &b.layers[l - 1]
        narrow_backward(GIVEN if lower.drop else lower.activation, layer.weights, layer.n_in, layer.n_out,
                        layer.deltas + first, (lower.derivatives if lower.drop else lower.outputs) + first,
                        lower.deltas + first, b.ld, groups_of(last - first))
        l -= 1


cdef void output_columns(Block *b, const int64_t *order, Py_ssize_t begin, Py_ssize_t first, Py_ssize_t last,
                         double scale, double mean_weight, Sums *sums) noexcept nogil:
    """`output` for columns. The deltas of lanes that repeat a row become 0."""
    cdef Layer *layer = &b.layers[b.n_layers - 1]
    cdef Py_ssize_t i, row
    cdef double weight
    cdef narrow_output_t o
    o.cost = b.cost
    o.task = b.task
    o.activation = layer.activation
    o.n = layer.n_out
    o.ld = b.ld
    o.rows = last - first
    o.groups = groups_of(last - first)
    o.number = b.cost_number
    o.sums = layer.sums + first
    o.outputs = layer.outputs + first
    o.deltas = layer.deltas + first
    o.scale = <real> scale
    o.labels = NULL
    o.weights = NULL
    o.relative = o.factors = NULL
    if b.data.labels != NULL:
        o.labels = b.row_labels + first
        for i in range(first, last):
            b.row_labels[i] = <bits> b.data.labels[order[begin + i]]
    else:
        i = first
        while i < last:
            turn_rows(b.data.targets, layer.n_out, order + begin + i, min(<Py_ssize_t> VL, last - i), layer.deltas + i,
                      b.ld)
            i += VL
    if b.data.weights != NULL:
        o.weights = b.row_weights + first
        o.relative = b.row_relative + first
        o.factors = b.row_factors + first
        for i in range(first, first + o.groups * VL):
            row = order[begin + min(i, last - 1)]
            weight = b.data.weights[row]
            b.row_weights[i] = weight
            b.row_relative[i] = <real> (weight / mean_weight)
            b.row_factors[i] = <real> (scale * weight)
    narrow_output(&o)
    sums.cost = o.cost_sum * mean_weight
    sums.score = o.score * mean_weight if b.task == REGRESSION else o.score
    sums.labels = o.right_labels


cdef void update_columns(Block *b, Py_ssize_t rows) noexcept nogil:
    """Compute the gradient of this thread's share of the neurons of each layer, and make the step if nothing is left
    to wait for."""
    cdef Py_ssize_t l, first, last, groups = groups_of(rows)
    cdef bint add = b.batch_row > 0
    cdef Layer *layer
    for l in range(b.n_layers):
        layer = &b.layers[l]
        first = neuron_of(layer, b.worker, b.n_threads)
        last = neuron_of(layer, b.worker + 1, b.n_threads)
        narrow_gradient(layer.deltas + first * b.ld, last - first, layer.inputs, layer.n_in, b.ld, groups, add,
                        gradient_at(b, layer.weights_at + first * layer.n_in))
        narrow_biases(layer.deltas + first * b.ld, last - first, b.ld, groups, add,
                      gradient_at(b, layer.biases_at + first))
    if b.target == TO_OPTIMIZER:
        step_columns(b)


cdef inline Py_ssize_t neuron_of(const Layer *layer, Py_ssize_t part, Py_ssize_t parts) noexcept nogil:
    """The first neuron of a thread's share of a layer: whole tiles."""
    return min(layer.n_out, share(tiles_of(layer.n_out, COLUMN_TILE), part, parts) * COLUMN_TILE)


cdef void step_columns(Block *b) noexcept nogil:
    """Make the optimiser's step for the parameters of this thread's neurons."""
    cdef Py_ssize_t l, first, last
    cdef Layer *layer
    if b.n_threads == 1 and b.decay == 0 and not b.penalty:
        step_part(b, b.layers[0].weights_at, parameters_of(b), False)
        return
    for l in range(b.n_layers):
        layer = &b.layers[l]
        first = neuron_of(layer, b.worker, b.n_threads)
        last = neuron_of(layer, b.worker + 1, b.n_threads)
        step_part(b, layer.weights_at + first * layer.n_in, (last - first) * layer.n_in, True)
        step_part(b, layer.biases_at + first, last - first, False)


cdef void step_part(Block *b, Py_ssize_t at, Py_ssize_t n, bint are_weights) noexcept nogil:
    """Make the optimiser's step for n parameters from offset `at` on."""
    b.step.decay = <real> (b.decay if are_weights else 0)
    b.step.squares = b.squares if are_weights and b.penalty else NULL
    narrow_step(&b.step, b.params + at, gradient_at(b, at), b.state + at if b.state != NULL else NULL,
                b.state + b.n_params + at if b.state != NULL else NULL, n)


# -- packing: weights (n_out, n_in) become (below, width), and back -------------------------------------------------

cdef void pack(const Layer *layer, const real *flat, Py_ssize_t offset, Py_ssize_t part,
               Py_ssize_t parts) noexcept nogil:
    cdef Py_ssize_t vectors = layer.below // VL, width = layer.width
    pack_weights(flat + layer.weights_at, layer.n_in, layer.n_out, layer.weights + offset, width,
                 share(vectors, part, parts) * VL, share(vectors, part + 1, parts) * VL)
    if part == 0:
        memcpy(layer.biases + offset, flat + layer.biases_at, layer.n_out * sizeof(real))
        memset(layer.biases + offset + layer.n_out, 0, (width - layer.n_out) * sizeof(real))


cdef void unpack(const Layer *layer, real *flat, Py_ssize_t offset, Py_ssize_t part, Py_ssize_t parts) noexcept nogil:
    cdef Py_ssize_t vectors = layer.below // VL
    unpack_weights(layer.weights + offset, layer.width, layer.n_in, layer.n_out, flat + layer.weights_at,
                   share(vectors, part, parts) * VL, share(vectors, part + 1, parts) * VL)
    if part == 0:
        memcpy(flat + layer.biases_at, layer.biases + offset, layer.n_out * sizeof(real))


cdef void pack_panels(Block *b) noexcept nogil:
    """Copy the packed weights of wide layers to panels, so that calls on many rows need not do it.

    A panel has all rows and TILE_VECTORS vectors of each row; the last panel may be narrower. The panels take the place
    of the packed gradient.
    """
    cdef Py_ssize_t l, column, columns
    cdef Layer *layer
    cdef real *panels
    for l in range(b.n_layers):
        layer = &b.layers[l]
        if layer.width <= TILE_VECTORS * VL:
            continue
        panels = layer.weights + b.packed
        column = 0
        while column < layer.width:
            columns = min(TILE_VECTORS * VL, layer.width - column)
            pack_panel(layer.weights + column, layer.width, layer.below, columns, panels + column * layer.below)
            column += columns
        layer.panels = panels


cdef void pack_all(Block *b, const real *flat, Py_ssize_t offset, Py_ssize_t part=0,
                   Py_ssize_t parts=1) noexcept nogil:
    """Pack the parameters. Threads may share the inputs of each layer: `part` of `parts` is a thread's share."""
    cdef Py_ssize_t l
    for l in range(b.n_layers):
        pack(&b.layers[l], flat, offset, part, parts)


cdef void unpack_all(Block *b, real *flat, Py_ssize_t offset, Py_ssize_t part=0, Py_ssize_t parts=1) noexcept nogil:
    cdef Py_ssize_t l
    for l in range(b.n_layers):
        unpack(&b.layers[l], flat, offset, part, parts)


# -- the contract --------------------------------------------------------------------------------------------------

cdef inline double number_of(const int64_t *column) noexcept nogil:
    """The float64 whose bits a column of a network holds."""
    return (<const double *> column)[0]


cdef int prepare(Block *b, Layer *layers, net, plan, real *work, int64_t *team, Py_ssize_t worker) except -1:
    cdef const int64_t *row = <const int64_t *> data_of(net)
    cdef const int64_t *node = <const int64_t *> data_of(plan.nodes)
    cdef Py_ssize_t l, n_layers = len(net), rows = plan.rows
    cdef const int64_t *inputs = node  # row 0 of the nodes
    cdef Layer *layer
    b.layers = layers
    b.n_layers = n_layers
    b.byte_scale = <real> number_of(row + BYTE_SCALE)
    for l in range(n_layers):
        layer = &layers[l]
        layer.n_in = row[N_IN]
        layer.n_out = row[N_OUT]
        layer.groups = (row[N_IN] + GROUP - 1) // GROUP
        layer.below = node[WIDTH]
        layer.inputs = work + node[ACTIVATIONS_AT]
        node += NODE_COLUMNS
        layer.width = node[WIDTH]
        layer.activation = <int> row[ACTIVATION]
        layer.ldx = layer.below
        layer.panels = NULL
        layer.weights = work + node[WEIGHTS_AT]
        layer.biases = work + node[BIASES_AT]
        layer.outputs = work + node[ACTIVATIONS_AT]
        layer.sums = layer.outputs
        layer.deltas = work + node[DELTAS_AT]
        layer.derivatives = work + node[SCRATCH_AT]
        layer.drop = 0
        layer.weights_at = row[WEIGHTS]
        layer.biases_at = row[BIASES]
        row += LAYER_COLUMNS
    row -= LAYER_COLUMNS
    layers[n_layers - 1].sums = work + inputs[OUTPUTS_AT]
    b.cost = <int> row[COST]
    b.cost_number = number_of(row + COST_NUMBER)
    b.task = <int> row[TASK]
    b.team = team
    b.worker = worker
    b.n_threads = 1 if team == NULL else team[N_THREADS]
    b.columns = <int32_t *> (work + inputs[SCRATCH_AT])
    b.ld_columns = layers[0].below * (sizeof(real) // sizeof(int32_t))
    b.entries = <Entries *> (work + inputs[ROWS_AT])
    b.sorted_inputs = inputs[SORTED_INPUTS]
    b.ends = <int32_t *> (work + inputs[ENDS_AT]) + worker * (b.sorted_inputs + 2 + rows)
    b.begins = b.ends + b.sorted_inputs + 2
    b.sorted = <sorted_t *> (work + inputs[SORTED_AT]) + worker * (rows + 1) * b.sorted_inputs
    b.panel = work + inputs[PANEL_AT] + worker * PANEL_ROWS * TILE_VECTORS * VL
    b.work = work
    b.packed = plan.packed
    b.part = worker
    b.parts = b.n_threads
    b.own_gradients = 0
    b.stored_at = b.packed
    b.base = 0
    b.target = TO_STORE
    b.ld = 0
    b.skipping = -1
    return 0


cdef void *data_of(array, int flags=PyBUF_SIMPLE) except? NULL:
    """The address of an array's data. A typed memoryview would take 0.1 us more, and `train` has 13 arrays.

    The caller's arguments keep the array alive. `flags` is PyBUF_WRITABLE for an array that the kernel changes.
    """
    cdef Py_buffer view
    cdef void *start
    PyObject_GetBuffer(array, &view, flags)
    start = view.buf
    PyBuffer_Release(&view)
    return start


cdef const real *NO_VALUES = &LEAKY_SLOPE  # any valid address, for sparse rows without entries
cdef int32_t NO_INDEX = 0


cdef int inputs_of(Data *data, x) except -1:
    data.bytes = NULL
    data.reals = NULL
    data.starts = NULL
    data.labels = NULL
    data.weights = NULL
    data.rows = len(x)
    if isinstance(x, SparseRows):
        data.starts = <const int64_t *> data_of(x.starts)
        data.indices = <const int32_t *> data_of(x.indices) if len(x.indices) else &NO_INDEX
        data.reals = <const real *> data_of(x.values) if len(x.values) else NO_VALUES
    elif x.itemsize == 1:  # uint8; a comparison of dtypes takes 0.3 microseconds
        data.bytes = <const uint8_t *> data_of(x)
    else:
        data.reals = <const real *> data_of(x)
    return 0


cdef int outputs_of(Data *data, y, weights) except -1:
    data.labels = NULL
    data.targets = NULL
    data.weights = NULL
    if len(weights):
        data.weights = <const double *> data_of(weights)
    if y.ndim == 1:
        data.labels = <const int64_t *> data_of(y)
    else:
        data.targets = <const real *> data_of(y)
    return 0


cdef void predict_rows(Block *b, const real *flat, Py_ssize_t n, Py_ssize_t rows, real *out) noexcept nogil:
    """Compute the outputs of all n rows of the data, `rows` rows at a time.

    If `flat` is not NULL, the weights are read from it, and need not be packed.
    """
    cdef Layer *first = &b.layers[0]
    cdef Layer *last = &b.layers[b.n_layers - 1]
    cdef Py_ssize_t start = 0, count, i
    cdef real *inputs = first.inputs
    b.data.rows = n
    b.sparse = flat == NULL and is_sparse(b)
    # Tiles read inputs in groups: where the last group of a row is whole, they can read the data in place.
    cdef bint in_place = flat == NULL and not b.sparse and b.data.bytes == NULL and first.n_in % GROUP == 0
    cdef bint skipping = b.sparse and b.data.bytes == NULL and b.data.starts == NULL
    while start < n:
        count = min(rows, n - start)
        if skipping:
            b.skipping = start
        elif in_place:
            first.inputs = <real *> b.data.reals + start * first.n_in
            first.ldx = first.n_in
        else:
            gather(b, NULL, start, count, 0, count, min(rows, n - start - count))
        if flat != NULL:
            forward_few(b, flat, count)
        else:
            forward(b, 0, count)
        for i in range(count):
            memcpy(out + (start + i) * last.n_out, last.outputs + i * last.width, last.n_out * sizeof(real))
        start += count
    first.inputs = inputs
    first.ldx = first.below
    b.skipping = -1


def predict(net, params, x, out, work):
    cdef object p = plan_of(net, len(x), 0, sizeof(real), 1, isinstance(x, SparseRows))
    cdef const real *flat = <const real *> data_of(params)
    cdef real *result = <real *> data_of(out, PyBUF_WRITABLE)
    cdef Py_ssize_t rows = p.rows
    cdef Layer layers[MAX_LAYERS]
    cdef Block b
    cdef fp_state before
    inputs_of(&b.data, x)
    prepare(&b, layers, net, p, <real *> data_of(work, PyBUF_WRITABLE), NULL, 0)
    with nogil:
        before = flush_denormals()
        if b.data.rows > FEW_ROWS or b.data.starts != NULL:
            pack_all(&b, flat, 0)
            flat = NULL
        predict_rows(&b, flat, b.data.rows, rows, result)
        restore_denormals(before)


cdef class Predictor:
    """What contract.Backend.predictor returns. Its calls reuse the parameters that __init__ packed."""

    cdef Layer layers[MAX_LAYERS]
    cdef Block block
    cdef object work
    cdef Py_ssize_t rows, row_bytes

    def __init__(self, net, params, rows, x_dtype, work):
        cdef object p = plan_of(net, rows, 0, sizeof(real))
        self.work = work
        self.rows = p.rows
        prepare(&self.block, self.layers, net, p, <real *> data_of(work, PyBUF_WRITABLE), NULL, 0)
        self.row_bytes = self.layers[0].n_in * <Py_ssize_t> x_dtype.itemsize
        pack_all(&self.block, <const real *> data_of(params), 0)
        pack_panels(&self.block)

    def __call__(self, x, out):
        cdef Py_buffer source, target
        cdef Block *b = &self.block
        cdef Py_ssize_t n
        cdef fp_state before
        PyObject_GetBuffer(x, &source, PyBUF_SIMPLE)
        PyObject_GetBuffer(out, &target, PyBUF_SIMPLE | PyBUF_WRITABLE)
        n = source.len // self.row_bytes
        b.data.starts = NULL
        b.data.labels = NULL
        b.data.weights = NULL
        b.data.bytes = NULL
        b.data.reals = NULL
        if self.row_bytes == b.layers[0].n_in:
            b.data.bytes = <const uint8_t *> source.buf
        else:
            b.data.reals = <const real *> source.buf
        with nogil:
            before = flush_denormals()
            predict_rows(b, NULL, n, self.rows, <real *> target.buf)
            restore_denormals(before)
        PyBuffer_Release(&target)
        PyBuffer_Release(&source)


predictor = Predictor


def gradient(net, params, x, y, weights, grad, work):
    cdef object p = plan_of(net, len(x), 0, sizeof(real), 1, isinstance(x, SparseRows))
    cdef const real *flat = <const real *> data_of(params)
    cdef real *result = <real *> data_of(grad, PyBUF_WRITABLE)
    cdef Py_ssize_t n = len(x), rows = p.rows, start = 0, count
    cdef Layer layers[MAX_LAYERS]
    cdef Block b
    cdef fp_state before
    cdef double total = 0, weight
    cdef Sums sums
    inputs_of(&b.data, x)
    outputs_of(&b.data, y, weights)
    prepare(&b, layers, net, p, <real *> data_of(work, PyBUF_WRITABLE), NULL, 0)
    with nogil:
        before = flush_denormals()
        weight = weight_sum(&b.data, NULL, 0, n)
        if n <= FEW_ROWS and b.data.starts == NULL:
            b.sparse = False
            gather(&b, NULL, 0, n, 0, n, 0)
            forward_few(&b, flat, n)
            output(&b, NULL, 0, 0, n, 1 / weight, weight / n, &sums)
            total = sums.cost
            backward_few(&b, flat, n, result)
        else:
            b.sparse = is_sparse(&b)
            pack_all(&b, flat, 0)
            clear_stored(&b)
            while start < n:
                count = min(rows, n - start)
                gather(&b, NULL, start, count, 0, count, 0)
                forward(&b, 0, count)
                output(&b, NULL, start, 0, count, 1 / weight, weight / n, &sums)
                total += sums.cost
                backward(&b, 0, count)
                update_all(&b, count)
                start += count
            unpack_all(&b, result, b.packed)
        restore_denormals(before)
    return total / weight


def train(call):
    cdef object net, params, state, x, y, weights, order, rates, optimizer, progress, report, work, team
    cdef Py_ssize_t size, worker, epoch_rows
    cdef int64_t done_before, steps = 0
    (net, params, state, x, y, weights, order, size, rates, optimizer, done_before, progress, report, work, team,
     worker, epoch_rows) = <tuple> call
    cdef int64_t *shared = <int64_t *> data_of(team, PyBUF_WRITABLE)
    cdef int64_t *stop_and_steps = <int64_t *> data_of(progress, PyBUF_WRITABLE)
    cdef object p = plan_of(net, size, len(state), sizeof(real), shared[N_THREADS], isinstance(x, SparseRows))
    cdef real *flat = <real *> data_of(params, PyBUF_WRITABLE)
    cdef real *flat_state = <real *> data_of(state, PyBUF_WRITABLE)
    cdef const int64_t *sequence = <const int64_t *> data_of(order)
    cdef const double *rate = <const double *> data_of(rates)
    cdef const double *options = <const double *> data_of(optimizer)
    cdef double *sums = <double *> data_of(report, PyBUF_WRITABLE)
    cdef Py_ssize_t n = len(order), n_params = len(params), rows = p.rows, ld = p.ld, own = p.own_gradients, l
    cdef const int64_t *layer = <const int64_t *> data_of(net)
    cdef double total = 0
    cdef Layer layers[MAX_LAYERS]
    cdef Block b
    cdef fp_state before
    inputs_of(&b.data, x)
    outputs_of(&b.data, y, weights)
    prepare(&b, layers, net, p, <real *> data_of(work, PyBUF_WRITABLE), shared, worker)
    for l in range(b.n_layers):
        layers[l].drop = layer[l * LAYER_COLUMNS + DROP]
        layers[l].drop_key = layer[l * LAYER_COLUMNS + DROP_KEY]
        if layers[l].drop:
            layers[l].drop_scale = contract.drop_scale(layers[l].drop)
    b.slots = len(state)
    with nogil:
        before = flush_denormals()
        total = train_batches(&b, flat, flat_state, n_params, sequence, n, size, epoch_rows, rows, ld, own, rate,
                              options, done_before, &stop_and_steps[STOP], &steps, sums)
        restore_denormals(before)
    if worker == 0:
        stop_and_steps[STEPS] = steps
    return total


cdef double train_batches(Block *b, real *params, real *state, Py_ssize_t n_params, const int64_t *order, Py_ssize_t n,
                          Py_ssize_t size, Py_ssize_t epoch_rows, Py_ssize_t rows, Py_ssize_t ld, Py_ssize_t own,
                          const double *rates, const double *options, int64_t done_before, const int64_t *stop_now,
                          int64_t *steps, double *report) noexcept nogil:
    """Do this thread's share of all steps of a call of `train`."""
    cdef Py_ssize_t k, start = 0, stop, first, count, from_row, to_row, epoch_end = epoch_rows
    cdef double total = 0, cost, score, labels, squares, weight, mean_weight, scale
    cdef Sums *sums
    cdef Sums own_sums
    cdef bint plain = options[KIND] == GRADIENT_DESCENT and options[WEIGHT_DECAY] == 0 and options[PENALTY] == 0
    cdef bint stopped = False
    # With one batch, packing the state takes longer than its update, so the state and the parameters stay flat.
    # Narrow layers are never packed.
    cdef bint flat = (n <= min(size, epoch_rows) and b.n_threads == 1 and not plain and options[PENALTY] == 0
                      and ld == 0)
    cdef bint fused = options[CLIP_NORM] == 0 and size <= rows  # the batch is one block and needs no clipping
    lap(b.worker, BETWEEN_CALLS)
    begin_optimizer(&b.step, options)
    b.penalty = options[PENALTY] != 0
    if b.worker == 0:
        b.team[SPARSE] = is_sparse(b)
    if ld == 0:
        pack_all(b, params, 0, b.worker, b.n_threads)
        for k in range(0 if flat else b.slots):
            pack_all(b, state + k * n_params, (3 + k) * b.packed, b.worker, b.n_threads)
    elif b.worker == 0 and b.team[SPARSE]:
        pack_all(b, params, 0)
        for k in range(b.slots):
            pack_all(b, state + k * n_params, (3 + k) * b.packed)
    if wait(b):
        return 0
    lap(b.worker, PACK)
    b.sparse = b.team[SPARSE] != 0
    if ld and not b.sparse:
        prepare_narrow(b, params, state, n_params, ld, <real *> b.entries)
        b.target = TO_OPTIMIZER if fused else TO_STORE
    elif own:
        use_own_gradient(b, own)
    elif fused and plain:
        b.target = TO_WEIGHTS
    elif fused and not flat and size <= PANEL_DEPTH and not by_rows(b):  # each tile reads all rows, in the cache
        b.target = TO_OPTIMIZER
    while start < n and not stopped:
        stop = min(start + size, n, epoch_end)
        if stop == epoch_end:
            epoch_end += epoch_rows
        b.update_number = done_before + steps[0] + 1
        begin_step(&b.step, options, rates[steps[0]], <double> b.update_number)
        weight = weight_sum(&b.data, order, start, stop)  # each thread adds in the same order
        mean_weight = 1
        scale = 0  # of a batch without weight
        b.decay = options[WEIGHT_DECAY]
        if weight > 0:
            mean_weight = weight / (stop - start)
            scale = (-rates[steps[0]] if b.target == TO_WEIGHTS else 1.0) / weight
            b.decay += options[PENALTY] / weight
        memset(b.squares, 0, sizeof(b.squares))
        if b.own_gradients:
            memset(b.work + b.stored_at, 0, b.packed * sizeof(real))
        elif b.target == TO_STORE and b.ld == 0:
            clear_stored(b)
        cost = score = labels = 0
        own_sums.cost = own_sums.score = own_sums.labels = 0
        first = start
        while first < stop:
            count = min(rows, stop - first)
            b.batch_row = first - start
            if b.worker == 0 and not b.own_gradients:
                b.team[STOPPING] = read_now(stop_now)
            if b.n_threads == 1 and b.team[STOPPING]:
                stopped = True
                break
            from_row = share(count // 2, b.worker, b.n_threads) * 2  # pairs of rows stay together
            to_row = share(count // 2, b.worker + 1, b.n_threads) * 2 if b.worker + 1 < b.n_threads else count
            if b.ld:
                from_row = share(groups_of(count), b.worker, b.n_threads) * VL
                to_row = min(count, share(groups_of(count), b.worker + 1, b.n_threads) * VL)
            if b.own_gradients:  # no thread needs the rows of another
                if count < rows and first > start and wait(b):  # but rows of a smaller block lie in other places
                    return 0
                move_base(b, from_row)
                b.batch_row += from_row
                if read_now(stop_now):
                    own_sums.cost = INFINITY  # all threads read it at their next barrier, and discard the batch
                if isfinite(own_sums.cost) and from_row < to_row:
                    own_block(b, order, first + from_row, count, to_row - from_row,
                              min(rows, n - first - from_row - count), scale, mean_weight, &own_sums)
                first += count
                continue
            gather(b, order, first, count, from_row, to_row, min(rows, n - first - count))
            lap(b.worker, GATHER)
            forward(b, from_row, to_row)
            lap(b.worker, FORWARD)
            output(b, order, first, from_row, to_row, scale, mean_weight, sums_of(b, b.worker))
            lap(b.worker, OUTPUT)
            backward(b, from_row, to_row)
            lap(b.worker, BACKWARD)
            if wait(b):
                return 0
            lap(b.worker, WAIT_DELTAS)
            for k in range(b.n_threads):
                sums = sums_of(b, k)
                cost += sums.cost
                score += sums.score
                labels += sums.labels
            if b.team[STOPPING] or not isfinite(cost):
                stopped = True
                break
            update_all(b, count)
            share_squares(b)
            lap(b.worker, UPDATE)
            first += count
            # Clipping needs the gradients of all threads. Else the step of this thread's share follows at once.
            if b.target != TO_STORE or first < stop or options[CLIP_NORM] > 0:
                if wait(b):
                    return 0
                lap(b.worker, WAIT_UPDATE)
        if b.own_gradients:
            sums = sums_of(b, b.worker)
            sums.cost = own_sums.cost
            sums.score = own_sums.score
            sums.labels = own_sums.labels
            if wait(b):
                return 0
            lap(b.worker, WAIT_DELTAS)
            for k in range(b.n_threads):
                sums = sums_of(b, k)
                cost += sums.cost
                score += sums.score
                labels += sums.labels
            stopped = not isfinite(cost)
            if not stopped:
                add_own(b)
                if options[CLIP_NORM] > 0 and wait(b):
                    return 0
        if stopped:
            break
        if flat:
            step_flat(b, options, params, state, n_params)
        elif b.target == TO_STORE:
            step_stored(b, options)
            share_squares(b)
            lap(b.worker, STEP)
            if wait(b):
                return 0
            lap(b.worker, WAIT_STEP)
        total += cost
        if b.worker == 0:
            squares = 0
            for k in range(b.n_threads if b.penalty else 0):
                squares += sums_of(b, k).squares
            report[COST_SUM] = cost
            report[WEIGHT_SUM] = weight
            report[PENALTY_COST] = options[PENALTY] / 2 * squares
            report[SCORE] = score
            report[LABELS] = labels
            report += REPORT_COLUMNS
        steps[0] += 1
        start = stop
    if b.ld == 0 and not flat:
        unpack_all(b, params, 0, b.worker, b.n_threads)  # the last barrier lies behind the last change
        for k in range(b.slots):
            unpack_all(b, state + k * n_params, (3 + k) * b.packed, b.worker, b.n_threads)
    lap(b.worker, UNPACK)
    return total


cdef void own_block(Block *b, const int64_t *order, Py_ssize_t begin, Py_ssize_t count, Py_ssize_t rows,
                    Py_ssize_t ahead, double scale, double mean_weight, Sums *total) noexcept nogil:
    """Take this thread's rows order[begin:begin + rows] of a block through all layers. Add their gradient and `total`.

    The rows that this thread prefetches lie `count` places further in the order.
    """
    cdef Sums sums
    gather(b, order, begin, count, 0, rows, ahead)
    lap(b.worker, GATHER)
    forward(b, 0, rows)
    lap(b.worker, FORWARD)
    output(b, order, begin, 0, rows, scale, mean_weight, &sums)
    total.cost += sums.cost
    total.score += sums.score
    total.labels += sums.labels
    lap(b.worker, OUTPUT)
    backward(b, 0, rows)
    lap(b.worker, BACKWARD)
    update_all(b, rows)
    lap(b.worker, UPDATE)


cdef inline Sums *sums_of(Block *b, Py_ssize_t worker) noexcept nogil:
    return <Sums *> &b.team[TEAM_COLUMNS + worker * TEAM_LINE]


cdef inline void share_squares(Block *b) noexcept nogil:
    """Write the sum of the squares of this thread's weights to `team`, after the thread's update."""
    cdef Py_ssize_t k
    cdef double total = 0
    if b.penalty:
        for k in range(VL):
            total += b.squares[k]
        sums_of(b, b.worker).squares = total


def update(net, params, state, gradient, optimizer, rate, done):
    cdef const int64_t *layer = <const int64_t *> data_of(net)
    cdef real *p = <real *> data_of(params, PyBUF_WRITABLE)
    cdef real *m = <real *> data_of(state, PyBUF_WRITABLE)
    cdef const real *g = <const real *> data_of(gradient)
    cdef const double *options = <const double *> data_of(optimizer)
    cdef double now = rate, count = done + 1
    cdef Py_ssize_t n_layers = len(net), n_params = len(params)
    cdef fp_state before
    with nogil:
        before = flush_denormals()
        update_flat(layer, n_layers, p, m, g, n_params, options, now, count)
        restore_denormals(before)


cdef void update_flat(const int64_t *layer, Py_ssize_t n_layers, real *p, real *m, const real *g, Py_ssize_t n_params,
                      const double *options, double rate, double count) noexcept nogil:
    """Make the optimiser's step for the flat parameters p and the flat state m, with the flat gradient g."""
    cdef step_t step
    cdef Py_ssize_t l, at
    cdef real *v = m + n_params
    begin_optimizer(&step, options)
    begin_step(&step, options, rate, count)
    step.scale = <real> clip_factor(g, n_params, options)
    step.squares = NULL
    for l in range(n_layers):
        step.decay = <real> options[WEIGHT_DECAY]
        at = layer[WEIGHTS]
        narrow_step(&step, p + at, g + at, m + at, v + at, layer[N_IN] * layer[N_OUT])
        step.decay = 0
        at = layer[BIASES]
        narrow_step(&step, p + at, g + at, m + at, v + at, layer[N_OUT])
        layer += LAYER_COLUMNS


def compress(x, scale, starts, indices, values):
    cdef int64_t[::1] begins = starts
    cdef int32_t[::1] columns = indices
    cdef real[::1] reals = values
    cdef Py_ssize_t n = x.shape[0], n_in = x.shape[1], room = len(indices), found
    cdef double byte_scale = scale
    cdef Data data
    inputs_of(&data, x)
    with nogil:
        found = compress_rows(&data, n_in, <real> byte_scale, &begins[0], &columns[0] if room else NULL,
                              &reals[0] if room else NULL, room)
    return found


cdef Py_ssize_t compress_rows(const Data *data, Py_ssize_t n_in, real scale, int64_t *starts, int32_t *columns,
                              real *values, Py_ssize_t room) noexcept nogil:
    cdef Py_ssize_t i, k, at, found, total = 0
    starts[0] = 0
    for i in range(data.rows):
        found = 0
        at = i * n_in
        if room == 0:
            if data.bytes != NULL:
                for k in range(n_in):
                    found += data.bytes[at + k] != 0
            else:
                for k in range(n_in):
                    found += data.reals[at + k] != 0
        else:
            if data.reals != NULL and total + n_in + LINE_ENTRIES <= room:  # room for all that is written
                found = compact_reals(data.reals + at, NULL, n_in, columns + total, values + total, 0)
            elif data.bytes != NULL and n_in <= MAX_BYTES_COLUMNS and total + n_in + LINE_ENTRIES <= room:
                found = compact_bytes(data.bytes + at, NULL, n_in, columns + total)
                unpack_bytes(columns + total, found, scale, values + total, NULL)
            else:
                for k in range(n_in):
                    if data.reals[at + k] != 0 if data.bytes == NULL else data.bytes[at + k] != 0:
                        if total + found == room:  # another thread has changed x since the count
                            return room + 1
                        columns[total + found] = <int32_t> k
                        values[total + found] = (data.reals[at + k] if data.bytes == NULL
                                                 else data.bytes[at + k] * scale)
                        found += 1
        total += found
        starts[i + 1] = total
    return total


def peak_flops(repeats):
    """Run `repeats` rounds of independent multiply-adds in registers and return the number of operations."""
    cdef real sink[64]
    cdef Py_ssize_t n = repeats
    cdef double done
    with nogil:
        done = multiply_add_peak(n, sink)
    return done


def phases(n_threads):
    """Return for each thread the nanoseconds in each phase of `train` since the last question: zeros in a normal build."""
    return [[spent(worker, phase) for phase in range(N_PHASES)] for worker in range(n_threads)]
