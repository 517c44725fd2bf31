"""Kernel calls with every buffer next to a protected page. kernels/test_contract_memory.py runs this file.

A kernel that reads or writes one byte beyond a buffer's end, or before its start, ends with a segmentation fault.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import backend_calls as bc
import kernel_cases as kc

from fastnet.kernels import contract as c

N_IN = (1, 5, 17, 35)
LIBC = ctypes.CDLL(None, use_errno=True)


def at_the_edge(source: kc.Array, side: str) -> kc.Array:
    """Return a copy of the array that ends where a page ends or, for the side "start", starts where a page starts."""
    page, used = mmap.PAGESIZE, -(-max(source.nbytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    area = mmap.mmap(-1, used + 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    for guard in (address, address + page + used):
        if LIBC.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = page if side == "start" else page + used - source.nbytes
    copy = np.frombuffer(area, np.uint8, source.nbytes, start).view(source.dtype).reshape(source.shape)
    copy[...] = source
    return copy


def sparse_at_the_edge(x: kc.Array, dtype: Any, side: str) -> c.SparseRows:
    rows, columns = np.nonzero(x)
    arrays = (
        np.concatenate(([0], np.cumsum((x != 0).sum(1)))),
        columns.astype(np.int32),
        kc.as_floats(x, dtype)[rows, columns],
    )
    return c.SparseRows(*(at_the_edge(array, side) for array in arrays), x.shape[1])


def dense(backend: Any, k: kc.Case, side: str) -> None:
    calls(backend, k._replace(x=at_the_edge(k.x, side)), side)


def sparse(backend: Any, k: kc.Case, side: str) -> None:
    k = kc.mostly_zero(k)
    calls(backend, k._replace(x=sparse_at_the_edge(k.x, k.params.dtype, side)), side)
    s = sparse_at_the_edge(k.x, k.params.dtype, side)
    backend.compress(at_the_edge(k.x, side), k.scale, s.starts, s.indices, s.values)


def pieces(backend: Any, k: kc.Case, side: str) -> None:
    """Call the kernels with pieces of 8 inputs. Most cases then have several pieces or a shorter last piece."""
    k = kc.mostly_zero(k)
    x = sparse_at_the_edge(k.x, k.params.dtype, side)
    with mock.patch.object(c, "PIECE_INPUTS", 8):
        for n_threads in {1, min(3, backend.MAX_THREADS)}:
            calls(backend, k._replace(x=x), side, n_threads)


def skipping(backend: Any, k: kc.Case, side: str) -> None:
    """Call the kernels on mostly zero rows of 70 inputs, with a narrow first layer and with a wide one."""
    inputs, targets = kc.INPUTS[k.x.dtype == np.uint8], kc.TARGETS[k.y.ndim - 1]
    for width in (5, 34):
        again = kc.case((70, width, 3), "relu", ("softmax", "cross_entropy"), 9, k.params.dtype.name, inputs, targets)
        dense(backend, kc.mostly_zero(again), side)


def predictor(backend: Any, k: kc.Case, side: str) -> None:
    x, work = at_the_edge(k.x, side), at_the_edge(bc.workspace(k, len(k.x)), side)
    run = backend.predictor(at_the_edge(k.net, side), at_the_edge(k.params, side), len(k.x), x.dtype, work)
    run(x, at_the_edge(bc.predict(backend, k), side))


def teams(backend: Any, k: kc.Case, side: str) -> None:
    """Call the kernels with three threads: with a shared gradient, and with a gradient of each thread."""
    calls(backend, k._replace(x=at_the_edge(k.x, side)), side, n_threads=3)
    with bc.forced_path(is_narrow=False), mock.patch.object(c, "OWN_GRADIENT_GAIN", 0):
        calls(backend, k._replace(x=at_the_edge(k.x, side)), side, n_threads=3)
        zeros = kc.mostly_zero(k)
        calls(backend, k._replace(x=sparse_at_the_edge(zeros.x, k.params.dtype, side)), side, n_threads=3)


def dropout(backend: Any, k: kc.Case, side: str) -> None:
    calls(backend, kc.dropping(k, (1 << 31, 7)), side)


def calls(backend: Any, k: kc.Case, side: str, n_threads: int = 1) -> None:
    rows, x = len(k.x), k.x
    net, params, y, weights = (at_the_edge(array, side) for array in (k.net, k.params, k.y, k.weights))
    work = at_the_edge(bc.workspace(k, rows), side)
    backend.predict(net, params, x, at_the_edge(bc.predict(backend, k), side), work)
    backend.gradient(net, params, x, y, weights, at_the_edge(params, side), work)
    training(backend, k, side, bc.rule("adam", "all"), 4, n_threads)
    training(backend, k, side, bc.rule("adam", "clip"), rows, n_threads)  # one batch


def training(backend: Any, k: kc.Case, side: str, rule: Any, batch: int, n_threads: int) -> None:
    net, params, y, weights = (at_the_edge(array, side) for array in (k.net, k.params, k.y, k.weights))
    x, order = k.x, np.arange(len(k.x))[::-1].copy()
    state, progress = np.zeros((rule.slots(), len(params)), params.dtype), np.zeros(c.PROGRESS_COLUMNS, np.int64)
    work = bc.workspace(k, batch, rule.slots(), n_threads)
    rates = bc.rates(order, batch)
    vectors = (order, rates, bc.optimizer(rule), progress, np.empty((len(rates), c.REPORT_COLUMNS)), work)
    order, rates, optimizer, progress, report, work = (at_the_edge(array, side) for array in vectors)
    state = at_the_edge(state, side)
    team = c.team(n_threads)
    data, run = (x, y, weights, order, batch), (rates, optimizer, 0, progress, report)
    call = c.TrainCall(net, params, state, *data, *run, work, team, 0)
    bc.together(backend, call)


def updates(backend: Any, k: kc.Case, side: str) -> None:
    """Call `train` for the gradient alone, and `update` with this gradient."""
    rule, params = bc.rule("adam", "all"), at_the_edge(k.params, side)
    state = at_the_edge(np.zeros((2, len(params)), params.dtype), side)
    one = bc.call(k, np.arange(len(k.x)), len(k.x), bc.rule("momentum", "plain"), np.zeros(1))
    optimizer = at_the_edge(c.GRADIENT_ONLY, side)
    gradient = at_the_edge(one.state, side)
    backend.train(one._replace(params=params, state=gradient, optimizer=optimizer))
    backend.update(at_the_edge(k.net, side), params, state, gradient[0], at_the_edge(bc.optimizer(rule), side), 0.1, 0)


def columns(backend: Any, k: kc.Case, side: str) -> None:
    """Call `train` with columns (contract.narrow), whatever the shape."""
    with bc.forced_path(is_narrow=True):
        for changed, n_threads in ((k, 1), (k, min(3, backend.MAX_THREADS)), (kc.dropping(k, (1 << 31, 7)), 1)):
            calls(backend, changed._replace(x=at_the_edge(k.x, side)), side, n_threads)


KINDS = {
    "dense": dense,
    "sparse": sparse,
    "pieces": pieces,
    "skipping": skipping,
    "predictor": predictor,
    "teams": teams,
    "dropout": dropout,
    "updates": updates,
    "columns": columns,
}


def main(name: str) -> None:
    from conftest import load_backend

    backend = load_backend(name)
    for kind, check in KINDS.items():
        if kind == "teams" and backend.MAX_THREADS == 1:
            continue
        for side, dtype, inputs, targets, n_in in product(("end", "start"), kc.DTYPES, kc.INPUTS, kc.TARGETS, N_IN):
            sizes = (n_in, 34, 3)  # wide enough for sorted entries at every vector width
            weights = "drawn" if n_in in (5, 35) else "none"
            rows = 9 if n_in in (5, 17) else c.FEW_ROWS + 2
            k = kc.case(sizes, "relu", ("softmax", "cross_entropy"), rows, dtype, inputs, targets, weights=weights)
            check(backend, k, side)
        print(f"{kind}: every page untouched", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
