/* The vector code for small dense layers: the rows of a batch lie along the lanes of a vector. vec.h has the code for
 * all other layers, where the neurons lie along the lanes. */
#ifndef FASTNET_NARROW_H
#define FASTNET_NARROW_H
#include "few_rows.h"

/* A column is one number (an input, a neuron's activation, its delta) of all rows of a block. An area holds the columns
 * of a layer, `ld` elements apart. Rows come in groups of VL, one vector a column. The last group of a block may have
 * fewer rows: its other lanes repeat the last row, so that they hold nothing that the rows do not hold, and their deltas
 * are 0. Weights stay as they are in the vector of parameters, (n_out, n_in). */
#define COLUMN_TILE 4 /* a tile has up to COLUMN_TILE columns and up to COLUMN_GROUPS groups of rows */
#define COLUMN_GROUPS (REGISTERS == 32 ? 4 : 2)
enum { CLASSIFICATION_TASK, REGRESSION_TASK, MULTILABEL_TASK }; /* the import checks that they equal contract.py's */
#define SUMS_TILE 16 /* a tile of a gradient: COLUMN_TILE neurons by COLUMN_TILE inputs */

INLINE vbits load_bits(const bits *p) {
#ifdef VECTOR_BYTES
    return *(const vbits_unaligned *)p;
#else
    return *p;
#endif
}
/* -- moves between lanes ------------------------------------------------------------------------------------------ */
/* Write rows order[0] to order[count - 1] of x (rows, n) as columns, 1 <= count <= VL. */
static void turn_rows(const real *x, ptrdiff_t n, const int64_t *order, ptrdiff_t count, real *out, ptrdiff_t ld) {
    const real *row[VL];
    for (int k = 0; k < VL; k++) row[k] = x + order[k < count ? k : count - 1] * n;
    for (ptrdiff_t i = 0; i < n; i += VL) {
        vec v[VL];
        ptrdiff_t height = within(n - i, VL);
        if (height == VL) {
            UNROLL
            for (int k = 0; k < VL; k++) v[k] = vload(row[k] + i);
        } else {
            UNROLL
            for (int k = 0; k < VL; k++) v[k] = load_part(row[k] + i, height);
        }
        turn(v);
        UNROLL
        for (int k = 0; k < VL; k++)
            if (k < height) vstore(out + (i + k) * ld, v[k]);
    }
}

/* turn_rows for bytes; a byte b becomes b * scale. */
static void turn_bytes(const uint8_t *x, ptrdiff_t n, const int64_t *order, ptrdiff_t count, real scale, real *out,
                       ptrdiff_t ld) {
    const uint8_t *row[VL];
    for (int k = 0; k < VL; k++) row[k] = x + order[k < count ? k : count - 1] * n;
    for (ptrdiff_t i = 0; i < n; i += VL) {
        vec v[VL];
        ptrdiff_t height = within(n - i, VL);
        for (int k = 0; k < VL; k++) {
            real lanes[VL] = {0};
            if (height == VL)
                for (int j = 0; j < VL; j++) lanes[j] = row[k][i + j] * scale;
            else
                for (ptrdiff_t j = 0; j < height; j++) lanes[j] = row[k][i + j] * scale;
            v[k] = vload(lanes);
        }
        turn(v);
        UNROLL
        for (int k = 0; k < VL; k++)
            if (k < height) vstore(out + (i + k) * ld, v[k]);
    }
}

/* -- products ------------------------------------------------------------------------------------------------------ */
/* out[J columns][G groups] = start + the sum over n columns of w x. w is at (j, i) = w[j * ldj + i * ldi]. */
INLINE void column_tile_(const int J, const int G, const real *w, ptrdiff_t ldj, ptrdiff_t ldi, ptrdiff_t n,
                         const real *start, const real *x, real *out, ptrdiff_t ld) {
    vec acc[COLUMN_TILE][4];
    UNROLL
    for (int j = 0; j < J; j++)
        UNROLL
        for (int g = 0; g < G; g++) acc[j][g] = vsplat(start ? start[j] : 0);
    for (ptrdiff_t i = 0; i < n; i++, x += ld, w += ldi) {
        vec xv[4];
        UNROLL
        for (int g = 0; g < G; g++) xv[g] = vload(x + g * VL);
        UNROLL
        for (int j = 0; j < J; j++)
            UNROLL
            for (int g = 0; g < G; g++) acc[j][g] += w[j * ldj] * xv[g];
    }
    UNROLL
    for (int j = 0; j < J; j++)
        UNROLL
        for (int g = 0; g < G; g++) vstore(out + j * ld + g * VL, acc[j][g]);
}
#define COLUMN_CASE(J, G) \
    case J * 8 + G: column_tile_(J, G, w, ldj, ldi, n, start, x, out, ld); break;
#define COLUMN_CASES(J) COLUMN_CASE(J, 1) COLUMN_CASE(J, 2) COLUMN_CASE(J, 3) COLUMN_CASE(J, 4)
static void column_tile(int columns, int groups, const real *w, ptrdiff_t ldj, ptrdiff_t ldi, ptrdiff_t n,
                        const real *start, const real *x, real *out, ptrdiff_t ld) {
    switch (columns * 8 + groups) { COLUMN_CASES(1) COLUMN_CASES(2) COLUMN_CASES(3) COLUMN_CASES(4) }
}

/* out = start + w x for `columns` columns and a tile of groups; w is as in column_tile_ */
INLINE void narrow_product(const real *w, ptrdiff_t ldj, ptrdiff_t ldi, ptrdiff_t n, ptrdiff_t columns,
                           const real *start, const real *x, real *out, ptrdiff_t ld, int groups) {
    for (ptrdiff_t j = 0; j < columns; j += COLUMN_TILE) {
        int height = columns - j < COLUMN_TILE ? (int)(columns - j) : COLUMN_TILE;
        column_tile(height, groups, w + j * ldj, ldj, ldi, n, start ? start + j : NULL, x, out + j * ld, ld);
    }
}

/* grad[J neurons][I inputs] = (or += if `add`) the sum over the rows of delta x */
INLINE void gradient_tile_(const int J, const int I, const real *delta, const real *x, ptrdiff_t ld, ptrdiff_t groups,
                           int add, real *grad, ptrdiff_t ldg) {
    real sums[SUMS_TILE + VL];
    vec acc[SUMS_TILE + VL];
    UNROLL
    for (int k = 0; k < SUMS_TILE; k++) acc[k] = vsplat(0);
    for (ptrdiff_t g = 0; g < groups; g++, delta += VL, x += VL) {
        vec xv[COLUMN_TILE];
        UNROLL
        for (int i = 0; i < I; i++) xv[i] = vload(x + i * ld);
        UNROLL
        for (int j = 0; j < J; j++) {
            vec d = vload(delta + j * ld);
            UNROLL
            for (int i = 0; i < I; i++) acc[j * COLUMN_TILE + i] += d * xv[i];
        }
    }
    UNROLL
    for (int k = 0; k < J * COLUMN_TILE; k += VL) vstore(sums + k, lane_sums(acc + k));
    UNROLL
    for (int j = 0; j < J; j++) {
        if (add) {
            UNROLL
            for (int i = 0; i < I; i++) grad[j * ldg + i] += sums[j * COLUMN_TILE + i];
        } else memcpy(grad + j * ldg, sums + j * COLUMN_TILE, I * sizeof(real));
    }
}
#define GRADIENT_CASE(J, I) \
    case J * 8 + I: gradient_tile_(J, I, delta, x, ld, groups, add, grad, ldg); break;
#define GRADIENT_CASES(J) GRADIENT_CASE(J, 1) GRADIENT_CASE(J, 2) GRADIENT_CASE(J, 3) GRADIENT_CASE(J, 4)
INLINE void gradient_tile(int neurons, int inputs, const real *delta, const real *x, ptrdiff_t ld, ptrdiff_t groups,
                          int add, real *grad, ptrdiff_t ldg) {
    switch (neurons * 8 + inputs) { GRADIENT_CASES(1) GRADIENT_CASES(2) GRADIENT_CASES(3) GRADIENT_CASES(4) }
}

/* grad[neurons][n] = (or += if `add`) the sum over the rows of delta x, for n inputs */
static void narrow_gradient(const real *delta, ptrdiff_t neurons, const real *x, ptrdiff_t n, ptrdiff_t ld,
                            ptrdiff_t groups, int add, real *grad) {
    for (ptrdiff_t j = 0; j < neurons; j += COLUMN_TILE) {
        int height = neurons - j < COLUMN_TILE ? (int)(neurons - j) : COLUMN_TILE;
        for (ptrdiff_t i = 0; i < n; i += COLUMN_TILE) {
            int width = n - i < COLUMN_TILE ? (int)(n - i) : COLUMN_TILE;
            gradient_tile(height, width, delta + j * ld, x + i * ld, ld, groups, add, grad + j * n + i, n);
        }
    }
}

/* grad[neurons] = (or += if `add`) the sum over the rows of delta */
static void narrow_biases(const real *delta, ptrdiff_t neurons, ptrdiff_t ld, ptrdiff_t groups, int add, real *grad) {
    for (ptrdiff_t j = 0; j < neurons; j += VL) {
        ptrdiff_t height = within(neurons - j, VL);
        vec v[VL];
        UNROLL
        for (int k = 0; k < VL; k++) {
            v[k] = vsplat(0);
            if (k < height)
                for (ptrdiff_t g = 0; g < groups; g++) v[k] += vload(delta + (j + k) * ld + g * VL);
        }
        vec sums = lane_sums(v);
        if (add) sums += load_part(grad + j, height);
        store_part(grad + j, sums, height);
    }
}

/* step_row for any n; accesses no element beyond n */
static void narrow_step(const step_t *s, real *p, const real *g, real *m, real *v, ptrdiff_t n) {
    ptrdiff_t whole = n / VL * VL, rest = n - whole;
    step_row(s, p, g, m, v, whole);
    if (rest == 0) return;
    real tail[4][VL] = {{0}};
    vstore(tail[0], load_part(p + whole, rest));
    vstore(tail[1], load_part(g + whole, rest));
    if (s->kind != PLAIN) vstore(tail[2], load_part(m + whole, rest));
    if (s->kind == WITH_ADAM) vstore(tail[3], load_part(v + whole, rest));
    step_row(s, tail[0], tail[1], tail[2], tail[3], VL);
    store_part(p + whole, vload(tail[0]), rest);
    if (s->kind != PLAIN) store_part(m + whole, vload(tail[2]), rest);
    if (s->kind == WITH_ADAM) store_part(v + whole, vload(tail[3]), rest);
}

/* -- dropout: apply_dropout for columns ---------------------------------------------------------------------------- */
static void narrow_dropout(const drop_t *d, int activation, real *a, real *derivatives, ptrdiff_t n, ptrdiff_t ld,
                           ptrdiff_t groups, uint32_t row) {
    for (ptrdiff_t j = 0; j < n; j += 4)
        for (ptrdiff_t g = 0; g < groups; g++) {
            real factors[4][VL];
            for (int k = 0; k < VL; k++) {
                uint32_t words[4];
                random_words(1, d, row + (uint32_t)(g * VL + k), (uint32_t)(j / 4), words);
                for (int q = 0; q < 4; q++) factors[q][k] = words[q] < d->threshold ? 0 : d->scale;
            }
            for (int q = 0; q < 4 && j + q < n; q++) {
                ptrdiff_t at = (j + q) * ld + g * VL;
                vec v = vload(a + at), factor = vload(factors[q]);
                vstore(derivatives + at, factor * derivative(activation, v));
                vstore(a + at, factor * v);
            }
        }
}

/* -- the output layer ----------------------------------------------------------------------------------------------- */
/* a = softmax(z) for n columns, one group of rows */
INLINE void narrow_softmax(const real *z, real *a, ptrdiff_t n, ptrdiff_t ld) {
    vec largest = vload(z), total = vsplat(0);
    for (ptrdiff_t k = 1; k < n; k++) largest = vmax(largest, vload(z + k * ld));
    for (ptrdiff_t k = 0; k < n; k++) {
        vec e = vexp(vload(z + k * ld) - largest);
        total += e;
        vstore(a + k * ld, e);
    }
    total = 1 / total;
    for (ptrdiff_t k = 0; k < n; k++) vstore(a + k * ld, vload(a + k * ld) * total);
}

/* outputs = activation(sums), sums = biases + weights x, for all groups of rows. `outputs` may be `sums`. */
static void narrow_forward(int activation, const real *weights, const real *biases, ptrdiff_t n_in, ptrdiff_t n_out,
                           const real *x, real *sums, real *outputs, ptrdiff_t ld, ptrdiff_t groups) {
    ptrdiff_t tiles = (groups + COLUMN_GROUPS - 1) / COLUMN_GROUPS;
    for (ptrdiff_t t = 0; t < tiles; t++) { /* the groups of a tile stay in the first-level cache */
        ptrdiff_t first = groups * t / tiles, at = first * VL;
        int count = (int)(groups * (t + 1) / tiles - first);
        narrow_product(weights, n_in, 1, n_in, n_out, biases, x + at, sums + at, ld, count);
        if (activation == SOFTMAX)
            for (int g = 0; g < count; g++) narrow_softmax(sums + at + g * VL, outputs + at + g * VL, n_out, ld);
        else activate_tile(activation, sums + at, outputs + at, ld, n_out, count * VL, count * VL);
    }
}

/* The deltas of the n_in neurons below: weights^T deltas, times the derivative of their activation at `outputs` */
static void narrow_backward(int activation, const real *weights, ptrdiff_t n_in, ptrdiff_t n_out, const real *deltas,
                            const real *outputs, real *below, ptrdiff_t ld, ptrdiff_t groups) {
    ptrdiff_t tiles = (groups + COLUMN_GROUPS - 1) / COLUMN_GROUPS;
    for (ptrdiff_t t = 0; t < tiles; t++) {
        ptrdiff_t first = groups * t / tiles, at = first * VL;
        int count = (int)(groups * (t + 1) / tiles - first);
        narrow_product(weights, 1, n_in, n_out, n_in, NULL, deltas + at, below + at, ld, count);
        times_derivative(activation, outputs + at, below + at, ld, n_in, count * VL);
    }
}

typedef struct { /* the output layer of a block; arrays of one number a row are `groups` vectors long */
    int cost, task, activation;
    ptrdiff_t n, ld, rows, groups;
    double number;
    const real *sums, *outputs;
    real *deltas;         /* targets on entry, without labels */
    const bits *labels;   /* the class of each row, or NULL */
    const double *weights; /* of the rows; NULL: every weight is 1 */
    const real *relative;  /* weights over their mean, and */
    const real *factors;   /* weights times the scale of the deltas; neither is read without weights */
    real scale;
    double cost_sum, score, right_labels; /* results; the cost is in units of the mean weight */
} narrow_output_t;

INLINE vec narrow_target(const narrow_output_t *o, ptrdiff_t at, ptrdiff_t k) { /* of output k */
    return o->labels ? vmask(load_bits(o->labels + at) == (bits)k) : vload(o->deltas + k * o->ld + at);
}

/* The cost of a group of rows by cross entropy or Poisson's cost, as `output` of cython_backend.pyx */
INLINE vec narrow_log_cost(const narrow_output_t *o, ptrdiff_t at) {
    const real *z = o->sums + at, *a = o->outputs + at;
    const ptrdiff_t n = o->n, ld = o->ld;
    vec total = vsplat(0), limit = vsplat((real)o->number), log_sum = total;
    if (o->cost == CROSS_ENTROPY && o->activation == SOFTMAX) {
        vec top = vload(z), share = vload(a);
        for (ptrdiff_t k = 1; k < n; k++) {
            top = vmax(top, vload(z + k * ld));
            share = vmax(share, vload(a + k * ld));
        }
        log_sum = top - vlog(share);
    }
    for (ptrdiff_t k = 0; k < n; k++, z += ld, a += ld) {
        vec zk = vload(z), t = narrow_target(o, at, k);
        if (o->cost == POISSON) total += poisson(zk, vload(a), t);
        else if (o->activation == SOFTMAX) total += vselect(t == 0, vsplat(0), t * vmin(log_sum - zk, limit));
        else total += sigmoid_entropy(zk, t, limit);
    }
    return total;
}

/* 1 for a row that is classified right, else 0. For a multilabel network, `labels` is the number of its right labels. */
INLINE vec narrow_score(const narrow_output_t *o, ptrdiff_t at, vec *labels) {
    const real *z = o->sums + at;
    const ptrdiff_t n = o->n, ld = o->ld;
    vec best = vload(z), most = narrow_target(o, at, 0), half = vsplat(REAL(0.5)), zero = vsplat(0);
    *labels = zero;
    if (o->task == MULTILABEL_TASK) {
        vec right = zero;
        for (ptrdiff_t k = 0; k < n; k++)
            right += vmask((vload(z + k * ld) >= zero) == (narrow_target(o, at, k) >= half));
        *labels = right;
        return vmask(right == vsplat((real)n));
    }
    if (n == 1) return vmask((best >= zero) == (most >= half));
    vec class = zero, label = zero;
    for (ptrdiff_t k = 1; k < n; k++) {
        vec zk = vload(z + k * ld), t = narrow_target(o, at, k);
        class = vselect(zk > best, vsplat((real)k), class);
        best = vselect(zk > best, zk, best);
        label = vselect(t > most, vsplat((real)k), label);
        most = vselect(t > most, t, most);
    }
    return vmask(class == label);
}

INLINE void add_doubles(double *sums, vec x, const double *weights) {
    real lanes[VL];
    vstore(lanes, x);
    if (weights)
        for (int k = 0; k < VL; k++) sums[k] += weights[k] * lanes[k];
    else
        for (int k = 0; k < VL; k++) sums[k] += lanes[k];
}

/* Set the deltas of the output layer, and the results in `o`: `output` of cython_backend.pyx for columns */
static void narrow_output(narrow_output_t *o) {
    /* In the derivative of cross entropy and of Poisson's cost, the derivative of the activation cancels. */
    const int cancels = o->cost == CROSS_ENTROPY || o->cost == POISSON;
    const int mixing = o->activation == SOFTMAX && !cancels;
    const int activation = cancels || mixing ? IDENTITY : o->activation;
    const ptrdiff_t n = o->n, ld = o->ld;
    const vec number = vsplat((real)o->number), zero = vsplat(0);
    double costs[VL] = {0}, scores[VL] = {0}, right_sums[VL] = {0};
    for (ptrdiff_t g = 0; g < o->groups; g++) {
        ptrdiff_t at = g * VL;
        const double *weights = o->weights ? o->weights + at : NULL;
        vbits live = LANE < (bits)within(o->rows - at, VL); /* lanes that hold a row of their own */
        vec factor = o->weights ? vload(o->factors + at) : vsplat(o->scale);
        vec relative = o->weights ? vload(o->relative + at) : vsplat(1);
        vec cost = cancels ? narrow_log_cost(o, at) : zero, square = zero, mean = zero, right_labels;
        if (o->task != REGRESSION_TASK) {
            vec right = narrow_score(o, at, &right_labels);
            add_doubles(scores, vselect(live, right, zero), weights);
            if (o->task == MULTILABEL_TASK) add_doubles(right_sums, vselect(live, right_labels, zero), weights);
        }
        for (ptrdiff_t k = 0; k < n; k++) {
            vec a = vload(o->outputs + k * ld + at), e = a - narrow_target(o, at, k);
            vec d = cost_derivative(o->cost, number, e);
            if (!cancels) cost += cost_of_error(o->cost, e, d);
            square += e * e;
            d = vselect(live, d * factor * derivative(activation, a), zero);
            mean += d * a;
            vstore(o->deltas + k * ld + at, d);
        }
        if (mixing)
            for (ptrdiff_t k = 0; k < n; k++) {
                real *d = o->deltas + k * ld + at;
                vstore(d, vselect(live, vload(o->outputs + k * ld + at) * (vload(d) - mean), zero));
            }
        add_doubles(costs, vselect(live, relative * cost, zero), NULL);
        if (o->task == REGRESSION_TASK) add_doubles(scores, vselect(live, relative * square, zero), NULL);
    }
    o->cost_sum = o->score = o->right_labels = 0;
    for (int k = 0; k < VL; k++) {
        o->cost_sum += costs[k];
        o->score += scores[k];
        o->right_labels += right_sums[k];
    }
}
#endif
