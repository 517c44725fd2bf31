"""Chooses the backend of a call, lists the backends, and registers a user's backend."""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

from fastnet import checks
from fastnet.errors import BackendError
from fastnet.kernels.contract import Backend
from fastnet.names import BackendName
from fastnet.version import __version__

NAMES = ("cython", "numba", "numpy")  # "auto" takes the first backend that works here
ENVIRONMENT = "FASTNET_BACKEND"

_MODULES = {
    "cython": "fastnet.kernels.cython_dispatch",
    "numba": "fastnet.kernels.numba_backend",
    "numpy": "fastnet.kernels.numpy_backend",
}
_HOW_TO_GET = {
    "cython": "install a C compiler (on Debian: apt-get install gcc), then install fastnet again, in its checkout: "
    "python -m pip install --force-reinstall --no-deps .",
    "numba": 'python -m pip install "fastnet-mlp[numba]"',
    "numpy": "python -m pip install numpy",
}
ARGUMENT = "named by the argument"
_registered: dict[str, Backend] = {}
_loaded: dict[str, Any] = {}  # the modules whose import has ended
_context: contextvars.ContextVar[str | None] = contextvars.ContextVar("fastnet_backend", default=None)


class Choice(NamedTuple):
    """A backend's name, and why this backend was chosen."""

    name: str
    reason: str


class BackendInfo(NamedTuple):
    """The state of a backend on this machine. A text that does not apply is empty.

    Attributes
    ----------
    name : str
        The backend's name.
    available : bool
        Whether the backend can be used here.
    version : str
        The version of the package behind the backend.
    instruction_set : str
        The instruction set that the kernels were compiled for.
    problem : str
        Why the backend cannot be used, and how to get it.
    """

    name: str
    available: bool
    version: str
    instruction_set: str
    problem: str


def register(name: str, backend: Backend) -> None:
    """Register a backend of your own in this process, so that `backend=name` chooses it.

    "auto" never chooses a registered backend. A second registration under the same name replaces the first.

    Parameters
    ----------
    name : str
        A word, such as "mine".
    backend : Backend
        A module, or any object, with everything that `fastnet.kernels.contract.Backend` lists. `examples/my_backend.py`
        is a complete example.

    Raises
    ------
    ValueError
        The name belongs to one of fastnet's own backends, or is not one word.
    TypeError
        The object lacks a function or setting, or one of its functions takes other arguments.
    """
    checks.backend_name(name, ("auto", *NAMES))
    checks.backend(name, backend)
    _registered[name] = backend


def get(name: BackendName) -> Backend:
    """Return the module of the backend, or the object that was registered under this name.

    Raises
    ------
    BackendError
        No backend has this name, or the backend cannot be used here. The message says how to get it.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.backends.get("numpy").MAX_THREADS
    1
    """
    if not isinstance(name, str) or name not in _MODULES:
        _check_name(name, "backend")
        return _registered[name]
    try:
        backend = _loaded.get(_MODULES[name]) or _load(_MODULES[name])  # an import of a loaded module takes 2 us
        if name == "cython":
            backend.module("float32")  # the import always works; this call fails without compiled kernels
    except ImportError as error:
        raise BackendError(f"the {name} backend is missing here ({error}); to get it: {_HOW_TO_GET[name]}") from error
    found: Backend = backend
    return found


def _load(path: str) -> Any:
    """Import a module. If another thread imports it now, wait for that thread: `sys.modules` has it half finished."""
    _loaded[path] = import_module(path)
    return _loaded[path]


def resolve(argument: BackendName | None = None) -> Choice:
    """Return the name of the backend that a call would use, and the reason.

    The argument counts first, then `use_backend`, then the environment variable FASTNET_BACKEND. The first name that is
    given decides. For "auto", or without a name, the choice is the first backend in `NAMES` that works here.

    Raises
    ------
    BackendError
        The named backend is unknown, or missing here. Only "auto" looks for another backend.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.backends.resolve("numpy")
    Choice(name='numpy', reason='named by the argument')
    """
    return find(argument)[0]


def find(argument: BackendName | None = None) -> tuple[Choice, Backend]:
    """Return the choice of `resolve`, and the backend itself. The errors are those of `resolve`."""
    if type(argument) is str and argument in _MODULES:
        return Choice(argument, ARGUMENT), get(argument)
    for place, source in enumerate((ARGUMENT, "named by use_backend", f"named by ${ENVIRONMENT}")):
        name = argument if place == 0 else _context.get() if place == 1 else os.environ.get(ENVIRONMENT) or None
        if name is None:
            continue
        _check_name(name, "backend" if name == argument else source.removeprefix("named by "), auto=True)
        if name != "auto":
            return Choice(name, source), get(name)
        break  # "auto" ends the search: names of lower priority do not count
    missing = []
    for name in NAMES:
        try:
            backend = get(name)
        except BackendError:
            missing.append(name)
            continue
        why = f"{' and '.join(missing)} missing" if missing else "the first of cython, numba, numpy that works here"
        return Choice(name, f"auto: {why}"), backend
    raise AssertionError("the NumPy backend needs nothing but NumPy")


@contextlib.contextmanager
def use_backend(name: BackendName) -> Iterator[None]:
    """Choose the backend of all calls in a `with` block that do not name a backend.

    The choice holds for the current thread or asyncio task only.

    Raises
    ------
    BackendError
        The backend is unknown, or missing here.

    Examples
    --------
    >>> import fastnet
    >>> with fastnet.use_backend("numpy"):
    ...     fastnet.backends.resolve().name
    'numpy'
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
    """Describe every backend: fastnet's own backends, the fastest first, then the registered backends.

    Each backend is imported, to find out whether it works.

    Examples
    --------
    >>> import fastnet
    >>> [info.name for info in fastnet.backends.available()]
    ['cython', 'numba', 'numpy']
    """
    return [describe(name) for name in (*NAMES, *_registered)]


def describe(name: BackendName) -> BackendInfo:
    """Describe one backend: its version and instruction set, or why it is missing. The backend is imported."""
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
    if not isinstance(name, str):
        raise BackendError(f"{where}: give a backend's name, {', '.join(names)}, not {checks.given(name)}")
    if name not in names:
        hint = checks.suggestion(name, names)
        raise BackendError(f"{where}: no backend is called {name!r}; there are {', '.join(names)}{hint}")
