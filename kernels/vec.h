/* Vectors and register tiles of the Cython backend, for one dtype and one instruction set a build.
 *
 * GCC's and Clang's vector extensions give AVX-512, AVX2, SSE and NEON code from this one text; another compiler
 * gets vectors of one element. Every width is a whole number of vectors: the caller pads with zeros.
 * Not here: loops over layers, batches or blocks (cython_backend.pyx), nor any allocation.
 */
#ifndef FASTNET_VEC_H
#define FASTNET_VEC_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef FASTNET_FLOAT64
typedef double real;
typedef int64_t bits;
#  define REAL(x) x
#  define MANTISSA 52
#  define EXPONENT_BIAS 1023
#  define EXP_MIN -708.0
#  define EXP_MAX 709.0
#  define EXP_DEGREE 13
#  define LN2_HI 6.93147180369123816490e-01 /* its last 32 bits are zero: n * LN2_HI is exact */
#  define LN2_LO 1.90821492927058770002e-10
#else
typedef float real;
typedef int32_t bits;
#  define REAL(x) x##f
#  define MANTISSA 23
#  define EXPONENT_BIAS 127
#  define EXP_MIN -87.0f
#  define EXP_MAX 88.0f
#  define EXP_DEGREE 7
#  define LN2_HI 0.693359375f /* 9 bits: n * LN2_HI is exact */
#  define LN2_LO -2.12194440e-4f
#endif

#if defined(__GNUC__) || defined(__clang__)
#  if defined(__AVX512F__)
#    define VECTOR_BYTES 64
#    define REGISTERS 32
#  else
#    define VECTOR_BYTES 32
#    define REGISTERS 16
#  endif
#  define VL ((int)(VECTOR_BYTES / sizeof(real)))
#  define INLINE static inline __attribute__((always_inline))
#  define UNROLL _Pragma("GCC unroll 16")
#  define PREFETCH(p) __builtin_prefetch((p), 0, 2)
typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real vec_unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef bits vbits __attribute__((vector_size(VECTOR_BYTES), may_alias));
INLINE vec vload(const real *p) { return *(const vec_unaligned *)p; }
INLINE void vstore(real *p, vec v) { *(vec_unaligned *)p = v; }
INLINE vec vsplat(real a) { return a - (vec){0}; }
INLINE vbits vround(vec x) { /* to nearest, halves away from zero; NaN gives some integer */
    vbits half = ((vbits)x & (vbits)vsplat(REAL(-0.0))) | (vbits)vsplat(REAL(0.5));
    return __builtin_convertvector(x + (vec)half, vbits);
}
INLINE vec vreal(vbits n) { return __builtin_convertvector(n, vec); }
INLINE vec vselect(vbits mask, vec yes, vec no) { return (vec)((mask & (vbits)yes) | (~mask & (vbits)no)); }
INLINE vec vpow2(vbits n) { return (vec)((n + EXPONENT_BIAS) << MANTISSA); }
#else
#  define REGISTERS 16
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

/* -- the floating-point environment: denormals flushed for the duration of a call ---------------------------- */
#if defined(__x86_64__) || defined(_M_X64)
#  include <xmmintrin.h>
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
 * exp(x) = 2^n (1 + p(r)), x = n ln 2 + r, |r| <= ln 2 / 2; p is the Taylor series of exp(r) - 1, cut where its
 * remainder is below the rounding. Arguments beyond the exponent's range are clamped to it; NaN stays NaN. */
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

INLINE vec vexpm1(vec x) { /* accurate near 0, where exp(x) - 1 would cancel */
    vec power, p = exp_parts(x, &power);
    return power * p + (power - 1);
}

/* -- activations of n values (whole vectors), and slopes in terms of the output --------------------------------- */
#define MAP(NAME, VALUE)                                        \
    static void NAME(const real *z, real *a, ptrdiff_t n) {     \
        for (ptrdiff_t i = 0; i < n; i += VL) {                 \
            vec v = vload(z + i);                               \
            vstore(a + i, VALUE);                               \
        }                                                       \
    }
#define MULTIPLY_BY(NAME, SLOPE)                                \
    static void NAME(const real *a, real *delta, ptrdiff_t n) { \
        for (ptrdiff_t i = 0; i < n; i += VL) {                 \
            vec v = vload(a + i);                               \
            vstore(delta + i, vload(delta + i) * (SLOPE));      \
        }                                                       \
    }
static real LEAKY_SLOPE; /* set when the module is imported, from contract.py */
INLINE int64_t read_now(const int64_t *p) { return *(const volatile int64_t *)p; } /* another thread may write */
INLINE vec vtanh(vec z) {
    vec e = vexpm1(z + z);
    return e / (e + 2);
}
MAP(map_exp, vexp(v))
MAP(map_sigmoid, 1 / (1 + vexp(-v)))
MULTIPLY_BY(slope_sigmoid, v *(1 - v))
MAP(map_tanh, vtanh(v))
MULTIPLY_BY(slope_tanh, 1 - v * v)
MAP(map_relu, vselect(v < 0, vsplat(0), v)) /* a NaN stays */
MULTIPLY_BY(slope_relu, vselect(v > 0, vsplat(1), vsplat(0)))
MAP(map_leaky_relu, vselect(v < 0, v *LEAKY_SLOPE, v))
MULTIPLY_BY(slope_leaky_relu, vselect(v > 0, vsplat(1), vsplat(LEAKY_SLOPE)))

/* -- register tiles ------------------------------------------------------------------------------------------- */
#define GROUP 4 /* inputs handled, and skipped when all are zero, together */
#define TILE_VECTORS (REGISTERS == 32 ? 4 : 2)
#define TILE_ROWS 6
#define DOT_ROWS (REGISTERS == 32 ? 6 : 3)

/* out[R][C vectors] += x[R][inputs] w[inputs][C vectors], the inputs being those of the n groups listed. */
INLINE void forward_tile_(const int R, const int C, const real *x, ptrdiff_t ldx, const int32_t *groups, ptrdiff_t n,
                          const real *w, ptrdiff_t ldw, real *out, ptrdiff_t ldo) {
    vec acc[TILE_ROWS][4];
    UNROLL
    for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < C; v++) acc[r][v] = vload(out + r * ldo + v * VL);
    for (ptrdiff_t g = 0; g < n; g++) {
        const real *xg = x + groups[g] * GROUP, *wg = w + groups[g] * GROUP * ldw;
        UNROLL
        for (int k = 0; k < GROUP; k++) {
            vec wv[4];
            UNROLL
            for (int v = 0; v < C; v++) wv[v] = vload(wg + k * ldw + v * VL);
            UNROLL
            for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < C; v++) acc[r][v] += xg[r * ldx + k] * wv[v];
        }
    }
    UNROLL
    for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < C; v++) vstore(out + r * ldo + v * VL, acc[r][v]);
}

/* For each of the n groups listed: out[GROUP][C vectors] += x[rows][GROUP]^T delta[rows][C vectors] */
INLINE void update_tiles_(const int C, const real *x, ptrdiff_t ldx, ptrdiff_t rows, const int32_t *groups, ptrdiff_t n,
                          const real *delta, ptrdiff_t ldd, real *out, ptrdiff_t ldo) {
    for (ptrdiff_t g = 0; g < n; g++) {
        const real *xg = x + groups[g] * GROUP;
        real *og = out + groups[g] * GROUP * ldo;
        vec acc[GROUP][4];
        UNROLL
        for (int k = 0; k < GROUP; k++) UNROLL for (int v = 0; v < C; v++) acc[k][v] = vload(og + k * ldo + v * VL);
        for (ptrdiff_t i = 0; i < rows; i++) {
            vec dv[4];
            UNROLL
            for (int v = 0; v < C; v++) dv[v] = vload(delta + i * ldd + v * VL);
            UNROLL
            for (int k = 0; k < GROUP; k++) UNROLL for (int v = 0; v < C; v++) acc[k][v] += xg[i * ldx + k] * dv[v];
        }
        UNROLL
        for (int k = 0; k < GROUP; k++) UNROLL for (int v = 0; v < C; v++) vstore(og + k * ldo + v * VL, acc[k][v]);
    }
}

/* sums[width] += delta[rows][width], whole vectors */
static void add_rows(const real *delta, ptrdiff_t rows, ptrdiff_t width, real *sums) {
    for (ptrdiff_t k = 0; k < width; k += VL) {
        vec total = vload(sums + k);
        for (ptrdiff_t i = 0; i < rows; i++) total += vload(delta + i * width + k);
        vstore(sums + k, total);
    }
}

/* The sums over the lanes of four vectors: two butterflies that transpose as they add, then halves folded. */
#if VECTOR_BYTES && (defined(__clang__) || __GNUC__ >= 12)
#  define LANES4(F, o) F(o), F(o + 1), F(o + 2), F(o + 3)
#  define LANES8(F, o) LANES4(F, o), LANES4(F, o + 4)
#  define LANES16(F, o) LANES8(F, o), LANES8(F, o + 8)
#  define EVEN(i) (((i)&1) * VL + ((i) & ~1))
#  define ODD(i) (EVEN(i) + 1)
#  define LOW(i) ((((i) >> 1) & 1) * VL + ((i) & ~2))
#  define HIGH(i) (LOW(i) + 2)
#  if VECTOR_BYTES == 64 && !defined(FASTNET_FLOAT64)
#    define LANES(F) LANES16(F, 0)
#  elif VECTOR_BYTES == 64 || !defined(FASTNET_FLOAT64)
#    define LANES(F) LANES8(F, 0)
#  else
#    define LANES(F) LANES4(F, 0)
#  endif
#  define SHUFFLE __builtin_shufflevector
#  define BUTTERFLY(a, b, F, G) (SHUFFLE(a, b, LANES(F)) + SHUFFLE(a, b, LANES(G)))
typedef real vec4 __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
INLINE void sum4(const vec *v, real *out) {
    vec s = BUTTERFLY(BUTTERFLY(v[0], v[1], EVEN, ODD), BUTTERFLY(v[2], v[3], EVEN, ODD), LOW, HIGH);
#  if VECTOR_BYTES == 64 && !defined(FASTNET_FLOAT64)
    *(vec4 *)out = (SHUFFLE(s, s, 0, 1, 2, 3) + SHUFFLE(s, s, 4, 5, 6, 7)) +
                   (SHUFFLE(s, s, 8, 9, 10, 11) + SHUFFLE(s, s, 12, 13, 14, 15));
#  elif VECTOR_BYTES == 64 || !defined(FASTNET_FLOAT64)
    *(vec4 *)out = SHUFFLE(s, s, 0, 1, 2, 3) + SHUFFLE(s, s, 4, 5, 6, 7);
#  else
    *(vec4 *)out = s;
#  endif
}
#else
INLINE void sum4(const vec *v, real *out) {
    for (int k = 0; k < 4; k++) {
        real lanes[sizeof(vec) / sizeof(real)], total = 0;
        vstore(lanes, v[k]);
        for (int i = 0; i < VL; i++) total += lanes[i];
        out[k] = total;
    }
}
#endif

/* For each of `groups` groups: out[R][GROUP] = delta[R][n] . w[GROUP][n], n a whole number of vectors */
INLINE void backward_tiles_(const int R, const real *delta, ptrdiff_t ldd, const real *w, ptrdiff_t ldw, ptrdiff_t n,
                            ptrdiff_t groups, real *out, ptrdiff_t ldo) {
    for (ptrdiff_t g = 0; g < groups; g++, w += GROUP * ldw, out += GROUP) {
        vec acc[DOT_ROWS][GROUP];
        UNROLL
        for (int r = 0; r < R; r++) UNROLL for (int k = 0; k < GROUP; k++) acc[r][k] = vsplat(0);
        for (ptrdiff_t i = 0; i < n; i += VL) {
            vec wv[GROUP];
            UNROLL
            for (int k = 0; k < GROUP; k++) wv[k] = vload(w + k * ldw + i);
            UNROLL
            for (int r = 0; r < R; r++) {
                vec d = vload(delta + r * ldd + i);
                UNROLL
                for (int k = 0; k < GROUP; k++) acc[r][k] += d * wv[k];
            }
        }
        UNROLL
        for (int r = 0; r < R; r++) sum4(acc[r], out + r * ldo);
    }
}

/* A tile's size is a constant in each case, so that the compiler keeps it in registers. */
#define FORWARD_CASE(R, C) \
    case R * 8 + C: forward_tile_(R, C, x, ldx, groups, n, w, ldw, out, ldo); break;
#define FORWARD_ROWS(R) FORWARD_CASE(R, 1) FORWARD_CASE(R, 2) FORWARD_CASE(R, 3) FORWARD_CASE(R, 4)
static void forward_tile(int rows, int vectors, const real *x, ptrdiff_t ldx, const int32_t *groups, ptrdiff_t n,
                         const real *w, ptrdiff_t ldw, real *out, ptrdiff_t ldo) {
    switch (rows * 8 + vectors) {
        FORWARD_ROWS(1) FORWARD_ROWS(2) FORWARD_ROWS(3) FORWARD_ROWS(4) FORWARD_ROWS(5) FORWARD_ROWS(6)
    }
}

#define UPDATE_CASE(C) \
    case C: update_tiles_(C, x, ldx, rows, groups, n, delta, ldd, out, ldo); break;
static void update_tiles(int vectors, const real *x, ptrdiff_t ldx, ptrdiff_t rows, const int32_t *groups, ptrdiff_t n,
                         const real *delta, ptrdiff_t ldd, real *out, ptrdiff_t ldo) {
    switch (vectors) { UPDATE_CASE(1) UPDATE_CASE(2) UPDATE_CASE(3) UPDATE_CASE(4) }
}

#define BACKWARD_CASE(R) \
    case R: backward_tiles_(R, delta, ldd, w, ldw, n, groups, out, ldo); break;
static void backward_tiles(int rows, const real *delta, ptrdiff_t ldd, const real *w, ptrdiff_t ldw, ptrdiff_t n,
                           ptrdiff_t groups, real *out, ptrdiff_t ldo) {
    switch (rows) {
        BACKWARD_CASE(1) BACKWARD_CASE(2) BACKWARD_CASE(3)
#if REGISTERS == 32
        BACKWARD_CASE(4) BACKWARD_CASE(5) BACKWARD_CASE(6)
#endif
    }
}

/* -- the multiply-add peak of this core, the yardstick of the benchmarks: returns the operations done ---------- */
static double multiply_add_peak(ptrdiff_t repeats, real *sink) {
    vec acc[12], x = vsplat(REAL(0.999)), y = vsplat(REAL(0.001));
    UNROLL
    for (int i = 0; i < 12; i++) acc[i] = vsplat((real)i);
    for (ptrdiff_t k = 0; k < repeats; k++) {
        UNROLL
        for (int i = 0; i < 12; i++) acc[i] = acc[i] * x + y;
    }
    UNROLL
    for (int i = 1; i < 12; i++) acc[0] += acc[i];
    vstore(sink, acc[0]);
    *(volatile real *)sink = sink[0]; /* or the compiler sees that nobody reads it, and leaves out the work */
    return 2.0 * 12 * VL * (double)repeats;
}
#endif
