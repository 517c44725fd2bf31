"""Predictor: a network's forward pass, prepared once for many small calls.

An input that needs no conversion goes straight to the kernel after a few comparisons. Any other input gets the checks
of Network.forward.
"""

from __future__ import annotations

import threading
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet import checks
from fastnet.architecture import Floats
from fastnet.backends.engine import Engine, choose
from fastnet.backends.forward import share_forward
from fastnet.backends.threads import share_parts
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.contract import Ints
from fastnet.names import BackendName, Threads

Array = NDArray[Any]


@runtime_checkable
class _Network(Protocol):
    """The part of a Network that a predictor reads."""

    @property
    def layers(self) -> Ints: ...
    @property
    def n_parameters(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def task(self) -> str: ...
    @property
    def byte_scale(self) -> float: ...
    def layers_to_weighted_sums(self) -> Ints: ...
    def kernel_parameters(self) -> Array: ...
    def warn_of_bytes(self, *forms: object) -> None: ...


def predicted(task: str, sums: Array) -> Array:
    """Return what a network predicts from weighted sums (..., n_out): classes (...,), or labels (..., n_out) of 0 or 1.

    The task is "classification" or "multilabel".
    """
    return formulas.classes(sums, axis=-1) if task == "classification" else sums >= 0


class Predictor:
    """A network as a function of x for hot loops, with a copy of the parameters. `Network.compile` returns a predictor.

    A call takes what `Network.forward` takes, and also one example (n_in,). The fast path is for C-contiguous arrays
    of the network's dtype or of uint8 with at most `max_batch` rows. A C-contiguous array of the network's dtype is not
    tested for nan and infinity; other arrays are. The last bits of a row's outputs may depend on the other rows in the
    same call, and may differ from those of `Network.forward`.

    A predictor reuses its workspace, so it serves one thread at a time: make a predictor for each thread. A predictor
    cannot be pickled or copied; a network can.

    Parameters
    ----------
    network : Network
        The network. `refresh` copies its parameters again.
    backend : str, optional
        A backend's name. None: the backend in use.
    max_batch : int
        The largest number of rows in a kernel call. Larger inputs are cut into parts of this size.
    threads : int or "auto"
        How many threads may share the parts of a larger input.
    x_dtype : dtype, optional
        The dtype of inputs to prepare for now. The first call with another dtype prepares for that dtype.

    Raises
    ------
    ValueError, TypeError
        A setting is invalid.
    BackendError
        The backend is unknown, or missing here.

    Examples
    --------
    >>> import fastnet
    >>> import numpy as np
    >>> predictor = fastnet.Network([4, 8, 3], seed=0).compile()
    >>> predictor(np.zeros(4, np.float32)).shape
    (3,)
    >>> predictor.predict(np.zeros((2, 4), np.float32)).shape
    (2,)
    """

    def __init__(
        self,
        network: _Network,
        *,
        backend: BackendName | None = None,
        max_batch: int = 1,
        threads: Threads = 1,
        x_dtype: DTypeLike | None = None,
    ) -> None:
        if isinstance(network, type) or not isinstance(network, _Network):
            raise TypeError(f"network must be a fastnet.Network, not {checks.given(network)}")
        self._network = network
        self._parameters = c.aligned_empty(network.n_parameters, network.dtype)
        self._max_batch = checks.whole_number("max_batch", max_batch, 1)
        engine = choose(backend, threads)
        self._about = f"{network!r}, on {engine.name}, for {self._max_batch} rows a call"
        x_dtype = None if x_dtype is None else checks.input_dtype(x_dtype, network.dtype)
        self._outputs, self._sums = (
            _Prepared(engine, layers, self._parameters, self._max_batch, network)
            for layers in (network.layers, network.layers_to_weighted_sums())
        )
        self.refresh()
        if x_dtype is not None:
            network.warn_of_bytes(np.empty(0, x_dtype))
            self._outputs.prepare(x_dtype)

    def refresh(self) -> None:
        """Copy the network's current parameters."""
        self._parameters[...] = self._network.kernel_parameters()
        self._outputs.forget()
        self._sums.forget()

    def __call__(self, x: Any, out: Array | None = None) -> Floats:
        """Return the outputs (n, n_out) of x (n, n_in), or (n_out,) of one example (n_in,).

        Parameters
        ----------
        x : array, data frame or scipy.sparse matrix
            Examples, one per row, or a single example.
        out : numpy.ndarray, optional
            A C-contiguous array of the result's shape and the network's dtype. It must not share memory with x.

        Raises
        ------
        ValueError
            x or `out` has an invalid shape or dtype, or an x that is tested has a value that is not finite.
        RuntimeError
            Another thread is calling this predictor.
        """
        return self._outputs(x, out)

    def forward(self, x: Any, out: Array | None = None) -> Floats:
        """Return the outputs of x, as a call of the predictor does."""
        return self._outputs(x, out)

    def predict(self, x: Any, out: Array | None = None) -> Array:
        """Return what `Network.predict` returns; for one example, one numpy.int64, n_out labels or n_out outputs.

        `out`, if given, has the result's shape: () for the class of one example.
        """
        if self._network.task == "regression":
            return self._outputs(x, out)
        sums = self._sums(x, None)
        found = checks.result(out, sums.shape[:-1] if self._network.task == "classification" else sums.shape, np.int64)
        found[...] = predicted(self._network.task, sums)
        return found if out is not None else found[()]

    def __repr__(self) -> str:
        return f"<Predictor of {self._about}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Predictor cannot be pickled or copied: pickle the network and call its compile() again")


class _Prepared:
    """Functions of (x, out) that the backend prepared: one for each dtype of x and each thread, made on first use."""

    def __init__(self, engine: Engine, layers: Ints, parameters: Array, max_batch: int, network: _Network) -> None:
        self._engine, self._layers, self._parameters, self._network = engine, layers, parameters, network
        self._max_batch = max_batch
        self._dtype = parameters.dtype
        self._lock = threading.Lock()
        self._n_in, self._n_out = int(layers[0, c.N_IN]), int(layers[-1, c.N_OUT])
        self.forget()

    def forget(self) -> None:
        self._runs: dict[tuple[np.dtype[Any], int], c.PreparedPredict] = {}
        self._ready: dict[np.dtype[Any], c.PreparedPredict] = {}  # the functions of worker 0, the calling thread

    def prepare(self, x_dtype: np.dtype[Any], worker: int = 0) -> c.PreparedPredict:
        if (x_dtype, worker) not in self._runs:
            work = c.aligned_empty(c.plan(self._layers, self._max_batch, 0, self._dtype.itemsize).size, self._dtype)
            run = self._engine.kernels.predictor(self._layers, self._parameters, self._max_batch, x_dtype, work)
            self._runs[x_dtype, worker] = run
            if worker == 0:
                self._ready[x_dtype] = run
        return self._runs[x_dtype, worker]

    def __call__(self, x: Any, out: Array | None) -> Array:
        if not self._lock.acquire(False):
            raise RuntimeError("a Predictor is for one thread at a time: make one for each thread")
        try:
            return self._call(x, out)
        finally:
            self._lock.release()

    def _call(self, x: Any, out: Array | None) -> Array:
        # The fast path makes only the comparisons that keep the kernel safe.
        if type(x) is np.ndarray and (run := self._ready.get(x.dtype)) is not None and x.flags.c_contiguous:
            shape = x.shape
            if len(shape) == 2:
                n, n_in = shape
                if n_in == self._n_in and 0 < n <= self._max_batch:
                    if out is None:
                        out = np.empty((n, self._n_out), self._dtype)
                    elif not (
                        type(out) is np.ndarray
                        and out.shape == (n, self._n_out)
                        and out.dtype is self._dtype
                        and out.flags.carray
                    ):
                        out = checks.result(out, (n, self._n_out), self._dtype)
                    run(x, out)
                    return out
            elif shape == (self._n_in,):
                out = checks.result(out, (self._n_out,), self._dtype)
                run(x[None], out[None])
                return out
        return self._call_with_any(x, out)

    def _call_with_any(self, x: Any, out: Array | None) -> Array:
        """Check any x and out as Network.forward does, then compute."""
        as_it_is = isinstance(x, np.ndarray) and x.dtype == self._dtype and x.flags.c_contiguous
        one = not (isinstance(x, c.SparseRows) or checks.is_scipy_sparse(x) or checks.is_frame(x)) and np.ndim(x) == 1
        rows = checks.lazy_inputs(
            np.asanyarray(x)[None] if one else x,
            self._n_in,
            self._dtype,
            byte_scale=self._network.byte_scale,
            finite=not as_it_is,
        )
        self._network.warn_of_bytes(x, rows)
        out = checks.result(out, (self._n_out,) if one else (len(rows), self._n_out), self._dtype)
        target = out[None] if one else out.view()
        n_threads = self._engine.n_threads(self._layers, rows, len(rows))
        if isinstance(rows, c.SparseRows):
            share_forward(self._engine.kernels, self._layers, self._parameters, rows, n_threads, out=target)
            return out
        starts = range(0, len(rows), self._max_batch)
        n_threads = min(n_threads, len(starts))
        runs = [self.prepare(rows.dtype, worker) for worker in range(n_threads)]

        def call(start: int, worker: int) -> None:
            part = slice(start, start + self._max_batch)
            runs[worker](checks.kernel_rows(rows[part]), target[part])

        share_parts(n_threads, starts, call)
        return out
