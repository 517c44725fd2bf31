"""The C source of a network with places for its parts, as templates of string.Template.

In all templates, $name and $NAME are the prefix of the names, $real is float or double, and $f is the ending of the
functions and constants of that type, such as expf and 1.0f.
"""

FILE = """\
/* A neural network, written by fastnet $version. This file needs math.h and nothing else. It allocates no memory and
 * writes to no static variable, so that several threads may call its functions.
 *
$about
 *
 * Use:
 *
 *     $real x[${NAME}_N_IN], out[${NAME}_N_OUT];
 *     ${name}_forward(x, out);
$use
 *
 * If this file is $name.c, another file declares the functions with
 *
 *     #define ${NAME}_DECLARATIONS
 *     #include "$name.c"
 *
 * Self-test, whose exit status is 0 if the outputs are right:
 *
 *     cc -std=c99 -D${NAME}_SELF_TEST $name.c -lm && ./a.out
 */

#ifndef ${NAME}_N_IN
#define ${NAME}_N_IN $n_in /* inputs */
#define ${NAME}_N_OUT $n_out /* outputs */
#define ${NAME}_MAX_WIDTH $max_width /* the widest hidden layer; a call keeps two arrays of this length on the stack */

#ifdef __cplusplus
extern "C" {
#endif
/* The arrays x and out must not overlap. A byte of 1 stands for $byte_scale. */
void ${name}_forward(const $real x[${NAME}_N_IN], $real out[${NAME}_N_OUT]);
void ${name}_forward_bytes(const unsigned char x[${NAME}_N_IN], $real out[${NAME}_N_OUT]);
$declarations#ifdef __cplusplus
}
#endif
#endif

#ifndef ${NAME}_DECLARATIONS
#include <math.h>

/* The weights that belong to one input lie together. */
$parameters
/* Writes the weighted sums of a layer to z. The inputs are x, or bytes if x is a null pointer. */
static void ${name}_layer(const $real *x, const unsigned char *bytes, int n_in, const $real *w, const $real *b,
                          $real *z, int n_out)
{
    int i, j;
    for (j = 0; j < n_out; j++)
        z[j] = b[j];
    for (i = 0; i < n_in; i++, w += n_out) {
        const $real value = x ? x[i] : bytes[i] * $byte_scale;
        if (value != 0) /* images have many zeros */
            for (j = 0; j < n_out; j++)
                z[j] += value * w[j];
    }
}

$activations/* Writes the weighted sums of the output layer. The inputs are x, or bytes if x is a null pointer. */
static void ${name}_sums(const $real *x, const unsigned char *bytes, $real *sums)
{
$layers
}

void ${name}_forward(const $real x[${NAME}_N_IN], $real out[${NAME}_N_OUT])
{
    ${name}_sums(x, 0, out);
$output}

void ${name}_forward_bytes(const unsigned char x[${NAME}_N_IN], $real out[${NAME}_N_OUT])
{
    ${name}_sums(0, x, out);
$output}

$predict$class_name#ifdef ${NAME}_SELF_TEST
$test_arrays
int main(void)
{
    $real out[${NAME}_N_OUT];
    int row, j;
    for (row = 0; row < 2 * $n_tested; row++) {
        if (row < $n_tested)
            ${name}_forward(${name}_test_x + row * ${NAME}_N_IN, out);
        else
            ${name}_forward_bytes(${name}_test_bytes + (row - $n_tested) * ${NAME}_N_IN, out);
        for (j = 0; j < ${NAME}_N_OUT; j++) {
            const $real expected = ${name}_test_out[row * ${NAME}_N_OUT + j];
            if (out[j] != expected && !(fabs$f(out[j] - expected) <= $tolerance * (1 + fabs$f(expected))))
                return 1;
        }
    }
    return 0;
}
#endif
#endif
"""

ACTIVATION = """\
static void ${name}_$activation($real *z, int n)
{
    int j;
$body}

"""

# Each activation replaces n weighted sums z. Identity needs no code.
BODIES = {
    "sigmoid": """\
    for (j = 0; j < n; j++) {
        const $real e = exp$f(z[j] < 0 ? z[j] : -z[j]); /* at most 1, so nothing overflows */
        z[j] = (z[j] < 0 ? e : 1) / (1 + e);
    }
""",
    "relu": """\
    for (j = 0; j < n; j++)
        z[j] = z[j] < 0 ? 0 : z[j];
""",
    "tanh": """\
    for (j = 0; j < n; j++)
        z[j] = tanh$f(z[j]);
""",
    "leaky_relu": """\
    for (j = 0; j < n; j++)
        z[j] = z[j] < 0 ? z[j] * $leaky_slope : z[j];
""",
    "softmax": """\
    $real largest = z[0], sum = 0;
    for (j = 1; j < n; j++)
        largest = z[j] > largest ? z[j] : largest;
    for (j = 0; j < n; j++) {
        z[j] = exp$f(z[j] - largest); /* at most 1, so nothing overflows */
        sum += z[j];
    }
    for (j = 0; j < n; j++)
        z[j] /= sum;
""",
    "exponential": """\
    for (j = 0; j < n; j++)
        z[j] = exp$f(z[j]);
""",
}

# What each task predicts: the declarations, how to use them, and the code.
PREDICT_DECLARATIONS = {
    "classification": """\
int ${name}_predict(const $real x[${NAME}_N_IN]); /* the class, from 0 on */
int ${name}_predict_bytes(const unsigned char x[${NAME}_N_IN]);
""",
    "multilabel": """\
void ${name}_predict(const $real x[${NAME}_N_IN], int labels[${NAME}_N_OUT]); /* 1 for each label that x has, else 0 */
void ${name}_predict_bytes(const unsigned char x[${NAME}_N_IN], int labels[${NAME}_N_OUT]);
""",
    "regression": "",
}
PREDICT_USE = {
    "classification": " *     int label = ${name}_predict(x);",
    "multilabel": " *     int labels[${NAME}_N_OUT];\n *     ${name}_predict(x, labels);",
    "regression": " *",
}
PREDICT = {
    "classification": """\
/* The weighted sums decide, since several activations may round to 1. */
static int ${name}_class(const $real *sums)
{
    int j, best = 0;
    if (${NAME}_N_OUT == 1)
        return sums[0] >= 0;
    for (j = 1; j < ${NAME}_N_OUT; j++)
        if (sums[j] > sums[best])
            best = j;
    return best;
}

int ${name}_predict(const $real x[${NAME}_N_IN])
{
    $real sums[${NAME}_N_OUT];
    ${name}_sums(x, 0, sums);
    return ${name}_class(sums);
}

int ${name}_predict_bytes(const unsigned char x[${NAME}_N_IN])
{
    $real sums[${NAME}_N_OUT];
    ${name}_sums(0, x, sums);
    return ${name}_class(sums);
}

""",
    "multilabel": """\
static void ${name}_labels(const $real *sums, int *labels)
{
    int j;
    for (j = 0; j < ${NAME}_N_OUT; j++)
        labels[j] = sums[j] >= 0;
}

void ${name}_predict(const $real x[${NAME}_N_IN], int labels[${NAME}_N_OUT])
{
    $real sums[${NAME}_N_OUT];
    ${name}_sums(x, 0, sums);
    ${name}_labels(sums, labels);
}

void ${name}_predict_bytes(const unsigned char x[${NAME}_N_IN], int labels[${NAME}_N_OUT])
{
    $real sums[${NAME}_N_OUT];
    ${name}_sums(0, x, sums);
    ${name}_labels(sums, labels);
}

""",
    "regression": "",
}

CLASS_NAME_DECLARATION = """\
const char *${name}_class_name(int label); /* in UTF-8; "" for a class without a name */
"""
CLASS_NAME = """\
const char *${name}_class_name(int label)
{
    static const char *const names[] = {
        $class_names
    };
    return label >= 0 && label < $n_names ? names[label] : "";
}

"""
