"""Predictor: a network's way forward made ready for hot loops.

What a call needs is prepared once, for each dtype of inputs, and a call that fits is tested with a few comparisons and
handed to the kernel. Whatever does not fit goes the way of Network.forward, which explains what is wrong with it.
"""

from __future__ import annotations

import threading
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet import backends, checks
from fastnet.backends.forward import forward, work_of
from fastnet.backends.threads import run_team, team_size
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.kernels.contract import Backend, Ints

Array = NDArray[Any]


class Source(Protocol):
    """The part of a Network that a predictor reads."""

    @property
    def layers(self) -> Ints: ...
    @property
    def n_parameters(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def is_classifier(self) -> bool: ...
    def weighted_sums(self) -> Ints: ...
    def kernel_parameters(self) -> Array: ...


class Predictor:
    """What Network.compile returns: the network with its parameters as they were then, ready for many small calls.

    Called with x (n, n_in) it returns the outputs (n, n_out), and with one example (n_in,) its outputs (n_out,); so
    does `forward`, and `predict` gives labels. x may be anything that Network.forward takes; quick are C-contiguous
    arrays of the network's dtype or of uint8, of at most max_batch rows, and a C-contiguous `out` of the network's
    dtype for the result, which shares no memory with x. More rows go in parts of max_batch. The last bits of a row's
    outputs may depend on which rows it is handed over with.

    A call tests whether dense floats are finite where it has to convert or copy x first; a C-contiguous array of the
    network's dtype is never tested.

    A predictor is for one thread at a time, since its workspace is reused: make one for each thread (RuntimeError). It
    cannot be pickled or copied; the network can.
    """

    def __init__(
        self,
        network: Source,
        *,
        backend: str | None = None,
        max_batch: int = 1,
        threads: int | str = 1,
        x_dtype: DTypeLike | None = None,
    ) -> None:
        self._network = network
        self._parameters = c.aligned_empty(network.n_parameters, network.dtype)
        self._max_batch = checks.whole_number("max_batch", max_batch, 1)
        wanted, name = checks.threads(threads), backends.resolve(backend).name
        self._about = f"{network!r}, on {name}, for {self._max_batch} rows a call"
        x_dtype = None if x_dtype is None else checks.input_dtype(x_dtype, network.dtype)
        kernels = backends.get(name)
        team_size(wanted, kernels, name, 1, 0)  # impossible threads are an error now, not at the first large input
        self._outputs, self._sums = (
            _Prepared(kernels, name, layers, self._parameters, self._max_batch, wanted)
            for layers in (network.layers, network.weighted_sums())
        )
        self.refresh()
        if x_dtype is not None:
            self._outputs.prepare(x_dtype)

    def refresh(self) -> None:
        """Takes over the network's present parameters."""
        self._parameters[...] = self._network.kernel_parameters()
        self._outputs.forget()
        self._sums.forget()

    def __call__(self, x: Any, out: Array | None = None) -> Array:
        """The outputs (n, n_out) of x (n, n_in), or (n_out,) of one example (n_in,), in `out` where it is given.

        Raises ValueError for an unusable x or out.
        """
        return self._outputs(x, out)

    def forward(self, x: Any, out: Array | None = None) -> Array:
        """The same as calling it."""
        return self._outputs(x, out)

    def predict(self, x: Any, out: Array | None = None) -> Array:
        """Labels int64 (n,), or one number (numpy.int64) for one example; for a regression network the outputs.

        `out`, where it is given, has the result's shape, () for one example.
        """
        if not self._network.is_classifier:
            return self._outputs(x, out)
        sums = self._sums(x, None)
        found = checks.result(out, sums.shape[:-1], np.int64)
        found[...] = formulas.classes(sums, axis=-1)
        return found if out is not None else found[()]

    def __repr__(self) -> str:
        return f"<Predictor of {self._about}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Predictor cannot be pickled or copied: pickle the network and call its compile() again")


class _Prepared:
    """The kernels' functions of (x, out) for one network, made when first needed: one a dtype of x and thread."""

    def __init__(
        self, kernels: Backend, name: str, layers: Ints, parameters: Array, max_batch: int, threads: int | None
    ) -> None:
        self._kernels, self._name, self._layers, self._parameters = kernels, name, layers, parameters
        self._max_batch, self._threads = max_batch, threads
        self._dtype = parameters.dtype
        self._lock = threading.Lock()
        self._n_in, self._n_out = int(layers[0, c.N_IN]), int(layers[-1, c.N_OUT])
        self.forget()

    def forget(self) -> None:
        self._runs: dict[tuple[np.dtype[Any], int], c.Predictor] = {}
        self._ready: dict[np.dtype[Any], c.Predictor] = {}  # those of the calling thread

    def prepare(self, x_dtype: np.dtype[Any], worker: int = 0) -> c.Predictor:
        if (x_dtype, worker) not in self._runs:
            work = c.aligned_empty(c.plan(self._layers, self._max_batch, 0, self._dtype.itemsize).size, self._dtype)
            run = self._kernels.predictor(self._layers, self._parameters, self._max_batch, x_dtype, work)
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
        # The quick way: nothing here but what tells that the kernel can be trusted with x and out.
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
        return self._any(x, out)

    def _any(self, x: Any, out: Array | None) -> Array:
        """Whatever x is, checked like any other."""
        as_it_is = isinstance(x, np.ndarray) and x.dtype == self._dtype and x.flags.c_contiguous
        one = not (isinstance(x, c.SparseRows) or checks.is_scipy_sparse(x)) and np.ndim(x) == 1
        rows = checks.inputs(np.asanyarray(x)[None] if one else x, self._n_in, self._dtype, finite=not as_it_is)
        out = checks.result(out, (self._n_out,) if one else (len(rows), self._n_out), self._dtype)
        target = out[None] if one else out.view()
        work = work_of(self._layers, rows, len(rows))
        n_threads = team_size(self._threads, self._kernels, self._name, len(rows), work)
        if isinstance(rows, c.SparseRows):
            forward(self._kernels, self._layers, self._parameters, rows, target, n_threads)
            return out
        starts = range(0, len(rows), self._max_batch)
        n_threads = min(n_threads, len(starts))
        runs = [self.prepare(rows.dtype, worker) for worker in range(n_threads)]

        def call(team: Ints, worker: int) -> None:
            for start in starts[worker :: int(team[c.N_THREADS])]:
                if team[c.BROKEN]:
                    return
                part = slice(start, start + self._max_batch)
                runs[worker](rows[part], target[part])

        run_team(n_threads, call)
        return out
