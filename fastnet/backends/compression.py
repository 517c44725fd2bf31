"""Compresses dense rows to sparse rows if that makes training faster.

Not here: the user's sparse data (checks/sparse_rows.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, Rows, SparseRows

SPARSE_EPOCHS = 8  # with fewer epochs, compression costs more than it saves (docs/decisions/compressed-rows.md)
SAMPLE_ROWS = 512  # the share of entries that are not zero is estimated from this many rows


def compresses(setting: bool | None, kernels: Backend, x: Rows, epochs: int) -> bool:
    """Whether a training of `epochs` epochs first compresses checked rows x. A setting of None stands for "auto"."""
    if isinstance(x, SparseRows):
        return False
    if setting is not None:
        return setting
    if not kernels.COMPRESSION_PAYS or x.shape[1] < c.SPARSE_INPUTS or epochs < SPARSE_EPOCHS:
        return False
    if x.dtype == np.uint8:  # the kernels skip the zeros of bytes as fast as they read sparse rows
        return False
    sample = x[np.linspace(0, len(x) - 1, min(len(x), SAMPLE_ROWS)).astype(np.int64)]
    return bool(np.count_nonzero(sample) <= c.SPARSE_SHARE * sample.size)


def compressed(kernels: Backend, x: Rows, dtype: np.dtype[Any], byte_scale: float) -> SparseRows:
    """Return dense rows as sparse rows of the network's dtype. Bytes are multiplied by `byte_scale`.

    Raises
    ------
    ValueError
        Another thread changed x during the compression.
    """
    assert not isinstance(x, SparseRows)
    starts = np.empty(len(x) + 1, np.int64)
    n_entries = kernels.compress(x, byte_scale, starts, np.empty(0, np.int32), np.empty(0, dtype))
    indices, values = np.empty(n_entries, np.int32), np.empty(n_entries, dtype)
    if kernels.compress(x, byte_scale, starts, indices, values) != n_entries:
        raise ValueError("x was changed while it was read: another thread writes to it; give fit a copy")
    return SparseRows(starts, indices, values, x.shape[1])


def described(x: Rows, compressed: bool) -> str:
    """Return the inputs' description: "dense", "sparse: 2.0% not zero" or "compressed: 19.1% not zero"."""
    if not isinstance(x, SparseRows):
        return "dense"
    share = int(x.starts[-1] - x.starts[0]) / (len(x) * x.n_in)
    return f"{'compressed' if compressed else 'sparse'}: {share:.1%} not zero"
