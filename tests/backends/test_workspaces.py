"""Workspaces that stay for the next call of a thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from fastnet.backends import workspaces
from fastnet.kernels.contract import ALIGNMENT

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


@pytest.mark.parametrize(("size", "dtype"), [(1, SINGLE), (1000, DOUBLE), (workspaces.KEPT_BYTES, SINGLE)])
def test_a_workspace_has_its_size_and_starts_on_a_line(size: int, dtype: np.dtype[np.floating]) -> None:
    for _ in range(2):
        work, memory = workspaces.take(size, dtype)
        assert (work.shape, work.dtype) == ((size,), dtype)
        assert work.ctypes.data % ALIGNMENT == 0
        workspaces.give_back(memory)


def test_the_next_call_gets_the_memory_of_the_last() -> None:
    work, memory = workspaces.take(100, SINGLE)
    workspaces.give_back(memory)
    again, _ = workspaces.take(40, DOUBLE)
    assert np.shares_memory(work, again)


def test_two_calls_at_the_same_time_share_no_memory() -> None:
    work, memory = workspaces.take(100, SINGLE)
    workspaces.give_back(memory)
    work, _ = workspaces.take(100, SINGLE)
    inner, _ = workspaces.take(100, SINGLE)  # a user's backend calls fastnet
    assert not np.shares_memory(work, inner)


def test_threads_share_no_memory() -> None:
    work, memory = workspaces.take(100, SINGLE)
    workspaces.give_back(memory)
    others: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: others.append(workspaces.take(100, SINGLE)[0]))
    thread.start()
    thread.join()
    assert not np.shares_memory(work, others[0])


def test_large_workspaces_are_not_kept() -> None:
    work, memory = workspaces.take(workspaces.KEPT_BYTES, SINGLE)
    workspaces.give_back(memory)
    assert not np.shares_memory(work, workspaces.take(1, SINGLE)[0])
