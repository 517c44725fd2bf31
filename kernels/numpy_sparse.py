"""Sparse rows in the NumPy backend. BLAS needs them dense: all at once, or piece by piece where there are many inputs.

What is allocated here grows with the entries of a block of rows, and with rows times neurons.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats, Ints, SparseRows


def entries(x: SparseRows, rows: Ints | slice) -> tuple[Ints, Ints]:
    """The entries of some rows of x: for each, the number of its row among these rows, and its place in x.values."""
    counts, at = x.entries(rows)
    return np.repeat(np.arange(len(counts)), counts), at


def unpack(x: SparseRows, rows: Ints | slice, dense: Floats) -> None:
    """Writes some rows of x to a dense array (rows, n_in)."""
    dense.fill(0)
    lines, at = entries(x, rows)
    dense[lines, x.indices[at]] = x.values[at]


class Pieces:
    """The inputs of the first layer where x is sparse and has more than PIECE_INPUTS inputs.

    A piece is at most PIECE_INPUTS of those inputs that have entries in the block. Each piece becomes dense for BLAS.
    """

    def __init__(self, rows: int, dense: Floats, space: Floats) -> None:
        """`dense` has room for a dense piece, `space` for the weights of the layer."""
        self.rows, self.dense, self.space = rows, dense, space

    def read(self, x: SparseRows, rows: Ints | slice) -> None:
        """Sorts the entries of these rows by input."""
        lines, at = entries(x, rows)
        columns = x.indices[at]
        # Numbers of 16 bits are sorted three times as fast.
        by_input = np.argsort(columns.astype(np.min_scalar_type(x.n_in), copy=False), kind="stable")
        columns, at = columns[by_input], at[by_input]
        self.lines, self.values = lines[by_input], x.values[at]
        self.starts = np.flatnonzero(
            np.diff(columns, prepend=-1, append=-1)
        )  # where each input's entries start, and the end
        self.inputs = columns[self.starts[:-1]]  # those with entries
        self.numbers = np.repeat(np.arange(len(self.inputs)), np.diff(self.starts))  # each entry's place in `inputs`

    def _dense(self, n_out: int) -> Iterator[tuple[NDArray[np.int32], Floats, Floats]]:
        """For each piece its inputs, their values (rows, inputs), and space (inputs, n_out)."""
        for first in range(0, len(self.inputs), c.PIECE_INPUTS):
            inputs = self.inputs[first : first + c.PIECE_INPUTS]
            part = slice(self.starts[first], self.starts[first + len(inputs)])
            dense = self.dense[: self.rows * len(inputs)].reshape(self.rows, len(inputs))
            dense.fill(0)
            dense[self.lines[part], self.numbers[part] - first] = self.values[part]
            yield inputs, dense, self.space[: len(inputs) * n_out].reshape(len(inputs), n_out)

    def weighted_sums(self, weights: Floats, z: Floats) -> None:
        """z (n_out, rows) = weights (n_out, n_in + 1) times the inputs and a row of ones."""
        by_input = weights.T
        z[...] = by_input[-1][:, None]
        for inputs, dense, some in self._dense(len(weights)):
            by_input.take(inputs, 0, some, "clip")
            z += some.T.dot(dense.T)

    def add_gradient(self, delta: Floats, gradient: Floats, adding: bool) -> None:
        """gradient (n_out, n_in + 1) = delta (n_out, rows) times the inputs and ones, transposed; adding: +=."""
        by_input = gradient.T
        if not adding:
            by_input.fill(0)
        by_input[-1] += delta.sum(1)
        for inputs, dense, some in self._dense(len(delta)):
            dense.T.dot(delta.T, some)
            by_input[inputs] += some


def compress(x: NDArray[Any], starts: Ints, indices: NDArray[np.int32], values: NDArray[Any]) -> int:
    blocks = [slice(first, first + c.BLOCK_ROWS) for first in range(0, len(x), c.BLOCK_ROWS)]
    starts[0] = 0
    for block in blocks:
        np.count_nonzero(x[block], axis=1, keepdims=False).cumsum(out=starts[1:][block])
        starts[1:][block] += starts[block.start]
    scale = c.BYTE_SCALE if x.dtype == np.uint8 else 1
    for block in blocks if len(indices) else ():
        rows, columns = np.nonzero(x[block])
        at = slice(starts[block.start], starts[block.start] + len(rows))
        if at.stop > len(indices):  # another thread has changed x since its entries were counted
            return len(indices) + 1
        indices[at] = columns
        np.multiply(x[block][rows, columns], values.dtype.type(scale), values[at])
    return int(starts[-1])
