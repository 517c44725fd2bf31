"""A fit compiles the kernels of a backend once in a process for each kind of input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import load_backend

import fastnet
from fastnet.training import inputs


def test_the_kernels_are_compiled_once_for_each_kind_of_input(monkeypatch: pytest.MonkeyPatch) -> None:
    load_backend("numba")
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(inputs, "warm_up", lambda *arguments: calls.append(arguments[1:]))
    monkeypatch.setattr(inputs, "_compiled", [])
    x, y = np.zeros((3, 2), np.float32), np.zeros(3, np.int64)
    for sparse in (False, False, True, True):
        trainer = fastnet.Trainer(fastnet.Network([2, 2], seed=0), backend="numba", sparse=sparse)
        trainer.fit(x, y, epochs=1)
    float32 = np.dtype(np.float32)
    assert calls == [(float32, float32, False), (float32, float32, True)]
