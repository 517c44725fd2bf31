"""Class labels of any kind as numbers for the kernels, and outputs as labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Labels:
    """The classes of a classifier.

    Attributes
    ----------
    classes : numpy.ndarray (n_classes,)
        The classes, sorted. Of a multilabel problem, the numbers of the labels.
    kind : str
        "binary" for one class or two, "multiclass" for more, "multilabel" for several labels an example.
    is_sparse : bool
        Whether the labels of a multilabel problem were given, and are returned, as a sparse matrix.
    """

    classes: Array
    kind: Literal["binary", "multiclass", "multilabel"]
    is_sparse: bool = False

    @classmethod
    def of(cls, y: Any) -> Labels:
        """Return the classes that occur in y. Raise ValueError if y holds no class labels."""
        if not _is_plain(y):
            check_classification_targets(y)
        if getattr(y, "ndim", 1) == 2:
            if type_of_target(y, input_name="y") != "multilabel-indicator":
                raise ValueError(
                    "y has several columns, and their entries are not 0 and 1. Multioutput target data is not "
                    "supported: fit one classifier for each column, such as with MultiOutputClassifier"
                )
            return cls(unique_labels(y), "multilabel", hasattr(y, "toarray"))
        classes = np.unique(y) if _is_plain(y) else unique_labels(y)
        return cls(classes, "multiclass" if len(classes) > 2 else "binary")

    @property
    def n_outputs(self) -> int:
        """The number of outputs of the network."""
        return 1 if self.kind == "binary" else len(self.classes)

    def codes(self, y: Any) -> Array:
        """Return the class number (n,) of each label, or 0 and 1 (n, n_outputs) for several labels an example.

        Raises ValueError for a label that is not among the classes.
        """
        if self.kind == "multilabel":
            dense = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
            if dense.ndim != 2 or dense.shape[1] != len(self.classes):
                raise ValueError(
                    f"y has shape {dense.shape}; expected (n, {len(self.classes)}), 0 and 1 for each label"
                )
            return (dense != 0).astype(np.int64)
        if y.ndim != 1:
            raise ValueError(f"y has shape {y.shape}; expected one label for each example")
        found = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        if not (self.classes[found] == y).all():
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes}. 'y' has "
                f"{unique_labels(y)}."
            )
        return found

    def targets(self, codes: Array, dtype: np.dtype[Any]) -> Array:
        """Return class numbers in the form that the kernels take."""
        if self.kind == "multiclass":
            return codes
        return np.ascontiguousarray(codes.reshape(len(codes), -1), dtype)

    def predicted(self, outputs: Array) -> Array:
        """Return the class number (n,) that the outputs (n, n_outputs) predict, or 0 and 1 (n, n_outputs)."""
        if self.kind == "multiclass":
            return outputs.argmax(axis=1)
        found = (outputs if self.kind == "multilabel" else outputs[:, 0]) > 0.5
        return found if len(self.classes) > 1 else np.zeros_like(found)

    def decode(self, predicted: Array) -> Any:
        """Return predicted class numbers as labels."""
        if self.kind != "multilabel":
            return self.classes.take(predicted, mode="clip")  # a single class is predicted whatever the output is
        labels = predicted.astype(np.int64)
        if self.is_sparse:
            from scipy.sparse import csr_matrix  # as LabelBinarizer of scikit-learn returns it

            return csr_matrix(labels)
        return labels


def checked_labels(y: Any) -> Any:
    """Return labels (n, 1) as (n,), with scikit-learn's warning, and other labels as they are."""
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y


def _is_plain(y: Any) -> bool:
    """Whether y is an array (n,) of whole numbers, bools or strings, which are labels of classes in any case."""
    return isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "biuU"
