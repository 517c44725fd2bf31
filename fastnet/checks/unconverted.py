"""Dense examples that stay in the user's dtype. A piece of rows is converted when a kernel needs the piece."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c

Array = NDArray[Any]
# A training takes 100 MB in any case (docs/decisions/memory.md), so a copy of 32 MiB adds a third. Without the copy, an
# epoch takes up to 3 times as long (docs/decisions/unconverted-rows.md).
MAX_COPY = 1 << 25  # bytes of a converted copy
PIECE_BYTES = 1 << 24  # the converted rows that a kernel gets at a time; 1 MiB to 64 MiB are equally fast


@dataclass(frozen=True, slots=True, eq=False)
class UnconvertedRows:
    """Examples (n, n_in) in the user's dtype. Kernels get `read()`, an array of `dtype`.

    Indexing with a slice shares the user's memory. Indexing with row numbers copies the rows, in the user's dtype.
    """

    values: Array
    dtype: np.dtype[Any]  # float32 or float64: the dtype of the rows once they are converted

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | c.Ints) -> UnconvertedRows:
        return UnconvertedRows(self.values[rows], self.dtype)

    @property
    def shape(self) -> tuple[int, int]:
        n, n_in = self.values.shape
        return n, n_in

    @property
    def rows_of_a_piece(self) -> int:
        """The number of rows that one kernel call gets: one or more."""
        return max(1, PIECE_BYTES // (self.shape[1] * self.dtype.itemsize))

    def read(self) -> Array:
        """Return a converted copy of the rows, C-contiguous."""
        with np.errstate(over="ignore"):  # another thread may write a number that overflows: the cost is not finite
            return self.values.astype(self.dtype, order="C")


AnyRows = c.Rows | UnconvertedRows


@overload
def kernel_rows(x: Array | UnconvertedRows) -> Array: ...
@overload
def kernel_rows(x: AnyRows) -> c.Rows: ...
def kernel_rows(x: AnyRows) -> c.Rows:
    """Return rows in the form that kernels take: unconverted rows are read."""
    return x.read() if isinstance(x, UnconvertedRows) else x


def stays_unconverted(array: Array, dtype: np.dtype[Any]) -> bool:
    """Return whether examples of another dtype are too large for a converted copy.

    The copy must be larger than MAX_COPY. In memory, it must also be larger than the array, since converting once takes
    less time than converting in each epoch. The pages of a memory-mapped file are not memory of the process, so a copy
    of a mapped array is always too large. An array of fewer rows than the kernels sample is converted at once.
    """
    if array.size * dtype.itemsize <= MAX_COPY or len(array) < c.SPARSE_SAMPLE or not array[0].flags.c_contiguous:
        return False
    return array.itemsize < dtype.itemsize or (_is_mapped(array) and not _is_kernel_array(array, dtype))


def _is_mapped(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def _is_kernel_array(array: Array, dtype: np.dtype[Any]) -> bool:
    return array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned
