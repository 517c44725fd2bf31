"""The formulas: each activation and each cost once, with its derivative, and each optimiser's update as text.

The compiled backends have their own vector code, which tests/kernels/test_formulas.py compares with these formulas.
"""

from __future__ import annotations

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
    low: float = -math.inf  # the smallest output, and the smallest target
    high: float = math.inf  # the largest output, and the largest target
    gain: float = 1.0  # "scaled" initial weights have the variance gain / n_in

    @property
    def is_hidden(self) -> bool:
        """Whether hidden layers may have this activation."""
        return self.derivative is not None

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
            low=0,
            high=1,
        ),
    )
}
BY_CODE = {activation.code: activation for activation in ACTIVATIONS.values()}

# -- costs ------------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """A cost for outputs with a certain activation. The error of the outputs is a - target."""

    cost: Callable[[Floats, Floats, Floats], float]  # (z, target, error): the cost, summed over the examples
    delta: Callable[[Floats, Floats], Floats]  # (a, error): the derivative of this sum with respect to z


class Cost(NamedTuple):
    """One row of the table of costs."""

    name: str
    code: int  # in the COST column of a network's last layer
    about: str  # for the documentation
    default_output: str  # the activation of the output layer if the user names none
    pairs: dict[str, Pair]  # for each activation that the cost accepts in the output layer


def squared_error(z: Floats, target: Floats, error: Floats) -> float:
    error = error.ravel()
    return float(error.dot(error))


def squared_error_delta(derivative: Derivative) -> Callable[[Floats, Floats], Floats]:
    """Returns the delta for outputs whose activation has this derivative."""

    def delta(a: Floats, error: Floats) -> Floats:
        return (error + error) * derivative(a)  # 2 * error takes longer: see ONE

    return delta


def squared_error_delta_of_softmax(a: Floats, error: Floats) -> Floats:
    """An output depends on all z of its example: da_i / dz_j = a_i ((i == j) - a_j)."""
    by_a = 2 * error
    return a * (by_a - (a * by_a).sum(0))


def cross_entropy_of_softmax(z: Floats, target: Floats, error: Floats) -> float:
    """-sum(target log(a)), for targets that sum to 1. It is computed from z, because a may be rounded to 0."""
    z = z - z.max(0)
    return float(np.vdot(target, np.log(np.exp(z).sum(0)) - z))


def cross_entropy_of_sigmoid(z: Floats, target: Floats, error: Floats) -> float:
    """-sum(target log(a) + (1 - target) log(1 - a)), computed from z, because a may be rounded to 0 or 1."""
    return float((np.maximum(z, 0) - target * z + np.log1p(np.exp(-np.abs(z)))).sum())


def cross_entropy_delta(a: Floats, error: Floats) -> Floats:
    """The derivative of the logarithm cancels that of the activation, a softmax or sigmoid. The error remains."""
    return error


COSTS = {
    row.name: row
    for row in (
        Cost(
            name="squared_error",
            code=c.SQUARED_ERROR,
            about="the sum of (a - target)^2 over the outputs, without a factor 1/2",
            default_output="sigmoid",
            pairs={
                **{
                    activation.name: Pair(squared_error, squared_error_delta(activation.derivative))
                    for activation in ACTIVATIONS.values()
                    if activation.derivative is not None
                },
                "softmax": Pair(squared_error, squared_error_delta_of_softmax),
            },
        ),
        Cost(
            name="cross_entropy",
            code=c.CROSS_ENTROPY,
            about="minus the logarithm of the probability that the outputs give to the target, in nats",
            default_output="softmax",
            pairs={
                "softmax": Pair(cross_entropy_of_softmax, cross_entropy_delta),
                "sigmoid": Pair(cross_entropy_of_sigmoid, cross_entropy_delta),
            },
        ),
    )
}
PAIRS = {(ACTIVATIONS[output].code, cost.code): pair for cost in COSTS.values() for output, pair in cost.pairs.items()}

# -- targets and classes ----------------------------------------------------------------------------------------------


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


def count_correct(z: Floats, y: NDArray[np.generic]) -> int:
    """The number of examples that are classified correctly."""
    return int(np.count_nonzero(is_correct(z, y)))


# `evaluate` handles at most this many outputs at a time. They fit in the cache, and OpenBLAS uses one thread for them.
# On a busy machine, computing the cost of 4,000 examples takes 40 ms with several threads and 0.7 ms with one.
COST_OUTPUTS = 1 << 13


def evaluate(activation: int, cost: int, z: Floats, y: NDArray[np.generic]) -> tuple[float, int]:
    """Returns the cost, summed over the examples, and the number of examples that are classified correctly.

    z (n, n_out) are the weighted sums of the last layer. For every backend, the costs outside
    of training come from this function. The function computes in float64.
    """
    total, n_correct = 0.0, 0
    rows = max(1, COST_OUTPUTS // z.shape[1])
    with np.errstate(all="ignore"):  # a cost that overflows is inf
        for first in range(0, len(z), rows):
            sums = np.array(z[first : first + rows].T, np.float64, order="C")
            target = targets(y[first : first + rows], np.empty_like(sums))
            total += PAIRS[activation, cost].cost(sums, target, BY_CODE[activation].function(sums) - target)
            n_correct += count_correct(sums, y[first : first + rows])
    return total, n_correct


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
    outputs = {cost.name: cost.pairs for cost in COSTS.values()}
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
                ((f"`{row.name}`", row.about, ", ".join(row.pairs)) for row in COSTS.values()),
            ),
            _table(
                ("optimiser", "update", "source"),
                ((f"`{row.name}`", f"`{row.formula}`", row.source) for row in UPDATES.values()),
            ),
        ]
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))
