"""Readers of pairs of arrays: `ArrayReader` of NumPy arrays, `SliceReader` of anything else with a shape and slices."""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol

import numpy as np

from fastnet.kernels.contract import Ints
from fastnet.source import Array, Block


class Sliceable(Protocol):
    """An array that may lie on disk, such as those of h5py and zarr: it has a shape, and slices of it are arrays."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and the shape of a row."""
        ...

    def __getitem__(self, rows: slice, /) -> Any:
        """Return consecutive rows."""
        ...


class Takeable(Sliceable, Protocol):
    """A `Sliceable` that also gives rows in any order."""

    def take(self, numbers: Ints, axis: Literal[0], /) -> Array:
        """Return the rows with these numbers, as `numpy.ndarray.take` does."""
        ...


class SliceReader:
    """The rows of two arrays that are read in slices.

    Parameters
    ----------
    x : array (n, n_in)
        The examples: anything with a `shape` whose slices are arrays.
    y : array (n,) or (n, n_out), optional
        Labels or targets, of the same kind.

    Attributes
    ----------
    block_rows : int
        The number of rows that are read together anyway: those of a chunk of h5py or zarr.
    """

    def __init__(self, x: Sliceable, y: Sliceable | None = None) -> None:
        self._x, self._y = x, y
        if not x.shape or (y is not None and y.shape[:1] != x.shape[:1]):
            shape = None if y is None else y.shape
            raise ValueError(f"x has shape {x.shape} and y {shape}; expected as many rows in both")
        chunks = filter(None, (getattr(array, "chunks", None) for array in (x, y)))
        self.block_rows = math.lcm(*(int(chunk[0]) for chunk in chunks))

    def __len__(self) -> int:
        return int(self._x.shape[0])

    def read(self, start: int, stop: int) -> Block:
        """Return consecutive rows."""
        return Block(np.asarray(self._x[start:stop]), self.read_y(start, stop))

    def read_y(self, start: int, stop: int) -> Array | None:
        """Return the labels or targets of consecutive rows."""
        return None if self._y is None else np.asarray(self._y[start:stop])


class ArrayReader(SliceReader):
    """The rows of two arrays that also give rows in any order: NumPy arrays, mapped or not, and `NpyFile`.

    Parameters
    ----------
    x : array (n, n_in)
        The examples.
    y : array (n,) or (n, n_out), optional
        Labels or targets.
    """

    _x: Takeable
    _y: Takeable | None

    def __init__(self, x: Takeable, y: Takeable | None = None) -> None:
        super().__init__(x, y)

    def take(self, numbers: Ints) -> Block:
        """Return copies of the rows with these numbers, in their order."""
        return Block(self._x.take(numbers, 0), None if self._y is None else self._y.take(numbers, 0))
