"""Rows through a network's layers: in parts that bound memory and time, on one thread or several."""

from __future__ import annotations

from collections.abc import Iterator

from fastnet.backends.threads import run_team
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, Floats, Ints, Rows, SparseRows

FORWARD_WORK, MAX_ROWS = 1 << 30, 1 << 14  # multiply-adds and rows of one call forward, at most


def multiply_adds(layers: Ints) -> int:
    """Of one row's way forward."""
    return int((layers[:, c.N_IN] * layers[:, c.N_OUT]).sum())


def work_of(layers: Ints, x: Rows, rows: int) -> int:
    """Multiply-adds of `rows` rows of x on their way forward; sparse ones meet only the weights of their entries."""
    work = multiply_adds(layers)
    if isinstance(x, SparseRows):
        entries = int(x.starts[-1] - x.starts[0]) / len(x)
        work -= int((x.n_in - entries) * int(layers[0, c.N_OUT]))
    return rows * work


def parts(layers: Ints, rows: int, threads: int = 1) -> Iterator[slice]:
    """Cuts rows so that a kernel call on one part is short, and an interrupt need not wait for all.

    For several threads there are as many parts, or more.
    """
    if rows <= c.BLOCK_ROWS and threads == 1:  # nothing to work out: such calls should be quick
        yield slice(0, rows)
        return
    step = min(max(FORWARD_WORK // multiply_adds(layers), c.BLOCK_ROWS), MAX_ROWS)
    if threads > 1:
        step = min(step, -(-rows // threads))
    for start in range(0, rows, step):
        yield slice(start, start + step)


def forward(kernels: Backend, layers: Ints, parameters: Floats, x: Rows, out: Floats, threads: int = 1) -> None:
    """The last layer's activations of checked x (n, n_in), into out (n, n_out)."""
    pieces = list(parts(layers, len(x), threads))
    n_threads = min(threads, len(pieces))

    def call(team: Ints, worker: int) -> None:
        plan = c.plan(layers, min(len(x), MAX_ROWS), 0, out.itemsize, sparse=isinstance(x, SparseRows))
        work = c.aligned_empty(plan.size, out.dtype)
        for part in pieces[worker :: int(team[c.N_THREADS])]:
            if team[c.BROKEN]:
                return
            kernels.predict(layers, parameters, x[part], out[part], work)

    run_team(n_threads, call)
