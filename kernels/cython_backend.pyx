"""The Cython backend: `forward`, `backward` and `update` on blocks of rows, and the contract's functions around them.

setup.py builds this file once for each instruction set and dtype. The inner loops are in vec.h.
"""

# Why it is fast:
# - A packed row holds the weights of one input to all neurons of a layer (contract.Plan). So the inner loops
#   run along the neurons and need no sums across the lanes of a vector.
# - If most inputs are zero, as in images of digits, the kernels gather the other inputs as sparse rows. They read only
#   the weights of these inputs.
# - If a batch is one block and nothing is clipped, plain gradient descent adds the gradient straight to the weights and
#   never stores it. Momentum and Adam take the gradient of a small batch from a tile in the first-level cache.
# A tile is a part of a matrix that is computed at once, in registers or in the first-level cache. A panel is a part of
# the weights or of the deltas, copied ("packed") to contiguous memory.

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport exp, fabs, isfinite, log, log1p, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from fastnet.kernels import contract

cdef extern from "vec.h" nogil:
    ctypedef float real  # float or double: FASTNET_FLOAT64 decides
    ctypedef int fp_state
    const char *FASTNET_ISA
    const int TEAMS
    const Py_ssize_t VL, GROUP, TILE_VECTORS, TILE_ROWS
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
    void update_tiles(int vectors, const real *x, Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t n, const real *delta,
                      Py_ssize_t ldd, real *out, Py_ssize_t ldo)
    void add_rows(const real *delta, Py_ssize_t ld, Py_ssize_t rows, Py_ssize_t columns, real *sums)
    void transpose(const real *w, Py_ssize_t ldw, real *out, Py_ssize_t ldo)
    int sparse_part(Py_ssize_t vectors)
    void sparse_forward(int rows, int vectors, const int32_t *columns, const real *values, Py_ssize_t ldv, Py_ssize_t n,
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
    Py_ssize_t compact_bytes(const uint8_t *first, const uint8_t *second, Py_ssize_t n, int32_t *all)
    Py_ssize_t compact_reals(const real *first, const real *second, Py_ssize_t n, int32_t *columns, real *values,
                             Py_ssize_t ldv)
    void unpack_bytes(int32_t *all, Py_ssize_t n, real scale, real *values, real *second)
    void output_error(int cost, real number, int activation, const real *a, real *delta, Py_ssize_t columns,
                      int64_t label, real factor, real weight, real *costs, real *squares)
    bint is_first_largest(const real *a, Py_ssize_t n, int64_t label)
    Py_ssize_t correct_labels(const real *z, const real *targets, Py_ssize_t n, int64_t label)
    const int PLAIN, WITH_MOMENTUM, WITH_NESTEROV, WITH_ADAM
    ctypedef struct step_t:
        int kind
        real scale, decay, rate, root, beta1, rest1, beta2, rest2, epsilon
        double *squares
    void step_row(const step_t *s, real *p, const real *g, real *m, real *v, Py_ssize_t n)
    double multiply_add_peak(Py_ssize_t repeats, real *sink)

# The contract's codes as C integers.
cdef enum:
    MAX_LAYERS = 256  # a call keeps its layers on the C stack
    LINE_ENTRIES = 16  # compact_bytes and compact_reals may write up to 16 places past the last entry
    CHUNK_INPUTS = 16  # with TO_OPTIMIZER, a tile holds the gradient of 16 inputs
    LANES = 16  # the largest number of lanes of a vector
cdef int GRADIENT_DESCENT = contract.GRADIENT_DESCENT, MOMENTUM = contract.MOMENTUM
cdef int N_IN = contract.N_IN, N_OUT = contract.N_OUT, ACTIVATION = contract.ACTIVATION
cdef int WEIGHTS = contract.WEIGHTS, BIASES = contract.BIASES, COST = contract.COST
cdef int DROP = contract.DROP, DROP_KEY = contract.DROP_KEY
cdef int COST_NUMBER = contract.COST_NUMBER, TASK = contract.TASK, BYTE_SCALE = contract.BYTE_SCALE
cdef int REGRESSION = contract.REGRESSION, MULTILABEL = contract.MULTILABEL
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
cdef Py_ssize_t PANEL_ROWS = contract.PANEL_ROWS, PANEL_DEPTH = contract.PANEL_DEPTH
cdef Py_ssize_t SPARSE_INPUTS = contract.SPARSE_INPUTS, SPARSE_SAMPLE = contract.SPARSE_SAMPLE
cdef double SPARSE_SHARE = contract.SPARSE_SHARE
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
    real *inputs  # (rows, below): the activations of the layer below
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
    int32_t *columns  # (rows, ld_columns): the columns of entries found in dense data; layers[0].inputs has the values
    Py_ssize_t ld_columns
    Entries *entries  # (rows,)
    Py_ssize_t sorted_inputs  # the number of inputs whose entries sort_entries sorts at a time
    int32_t *begins  # (rows,): for each row, the first entry that is not yet sorted
    int32_t *ends  # (sorted_inputs,): where the sorted entries of each input end
    sorted_t *sorted  # (sorted_inputs, rows + 1)
    real *panel  # of this thread
    int64_t *team
    Py_ssize_t worker, n_threads
    const int64_t *next  # the rows of the next block, if `forward` and `update` prefetch them; or NULL
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


cdef enum:  # the gradient goes straight to the weights, or to the packed gradient, or tile by tile to the optimiser
    TO_WEIGHTS, TO_STORE, TO_OPTIMIZER


# -- shares and tiles --------------------------------------------------------------------------------------------

cdef inline Py_ssize_t share(Py_ssize_t n, Py_ssize_t part, Py_ssize_t parts) noexcept nogil:
    """The start of part number `part` of n items. The parts are even: 10 rows in 2 tiles are 5 + 5, not 6 + 4."""
    return n * part // parts


cdef inline Py_ssize_t tiles_of(Py_ssize_t rows, Py_ssize_t height) noexcept nogil:
    return (rows + height - 1) // height


cdef inline Py_ssize_t in_groups(Py_ssize_t n) noexcept nogil:
    return (n + GROUP - 1) // GROUP * GROUP


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
    cdef Py_ssize_t n = b.layers[0].n_in, sample = min(b.data.rows, SPARSE_SAMPLE), k, found = 0
    cdef Entries entries
    if b.data.starts != NULL:
        return True
    if n < SPARSE_INPUTS or (b.data.bytes != NULL and n > MAX_BYTES_COLUMNS):
        return False
    for k in range(sample):
        find_entries(b, share(b.data.rows, k, sample), -1, b.columns, b.layers[0].inputs, &entries)
        found += entries.count
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
            else:
                memcpy(inputs, b.data.reals + row_of(order, begin + i) * n, n * sizeof(real))
            memset(inputs + n, 0, (layer.below - n) * sizeof(real))


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
    """outputs = activation(inputs . weights + biases) for rows [first, last). `softmax` computes softmax outputs."""
    multiply(b, layer.inputs, layer.below, layer.groups * GROUP, layer.weights, layer.width, False, layer.biases,
             layer.sums, layer.outputs, layer.width, layer.n_out, layer.activation, first, last)


cdef void propagate(Block *b, Layer *layer, Layer *lower, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """The deltas of the lower layer: deltas . weights^T, times the derivatives of the lower layer's activation."""
    multiply(b, layer.deltas, layer.width, in_groups(layer.n_out), layer.weights, layer.width, True, NULL,
             lower.deltas, lower.derivatives if lower.drop else lower.outputs, lower.width, lower.n_out,
             GIVEN if lower.drop else lower.activation, first, last)


cdef void multiply(Block *b, const real *x, Py_ssize_t ldx, Py_ssize_t depth, const real *weights, Py_ssize_t ldw,
                   bint backward, const real *biases, real *sums, real *outputs, Py_ssize_t width, Py_ssize_t used,
                   int activation, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """sums[first:last] = x . weights + biases, then outputs = activation(sums), tile by tile over packed panels.

    With `backward`, sums[first:last] = (x . weights^T) * derivative(outputs).
    """
    cdef Py_ssize_t rows = last - first, tiles = tiles_of(rows, TILE_ROWS), step = TILE_VECTORS * VL
    cdef Py_ssize_t tile, start, height, k = 0, n, column, columns, ldp
    cdef bint packing = backward or (width > step and tiles > 2)
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


cdef void softmax(Layer *layer, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t n = layer.n_out, i, k
    cdef const real *z
    cdef real *a
    cdef real largest, total
    for i in range(first, last):
        z = layer.sums + i * layer.width
        a = layer.outputs + i * layer.width
        largest = z[0]
        for k in range(1, n):
            if z[k] > largest:
                largest = z[k]
        for k in range(layer.width):
            a[k] = z[k] - largest
    a = layer.outputs + first * layer.width
    activate_tile(SOFTMAX, a, a, layer.width, last - first, layer.width, n)
    for i in range(first, last):
        a = layer.outputs + i * layer.width
        total = 0
        for k in range(n):
            total += a[k]
        for k in range(n):
            a[k] /= total


cdef void drop_neurons(Block *b, Layer *layer, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Apply dropout to rows [first, last)."""
    cdef drop_t drop = drop_of(layer.drop, layer.drop_scale, layer.drop_key, b.update_number)
    apply_dropout(&drop, layer.activation, layer.outputs + first * layer.width, layer.derivatives + first * layer.width,
              layer.width, last - first, <uint32_t> (b.batch_row + first))


cdef void forward(Block *b, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t l
    for l in range(b.n_layers):
        if l == 0 and b.sparse:
            sparse_sums(b, &b.layers[l], first, last)
        else:
            weighted_sums(b, &b.layers[l], first, last)
        if b.layers[l].activation == SOFTMAX:
            softmax(&b.layers[l], first, last)
        if b.layers[l].drop:
            drop_neurons(b, &b.layers[l], first, last)


cdef void backward(Block *b, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Compute the deltas of all layers but the last. `output` has set the deltas of the last layer."""
    cdef Py_ssize_t l = b.n_layers - 1
    while l > 0:
        propagate(b, &b.layers[l], &b.layers[l - 1], first, last)
        l -= 1


# -- the cost ----------------------------------------------------------------------------------------------------

cdef inline Py_ssize_t argmax(const real *a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k, best = 0
    for k in range(1, n):
        if a[k] > a[best]:
            best = k
    return best


cdef inline double target_of(const real *targets, Py_ssize_t label, Py_ssize_t k) noexcept nogil:
    """The target of output k: targets[k], or 1 at `label` and 0 elsewhere if targets are NULL."""
    return targets[k] if targets != NULL else k == label


cdef double cross_entropy(const Layer *layer, double limit, const real *z, const real *a, const real *targets,
                          Py_ssize_t label) noexcept nogil:
    cdef Py_ssize_t n = layer.n_out, k, best
    cdef double total = 0, log_sum, rest, target
    if layer.activation == SOFTMAX:  # log_sum - z stays finite where a rounds to zero
        best = argmax(a, n)
        log_sum = <double> z[best] - log(<double> a[best])
        if targets == NULL:
            return min(log_sum - z[label], limit)
        for k in range(n):
            if targets[k] != 0:
                total += targets[k] * min(log_sum - z[k], limit)
        return total
    for k in range(n):
        target = target_of(targets, label, k)
        rest = log1p(exp(-fabs(<double> z[k])))
        total += target * min(max(-<double> z[k], 0.0) + rest, limit)
        total += (1 - target) * min(max(<double> z[k], 0.0) + rest, limit)
    return total


cdef double poisson(const Layer *layer, const real *z, const real *a, const real *targets,
                    Py_ssize_t label) noexcept nogil:
    cdef Py_ssize_t k
    cdef double total = 0, target
    for k in range(layer.n_out):
        target = target_of(targets, label, k)
        total += a[k] - target
        if target > 0:
            total += target * (log(target) - z[k])
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
    cdef Py_ssize_t n = layer.n_out, width = layer.width, i, k, row, label = -1, correct
    cdef const real *z
    cdef const real *a
    cdef const real *targets = NULL
    cdef real *delta
    cdef real costs[LANES]
    cdef real squares[LANES]
    cdef double weight = 1, total = 0, score = 0, labels = 0
    cdef double relative = 1  # weight / mean_weight: in float32, weights above 1e38 would overflow
    cdef real mean, factor = <real> scale  # factor: scale * weight
    # In the derivative of cross entropy and of Poisson's cost, the derivative of the activation cancels.
    cdef bint cancels = b.cost == CROSS_ENTROPY or b.cost == POISSON
    cdef bint mixing = layer.activation == SOFTMAX and not cancels  # the loop's end applies the softmax's derivative
    cdef int activation = IDENTITY if cancels or mixing else layer.activation
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
            memcpy(delta, targets, n * sizeof(real))
            memset(delta + n, 0, (width - n) * sizeof(real))
        output_error(b.cost, <real> b.cost_number, activation, a, delta, width, label, factor, <real> relative, costs,
                     squares)
        if b.cost == CROSS_ENTROPY:
            total += relative * cross_entropy(layer, b.cost_number, z, a, targets, label)
        elif b.cost == POISSON:
            total += relative * poisson(layer, z, a, targets, label)
        if b.task == MULTILABEL:
            correct = correct_labels(z, targets, n, label)
            labels += weight * correct
            score += weight * (correct == n)
        elif b.task != REGRESSION:
            if n == 1:
                score += weight * ((z[0] >= 0) == (target_of(targets, label, 0) >= 0.5))
            else:
                score += weight * is_first_largest(z, n, label if targets == NULL else argmax(targets, n))
        if mixing:
            mean = 0
            for k in range(n):
                mean += delta[k] * a[k]
            for k in range(n):
                delta[k] = a[k] * (delta[k] - mean)
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


cdef void update(Block *b, Py_ssize_t rows) noexcept nogil:
    """Add this thread's share of every layer's gradient, inputs^T . deltas, to b.target."""
    cdef Py_ssize_t l = b.n_layers - 1, first, last
    cdef Layer *layer
    while l >= 0:
        layer = &b.layers[l]
        first = share(layer.groups, b.worker, b.n_threads)
        last = share(layer.groups, b.worker + 1, b.n_threads)
        if l > 0 or not b.sparse:
            update_weights(b, layer, rows, first, last)
        elif by_rows(b):
            update_sparse(b, layer, rows, first * GROUP, last * GROUP)
        else:
            update_sorted(b, layer, rows, first * GROUP, last * GROUP)
        if b.worker == 0:
            update_biases(b, layer, rows)
        l -= 1


cdef inline real *stored(Block *b, real *parameters) noexcept nogil:
    """Where to add the gradient of packed parameters: to the parameters themselves, or to the packed gradient."""
    return parameters if b.target == TO_WEIGHTS else parameters + b.packed


cdef void update_biases(Block *b, Layer *layer, Py_ssize_t rows) noexcept nogil:
    cdef real *sums = stored(b, layer.biases)
    if b.target == TO_OPTIMIZER:
        memset(sums, 0, layer.width * sizeof(real))
    add_rows(layer.deltas, layer.width, rows, layer.width, sums)
    if b.target == TO_OPTIMIZER:
        step_tile(b, layer.biases, layer.width, sums, layer.width, 1, False)


cdef void update_weights(Block *b, Layer *layer, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Compute the gradient of the weights of input groups [first, last)."""
    cdef Py_ssize_t width = layer.width, step = TILE_VECTORS * VL, row, n, column = 0, columns, ldd, g, count
    cdef const real *deltas
    cdef real *weights
    cdef real tile[CHUNK_INPUTS * 64]
    cdef bint packing = width > step and last - first > 2
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
                update_tiles(<int> (columns // VL), layer.inputs + g * GROUP, layer.below, rows, count, deltas, ldd,
                             tile, columns)
                step_tile(b, layer.weights + g * GROUP * width + column, width, tile, columns, count * GROUP, True)
                g += count
        else:
            weights = stored(b, layer.weights + first * GROUP * width + column)
            row = 0
            while row < rows:  # as many rows at a time as fit in the first-level cache
                n = min(PANEL_DEPTH, rows - row)
                update_tiles(<int> (columns // VL), layer.inputs + row * layer.below + first * GROUP, layer.below, n,
                             last - first, deltas + row * ldd, ldd, weights, width)
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
        if b.n_threads > 1:
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
        b.begins[i] = <int32_t> count_below(tile.columns, tile.count, first) if b.n_threads > 1 and tile.height else 0
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
    while i < n:  # n is a whole number of lines
        for j in range(8):
            lanes[j] += <double> g[i + j] * g[i + j]
        i += 8
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
        rate /= 1 - options[BETA1] ** count
        root = sqrt(1 - options[BETA2] ** count)
        if options[PLAIN_EPSILON] != 0:
            rate *= root
            root = 1
        s.rate = <real> rate
        s.root = <real> (1 / root)


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


cdef void step_stored(Block *b, const double *options) noexcept nogil:
    """Make the optimiser's step for this thread's share of all parameters, with the packed gradient."""
    cdef Py_ssize_t l, first, last
    cdef Layer *layer
    cdef double norm
    b.step.scale = 1
    if options[CLIP_NORM] > 0:
        norm = sqrt(square_sum(b.work + b.packed, b.packed))
        if norm > options[CLIP_NORM]:
            b.step.scale = <real> (options[CLIP_NORM] / norm)
    for l in range(b.n_layers):
        layer = &b.layers[l]
        first = share(layer.groups, b.worker, b.n_threads) * GROUP * layer.width
        last = share(layer.groups, b.worker + 1, b.n_threads) * GROUP * layer.width
        step_tile(b, layer.weights + first, 0, layer.weights + first + b.packed, last - first, 1, True)
        if b.worker == 0:
            step_tile(b, layer.biases, 0, layer.biases + b.packed, layer.width, 1, False)


cdef void clear_stored(Block *b) noexcept nogil:
    """Set this thread's share of the packed gradient to 0, padding included."""
    cdef Py_ssize_t first = share(b.packed, b.worker, b.n_threads), last = share(b.packed, b.worker + 1, b.n_threads)
    memset(b.work + b.packed + first, 0, (last - first) * sizeof(real))


# -- packing: weights (n_out, n_in) become (below, width), and back -------------------------------------------------

cdef void pack(const Layer *layer, const real *flat, Py_ssize_t offset) noexcept nogil:
    cdef Py_ssize_t width = layer.width, i, j, start
    cdef real *weights = layer.weights + offset
    cdef const real *source = flat + layer.weights_at
    memset(weights, 0, (layer.below + 1) * width * sizeof(real))  # the biases follow the weights
    start = 0
    while start < layer.n_out:  # 16 neurons at a time: their rows stay in the cache
        for i in range(layer.n_in):
            for j in range(start, min(start + 16, layer.n_out)):
                weights[i * width + j] = source[j * layer.n_in + i]
        start += 16
    memcpy(layer.biases + offset, flat + layer.biases_at, layer.n_out * sizeof(real))


cdef void unpack(const Layer *layer, real *flat, Py_ssize_t offset) noexcept nogil:
    cdef Py_ssize_t width = layer.width, i, j, start
    cdef const real *weights = layer.weights + offset
    cdef real *target = flat + layer.weights_at
    start = 0
    while start < layer.n_out:
        for i in range(layer.n_in):
            for j in range(start, min(start + 16, layer.n_out)):
                target[j * layer.n_in + i] = weights[i * width + j]
        start += 16
    memcpy(flat + layer.biases_at, layer.biases + offset, layer.n_out * sizeof(real))


cdef void pack_all(Block *b, const real *flat, Py_ssize_t offset) noexcept nogil:
    cdef Py_ssize_t l
    for l in range(b.n_layers):
        pack(&b.layers[l], flat, offset)


cdef void unpack_all(Block *b, real *flat, Py_ssize_t offset) noexcept nogil:
    cdef Py_ssize_t l
    for l in range(b.n_layers):
        unpack(&b.layers[l], flat, offset)


# -- the contract --------------------------------------------------------------------------------------------------

cdef inline double number_of(const int64_t *column) noexcept nogil:
    """The float64 whose bits a column of a network holds."""
    return (<const double *> column)[0]


cdef void prepare(Block *b, Layer *layers, const int64_t[:, ::1] net, const int64_t[:, ::1] nodes, Py_ssize_t rows,
                  Py_ssize_t packed, real *work, int64_t *team, Py_ssize_t worker) noexcept nogil:
    cdef Py_ssize_t l, last = net.shape[0] - 1
    cdef Layer *layer
    b.layers = layers
    b.n_layers = net.shape[0]
    b.byte_scale = <real> number_of(&net[0, BYTE_SCALE])
    b.cost = <int> net[last, COST]
    b.cost_number = number_of(&net[last, COST_NUMBER])
    b.task = <int> net[last, TASK]
    for l in range(net.shape[0]):
        layer = &layers[l]
        layer.n_in = net[l, N_IN]
        layer.n_out = net[l, N_OUT]
        layer.groups = (net[l, N_IN] + GROUP - 1) // GROUP
        layer.below = nodes[l, WIDTH]
        layer.width = nodes[l + 1, WIDTH]
        layer.activation = <int> net[l, ACTIVATION]
        layer.weights = work + nodes[l + 1, WEIGHTS_AT]
        layer.biases = work + nodes[l + 1, BIASES_AT]
        layer.inputs = work + nodes[l, ACTIVATIONS_AT]
        layer.outputs = work + nodes[l + 1, ACTIVATIONS_AT]
        layer.sums = work + nodes[0, OUTPUTS_AT] if l == last else layer.outputs
        layer.deltas = work + nodes[l + 1, DELTAS_AT]
        layer.derivatives = work + nodes[l + 1, SCRATCH_AT]
        layer.drop = 0
        layer.weights_at = net[l, WEIGHTS]
        layer.biases_at = net[l, BIASES]
    b.team = team
    b.worker = worker
    b.n_threads = 1 if team == NULL else team[N_THREADS]
    b.columns = <int32_t *> (work + nodes[0, SCRATCH_AT])
    b.ld_columns = layers[0].below * (sizeof(real) // sizeof(int32_t))
    b.entries = <Entries *> (work + nodes[0, ROWS_AT])
    b.sorted_inputs = nodes[0, SORTED_INPUTS]
    b.ends = <int32_t *> (work + nodes[0, ENDS_AT]) + worker * (b.sorted_inputs + 2 + rows)
    b.begins = b.ends + b.sorted_inputs + 2
    b.sorted = <sorted_t *> (work + nodes[0, SORTED_AT]) + worker * (rows + 1) * b.sorted_inputs
    b.panel = work + nodes[0, PANEL_AT] + worker * PANEL_ROWS * TILE_VECTORS * VL
    b.work = work
    b.packed = packed
    b.target = TO_STORE


cdef const real *NO_VALUES = &LEAKY_SLOPE  # any valid address, for sparse rows without entries
cdef int32_t NO_INDEX = 0


cdef int inputs_of(Data *data, x) except -1:
    cdef const uint8_t[:, ::1] octets
    cdef const real[:, ::1] rows
    cdef const real[::1] values
    cdef const int64_t[::1] starts
    cdef const int32_t[::1] indices
    data.bytes = NULL
    data.reals = NULL
    data.starts = NULL
    data.labels = NULL
    data.weights = NULL
    data.rows = len(x)
    if isinstance(x, contract.SparseRows):
        starts = x.starts
        indices = x.indices
        values = x.values
        data.starts = &starts[0]
        data.indices = &indices[0] if indices.shape[0] else &NO_INDEX
        data.reals = &values[0] if values.shape[0] else NO_VALUES
    elif x.itemsize == 1:  # uint8; a comparison of dtypes takes 0.3 microseconds
        octets = x
        data.bytes = &octets[0, 0]
    else:
        rows = x
        data.reals = &rows[0, 0]
    return 0


cdef int outputs_of(Data *data, y, weights) except -1:
    cdef const int64_t[::1] labels
    cdef const real[:, ::1] targets
    cdef const double[::1] numbers
    data.labels = NULL
    data.targets = NULL
    data.weights = NULL
    if len(weights):
        numbers = weights
        data.weights = &numbers[0]
    if y.ndim == 1:
        labels = y
        data.labels = &labels[0]
    else:
        targets = y
        data.targets = &targets[0, 0]
    return 0


cdef void predict_rows(Block *b, Py_ssize_t n, Py_ssize_t rows, real *out) noexcept nogil:
    """Compute the outputs of all n rows of the data, `rows` rows at a time."""
    cdef Layer *last = &b.layers[b.n_layers - 1]
    cdef Py_ssize_t start = 0, count, i
    b.data.rows = n
    b.sparse = is_sparse(b)
    while start < n:
        count = min(rows, n - start)
        gather(b, NULL, start, count, 0, count, min(rows, n - start - count))
        forward(b, 0, count)
        for i in range(count):
            memcpy(out + (start + i) * last.n_out, last.outputs + i * last.width, last.n_out * sizeof(real))
        start += count


def predict(net, params, x, out, work):
    cdef object p = contract.plan(net, len(x), 0, sizeof(real), sparse=isinstance(x, contract.SparseRows))
    cdef const int64_t[:, ::1] layers_view = net, nodes = p.nodes
    cdef const real[::1] params_view = params
    cdef real[::1] space = work
    cdef real[:, ::1] result = out
    cdef Py_ssize_t rows = p.rows, packed = p.packed
    cdef Layer layers[MAX_LAYERS]
    cdef Block b
    cdef fp_state before
    inputs_of(&b.data, x)
    with nogil:
        before = flush_denormals()
        prepare(&b, layers, layers_view, nodes, rows, packed, &space[0], NULL, 0)
        pack_all(&b, &params_view[0], 0)
        predict_rows(&b, b.data.rows, rows, &result[0, 0])
        restore_denormals(before)


cdef class Predictor:
    """What contract.Backend.predictor returns. Its calls reuse the parameters that __init__ packed."""

    cdef Layer layers[MAX_LAYERS]
    cdef Block block
    cdef object work
    cdef Py_ssize_t rows, row_bytes

    def __init__(self, net, params, rows, x_dtype, work):
        cdef object p = contract.plan(net, rows, 0, sizeof(real))
        cdef const int64_t[:, ::1] layers_view = net, nodes = p.nodes
        cdef const real[::1] params_view = params
        cdef real[::1] space = work
        self.work = work
        self.rows = p.rows
        self.row_bytes = layers_view[0, N_IN] * x_dtype.itemsize
        prepare(&self.block, self.layers, layers_view, nodes, p.rows, p.packed, &space[0], NULL, 0)
        pack_all(&self.block, &params_view[0], 0)

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
            predict_rows(b, n, self.rows, <real *> target.buf)
            restore_denormals(before)
        PyBuffer_Release(&target)
        PyBuffer_Release(&source)


predictor = Predictor


def gradient(net, params, x, y, weights, grad, work):
    cdef object p = contract.plan(net, len(x), 0, sizeof(real), sparse=isinstance(x, contract.SparseRows))
    cdef const int64_t[:, ::1] layers_view = net, nodes = p.nodes
    cdef const real[::1] params_view = params
    cdef real[::1] space = work, result = grad
    cdef Py_ssize_t n = len(x), rows = p.rows, packed = p.packed, start = 0, count
    cdef Layer layers[MAX_LAYERS]
    cdef Block b
    cdef fp_state before
    cdef double total = 0, weight
    cdef Sums sums
    inputs_of(&b.data, x)
    outputs_of(&b.data, y, weights)
    with nogil:
        before = flush_denormals()
        prepare(&b, layers, layers_view, nodes, rows, packed, &space[0], NULL, 0)
        b.sparse = is_sparse(&b)
        pack_all(&b, &params_view[0], 0)
        clear_stored(&b)
        weight = weight_sum(&b.data, NULL, 0, n)
        while start < n:
            count = min(rows, n - start)
            gather(&b, NULL, start, count, 0, count, 0)
            forward(&b, 0, count)
            output(&b, NULL, start, 0, count, 1 / weight, weight / n, &sums)
            total += sums.cost
            backward(&b, 0, count)
            update(&b, count)
            start += count
        unpack_all(&b, &result[0], packed)
        restore_denormals(before)
    return total / weight


def train(call):
    cdef object x = call.x
    cdef int64_t[::1] progress = call.progress, shared = call.team
    cdef double[:, ::1] report = call.report
    cdef real[:, ::1] slots = call.state
    cdef object p = contract.plan(call.net, call.batch_size, slots.shape[0], sizeof(real), shared[N_THREADS],
                                  isinstance(x, contract.SparseRows))
    cdef const int64_t[:, ::1] layers_view = call.net, nodes = p.nodes
    cdef real[::1] params_view = call.params, space = call.work
    cdef const int64_t[::1] sequence = call.order
    cdef const double[::1] rate = call.rates, options = call.optimizer
    cdef int64_t steps = 0
    cdef Py_ssize_t n = sequence.shape[0], size = call.batch_size, rows = p.rows, packed = p.packed, l
    cdef Py_ssize_t worker = call.worker
    cdef int64_t done_before = call.step
    cdef double total = 0
    cdef Layer layers[MAX_LAYERS]
    cdef Block b
    cdef fp_state before
    inputs_of(&b.data, x)
    outputs_of(&b.data, call.y, call.weights)
    prepare(&b, layers, layers_view, nodes, rows, packed, &space[0], &shared[0], worker)
    for l in range(layers_view.shape[0]):
        layers[l].drop = layers_view[l, DROP]
        layers[l].drop_key = layers_view[l, DROP_KEY]
        if layers[l].drop:
            layers[l].drop_scale = contract.drop_scale(layers[l].drop)
    with nogil:
        before = flush_denormals()
        b.slots = slots.shape[0]
        total = train_batches(&b, &params_view[0], &slots[0, 0] if slots.shape[0] else NULL, params_view.shape[0],
                              &sequence[0] if n else NULL, n, size, rows, &rate[0] if n else NULL, &options[0],
                              done_before, &progress[STOP], &steps, &report[0, 0] if n else NULL)
        restore_denormals(before)
    if worker == 0:
        progress[STEPS] = steps
    return total


cdef double train_batches(Block *b, real *params, real *state, Py_ssize_t n_params, const int64_t *order, Py_ssize_t n,
                          Py_ssize_t size, Py_ssize_t rows, const double *rates, const double *options,
                          int64_t done_before, const int64_t *stop_now, int64_t *steps,
                          double *report) noexcept nogil:
    """Do this thread's share of all steps of a call of `train`."""
    cdef Py_ssize_t k, start = 0, stop, first, count, from_row, to_row
    cdef double total = 0, cost, score, labels, squares, weight, mean_weight, scale
    cdef Sums *sums
    cdef bint plain = options[KIND] == GRADIENT_DESCENT and options[WEIGHT_DECAY] == 0 and options[PENALTY] == 0
    cdef bint stopped = False
    cdef bint fused = options[CLIP_NORM] == 0 and size <= rows  # the batch is one block and needs no clipping
    begin_optimizer(&b.step, options)
    b.penalty = options[PENALTY] != 0
    if b.worker == 0:
        b.team[SPARSE] = is_sparse(b)
        pack_all(b, params, 0)
        for k in range(b.slots):
            pack_all(b, state + k * n_params, (3 + k) * b.packed)
    if wait(b):
        return 0
    b.sparse = b.team[SPARSE] != 0
    if fused and plain:
        b.target = TO_WEIGHTS
    elif fused and size <= PANEL_DEPTH and not by_rows(b):  # each tile reads all rows, which must fit in the cache
        b.target = TO_OPTIMIZER
    while start < n and not stopped:
        stop = min(start + size, n)
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
        if b.target == TO_STORE:
            clear_stored(b)  # other threads add to the gradient only after the next barrier
        cost = score = labels = 0
        first = start
        while first < stop:
            count = min(rows, stop - first)
            b.batch_row = first - start
            if b.worker == 0:
                b.team[STOPPING] = read_now(stop_now)
            if b.n_threads == 1 and b.team[STOPPING]:
                stopped = True
                break
            from_row = share(count // 2, b.worker, b.n_threads) * 2  # pairs of rows stay together
            to_row = share(count // 2, b.worker + 1, b.n_threads) * 2 if b.worker + 1 < b.n_threads else count
            gather(b, order, first, count, from_row, to_row, min(rows, n - first - count))
            forward(b, from_row, to_row)
            output(b, order, first, from_row, to_row, scale, mean_weight, sums_of(b, b.worker))
            backward(b, from_row, to_row)
            if wait(b):
                return 0
            for k in range(b.n_threads):
                sums = sums_of(b, k)
                cost += sums.cost
                score += sums.score
                labels += sums.labels
            if b.team[STOPPING] or not isfinite(cost):
                stopped = True
                break
            update(b, count)
            share_squares(b)
            if wait(b):
                return 0
            first += count
        if stopped:
            break
        if b.target == TO_STORE:
            step_stored(b, options)
            share_squares(b)
            if wait(b):
                return 0
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
    if b.worker == 0:
        unpack_all(b, params, 0)
        for k in range(b.slots):
            unpack_all(b, state + k * n_params, (3 + k) * b.packed)
    return total


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
