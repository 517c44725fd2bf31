"""Engine: the backend of a call, why it was chosen, and how many threads may share its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.backends import workspaces
from fastnet.backends.forward import Refuse, Use, share_forward, work_of
from fastnet.backends.selection import find
from fastnet.backends.threads import team_size
from fastnet.checks import AnyRows
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, Floats, Ints, Rows, SparseRows


class Engine(NamedTuple):
    """A backend that was chosen for a call.

    Networks, trainers and predictors make an engine at the start of a call, with `choose`.

    Attributes
    ----------
    kernels : Backend
        The module, or the registered object, with the backend's functions.
    name, reason : str
        The backend's name, and why it was chosen.
    threads : int or None
        The number of threads that the user asked for. None stands for "auto".
    """

    kernels: Backend
    name: str
    reason: str
    threads: int | None

    @property
    def takes_threads(self) -> bool:
        """Whether several threads can share a call. With NumPy they cannot: its BLAS has threads of its own."""
        return self.kernels.MAX_THREADS > 1

    def n_threads(self, layers: Ints, x: AnyRows, n_rows: int) -> int:
        """Return how many threads share the work of `n_rows` rows of x."""
        if self.threads == 1:
            return 1
        return team_size(self.threads, self.kernels.MAX_THREADS, n_rows, work_of(layers, x, n_rows))

    def forward(
        self,
        layers: Ints,
        parameters: Floats,
        x: AnyRows,
        out: NDArray[Any] | None = None,
        refuse: Refuse | None = None,
    ) -> NDArray[Any]:
        """Return the last layer's activations (n, n_out) of rows x (n, n_in), in `out` if it is given.

        `refuse` raises the error if a number is not finite. None: the rows were checked before.

        Raises
        ------
        ValueError
            `out` cannot hold the result.
        """
        out = checks.result(out, (len(x), int(layers[-1, c.N_OUT])), parameters.dtype)
        n_threads = self.n_threads(layers, x, len(x))
        # The kernel gets a view, since another thread may change the shape of the user's array at any time.
        share_forward(self.kernels, layers, parameters, x, n_threads, out=out.view(), refuse=refuse)
        return out

    def share(
        self,
        layers: Ints,
        parameters: Floats,
        x: AnyRows,
        use: Use,
        refuse: Refuse | None = None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Call use(part, activations) for each part of rows x, in the thread that computed the part, in any order.

        `part` is a slice of rows. The activations (rows, n_out) are valid during the call only. `refuse` as for
        `forward`. Once `is_over` says so, the other parts are left out.
        """
        n_threads = self.n_threads(layers, x, len(x))
        share_forward(self.kernels, layers, parameters, x, n_threads, use=use, refuse=refuse, is_over=is_over)

    def gradient(
        self, layers: Ints, parameters: Floats, x: Rows, y: NDArray[Any], weights: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Return the gradient (n_parameters,) of the mean cost over checked examples, weighted by checked weights."""
        gradient = c.aligned_empty(parameters.size, parameters.dtype)
        plan = c.plan(layers, len(x), 0, parameters.itemsize, sparse=isinstance(x, SparseRows))
        work, memory = workspaces.take(plan.size, parameters.dtype)
        self.kernels.gradient(layers, parameters, x, y, weights, gradient, work)
        workspaces.give_back(memory)
        return gradient


def choose(backend: str | None = None, threads: int | str = 1) -> Engine:
    """Choose the backend of a call.

    Parameters
    ----------
    backend : str, optional
        A backend's name, or "auto". None: the choice of `use_backend` or FASTNET_BACKEND, else "auto".
    threads : int or "auto"
        How many threads may share the work.

    Raises
    ------
    BackendError
        The backend is unknown, or it is missing here.
    ValueError, TypeError
        `threads` is invalid, or the backend takes one thread only.
    """
    wanted = checks.threads(threads)
    choice, kernels = find(backend)
    if wanted != 1 and kernels.MAX_THREADS == 1:
        checks.one_thread(wanted, choice.name)
    return Engine(kernels, choice.name, choice.reason, wanted)
