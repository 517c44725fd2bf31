"""The exception classes that fastnet defines, and the check that an extra is installed."""

from __future__ import annotations

import inspect
import warnings
from functools import partial
from importlib import import_module
from typing import Any


class FastnetError(Exception):
    """Base class of the errors that fastnet defines."""


class DataError(FastnetError, ValueError):
    """A file or data set cannot be used: it is missing, corrupt, truncated, hostile or of an unknown format."""


class BackendError(FastnetError, RuntimeError):
    """The named backend does not exist or cannot be used on this machine. The message says how to get it."""


class MissingLibraryError(FastnetError, ImportError):
    """A call needs a library that is not installed. The message has the command that installs it."""


class DivergedError(FastnetError, ArithmeticError):
    """The cost, a parameter or the optimiser's state is no longer finite. The network keeps its last good parameters.

    Attributes
    ----------
    epoch, step : int
        The numbers of the epoch and of the update that failed, counted from 1 over all calls of `fit`.
    learning_rate : float
        The learning rate of that update.
    """

    def __init__(self, message: str, *, epoch: int, step: int, learning_rate: float) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.learning_rate = learning_rate

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the keyword arguments too, so that a worker process can send the error to its parent."""
        make = partial(DivergedError, epoch=self.epoch, step=self.step, learning_rate=self.learning_rate)
        return make, self.args


def require_extra(module: str, need: str, extra: str) -> None:
    """Import a module of an extra. If it is missing, raise MissingLibraryError, whose message starts with `need`."""
    try:
        import_module(module)
    except ImportError as error:
        raise MissingLibraryError(f'{need} ({error}): python -m pip install "fastnet-mlp[{extra}]"') from None


def caller(package: str) -> str:
    """Return the name of the first module up the stack whose name does not begin with `package`; "" for none."""
    frame = inspect.currentframe()
    frame = frame and frame.f_back
    while frame is not None and frame.f_globals.get("__name__", "").startswith(package):
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def warn(message: str) -> None:
    """Give a UserWarning that blames the first caller outside of fastnet."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("fastnet."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
