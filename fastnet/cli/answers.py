"""The answers of a network to rows: the names of its outputs, and the columns that `fastnet predict` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.data import Schema
from fastnet.ensemble import Model
from fastnet.names import BackendName, TaskName, Threads
from fastnet.text import numbered
from fastnet.training.runs import class_names


def output_names(network: Model) -> list[str]:
    """Return the name of each class or label, or of each value of a regression."""
    if network.task != "regression":
        return class_names(network)
    n, schema = network.sizes[-1], network.schema or Schema()
    if n == len(schema.class_names):  # a value for each class
        return [*schema.class_names]
    target = schema.target or "value"
    return [target] if n == 1 else [*numbered(target, n)]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says about n rows.

    Attributes
    ----------
    task : str
        The network's task.
    target : str
        The name of the column that the network predicts, or "".
    names : list of str
        The name of each class or label, or of each value of a regression.
    labels : int64 array of shape (n,) or (n, n_labels), or None
        The class of each row, or 1 for each label that the row has, else 0. None for a regression.
    outputs : array of shape (n, len(names))
        The probability of each class or label, or each value. Two classes that share one output have both
        probabilities.
    """

    task: TaskName
    target: str
    names: list[str]
    labels: NDArray[np.int64] | None
    outputs: NDArray[Any]

    @classmethod
    def of(cls, network: Model, x: Any, backend: BackendName | None, threads: Threads = 1) -> Answers:
        """Return the answers of a network to the rows x (n, n_in)."""
        from fastnet.insight.answers import all_outputs  # imported here: it would delay the start of every command

        outputs = all_outputs(network, x, backend, threads)
        labels = None if network.task == "regression" else network.predict(x, backend=backend, threads=threads)
        target = network.schema.target if network.schema else ""
        return cls(network.task, target, output_names(network), labels, outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    def label(self, row: int) -> str | list[str] | None:
        """Return the name of a row's class, or the names of its labels. None for a regression."""
        if self.labels is None:
            return None
        if self.labels.ndim == 1:
            return self.names[int(self.labels[row])]
        return [name for name, has_it in zip(self.names, self.labels[row], strict=True) if has_it]

    def columns(self) -> list[tuple[str, NDArray[Any]]]:
        """Return the names and values (n,) of the columns that `fastnet predict --out` writes."""
        values = list(zip(self.names, self.outputs.T, strict=True))
        if self.labels is None:
            return [(f"predicted {name}", column) for name, column in values]
        if self.labels.ndim == 1:
            predicted = [(f"predicted {self.target or 'class'}", np.array(self.names)[self.labels])]
        else:
            columns = zip(self.names, self.labels.T, strict=True)
            predicted = [(f"predicted {name}", column) for name, column in columns]
        return predicted + [(f"probability {name}", column) for name, column in values]
