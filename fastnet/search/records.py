"""What a search keeps of each training: its trial and its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One training of a search. The search's seed and the two numbers decide all of it.

    Attributes
    ----------
    number : int
        The number of the setting, counted from 0.
    replicate : int
        The number of the training with this setting, counted from 0.
    setting : mapping of str to object
        The parameters by name: `hidden`, `epochs`, and keyword arguments of Network and Trainer.
    seed : int
        The seed of the network and of its trainer. All settings have the same seeds, so that luck is the same for all.
    """

    number: int
    replicate: int
    setting: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class Record:
    """The results of a training.

    Attributes
    ----------
    trial : Trial
        The training.
    epochs : int
        The number of epochs so far.
    rung : int
        The number of the rung of a search by halving, counted from 0; 0 for other searches.
    value : float
        The metric on the validation rows; nan for a training that diverged.
    seconds : float
        The training time of all rungs, without validation.
    history : mapping of str to list
        The columns of `History.to_dict` that are numbers.
    message : str
        Why the training ended early, "" if it did not.
    """

    trial: Trial
    epochs: int
    rung: int
    value: float
    seconds: float
    history: Mapping[str, list[Any]]
    message: str = ""
