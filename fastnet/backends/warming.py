"""Compiling ahead: what a backend that compiles when first used would otherwise do in the midst of a call."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnet import backends, checks
from fastnet.backends.compression import compressed
from fastnet.backends.interrupts import Interrupts
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend


def warmup(
    backend: str | None = None, *, dtype: DTypeLike = "float32", x_dtypes: Sequence[DTypeLike] = ("uint8", "float32")
) -> float:
    """Compiles ahead, or loads from the cache, all that training and prediction will need; returns the seconds.

    backend as everywhere: a name, or None for the one in use; only numba compiles, the others return at once. dtype:
    that of the networks, float32 or float64; x_dtypes: those of the inputs, uint8 and floats, which are converted to
    dtype.

    Raises ValueError or TypeError for another dtype, BackendError for a missing backend, KeyboardInterrupt at once.
    """
    found = checks.real_dtype(dtype)
    kinds = {checks.input_dtype(x_dtype, found) for x_dtype in x_dtypes}
    kernels = backends.get(backends.resolve(backend).name)
    began = time.perf_counter()
    with Interrupts() as interrupts:
        interrupts.call(lambda: _everything(kernels, found, kinds), abandon=True)
    return time.perf_counter() - began


def compiles(kernels: Backend) -> bool:
    """Whether there is anything to compile."""
    return hasattr(kernels, "warm_up")


def warm_up(kernels: Backend, dtype: np.dtype[Any], x_dtype: np.dtype[Any], sparse: bool = False) -> None:
    """Has the backend compile what a network of this dtype needs for inputs of x_dtype, or for sparse rows of them."""
    if not compiles(kernels):
        return
    x: c.Rows = np.ones((1, 1), x_dtype)
    if sparse:
        x = compressed(kernels, x, dtype)
    net, params, work = _smallest(dtype)
    progress, optimizer = np.zeros(c.PROGRESS_COLUMNS, np.int64), np.zeros(c.OPTIMIZER_COLUMNS)
    one, state = np.zeros(1, np.int64), np.empty((0, 2), dtype)
    kernels.predict(net, params, x, np.empty((1, 1), dtype), work)
    call = c.TrainCall(net, params, state, x, one, one, 1, np.zeros(1), optimizer, 0, progress, work, c.team(1), 0)
    kernels.train(call)


def _everything(kernels: Backend, dtype: np.dtype[Any], x_dtypes: Iterable[np.dtype[Any]]) -> None:
    if not compiles(kernels):
        return
    net, params, work = _smallest(dtype)
    for x_dtype in x_dtypes:
        warm_up(kernels, dtype, x_dtype)
        warm_up(kernels, dtype, x_dtype, sparse=True)
        kernels.predictor(net, params, 1, x_dtype, work)(np.zeros((1, 1), x_dtype), np.empty((1, 1), dtype))


def _smallest(dtype: np.dtype[Any]) -> tuple[c.Ints, c.Floats, c.Floats]:
    """A network of one weight and one bias, its parameters, and a workspace for it."""
    net = np.array([[1, 1, c.IDENTITY, 0, 1, c.SQUARED_ERROR, 0, 0]])
    return net, np.zeros(2, dtype), c.aligned_empty(c.plan(net, 1, 0, dtype.itemsize).size, dtype)
