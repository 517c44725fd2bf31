"""Evaluation and prediction from sources, and the checks of their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kernel_cases as kc
import numpy as np
import pytest
from conftest import name_of
from source_cases import BYTES, LABELS, N_IN, N_OUT, SMALL, VALUES, Slow, readers_running, small

from fastnet import Network, source_rows
from fastnet.data import source
from fastnet.errors import DataError
from fastnet.evaluation import Squares, total_squares
from fastnet.sklearn import MLPRegressor
from fastnet.source import Block

N = len(BYTES)
TASKS = {"classification": LABELS, "multilabel": np.eye(N_OUT)[LABELS], "regression": VALUES}


@kc.pairs("backend", task=TASKS, kind=["bytes", "floats"], piece=[1, 5000, 40_000, 1 << 22], threads=[1, 2])
def test_the_outputs_and_the_evaluation_are_those_of_arrays(
    backend: Any, task: str, kind: str, piece: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pieces have from one row up to all rows."""
    monkeypatch.setattr(source_rows, "PIECE_BYTES", piece)
    x, y, name = BYTES if kind == "bytes" else BYTES / 255, TASKS[task], name_of(backend)
    net = Network([N_IN, 6, N_OUT], task=task, seed=0)
    threads = min(threads, backend.MAX_THREADS)
    data = source(Slow(x, y, seconds=0.0005), shuffle_buffer=SMALL)
    outputs = np.lib.format.open_memmap(tmp_path / "outputs.npy", "w+", net.dtype, (N, N_OUT))
    assert net.forward(data, backend=name, out=outputs) is outputs
    np.testing.assert_allclose(outputs, net.forward(x, backend=name), rtol=1e-5, atol=1e-6)
    assert (net.predict(data, backend=name) == net.predict(x, backend=name)).all() or task == "regression"
    found, wanted = (net.evaluate(*args, backend=name, threads=threads) for args in ((data,), (x, y)))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    if piece == 1 << 22:  # a kernel gets the same rows as from arrays
        assert (outputs == net.forward(x, backend=name)).all()
        assert found == wanted
    assert not readers_running()


def test_a_source_without_labels_is_for_prediction() -> None:
    net = Network([N_IN, N_OUT], seed=0)
    assert (net.predict(small(BYTES, None)) == net.predict(BYTES)).all()
    with pytest.raises(DataError, match="has no labels"):
        net.evaluate(small(BYTES, None))
    with pytest.raises(ValueError, match="leave out y"):
        net.evaluate(small(BYTES, LABELS), LABELS)


@pytest.mark.parametrize("found", [BYTES, (BYTES, LABELS, LABELS), None], ids=["x alone", "three", "nothing"])
def test_a_reader_that_gives_no_pair_is_refused(found: Any) -> None:
    class Odd(Slow):
        def read(self, start: int, stop: int) -> Any:
            return found

    for call in (Network([N_IN, N_OUT]).evaluate, MLPRegressor().partial_fit):
        with pytest.raises(DataError, match=rf"^a block of data is a {type(found).__name__}; expected a pair"):
            call(source(Odd(BYTES, LABELS)))


def test_a_row_that_does_not_fit_is_named() -> None:
    x = BYTES / 255
    x[900, 5] = np.inf
    with pytest.raises(DataError, match=r"^row 900 of test\.npy: x\[900, 5\] is inf"):
        Network([N_IN, N_OUT]).predict(small(x, None, name="test.npy"))
    with pytest.raises(DataError, match=r"70 values for each example; the network takes 4"):
        Network([4, N_OUT]).predict(small(x, None))
    with pytest.raises(DataError, match="is empty"):
        Network([N_IN, N_OUT]).predict(small(x[:0], None))

    class Short(Slow):
        def read(self, start: int, stop: int) -> Block:
            return super().read(start, stop - (start > 500))

    with pytest.raises(DataError, match=r"was asked for \d+ rows of x, and gave shape"):
        Network([N_IN, N_OUT]).predict(source(Short(x, LABELS, 0.0)))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_squares_of_parts_are_those_of_the_whole(weighted: bool) -> None:
    """The mean is large beside the deviations, so a formula that subtracts squares would fail."""
    rng = np.random.default_rng(0)
    y, layers = rng.normal(size=(1000, 2)) + 1e6, Network([3, 2], task="regression").layers
    weights = rng.integers(0, 3, 1000) * 1.0 if weighted else np.empty(0)
    each = weights if weighted else np.ones(1000)
    mean = np.average(y, axis=0, weights=each)
    wanted = float((each[:, None] * (y - mean) ** 2).sum())
    squares, start = Squares(layers), 0
    while start < len(y):
        stop = start + int(rng.integers(1, 200))
        squares.add(y[start:stop], weights[start:stop] if weighted else weights)
        start = stop
    assert squares.total == pytest.approx(wanted, rel=1e-9)
    assert total_squares(layers, y, weights) == pytest.approx(wanted, rel=1e-9)
    assert squares.weight == each.sum()
    equal = Squares(layers)
    for _ in range(3):
        equal.add(np.full((10, 2), 0.1), np.empty(0))
    assert equal.total == 0
