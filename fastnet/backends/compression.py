"""Dense data as sparse rows: whether it pays, and doing it. Sparse data of the user's own: checks.inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Backend, Rows, SparseRows

SPARSE_EPOCHS = 8  # fewer epochs do not pay for compressing (docs/decisions/compressed-rows.md)
SAMPLE_ROWS = 512  # that are looked at


def compresses(setting: bool | None, kernels: Backend, x: Rows, epochs: int) -> bool:
    """Whether x, checked, is compressed for so many epochs: as the setting says, None being "auto"."""
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


def compressed(kernels: Backend, x: Rows, dtype: np.dtype[Any]) -> SparseRows:
    """Dense rows as sparse ones of the network's dtype, by the backend's own pass over them."""
    assert not isinstance(x, SparseRows)
    starts = np.empty(len(x) + 1, np.int64)
    counted = kernels.compress(x, starts, np.empty(0, np.int32), np.empty(0, dtype))
    indices, values = np.empty(counted, np.int32), np.empty(counted, dtype)
    if kernels.compress(x, starts, indices, values) != counted:
        raise ValueError("x was changed while it was read: another thread writes to it; give fit a copy")
    return SparseRows(starts, indices, values, x.shape[1])


def described(x: Rows, compressed: bool) -> str:
    """For the history: "dense", "sparse: 2.0% not zero" or "compressed: 19.1% not zero"."""
    if not isinstance(x, SparseRows):
        return "dense"
    share = int(x.starts[-1] - x.starts[0]) / (len(x) * x.n_in)
    return f"{'compressed' if compressed else 'sparse'}: {share:.1%} not zero"
