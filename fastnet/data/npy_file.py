"""NpyFile: an array in an NPY or NPZ file, of which some rows are read at a time."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastnet.data.arrays import Array, ArrayPlace, npy_place, read_npz, refuse_invalid
from fastnet.data.files import PathLike, reading
from fastnet.errors import DataError
from fastnet.text import shown


class NpyFile:
    """An array of numbers in a file. Only the rows that are asked for are read, and the file is never mapped.

    The file is opened for each read, so that a folder of thousands of files holds none of them open.

    Parameters
    ----------
    path : path
        An NPY file. With `key` and `place` an NPZ file.
    key : str, optional
        The name of the array in an NPZ file.
    place : ArrayPlace, optional
        Where the array lies. The default is found in the header of the NPY file. Without an offset the array is
        compressed: the first read unpacks it as a whole, and `forget` gives its memory back.

    Attributes
    ----------
    name : str
        The name of the array in messages.
    shape : tuple of int
        The number of rows, and the shape of a row.
    dtype : dtype
        The dtype of the rows, in native byte order.

    Raises
    ------
    DataError
        The file cannot be read, is not valid, or holds no rows of numbers in C order.
    """

    def __init__(self, path: PathLike, key: str = "", place: ArrayPlace | None = None) -> None:
        self._path, self._key, self._place = path, key, place or npy_place(path)
        self.name = f"{shown(path)}, {shown(key)}" if key else shown(path)
        self.shape, self.dtype = self._place.shape, self._place.dtype.newbyteorder("=")
        self._unpacked: Array | None = None
        if not self.shape or not math.prod(self.shape):
            raise DataError(f"{self.name} has shape {self.shape}: expected rows of numbers")
        if self._place.fortran_order and len(self.shape) > 1:
            raise DataError(
                f"{self.name} holds its columns one after another (Fortran order), so no row can be read alone: save "
                "it with numpy.ascontiguousarray"
            )
        if self.dtype.kind == "U":
            raise DataError(
                f"{self.name} holds text; expected numbers: number the classes from 0 with "
                "numpy.unique(y, return_inverse=True)[1]"
            )

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def is_compressed(self) -> bool:
        """Whether a read unpacks the whole array."""
        return self._place.offset is None

    def __getitem__(self, rows: slice) -> Array:
        """Return the rows of a slice of step 1 as a new array."""
        start, stop, _ = rows.indices(len(self))
        if self.is_compressed:
            return self._whole()[start:stop]
        found = np.empty((max(0, stop - start), *self.shape[1:]), self._place.dtype)
        with reading(self._path) as (file, _):
            self._read(file, start, found)
        return self._native(found)

    def take(self, numbers: NDArray[np.int64], axis: Literal[0] = 0, /) -> Array:
        """Return the rows with these numbers, in their order. Neighbours in the file are read together."""
        if self.is_compressed:
            return self._whole()[numbers]
        order = np.argsort(numbers, kind="stable")
        found = np.empty((len(numbers), *self.shape[1:]), self._place.dtype)
        with reading(self._path) as (file, _):
            for first, rows in _runs(numbers[order]):
                run = np.empty((len(rows), *self.shape[1:]), self._place.dtype)
                self._read(file, first, run)
                found[order[rows.start : rows.stop]] = run
        return self._native(found)

    def forget(self) -> None:
        """Give back the memory of an array that was unpacked."""
        self._unpacked = None

    def _whole(self) -> Array:
        if self._unpacked is None:
            array = read_npz(self._path).get(self._key)
            if array is None or array.shape != self.shape or array.dtype != self.dtype:
                raise DataError(f"{self.name} has changed since it was opened: open it again")
            self._unpacked = array
        return self._unpacked

    def _read(self, file: io.BufferedReader, start: int, out: Array) -> None:
        """Fill `out` with the rows from number `start` on."""
        assert self._place.offset is not None  # `_whole` reads compressed arrays
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        file.seek(self._place.offset + start * row_bytes)
        payload = out.reshape(-1).view(np.uint8)
        if file.readinto(payload.data) != payload.nbytes:
            raise DataError(f"{self.name} ends before row {start + len(out):,}: it has changed, or is cut short")
        refuse_invalid(payload, self._place.dtype, self.name)

    def _native(self, rows: Array) -> Array:
        return rows if rows.dtype.isnative else rows.astype(self.dtype)


def _runs(numbers: NDArray[np.int64]) -> Iterator[tuple[int, range]]:
    """Yield the first of each run of consecutive numbers, and the positions of the run."""
    ends = np.flatnonzero(np.diff(numbers) != 1) + 1
    for start, stop in zip([0, *ends.tolist()], [*ends.tolist(), len(numbers)], strict=True):
        if stop > start:
            yield int(numbers[start]), range(start, stop)
