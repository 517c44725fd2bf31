"""Callbacks: the user's code that `fit` calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.checks import given, whole_number
from fastnet.training.history import Epoch


class EpochSoFar(NamedTuple):
    """The current epoch up to its last batch, as passed to `Callback.on_batches`.

    Attributes
    ----------
    epoch, batch, batches : int
        The epoch and the batch, counted from 1, and the number of batches in the epoch, 0 for a stream.
    examples : int
        The number of examples so far in this epoch.
    cost, accuracy, label_accuracy, r2 : float
        As in `Epoch`, over these examples.
    seconds : float
        The training time of this epoch so far.
    learning_rate : float
        The learning rate of the last update.
    rows : numpy.ndarray of int64 (batch_size,)
        The row numbers of the last batch's examples in x. Read-only.
    """

    epoch: int
    batch: int
    batches: int
    examples: int
    cost: float
    accuracy: float
    label_accuracy: float
    r2: float
    seconds: float
    learning_rate: float
    rows: NDArray[np.int64]


class FitInfo(NamedTuple):
    """What a call of `fit` is about to do, as passed to `Callback.on_fit_begin`.

    Attributes
    ----------
    epochs : int
        The number of epochs.
    batches, examples : int
        The number of batches and of training examples in an epoch. 0 for a stream, whose length is unknown.
    measures : tuple of str
        The names of the costs and scores that the records of this fit will hold. The other costs and scores are nan.
    """

    epochs: int
    batches: int
    examples: int
    measures: tuple[str, ...]


class Callback:
    """Base class of callbacks. Override the methods that you need.

    A callback may call `trainer.stop()`, set `trainer.learning_rate`, and change the parameters of `trainer.network`.
    Annotate `trainer` as `fastnet.Trainer` in your own class. The type here is Any only to avoid a circular import.

    Attributes
    ----------
    every : int, optional
        `on_batches` is called after batch number `every`, 2 * `every` and so on of each epoch. None: the trainer calls
        it about 20 times a second, or once a second for a network of more than a million parameters. These calls cost
        no measurable time.
    comes_last : bool
        Whether the callback is called after the other callbacks, whatever its place in the list. `on_fit_end` is called
        in the reverse order.

    Examples
    --------
    >>> import fastnet
    >>> class StopEarly(fastnet.Callback):
    ...     def on_epoch_end(self, trainer: fastnet.Trainer, epoch: fastnet.Epoch) -> None:
    ...         if epoch.validation_accuracy > 0.95:
    ...             trainer.stop()
    """

    every: int | None = None
    comes_last: bool = False

    @property
    def state(self) -> Mapping[str, Any]:
        """What a checkpoint keeps of this callback: numbers, texts, lists and dicts of these, and arrays, by name.

        A resumed fit calls `on_fit_begin`, then sets the state. Override both the getter and the setter.
        """
        return {}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        pass

    def on_fit_begin(self, trainer: Any, info: FitInfo) -> None:
        """Called before the first epoch of a fit. An error that is raised here ends the fit before it starts."""

    def on_fit_end(self, trainer: Any) -> None:
        """Called when the fit ends, even if it ends with an error or with Ctrl-C."""

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        """Called after each epoch and its validation."""

    def on_batches(self, trainer: Any, so_far: EpochSoFar) -> None:
        """Called between two batches, as often as `every` says."""


class OnEpochEnd(Callback):
    """A callback that calls a function after each epoch."""

    def __init__(self, function: Callable[[Any, Epoch], object]) -> None:
        self._function = function

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        """Call the function."""
        self._function(trainer, epoch)


def as_callbacks(callbacks: object) -> list[Callback]:
    """Return the list with each function wrapped in a callback. Raises TypeError or ValueError for other entries."""
    if type(callbacks) is tuple and not callbacks:
        return []
    if isinstance(callbacks, str) or not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks must be a list, such as [callback], not {given(callbacks)}")
    found = []
    for callback in callbacks:
        if not isinstance(callback, Callback):
            if not callable(callback) or isinstance(callback, type):
                raise TypeError(
                    f"a callback is a fastnet.Callback or a function(trainer, epoch), not {given(callback)}"
                )
            callback = OnEpochEnd(callback)
        every_of(callback)
        found.append(callback)
    return sorted(found, key=lambda callback: callback.comes_last)  # a stable sort


def is_first(trainer: Any) -> bool:
    """Whether this process trains alone, or is the first of several, which alone shows and logs what all have."""
    communicator = getattr(trainer, "communicator", None)
    return communicator is None or communicator.rank == 0


def every_of(callback: Callback) -> int | None:
    """Return a callback's `every`, which may change during a fit.

    Raises TypeError or ValueError if `every` is neither None nor a whole number of 1 or more.
    """
    every = callback.every
    return None if every is None else whole_number("every", every, 1)


def batches_until_due(callbacks: Iterable[Callback], n_batches: int) -> Iterator[int]:
    """For each callback with an `every`, yield the number of batches until its next call."""
    for callback in callbacks:
        if (every := every_of(callback)) is not None:
            yield every - n_batches % every


def is_due(callback: Callback, n_batches: int) -> bool:
    """Whether `on_batches` is due after a chunk that ended with batch number `n_batches`."""
    every = every_of(callback)
    return every is None or n_batches % every == 0
