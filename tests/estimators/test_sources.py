"""The estimators' partial_fit on sources: one epoch on each block in turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from source_cases import BYTES, LABELS, VALUES, Chunks, readers_running

from fastnet.data import source
from fastnet.errors import DataError
from fastnet.sklearn import MLPClassifier, MLPRegressor, epochs

X, NAMES = BYTES / 255, np.array(["a", "b", "c"])[LABELS]
N, BUFFER = len(X), 2 * 300 * X[:1].nbytes  # a block has 251 rows, a quarter of 1003


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_source_gives_the_bits_of_its_blocks(kind: Any) -> None:
    y, more = (NAMES, {"classes": ["a", "b", "c"]}) if kind is MLPClassifier else (VALUES, {})
    models = [kind(hidden_layer_sizes=(5,), random_state=0) for _ in range(3)]
    for _ in range(2):
        models[0].partial_fit(source((X, y), shuffle_buffer=BUFFER), **more)
        for start in range(0, N, 251):
            models[1].partial_fit(X[start : start + 251], y[start : start + 251], **more)
    stream = source(Chunks(X, y, 300))
    models[2].partial_fit(stream, **more)
    assert all((a == b).all() for a, b in zip(models[0].coefs_, models[1].coefs_, strict=True))
    assert models[0].loss_curve_ == models[1].loss_curve_
    assert len(models[0].loss_curve_) == 8
    assert models[2].t_ == N
    assert not readers_running()


def test_what_does_not_go_with_a_source_is_refused() -> None:
    with pytest.raises(ValueError, match="classes must be passed"):
        MLPClassifier().partial_fit(source((X, NAMES)))
    with pytest.raises(ValueError, match="leave out y"):
        MLPRegressor().partial_fit(source((X, VALUES)), VALUES)
    with pytest.raises(DataError, match="has no labels"):
        MLPRegressor().partial_fit(source((X, None)))


def test_ctrl_c_ends_the_pass_over_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def interrupted(*arguments: Any) -> str:
        calls.append(arguments)
        return epochs.INTERRUPTED

    monkeypatch.setattr(epochs, "train", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        MLPRegressor(hidden_layer_sizes=(5,)).partial_fit(source((X, VALUES), shuffle_buffer=BUFFER))
    assert len(calls) == 1
    assert not readers_running()
