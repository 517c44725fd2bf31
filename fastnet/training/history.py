"""The history of a training: a record for each epoch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, overload

from fastnet.notebook import card
from fastnet.text import json_text, scores

FloatField: TypeAlias = Literal[
    "cost",
    "accuracy",
    "label_accuracy",
    "r2",
    "validation_cost",
    "validation_accuracy",
    "validation_label_accuracy",
    "validation_r2",
    "seconds",
    "examples_per_second",
    "waiting",
    "learning_rate",
]
IntField: TypeAlias = Literal["epoch", "examples", "threads"]
TextField: TypeAlias = Literal["backend", "backend_reason", "inputs", "averaging"]


@dataclass(frozen=True)
class Epoch:
    """The record of one epoch.

    Attributes
    ----------
    epoch : int
        The epoch's number, counted from 1.
    cost : float
        The mean over the epoch's examples, weighted by their weights, without weight decay. Each batch's cost is
        computed just before its update, with dropout if it is set.
    accuracy : float
        The share of examples classified right, or, for several labels, the share of examples whose labels are all
        right. nan for a regression network. This measure and the next two are weighted and computed as the cost is.
    label_accuracy : float
        The share of labels that are right. nan unless the network's task is "multilabel".
    r2 : float
        1 minus the squared error divided by the squared deviation of the targets from their means. nan for a
        classification network, and for targets that are all equal.
    validation_cost, validation_accuracy, validation_label_accuracy, validation_r2 : float
        The same measures of the validation data after the epoch, without dropout. nan without validation data.
    seconds : float
        The training time with the time of waiting for data, without validation and callbacks.
    examples : int
        The number of examples trained on. It is smaller than n if the epoch was interrupted, if examples are held out
        for validation, or if examples have weight 0.
    examples_per_second : float
        The speed of the training.
    waiting : float
        The share of the seconds, from 0 to 1, in which the training waited for the data of a Source. 0 for data in
        memory.
    learning_rate : float
        The learning rate of the last update.
    backend, backend_reason : str
        The backend, and why it was chosen.
    threads : int
        How many threads shared each batch.
    inputs : str
        "dense"; "sparse: 2.0% not zero" if x was sparse; "compressed: 19.1% not zero" if the trainer
        compressed x.
    averaging : str
        What the processes of a training averaged: "gradients of 4 processes", or "parameters of 4 processes every 16
        updates". "" for a training on one process. With several processes, the costs, scores and examples are those of
        all processes, the seconds are those of the slowest, and the record is the same in each process.
    """

    epoch: int
    cost: float
    accuracy: float
    label_accuracy: float
    r2: float
    validation_cost: float
    validation_accuracy: float
    validation_label_accuracy: float
    validation_r2: float
    seconds: float
    examples: int
    examples_per_second: float
    waiting: float
    learning_rate: float
    backend: str
    backend_reason: str
    threads: int
    inputs: str
    averaging: str


class History:
    """The epochs of a trainer, over all calls of `fit`. history["cost"] is a list with one entry for each epoch.

    Attributes
    ----------
    epochs : list of Epoch
        The records.

    Examples
    --------
    >>> import fastnet
    >>> trainer = fastnet.Trainer(fastnet.Network([2, 2], seed=0), seed=0)
    >>> history = trainer.fit([[0.0, 0.0], [1.0, 1.0]], [0, 1], epochs=3)
    >>> history["epoch"]
    [1, 2, 3]
    """

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    @overload
    def __getitem__(self, name: FloatField) -> list[float]: ...
    @overload
    def __getitem__(self, name: IntField) -> list[int]: ...
    @overload
    def __getitem__(self, name: TextField) -> list[str]: ...
    def __getitem__(self, name: str) -> list[Any]:
        if name not in FIELDS:
            raise KeyError(f"{name!r}; a history has {', '.join(FIELDS)}")
        return self._column(name)

    def __repr__(self) -> str:
        if not self.epochs:
            return "<History of no epochs>"
        last = self.epochs[-1]
        return f"<History of {self._length()}, the last with {scores(last.cost, last.accuracy, last.r2)}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the last epoch and the curve of the cost."""
        return card(f"History of {self._length()}", last_results(self), curves=costs(self))

    def _length(self) -> str:
        return "1 epoch" if len(self) == 1 else f"{len(self):,} epochs"

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a list for each field, with one entry for each epoch. pandas.DataFrame accepts the result."""
        return {name: self._column(name) for name in FIELDS}

    def to_json(self) -> str:
        """Return `to_dict` as JSON text. JSON has no nan, so nan becomes null."""
        return json_text(self.to_dict())

    def _column(self, name: str) -> list[Any]:
        return [getattr(epoch, name) for epoch in self.epochs]


FIELDS = tuple(field.name for field in dataclasses.fields(Epoch))
TEXTS = ("backend", "backend_reason", "inputs", "averaging")  # the fields that hold text
# The costs and scores. Each of them may be nan.
MEASURES = tuple(
    name for name in FIELDS if name.removeprefix("validation_") in ("cost", "accuracy", "label_accuracy", "r2")
)


def last_results(history: History) -> dict[str, str]:
    """Return the results of the last epoch as text, by name."""
    if not history.epochs:
        return {}
    last = history.epochs[-1]
    found = {"last epoch": scores(last.cost, last.accuracy, last.r2)}
    if not math.isnan(last.validation_cost):
        found["validation"] = scores(last.validation_cost, last.validation_accuracy, last.validation_r2)
    return found


def costs(history: History) -> dict[str, list[float]]:
    """Return the costs by name, for a small curve."""
    return {"cost": history["cost"], "validation cost": history["validation_cost"]}
