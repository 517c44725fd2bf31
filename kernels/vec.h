/* The vector code of the Cython backend: its inner loops, and the barrier of its threads. Loops over layers, batches
 * and blocks are in cython_backend.pyx. */
#ifndef FASTNET_VEC_H
#define FASTNET_VEC_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__) || defined(_M_X64)
#  include <immintrin.h>
#endif

/* GCC's and Clang's vector extensions turn this source into AVX-512, AVX2, SSE or NEON code. Any other compiler gets
 * vectors of one element. Rows are a whole number of vectors long: the caller pads them with zeros. A tile is a part of
 * a matrix that is computed at once. */
#ifdef FASTNET_FLOAT64
typedef double real;
#  define REAL_BYTES 8
#  define REAL_SQRT sqrt
typedef int64_t bits;
#  define REAL(x) x
#  define MANTISSA 52
#  define EXPONENT_BIAS 1023
#  define EXP_MIN -708.0
#  define EXP_MAX 709.0
#  define EXP_DEGREE 13
#  define LN2_HI 6.93147180369123816490e-01 /* its last 32 bits are zero, so n * LN2_HI is exact */
#  define LN2_LO 1.90821492927058770002e-10
#else
typedef float real;
#  define REAL_BYTES 4
#  define REAL_SQRT sqrtf
typedef int32_t bits;
#  define REAL(x) x##f
#  define MANTISSA 23
#  define EXPONENT_BIAS 127
#  define EXP_MIN -87.0f
#  define EXP_MAX 88.0f
#  define EXP_DEGREE 7
#  define LN2_HI 0.693359375f /* it has 9 significant bits, so n * LN2_HI is exact */
#  define LN2_LO -2.12194440e-4f
#endif

#if defined(__GNUC__) || defined(__clang__)
#  if defined(__AVX512F__)
#    define VECTOR_BYTES 64
#    define REGISTERS 32
#  elif defined(__AVX__)
#    define VECTOR_BYTES 32
#    define REGISTERS 16
#  else
#    define VECTOR_BYTES 16
#    define REGISTERS 16
#  endif
#  define VECTOR_ELEMENTS (VECTOR_BYTES / REAL_BYTES)
#  define VL VECTOR_ELEMENTS
#  define INLINE static inline __attribute__((always_inline))
#  define UNROLL _Pragma("GCC unroll 16")
/* Without the empty assembly, GCC drops the calls of a function that only prefetches. */
#  define PREFETCH(p) do { __builtin_prefetch((p), 0, 2); __asm__ volatile(""); } while (0)
typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real vec_unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef bits vbits __attribute__((vector_size(VECTOR_BYTES), may_alias));
INLINE vec vload(const real *p) { return *(const vec_unaligned *)p; }
INLINE void vstore(real *p, vec v) { *(vec_unaligned *)p = v; }
INLINE vec vsplat(real a) { return a - (vec){0}; }
INLINE vbits vround(vec x) { /* rounds to nearest, halves away from zero; a NaN gives any integer */
    vbits half = ((vbits)x & (vbits)vsplat(REAL(-0.0))) | (vbits)vsplat(REAL(0.5));
    return __builtin_convertvector(x + (vec)half, vbits);
}
INLINE vec vreal(vbits n) { return __builtin_convertvector(n, vec); }
INLINE vec vselect(vbits mask, vec yes, vec no) { return (vec)((mask & (vbits)yes) | (~mask & (vbits)no)); }
INLINE vec vpow2(vbits n) { return (vec)((n + EXPONENT_BIAS) << MANTISSA); }
#define IN_ORDER {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
static const bits LANES_IN_ORDER[16] = IN_ORDER;
static const int32_t LANES_IN_ORDER_32[16] = IN_ORDER;
typedef bits vbits_unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(bits)), may_alias));
#  define LANE (*(const vbits_unaligned *)LANES_IN_ORDER) /* the number of each lane */
INLINE int vany(vbits mask) { /* whether any lane is set; a lane is all ones or all zeros */
#  if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#  elif defined(__AVX2__)
    return _mm256_movemask_epi8((__m256i)mask) != 0;
#  else
    bits any = 0;
    for (int k = 0; k < VL; k++) any |= mask[k];
    return any != 0;
#  endif
}
#else
#  define REGISTERS 16
#  define VECTOR_ELEMENTS 1
#  define VL 1
#  define INLINE static __inline
#  define UNROLL
#  define PREFETCH(p) ((void)(p))
typedef real vec;
typedef bits vbits;
INLINE vec vload(const real *p) { return *p; }
INLINE void vstore(real *p, vec v) { *p = v; }
INLINE vec vsplat(real a) { return a; }
INLINE vbits vround(vec x) { return isnan(x) ? 0 : (vbits)(x + (x < 0 ? REAL(-0.5) : REAL(0.5))); }
INLINE vec vreal(vbits n) { return (vec)n; }
INLINE vec vselect(vbits mask, vec yes, vec no) { return mask ? yes : no; }
INLINE vec vpow2(vbits n) { return (vec)ldexp(1.0, (int)n); }
#  define LANE ((bits)0)
INLINE int vany(vbits mask) { return mask != 0; }
#endif

#if defined(__AVX512F__)
#  define FASTNET_ISA "AVX-512"
#elif defined(__AVX2__)
#  define FASTNET_ISA "AVX2 and FMA"
#elif defined(__x86_64__) || defined(_M_X64)
#  define FASTNET_ISA "SSE4.2"
#elif defined(__aarch64__)
#  define FASTNET_ISA "NEON"
#else
#  define FASTNET_ISA "generic"
#endif

/* -- the floating-point environment: a call treats denormals as zero ------------------------------------------- */
#if defined(__x86_64__) || defined(_M_X64)
typedef unsigned int fp_state;
static fp_state flush_denormals(void) {
    fp_state before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero; denormals are zero */
    return before;
}
static void restore_denormals(fp_state before) { _mm_setcsr(before); }
#elif defined(__aarch64__) && defined(__GNUC__)
typedef uint64_t fp_state;
static fp_state flush_denormals(void) {
    fp_state before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (1u << 24)));
    return before;
}
static void restore_denormals(fp_state before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int fp_state;
static fp_state flush_denormals(void) { return 0; }
static void restore_denormals(fp_state before) { (void)before; }
#endif

/* -- the exponential -------------------------------------------------------------------------------------------
 * exp(x) = 2^n (1 + p(r)) with x = n ln 2 + r and |r| <= ln 2 / 2. p is the Taylor series of exp(r) - 1, up to a
 * degree whose remainder is below the rounding error. Arguments are clamped to the exponent's range; NaN stays NaN. */
static const real INVERSE_FACTORIAL[14] = {
    REAL(1.0), REAL(1.0), REAL(1.0) / 2, REAL(1.0) / 6, REAL(1.0) / 24, REAL(1.0) / 120, REAL(1.0) / 720,
    REAL(1.0) / 5040, REAL(1.0) / 40320, REAL(1.0) / 362880, REAL(1.0) / 3628800, REAL(1.0) / 39916800,
    REAL(1.0) / 479001600, REAL(1.0) / REAL(6227020800.0)};

INLINE vec exp_parts(vec x, vec *power) {
    x = vselect(x < vsplat(EXP_MIN), vsplat(EXP_MIN), x);
    x = vselect(x > vsplat(EXP_MAX), vsplat(EXP_MAX), x);
    vbits n = vround(x * REAL(1.44269504088896340736));
    vec r = x - vreal(n) * LN2_HI - vreal(n) * LN2_LO;
    vec p = vsplat(INVERSE_FACTORIAL[EXP_DEGREE]);
    UNROLL
    for (int k = EXP_DEGREE - 1; k > 0; k--) p = p * r + INVERSE_FACTORIAL[k];
    *power = vpow2(n);
    return p * r;
}

INLINE vec vexp(vec x) {
    vec power, p = exp_parts(x, &power);
    return power * p + power;
}

INLINE vec vexpm1(vec x) { /* exp(x) - 1, accurate near 0 as well */
    vec power, p = exp_parts(x, &power);
    return power * p + (power - 1);
}

/* -- the logarithm -------------------------------------------------------------------------------------------------
 * x = 2^n m with m between sqrt(1/2) and sqrt(2), and log(m) = 2 atanh(s) with s = (m - 1) / (m + 1), |s| < 0.172. The
 * series of atanh has as many terms as the rounding error needs. x must be positive and not subnormal; NaN stays NaN. */
#ifdef FASTNET_FLOAT64
#  define LOG_TERMS 11
#else
#  define LOG_TERMS 5
#endif
#if VECTOR_ELEMENTS > 1
INLINE vec vlog(vec x) {
    vbits above = (vbits)x - (vbits)vsplat(REAL(0.70710678118654752440));
    vec n = vreal(above >> MANTISSA), m = (vec)((vbits)x - (above & -((bits)1 << MANTISSA)));
    vec f = m - 1, s = f / (f + 2), square = s * s, p = vsplat(REAL(2.0) / (2 * LOG_TERMS + 1));
    UNROLL
    for (int k = LOG_TERMS - 1; k > 0; k--) p = p * square + REAL(2.0) / (2 * k + 1);
    vec rest = s * (f - square * p); /* log(m) = f - rest, and f is exact */
    return vselect(x == x, n * LN2_HI + (f - (rest - n * LN2_LO)), x);
}
#else
INLINE vec vlog(vec x) { return (vec)log(x); }
#endif

/* -- the lanes of a vector together --------------------------------------------------------------------------------- */
INLINE real lanes_total(vec v) {
#if VECTOR_BYTES == 64 && defined(FASTNET_FLOAT64)
    return _mm512_reduce_add_pd((__m512d)v);
#elif VECTOR_BYTES == 64
    return _mm512_reduce_add_ps((__m512)v);
#else
    real lanes[VL];
    vstore(lanes, v);
    for (int step = VL / 2; step; step /= 2)
        for (int k = 0; k < step; k++) lanes[k] += lanes[k + step];
    return lanes[0];
#endif
}
INLINE real lanes_largest(vec v) { /* of numbers, not of NaN */
#if VECTOR_BYTES == 64 && defined(FASTNET_FLOAT64)
    return _mm512_reduce_max_pd((__m512d)v);
#elif VECTOR_BYTES == 64
    return _mm512_reduce_max_ps((__m512)v);
#else
    real lanes[VL];
    vstore(lanes, v);
    for (int step = VL / 2; step; step /= 2)
        for (int k = 0; k < step; k++) lanes[k] = lanes[k + step] > lanes[k] ? lanes[k + step] : lanes[k];
    return lanes[0];
#endif
}
/* The largest number of a[n], without its NaN; -infinity if there is no number. The loop reads whole vectors: the row
 * is padded. */
INLINE real row_largest(const real *a, ptrdiff_t n) {
    vec best[2] = {vsplat(-(real)INFINITY), vsplat(-(real)INFINITY)}; /* two chains hide the latency */
    ptrdiff_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL)
        UNROLL
        for (int k = 0; k < 2; k++) {
            vec v = vload(a + i + k * VL);
            best[k] = vselect(v > best[k], v, best[k]);
        }
    for (; i < n; i += VL) {
        vec v = vload(a + i);
        best[0] = vselect((v > best[0]) & (LANE < (bits)(n - i)), v, best[0]);
    }
    return lanes_largest(vselect(best[1] > best[0], best[1], best[0]));
}
/* The first index of the largest number of a[n]. a has no NaN and is padded to whole vectors. */
INLINE ptrdiff_t first_largest(const real *a, ptrdiff_t n) {
    const real largest = row_largest(a, n);
    ptrdiff_t i = 0;
    while (i + VL < n && !vany(vload(a + i) == vsplat(largest))) i += VL;
    while (i + 1 < n && a[i] != largest) i++;
    return i;
}

/* -- activations of a tile of rows, in whole vectors; derivatives as functions of the output ---------------------- */
/* The import checks that the codes equal contract.py's. */
enum { SIGMOID, RELU, TANH, LEAKY_RELU, IDENTITY, SOFTMAX, EXPONENTIAL,
       GIVEN }; /* not an activation: the array holds the derivatives that apply_dropout has stored */
static real LEAKY_SLOPE; /* the import stores contract.py's value here */
INLINE vec vtanh(vec z) {
    vec e = vexpm1(z + z);
    return e / (e + 2);
}
INLINE vec vmask(vbits mask) { return vselect(mask, vsplat(1), vsplat(0)); }

#define EACH_VECTOR(EXPRESSION)                             \
    for (ptrdiff_t r = 0; r < rows; r++, z += ld, a += ld)  \
        for (ptrdiff_t i = 0; i < columns; i += VL) {       \
            vec v = vload(z + i);                           \
            vstore(a + i, EXPRESSION);                      \
        }                                                   \
    break;
/* a = activation(z), but not for a softmax. Columns from `used` on are padding and become zero. */
static void activate_tile(int activation, const real *z, real *a, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t columns,
                          ptrdiff_t used) {
    real *padded = a;
    ptrdiff_t height = rows;
    switch (activation) {
    case SIGMOID: EACH_VECTOR(1 / (1 + vexp(-v)))
    case RELU: EACH_VECTOR(vselect(v < 0, vsplat(0), v)) /* a NaN stays NaN */
    case TANH: EACH_VECTOR(vtanh(v))
    case LEAKY_RELU: EACH_VECTOR(vselect(v < 0, v *LEAKY_SLOPE, v))
    case EXPONENTIAL: EACH_VECTOR(vselect(v > vsplat(EXP_MAX), vsplat((real)INFINITY), vexp(v)))
    default: EACH_VECTOR(v)
    }
    if (used < columns)
        for (ptrdiff_t r = 0; r < height; r++, padded += ld)
            for (ptrdiff_t i = used / VL * VL; i < columns; i += VL)
                vstore(padded + i, vselect(LANE < (bits)(used - i), vload(padded + i), vsplat(0)));
}

/* a = softmax(z) for rows of n numbers, padded to whole vectors. The padding of a becomes zero. */
static void softmax_rows(const real *z, real *a, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t n) {
    for (ptrdiff_t r = 0; r < rows; r++, z += ld, a += ld) {
        const real largest = row_largest(z, n);
        vec sum = vsplat(0);
        for (ptrdiff_t i = 0; i < n; i += VL) {
            vec e = vexp(vload(z + i) - largest);
            e = vselect(LANE < (bits)(n - i), e, vsplat(0));
            vstore(a + i, e);
            sum += e;
        }
        const real total = lanes_total(sum);
        for (ptrdiff_t i = 0; i < n; i += VL) vstore(a + i, vload(a + i) / total);
        for (ptrdiff_t i = (n + VL - 1) / VL * VL; i < ld; i += VL) vstore(a + i, vsplat(0));
    }
}
/* delta = a * (delta - sum(delta * a)), the derivative of the softmax, in whole vectors. The padding of a is zero. */
static void softmax_derivative(const real *a, real *delta, ptrdiff_t columns) {
    vec sum = vsplat(0);
    for (ptrdiff_t i = 0; i < columns; i += VL) sum += vload(delta + i) * vload(a + i);
    const real mean = lanes_total(sum);
    for (ptrdiff_t i = 0; i < columns; i += VL) vstore(delta + i, vload(a + i) * (vload(delta + i) - mean));
}

INLINE vec derivative(int activation, vec a) {
    switch (activation) {
    case SIGMOID: return a * (1 - a);
    case RELU: return vmask(a > 0);
    case TANH: return 1 - a * a;
    case LEAKY_RELU: return vselect(a > 0, vsplat(1), vsplat(LEAKY_SLOPE));
    case EXPONENTIAL: return a;
    case GIVEN: return a;
    default: return vsplat(1);
    }
}
/* delta *= the derivative of the activation at outputs a */
static void times_derivative(int activation, const real *a, real *delta, ptrdiff_t ld, ptrdiff_t rows,
                             ptrdiff_t columns) {
    if (activation != IDENTITY)
        for (ptrdiff_t r = 0; r < rows; r++, a += ld, delta += ld)
            for (ptrdiff_t i = 0; i < columns; i += VL)
                vstore(delta + i, vload(delta + i) * derivative(activation, vload(a + i)));
}

/* -- dropout ------------------------------------------------------------------------------------------------------ */
#define PHILOX_M0 0xD2511F53u /* the import checks that these four equal contract.py's values */
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
#define PHILOX_ROUNDS 10
#define DROP_NEURONS (4 * DROP_GROUPS)
#define DROP_GROUPS 16 /* groups of four neurons whose random numbers are drawn together */
typedef struct { /* the dropout of a layer in an update; a 64-bit number is two words, the low word first */
    uint32_t threshold, key[2], update[2];
    real scale;
} drop_t;
static drop_t drop_of(int64_t threshold, double scale, int64_t key, int64_t update) {
    drop_t d = {(uint32_t)threshold,
                {(uint32_t)key, (uint32_t)((uint64_t)key >> 32)},
                {(uint32_t)update, (uint32_t)((uint64_t)update >> 32)},
                (real)scale};
    return d;
}

/* Philox4x32-10: the four numbers of each group, from group `first` on. The compiler vectorises the loop. Each 32-bit
 * word stays in a 64-bit lane, the size of a product, so no value moves between lanes. */
INLINE void random_words(const uint32_t groups, const drop_t *d, uint32_t row, uint32_t first,
                         uint32_t *restrict words) {
    const uint32_t u0 = d->update[0], u1 = d->update[1], key0 = d->key[0], key1 = d->key[1];
    for (uint32_t j = 0; j < groups; j++) {
        uint64_t c0 = first + j, c1 = row, c2 = u0, c3 = u1;
        uint32_t k0 = key0, k1 = key1;
        UNROLL
        for (int round = 0; round < PHILOX_ROUNDS; round++) {
            uint64_t p0 = (c0 & 0xFFFFFFFF) * PHILOX_M0, p1 = (c2 & 0xFFFFFFFF) * PHILOX_M1;
            c0 = p1 >> 32 ^ c1 ^ k0;
            c1 = p1 & 0xFFFFFFFF;
            c2 = p0 >> 32 ^ c3 ^ k1;
            c3 = p0 & 0xFFFFFFFF;
            k0 += PHILOX_W0;
            k1 += PHILOX_W1;
        }
        words[4 * j] = (uint32_t)c0;
        words[4 * j + 1] = (uint32_t)c1;
        words[4 * j + 2] = (uint32_t)c2;
        words[4 * j + 3] = (uint32_t)c3;
    }
}

/* Apply dropout to rows of a batch, from row number `row` on, in whole vectors: a becomes 0 for a dropped neuron, else
 * scale * a. `derivatives` becomes 0 or scale * derivative(a); the backward pass multiplies the deltas by it. */
static void apply_dropout(const drop_t *d, int activation, real *a, real *derivatives, ptrdiff_t ld, ptrdiff_t rows,
                      uint32_t row) {
    const uint32_t threshold = d->threshold;
    const real scale = d->scale;
    uint32_t words[DROP_NEURONS] = {0};
    real factors[DROP_NEURONS];
    for (ptrdiff_t r = 0; r < rows; r++, a += ld, derivatives += ld)
        for (ptrdiff_t at = 0; at < ld; at += DROP_NEURONS) {
            ptrdiff_t n = ld - at < DROP_NEURONS ? ld - at : DROP_NEURONS;
            if (n > DROP_NEURONS / 2) random_words(DROP_GROUPS, d, row + (uint32_t)r, (uint32_t)(at / 4), words);
            else random_words(DROP_GROUPS / 2, d, row + (uint32_t)r, (uint32_t)(at / 4), words);
            for (int k = 0; k < DROP_NEURONS; k++) factors[k] = words[k] < threshold ? 0 : scale;
            for (ptrdiff_t i = 0; i < n; i += VL) {
                vec v = vload(a + at + i), factor = vload(factors + i);
                vstore(derivatives + at + i, factor * derivative(activation, v));
                vstore(a + at + i, factor * v);
            }
        }
}

/* -- register tiles: each case of a switch has a constant size, so that the tile stays in registers --------------- */
#define GROUP 4 /* how many inputs a tile handles in one step */
#define TILE_VECTORS (REGISTERS == 32 ? 4 : 2)
#define TILE_ROWS 6
#define UPDATE_INPUTS 6 /* inputs of a tile of the update */
enum { FROM_ZERO, FROM_START, ADD };

/* out[R][C vectors] = x[R][n] w[n][C vectors] + s. n is a multiple of GROUP. `from` chooses s: 0 (FROM_ZERO), the row
 * `start` (FROM_START) or out (ADD). */
INLINE void forward_tile_(const int R, const int C, const real *x, ptrdiff_t ldx, ptrdiff_t n, const real *w,
                          ptrdiff_t ldw, int from, const real *start, real *out, ptrdiff_t ldo) {
    const int chains = R * C < 4 ? 4 : 1; /* four independent sums hide the latency */
    vec acc[4][TILE_ROWS][4];
    UNROLL
    for (int r = 0; r < R; r++)
        UNROLL
        for (int v = 0; v < C; v++) {
            acc[0][r][v] = from == FROM_ZERO ? vsplat(0) : vload((from == ADD ? out + r * ldo : start) + v * VL);
            UNROLL
            for (int k = 1; k < chains; k++) acc[k][r][v] = vsplat(0);
        }
    for (ptrdiff_t i = 0; i < n; i += GROUP) {
        const real *xi = x + i, *wi = w + i * ldw;
        UNROLL
        for (int k = 0; k < GROUP; k++) {
            vec wv[4];
            UNROLL
            for (int v = 0; v < C; v++) wv[v] = vload(wi + k * ldw + v * VL);
            UNROLL
            for (int r = 0; r < R; r++)
                UNROLL
                for (int v = 0; v < C; v++) acc[k % chains][r][v] += xi[r * ldx + k] * wv[v];
        }
    }
    UNROLL
    for (int r = 0; r < R; r++)
        UNROLL
        for (int v = 0; v < C; v++) {
            vec sum = acc[0][r][v];
            if (chains == 4) sum = (sum + acc[1][r][v]) + (acc[2][r][v] + acc[3][r][v]);
            vstore(out + r * ldo + v * VL, sum);
        }
}

/* Memory to prefetch while a tile is computed: the tile's place in the parameters, and in `slots` rows of the
 * optimiser's state, 3 * packed and 4 * packed elements further. `start` may be NULL. Functions take a pointer: a copy
 * would be loaded in one piece just after its fields were stored one by one, and wait 25 cycles for the stores. */
typedef struct {
    const real *start;
    ptrdiff_t ld, packed, slots;
} ahead_t;

/* out[H][C vectors] += x[rows][H]^T delta[rows][C vectors] for H inputs */
INLINE void update_tile_(const int H, const int C, const real *x, ptrdiff_t ldx, ptrdiff_t rows, const real *delta,
                         ptrdiff_t ldd, real *out, ptrdiff_t ldo, const real *next, const ahead_t *ahead) {
    vec acc[UPDATE_INPUTS][4];
    ptrdiff_t i = 0, lines = next ? (rows < H * C ? rows : H * C) : 0;
    UNROLL
    for (int k = 0; k < H; k++)
        UNROLL
        for (int v = 0; v < C; v++) acc[k][v] = vload(out + k * ldo + v * VL);
#define UPDATE_ROW                                                                        \
    vec dv[4];                                                                            \
    UNROLL                                                                                \
    for (int v = 0; v < C; v++) dv[v] = vload(delta + i * ldd + v * VL);                  \
    UNROLL                                                                                \
    for (int k = 0; k < H; k++)                                                           \
        UNROLL                                                                            \
        for (int v = 0; v < C; v++) acc[k][v] += x[i * ldx + k] * dv[v];
    for (; i < lines; i++) { /* one line a row, because many prefetches at once wait for each other */
        const real *p = next + i / C * ahead->ld + i % C * VL;
        PREFETCH(p);
        if (ahead->slots > 0) PREFETCH(p + 3 * ahead->packed);
        if (ahead->slots > 1) PREFETCH(p + 4 * ahead->packed);
        UPDATE_ROW
    }
    for (; i < rows; i++) {
        UPDATE_ROW
    }
#undef UPDATE_ROW
    UNROLL
    for (int k = 0; k < H; k++)
        UNROLL
        for (int v = 0; v < C; v++) vstore(out + k * ldo + v * VL, acc[k][v]);
}

/* For n inputs, a multiple of GROUP: out[n][C vectors] += x[rows][n]^T delta[rows][C vectors], in tiles of 6 inputs, or
 * of 4 where the rest needs it and where the columns are few. */
INLINE void update_tiles_(const int C, const real *x, ptrdiff_t ldx, ptrdiff_t rows, ptrdiff_t n, const real *delta,
                          ptrdiff_t ldd, real *out, ptrdiff_t ldo, const ahead_t *ahead) {
    const real *next = ahead->start;
    while (n) {
        const int height = 2 * C > TILE_VECTORS && n >= UPDATE_INPUTS && n != 2 * GROUP ? UPDATE_INPUTS : GROUP;
        if (height == UPDATE_INPUTS) update_tile_(UPDATE_INPUTS, C, x, ldx, rows, delta, ldd, out, ldo, next, ahead);
        else update_tile_(GROUP, C, x, ldx, rows, delta, ldd, out, ldo, next, ahead);
        x += height;
        out += height * ldo;
        if (next) next += height * ahead->ld;
        n -= height;
    }
}

/* sums[columns] += the sum of the rows of delta, in whole vectors */
static void add_rows(const real *delta, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t columns, real *sums) {
    ptrdiff_t k = 0;
    for (; k + 4 * VL <= columns; k += 4 * VL) { /* four independent sums hide the latency */
        vec total[4];
        UNROLL
        for (int v = 0; v < 4; v++) total[v] = vload(sums + k + v * VL);
        for (ptrdiff_t i = 0; i < rows; i++)
            UNROLL
            for (int v = 0; v < 4; v++) total[v] += vload(delta + i * ld + k + v * VL);
        UNROLL
        for (int v = 0; v < 4; v++) vstore(sums + k + v * VL, total[v]);
    }
    for (; k < columns; k += VL) {
        vec total = vload(sums + k);
        for (ptrdiff_t i = 0; i < rows; i++) total += vload(delta + i * ld + k);
        vstore(sums + k, total);
    }
}

#define FORWARD_CASE(R, C) \
    case R * 8 + C: forward_tile_(R, C, x, ldx, n, w, ldw, from, start, out, ldo); break;
#define FORWARD_ROWS(R) FORWARD_CASE(R, 1) FORWARD_CASE(R, 2) FORWARD_CASE(R, 3) FORWARD_CASE(R, 4)
static void forward_tile(int rows, int vectors, const real *x, ptrdiff_t ldx, ptrdiff_t n, const real *w, ptrdiff_t ldw,
                         int from, const real *start, real *out, ptrdiff_t ldo) {
    switch (rows * 8 + vectors) {
        FORWARD_ROWS(1) FORWARD_ROWS(2) FORWARD_ROWS(3) FORWARD_ROWS(4) FORWARD_ROWS(5) FORWARD_ROWS(6)
    }
}

#define UPDATE_CASE(C) \
    case C: update_tiles_(C, x, ldx, rows, n, delta, ldd, out, ldo, ahead); break;
static void update_tiles(int vectors, const real *x, ptrdiff_t ldx, ptrdiff_t rows, ptrdiff_t n, const real *delta,
                         ptrdiff_t ldd, real *out, ptrdiff_t ldo, const ahead_t *ahead) {
    switch (vectors) { UPDATE_CASE(1) UPDATE_CASE(2) UPDATE_CASE(3) UPDATE_CASE(4) }
}

/* out[k][i] = w[i][k] for VL by VL elements. Step s swaps lanes between vectors that are s apart. */
#if VECTOR_BYTES && (defined(__clang__) || __GNUC__ >= 12)
#  define LANES2(F, s, o) F(s, o), F(s, o + 1)
#  define LANES4(F, s, o) LANES2(F, s, o), LANES2(F, s, o + 2)
#  define LANES8(F, s, o) LANES4(F, s, o), LANES4(F, s, o + 4)
#  define LANES16(F, s, o) LANES8(F, s, o), LANES8(F, s, o + 8)
#  if VECTOR_ELEMENTS == 16
#    define LANES(F, s) LANES16(F, s, 0)
#  elif VECTOR_ELEMENTS == 8
#    define LANES(F, s) LANES8(F, s, 0)
#  elif VECTOR_ELEMENTS == 4
#    define LANES(F, s) LANES4(F, s, 0)
#  else
#    define LANES(F, s) LANES2(F, s, 0)
#  endif
#  define UPPER(s, i) ((i) & (s) ? VL + (i) - (s) : (i))
#  define LOWER(s, i) ((i) & (s) ? VL + (i) : (i) + (s))
#  define SWAP_LANES(s)                                                    \
      UNROLL                                                               \
      for (int i = 0; i < VL; i++)                                         \
          if (!(i & s)) {                                                  \
              vec a = v[i], b = v[i + s];                                  \
              v[i] = __builtin_shufflevector(a, b, LANES(UPPER, s));       \
              v[i + s] = __builtin_shufflevector(a, b, LANES(LOWER, s));   \
          }
static void transpose(const real *w, ptrdiff_t ldw, real *out, ptrdiff_t ldo) {
    vec v[VL];
    UNROLL
    for (int i = 0; i < VL; i++) v[i] = vload(w + i * ldw);
    SWAP_LANES(1)
#  if VECTOR_ELEMENTS >= 4
    SWAP_LANES(2)
#  endif
#  if VECTOR_ELEMENTS >= 8
    SWAP_LANES(4)
#  endif
#  if VECTOR_ELEMENTS >= 16
    SWAP_LANES(8)
#  endif
    UNROLL
    for (int i = 0; i < VL; i++) vstore(out + i * ldo, v[i]);
}
#else
static void transpose(const real *w, ptrdiff_t ldw, real *out, ptrdiff_t ldo) {
    for (int i = 0; i < VL; i++)
        for (int k = 0; k < VL; k++) out[k * ldo + i] = w[i * ldw + k];
}
#endif

/* -- sparse rows: n entries, each a column and a value ------------------------------------------------------------
 * One load takes four values of the first row, and shuffles spread each value over a vector. The second row's values
 * are loaded one by one. So there are no more loads than multiply-adds, and no more shuffles than multiply-adds. */
#if VECTOR_ELEMENTS >= 4 && (defined(__clang__) || __GNUC__ >= 12)
typedef vec quad; /* four values, repeated over the lanes */
INLINE quad quad_load(const real *p) {
#  if VECTOR_ELEMENTS == 4
    return vload(p);
#  elif VECTOR_BYTES == 32
    return (vec)_mm256_broadcast_ps((const __m128 *)p);
#  elif VECTOR_ELEMENTS == 8
    return (vec)_mm512_broadcast_f64x4(_mm256_loadu_pd(p));
#  else
    return (vec)_mm512_broadcast_f32x4(_mm_loadu_ps(p));
#  endif
}
#  define SAME_LANE(k, i) (k) + ((i) & ~3)
#  define SPREAD(q, k) __builtin_shufflevector(q, q, LANES(SAME_LANE, k))
#else
typedef const real *quad;
INLINE quad quad_load(const real *p) { return p; }
#  define SPREAD(q, k) (q)[k]
#endif

/* Few sums are divided into chains of additions, which do not wait for each other: chain k has every entry whose number
 * is k modulo CHAINS. */
#define CHAINS(R, C) ((R) * (C) < 4 ? 4 / ((R) * (C)) : 1)
INLINE void begin_chains(const int R, const int C, vec acc[4][2][8], const real *start) {
    UNROLL
    for (int r = 0; r < R; r++)
        UNROLL
        for (int v = 0; v < C; v++) {
            acc[0][r][v] = vload(start + v * VL);
            UNROLL
            for (int k = 1; k < CHAINS(R, C); k++) acc[k][r][v] = vsplat(0);
        }
}
INLINE void end_chains(const int R, const int C, vec acc[4][2][8], real *out, ptrdiff_t ldo) {
    UNROLL
    for (int r = 0; r < R; r++)
        UNROLL
        for (int v = 0; v < C; v++) {
            UNROLL
            for (int k = 1; k < CHAINS(R, C); k++) acc[0][r][v] += acc[k][r][v];
            vstore(out + r * ldo + v * VL, acc[0][r][v]);
        }
}

/* out[R][C vectors] = start + the sum of values[R][k] w[columns[k]] */
INLINE void sparse_forward_(const int R, const int C, const int32_t *columns, const real *values, ptrdiff_t ldv,
                            ptrdiff_t n, const real *w, ptrdiff_t ldw, const real *start, real *out, ptrdiff_t ldo) {
    const int chains = CHAINS(R, C);
    vec acc[4][2][8];
    ptrdiff_t i = 0;
    begin_chains(R, C, acc, start);
#define ENTRY(k)                                                           \
    UNROLL                                                                 \
    for (int v = 0; v < C; v++) {                                          \
        vec wv = vload(w + columns[i + k] * ldw + v * VL);                 \
        acc[k % chains][0][v] += SPREAD(q0, k) * wv;                       \
        if (R == 2) acc[k % chains][1][v] += values[i + k + ldv] * wv;     \
    }
    for (; i + 4 <= n; i += 4) {
        quad q0 = quad_load(values + i);
        ENTRY(0) ENTRY(1) ENTRY(2) ENTRY(3)
    }
#undef ENTRY
    for (; i < n; i++)
        UNROLL
        for (int v = 0; v < C; v++)
            UNROLL
            for (int r = 0; r < R; r++) acc[0][r][v] += values[i + r * ldv] * vload(w + columns[i] * ldw + v * VL);
    end_chains(R, C, acc, out, ldo);
}

/* The same for rows of dense inputs, whose values are read in place: out[R] = start + the sum of x[R][k] w[k] over the
 * n inputs k in `columns`. The sums have the same order, so the bits are the same. */
INLINE void skipping_forward_(const int R, const int C, const int32_t *columns, const real *x, ptrdiff_t ldx,
                              ptrdiff_t n, const real *w, ptrdiff_t ldw, const real *start, real *out,
                              ptrdiff_t ldo) {
    const int chains = CHAINS(R, C);
    vec acc[4][2][8];
    ptrdiff_t i = 0;
    begin_chains(R, C, acc, start);
    for (; i + 4 <= n; i += 4)
        UNROLL
        for (int k = 0; k < 4; k++) {
            const real *value = x + columns[i + k], *line = w + columns[i + k] * ldw;
            UNROLL
            for (int v = 0; v < C; v++) {
                vec wv = vload(line + v * VL);
                UNROLL
                for (int r = 0; r < R; r++) acc[k % chains][r][v] += value[r * ldx] * wv;
            }
        }
    for (; i < n; i++)
        UNROLL
        for (int v = 0; v < C; v++)
            UNROLL
            for (int r = 0; r < R; r++) acc[0][r][v] += x[columns[i] + r * ldx] * vload(w + columns[i] * ldw + v * VL);
    end_chains(R, C, acc, out, ldo);
}

/* w[columns[k]][C vectors] += values[R][k] delta[R][C vectors], summed over R */
INLINE void sparse_update_(const int R, const int C, const int32_t *columns, const real *values, ptrdiff_t ldv,
                           ptrdiff_t n, const real *delta, ptrdiff_t ldd, real *w, ptrdiff_t ldw) {
    vec d[2][2];
    ptrdiff_t i = 0;
    UNROLL
    for (int r = 0; r < R; r++)
        UNROLL
        for (int v = 0; v < C; v++) d[r][v] = vload(delta + r * ldd + v * VL);
#define ENTRY(k)                                                           \
    UNROLL                                                                 \
    for (int v = 0; v < C; v++) {                                          \
        real *at = w + columns[i + k] * ldw + v * VL;                      \
        vec sum = vload(at) + SPREAD(q0, k) * d[0][v];                     \
        if (R == 2) sum += SPREAD(q1, k) * d[1][v];                        \
        vstore(at, sum);                                                   \
    }
    for (; i + 4 <= n; i += 4) {
        quad q0 = quad_load(values + i), q1 = quad_load(values + i + (R - 1) * ldv);
        ENTRY(0) ENTRY(1) ENTRY(2) ENTRY(3)
    }
#undef ENTRY
    for (; i < n; i++)
        UNROLL
        for (int v = 0; v < C; v++) {
            real *at = w + columns[i] * ldw + v * VL;
            vec sum = vload(at) + values[i] * d[0][v];
            if (R == 2) sum += values[i + ldv] * d[1][v];
            vstore(at, sum);
        }
}

/* An entry among the entries of one input. Both numbers lie side by side, so that a write needs one cache line. */
typedef struct {
    int32_t row;
    real value;
} sorted_t;

/* Append entries k to n - 1 of a row, or of a pair of rows, to the entries of their inputs, up to input `last`. ends has
 * the end of each input's entries. Return the first k that is left. A value of zero is written too, which saves a
 * branch; the next entry of the input overwrites it. The test for zero looks at the bits, and -0.0 counts as an
 * entry. */
INLINE ptrdiff_t sort_row_(const int R, const int32_t *columns, const real *values, ptrdiff_t ldv, ptrdiff_t k,
                           ptrdiff_t n, ptrdiff_t first, ptrdiff_t last, int32_t row, int32_t *restrict ends,
                           sorted_t *restrict sorted) {
    const bits *ones = (const bits *)values, *seconds = (const bits *)(values + ldv);
    ends -= first;
    for (; k < n && columns[k] < last; k++) {
        int32_t at = ends[columns[k]];
        sorted[at] = (sorted_t){row, values[k]};
        at += ones[k] != 0;
        if (R == 2) {
            sorted[at] = (sorted_t){row + 1, values[k + ldv]};
            at += seconds[k] != 0;
        }
        ends[columns[k]] = at;
    }
    return k;
}
static ptrdiff_t sort_row(int height, const int32_t *columns, const real *values, ptrdiff_t ldv, ptrdiff_t k,
                          ptrdiff_t n, ptrdiff_t first, ptrdiff_t last, int32_t row, int32_t *ends, sorted_t *sorted) {
    return height == 2 ? sort_row_(2, columns, values, ldv, k, n, first, last, row, ends, sorted)
                       : sort_row_(1, columns, values, ldv, k, n, first, last, row, ends, sorted);
}

/* out[C vectors] += the sum of value * delta[row]: the n entries of one input. delta has C vectors a row. */
INLINE void sorted_update_(const int C, const sorted_t *entries, ptrdiff_t n, const real *delta, real *out) {
    vec acc[4];
    UNROLL
    for (int v = 0; v < C; v++) acc[v] = vload(out + v * VL);
    for (ptrdiff_t k = 0; k < n; k++) {
        const real *d = delta + (ptrdiff_t)entries[k].row * (C * VL);
        vec value = vsplat(entries[k].value);
        UNROLL
        for (int v = 0; v < C; v++) acc[v] += value * vload(d + v * VL);
    }
    UNROLL
    for (int v = 0; v < C; v++) vstore(out + v * VL, acc[v]);
}

/* The largest number of vectors that is at most `vectors` and has a case below. */
static int sparse_part(ptrdiff_t vectors) { return vectors >= 8 ? 8 : vectors >= 4 ? 4 : vectors >= 2 ? 2 : 1; }
#define SPARSE_FORWARD_CASE(R, C) \
    case R * 16 + C: sparse_forward_(R, C, columns, values, ldv, n, w, ldw, start, out, ldo); break;
static void sparse_forward(int rows, int vectors, const int32_t *columns, const real *values, ptrdiff_t ldv,
                           ptrdiff_t n, const real *w, ptrdiff_t ldw, const real *start, real *out, ptrdiff_t ldo) {
    switch (rows * 16 + vectors) {
        SPARSE_FORWARD_CASE(1, 1) SPARSE_FORWARD_CASE(1, 2) SPARSE_FORWARD_CASE(1, 4) SPARSE_FORWARD_CASE(1, 8)
        SPARSE_FORWARD_CASE(2, 1) SPARSE_FORWARD_CASE(2, 2) SPARSE_FORWARD_CASE(2, 4) SPARSE_FORWARD_CASE(2, 8)
    }
}
#define SKIPPING_FORWARD_CASE(R, C) \
    case R * 16 + C: skipping_forward_(R, C, columns, x, ldx, n, w, ldw, start, out, ldo); break;
static void skipping_forward(int rows, int vectors, const int32_t *columns, const real *x, ptrdiff_t ldx, ptrdiff_t n,
                             const real *w, ptrdiff_t ldw, const real *start, real *out, ptrdiff_t ldo) {
    switch (rows * 16 + vectors) {
        SKIPPING_FORWARD_CASE(1, 1) SKIPPING_FORWARD_CASE(1, 2) SKIPPING_FORWARD_CASE(1, 4) SKIPPING_FORWARD_CASE(1, 8)
        SKIPPING_FORWARD_CASE(2, 1) SKIPPING_FORWARD_CASE(2, 2) SKIPPING_FORWARD_CASE(2, 4) SKIPPING_FORWARD_CASE(2, 8)
    }
}
#define SPARSE_UPDATE_CASE(R, C) \
    case R * 16 + C: sparse_update_(R, C, columns, values, ldv, n, delta, ldd, w, ldw); break;
static void sparse_update(int height, int vectors, const int32_t *columns, const real *values, ptrdiff_t ldv,
                          ptrdiff_t n, const real *delta, ptrdiff_t ldd, real *w, ptrdiff_t ldw) {
    switch (height * 16 + vectors) {
        SPARSE_UPDATE_CASE(1, 1) SPARSE_UPDATE_CASE(1, 2) SPARSE_UPDATE_CASE(2, 1) SPARSE_UPDATE_CASE(2, 2)
    }
}
#define SORTED_UPDATE_CASE(C) \
    case C: sorted_update_(C, entries, n, delta, out); break;
static void sorted_update(int vectors, const sorted_t *entries, ptrdiff_t n, const real *delta, real *out) {
    switch (vectors) { SORTED_UPDATE_CASE(1) SORTED_UPDATE_CASE(2) SORTED_UPDATE_CASE(3) SORTED_UPDATE_CASE(4) }
}

/* How many of n numbers are not zero. The compiler vectorises the loops. */
static ptrdiff_t count_bytes(const uint8_t *row, ptrdiff_t n) {
    int32_t found = 0;
    for (ptrdiff_t k = 0; k < n; k++) found += row[k] != 0;
    return found;
}
static ptrdiff_t count_reals(const real *row, ptrdiff_t n) {
    bits found = 0;
    for (ptrdiff_t k = 0; k < n; k++) found += row[k] != 0;
    return (ptrdiff_t)found;
}

/* Both functions write the columns where at least one of two rows is not zero, and the values there. They return the
 * number of columns, and may write up to one vector beyond the last entry. `second` is NULL for a single row.
 * compact_bytes packs column and values into one number, column << 16 | first << 8 | second, so that one compression
 * moves all three. */
#define MAX_BYTES_COLUMNS 32768
#if defined(__AVX512BW__) && defined(__AVX512VL__)
static ptrdiff_t compact_bytes(const uint8_t *first, const uint8_t *second, ptrdiff_t n, int32_t *all) {
    __m512i places = _mm512_slli_epi32(_mm512_loadu_si512(LANES_IN_ORDER_32), 16);
    ptrdiff_t found = 0;
    for (ptrdiff_t k = 0; k < n; k += 16) {
        __mmask16 in = n - k >= 16 ? 0xffff : (__mmask16)((1 << (n - k)) - 1);
        __m128i a, b = _mm_setzero_si128();
        if (n - k >= 16) { /* a masked load is slower */
            a = _mm_loadu_si128((const __m128i *)(first + k));
            if (second) b = _mm_loadu_si128((const __m128i *)(second + k));
        } else {
            a = _mm_maskz_loadu_epi8(in, first + k);
            if (second) b = _mm_maskz_loadu_epi8(in, second + k);
        }
        __m512i bytes = _mm512_or_si512(_mm512_slli_epi32(_mm512_cvtepu8_epi32(a), 8), _mm512_cvtepu8_epi32(b));
        __mmask16 some = _mm512_test_epi32_mask(bytes, bytes);
        _mm512_storeu_si512(all + found, _mm512_maskz_compress_epi32(some, _mm512_or_si512(bytes, places)));
        places = _mm512_add_epi32(places, _mm512_set1_epi32(16 << 16));
        found += __builtin_popcount(some);
    }
    return found;
}
#  ifdef FASTNET_FLOAT64
#    define FEW(name) name##_pd
typedef __m512d few;
#  else
#    define FEW(name) name##_ps
typedef __m512 few;
#  endif
static ptrdiff_t compact_reals(const real *first, const real *second, ptrdiff_t n, int32_t *columns, real *values,
                               ptrdiff_t ldv) {
    const __m512i order = _mm512_loadu_si512(LANES_IN_ORDER_32);
    ptrdiff_t found = 0;
    for (ptrdiff_t k = 0; k < n; k += VL) {
        few zero = FEW(_mm512_setzero)(), a, b = zero;
        if (n - k >= VL) { /* a masked load is slower */
            a = FEW(_mm512_loadu)(first + k);
            if (second) b = FEW(_mm512_loadu)(second + k);
        } else {
            __mmask16 in = (__mmask16)((1 << (n - k)) - 1);
            a = FEW(_mm512_maskz_loadu)(in, first + k);
            if (second) b = FEW(_mm512_maskz_loadu)(in, second + k);
        }
#  ifdef FASTNET_FLOAT64
        __mmask8 some = _mm512_cmp_pd_mask(a, zero, _CMP_NEQ_UQ) | _mm512_cmp_pd_mask(b, zero, _CMP_NEQ_UQ);
#  else
        __mmask16 some = _mm512_cmp_ps_mask(a, zero, _CMP_NEQ_UQ) | _mm512_cmp_ps_mask(b, zero, _CMP_NEQ_UQ);
#  endif
        if (!some) continue; /* saves three stores, which often cross a cache line */
        _mm512_storeu_si512(columns + found,
                            _mm512_maskz_compress_epi32(some, _mm512_add_epi32(order, _mm512_set1_epi32((int)k))));
        FEW(_mm512_storeu)(values + found, FEW(_mm512_maskz_compress)(some, a));
        if (second) FEW(_mm512_storeu)(values + found + ldv, FEW(_mm512_maskz_compress)(some, b));
        found += __builtin_popcount(some);
    }
    return found;
}
#else
static ptrdiff_t compact_bytes(const uint8_t *first, const uint8_t *second, ptrdiff_t n, int32_t *all) {
    ptrdiff_t found = 0, k = 0;
    while (k < n) {
        uint64_t a = 1, b = 0;
        ptrdiff_t end = k + 8 <= n ? k + 8 : n;
        if (k + 8 <= n) {
            memcpy(&a, first + k, 8);
            if (second) memcpy(&b, second + k, 8);
        }
        if ((a | b) == 0) k = end; /* skips eight zero bytes at once */
        for (; k < end; k++) {
            int32_t bytes = first[k] << 8 | (second ? second[k] : 0);
            all[found] = (int32_t)k << 16 | bytes;
            found += bytes != 0;
        }
    }
    return found;
}
static ptrdiff_t compact_reals(const real *first, const real *second, ptrdiff_t n, int32_t *columns, real *values,
                               ptrdiff_t ldv) {
    ptrdiff_t found = 0;
    for (ptrdiff_t k = 0; k < n; k++) {
        columns[found] = (int32_t)k;
        values[found] = first[k];
        if (second) values[found + ldv] = second[k];
        found += first[k] != 0 || (second && second[k] != 0);
    }
    return found;
}
#endif
/* The columns that compact_reals would write, without the values. `second` may be `first`. */
static ptrdiff_t nonzero_columns(const real *first, const real *second, ptrdiff_t n, int32_t *columns) {
    ptrdiff_t found = 0, k = 0;
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    const few zero = FEW(_mm512_setzero)();
    __m512i places = _mm512_loadu_si512(LANES_IN_ORDER_32);
    for (; k + VL <= n; k += VL) {
#  ifdef FASTNET_FLOAT64
        __mmask8 some = _mm512_cmp_pd_mask(_mm512_loadu_pd(first + k), zero, _CMP_NEQ_UQ) |
                        _mm512_cmp_pd_mask(_mm512_loadu_pd(second + k), zero, _CMP_NEQ_UQ);
#  else
        __mmask16 some = _mm512_cmp_ps_mask(_mm512_loadu_ps(first + k), zero, _CMP_NEQ_UQ) |
                         _mm512_cmp_ps_mask(_mm512_loadu_ps(second + k), zero, _CMP_NEQ_UQ);
#  endif
        _mm512_storeu_si512(columns + found, _mm512_maskz_compress_epi32(some, places));
        places = _mm512_add_epi32(places, _mm512_set1_epi32(VL));
        found += __builtin_popcount(some);
    }
#endif
    for (; k < n; k++) {
        columns[found] = (int32_t)k;
        found += (first[k] != 0) | (second[k] != 0);
    }
    return found;
}

/* Split each number from compact_bytes: the column stays in `all`, and values and second = scale * bytes. */
static void unpack_bytes(int32_t *restrict all, ptrdiff_t n, real scale, real *restrict values,
                         real *restrict second) {
    if (second)
        for (ptrdiff_t k = 0; k < n; k++) {
            int32_t entry = all[k];
            values[k] = (entry >> 8 & 255) * scale;
            second[k] = (entry & 255) * scale;
            all[k] = entry >> 16;
        }
    else
        for (ptrdiff_t k = 0; k < n; k++) {
            int32_t entry = all[k];
            values[k] = (entry >> 8 & 255) * scale;
            all[k] = entry >> 16;
        }
}

/* -- the output layer --------------------------------------------------------------------------------------------- */

/* The import checks that the codes equal contract.py's. */
enum { NO_COST, SQUARED_ERROR, CROSS_ENTROPY, HALF_SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, QUANTILE, POISSON };

/* The derivative of an output's cost with respect to its error e = a - target. `number` is the number of the cost. For
 * CROSS_ENTROPY and POISSON, the derivative with respect to the weighted sum z: their logarithm cancels the derivative
 * of the activation. */
INLINE vec cost_derivative(int cost, vec number, vec e) {
    switch (cost) {
    case SQUARED_ERROR: return e + e;
    case ABSOLUTE_ERROR: return vmask(e > 0) - vmask(e < 0);
    case HUBER:
        e = vselect(e < -number, -number, e);
        return vselect(e > number, number, e);
    case QUANTILE: return vselect(e > 0, 1 - number, vselect(e < 0, -number, vsplat(0)));
    default: return e;
    }
}
/* The cost of an output with error e, where d = cost_derivative(e). For CROSS_ENTROPY and POISSON, the number has no
 * meaning: cython_backend.pyx computes these costs from the weighted sums. */
INLINE vec cost_of_error(int cost, vec e, vec d) {
    switch (cost) {
    case SQUARED_ERROR: return e * e;
    case HALF_SQUARED_ERROR: return e * e / 2;
    case HUBER: return d * (e - d / 2);
    default: return d * e;
    }
}

/* delta = factor * cost_derivative(e) * derivative(a), in whole vectors, with e = a - target. Adds weight * e^2 to
 * squares and weight * cost_of_error(e) to costs. The target is 1 at `label` and 0 elsewhere; where label < 0, delta
 * holds the target on entry. */
INLINE void output_error(int cost, real number, int activation, const real *a, real *delta, ptrdiff_t columns,
                         int64_t label, real factor, real weight, real *costs, real *squares) {
    vec cost_sum = vload(costs), square_sum = vload(squares);
    for (ptrdiff_t i = 0; i < columns; i += VL) {
        vec v = vload(a + i), target = label < 0 ? vload(delta + i) : vmask(LANE == (bits)(label - i));
        vec e = v - target, d = cost_derivative(cost, vsplat(number), e);
        cost_sum += weight * cost_of_error(cost, e, d);
        square_sum += weight * e * e;
        vstore(delta + i, d * factor * derivative(activation, v));
    }
    vstore(costs, cost_sum);
    vstore(squares, square_sum);
}

INLINE vec vmax(vec a, vec b) { return vselect(a < b, b, a); }
INLINE vec vmin(vec a, vec b) { return vselect(b < a, b, a); }

/* Poisson's cost of outputs a = exp(z) */
INLINE vec poisson(vec z, vec a, vec target) {
    vec positive = vselect(target > 0, target, vsplat(1));
    return a - target + vselect(target > 0, target * (vlog(positive) - z), vsplat(0));
}

/* The cross entropy of outputs sigmoid(z); each of the two logarithms is at most `limit` */
INLINE vec sigmoid_entropy(vec z, vec target, vec limit) {
    vec e = vexp(vselect(z < 0, z, -z)), u = 1 + e, rest = vlog(u) + (e - (u - 1)) / u; /* log1p(e) */
    return target * vmin(vmax(-z, vsplat(0)) + rest, limit) + (1 - target) * vmin(vmax(z, vsplat(0)) + rest, limit);
}

/* The cost of a row of n outputs: Poisson's, or cross entropy with sigmoids. The targets are as in output_error, and
 * padded. */
static double log_cost_of_row(int cost, real limit, const real *z, const real *a, const real *targets, ptrdiff_t n,
                              int64_t label) {
    if (n == 1 && cost == CROSS_ENTROPY) { /* with vectors, an update of 10-10-1 at one row took 12% more in float64 */
        const double t = label < 0 ? targets[0] : label == 0, rest = log1p(exp(-fabs((double)z[0])));
        const double yes = (z[0] < 0 ? -z[0] : 0) + rest, no = (z[0] > 0 ? z[0] : 0) + rest;
        return t * (yes > limit ? limit : yes) + (1 - t) * (no > limit ? limit : no);
    }
    vec total = vsplat(0);
    for (ptrdiff_t i = 0; i < n; i += VL) {
        vec target = label < 0 ? vload(targets + i) : vmask(LANE == (bits)(label - i));
        vec each = cost == POISSON ? poisson(vload(z + i), vload(a + i), target)
                                   : sigmoid_entropy(vload(z + i), target, vsplat(limit));
        total += vselect(LANE < (bits)(n - i), each, vsplat(0));
    }
    return lanes_total(total);
}

/* Whether `label` is the first index of the largest number of a[n]. The loop reads whole vectors, without branches. */
INLINE int is_first_largest(const real *a, ptrdiff_t n, int64_t label) {
    vbits beaten = (vbits)vsplat(0);
    vec best = vsplat(a[label]);
    for (ptrdiff_t i = 0; i < n; i += VL) {
        vec v = vload(a + i);
        beaten |= ((v > best) | ((v == best) & (LANE < (bits)(label - i)))) & (LANE < (bits)(n - i));
    }
    return !vany(beaten);
}

/* How many of n labels are predicted correctly, with weighted sums z. The targets are as in output_error. */
INLINE ptrdiff_t correct_labels(const real *z, const real *targets, ptrdiff_t n, int64_t label) {
    ptrdiff_t correct = 0;
    for (ptrdiff_t k = 0; k < n; k++) correct += (z[k] >= 0) == (label < 0 ? targets[k] >= REAL(0.5) : k == label);
    return correct;
}

/* -- optimisers --------------------------------------------------------------------------------------------------- */
enum { PLAIN, WITH_MOMENTUM, WITH_NESTEROV, WITH_ADAM };
typedef struct {
    int kind;
    real scale; /* multiplies the gradient */
    real decay; /* decay * parameters is added to the gradient */
    real rate;  /* the learning rate; for Adam divided by 1 - beta1^t */
    real root;  /* Adam: 1 / sqrt(1 - beta2^t) */
    real beta1, rest1, beta2, rest2, epsilon;
    double *squares; /* VL sums, to which p^2 is added before the step; or NULL */
} step_t;

INLINE vec vsqrt(vec x) {
#if VECTOR_BYTES == 64 && defined(FASTNET_FLOAT64)
    return (vec)_mm512_sqrt_pd((__m512d)x);
#elif VECTOR_BYTES == 64
    return (vec)_mm512_sqrt_ps((__m512)x);
#else
    real lanes[VL]; /* the compiler turns this loop into one instruction */
    vstore(lanes, x);
    for (int k = 0; k < VL; k++) lanes[k] = REAL_SQRT(lanes[k]);
    return vload(lanes);
#endif
}

/* a / b for b > 0, within two units in the last place. For float64, AVX-512 divides 8 numbers in 24 cycles. An estimate
 * of 1 / b with 14 right bits and two of Newton's steps, r = r (2 - b r), take 12. */
INLINE vec vquotient(vec a, vec b) {
#if VECTOR_BYTES == 64 && defined(FASTNET_FLOAT64)
    vec r = (vec)_mm512_rcp14_pd((__m512d)b);
    r = r * (2 - b * r);
    r = r * (2 - b * r);
    return a * r;
#else
    return a / b;
#endif
}

/* sums[k] += x[k]^2. A constant loop, so that the sums of a row stay in registers. */
INLINE void add_squares(vec x, double sums[VL]) {
    real lanes[VL];
    vstore(lanes, x);
    for (int k = 0; k < VL; k++) sums[k] += (double)lanes[k] * lanes[k];
}

/* Make one step for n parameters p, in whole vectors, with gradient g. m and v are the optimiser's state. */
static void step_row(const step_t *s, real *p, const real *g, real *m, real *v, ptrdiff_t n) {
    if (s->squares) { /* a loop of its own: its sums stay in registers */
        double sums[VL];
        memcpy(sums, s->squares, sizeof sums);
        for (ptrdiff_t i = 0; i < n; i += VL) add_squares(vload(p + i), sums);
        memcpy(s->squares, sums, sizeof sums);
    }
    for (ptrdiff_t i = 0; i < n; i += VL) {
        vec x = vload(p + i), d = s->scale * vload(g + i) + s->decay * x, mean, square;
        switch (s->kind) {
        case PLAIN: x -= s->rate * d; break;
        case WITH_MOMENTUM: /* m = beta m + g; p -= rate m */
            mean = s->beta1 * vload(m + i) + d;
            vstore(m + i, mean);
            x -= s->rate * mean;
            break;
        case WITH_NESTEROV: /* p -= rate (g + beta m), with the new m */
            mean = s->beta1 * vload(m + i) + d;
            vstore(m + i, mean);
            x -= s->rate * (d + s->beta1 * mean);
            break;
        default: /* Adam: Kingma and Ba (2015), algorithm 1; rate and root have the bias corrections */
            mean = s->beta1 * vload(m + i) + s->rest1 * d;
            square = s->beta2 * vload(v + i) + s->rest2 * d * d;
            vstore(m + i, mean);
            vstore(v + i, square);
            x -= vquotient(s->rate * mean, vsqrt(square) * s->root + s->epsilon);
        }
        vstore(p + i, x);
    }
}

INLINE int64_t read_now(const int64_t *p) { return *(const volatile int64_t *)p; } /* another thread may write */

/* -- a team of threads -------------------------------------------------------------------------------------------- */
#if defined(__GNUC__) || defined(__clang__)
#  define TEAMS 1
#  define SPINS 4000 /* how often a barrier spins before it yields the core (about 40 microseconds) */
#  if defined(__x86_64__)
#    define RELAX() _mm_pause()
#  elif defined(__aarch64__)
#    define RELAX() __asm__ volatile("yield")
#  else
#    define RELAX() ((void)0)
#  endif
#  ifdef _WIN32
#    include <windows.h>
#    define YIELD() SwitchToThread()
#  else
#    include <sched.h>
#    define YIELD() sched_yield()
#  endif
/* Wait until all threads are here, and return 0. Return 1 at once if one of them has failed. Each atomic operation is a
 * step of the model in tests/kernels/test_contract_barrier.py: change both together. */
static int team_wait(int64_t *n_threads, int64_t *arrived, int64_t *turn, int64_t *broken) {
    int64_t now = __atomic_load_n(turn, __ATOMIC_ACQUIRE);
    if (*n_threads == 1) return 0;
    if (__atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL) == *n_threads) {
        __atomic_store_n(arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(turn, now + 1, __ATOMIC_RELEASE);
    }
    for (int spins = 0; __atomic_load_n(turn, __ATOMIC_ACQUIRE) == now; spins++) {
        if (__atomic_load_n(broken, __ATOMIC_RELAXED)) return 1;
        if (spins > SPINS) YIELD(); /* there may be more threads than cores */
        else RELAX();
    }
    return 0;
}
#else
#  define TEAMS 0
static int team_wait(int64_t *n_threads, int64_t *arrived, int64_t *turn, int64_t *broken) { return 0; }
#endif

/* -- the time of each phase of `train`, for each thread of a team -------------------------------------------------
 * Only a build with FASTNET_PHASES=1 measures it: see "Profile" in CONTRIBUTING.md. */
enum { BETWEEN_CALLS, PACK, GATHER, FORWARD, OUTPUT, BACKWARD, WAIT_DELTAS, UPDATE, WAIT_UPDATE, STEP, WAIT_STEP, UNPACK,
       N_PHASES };
#ifdef FASTNET_PHASES
#  include <time.h>
static struct {
    int64_t last, spent[N_PHASES];
    char padding[64]; /* no two threads write to the same line */
} phases_of[64];
static void lap(ptrdiff_t worker, int phase) { /* add the time since the worker's last lap to this phase */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (phases_of[worker].last) phases_of[worker].spent[phase] += ns - phases_of[worker].last;
    phases_of[worker].last = ns;
}
static int64_t spent(ptrdiff_t worker, int phase) { /* nanoseconds since the last question */
    int64_t ns = phases_of[worker].spent[phase];
    phases_of[worker].spent[phase] = 0;
    return ns;
}
#else
#  define lap(worker, phase) ((void)0)
#  define spent(worker, phase) 0
#endif

/* -- the multiply-add peak of this core, for benchmarks; returns the number of operations ---------------------- */
static double multiply_add_peak(ptrdiff_t repeats, real *sink) {
    volatile real unknown = REAL(0.001); /* with a constant, GCC removed the sum that starts at 1 and stays 1 */
    vec acc[12], y = vsplat(unknown), x = 1 - y;
    UNROLL
    for (int i = 0; i < 12; i++) acc[i] = vsplat((real)i);
    for (ptrdiff_t k = 0; k < repeats; k++) {
        UNROLL
        for (int i = 0; i < 12; i++) acc[i] = acc[i] * x + y;
    }
    UNROLL
    for (int i = 1; i < 12; i++) acc[0] += acc[i];
    vstore(sink, acc[0]);
    *(volatile real *)sink = sink[0]; /* otherwise the compiler removes the loop as unused */
    return 2.0 * 12 * VL * (double)repeats;
}
#endif
