"""NpyFile: an array in an NPY or NPZ file, of which some rows are read at a time."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastnet.data.arrays import Array, ArrayPlace, npy_place, read_npz, refuse_invalid
from fastnet.data.files import PathLike, reading
from fastnet.errors import DataError
from fastnet.text import shown

_GAP = 1 << 12  # bytes between two rows that are read together: a page
_RUN_BITS = 20  # log2 of the bytes of such rows


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
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
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
        found = self._empty(max(0, stop - start))
        with reading(self._path) as (file, _):
            self._read(file, start, found)
        return self._rows(found)

    def take(self, numbers: NDArray[np.int64], axis: Literal[0] = 0, /) -> Array:
        """Return the rows with these numbers, in their order. Neighbours in the file are read together."""
        if self.is_compressed:
            return self._whole()[numbers]
        order = np.argsort(numbers, kind="stable")
        ascending, found = numbers[order], self._empty(len(numbers))
        with reading(self._path) as (file, _):
            for start, stop in _runs(ascending, self._row_bytes):
                first, last = int(ascending[start]), int(ascending[stop - 1])
                if last - first + 1 == stop - start:  # there are no other rows between them
                    self._read(file, first, found[start:stop])
                else:
                    near = self._empty(last - first + 1)
                    self._read(file, first, near)
                    found[start:stop] = near[ascending[start:stop] - first]
        in_order = np.empty_like(found)
        in_order[order] = found
        return self._rows(in_order)

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

    def _empty(self, n_rows: int) -> NDArray[np.uint8]:
        """Return memory for the bytes of rows."""
        return np.empty((n_rows, self._row_bytes), np.uint8)

    def _read(self, file: io.BufferedReader, start: int, out: NDArray[np.uint8]) -> None:
        """Fill `out` with the bytes of the rows from number `start` on."""
        assert self._place.offset is not None  # `_whole` reads compressed arrays
        raw, rest = file.raw, out.reshape(-1).data  # unbuffered: a buffer would read 8 KiB for each row
        raw.seek(self._place.offset + start * self._row_bytes, io.SEEK_SET)
        while rest and (count := raw.readinto(rest)):  # Linux reads at most 2 GiB at a time
            rest = rest[count:]
        if rest:
            raise DataError(f"{self.name} ends before row {start + len(out):,}: it has changed, or is cut short")

    def _rows(self, payload: NDArray[np.uint8]) -> Array:
        """Return the rows with these bytes."""
        refuse_invalid(payload, self._place.dtype, self.name)
        rows = payload.reshape(-1).view(self._place.dtype).reshape(-1, *self.shape[1:])
        return rows if rows.dtype.isnative else rows.astype(self.dtype)


def _runs(ascending: NDArray[np.int64], row_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the start and the stop of each run of rows that are near to each other in the file.

    The rows of a short gap take less time than another read. A run has at most a megabyte, or one row.
    """
    starts = ascending * row_bytes
    ends = np.flatnonzero((np.diff(starts) > _GAP + row_bytes) | np.diff(starts >> _RUN_BITS).astype(bool)) + 1
    edges = [0, *ends.tolist(), len(ascending)]
    yield from (pair for pair in itertools.pairwise(edges) if len(ascending))
