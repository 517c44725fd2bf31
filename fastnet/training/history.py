"""What a training run leaves behind: a record for each epoch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """One epoch of training.

    cost and accuracy are means over the epoch's examples, each taken just before its batch's update, with
    dropout if there is any; accuracy is nan for a regression network, and what is about validation data nan where there
    was none. seconds are those of training alone; learning_rate is that of the last update. examples is smaller than
    the data where the epoch was broken off. threads is how many shared each batch; inputs is "dense", or "sparse: 2.0%
    not zero" where x was given as sparse, or "compressed: 19.1% not zero" where the trainer made it so.
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
    """The epochs of a trainer, all calls of `fit` together. history["cost"] is a list, one entry an epoch."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def __getitem__(self, name: str) -> list[Any]:
        if name not in FIELDS:
            raise KeyError(f"{name!r}; a history has {', '.join(FIELDS)}")
        return [getattr(epoch, name) for epoch in self.epochs]

    def __repr__(self) -> str:
        if not self.epochs:
            return "<History of no epochs>"
        last = self.epochs[-1]
        return f"<History of {len(self)} epochs, the last with cost {last.cost:.4g}, accuracy {last.accuracy:.4g}>"

    def to_dict(self) -> dict[str, list[Any]]:
        """A dict of lists, one entry an epoch: what pandas.DataFrame takes."""
        return {name: self[name] for name in FIELDS}

    def to_json(self) -> str:
        """The same as JSON text; what is nan becomes null, since JSON has no nan."""
        import json

        columns = {
            name: [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]
            for name, values in self.to_dict().items()
        }
        return json.dumps(columns, indent=1)


FIELDS = tuple(field.name for field in dataclasses.fields(Epoch))
