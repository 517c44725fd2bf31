"""The subject of a report: a run, a data set, and the values that several cards compute from them.

Not here: the run itself (training/runs.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fastnet import insight
from fastnet.data import Dataset
from fastnet.evaluation import Evaluation
from fastnet.insight.classified import Classified
from fastnet.names import BackendName
from fastnet.training.runs import Run, class_names


@dataclass(frozen=True)
class Subject:
    """A run, the data set that judges its network, and the backend that computes the answers (None: automatic)."""

    run: Run
    data: Dataset
    backend: BackendName | None = None

    @cached_property
    def names(self) -> list[str]:
        """The name of each class."""
        return class_names(self.run.network, self.data)

    @cached_property
    def scores(self) -> Evaluation:
        """Cost and accuracy on the test examples."""
        return self.run.network.evaluate(self.data.x_test, self.data.y_test, backend=self.backend)

    @cached_property
    def classified(self) -> Classified:
        """The answers to the test examples."""
        return insight.classified(self.run.network, self.data.x_test, self.data.y_test, backend=self.backend)

    @property
    def is_of_same_data(self) -> bool:
        """Whether the run names this data set or no data set."""
        return bool(self.run.record.get("data", self.data.name) == self.data.name)

    @property
    def is_trained_on(self) -> bool:
        """Whether the history shows an epoch over all training examples of this data set."""
        examples = self.run.history.get("examples", [])
        return self.is_of_same_data and max(examples, default=0) == len(self.data.x_train)
