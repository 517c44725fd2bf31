"""Problems for the kernels: networks and data in the layout of contract.py, and the axes of the tests."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import naive
import numpy as np
import pytest
from numpy.typing import NDArray
from pairwise import cover

from fastnet.kernels import contract as c
from fastnet.kernels import formulas

Array = NDArray[Any]

DTYPES = ("float32", "float64")
INPUTS = ("floats", "bytes")  # x has the network's dtype, or is uint8
TARGETS = ("labels", "vectors")  # y is int64, or has the network's dtype
HIDDEN = tuple(row.name for row in formulas.ACTIVATIONS.values() if row.is_hidden)
PAIRS = tuple((output, cost.name) for cost in formulas.COSTS.values() for output in cost.outputs)
# Fewer pairs of an output activation and a cost, with each activation and each cost. Tests of formulas use PAIRS.
OUTPUTS = (
    ("sigmoid", "squared_error"),
    ("relu", "huber"),
    ("tanh", "absolute_error"),
    ("leaky_relu", "quantile"),
    ("exponential", "poisson"),
    ("identity", "half_squared_error"),
    ("softmax", "squared_error"),
    ("softmax", "cross_entropy"),
    ("sigmoid", "cross_entropy"),
)
NUMBERS = {"huber": 0.3, "quantile": 0.8}  # the numbers of the costs in these cases, if not the default numbers
TASKS = {"classification": c.CLASSIFICATION, "regression": c.REGRESSION, "multilabel": c.MULTILABEL}
FORMULAS = tuple(  # the output, the cost and the task of each kind of network
    (*pair, task)
    for pair, task in product(PAIRS, TASKS)
    if task == "regression" or pair[0] == "sigmoid" or (task, pair[0]) == ("classification", "softmax")
)
WEIGHTS = ("none", "drawn")  # of the examples
RULES = {
    "descent": naive.Rule(),
    "momentum": naive.Rule("momentum", 0.9),
    "nesterov": naive.Rule("momentum", 0.8, nesterov=True),
    # Epsilon is large. With 1e-8 in float32, Adam moves a parameter by a whole step even if its gradient is only
    # rounding error. Correct programs would then differ. A small epsilon would also hide an epsilon in a wrong place.
    "adam": naive.Rule("adam", 0.8, 0.95, 1e-3),
}
EXTRAS = {"plain": {}, "decay": {"weight_decay": 0.05}, "clip": {"clip_norm": 0.3}}
EXTRAS["all"] = EXTRAS["decay"] | EXTRAS["clip"] | {"penalty": 0.2, "plain_epsilon": True}


# To test another backend, name it in this variable and load its module with `-p` (CONTRIBUTING.md).
BACKENDS = tuple(os.environ.get("FASTNET_TEST_BACKENDS", "cython numba numpy").split())
COMPILED = tuple(name for name in BACKENDS if name in ("cython", "numba"))
THREADED = tuple(name for name in BACKENDS if name != "numpy")  # NumPy's BLAS has its own threads
# The axes of the contract's tests. Each test takes a pairwise cover of the axes that matter to it.
AXES: dict[str, Sequence[Any]] = {
    "backend": BACKENDS,
    "compiled": COMPILED,
    "threaded": THREADED,
    "n_threads": (2, 3),
    "rule": tuple(RULES),
    "extra": tuple(EXTRAS),
    "hidden": HIDDEN,
    "output": OUTPUTS,
    "dtype": DTYPES,
    "inputs": INPUTS,
    "targets": TARGETS,
    "task": tuple(TASKS),
    "weights": WEIGHTS,
}


def pairs(*names: str, **axes: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrize a test with a pairwise cover of these axes: each pair of values of two axes occurs in a case.

    If no axis is "backend", "compiled" or "threaded", every backend runs the whole cover.
    """
    axes = {name: AXES[name] for name in names} | axes
    rows = cover(*map(tuple, axes.values()))
    fixtures = [name for name in names if name in ("backend", "compiled", "threaded")]
    ids = ["-".join(re.sub(r"\W+", "_", str(value)).strip("_") for value in row) for row in rows]
    return pytest.mark.parametrize(tuple(axes), rows, indirect=fixtures, ids=ids)


NO_WEIGHTS = np.empty(0)
NO_WEIGHTS.flags.writeable = False


class Case(NamedTuple):
    naive: naive.Net
    net: Array
    params: Array
    x: Any  # an array, or SparseRows
    y: Array
    weights: Array = NO_WEIGHTS  # float64 (n,), or (0,) for weights of 1

    @property
    def scale(self) -> float:
        """The input that a byte of 1 stands for."""
        return c.number(self.net[0, c.BYTE_SCALE])

    def at(self, rows: Any) -> Case:
        """Return the case with only these rows."""
        weights = self.weights[rows] if self.weights.size else NO_WEIGHTS
        return self._replace(x=self.x[rows], y=self.y[rows], weights=weights)


def network(
    sizes: Sequence[int],
    activations: Sequence[str],
    cost: str,
    task: str = "classification",
    byte_scale: float = c.PIXEL_SCALE,
    number: float | None = None,
) -> Array:
    net = np.zeros((len(sizes) - 1, c.LAYER_COLUMNS), np.int64)
    for row, (n_in, n_out, activation, weights, biases) in zip(
        net, naive.Net(sizes, activations, cost).layers(), strict=True
    ):
        row[[c.N_IN, c.N_OUT, c.ACTIVATION]] = n_in, n_out, formulas.ACTIVATIONS[activation].code
        row[[c.WEIGHTS, c.BIASES, c.COST]] = weights, biases, c.NO_COST
    number = number_of(cost) if number is None else number
    net[-1, [c.COST, c.COST_NUMBER, c.TASK]] = formulas.COSTS[cost].code, c.bits(number), TASKS[task]
    net[0, c.BYTE_SCALE] = c.bits(byte_scale)
    return net


def number_of(cost: str) -> float:
    """Return the number of a cost in these cases."""
    return NUMBERS.get(cost, formulas.COSTS[cost].default_number)


def case(
    sizes: Sequence[int],
    hidden: str | Sequence[str] = "sigmoid",
    output: tuple[str, str] = ("sigmoid", "squared_error"),
    rows: int = 7,
    dtype: str = "float64",
    inputs: str = "floats",
    targets: str = "vectors",
    seed: int = 0,
    task: str = "classification",
    weights: str = "none",
    byte_scale: float = c.PIXEL_SCALE,
    number: float | None = None,
) -> Case:
    """Return a random problem. The weighted sums are near 1, so no activation saturates."""
    rng = np.random.default_rng(seed)
    layers = len(sizes) - 1
    activations = (*([hidden] * (layers - 1) if isinstance(hidden, str) else hidden), output[0])
    number = number_of(output[1]) if number is None else number
    net = network(sizes, activations, output[1], task, byte_scale, number)
    params = np.zeros(int(net[-1, c.BIASES] + sizes[-1]), dtype)
    for row in net:
        params[row[c.WEIGHTS] : row[c.BIASES]] = rng.normal(0, row[c.N_IN] ** -0.5, row[c.N_IN] * row[c.N_OUT])
        params[row[c.BIASES] : row[c.BIASES] + row[c.N_OUT]] = rng.normal(0, 0.5, row[c.N_OUT])
    if output[0] == "exponential":  # its relative error is the absolute error of the sum, so the sums must be small
        params[net[-1, c.WEIGHTS] :] /= 4
    x = rng.normal(size=(rows, sizes[0])).astype(dtype)
    if inputs == "bytes":  # mostly zeros, like images
        x = (rng.integers(0, 256, x.shape) * (rng.random(x.shape) < 0.6)).astype(np.uint8)
    if targets == "labels":
        y = rng.integers(0, sizes[-1], rows)
    else:
        y = rng.random((rows, sizes[-1])).astype(dtype)
        if output[0] == "softmax":  # cross-entropy expects targets that sum to 1
            y /= y.sum(1, keepdims=True)
    w = NO_WEIGHTS
    if weights == "drawn":
        w = rng.uniform(0.1, 3, rows) * (rng.random(rows) < 0.8)
        w[0] = 1.5  # so that the sum of all weights is not 0
    return Case(naive.Net(tuple(sizes), activations, output[1], number, task), net, params, x, y, w)


def dropping(k: Case, *drops: tuple[int, int]) -> Case:
    """Return the case with dropout: a threshold and a key for each hidden layer."""
    net = k.net.copy()
    net[:-1, [c.DROP, c.DROP_KEY]] = drops
    return k._replace(net=net, naive=replace(k.naive, drops=drops))


def mostly_zero(k: Case, share: float = 0.3, seed: int = 0) -> Case:
    """Return the case with most inputs set to zero, including whole rows and columns. One row has no zeros."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(k.x.shape) < share, k.x, 0).astype(k.x.dtype)
    x[::5] = 0
    x[:, ::7] = 0
    x[2::9] = k.x[2::9] + (k.x[2::9] == 0)
    return k._replace(x=x)


def as_floats(x: Array, dtype: Any, scale: float = c.PIXEL_SCALE) -> Array:
    """Return x as floats; a byte v stands for v * scale."""
    return (x * scale if x.dtype == np.uint8 else x).astype(dtype)


def sparse(x: Array, dtype: Any, zeros: bool = False, scale: float = c.PIXEL_SCALE) -> c.SparseRows:
    """Return the rows as read-only SparseRows. The arrays are slices of larger arrays with invalid numbers.

    `zeros` keeps some zero entries, because a user's matrix may hold zeros. A byte v stands for v * scale.
    """
    keep = x != 0
    if zeros:
        keep |= np.random.default_rng(11).random(x.shape) < 0.2
    rows, columns = np.nonzero(keep)
    starts = 7 + np.concatenate(([0], np.cumsum(keep.sum(1))))
    indices = np.full(len(rows) + 20, 1 << 30, np.int32)
    values = np.full(len(rows) + 20, np.nan, dtype)
    indices[7:-13], values[7:-13] = columns, as_floats(x, dtype, scale)[rows, columns]
    for array in (starts, indices, values):
        array.flags.writeable = False
    return c.SparseRows(starts, indices, values, x.shape[1])
