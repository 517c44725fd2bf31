"""The forward pass of many rows, split into parts of bounded memory and time, on one or several threads."""

from __future__ import annotations

from collections.abc import Iterator

from fastnet import checks
from fastnet.backends import workspaces
from fastnet.backends.threads import run_team
from fastnet.checks import AnyRows, UnconvertedRows
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, Floats, Ints, SparseRows

FORWARD_WORK, MAX_ROWS = 1 << 30, 1 << 14  # the largest numbers of multiply-adds and of rows in one kernel call


def work_of(layers: Ints, x: AnyRows, n_rows: int) -> int:
    """Return the multiply-adds of the forward pass of `n_rows` rows of x.

    In the first layer, a sparse row uses only the weights of its entries.
    """
    work = c.multiply_adds(layers)
    if isinstance(x, SparseRows):
        entries = int(x.starts[-1] - x.starts[0]) / len(x)
        work -= int((x.n_in - entries) * int(layers[0, c.N_OUT]))
    return n_rows * work


def parts(layers: Ints, n_rows: int, n_threads: int = 1, max_rows: int = MAX_ROWS) -> Iterator[slice]:
    """Yield slices of the rows: short enough for a prompt Ctrl-C, and at least one for each thread."""
    if n_rows <= min(c.BLOCK_ROWS, max_rows) and n_threads == 1:  # a shortcut for small calls
        yield slice(0, n_rows)
        return
    step = min(max(FORWARD_WORK // c.multiply_adds(layers), c.BLOCK_ROWS), max_rows)
    if n_threads > 1:
        step = min(step, -(-n_rows // n_threads))
    for start in range(0, n_rows, step):
        yield slice(start, start + step)


def forward(kernels: Backend, layers: Ints, parameters: Floats, x: AnyRows, out: Floats, n_threads: int = 1) -> None:
    """Write the last layer's activations of checked rows x (n, n_in) to out (n, n_out)."""
    max_rows = min(MAX_ROWS, x.rows_of_a_piece) if isinstance(x, UnconvertedRows) else MAX_ROWS
    pieces = list(parts(layers, len(x), n_threads, max_rows))

    def call(team: Ints, worker: int) -> None:
        plan = c.plan(layers, min(len(x), max_rows), 0, out.itemsize, sparse=isinstance(x, SparseRows))
        work, memory = workspaces.take(plan.size, out.dtype)
        for part in pieces[worker :: int(team[c.N_THREADS])]:
            if team[c.BROKEN]:
                return
            kernels.predict(layers, parameters, checks.kernel_rows(x[part]), out[part], work)
        workspaces.give_back(memory)

    run_team(min(n_threads, len(pieces)), call)
