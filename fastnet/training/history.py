"""The history of a training: a record for each epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, overload

from fastnet.text import json_text

FloatField: TypeAlias = Literal[
    "cost",
    "accuracy",
    "validation_cost",
    "validation_accuracy",
    "seconds",
    "examples_per_second",
    "learning_rate",
]
IntField: TypeAlias = Literal["epoch", "examples", "threads"]
TextField: TypeAlias = Literal["backend", "backend_reason", "inputs"]


@dataclass(frozen=True)
class Epoch:
    """The record of one epoch.

    Attributes
    ----------
    epoch : int
        The epoch's number, counted from 1.
    cost, accuracy : float
        Means over the epoch's examples, computed just before each batch's update, with dropout if it is set. The
        accuracy of a regression network is nan.
    validation_cost, validation_accuracy : float
        Means over the validation data after the epoch, or nan without validation data.
    seconds : float
        The training time, without validation and callbacks.
    examples : int
        The number of examples trained on. It is smaller than n if the epoch was interrupted.
    examples_per_second : float
        The speed of the training.
    learning_rate : float
        The learning rate of the last update.
    backend, backend_reason : str
        The backend, and why it was chosen.
    threads : int
        How many threads shared each batch.
    inputs : str
        "dense"; "sparse: 2.0% not zero" if x was sparse; "compressed: 19.1% not zero" if the trainer
        compressed x.
    """

    epoch: int
    cost: float
    accuracy: float
    validation_cost: float
    validation_accuracy: float
    seconds: float
    examples: int
    examples_per_second: float
    learning_rate: float
    backend: str
    backend_reason: str
    threads: int
    inputs: str


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
        epochs = "1 epoch" if len(self) == 1 else f"{len(self)} epochs"
        return f"<History of {epochs}, the last with cost {last.cost:.4g}, accuracy {last.accuracy:.4g}>"

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a list for each field, with one entry for each epoch. pandas.DataFrame accepts the result."""
        return {name: self._column(name) for name in FIELDS}

    def to_json(self) -> str:
        """Return `to_dict` as JSON text. JSON has no nan, so nan becomes null."""
        return json_text(self.to_dict())

    def _column(self, name: str) -> list[Any]:
        return [getattr(epoch, name) for epoch in self.epochs]


FIELDS = tuple(field.name for field in dataclasses.fields(Epoch))
