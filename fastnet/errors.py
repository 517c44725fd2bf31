"""The errors that fastnet raises beyond ValueError and TypeError, and the check that an extra is installed."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any


class FastnetError(Exception):
    """Base of fastnet's own errors."""


class DataError(FastnetError, ValueError):
    """A file or data set cannot be used: missing, corrupt, truncated, hostile or of an unknown format."""


class BackendError(FastnetError, RuntimeError):
    """A named kernel backend does not exist or cannot be used here; the message says how to get it."""


class DivergedError(FastnetError, ArithmeticError):
    """The cost or the parameters are no longer finite; the network keeps its last finite parameters.

    Attributes
    ----------
    epoch, step : int
        The epoch (counted from 1) and the update (counted from 1 over the trainer's life) that failed.
    learning_rate : float
        The learning rate of that step.
    """

    def __init__(self, message: str, *, epoch: int, step: int, learning_rate: float) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.learning_rate = learning_rate

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the keywords too: the error must survive the way back from another process."""
        make = partial(DivergedError, epoch=self.epoch, step=self.step, learning_rate=self.learning_rate)
        return make, self.args


def require_extra(module: str, need: str, extra: str) -> None:
    """Import a module of an extra. Raise FastnetError if it is missing; `need` says what needs it."""
    try:
        import_module(module)
    except ImportError as error:
        raise FastnetError(f'{need} ({error}): python -m pip install "fastnet-mlp[{extra}]"') from None
