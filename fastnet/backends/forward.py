"""The forward pass of many rows, split into parts of bounded memory and time, on one or several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnet import checks
from fastnet.backends import workspaces
from fastnet.backends.threads import share_parts
from fastnet.checks import AnyRows, UnconvertedRows
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, Floats, Ints, Rows, SparseRows

# A part has PART_ROWS rows, or more if PART_WORK multiply-adds need more. A call that has less than PARTS such parts is
# cut into smaller ones, so that several threads end at the same time; a part has MIN_ROWS rows and PART_WORK at least.
PART_ROWS, PART_WORK, PARTS, MIN_ROWS = 1 << 11, 1 << 23, 32, 64
MAX_ROWS, MAX_WORK, MAX_BYTES = 1 << 14, 1 << 30, 1 << 23  # of a part; MAX_BYTES counts its inputs as reals
Use = Callable[[slice, Floats], object]
Refuse = Callable[[], object]


def work_of(layers: Ints, x: AnyRows, n_rows: int) -> int:
    """Return the multiply-adds of the forward pass of `n_rows` rows of x.

    In the first layer, a sparse row uses only the weights of its entries.
    """
    work = c.multiply_adds(layers)
    if isinstance(x, SparseRows):
        entries = int(x.starts[-1] - x.starts[0]) / len(x)
        work -= int((x.n_in - entries) * int(layers[0, c.N_OUT]))
    return n_rows * work


def parts(layers: Ints, n_rows: int, itemsize: int, max_rows: int = MAX_ROWS) -> list[slice]:
    """Return slices of the rows, each short enough for a prompt Ctrl-C.

    The slices depend on the network and the number of rows alone. So a result has the same bits for any number of
    threads. Most slices have whole blocks of the kernels.
    """
    if n_rows <= MIN_ROWS and n_rows <= max_rows:  # two shortcuts for small calls
        return [slice(0, n_rows)]
    work = c.multiply_adds(layers)
    if n_rows <= c.BLOCK_ROWS and n_rows <= max_rows and n_rows * work <= PART_WORK:
        return [slice(0, n_rows)]
    least = max(MIN_ROWS, PART_WORK // work)
    step = max(least, min(PART_ROWS, -(-n_rows // PARTS)))
    most = max(c.BLOCK_ROWS, min(MAX_ROWS, MAX_WORK // work, MAX_BYTES // (int(layers[0, c.N_IN]) * itemsize)))
    whole = c.BLOCK_ROWS if step > c.BLOCK_ROWS else c.MIN_BLOCK_ROWS
    step = min(-(-step // whole) * whole, most // c.BLOCK_ROWS * c.BLOCK_ROWS, max_rows)
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


class Forward:
    """The forward pass of the parts of one call: each thread has a function that the backend prepared for it.

    Preparing packs the weights. It pays if a thread computes several parts, which `is_prepared` says.
    """

    def __init__(self, kernels: Backend, layers: Ints, parameters: Floats, max_rows: int, is_prepared: bool) -> None:
        self._kernels, self._layers, self._parameters = kernels, layers, parameters
        self._max_rows, self._is_prepared = max_rows, is_prepared
        self._runs: dict[int, c.PreparedPredict] = {}
        self._outputs: dict[int, Floats] = {}

    def __call__(self, x: Rows, worker: int, out: Floats | None = None) -> Floats:
        """Return the last layer's activations (n, n_out) of at most `max_rows` rows.

        They are in `out`, or in memory that the next call of the worker overwrites.
        """
        if out is None:
            if worker not in self._outputs:
                shape = self._max_rows, self._layers.item(-1, c.N_OUT)
                self._outputs[worker] = np.empty(shape, self._parameters.dtype)
            out = self._outputs[worker][: len(x)]
        if isinstance(x, SparseRows) or not self._is_prepared:
            plan = c.plan(self._layers, len(x), 0, out.itemsize, sparse=isinstance(x, SparseRows))
            work, memory = workspaces.take(plan.size, out.dtype)
            self._kernels.predict(self._layers, self._parameters, x, out, work)
            workspaces.give_back(memory)
        else:
            if worker not in self._runs:
                self._runs[worker] = self._prepare(x.dtype)
            self._runs[worker](x, out)
        return out

    def _prepare(self, x_dtype: np.dtype[Any]) -> c.PreparedPredict:
        itemsize = self._parameters.itemsize
        work = c.aligned_empty(c.plan(self._layers, self._max_rows, 0, itemsize).size, self._parameters.dtype)
        return self._kernels.predictor(self._layers, self._parameters, self._max_rows, x_dtype, work)


def share_forward(
    kernels: Backend,
    layers: Ints,
    parameters: Floats,
    x: AnyRows,
    n_threads: int = 1,
    *,
    out: Floats | None = None,
    use: Use | None = None,
    refuse: Refuse | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Compute the last layer's activations of rows x (n, n_in), in threads that share the parts of x.

    Parameters
    ----------
    out : array (n, n_out), optional
        Where to write the activations.
    use : function, optional
        Called as use(part, activations) in the thread that computed a part, in any order. `part` is a slice of rows.
        Without `out` the activations are valid during the call only.
    refuse : function, optional
        Called if rows have a number that is not finite. It raises the error. None: the rows were checked before.
    is_over : function
        Whether to leave out the parts that are left.
    """
    max_rows = x.rows_of_a_piece if isinstance(x, UnconvertedRows) else MAX_ROWS
    pieces: Sequence[slice] = parts(layers, len(x), parameters.itemsize, max_rows)
    run = Forward(kernels, layers, parameters, pieces[0].stop, len(pieces) > 1)

    def call(part: slice, worker: int) -> None:
        if is_over():
            return
        rows = checks.kernel_rows(x[part])
        if refuse is not None and not checks.are_finite(rows):
            refuse()
        found = run(rows, worker, None if out is None else out[part])
        if use is not None:
            use(part, found)

    if len(pieces) == 1:
        call(pieces[0], 0)
    else:
        share_parts(min(n_threads, len(pieces)), pieces, call)
