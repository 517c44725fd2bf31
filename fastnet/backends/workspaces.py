"""Keeps a small workspace for the next call of the same thread.

The system clears each page of new memory when it is first touched. For a network of 784-16-16-10 that takes longer than
the kernel on ten rows.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats

KEPT_BYTES = 1 << 20  # a larger workspace is not kept; its call lasts much longer than the clearing of its pages


Memory = NDArray[np.uint8]


class _Kept(threading.local):
    """The kept memory of each thread."""

    memory: Memory | None = None


_kept = _Kept()


def take(size: int, dtype: np.dtype[Any]) -> tuple[Floats, Memory]:
    """Return a workspace of `size` numbers, which starts on a 64-byte line, and its memory for `give_back`.

    Nobody else gets this memory until it is given back. Memory that is not given back, after an error, is freed like
    any array. The contents are arbitrary.
    """
    n_bytes = size * dtype.itemsize
    memory, _kept.memory = _kept.memory, None  # a user's backend may call fastnet while it runs
    if memory is None or memory.size < n_bytes:
        memory = c.aligned_empty(n_bytes, np.uint8)
    return memory[:n_bytes].view(dtype), memory


def give_back(memory: Memory) -> None:
    """Keep the memory of a workspace for the next call. The caller no longer uses the workspace."""
    if memory.size <= KEPT_BYTES:
        _kept.memory = memory
