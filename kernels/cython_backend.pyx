"""The Cython backend: whole-batch kernels over packed, padded weights; one dtype and instruction set a build.

Weights are packed with the neurons of a layer along a row (contract.Plan), so the forward pass and the update
run along the neurons and need no horizontal sums, and inputs that are zero in all rows of a tile are skipped.
The register tiles are in vec.h. With plain gradient descent the gradient is never stored: the update adds the
deltas, scaled by the learning rate, straight to the weights.

Not here: checks of arguments (fastnet/checks.py), several threads, any other than first-order optimisers.
"""

from libc.math cimport exp, fabs, isfinite, log, log1p, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

import numpy as np

from fastnet.kernels import contract

cdef extern from "vec.h" nogil:
    ctypedef float real  # float or double, as the build says
    ctypedef int fp_state
    const char *FASTNET_ISA
    const Py_ssize_t VL, GROUP, TILE_VECTORS, TILE_ROWS, DOT_ROWS
    real LEAKY_SLOPE
    fp_state flush_denormals()
    void restore_denormals(fp_state before)
    void PREFETCH(const void *p)
    int64_t read_now(const int64_t *p)
    void map_exp(const real *z, real *a, Py_ssize_t n)
    void map_sigmoid(const real *z, real *a, Py_ssize_t n)
    void map_tanh(const real *z, real *a, Py_ssize_t n)
    void map_relu(const real *z, real *a, Py_ssize_t n)
    void map_leaky_relu(const real *z, real *a, Py_ssize_t n)
    void slope_sigmoid(const real *a, real *delta, Py_ssize_t n)
    void slope_tanh(const real *a, real *delta, Py_ssize_t n)
    void slope_relu(const real *a, real *delta, Py_ssize_t n)
    void slope_leaky_relu(const real *a, real *delta, Py_ssize_t n)
    void forward_tile(int rows, int vectors, const real *x, Py_ssize_t ldx, const int32_t *groups, Py_ssize_t n,
                      const real *w, Py_ssize_t ldw, real *out, Py_ssize_t ldo)
    void update_tiles(int vectors, const real *x, Py_ssize_t ldx, Py_ssize_t rows, const int32_t *groups,
                      Py_ssize_t n, const real *delta, Py_ssize_t ldd, real *out, Py_ssize_t ldo)
    void add_rows(const real *delta, Py_ssize_t rows, Py_ssize_t width, real *sums)
    void backward_tiles(int rows, const real *delta, Py_ssize_t ldd, const real *w, Py_ssize_t ldw, Py_ssize_t n,
                        Py_ssize_t groups, real *out, Py_ssize_t ldo)
    double multiply_add_peak(Py_ssize_t repeats, real *sink)

# The contract's codes as C integers.
cdef enum:
    PANEL_ROWS = 128
    PANEL_GROUPS = 32  # PANEL_ROWS / GROUP
    LISTED_GROUPS = 256  # at most, in one list
    CACHED_WEIGHTS = 4096  # weights that stay in the first-level cache beside the deltas
cdef int SIGMOID = contract.SIGMOID, RELU = contract.RELU, TANH = contract.TANH
cdef int LEAKY_RELU = contract.LEAKY_RELU, SOFTMAX = contract.SOFTMAX
cdef int CROSS_ENTROPY = contract.CROSS_ENTROPY
cdef int GRADIENT_DESCENT = contract.GRADIENT_DESCENT, MOMENTUM = contract.MOMENTUM
cdef int N_IN = contract.N_IN, N_OUT = contract.N_OUT, ACTIVATION = contract.ACTIVATION
cdef int WEIGHTS = contract.WEIGHTS, BIASES = contract.BIASES, COST = contract.COST
cdef int WIDTH = contract.WIDTH, ACTIVATIONS_AT = contract.ACTIVATIONS_AT, DELTAS_AT = contract.DELTAS_AT
cdef int OUTPUTS_AT = contract.OUTPUTS_AT, PANEL_AT = contract.PANEL_AT
cdef int SCRATCH_AT = contract.SCRATCH_AT, WEIGHTS_AT = contract.WEIGHTS_AT, BIASES_AT = contract.BIASES_AT
cdef int KIND = contract.KIND, BETA1 = contract.BETA1, BETA2 = contract.BETA2, EPSILON = contract.EPSILON
cdef int NESTEROV = contract.NESTEROV, WEIGHT_DECAY = contract.WEIGHT_DECAY, CLIP_NORM = contract.CLIP_NORM
cdef int STOP = contract.STOP, STEPS = contract.STEPS, CORRECT = contract.CORRECT
assert contract.GROUP == GROUP and contract.LISTED_GROUPS == LISTED_GROUPS
assert contract.PANEL_ROWS == PANEL_ROWS == PANEL_GROUPS * GROUP and contract.PANEL_VECTORS >= TILE_VECTORS
assert contract.CACHED_WEIGHTS == CACHED_WEIGHTS and contract.MOST_LAYERS == MOST_LAYERS
cdef double slope = contract.LEAKY_SLOPE  # by way of a double: Cython takes every Python number for a `real` as float
LEAKY_SLOPE = <real> slope
instruction_set = FASTNET_ISA.decode()


cdef struct Layer:
    Py_ssize_t n_in, n_out
    Py_ssize_t groups  # of inputs
    Py_ssize_t below, width  # row lengths of its inputs and of its outputs
    int activation
    real *weights  # packed (GROUP * groups, width)
    real *biases  # (width,)
    real *inputs  # (rows, below): the activations of the layer below
    real *sums  # (rows, width): weighted sums; the last layer's stand apart, its cost is taken from them
    real *outputs  # (rows, width): activations
    real *deltas  # (rows, width): scale * d cost / d sums
    Py_ssize_t gradient  # offset from packed weights or biases to those of the packed gradient
    Py_ssize_t weights_at, biases_at  # in the flat parameter vector


cdef struct Data:  # one of bytes and reals, and one of labels and targets, is not NULL
    const uint8_t *bytes
    const real *reals
    const int64_t *labels
    const real *targets


cdef struct Block:  # what the functions below share
    Layer *layers
    Py_ssize_t n_layers
    Data data
    int cost
    uint8_t *flags  # (tiles + 1, width of the input): not zero where the input is not zero in some row of a tile
    real *panel


# -- tiles of rows ---------------------------------------------------------------------------------------------

cdef inline Py_ssize_t tiles_of(Py_ssize_t rows, Py_ssize_t most) noexcept nogil:
    return (rows + most - 1) // most


cdef inline Py_ssize_t tile_start(Py_ssize_t tile, Py_ssize_t rows, Py_ssize_t tiles) noexcept nogil:
    """Tiles of as equal height as can be: 10 rows are 5 + 5, not 6 + 4."""
    return rows * tile // tiles


cdef Py_ssize_t list_groups(const uint8_t *flags, Py_ssize_t n, int32_t *groups) noexcept nogil:
    """The groups among n with a flag set, or all of them without flags."""
    cdef Py_ssize_t g, found = 0
    cdef uint32_t four
    for g in range(n):
        groups[found] = <int32_t> g
        if flags == NULL:
            found += 1
        else:
            memcpy(&four, flags + g * GROUP, 4)
            found += four != 0
    return found


cdef const real *pack_panel(const real *source, Py_ssize_t ld, Py_ssize_t rows, Py_ssize_t width,
                            real *panel) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):
        memcpy(panel + i * width, source + i * ld, width * sizeof(real))
    return panel


# -- a block of rows through the layers ----------------------------------------------------------------------------

cdef inline void prefetch_row(const Block *b, Py_ssize_t row) noexcept nogil:
    cdef Py_ssize_t length = b.layers[0].n_in * (1 if b.data.bytes != NULL else sizeof(real)), i = 0
    cdef const uint8_t *start = b.data.bytes if b.data.bytes != NULL else <const uint8_t *> b.data.reals
    while i < length:
        PREFETCH(start + row * length + i)
        i += 64


cdef void gather(Block *b, const int64_t *order, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t ahead) noexcept nogil:
    """Rows order[first:first + rows] into the inputs, bytes scaled; the `ahead` rows after them are prefetched."""
    cdef Py_ssize_t n = b.layers[0].n_in, width = b.layers[0].below, tiles = tiles_of(rows, TILE_ROWS)
    cdef Py_ssize_t tile, i, k, row
    cdef uint8_t *flags
    cdef uint8_t *anywhere = b.flags + tiles * width
    cdef const uint8_t *source
    cdef const real *values
    cdef real *inputs
    cdef real scale = <real> (1.0 / 255)
    memset(b.flags, 0, (tiles + 1) * width)
    for tile in range(tiles):
        flags = b.flags + tile * width
        for i in range(tile_start(tile, rows, tiles), tile_start(tile + 1, rows, tiles)):
            row = order[first + i] if order != NULL else first + i
            if i < ahead:  # a row at a time, between the conversions: all at once they would wait for each other
                prefetch_row(b, order[first + rows + i])
            inputs = b.layers[0].inputs + i * width
            if b.data.bytes != NULL:
                source = b.data.bytes + row * n
                for k in range(n):
                    inputs[k] = source[k] * scale
                for k in range(n):
                    flags[k] |= source[k]
            else:
                values = b.data.reals + row * n
                for k in range(n):
                    inputs[k] = values[k]
                for k in range(n):
                    flags[k] |= values[k] != 0
        for k in range(n):
            anywhere[k] |= flags[k]


cdef void weighted_sums(Block *b, Layer *layer, Py_ssize_t rows) noexcept nogil:
    """sums = inputs . weights + biases"""
    cdef Py_ssize_t width = layer.width, tiles = tiles_of(rows, TILE_ROWS), step = TILE_VECTORS * VL
    cdef Py_ssize_t i, tile, start, k, n, column, columns, ldw, found
    cdef int32_t groups[LISTED_GROUPS]
    cdef const real *w
    cdef bint sparse = layer == b.layers
    cdef bint packing = width > step and tiles > 2
    cdef Py_ssize_t most = PANEL_GROUPS if packing else LISTED_GROUPS
    for i in range(rows):
        memcpy(layer.sums + i * width, layer.biases, width * sizeof(real))
    k = 0
    while k < layer.groups:
        n = min(most, layer.groups - k)
        column = 0
        while column < width:
            columns = min(step, width - column)
            w = layer.weights + k * GROUP * width + column
            ldw = width
            if packing:
                w = pack_panel(w, width, n * GROUP, columns, b.panel)
                ldw = columns
            for tile in range(tiles):
                start = tile_start(tile, rows, tiles)
                found = list_groups(b.flags + tile * width_of_flags(b) + k * GROUP if sparse else NULL, n, groups)
                forward_tile(<int> (tile_start(tile + 1, rows, tiles) - start), <int> (columns // VL),
                             layer.inputs + start * layer.below + k * GROUP, layer.below, groups, found, w, ldw,
                             layer.sums + start * width + column, width)
            column += columns
        k += n


cdef inline Py_ssize_t width_of_flags(Block *b) noexcept nogil:
    return b.layers[0].below


cdef void zero_padding(real *matrix, Py_ssize_t rows, Py_ssize_t width, Py_ssize_t used) noexcept nogil:
    cdef Py_ssize_t i
    if used < width:
        for i in range(rows):
            memset(matrix + i * width + used, 0, (width - used) * sizeof(real))


cdef void activate(Layer *layer, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t n = rows * layer.width, i, k
    cdef const real *z
    cdef real *a
    cdef real largest, total
    if layer.activation == SIGMOID:
        map_sigmoid(layer.sums, layer.outputs, n)
    elif layer.activation == RELU:
        map_relu(layer.sums, layer.outputs, n)
    elif layer.activation == TANH:
        map_tanh(layer.sums, layer.outputs, n)
    elif layer.activation == LEAKY_RELU:
        map_leaky_relu(layer.sums, layer.outputs, n)
    elif layer.activation == SOFTMAX:
        for i in range(rows):
            z = layer.sums + i * layer.width
            a = layer.outputs + i * layer.width
            largest = z[0]
            for k in range(1, layer.n_out):
                if z[k] > largest:
                    largest = z[k]
            for k in range(layer.width):
                a[k] = z[k] - largest
            map_exp(a, a, layer.width)
            total = 0
            for k in range(layer.n_out):
                total += a[k]
            for k in range(layer.n_out):
                a[k] /= total
    elif layer.outputs != layer.sums:  # identity
        memcpy(layer.outputs, layer.sums, n * sizeof(real))
    zero_padding(layer.outputs, rows, layer.width, layer.n_out)


cdef void times_slope(int activation, const real *a, real *delta, Py_ssize_t n) noexcept nogil:
    if activation == SIGMOID:
        slope_sigmoid(a, delta, n)
    elif activation == RELU:
        slope_relu(a, delta, n)
    elif activation == TANH:
        slope_tanh(a, delta, n)
    elif activation == LEAKY_RELU:
        slope_leaky_relu(a, delta, n)


cdef void forward(Block *b, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t l
    for l in range(b.n_layers):
        weighted_sums(b, &b.layers[l], rows)
        activate(&b.layers[l], rows)


cdef inline Py_ssize_t argmax(const real *a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k, best = 0
    for k in range(1, n):
        if a[k] > a[best]:
            best = k
    return best


cdef inline bint is_first_largest(const real *a, Py_ssize_t n, Py_ssize_t right) noexcept nogil:
    """argmax(a) == right, without a chain of branches."""
    cdef Py_ssize_t k
    cdef bint beaten = False
    for k in range(n):
        beaten |= (a[k] > a[right]) | ((a[k] == a[right]) & (k < right))
    return not beaten


cdef double row_cost(const Layer *layer, int cost, const real *z, const real *a, const real *error,
                     const real *targets, Py_ssize_t right) noexcept nogil:
    """The cost of one example: targets, or the label `right` where they are NULL; error = a - target."""
    cdef Py_ssize_t n = layer.n_out, k, best
    cdef double total = 0
    cdef real squares = 0
    if cost != CROSS_ENTROPY:
        for k in range(n):
            squares += error[k] * error[k]
        return squares
    if layer.activation == SOFTMAX:  # log a = z - z_best + log a_best, finite where a itself rounds to zero
        best = argmax(a, n)
        if targets == NULL:
            return <double> z[best] - z[right] - log(<double> a[best])
        for k in range(n):
            if targets[k] != 0:
                total += targets[k] * (<double> z[best] - z[k] - log(<double> a[best]))
        return total
    for k in range(n):
        total += (z[k] if z[k] > 0 else 0) + log1p(exp(-fabs(<double> z[k])))
        if targets != NULL:
            total -= <double> z[k] * targets[k]
    return total - z[right] if targets == NULL else total


cdef double output(Block *b, const int64_t *order, Py_ssize_t first, Py_ssize_t rows, double scale,
                   int64_t *correct) noexcept nogil:
    """The cost summed over the rows; the last layer's deltas, times scale; examples classified right are counted."""
    cdef Layer *layer = &b.layers[b.n_layers - 1]
    cdef Py_ssize_t n = layer.n_out, i, k, row, right
    cdef const real *a
    cdef const real *targets = NULL
    cdef real *error
    cdef double total = 0
    cdef real factor = <real> (scale if b.cost == CROSS_ENTROPY else 2 * scale), mean
    for i in range(rows):
        row = order[first + i] if order != NULL else first + i
        a = layer.outputs + i * layer.width
        error = layer.deltas + i * layer.width
        memcpy(error, a, layer.width * sizeof(real))
        if b.data.labels != NULL:
            right = b.data.labels[row]
            error[right] -= 1
        else:
            targets = b.data.targets + row * n
            right = argmax(targets, n)
            for k in range(n):
                error[k] -= targets[k]
        if n == 1:
            correct[0] += (a[0] >= 0.5) == ((targets[0] if targets != NULL else 1) >= 0.5)
        else:
            correct[0] += is_first_largest(a, n, right)
        total += row_cost(layer, b.cost, layer.sums + i * layer.width, a, error, targets, right)
        if b.cost != CROSS_ENTROPY and layer.activation == SOFTMAX:  # the softmax mixes its layer
            mean = 0
            for k in range(n):
                mean += error[k] * a[k]
            for k in range(n):
                error[k] = a[k] * (error[k] - mean)
        for k in range(n):
            error[k] *= factor
    zero_padding(layer.deltas, rows, layer.width, n)
    if b.cost != CROSS_ENTROPY:
        times_slope(layer.activation, layer.outputs, layer.deltas, rows * layer.width)
    return total


cdef void propagate(const Layer *layer, const Layer *lower, Py_ssize_t rows) noexcept nogil:
    """The deltas of the layer below: deltas . weights^T times the slopes there."""
    cdef Py_ssize_t tile, start, k, n, tiles = tiles_of(rows, DOT_ROWS)
    # A few rows of weights at a time stay in the cache while every tile of rows meets them.
    cdef Py_ssize_t most = max(<Py_ssize_t> 1, CACHED_WEIGHTS // (GROUP * layer.width))
    k = 0
    while k < layer.groups:
        n = min(most, layer.groups - k)
        for tile in range(tiles):
            start = tile_start(tile, rows, tiles)
            backward_tiles(<int> (tile_start(tile + 1, rows, tiles) - start), layer.deltas + start * layer.width,
                           layer.width, layer.weights + k * GROUP * layer.width, layer.width, layer.width, n,
                           lower.deltas + start * lower.width + k * GROUP, lower.width)
        k += n
    zero_padding(lower.deltas, rows, lower.width, layer.groups * GROUP)
    times_slope(lower.activation, lower.outputs, lower.deltas, rows * lower.width)


cdef void add_gradient(Block *b, const Layer *layer, Py_ssize_t rows, Py_ssize_t offset) noexcept nogil:
    """inputs^T . deltas and the deltas' sums, added at `offset` from the weights and biases (0: to themselves)."""
    cdef Py_ssize_t width = layer.width, step = TILE_VECTORS * VL
    cdef Py_ssize_t row, n, column, columns, k, found, ldd
    cdef int32_t groups[LISTED_GROUPS]
    cdef const real *deltas
    cdef real *weights = layer.weights + offset
    cdef const uint8_t *flags = NULL
    cdef bint packing = width > step and layer.groups > 2
    if layer == b.layers:
        flags = b.flags + tiles_of(rows, TILE_ROWS) * width_of_flags(b)
    add_rows(layer.deltas, rows, width, layer.biases + offset)
    row = 0
    while row < rows:
        n = min(<Py_ssize_t> PANEL_ROWS, rows - row)
        column = 0
        while column < width:
            columns = min(step, width - column)
            deltas = layer.deltas + row * width + column
            ldd = width
            if packing:
                deltas = pack_panel(deltas, width, n, columns, b.panel)
                ldd = columns
            k = 0
            while k < layer.groups:
                found = list_groups(flags + k * GROUP if flags != NULL else NULL,
                                    min(<Py_ssize_t> LISTED_GROUPS, layer.groups - k), groups)
                update_tiles(<int> (columns // VL), layer.inputs + row * layer.below + k * GROUP, layer.below, n,
                             groups, found, deltas, ldd, weights + k * GROUP * width + column, width)
                k += LISTED_GROUPS
            column += columns
        row += n


cdef void backward(Block *b, Py_ssize_t rows, bint fused) noexcept nogil:
    """The gradient added to the packed gradient, or (fused) straight to the parameters."""
    cdef Py_ssize_t l = b.n_layers - 1
    while l >= 0:
        if l > 0:  # before this layer's weights change
            propagate(&b.layers[l], &b.layers[l - 1], rows)
        add_gradient(b, &b.layers[l], rows, 0 if fused else b.layers[l].gradient)
        l -= 1


# -- optimisers: one step of n parameters; g is the gradient --------------------------------------------------------------

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


cdef void update(real *p, const real *g, real *m, real *v, Py_ssize_t n, const double *options, double gradient_scale,
                 double decay, double rate, double count) noexcept nogil:
    """p moves by the optimiser's step for gradient_scale * g + decay * p."""
    cdef real scale = <real> gradient_scale, wd = <real> decay, speed = <real> rate
    cdef real beta1 = <real> options[BETA1], beta2 = <real> options[BETA2], epsilon = <real> options[EPSILON]
    cdef real one_minus_beta1 = <real> (1 - options[BETA1]), one_minus_beta2 = <real> (1 - options[BETA2])
    cdef real root, gi
    cdef Py_ssize_t i
    if options[KIND] == GRADIENT_DESCENT:
        for i in range(n):
            p[i] -= speed * (scale * g[i] + wd * p[i])
    elif options[KIND] == MOMENTUM:  # v = beta v + g; the step is v, or beta v + g once more (Nesterov)
        if options[NESTEROV] != 0:
            for i in range(n):
                gi = scale * g[i] + wd * p[i]
                m[i] = beta1 * m[i] + gi
                p[i] -= speed * (gi + beta1 * m[i])
        else:
            for i in range(n):
                m[i] = beta1 * m[i] + (scale * g[i] + wd * p[i])
                p[i] -= speed * m[i]
    else:  # Kingma and Ba (2015), algorithm 1, the bias corrections taken out of the loop
        speed = <real> (rate / (1 - options[BETA1] ** count))
        root = <real> (1 / sqrt(1 - options[BETA2] ** count))
        for i in range(n):
            gi = scale * g[i] + wd * p[i]
            m[i] = beta1 * m[i] + one_minus_beta1 * gi
            v[i] = beta2 * v[i] + one_minus_beta2 * gi * gi
            p[i] -= speed * m[i] / (<real> sqrt(v[i]) * root + epsilon)


cdef void optimizer_step(Block *b, real *work, Py_ssize_t packed, const double *options, double rate,
                         double count) noexcept nogil:
    cdef double scale = 1, norm
    cdef real *g
    cdef real *m
    cdef real *v
    cdef Py_ssize_t l, weights, at
    cdef Layer *layer
    if options[CLIP_NORM] > 0:
        norm = sqrt(square_sum(work + packed, packed))
        if norm > options[CLIP_NORM]:
            scale = options[CLIP_NORM] / norm
    for l in range(b.n_layers):
        layer = &b.layers[l]
        weights = layer.groups * GROUP * layer.width
        at = layer.weights - work
        g = layer.weights + layer.gradient
        m = work + 3 * packed + at
        v = work + 4 * packed + at
        update(layer.weights, g, m, v, weights, options, scale, options[WEIGHT_DECAY], rate, count)
        update(layer.biases, g + weights, m + weights, v + weights, layer.width, options, scale, 0, rate, count)


# -- packing: (n_out, n_in) rows into (inputs in whole groups, padded neurons) and back --------------------------------

cdef void pack(const Layer *layer, const real *flat, Py_ssize_t offset) noexcept nogil:
    cdef Py_ssize_t width = layer.width, i, j, start
    cdef real *weights = layer.weights + offset
    cdef const real *source = flat + layer.weights_at
    memset(weights, 0, (layer.groups * GROUP + 1) * width * sizeof(real))  # the biases follow the weights
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


# -- the contract ------------------------------------------------------------------------------------------------------

# The layers of a call live on the C stack, which bounds their number.
cdef enum:
    MOST_LAYERS = 256


cdef Py_ssize_t prepare(Block *b, Layer *layers, const int64_t[:, ::1] net, const int64_t[:, ::1] nodes,
                        Py_ssize_t rows, Py_ssize_t packed, real *work) noexcept nogil:
    cdef Py_ssize_t l, last = net.shape[0] - 1
    cdef Layer *layer
    b.layers = layers
    b.n_layers = net.shape[0]
    b.cost = <int> net[last, COST]
    b.flags = <uint8_t *> (work + nodes[0, SCRATCH_AT])
    b.panel = work + nodes[0, PANEL_AT]
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
        layer.gradient = packed
        layer.weights_at = net[l, WEIGHTS]
        layer.biases_at = net[l, BIASES]
    memset(layers[0].inputs, 0, rows * layers[0].below * sizeof(real))  # once: only the padding stays zero


cdef void pack_all(Block *b, const real *flat, Py_ssize_t offset) noexcept nogil:
    cdef Py_ssize_t l
    for l in range(b.n_layers):
        pack(&b.layers[l], flat, offset)


cdef void unpack_all(Block *b, real *flat, Py_ssize_t offset) noexcept nogil:
    cdef Py_ssize_t l
    for l in range(b.n_layers):
        unpack(&b.layers[l], flat, offset)


cdef int inputs_of(Data *data, x) except -1:
    cdef const uint8_t[:, ::1] octets
    cdef const real[:, ::1] reals
    data.bytes = NULL
    data.reals = NULL
    if x.dtype == np.uint8:
        octets = x
        data.bytes = &octets[0, 0]
    else:
        reals = x
        data.reals = &reals[0, 0]
    return 0


cdef int outputs_of(Data *data, y) except -1:
    cdef const int64_t[::1] labels
    cdef const real[:, ::1] targets
    data.labels = NULL
    data.targets = NULL
    if y.ndim == 1:
        labels = y
        data.labels = &labels[0]
    else:
        targets = y
        data.targets = &targets[0, 0]
    return 0


def predict(net, params, x, out, work):
    cdef object p = contract.plan(net, len(x), 0, sizeof(real))
    cdef const int64_t[:, ::1] layers_view = net, nodes = p.nodes
    cdef const real[::1] params_view = params
    cdef real[::1] space = work
    cdef real[:, ::1] result = out
    cdef Py_ssize_t n = x.shape[0], rows = p.rows, packed = p.packed, start = 0, count, i
    cdef Layer layers[MOST_LAYERS]
    cdef Layer *last = &layers[net.shape[0] - 1]
    cdef Block b
    cdef fp_state before
    inputs_of(&b.data, x)
    with nogil:
        before = flush_denormals()
        prepare(&b, layers, layers_view, nodes, rows, packed, &space[0])
        pack_all(&b, &params_view[0], 0)
        while start < n:
            count = min(rows, n - start)
            gather(&b, NULL, start, count, 0)
            forward(&b, count)
            for i in range(count):
                memcpy(&result[start + i, 0], last.outputs + i * last.width, last.n_out * sizeof(real))
            start += count
        restore_denormals(before)


def gradient(net, params, x, y, grad, work):
    cdef object p = contract.plan(net, len(x), 0, sizeof(real))
    cdef const int64_t[:, ::1] layers_view = net, nodes = p.nodes
    cdef const real[::1] params_view = params
    cdef real[::1] space = work, result = grad
    cdef Py_ssize_t n = x.shape[0], rows = p.rows, packed = p.packed, start = 0, count
    cdef Layer layers[MOST_LAYERS]
    cdef Block b
    cdef fp_state before
    cdef double total = 0
    cdef int64_t correct = 0
    inputs_of(&b.data, x)
    outputs_of(&b.data, y)
    with nogil:
        before = flush_denormals()
        prepare(&b, layers, layers_view, nodes, rows, packed, &space[0])
        pack_all(&b, &params_view[0], 0)
        memset(&space[packed], 0, packed * sizeof(real))
        while start < n:
            count = min(rows, n - start)
            gather(&b, NULL, start, count, 0)
            forward(&b, count)
            total += output(&b, NULL, start, count, 1.0 / n, &correct)
            backward(&b, count, False)
            start += count
        unpack_all(&b, &result[0], packed)
        restore_denormals(before)
    return total / n


def train(net, params, state, x, y, order, batch_size, rates, optimizer, step, progress, work, team, member):
    cdef object p = contract.plan(net, batch_size, len(state), sizeof(real))
    cdef const int64_t[:, ::1] layers_view = net, nodes = p.nodes
    cdef real[::1] params_view = params, space = work
    cdef real[:, ::1] slots = state
    cdef const int64_t[::1] sequence = order
    cdef const double[::1] rate = rates, options = optimizer
    cdef int64_t[::1] report = progress
    cdef Py_ssize_t n = order.shape[0], size = batch_size, rows = p.rows, packed = p.packed
    cdef Py_ssize_t start = 0, stop, first, count, ahead, k
    cdef int64_t steps = 0, correct = 0, right, done_before = step
    cdef double total = 0, cost, scale
    cdef bint fused, stopped = False
    cdef Layer layers[MOST_LAYERS]
    cdef Block b
    cdef fp_state before
    inputs_of(&b.data, x)
    outputs_of(&b.data, y)
    fused = (options[KIND] == GRADIENT_DESCENT and options[CLIP_NORM] == 0 and options[WEIGHT_DECAY] == 0
             and size <= rows)
    with nogil:
        before = flush_denormals()
        prepare(&b, layers, layers_view, nodes, rows, packed, &space[0])
        pack_all(&b, &params_view[0], 0)
        for k in range(slots.shape[0]):
            pack_all(&b, &slots[k, 0], (3 + k) * packed)
        while start < n and not stopped:
            stop = min(start + size, n)
            scale = (-rate[steps] if fused else 1.0) / (stop - start)
            if not fused:
                memset(&space[packed], 0, packed * sizeof(real))
            cost = 0
            right = 0
            first = start
            while first < stop:
                if read_now(&report[STOP]):
                    stopped = True
                    break
                count = min(rows, stop - first)
                ahead = min(rows, n - first - count)
                gather(&b, &sequence[0], first, count, ahead)
                forward(&b, count)
                cost += output(&b, &sequence[0], first, count, scale, &right)
                if not isfinite(cost):
                    stopped = True
                    break
                backward(&b, count, fused)
                first += count
            if stopped:
                break
            if not fused:
                optimizer_step(&b, &space[0], packed, &options[0], rate[steps], <double> (done_before + steps + 1))
            total += cost
            correct += right
            steps += 1
            start = stop
        unpack_all(&b, &params_view[0], 0)
        for k in range(slots.shape[0]):
            unpack_all(&b, &slots[k, 0], (3 + k) * packed)
        restore_denormals(before)
    report[STEPS] = steps
    report[CORRECT] = correct
    return total


def peak_flops(repeats):
    """Runs `repeats` rounds of independent multiply-adds in registers and returns the operations done."""
    cdef real sink[64]
    cdef Py_ssize_t n = repeats
    cdef double done
    with nogil:
        done = multiply_add_peak(n, sink)
    return done
