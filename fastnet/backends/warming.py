"""Compiles a backend's kernels before the call that needs them. Only Numba compiles kernels at run time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnet import checks
from fastnet.backends.compression import compressed
from fastnet.backends.encoding import encode
from fastnet.backends.engine import choose
from fastnet.backends.interrupts import Interrupts
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend
from fastnet.names import BackendName


def warmup(
    backend: BackendName | None = None,
    *,
    dtype: DTypeLike = "float32",
    x_dtypes: Sequence[DTypeLike] = ("uint8", "float32"),
) -> float:
    """Compile everything that training and prediction will need, or load it from the cache.

    Only Numba compiles at run time. For the other backends this function returns at once.

    Parameters
    ----------
    backend : str, optional
        A backend's name. None: the backend in use.
    dtype : float32 or float64
        The dtype of the networks.
    x_dtypes : sequence of dtypes
        The dtypes of the inputs: uint8, or floats, which are converted to `dtype`.

    Returns
    -------
    float
        The time that this took, in seconds.

    Raises
    ------
    ValueError, TypeError
        A dtype is not one of those above.
    BackendError
        The backend is unknown, or missing here.
    KeyboardInterrupt
        Ctrl-C was pressed. The wait for the compilation ends at once.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.warmup("numpy") < 60
    True
    """
    found = checks.real_dtype(dtype)
    kinds = {checks.input_dtype(x_dtype, found) for x_dtype in x_dtypes}
    kernels = choose(backend).kernels
    began = time.perf_counter()
    with Interrupts() as interrupts:
        interrupts.call(lambda: _compile_all(kernels, found, kinds), abandon=True)
    return time.perf_counter() - began


def compiles(kernels: Backend) -> bool:
    """Whether the backend compiles its kernels when they are first called."""
    return getattr(kernels, "warm_up", None) is not None


def warm_up(kernels: Backend, dtype: np.dtype[Any], x_dtype: np.dtype[Any], sparse: bool = False) -> None:
    """Compile the kernels of `predict` and `train` by calling them once, for a network of one weight.

    Parameters
    ----------
    kernels : Backend
        The backend. Nothing happens if it does not compile its kernels at run time.
    dtype, x_dtype : numpy.dtype
        The dtypes of the network and of its inputs.
    sparse : bool
        Whether the inputs are sparse rows.
    """
    if not compiles(kernels):
        return
    x: c.Rows = np.ones((1, 1), x_dtype)
    if sparse:
        x = compressed(kernels, x, dtype, c.PIXEL_SCALE)
    net, params, work = _smallest_network(dtype)
    one = np.zeros(1, np.int64)
    kernels.predict(net, params, x, np.empty((1, 1), dtype), work)
    call = c.TrainCall(
        net=net,
        params=params,
        state=np.empty((0, 2), dtype),
        x=x,
        y=one,
        weights=np.empty(0),
        order=one,
        batch_size=1,
        rates=np.zeros(1),
        optimizer=np.zeros(c.OPTIMIZER_COLUMNS),
        step=0,
        progress=np.zeros(c.PROGRESS_COLUMNS, np.int64),
        report=np.empty((1, c.REPORT_COLUMNS)),
        work=work,
        team=c.team(1),
        worker=0,
    )
    kernels.train(call)


def _compile_all(kernels: Backend, dtype: np.dtype[Any], x_dtypes: Iterable[np.dtype[Any]]) -> None:
    if not compiles(kernels):
        return
    net, params, work = _smallest_network(dtype)
    for x_dtype in x_dtypes:
        warm_up(kernels, dtype, x_dtype)
        warm_up(kernels, dtype, x_dtype, sparse=True)
        kernels.predictor(net, params, 1, x_dtype, work)(np.zeros((1, 1), x_dtype), np.empty((1, 1), dtype))


def _smallest_network(dtype: np.dtype[Any]) -> tuple[c.Ints, c.Floats, c.Floats]:
    """Return the layers, parameters and workspace of a network with one weight and one bias."""
    net = encode((1, 1), ["identity"], "squared_error", 0.0, "regression", c.PIXEL_SCALE)
    return net, np.zeros(2, dtype), c.aligned_empty(c.plan(net, 1, 0, dtype.itemsize).size, dtype)
