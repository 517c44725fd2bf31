"""Compresses dense rows to sparse rows if that makes training faster.

Not here: the user's sparse data (checks/sparse_rows.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.checks import AnyRows, UnconvertedRows, kernel_rows
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, SparseRows

SPARSE_EPOCHS = 8  # with fewer epochs, compression costs more than it saves (docs/decisions/compressed-rows.md)
SAMPLE_ROWS = 512  # the share of entries that are not zero is estimated from this many rows


def compresses(setting: bool | None, kernels: Backend, x: AnyRows, epochs: int) -> bool:
    """Whether a training of `epochs` epochs first compresses checked rows x. A setting of None stands for "auto".

    "auto" does not compress rows that are too large for a converted copy.
    """
    if isinstance(x, SparseRows):
        return False
    if setting is not None:
        return setting
    if isinstance(x, UnconvertedRows) or not kernels.COMPRESSION_PAYS:
        return False
    if x.shape[1] < c.SPARSE_INPUTS or epochs < SPARSE_EPOCHS:
        return False
    if x.dtype == np.uint8:  # the kernels skip the zeros of bytes as fast as they read sparse rows
        return False
    sample = x[np.linspace(0, len(x) - 1, min(len(x), SAMPLE_ROWS)).astype(np.int64)]
    return bool(np.count_nonzero(sample) <= c.SPARSE_SHARE * sample.size)


def compressed(kernels: Backend, x: AnyRows, dtype: np.dtype[Any], byte_scale: float) -> SparseRows:
    """Return dense rows as sparse rows of the network's dtype. Bytes are multiplied by `byte_scale`.

    Raises
    ------
    ValueError
        Another thread changed x during the compression.
    """
    assert not isinstance(x, SparseRows)
    starts = np.zeros(len(x) + 1, np.int64)
    step = x.rows_of_a_piece if isinstance(x, UnconvertedRows) else len(x)
    parts = [(x[at : at + step], starts[at : at + step + 1]) for at in range(0, len(x), step)]
    nothing = np.empty(0, np.int32), np.empty(0, dtype)
    counts = [kernels.compress(kernel_rows(rows), byte_scale, ends, *nothing) for rows, ends in parts]
    indices, values = np.empty(sum(counts), np.int32), np.empty(sum(counts), dtype)
    done = 0
    for (rows, ends), count in zip(parts, counts, strict=True):
        entries = slice(done, done + count)
        if kernels.compress(kernel_rows(rows), byte_scale, ends, indices[entries], values[entries]) != count:
            raise ValueError("x was changed while it was read: another thread writes to it; give fit a copy")
        ends += done
        done += count
    return SparseRows(starts, indices, values, x.shape[1])


def described(x: AnyRows, compressed: bool) -> str:
    """Return the inputs' description: "dense", "sparse: 2.0% not zero" or "compressed: 19.1% not zero"."""
    if not isinstance(x, SparseRows):
        return "dense"
    share = int(x.starts[-1] - x.starts[0]) / (len(x) * x.n_in)
    return f"{'compressed' if compressed else 'sparse'}: {share:.1%} not zero"
