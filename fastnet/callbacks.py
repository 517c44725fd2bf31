"""What a user's own code hears of a running fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fastnet.history import Epoch
    from fastnet.trainer import Trainer


class Progress(NamedTuple):
    """How far an epoch is: what a callback on batches is given. Costs and accuracy are means so far."""

    epoch: int
    batch: int
    batches: int
    examples: int
    cost: float
    accuracy: float
    seconds: float
    learning_rate: float


class Callback:
    """Base of callbacks: override what is wanted. Each may call trainer.stop() or set trainer.learning_rate.

    on_batches comes after every `every` batches, exactly; where `every` is None, about twenty times a second,
    which costs nothing measurable.
    """

    every: int | None = None

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        """After each epoch and its validation."""

    def on_batches(self, trainer: Trainer, progress: Progress) -> None:
        """Between batches."""


class OnEpochEnd(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Callable[[Trainer, Epoch], object]) -> None:
        self._function = function

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        self._function(trainer, epoch)
