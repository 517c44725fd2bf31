"""What a user's own code hears of a running fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.checks import whole_number
from fastnet.training.history import Epoch


class Progress(NamedTuple):
    """How far an epoch is: what a callback on batches is given. Costs and accuracy are means so far.

    rows: the numbers of the last batch's examples in x, read-only.
    """

    epoch: int
    batch: int
    batches: int
    examples: int
    cost: float
    accuracy: float
    seconds: float
    learning_rate: float
    rows: NDArray[np.int64]


class Callback:
    """Base of callbacks: override what is wanted. Each may call trainer.stop() or set trainer.learning_rate.

    on_batches comes after every `every` batches, exactly; where `every` is None, about twenty times a second, or once
    a second for a network of more than a million parameters, which costs nothing measurable.

    `trainer` is the Trainer. Its type here is Any, since trainer.py imports this file.
    """

    every: int | None = None

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        """After each epoch and its validation."""

    def on_batches(self, trainer: Any, progress: Progress) -> None:
        """Between batches."""


class OnEpochEnd(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Callable[[Any, Epoch], object]) -> None:
        self._function = function

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        self._function(trainer, epoch)


def as_callbacks(callbacks: object) -> list[Callback]:
    """Callbacks from a list of them and of functions. Raises TypeError or ValueError for anything else."""
    if isinstance(callbacks, str) or not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks must be a list, such as [callback], not {callbacks!r}")
    found = []
    for callback in callbacks:
        if not isinstance(callback, Callback):
            if not callable(callback) or isinstance(callback, type):
                raise TypeError(f"a callback is a fastnet.Callback or a function(trainer, epoch), not {callback!r}")
            callback = OnEpochEnd(callback)
        every_of(callback)
        found.append(callback)
    return found


def every_of(callback: Callback) -> int | None:
    """Its `every`, which it may change while a fit runs. Raises TypeError or ValueError for what is no such number."""
    every = callback.every
    return None if every is None else whole_number("every", every, 1)
