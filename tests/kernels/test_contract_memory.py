"""The kernel contract: the memory that a kernel reads and writes (law 4), and when a kernel stops."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import backend_calls as bc
import comparisons as cmp
import guard_pages
import kernel_cases as kc
import naive
import numpy as np
import pytest
from conftest import name_of

from fastnet.kernels import contract as c

GUARD = 256  # bytes on each side of a buffer, more than a vector register has
BATCH = 5


class Guarded:
    """Arrays inside larger arrays. The bytes around each array must not change."""

    def __init__(self, fill: int, shift: int) -> None:
        self.fill = fill
        self.shift = shift  # offset of the arrays from a 64-byte line, in elements
        self.buffers: list[tuple[kc.Array, slice]] = []

    def copy(self, source: kc.Array, writable: bool = True) -> kc.Array:
        raw = c.aligned_empty(source.nbytes + 2 * GUARD + 64, np.uint8)
        raw.fill(self.fill)
        start = GUARD + self.shift * source.itemsize
        inside = slice(start, start + source.nbytes)
        copy = raw[inside].view(source.dtype).reshape(source.shape)
        copy[...] = source
        copy.flags.writeable = writable
        self.buffers.append((raw, inside))
        return copy

    def assert_intact(self) -> None:
        for raw, inside in self.buffers:
            assert (raw[: inside.start] == self.fill).all()
            assert (raw[inside.stop :] == self.fill).all()


def all_calls(backend: Any, k: kc.Case, rule: naive.Rule, fill: int, shift: int, poison: float) -> list[kc.Array]:
    """Call the functions with guarded buffers and workspaces full of `poison`. Return the results."""
    rows, slots = len(k.x), rule.slots()
    guarded = Guarded(fill, shift)
    given = [k.net, k.params, k.x, k.y, k.weights]
    net, params, x, y, weights = (guarded.copy(array, writable=False) for array in given)
    work = guarded.copy(np.full_like(bc.workspace(k, rows), poison))
    out = guarded.copy(np.full((rows, k.naive.sizes[-1]), poison, params.dtype))
    grad = guarded.copy(np.full_like(params, poison))
    backend.predict(net, params, x, out, work)
    work.fill(poison)
    cost = backend.gradient(net, params, x, y, weights, grad, work)

    order = np.random.default_rng(5).permutation(rows)
    vectors = [order, bc.rates(order, BATCH), bc.optimizer(rule)]
    order, rates, optimizer = (guarded.copy(array, writable=False) for array in vectors)
    moved, state = guarded.copy(params), guarded.copy(np.full((slots, len(params)), 0.01, params.dtype))
    progress, report = guarded.copy(np.array([0, 77])), guarded.copy(np.full((len(rates), c.REPORT_COLUMNS), 77.0))
    work = guarded.copy(np.full_like(bc.workspace(k, BATCH, slots), poison))
    data, run = (x, y, weights, order, BATCH), (rates, optimizer, 1, progress, report)
    call = c.TrainCall(net, moved, state, *data, *run, work, c.team(1), 0)
    total = backend.train(call)

    updated, kept = guarded.copy(params), guarded.copy(np.full((slots, len(params)), 0.01, params.dtype))
    grad.flags.writeable = False
    backend.update(net, updated, kept, grad, optimizer, 0.1, 1)

    guarded.assert_intact()
    after = [net, params, x, y, weights, order, rates, optimizer]
    cmp.assert_same_bits(after, given + vectors)
    return [out, np.array(cost), grad, moved, state, np.array(total), progress, report, updated, kept]


@kc.pairs("rule", "dtype", "inputs", "targets", "task", "weights", sizes=[(1, 1), (5, 3, 2), (33, 17, 15, 10)])
def test_kernels_respect_the_bounds_of_buffers(
    backend: Any,
    sizes: tuple[int, ...],
    rule: str,
    dtype: str,
    inputs: str,
    targets: str,
    task: str,
    weights: str,
) -> None:
    """A kernel changes no guard byte and no input, accepts read-only inputs, and reads no byte outside its buffers.

    The guard bytes are 0 in one call and 0xFF (NaN) in the others. If a result depends on them, the results differ.
    """
    optimizer = bc.rule(rule, "all")
    k = kc.case(sizes, "relu", ("softmax", "cross_entropy"), 13, dtype, inputs, targets, 0, task, weights)
    clean = all_calls(backend, k, optimizer, 0x00, 0, 0.0)
    assert all(np.isfinite(array).all() for array in clean)
    cmp.assert_same_bits(all_calls(backend, k, optimizer, 0xFF, 0, np.nan), clean)
    cmp.assert_same_bits(all_calls(backend, k, optimizer, 0xFF, 0, -1e30), clean)
    # If an array does not start on a 64-byte line, a BLAS may sum in another order. Only the rounding may differ.
    for found, expected in zip(all_calls(backend, k, optimizer, 0xFF, 1, np.nan), clean, strict=True):
        cmp.assert_close(found, expected, {"float32": 5e-6, "float64": 1e-13}[dtype])


@kc.pairs("backend", "dtype", "inputs")
def test_bounds_of_buffers_with_several_blocks(backend: Any, dtype: str, inputs: str) -> None:
    k = kc.case((5, 18, 3), "sigmoid", ("sigmoid", "cross_entropy"), c.BLOCK_ROWS + 9, dtype, inputs)
    clean = all_calls(backend, k, naive.Rule(), 0x00, 0, 0.0)
    cmp.assert_same_bits(all_calls(backend, k, naive.Rule(), 0xFF, 0, np.nan), clean)


@kc.pairs("backend", "rule", "dtype")
def test_bounds_of_buffers_with_dropout(backend: Any, rule: str, dtype: str) -> None:
    k = kc.case((33, 17, 70, 10), "relu", ("softmax", "cross_entropy"), 13, dtype)
    k = kc.dropping(k, (1 << 31, 5), (1 << 30, -5))
    clean = all_calls(backend, k, kc.RULES[rule], 0x00, 0, 0.0)
    cmp.assert_same_bits(all_calls(backend, k, kc.RULES[rule], 0xFF, 0, np.nan), clean)
    cmp.assert_same_bits(all_calls(backend, k, kc.RULES[rule], 0xFF, 0, -1e30), clean)


@kc.pairs("backend", "dtype")
def test_a_workspace_may_be_larger(backend: Any, dtype: str) -> None:
    """The trainer uses one workspace for all calls, and some calls need less."""
    k = kc.case((7, 5, 3), dtype=dtype)
    grads = [np.empty_like(k.params) for _ in range(2)]
    exact = bc.workspace(k, len(k.x))
    for grad, size in zip(grads, (exact.size, 3 * exact.size), strict=True):
        backend.gradient(k.net, k.params, k.x, k.y, k.weights, grad, c.aligned_empty(size, dtype))
    cmp.assert_same_bits([grads[0]], [grads[1]])


@pytest.mark.skipif(sys.platform != "linux", reason="guard pages need mmap and mprotect of Linux")
def test_no_byte_beyond_a_buffer_is_read(backend: Any) -> None:
    script = Path(__file__).parents[1] / "guard_pages.py"
    command = [sys.executable, script, name_of(backend)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, f"exit status {run.returncode} after {run.stdout!r}\n{run.stderr}"
    kinds = [kind for kind in guard_pages.KINDS if kind != "teams" or backend.MAX_THREADS > 1]
    assert run.stdout.splitlines() == [f"{kind}: every page untouched" for kind in kinds]


# -- stopping --------------------------------------------------------------------------------------------


@kc.pairs("backend", "rule", "dtype", "inputs")
def test_a_stop_set_beforehand_ends_the_call(backend: Any, rule: str, dtype: str, inputs: str) -> None:
    k = kc.case((6, 5, 3), dtype=dtype, inputs=inputs)
    state = np.full((kc.RULES[rule].slots(), len(k.params)), 0.25, dtype)
    found = bc.train(backend, k, np.arange(7), 2, kc.RULES[rule], state=state, stop=1)
    cmp.assert_same_bits([found.params, found.state], [k.params, state])
    assert (found.cost, found.steps, found.score) == (0, 0, 0)


@kc.pairs("backend", "rule", "dtype")
def test_a_stop_set_by_another_thread_ends_the_call(backend: Any, rule: str, dtype: str) -> None:
    """The call ends early, after a whole number of steps. This also shows that kernels release the GIL."""
    cmp.assert_a_stop_ends_it(backend, dtype, kc.RULES[rule])


@kc.pairs(
    "backend",
    "rule",
    "hidden",
    "dtype",
    "targets",
    output=[("identity", "squared_error"), ("softmax", "cross_entropy")],
)
def test_a_cost_that_is_not_finite_stops_before_the_update(
    backend: Any, hidden: str, output: tuple[str, str], rule: str, dtype: str, targets: str
) -> None:
    """x has a NaN in the fourth batch. A ReLU that is computed as a maximum may turn NaN into 0."""
    optimizer = bc.rule(rule, "all")
    k = kc.case((6, 5, 3), hidden, output, 20, dtype, targets=targets)
    k.x[13, 2] = np.nan
    order = np.arange(20)
    found = bc.train(backend, k, order, 4, optimizer)
    before = bc.train(backend, k, order[:12], 4, optimizer, bc.rates(order, 4)[:3])
    assert found.steps == 3
    cmp.assert_same_bits(found, before)
    assert np.isfinite(found.cost)


@kc.pairs("backend", "dtype", "inputs")
def test_a_cost_that_overflows_stops_the_call(backend: Any, dtype: str, inputs: str) -> None:
    """The rate of the second step is so large that the squares of the outputs overflow."""
    k = kc.case((6, 4), output=("identity", "squared_error"), rows=12, dtype=dtype, inputs=inputs)
    huge = {"float32": 1e30, "float64": 1e200}[dtype]
    found = bc.train(backend, k, np.arange(12), 3, naive.Rule(), np.array([0.01, huge, 0.01, 0.01]))
    assert found.steps == 2
    assert np.isfinite(found.cost)
    assert np.isfinite(found.params).all()


# -- threads ---------------------------------------------------------------------------------------------


@kc.pairs("backend", "rule", "dtype")
def test_calls_in_several_threads_are_independent(backend: Any, rule: str, dtype: str) -> None:
    """Each thread has its own buffers and its own shape of network. Kernels keep no state between calls."""
    order = np.random.default_rng(6).integers(0, 40, 400)
    cases = [kc.case((9, 5 + i, 3), "tanh", rows=40, dtype=dtype, seed=i) for i in range(4)]
    alone = [bc.train(backend, k, order, 10, kc.RULES[rule]) for k in cases]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda k: bc.train(backend, k, order, 10, kc.RULES[rule]), cases * 3))
    for found, expected in zip(together, alone * 3, strict=True):
        cmp.assert_same_bits(found, expected)


def test_labels_are_never_expanded_as_a_whole(backend: Any) -> None:
    """One batch has all examples, whose one-hot matrix would take 40 MB."""
    n, n_out = 20_000, 500
    k = kc.case((4, n_out), "sigmoid", ("softmax", "cross_entropy"), 300, "float32", "uint8")
    k = k._replace(x=np.resize(k.x, (n, 4)), y=np.arange(n) % n_out)
    call = bc.call(k, np.arange(n), n, naive.Rule(), np.ones(1))
    backend.train(call)  # compiles if necessary
    tracemalloc.start()
    backend.train(call)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
