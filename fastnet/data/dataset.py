"""Dataset: a data set's examples for training and for testing."""

from __future__ import annotations

from dataclasses import dataclass

from fastnet.data.schema import Schema
from fastnet.data.split import Array
from fastnet.names import TaskName


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set's examples for training and for testing.

    Attributes
    ----------
    name : str
        The name of the set, or the user's path.
    x_train, x_test : uint8, float32 or float64 array of shape (n, n_in)
        One example per row, C-contiguous: bytes for pixels, float64 for tables, float32 for other numbers.
    y_train, y_test : array
        For a classification the class of each example, from 0: int64 (n,). For a regression the number to predict:
        float64 (n, 1). For several labels 0 or 1 for each label: float64 (n, labels).
    image_shape : (int, int) or None
        Rows and columns, if the examples are pictures.
    class_names : tuple of str
        The name of each class or label. () for a regression.
    task : str
        "classification", "regression" or "multilabel".
    schema : Schema or None
        What the inputs and outputs mean. `load` always sets it.
    is_held_out : bool
        Whether the test examples are held out of the user's data. False: the data have a test part of their own.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    image_shape: tuple[int, int] | None
    class_names: tuple[str, ...]
    task: TaskName = "classification"
    schema: Schema | None = None
    is_held_out: bool = False

    @property
    def n_train(self) -> int:
        """The number of training examples."""
        return len(self.x_train)

    @property
    def n_test(self) -> int:
        """The number of test examples."""
        return len(self.x_test)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each input, or () if the inputs have no names."""
        return self.schema.feature_names if self.schema else ()

    def __repr__(self) -> str:
        sizes = f"{self.n_train} to train, {self.n_test} to test"
        outputs = f"{len(self.class_names)} classes" if self.task == "classification" else self.task
        return f"<Dataset {self.name}: {sizes}, {self.x_train.shape[1]} inputs, {outputs}>"
