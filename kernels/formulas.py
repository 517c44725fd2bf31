"""The formulas: each activation and each cost once, with its derivative, and each optimiser's update as text.

The compiled backends have their own vector code, which tests/kernels/test_formulas.py compares with these formulas.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats, Ints

# In all formulas, z stands for weighted sums, a for activations, and `target` for the desired activations of the last
# layer. All three are arrays (neurons, examples) of float32 or float64. A result has the dtype of the arguments.

# The number 1 as an array of shape (), for each dtype. With Python's number 1, an operation on a small array takes half
# a microsecond more. A batch of 784-16-16-10 has nine such operations and takes 35 microseconds.
ONE: dict[np.dtype[Any], Floats] = {np.dtype(dtype): np.ones((), dtype) for dtype in (np.float32, np.float64)}

# -- activations ------------------------------------------------------------------------------------------------------


class Function(Protocol):
    """An activation function: it returns a for z. It writes the result to `out`, which may be z, or to a new array."""

    def __call__(self, z: Floats, out: Floats | None = None, /) -> Floats: ...


Derivative = Callable[[Floats], Floats]  # the derivative of a with respect to z, computed from a


class Activation(NamedTuple):
    """One row of the table of activations."""

    name: str
    code: int  # in the ACTIVATION column of a network
    about: str  # for the documentation
    function: Function
    derivative: Derivative | None  # None where an output depends on more than the neuron's own z
    is_hidden: bool = True  # whether hidden layers may have this activation
    low: float = -math.inf  # the smallest output, and the smallest target
    high: float = math.inf  # the largest output, and the largest target
    gain: float = 1.0  # "scaled" initial weights have the variance gain / n_in

    @property
    def is_probability(self) -> bool:
        """Whether the outputs are probabilities of classes."""
        return (self.low, self.high) == (0, 1)


def sigmoid(z: Floats, out: Floats | None = None) -> Floats:
    one = ONE[z.dtype]
    return np.divide(one, one + np.exp(-z), out)


def sigmoid_derivative(a: Floats) -> Floats:
    return a * (ONE[a.dtype] - a)


def relu(z: Floats, out: Floats | None = None) -> Floats:
    return np.maximum(z, 0, out=out)


def relu_derivative(a: Floats) -> Floats:
    return (a > 0).astype(a.dtype)


def tanh_derivative(a: Floats) -> Floats:
    return ONE[a.dtype] - a * a


def leaky_relu(z: Floats, out: Floats | None = None) -> Floats:
    return np.maximum(z, c.LEAKY_SLOPE * z, out=out)


def leaky_relu_derivative(a: Floats) -> Floats:
    return np.where(a > 0, a.dtype.type(1), a.dtype.type(c.LEAKY_SLOPE))


def softmax(z: Floats, out: Floats | None = None) -> Floats:
    e = np.exp(z - z.max(0))  # exp(z) would overflow for a large z
    return np.divide(e, e.sum(0), out)


def exponential_derivative(a: Floats) -> Floats:
    return a


ACTIVATIONS = {
    row.name: row
    for row in (
        Activation(
            name="sigmoid",
            code=c.SIGMOID,
            about="1 / (1 + exp(-z)), a smooth step",
            function=sigmoid,
            derivative=sigmoid_derivative,
            low=0,
            high=1,
        ),
        Activation(
            name="relu",
            code=c.RELU,
            about="max(z, 0), the rectified linear unit",
            function=relu,
            derivative=relu_derivative,
            low=0,
            gain=2,
        ),
        Activation(
            name="tanh",
            code=c.TANH,
            about="the hyperbolic tangent",
            function=np.tanh,
            derivative=tanh_derivative,
            low=-1,
            high=1,
        ),
        Activation(
            name="leaky_relu",
            code=c.LEAKY_RELU,
            about=f"max(z, {c.LEAKY_SLOPE:g} z), a rectified linear unit whose derivative is never 0",
            function=leaky_relu,
            derivative=leaky_relu_derivative,
            gain=2 / (1 + c.LEAKY_SLOPE**2),
        ),
        Activation(
            name="identity",
            code=c.IDENTITY,
            about="z, for regression",
            function=np.positive,
            derivative=np.ones_like,
        ),
        Activation(
            name="softmax",
            code=c.SOFTMAX,
            about="exp(z) divided by its sum over the layer: probabilities of classes that exclude each other",
            function=softmax,
            derivative=None,
            is_hidden=False,
            low=0,
            high=1,
        ),
        Activation(
            name="exponential",
            code=c.EXPONENTIAL,
            about="exp(z), for counts and other positive outputs",
            function=np.exp,
            derivative=exponential_derivative,
            is_hidden=False,
            low=0,
        ),
    )
}
BY_CODE = {activation.code: activation for activation in ACTIVATIONS.values()}

# -- costs ------------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """A cost for outputs with a certain activation. The error of the outputs is a - target."""

    # (z, target, error, weights): the weighted sum of the costs of the examples. weights (n,), or None for weights of 1
    cost: Callable[[Floats, Floats, Floats, Floats | None], float]
    delta: Callable[[Floats, Floats], Floats]  # (a, error): the derivative of an example's cost with respect to its z
    reads_error: bool = True  # whether `cost` reads the error
    # (z, labels, weights): what `cost` returns for the targets of class labels (n,), within rounding. None: use `cost`
    cost_of_labels: Callable[[Floats, NDArray[np.generic], Floats | None], float] | None = None


class Cost(NamedTuple):
    """One row of the table of costs."""

    name: str
    code: int  # in the COST column of a network's last layer
    about: str  # for the documentation
    default_output: str  # the activation of the output layer if the user names none
    outputs: tuple[str, ...]  # the activations that the cost accepts in the output layer
    pair: Callable[[Activation, float], Pair]  # (the output activation, the number of the cost)
    number_name: str = ""  # what the number of the cost is called, "" for a cost without a number
    default_number: float = 0.0


def _total(costs: Floats, weights: Floats | None) -> float:
    """The weighted sum of costs (n_out, n). Weights of 1 give the same bits as None."""
    return float((costs if weights is None else costs * weights).sum())


# The costs that are sums over the outputs: the cost of an output with this error, and its derivative by the error.
# `number` is the number of the cost.


def squared_error(error: Floats, number: float) -> Floats:
    return error * error


def squared_error_derivative(error: Floats, number: float) -> Floats:
    return error + error  # 2 * error takes longer: see ONE


def half_squared_error(error: Floats, number: float) -> Floats:
    return error * error / 2


def half_squared_error_derivative(error: Floats, number: float) -> Floats:
    return error


def absolute_error(error: Floats, number: float) -> Floats:
    return np.abs(error)


def absolute_error_derivative(error: Floats, number: float) -> Floats:
    return np.sign(error)  # 0 at the kink


def huber(error: Floats, number: float) -> Floats:
    distance = np.abs(error)
    return np.where(distance <= number, error * error / 2, number * (distance - number / 2))


def huber_derivative(error: Floats, number: float) -> Floats:
    return np.clip(error, -number, number)


def quantile(error: Floats, number: float) -> Floats:
    return np.maximum((1 - number) * error, -number * error)


def quantile_derivative(error: Floats, number: float) -> Floats:
    sign = np.sign(error)
    return sign * quantile(sign, number)  # 1 - number above 0, -number below 0, 0 at the kink


ErrorFunction = Callable[[Floats, float], Floats]


def _sum_over_outputs(cost: ErrorFunction, derivative: ErrorFunction) -> Callable[[Activation, float], Pair]:
    """Returns the function `pair` of a cost that is a sum over the outputs."""

    def pair(output: Activation, number: float) -> Pair:
        by_z = output.derivative

        def total(z: Floats, target: Floats, error: Floats, weights: Floats | None) -> float:
            return _total(cost(error, number), weights)

        def delta(a: Floats, error: Floats) -> Floats:
            by_a = derivative(error, number)
            if by_z is None:  # a softmax: da_i / dz_j = a_i ((i == j) - a_j)
                return a * (by_a - (a * by_a).sum(0))
            return by_a * by_z(a)

        def total_of_squares(z: Floats, target: Floats, error: Floats, weights: Floats | None) -> float:
            return float(np.vdot(error, error if weights is None else error * weights))  # faster than `total`

        return Pair(total_of_squares if cost is squared_error else total, delta)

    return pair


def _cross_entropy(output: Activation, number: float) -> Pair:
    """Minus the logarithm of a probability counts as at most `number`, per output. Its derivative is not cut off."""
    is_limited = number < math.inf

    def of_softmax(z: Floats, target: Floats, error: Floats, weights: Floats | None) -> float:
        """-sum(target log(a)), for targets that sum to 1. It is computed from z, because a may be rounded to 0."""
        z = z - np.maximum.reduce(z)  # reduce takes 0.5 us less than max or sum
        distance = np.log(np.add.reduce(np.exp(z))) - z  # -log(a)
        if is_limited:
            distance = np.minimum(distance, number)
        return float(np.vdot(distance, target if weights is None else target * weights))

    def of_softmax_labels(z: Floats, labels: NDArray[np.generic], weights: Floats | None) -> float:
        """-sum(log(a)) of the outputs of the labels. With ten outputs, `evaluate` takes 0.6 of the time."""
        z = z - np.maximum.reduce(z)
        distance = np.log(np.add.reduce(np.exp(z))) - z[labels, np.arange(len(labels))]
        return _total(np.minimum(distance, number) if is_limited else distance, weights)

    def of_sigmoid(z: Floats, target: Floats, error: Floats, weights: Floats | None) -> float:
        """-sum(target log(a) + (1 - target) log(1 - a)), computed from z, because a may be rounded to 0 or 1."""
        rest = np.log1p(np.exp(-np.abs(z)))  # -log(1 - a) is max(z, 0) + rest, and -log(a) is max(-z, 0) + rest
        if not is_limited:
            return _total(np.maximum(z, 0) - target * z + rest, weights)
        low, high = np.minimum(np.maximum(-z, 0) + rest, number), np.minimum(np.maximum(z, 0) + rest, number)
        return _total(target * low + (1 - target) * high, weights)

    if output.name == "softmax":
        return Pair(of_softmax, canonical_delta, reads_error=False, cost_of_labels=of_softmax_labels)
    return Pair(of_sigmoid, canonical_delta, reads_error=False)


def _poisson(output: Activation, number: float) -> Pair:
    def cost(z: Floats, target: Floats, error: Floats, weights: Floats | None) -> float:
        """a - target + target log(target / a), with 0 log 0 = 0. Half of the Poisson deviance."""
        log_target = np.log(np.where(target > 0, target, 1))
        return _total(error + target * (log_target - z), weights)

    return Pair(cost, canonical_delta)


def canonical_delta(a: Floats, error: Floats) -> Floats:
    """The derivative of the logarithm cancels that of the activation. The error remains."""
    return error


_ANY_OUTPUT = tuple(ACTIVATIONS)
COSTS = {
    row.name: row
    for row in (
        Cost(
            name="squared_error",
            code=c.SQUARED_ERROR,
            about="the sum of (a - target)^2 over the outputs, without a factor 1/2",
            default_output="sigmoid",
            outputs=_ANY_OUTPUT,
            pair=_sum_over_outputs(squared_error, squared_error_derivative),
        ),
        Cost(
            name="cross_entropy",
            code=c.CROSS_ENTROPY,
            about="minus the logarithm of the probability that the outputs give to the target, in nats",
            default_output="softmax",
            outputs=("softmax", "sigmoid"),
            pair=_cross_entropy,
            number_name="limit",
            default_number=math.inf,
        ),
        Cost(
            name="half_squared_error",
            code=c.HALF_SQUARED_ERROR,
            about="half of squared_error, the cost of scikit-learn's MLPRegressor for one output",
            default_output="identity",
            outputs=_ANY_OUTPUT,
            pair=_sum_over_outputs(half_squared_error, half_squared_error_derivative),
        ),
        Cost(
            name="absolute_error",
            code=c.ABSOLUTE_ERROR,
            about="the sum of abs(a - target) over the outputs; its minimum is the median",
            default_output="identity",
            outputs=_ANY_OUTPUT,
            pair=_sum_over_outputs(absolute_error, absolute_error_derivative),
        ),
        Cost(
            name="huber",
            code=c.HUBER,
            about="for each output, (a - target)^2 / 2 up to the distance delta, and beyond it "
            "delta (abs(a - target) - delta / 2)",
            default_output="identity",
            outputs=_ANY_OUTPUT,
            pair=_sum_over_outputs(huber, huber_derivative),
            number_name="delta",
            default_number=1.0,
        ),
        Cost(
            name="quantile",
            code=c.QUANTILE,
            about="for each output, q (target - a) below the target and (1 - q) (a - target) above it; its minimum is "
            "the quantile q",
            default_output="identity",
            outputs=_ANY_OUTPUT,
            pair=_sum_over_outputs(quantile, quantile_derivative),
            number_name="q",
            default_number=0.5,
        ),
        Cost(
            name="poisson",
            code=c.POISSON,
            about="the sum of a - target + target log(target / a) over the outputs, half of the Poisson deviance",
            default_output="exponential",
            outputs=("exponential",),
            pair=_poisson,
        ),
    )
}
_COST_BY_CODE = {cost.code: cost for cost in COSTS.values()}


def pair_of(net: Ints) -> Pair:
    """The cost and the output activation of a network."""
    return _pair(net.item(-1, c.ACTIVATION), net.item(-1, c.COST), net.item(-1, c.COST_NUMBER))


@functools.cache
def _pair(activation: int, cost: int, number: int) -> Pair:
    return _COST_BY_CODE[cost].pair(BY_CODE[activation], c.number(number))


# -- targets and classes ----------------------------------------------------------------------------------------------

TASKS = {"classification": c.CLASSIFICATION, "regression": c.REGRESSION, "multilabel": c.MULTILABEL}


def targets(y: NDArray[np.generic], out: Floats) -> Floats:
    """Writes class labels (..., n) or targets (..., n, n_out) to `out` as targets (..., n_out, n). Returns `out`."""
    if y.ndim < out.ndim:
        np.equal(y[..., None, :], np.arange(out.shape[-2])[:, None], out)
    else:
        out[...] = np.swapaxes(y, -1, -2)
    return out


def classes(z: Floats, axis: int) -> Ints:
    """The class of each example, by the contract's rule. The weighted sums of an example lie along the axis."""
    return _classes(z, axis, 0.0)


def n_classes(n_out: int) -> int:
    """The number of classes of a network with n_out outputs: n_out, or 2 for one output."""
    return max(n_out, 2)


def target_classes(target: NDArray[np.generic], axis: int) -> Ints:
    """The class that the target of each example stands for."""
    return _classes(target, axis, 0.5)


def _classes(values: NDArray[Any], axis: int, threshold: float) -> Ints:
    """The first index of the largest value. For a single value: 1 if it is at least the threshold, else 0."""
    if values.shape[axis] == 1:
        return (values.squeeze(axis) >= threshold).astype(np.int64)
    return values.argmax(axis)


def is_correct(z: Floats, y: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Whether each example (..., n) is classified correctly.

    z are the weighted sums (..., n_out, n). y are labels (..., n) or targets (..., n, n_out).
    """
    truth: NDArray[Any] = y
    if y.ndim == z.ndim:
        truth = target_classes(y, -1)
    elif z.shape[-2] == 1:
        truth = y == 0  # with one output, label 0 is a target of 1 (see targets), which is class 1
    return classes(z, -2) == truth


def scores(task: int, z: Floats, error: Floats, y: NDArray[np.generic]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """What SCORE and LABELS of the contract's report sum over the examples: two arrays (..., n), or one and None.

    z and error are (..., n_out, n), y are labels (..., n) or targets (..., n, n_out).
    """
    if task == c.REGRESSION:
        return (error * error).sum(-2), None
    if task == c.CLASSIFICATION:
        return is_correct(z, y), None
    target = np.empty(z.shape, z.dtype)
    right = (z >= 0) == (targets(y, target) >= 0.5)
    return right.all(-2), right.sum(-2)


class Sums(NamedTuple):
    """Weighted sums over examples: the columns COST_SUM, WEIGHT_SUM, SCORE and LABELS of the contract's report."""

    cost: float
    weight: float
    score: float
    labels: float


# `evaluate` handles at most this many outputs at a time. They fit in the cache, and OpenBLAS uses one thread for them.
# On a busy machine, computing the cost of 4,000 examples takes 40 ms with several threads and 0.7 ms with one.
COST_OUTPUTS = 1 << 13


def evaluate(net: Ints, z: Floats, y: NDArray[np.generic], weights: NDArray[np.float64]) -> Sums:
    """Returns the weighted sums of the costs and of the scores of some examples.

    z (n, n_out) are the weighted sums of the last layer. weights are (n,), or (0,) for weights of 1. For every
    backend, the costs outside of training come from this function. The function computes in float64.
    """
    total = [0.0, 0.0, 0.0, 0.0]
    pair, activation, task = pair_of(net), BY_CODE[net.item(-1, c.ACTIVATION)], net.item(-1, c.TASK)
    reads_error = task == c.REGRESSION or pair.reads_error
    cost_of_labels = pair.cost_of_labels if y.ndim == 1 and task == c.CLASSIFICATION else None
    rows = max(1, COST_OUTPUTS // z.shape[1])
    with np.errstate(all="ignore"):  # a cost that overflows is inf
        for first in range(0, len(z), rows):
            part = slice(first, first + rows)
            sums = np.array(z[part].T, np.float64, order="C")
            w = weights[part] if weights.size else None
            if cost_of_labels is not None:
                score, labels = is_correct(z[part].T, y[part]), None  # `sums` would be copied
                total[0] += cost_of_labels(sums, y[part], w)
            else:
                target = targets(y[part], np.empty_like(sums))
                error = activation.function(sums) - target if reads_error else target  # then nothing reads it
                score, labels = scores(task, sums, error, y[part])
                total[0] += pair.cost(sums, target, error, w)
            if w is None and task == c.CLASSIFICATION:  # the general case below has the same bits
                total[1] += len(score)
                total[2] += int(np.count_nonzero(score))
                continue
            each = np.ones(len(score)) if w is None else w
            total[1] += float(each.sum())
            total[2] += float(each.dot(score))
            total[3] += 0.0 if labels is None else float(each.dot(labels))
    return Sums(*total)


# -- optimisers -------------------------------------------------------------------------------------------------------


class Update(NamedTuple):
    """One row of the table of optimisers: the update of a parameter w with its gradient g.

    `update` in numpy_backend.py computes these formulas. The compiled backends have code of their own.
    """

    name: str
    formula: str
    source: str


UPDATES = {
    row.name: row
    for row in (
        Update("sgd", "w -= rate * g", "stochastic gradient descent, Robbins and Monro (1951)"),
        Update("momentum", "v = momentum * v + g; w -= rate * v", "Polyak (1964)"),
        Update(
            "nesterov",
            "v = momentum * v + g; w -= rate * (g + momentum * v)",
            "Sutskever et al. (2013), as PyTorch writes it",
        ),
        Update(
            "adam",
            "m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g^2; "
            "w -= rate * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) at update t",
            "Kingma and Ba (2015), algorithm 1",
        ),
    )
}

# -- documentation ----------------------------------------------------------------------------------------------------


def markdown() -> str:
    """The three tables as Markdown."""
    outputs = {cost.name: cost.outputs for cost in COSTS.values()}
    return "\n\n".join(
        [
            _table(
                ("activation", "output a of the weighted sum z", "from", "to", "hidden layers", "costs of the output"),
                (
                    (
                        *(f"`{row.name}`", row.about, f"{row.low:g}", f"{row.high:g}"),
                        *("yes" if row.is_hidden else "no", ", ".join(n for n in outputs if row.name in outputs[n])),
                    )
                    for row in ACTIVATIONS.values()
                ),
            ),
            _table(
                ("cost", "of an example", "outputs"),
                ((f"`{row.name}`", row.about, ", ".join(row.outputs)) for row in COSTS.values()),
            ),
            _table(
                ("optimiser", "update", "source"),
                ((f"`{row.name}`", f"`{row.formula}`", row.source) for row in UPDATES.values()),
            ),
        ]
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))
