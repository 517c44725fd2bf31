/* Vector code between the flat parameters, where a row has the weights of one neuron, and the packed parameters, where
 * a row has the weights of one input. `sums_of_few` needs no packed weights. */
#ifndef FASTNET_FEW_ROWS_H
#define FASTNET_FEW_ROWS_H
#include "vec.h"

/* The first n elements at p, then zeros. It reads nothing behind these elements. n is at most VL. */
INLINE vec load_part(const real *p, ptrdiff_t n) {
#if VECTOR_BYTES == 64 && defined(FASTNET_FLOAT64)
    return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#elif VECTOR_BYTES == 64
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    real lanes[VL] = {0};
    for (ptrdiff_t k = 0; k < n; k++) lanes[k] = p[k];
    return vload(lanes);
#endif
}

INLINE void store_part(real *p, vec v, ptrdiff_t n) {
#if VECTOR_BYTES == 64 && defined(FASTNET_FLOAT64)
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#elif VECTOR_BYTES == 64
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    real lanes[VL];
    vstore(lanes, v);
    for (ptrdiff_t k = 0; k < n; k++) p[k] = lanes[k];
#endif
}

/* to[width] = from[n] and zeros, in whole vectors. A load of a vector just after memcpy and memset have stored its
 * parts would wait for them. */
static void copy_padded(const real *from, ptrdiff_t n, real *to, ptrdiff_t width) {
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vstore(to + i, vload(from + i));
    if (i < n) vstore(to + i, load_part(from + i, n - i)), i += VL;
    for (; i < width; i += VL) vstore(to + i, vsplat(0));
}

INLINE ptrdiff_t within(ptrdiff_t n, ptrdiff_t limit) { return n < 0 ? 0 : n < limit ? n : limit; }

#ifdef SWAP_LANES
#  define EACH_STEP(STEP) STEP(1) STEP_2(STEP) STEP_4(STEP) STEP_8(STEP)
#  if VECTOR_ELEMENTS >= 4
#    define STEP_2(STEP) STEP(2)
#  else
#    define STEP_2(STEP)
#  endif
#  if VECTOR_ELEMENTS >= 8
#    define STEP_4(STEP) STEP(4)
#  else
#    define STEP_4(STEP)
#  endif
#  if VECTOR_ELEMENTS >= 16
#    define STEP_8(STEP) STEP(8)
#  else
#    define STEP_8(STEP)
#  endif
INLINE void turn(vec v[VL]) { EACH_STEP(SWAP_LANES) }

#else
INLINE void turn(vec v[VL]) {
    real square[VL * VL], turned[VL * VL];
    for (int i = 0; i < VL; i++) vstore(square + i * VL, v[i]);
    for (int i = 0; i < VL; i++)
        for (int k = 0; k < VL; k++) turned[k * VL + i] = square[i * VL + k];
    for (int i = 0; i < VL; i++) v[i] = vload(turned + i * VL);
}
#endif

/* Lane k of the result is the sum of the lanes of v[k]. */
INLINE vec lane_sums(vec *v) {
#ifdef SWAP_LANES
/* The sum of a blend, [a0 a1 b2 b3], and a shuffle, [a2 a3 b0 b1]. Two shuffles would take twice the time. */
#  define BLEND(s, i) ((i) & (s) ? VL + (i) : (i))
#  define CROSS(s, i) ((i) & (s) ? VL + (i) - (s) : (i) + (s))
#  define ADD_LANES(s)                                                          \
      UNROLL                                                                    \
      for (int i = 0; i < s; i++)                                               \
          v[i] = __builtin_shufflevector(v[i], v[i + s], LANES(BLEND, s)) +     \
                 __builtin_shufflevector(v[i], v[i + s], LANES(CROSS, s));
#  if VECTOR_ELEMENTS >= 16
    ADD_LANES(8)
#  endif
#  if VECTOR_ELEMENTS >= 8
    ADD_LANES(4)
#  endif
#  if VECTOR_ELEMENTS >= 4
    ADD_LANES(2)
#  endif
    ADD_LANES(1)
    return v[0];
#else
    real sums[VL], lanes[VL];
    for (int k = 0; k < VL; k++) {
        sums[k] = 0;
        vstore(lanes, v[k]);
        for (int i = 0; i < VL; i++) sums[k] += lanes[i];
    }
    return vload(sums);
#endif
}

/* packed[first:last][width] = the transpose of weights[n_out][n_in]. `first` and `last` are whole vectors of inputs;
 * inputs from n_in on and neurons from n_out on are padding and become zero. */
static void pack_weights(const real *weights, ptrdiff_t n_in, ptrdiff_t n_out, real *packed, ptrdiff_t width,
                         ptrdiff_t first, ptrdiff_t last) {
    for (ptrdiff_t i = first; i < last; i += VL) {
        ptrdiff_t columns = within(n_in - i, VL);
        for (ptrdiff_t j = 0; j < width; j += VL) {
            const real *from = weights + j * n_in + i;
            ptrdiff_t rows = within(n_out - j, VL);
            vec v[VL];
            if (rows == VL && columns == VL) {
                UNROLL
                for (int k = 0; k < VL; k++) v[k] = vload(from + k * n_in);
            } else {
                UNROLL
                for (int k = 0; k < VL; k++) v[k] = k < rows ? load_part(from + k * n_in, columns) : vsplat(0);
            }
            turn(v);
            UNROLL
            for (int k = 0; k < VL; k++) vstore(packed + (i + k) * width + j, v[k]);
        }
    }
}

/* The reverse: weights[n_out][first:last] = the transpose of packed[first:last][width], without the padding. */
static void unpack_weights(const real *packed, ptrdiff_t width, ptrdiff_t n_in, ptrdiff_t n_out, real *weights,
                           ptrdiff_t first, ptrdiff_t last) {
    for (ptrdiff_t j = 0; j < n_out; j += VL) {
        ptrdiff_t rows = within(n_out - j, VL);
        for (ptrdiff_t i = first; i < last && i < n_in; i += VL) {
            real *to = weights + j * n_in + i;
            ptrdiff_t columns = within(n_in - i, VL);
            vec v[VL];
            UNROLL
            for (int k = 0; k < VL; k++) v[k] = vload(packed + (i + k) * width + j);
            turn(v);
            if (rows == VL && columns == VL) {
                UNROLL
                for (int k = 0; k < VL; k++) vstore(to + k * n_in, v[k]);
            } else {
                UNROLL
                for (int k = 0; k < VL; k++)
                    if (k < rows) store_part(to + k * n_in, v[k], columns);
            }
        }
    }
}

/* -- sums of few rows, with weights that are not packed ----------------------------------------------------------- */
#define FEW_SUMS (REGISTERS / 2) /* of a tile: as many sums as leave registers for the weights; at least VL */
#define TALLEST (FEW_SUMS / 4)  /* of the highest tile: it has four neurons */

/* sums[rows][neurons] = x . weights^T + biases, for at most R rows and FEW_SUMS / R neurons. Each sum has a vector of
 * its own along the inputs. A tile with fewer rows or neurons computes the last ones again. */
INLINE void few_tile(const int R, const real *x, ptrdiff_t ldx, ptrdiff_t rows, ptrdiff_t n, const real *w,
                     ptrdiff_t neurons, const real *biases, real *sums, ptrdiff_t lds) {
    const int J = FEW_SUMS / R;
    vec acc[FEW_SUMS];
    const real *weights[FEW_SUMS], *inputs[TALLEST];
    ptrdiff_t i = 0;
    UNROLL
    for (int j = 0; j < J; j++) weights[j] = w + (j < neurons ? j : neurons - 1) * n;
    UNROLL
    for (int r = 0; r < R; r++) inputs[r] = x + (r < rows ? r : rows - 1) * ldx;
    UNROLL
    for (int k = 0; k < FEW_SUMS; k++) acc[k] = vsplat(0);
#define FEW_STEP(LOAD)                                                         \
    vec xv[TALLEST];                                                          \
    UNROLL                                                                     \
    for (int r = 0; r < R; r++) xv[r] = vload(inputs[r] + i);                  \
    UNROLL                                                                     \
    for (int j = 0; j < J; j++) {                                              \
        vec wv = LOAD;                                                         \
        UNROLL                                                                 \
        for (int r = 0; r < R; r++) acc[r * J + j] += xv[r] * wv;              \
    }
    for (; i + VL <= n; i += VL) {
        FEW_STEP(vload(weights[j] + i))
    }
    if (i < n) {
        FEW_STEP(load_part(weights[j] + i, n - i))
    }
#undef FEW_STEP
    real totals[FEW_SUMS];
    UNROLL
    for (int k = 0; k < FEW_SUMS; k += VL) vstore(totals + k, lane_sums(acc + k));
    for (int r = 0; r < R && r < rows; r++)
        if (neurons >= J) {
            UNROLL
            for (int j = 0; j < J; j++) sums[r * lds + j] = totals[r * J + j] + biases[j];
        } else {
            for (ptrdiff_t j = 0; j < neurons; j++) sums[r * lds + j] = totals[r * J + j] + biases[j];
        }
}

#define FEW_COLUMNS (REGISTERS / 8) /* vectors of a tile of deltas or of the gradient, with 4 rows or neurons */

#define FEW_TILES(R)                                                                                  \
    for (ptrdiff_t j = block; j < end; j += FEW_SUMS / R)                                             \
        few_tile(R, x + r * ldx, ldx, rows - r, n_in, weights + j * n_in, end - j, biases + j,        \
                 sums + r * lds + j, lds)

/* sums[rows][n_out] = x[rows][n_in] . weights[n_out][n_in]^T + biases. The rows of x are padded to whole vectors. */
static void sums_of_few(const real *x, ptrdiff_t ldx, ptrdiff_t rows, const real *weights, ptrdiff_t n_in,
                        ptrdiff_t n_out, const real *biases, real *sums, ptrdiff_t lds) {
    for (ptrdiff_t block = 0; block < n_out; block += FEW_SUMS) { /* its weights stay in the cache for all rows */
        ptrdiff_t end = block + within(n_out - block, FEW_SUMS), r = 0;
        for (; rows - r > 2; r += TALLEST) FEW_TILES(TALLEST);
        if (rows - r == 2) FEW_TILES(2);
        else if (rows - r == 1) FEW_TILES(1);
    }
}

/* out[R][C vectors] = deltas[R][n] . w[n][C vectors]. With `used` below VL, C is 1 and the vector has `used` elements. */
INLINE void few_deltas(const int R, const int C, const real *deltas, ptrdiff_t ldd, ptrdiff_t n, const real *w,
                       ptrdiff_t ldw, ptrdiff_t used, real *out, ptrdiff_t ldo) {
    vec acc[4][4];
    UNROLL
    for (int r = 0; r < R; r++)
        UNROLL
        for (int c = 0; c < C; c++) acc[r][c] = vsplat(0);
    for (ptrdiff_t j = 0; j < n; j++) {
        vec wv[4];
        UNROLL
        for (int c = 0; c < C; c++) wv[c] = C == 1 ? load_part(w + j * ldw, used) : vload(w + j * ldw + c * VL);
        UNROLL
        for (int r = 0; r < R; r++)
            UNROLL
            for (int c = 0; c < C; c++) acc[r][c] += deltas[r * ldd + j] * wv[c];
    }
    UNROLL
    for (int r = 0; r < R; r++)
        UNROLL
        for (int c = 0; c < C; c++) vstore(out + r * ldo + c * VL, acc[r][c]);
}

/* out[rows][n_in] = deltas[rows][n_out] . weights[n_out][n_in], in whole vectors. */
static void deltas_of_few(const real *deltas, ptrdiff_t ldd, ptrdiff_t rows, const real *weights, ptrdiff_t n_out,
                          ptrdiff_t n_in, real *out, ptrdiff_t ldo) {
    ptrdiff_t columns, used;
    for (ptrdiff_t i = 0; i < n_in; i += columns) {
        ptrdiff_t r = 0;
        columns = n_in - i >= FEW_COLUMNS * VL ? FEW_COLUMNS * VL : VL;
        used = within(n_in - i, VL);
#define FEW_DELTAS(R, C)                                                                                          \
    for (; r + R <= rows; r += R)                                                                                 \
        few_deltas(R, C, deltas + r * ldd, ldd, n_out, weights + i, n_in, used, out + r * ldo + i, ldo);
        if (columns > VL) {
            FEW_DELTAS(4, FEW_COLUMNS) FEW_DELTAS(1, FEW_COLUMNS)
        } else {
            FEW_DELTAS(4, 1) FEW_DELTAS(1, 1)
        }
#undef FEW_DELTAS
    }
}

/* out[J][C vectors] = deltas[rows][J]^T . x[rows][C vectors]. With `used` below VL, as in few_deltas. */
INLINE void few_gradient(const int J, const int C, const real *x, ptrdiff_t ldx, ptrdiff_t rows, const real *deltas,
                         ptrdiff_t ldd, ptrdiff_t used, real *out, ptrdiff_t ldo) {
    vec acc[4][4];
    UNROLL
    for (int j = 0; j < J; j++)
        UNROLL
        for (int c = 0; c < C; c++) acc[j][c] = vsplat(0);
    for (ptrdiff_t r = 0; r < rows; r++)
        UNROLL
        for (int c = 0; c < C; c++) {
            vec xv = vload(x + r * ldx + c * VL);
            UNROLL
            for (int j = 0; j < J; j++) acc[j][c] += deltas[r * ldd + j] * xv;
        }
    UNROLL
    for (int j = 0; j < J; j++)
        UNROLL
        for (int c = 0; c < C; c++)
            if (C == 1) store_part(out + j * ldo, acc[j][c], used);
            else vstore(out + j * ldo + c * VL, acc[j][c]);
}

/* out[n_out][n_in] = deltas[rows][n_out]^T . x[rows][n_in]. The rows of x are padded to whole vectors. */
static void gradient_of_few(const real *x, ptrdiff_t ldx, ptrdiff_t rows, const real *deltas, ptrdiff_t ldd,
                            ptrdiff_t n_in, ptrdiff_t n_out, real *out) {
    ptrdiff_t j = 0, i, used;
#define FEW_GRADIENT(J)                                                                                             \
    for (; j + J <= n_out; j += J) {                                                                                \
        for (i = 0; i + FEW_COLUMNS * VL <= n_in; i += FEW_COLUMNS * VL)                                            \
            few_gradient(J, FEW_COLUMNS, x + i, ldx, rows, deltas + j, ldd, VL, out + j * n_in + i, n_in);          \
        for (; i < n_in; i += VL) {                                                                                 \
            used = within(n_in - i, VL);                                                                            \
            few_gradient(J, 1, x + i, ldx, rows, deltas + j, ldd, used, out + j * n_in + i, n_in);                  \
        }                                                                                                           \
    }
    FEW_GRADIENT(4)
    FEW_GRADIENT(1)
#undef FEW_GRADIENT
}
#endif
