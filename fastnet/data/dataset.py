"""Dataset: a data set's examples for training and for testing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastnet.data.split import Array


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set's examples for training and for testing.

    Attributes
    ----------
    name : str
        The name of the set, or the user's path.
    x_train, x_test : uint8 or float32 array of shape (n, n_in)
        One example per row, C-contiguous: bytes for pixels, float32 for other numbers.
    y_train, y_test : int64 array of shape (n,)
        The class of each example, from 0.
    image_shape : (int, int) or None
        Rows and columns, if the examples are pictures.
    class_names : tuple of str
        The name of each class.
    """

    name: str
    x_train: Array
    y_train: NDArray[np.int64]
    x_test: Array
    y_test: NDArray[np.int64]
    image_shape: tuple[int, int] | None
    class_names: tuple[str, ...]

    def __repr__(self) -> str:
        sizes = f"{len(self.x_train)} to train, {len(self.x_test)} to test"
        return f"<Dataset {self.name}: {sizes}, {self.x_train.shape[1]} inputs, {len(self.class_names)} classes>"
