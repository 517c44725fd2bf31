"""The subject of a report: a run, the examples that judge it, and the values that several cards compute from them.

Not here: how the subject is made of a user's arguments (arguments.py), and the run itself (training/runs.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import insight
from fastnet.errors import FastnetError, require_extra
from fastnet.evaluation import Evaluation
from fastnet.insight.classified import Classified
from fastnet.insight.importance import Importance
from fastnet.insight.scores import LabelScores, ValueScores
from fastnet.names import BackendName
from fastnet.text import numbered
from fastnet.training.runs import Run, class_names

MAX_ROWS = 2_000  # the importance of columns is measured on at most this many examples
MIN_ROWS = 100  # ... and not at all where a table has too many columns for this many
MIN_EXAMPLES = 20  # ... nor on fewer examples: one answer would be more than 5% of the score
REPEATS = 5  # each column is shuffled this many times
MAX_COLUMNS = 200  # the importance of more columns takes too long
MAX_WORK = 2e10  # multiplications of all repeats: a few seconds
SHOWN_COLUMNS = 8  # the rows of a wider table show the most important columns


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples that judge a network.

    Attributes
    ----------
    name : str
        The name of the data set.
    x_test : ndarray of shape (n, n_in), or SparseRows
        The examples as the network takes them.
    y_test : ndarray
        Labels int64 (n,), or targets (n, n_out).
    image_shape : (int, int) or None
        Rows and columns, if the examples are pictures.
    class_names : tuple of str
        The known names of the classes, of the labels of a multilabel network, or of the outputs of a regression.
    n_train : int or None
        The number of training examples, if it is known.
    """

    name: str
    x_test: Any
    y_test: NDArray[Any]
    image_shape: tuple[int, int] | None
    class_names: tuple[str, ...]
    n_train: int | None = None


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of the examples as the user gave them, before a pipeline or a schema made inputs of them.

    Attributes
    ----------
    names : tuple of str
        The name of each column.
    inputs : tuple of str
        The name of each input of the network.
    are_named : bool
        Whether the names are the user's, not "input 1", "input 2" and so on.
    model : Network or estimator
        What takes the columns. `x` and `y` are the examples in the form that it takes.
    cell : function of (row, column)
        The entry of a row and a column. None: the examples are sparse.
    """

    names: tuple[str, ...]
    inputs: tuple[str, ...]
    are_named: bool
    model: Any
    x: Any
    y: Any
    cell: Callable[[int, int], Any] | None


@dataclass(frozen=True)
class Subject:
    """A run, the examples that judge its network, and the backend that computes the answers (None: automatic)."""

    run: Run
    data: Examples
    columns: Columns
    backend: BackendName | None = None

    @cached_property
    def names(self) -> list[str]:
        """The name of each class of a classifier, of each label, or of each output of a regression."""
        network, named = self.run.network, self.data.class_names
        if network.is_classifier:
            return class_names(network, self.data)
        what = "label" if network.task == "multilabel" else "output"
        return [*named, *numbered(what, network.sizes[-1])[len(named) :]]

    @cached_property
    def scores(self) -> Evaluation:
        """Cost and accuracy on the test examples."""
        return self.run.network.evaluate(self.data.x_test, self.data.y_test, backend=self.backend)

    @cached_property
    def classified(self) -> Classified:
        """The answers to the test examples."""
        return insight.classified(self.run.network, self.data.x_test, self.data.y_test, backend=self.backend)

    @cached_property
    def label_scores(self) -> LabelScores:
        """The scores of each label of a multilabel network."""
        return insight.label_scores(self.run.network, self.data.x_test, self.data.y_test, backend=self.backend)

    @cached_property
    def value_scores(self) -> ValueScores:
        """The scores of each output of a regression."""
        return insight.value_scores(self.run.network, self.data.x_test, self.data.y_test, backend=self.backend)

    @property
    def is_of_same_data(self) -> bool:
        """Whether the run names this data set or no data set."""
        return bool(self.run.record.get("data", self.data.name) == self.data.name)

    @property
    def is_trained_on(self) -> bool:
        """Whether the history shows an epoch over all training examples of this data set."""
        examples = self.run.history.get("examples", [])
        return self.is_of_same_data and max(examples, default=0) == self.data.n_train

    # -- the columns of a table ------------------------------------------------------------------------------------

    @property
    def is_table(self) -> bool:
        """Whether the examples are rows of a table, not pictures."""
        return self.data.image_shape is None

    @cached_property
    def sample(self) -> NDArray[np.int64]:
        """The rows (int64) on which the importance of columns is measured. They are spread evenly over all rows."""
        n = len(self.data.y_test)
        affordable = MAX_WORK / (REPEATS * len(self.columns.names) * self.run.network.n_parameters)
        return np.linspace(0, n - 1, min(n, MAX_ROWS, int(affordable)), dtype=np.int64)

    @cached_property
    def why_no_importance(self) -> str:
        """A sentence that says why the importance of the columns is left out; "" if it is not."""
        columns = self.columns
        if columns.cell is None:
            return "The examples are sparse. The importance of their columns is left out."
        if len(columns.names) > MAX_COLUMNS or len(self.sample) < min(MIN_ROWS, len(self.data.y_test)):
            return f"The importance of {len(columns.names):,} columns takes too long for a report."
        if len(self.data.y_test) < MIN_EXAMPLES:
            return f"There are too few test examples to tell which columns matter: fewer than {MIN_EXAMPLES}."
        if self.run.network.task == "regression" and not np.ptp(self.data.y_test[self.sample], axis=0).any():
            return "All test examples have the same target, so that the importance of the columns has no meaning."
        try:
            require_extra("sklearn", "The importance of the columns needs scikit-learn", "sklearn")
        except FastnetError as error:
            return f"{error}."
        return ""

    @cached_property
    def importance(self) -> Importance | None:
        """The importance of each column; None where `why_no_importance` says why."""
        columns = self.columns
        if not self.is_table or self.why_no_importance:
            return None
        return insight.importance(
            columns.model,
            rows_of(columns.x, self.sample),
            rows_of(columns.y, self.sample),
            repeats=REPEATS,
            feature_names=columns.names,
            backend=self.backend if columns.model is self.run.network else None,
        )

    @cached_property
    def shown_columns(self) -> list[int]:
        """The columns that rows of the table show: all of a narrow table, else the most important ones."""
        n = len(self.columns.names)
        if not self.is_table or self.columns.cell is None:
            return []
        if n <= SHOWN_COLUMNS or self.importance is None:
            return list(range(min(n, SHOWN_COLUMNS)))
        return [int(k) for k in self.importance.order[:SHOWN_COLUMNS]]


def rows_of(table: Any, rows: Sequence[int] | NDArray[np.int64]) -> Any:
    """Return these rows of an array or a frame."""
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]
