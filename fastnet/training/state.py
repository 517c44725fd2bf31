"""TrainingState: everything that a training needs to go on as if it had never stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnet.checks import given
from fastnet.errors import DataError
from fastnet.kernels.contract import Floats
from fastnet.network import Network
from fastnet.training.callbacks import Callback
from fastnet.training.history import Epoch
from fastnet.training.totals import Totals

GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")  # NumPy's bit generators
CallbackStates = Sequence[tuple[str, Mapping[str, Any]]]  # the name of each callback's class, and its state


@dataclass(frozen=True)
class FitSoFar:
    """A fit that is not at its end.

    Attributes
    ----------
    epochs : int
        The number of epochs that `fit` was asked for.
    horizon : (int, int)
        The numbers of the trainer's epochs at the start and at the end of the fit.
    backend, threads : str, int
        The backend and the number of threads of each batch.
    is_stopped : bool
        Whether a callback ended the fit.
    data : mapping of str to str
        The fingerprint of the data.
    callbacks : sequence of (str, mapping)
        The name of the class and the state of each callback that has a state.
    software : mapping of str to str
        The versions and the instruction set that may change the last bits.
    """

    epochs: int
    horizon: tuple[int, int]
    backend: str
    threads: int
    is_stopped: bool
    data: Mapping[str, str]
    callbacks: CallbackStates
    software: Mapping[str, str]

    def is_over(self, n_epochs: int) -> bool:
        """Whether the fit has ended. `n_epochs` is the number of the trainer's epochs."""
        return self.is_stopped or n_epochs >= self.horizon[1]


@dataclass(frozen=True)
class Process:
    """One of the processes that train a network together.

    Attributes
    ----------
    rank, size : int
        The number of the process, from 0, and the number of all processes.
    every : int or None
        After how many updates the processes average, once that is chosen.
    """

    rank: int
    size: int
    every: int | None


@dataclass(frozen=True)
class TrainingState:
    """A copy of everything in a trainer that changes during a training, with the settings.

    Attributes
    ----------
    network : Network
        The network. A fit goes on to change its parameters, so use `parameters`.
    parameters : numpy.ndarray (n_parameters,)
        A copy of the network's parameters.
    moments : numpy.ndarray (slots, n_parameters)
        A copy of the optimiser's state: no row for sgd, the velocity for momentum, two moments for Adam.
    steps, n_epochs : int
        The number of updates, and of whole epochs.
    settings : mapping
        The trainer's settings, as values that JSON can hold.
    learning_rate : float
        The base rate.
    generator : mapping
        The state of the random generator. Within an epoch: from before it drew the epoch's order.
    split_seed : int or None
        The seed of validation splits, if it is drawn.
    dropout_keys : list of int
        The random key of each hidden layer, if there is dropout.
    totals : Totals or None
        The sums over the epoch so far. None between two epochs.
    history : list of Epoch
        The records of the whole epochs.
    fit : FitSoFar or None
        The fit that runs, or that was interrupted.
    process : Process or None
        Which of several processes the state belongs to. None for a training on one process.
    """

    network: Network
    parameters: Floats
    moments: Floats
    steps: int
    n_epochs: int
    settings: Mapping[str, Any]
    learning_rate: float
    generator: Mapping[str, Any]
    split_seed: int | None
    dropout_keys: Sequence[int]
    totals: Totals | None
    history: Sequence[Epoch]
    fit: FitSoFar | None
    process: Process | None = None


def has_state(callback: Callback) -> bool:
    """Whether a checkpoint keeps the state of this callback: its class overrides `state`."""
    return type(callback).state is not Callback.state


def states_of(callbacks: Sequence[Callback]) -> list[tuple[str, dict[str, Any]]]:
    """Return copies of the callbacks' states.

    Raises TypeError if a state holds anything but JSON values and arrays of numbers.
    """
    return [(type(callback).__name__, _copied(callback)) for callback in callbacks if has_state(callback)]


def _copied(callback: Callback) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in callback.state.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            found[name] = value.copy()
            continue
        try:
            found[name] = json.loads(json.dumps(value))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"the state of {type(callback).__name__} holds {given(value)} as {name!r}; a checkpoint keeps numbers, "
                "texts, None, lists and dicts of these, and arrays of numbers"
            ) from error
    return found


def check_callbacks(callbacks: Sequence[Callback], recorded: CallbackStates) -> None:
    """Raise ValueError if the callbacks with a state are others than in the interrupted fit."""
    found = [type(callback).__name__ for callback in callbacks if has_state(callback)]
    names = [name for name, _ in recorded]
    if found != names:
        raise ValueError(
            f"the interrupted fit had the callbacks {', '.join(names) or 'none'} with a state, and this one has "
            f"{', '.join(found) or 'none'}: give the same callbacks in the same order"
        )


def restore_callbacks(callbacks: Sequence[Callback], recorded: CallbackStates) -> None:
    """Set the recorded states."""
    with_state = [callback for callback in callbacks if has_state(callback)]
    for callback, (name, state) in zip(with_state, recorded, strict=True):
        try:
            callback.state = state
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the checkpoint's state of {name} does not fit this class ({error!r:.200})") from error


def generator_from(state: Mapping[str, Any]) -> np.random.Generator:
    """Return a random generator in this state. Raises ValueError if the state is not that of a generator of NumPy."""
    name = state.get("bit_generator")
    if name not in GENERATORS:
        raise ValueError(f"the random generator is {name!r:.80}; expected one of {', '.join(GENERATORS)}")
    generator = np.random.Generator(getattr(np.random, name)())
    try:
        generator.bit_generator.state = dict(state)
    except (TypeError, KeyError, IndexError, OverflowError) as error:
        raise ValueError(f"the state of the random generator is damaged ({error!r:.80})") from None
    return generator
