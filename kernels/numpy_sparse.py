"""Sparse rows in the NumPy backend. BLAS needs dense arrays, so a block of rows is unpacked: whole, or in pieces.

The arrays allocated here grow with the entries of a block of rows, and with rows times neurons.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats, Ints, SparseRows


def entries(x: SparseRows, rows: Ints | slice) -> tuple[Ints, NDArray[np.int32], Floats]:
    """For each entry of these rows of x: the place of its row among these rows, its column and its value."""
    block = x[rows]
    part = slice(block.starts[0], block.starts[-1])
    return np.repeat(np.arange(len(block)), np.diff(block.starts)), block.indices[part], block.values[part]


def unpack(x: SparseRows, rows: Ints | slice, dense: Floats) -> None:
    """Writes these rows of x to a dense array (rows, n_in)."""
    dense.fill(0)
    places, columns, values = entries(x, rows)
    dense[places, columns] = values


class Pieces:
    """The inputs of the first layer if x is sparse and has more than PIECE_INPUTS inputs.

    A piece is at most PIECE_INPUTS of the inputs that have entries in the block. One piece at a time is made dense.
    """

    def __init__(self, rows: int, dense: Floats, scratch: Floats) -> None:
        """dense: memory for a dense piece. scratch: memory for the weights of a piece."""
        self.rows, self.dense, self.scratch = rows, dense, scratch

    def read(self, x: SparseRows, rows: Ints | slice) -> None:
        """Sorts the entries of these rows by input."""
        places, columns, values = entries(x, rows)
        # 16-bit numbers are sorted three times as fast as 32-bit numbers.
        by_input = np.argsort(columns.astype(np.min_scalar_type(x.n_in), copy=False), kind="stable")
        columns, self.places, self.values = columns[by_input], places[by_input], values[by_input]
        # The entries of inputs[k] have the numbers starts[k] to starts[k + 1] - 1.
        self.starts = np.flatnonzero(np.diff(columns, prepend=-1, append=-1))
        self.inputs = columns[self.starts[:-1]]
        self.numbers = np.repeat(np.arange(len(self.inputs)), np.diff(self.starts))  # the k of each entry

    def _dense(self, n_out: int) -> Iterator[tuple[NDArray[np.int32], Floats, Floats]]:
        """Yields for each piece its inputs, their values (rows, inputs), and scratch memory (inputs, n_out)."""
        for first in range(0, len(self.inputs), c.PIECE_INPUTS):
            inputs = self.inputs[first : first + c.PIECE_INPUTS]
            part = slice(self.starts[first], self.starts[first + len(inputs)])
            dense = self.dense[: self.rows * len(inputs)].reshape(self.rows, len(inputs))
            dense.fill(0)
            dense[self.places[part], self.numbers[part] - first] = self.values[part]
            yield inputs, dense, self.scratch[: len(inputs) * n_out].reshape(len(inputs), n_out)

    def weighted_sums(self, weights: Floats, z: Floats) -> None:
        """Writes the weighted sums z (n_out, rows). The last column of weights (n_out, n_in + 1) holds the biases."""
        weights_t, biases = weights.T, weights[:, -1]
        z[...] = biases[:, None]
        for inputs, dense, scratch in self._dense(len(weights)):
            weights_t.take(inputs, 0, scratch, "clip")
            z += scratch.T.dot(dense.T)

    def add_gradient(self, delta: Floats, gradient: Floats, adding: bool) -> None:
        """Writes the gradient (n_out, n_in + 1) for delta (n_out, rows), or adds it if `adding` is true."""
        gradient_t = gradient.T
        if not adding:
            gradient_t.fill(0)
        gradient_t[-1] += delta.sum(1)
        for inputs, dense, scratch in self._dense(len(delta)):
            dense.T.dot(delta.T, scratch)
            gradient_t[inputs] += scratch


def compress(x: NDArray[Any], scale: float, starts: Ints, indices: NDArray[np.int32], values: NDArray[Any]) -> int:
    blocks = [slice(first, first + c.BLOCK_ROWS) for first in range(0, len(x), c.BLOCK_ROWS)]
    starts[0] = 0
    for block in blocks:
        np.count_nonzero(x[block], axis=1, keepdims=False).cumsum(out=starts[1:][block])
        starts[1:][block] += starts[block.start]
    factor = values.dtype.type(scale if x.dtype == np.uint8 else 1)
    for block in blocks if len(indices) else ():
        rows, columns = np.nonzero(x[block].copy())  # of x itself it raises if another thread changes x meanwhile
        at = slice(starts[block.start], starts[block.start] + len(rows))
        if at.stop > len(indices):  # another thread changed x after the count
            return len(indices) + 1
        indices[at] = columns
        np.multiply(x[block][rows, columns], factor, values[at])
    return int(starts[-1])
