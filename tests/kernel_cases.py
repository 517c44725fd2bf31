"""Problems for the kernels: networks, data and buffers in the layout of contract.py, and kernel calls on them."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest import mock

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
# Tolerance of a comparison with the float64 oracle: some tens of rounding errors in sums of terms near 1.
TOLERANCE = {"float32": 2e-6, "float64": 3e-14}
# Tolerance after a few dozen optimiser steps, each of which adds its rounding errors.
TRAINED = {"float32": 5e-6, "float64": 1e-13}
# Largest difference after an epoch between two backends, or between a team and one thread. See docs/promises.md.
AGREEMENT = {"float32": 2e-5, "float64": 1e-12}
KINDS = {"gradient_descent": c.GRADIENT_DESCENT, "momentum": c.MOMENTUM, "adam": c.ADAM}


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


class Trained(NamedTuple):
    cost: float
    params: Array
    state: Array
    steps: int
    report: Array  # (steps, REPORT_COLUMNS)

    @property
    def score(self) -> float:
        """The score of all steps: the number of correct examples in a classification without weights."""
        return float(self.report[:, c.SCORE].sum())


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


# -- the case for the oracle -------------------------------------------------------------------


def naive_inputs(x: Array, scale: float = c.PIXEL_SCALE) -> list[list[float]]:
    return [naive.numbers_of_bytes(row, scale) for row in x.tolist()] if x.dtype == np.uint8 else x.tolist()


def naive_targets(y: Array, n_out: int) -> list[list[float]]:
    return [naive.target_of(label, n_out) for label in y.tolist()] if y.ndim == 1 else y.tolist()


def naive_gradient(k: Case, rows: Any = slice(None), kept: Sequence[Any] | None = None) -> tuple[float, list[float]]:
    part = k.at(rows)
    xs, targets = naive_inputs(part.x, k.scale), naive_targets(part.y, k.naive.sizes[-1])
    return naive.gradient(k.naive, k.params.tolist(), xs, targets, kept, part.weights.tolist())


def naive_report(
    k: Case, rows: Any = slice(None), kept: Sequence[Any] | None = None, penalty: float = 0.0
) -> list[float]:
    """Return the oracle's report of a batch of these rows."""
    part = k.at(rows)
    xs, targets = naive_inputs(part.x, k.scale), naive_targets(part.y, k.naive.sizes[-1])
    return naive.report(k.naive, k.params.tolist(), xs, targets, kept, part.weights.tolist(), penalty)


def naive_step(
    k: Case, params: Array, state: list[list[float]], rows: Array, rule: naive.Rule, rate: float, count: int
) -> Trained:
    """Make the oracle's update number `count` on these rows. Change `state` in place, and round the parameters."""
    now = k._replace(params=params)
    kept = naive.factors(k.naive, len(rows), count) if k.naive.drops else None
    grad = naive_gradient(now, rows, kept)[1]
    report = np.array([naive_report(now, rows, kept, rule.penalty)])
    moved = params.tolist()
    naive.update(rule, moved, state, grad, k.naive.is_weight(), rate, count, report[0, c.WEIGHT_SUM])
    moved_state = np.array(state).reshape(-1, len(params))
    return Trained(report[0, c.COST_SUM], np.array(moved, params.dtype), moved_state, 1, report)


# -- buffers and calls -----------------------------------------------------------------------------------


def workspace(k: Case, rows: int, slots: int = 0, n_threads: int = 1) -> Array:
    """Return a workspace of exactly the planned size, full of NaN, because its contents must not matter."""
    plan = c.plan(k.net, rows, slots, k.params.itemsize, n_threads, isinstance(k.x, c.SparseRows))
    work = c.aligned_empty(plan.size, k.params.dtype)
    work.fill(np.nan)
    return work


def optimizer(rule: naive.Rule) -> Array:
    vector = np.zeros(c.OPTIMIZER_COLUMNS)
    vector[[c.KIND, c.BETA1, c.BETA2, c.EPSILON]] = KINDS[rule.kind], rule.beta1, rule.beta2, rule.epsilon
    vector[[c.NESTEROV, c.WEIGHT_DECAY, c.CLIP_NORM]] = rule.nesterov, rule.weight_decay, rule.clip_norm
    vector[[c.PENALTY, c.PLAIN_EPSILON]] = rule.penalty, rule.plain_epsilon
    return vector


def rule(name: str, extra: str) -> naive.Rule:
    return replace(RULES[name], **EXTRAS[extra])


def first_rate(k: Case) -> float:
    """Return the learning rate of the first step. With exponential outputs, larger rates make the training diverge."""
    return 0.001 if k.naive.activations[-1] == "exponential" else 0.1


def rates(order: Array, batch_size: int, first: float = 0.1) -> Array:
    """Return a different learning rate for each step."""
    return first / (1 + 0.25 * np.arange(-(-len(order) // batch_size)))


@contextmanager
def forced_path(is_narrow: bool) -> Iterator[None]:
    """Let `train` use columns (contract.narrow) for every dense network, or for none."""
    with mock.patch.object(c, "narrow", return_value=is_narrow):
        forget_plans()
        try:
            yield
        finally:
            forget_plans()


def forget_plans() -> None:
    c._plan.cache_clear()
    if "fastnet.kernels.numba_backend" in sys.modules:
        sys.modules["fastnet.kernels.numba_backend"]._template.cache_clear()


def predict(backend: Any, k: Case) -> Array:
    out = np.full((len(k.x), k.naive.sizes[-1]), np.nan, k.params.dtype)
    backend.predict(k.net, k.params, k.x, out, workspace(k, len(k.x)))
    return out


def gradient(backend: Any, k: Case) -> tuple[float, Array]:
    grad = np.full_like(k.params, np.nan)
    cost = backend.gradient(k.net, k.params, k.x, k.y, k.weights, grad, workspace(k, len(k.x)))
    return float(cost), grad


def train(
    backend: Any,
    k: Case,
    order: Array,
    batch_size: int,
    rule: naive.Rule,
    rate: Array | None = None,
    step: int = 0,
    state: Array | None = None,
    stop: int = 0,
    n_threads: int = 1,
) -> Trained:
    """Call `train` with a team of n_threads on copies of the case. Return the changed arrays and numbers."""
    return trained(backend, call(k, order, batch_size, rule, rate, step, state, stop, n_threads))


def call(
    k: Case,
    order: Array,
    batch_size: int,
    rule: naive.Rule,
    rate: Array | None = None,
    step: int = 0,
    state: Array | None = None,
    stop: int = 0,
    n_threads: int = 1,
) -> c.TrainCall:
    """Return the record of a call of `train`. The arrays that `train` changes are copies."""
    progress = np.full(c.PROGRESS_COLUMNS, -7)  # `train` must overwrite STEPS
    progress[c.STOP] = stop
    rate = rates(order, batch_size, first_rate(k)) if rate is None else rate
    return c.TrainCall(
        net=k.net,
        params=k.params.copy(),
        state=np.zeros((rule.slots(), len(k.params)), k.params.dtype) if state is None else state.copy(),
        x=k.x,
        y=k.y,
        weights=k.weights,
        order=order,
        batch_size=batch_size,
        rates=rate,
        optimizer=optimizer(rule),
        step=step,
        progress=progress,
        report=np.full((len(rate), c.REPORT_COLUMNS), np.nan),
        work=workspace(k, batch_size, rule.slots(), n_threads),
        team=c.team(n_threads),
        worker=0,
    )


def trained(backend: Any, call: c.TrainCall) -> Trained:
    """Call `train` and return the changed arrays and numbers. The report of updates not made must stay NaN."""
    cost = together(backend, call)
    steps = int(call.progress[c.STEPS])
    assert np.isnan(call.report[steps:]).all()
    assert cost == pytest.approx(call.report[:steps, c.COST_SUM].sum(), rel=1e-12)
    return Trained(float(cost), call.params, call.state, steps, call.report[:steps])


def together(backend: Any, call: c.TrainCall, seconds: float = 60) -> Any:
    """Call `train` from all threads of the team and return worker 0's result. Fail if a thread does not return."""
    n_threads = int(call.team[c.N_THREADS])
    if n_threads == 1:
        return backend.train(call)
    returned: dict[int, Any] = {}

    def run(worker: int) -> None:
        returned[worker] = backend.train(call._replace(worker=worker))

    threads = [threading.Thread(target=run, args=(worker,), daemon=True) for worker in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    if len(returned) < n_threads:
        call.team[c.BROKEN] = 1
        pytest.fail(f"only workers {sorted(returned)} of {n_threads} returned")
    return returned[0]


# -- comparisons -----------------------------------------------------------------------------------------


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Compare within `tolerance` times the largest value, or times 1 if all values are smaller.

    The rounding error of a sum is relative to its terms, which are near 1 here, even if the sum itself is small.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    largest = max(1.0, float(np.abs(expected).max(initial=0)))
    worst = float(np.abs(actual - expected).max(initial=0))
    assert worst <= tolerance * largest, f"off by {worst}, of {largest}"


def assert_same_bits(first: Any, second: Any) -> None:
    """Compare bit for bit: -0.0 differs from 0.0, and a NaN equals itself."""
    for a, b in zip(first, second, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def assert_backends_agree(compiled: Any, reference: Any, k: Case, order: Array, rule: naive.Rule, rates: Array) -> None:
    """Compare the results of two backends after an epoch in batches of 10."""
    found, expected = (train(backend, k, order, 10, rule, rates) for backend in (compiled, reference))
    tolerance, dtype = AGREEMENT[k.params.dtype.name], k.params.dtype
    assert_close(found.params, expected.params, tolerance)
    assert found.cost == pytest.approx(expected.cost, rel=tolerance)
    assert abs(found.score - expected.score) <= (2 if dtype == np.float32 else 0)
    assert found.steps == expected.steps == len(rates)


def assert_a_stop_ends_it(backend: Any, dtype: str, rule: naive.Rule, n_threads: int = 1, size: int = 32) -> None:
    """Set STOP in another thread while `train` runs. The call must end early, after a whole number of steps."""
    k, steps = case((64, 64, 10), "tanh", ("softmax", "cross_entropy"), 2 * size, dtype, targets="labels"), 150_000
    order, rate = np.resize(np.arange(2 * size), size * steps), np.full(steps, 0.01)  # a step takes 10 to 200 us
    train(backend, k, order[: 2 * size], size, rule, n_threads=n_threads)  # compiles before the clock starts
    for delay in (0.05, 0.2, 0.8, 3.2):  # if no step was done on a busy machine, wait longer
        record = call(k, order, size, rule, rate, n_threads=n_threads)
        timer = threading.Timer(delay, record.progress.__setitem__, (c.STOP, 1))
        timer.start()
        found = trained(backend, record)
        timer.join()
        if found.steps:
            break
    assert 0 < found.steps < steps
    again = train(backend, k, order[: size * found.steps], size, rule, rate[: found.steps], n_threads=n_threads)
    assert_same_bits(found[1:], again[1:])


# The end of a program that defines train() and imports os, sys and time. A forked child must get the same bytes from
# train() and must not hang.
AND_IN_A_CHILD = """
expected = train()
child = os.fork()
if child == 0:
    os._exit(0 if train() == expected else 3)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.02)
os.kill(child, 9)
sys.exit("the child hangs")
"""
