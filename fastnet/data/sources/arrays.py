"""ArrayReader: reads the rows of two arrays, or of anything else with a shape and slices."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.kernels.contract import Ints
from fastnet.source import Array, Block


class ArrayReader:
    """The rows of NumPy arrays, which may be memory-mapped.

    Parameters
    ----------
    x : array (n, n_in)
        The examples.
    y : array (n,) or (n, n_out), optional
        Labels or targets.
    """

    def __init__(self, x: Any, y: Any = None) -> None:
        self._x = np.asanyarray(x)
        self._y = None if y is None else np.asanyarray(y)
        if self._x.ndim < 1 or (self._y is not None and self._y.shape[:1] != self._x.shape[:1]):
            shape = None if self._y is None else self._y.shape
            raise ValueError(f"x has shape {self._x.shape} and y {shape}; expected as many rows in both")

    def __len__(self) -> int:
        return len(self._x)

    def read(self, start: int, stop: int) -> Block:
        """Return views of consecutive rows."""
        return Block(self._x[start:stop], self.read_y(start, stop))

    def read_y(self, start: int, stop: int) -> Array | None:
        """Return the labels or targets of consecutive rows."""
        return None if self._y is None else self._y[start:stop]

    def take(self, numbers: Ints) -> Block:
        """Return copies of the rows with these numbers."""
        return Block(self._x[numbers], None if self._y is None else self._y[numbers])
