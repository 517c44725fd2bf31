"""What a search keeps: what was asked for, each training and its results, and the order of the settings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Request:
    """What a search was asked for: its arguments, checked and with their defaults filled in.

    Attributes
    ----------
    space : list of mapping of str to object
        The spaces, as the user gave them.
    method : str
        "random", "grid" or "halving".
    trials, seeds, budget : int
        The number of settings, the number of trainings with each, and the number of epochs of a whole training.
    metric : str
        The name of the metric: that of a measure, such as "accuracy" or "cost", or of the user's function.
    lower_is_better : bool
        Whether the best value is the smallest.
    seed : int
        The seed of the search.
    x, y
        The examples as the user gave them. A Source has no y.
    validation
        The rows to hold out, as the user gave them: a share, a number of folds, (x, y), (x, y, weights) or a Source.
    sample_weight, class_weight
        Arguments of `Trainer.fit`, as the user gave them.
    """

    space: Sequence[Mapping[str, Any]]
    method: str
    trials: int
    seeds: int
    budget: int
    metric: str
    lower_is_better: bool
    seed: int
    x: Any
    y: Any = None
    validation: Any = 0.2
    sample_weight: Any = None
    class_weight: Any = None


@dataclass(frozen=True)
class Standing:
    """A setting of a search and where it stands.

    Attributes
    ----------
    rank : int
        1 for the best setting.
    number : int
        The number of the setting, counted from 0.
    setting : mapping of str to object
        Its parameters by name.
    mean, standard_error : float
        Of the metric over the trainings with this setting. The standard error of one training is 0.
    score : float
        The mean less one standard error, or plus one if a lower metric is better. Settings are ranked by it.
    epochs, rung : int
        How many epochs each training ran, and the number of its rung in a search by halving.
    seconds : float
        The training time of all trainings together.
    message : str
        Why a training ended early, "" if none did.
    """

    rank: int
    number: int
    setting: Mapping[str, Any]
    mean: float
    standard_error: float
    score: float
    epochs: int
    rung: int
    seconds: float
    message: str


def standings(records: Iterable[Record], lower_is_better: bool) -> list[Standing]:
    """Return the settings, the best first.

    Of each training the record of its last rung counts. A setting that reached a later rung is better than one that
    did not. On the same rung the score decides. A diverged training makes its setting the last of its rung. Equal
    settings keep the order of their numbers.
    """
    last: dict[tuple[int, int], Record] = {}
    for record in records:
        key = record.trial.number, record.trial.replicate
        if key not in last or last[key].rung < record.rung:
            last[key] = record
    settings: dict[int, list[Record]] = {}
    for key in sorted(last):
        settings.setdefault(key[0], []).append(last[key])
    found = [standing(of_setting, lower_is_better) for of_setting in settings.values()]
    found.sort(key=lambda one: order_of(one, lower_is_better))
    return [replace(one, rank=rank) for rank, one in enumerate(found, 1)]


def order_of(one: Standing, lower_is_better: bool) -> tuple[float, ...]:
    """Return what settings are sorted by, the best first."""
    is_bad = math.isnan(one.score)
    return -one.rung, is_bad, 0 if is_bad else one.score if lower_is_better else -one.score, one.number


def standing(records: Sequence[Record], lower_is_better: bool) -> Standing:
    """Return where a setting stands, from the records of its trainings. The rank is not known yet, and 0."""
    values = [record.value for record in records]
    mean = error = sum(values) / len(values)
    if math.isfinite(mean):
        mean = math.fsum(values) / len(values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        error = math.sqrt(squares / (len(values) - 1) / len(values)) if len(values) > 1 else 0.0
    return Standing(
        rank=0,
        number=records[0].trial.number,
        setting=records[0].trial.setting,
        mean=mean,
        standard_error=error,
        score=(mean + error if lower_is_better else mean - error) if math.isfinite(mean) else math.nan,
        epochs=max(record.epochs for record in records),
        rung=max(record.rung for record in records),
        seconds=math.fsum(record.seconds for record in records),
        message=next((record.message for record in records if record.message), ""),
    )
