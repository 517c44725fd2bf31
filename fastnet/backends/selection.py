"""Which kernel backend runs, and why.

The argument beats the context manager, which beats the environment (FASTNET_BACKEND), which beats "auto": the
first of NAMES that works here. Only "auto" chooses; a named backend that is missing is an error that says how to
get it. A user's own is registered under a name, and then chosen by that name only.
"""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import os
from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple, cast

from fastnet import checks
from fastnet.errors import BackendError
from fastnet.kernels.contract import Backend
from fastnet.version import __version__

NAMES = ("cython", "numba", "numpy")  # best first
ENVIRONMENT = "FASTNET_BACKEND"

_MODULES = {
    "cython": "fastnet.kernels.compiled",
    "numba": "fastnet.kernels.numba_backend",
    "numpy": "fastnet.kernels.numpy_backend",
}
_HOW_TO_GET = {
    "cython": "install a C compiler (on Debian: apt-get install gcc), then fastnet again, in its checkout: "
    "python -m pip install --force-reinstall --no-deps .",
    "numba": 'python -m pip install "fastnet-mlp[numba]"',
    "numpy": "python -m pip install numpy",
}
_registered: dict[str, Backend] = {}
_context: contextvars.ContextVar[str | None] = contextvars.ContextVar("fastnet_backend", default=None)


class Choice(NamedTuple):
    """A backend and why it was chosen."""

    name: str
    reason: str


class BackendInfo(NamedTuple):
    """What is known of a backend on this machine.

    version is that of the package behind it; instruction_set what its kernels were compiled for; problem says why
    it cannot be used and how to get it. Each is empty where it does not apply.
    """

    name: str
    available: bool
    version: str
    instruction_set: str
    problem: str


def register(name: str, backend: Backend) -> None:
    """Makes `backend=name` choose a backend of one's own, in this process, wherever a backend is named.

    backend: a module, or any object, with all that `fastnet.kernels.contract.Backend` asks for; examples/my_backend.py
    is one. "auto" never chooses it. Registered again, a name stands for the new one.

    Raises ValueError for the name of one of fastnet's own, TypeError for an object that lacks something or has
    functions of other arguments.
    """
    checks.backend_name(name, ("auto", *NAMES))
    checks.backend(name, backend)
    _registered[name] = backend


def get(name: str) -> Backend:
    """The backend's module, or the object registered, with the functions of `fastnet.kernels.contract.Backend`.

    Raises
    ------
    BackendError
        No such backend, or it cannot be used here; the message says how to get it.
    """
    _check_name(name, "backend")
    if name in _registered:
        return _registered[name]
    try:
        backend = import_module(_MODULES[name])
        if name == "cython":
            backend.module("float32")  # the face imports anywhere; this finds out whether anything is behind it
    except ImportError as error:
        raise BackendError(f"the {name} backend is missing here ({error}); to get it: {_HOW_TO_GET[name]}") from error
    return cast(Backend, backend)


def resolve(argument: str | None = None) -> Choice:
    """The backend to use and why. Raises BackendError when a named one is missing or unknown."""
    for name, source in (
        (argument, "named by the argument"),
        (_context.get(), "named by use_backend"),
        (os.environ.get(ENVIRONMENT) or None, f"named by ${ENVIRONMENT}"),
    ):
        if name is None:
            continue
        _check_name(name, "backend" if name == argument else source.removeprefix("named by "), auto=True)
        if name != "auto":
            get(name)
            return Choice(name, source)
        break  # an outer "auto" hides what is further in
    missing = []
    for name in NAMES:
        try:
            get(name)
        except BackendError:
            missing.append(name)
            continue
        return Choice(name, "auto: " + (f"{' and '.join(missing)} missing" if missing else "the fastest here"))
    raise AssertionError("the NumPy backend needs nothing but NumPy")


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """`with fastnet.use_backend("numpy"):` chooses the backend of everything inside that names none.

    Holds for the current thread or task only. Raises BackendError when the backend is unknown or missing.
    """
    _check_name(name, "use_backend", auto=True)
    if name != "auto":
        get(name)
    token = _context.set(name)
    try:
        yield
    finally:
        _context.reset(token)


def available() -> list[BackendInfo]:
    """Every backend: name, version, instruction set, or why it is missing. Imports each to find out.

    fastnet's own, best first, then those registered.
    """
    return [describe(name) for name in (*NAMES, *_registered)]


def describe(name: str) -> BackendInfo:
    """A backend by its name: its version, its instruction set, or why it is missing. Imports it to find out."""
    try:
        get(name)
    except BackendError as error:
        return BackendInfo(name, False, "", "", str(error))
    if name in _registered:
        return BackendInfo(name, True, str(getattr(_registered[name], "__version__", "")), "", "")
    if name == "numpy":
        import numpy

        return BackendInfo(name, True, numpy.__version__, "NumPy's own, with its BLAS", "")
    module = import_module(_MODULES[name])
    if name == "numba":
        import numba

        return BackendInfo(name, True, numba.__version__, module.instruction_set(), "")
    return BackendInfo(name, True, __version__, module.instruction_set(), "")


def _check_name(name: object, where: str, auto: bool = False) -> None:
    names = (*(("auto",) if auto else ()), *NAMES, *_registered)
    if not isinstance(name, str) or name not in names:
        close = difflib.get_close_matches(str(name), names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise BackendError(f"{where}: no backend is called {name!r}; there are {', '.join(names)}{hint}")
