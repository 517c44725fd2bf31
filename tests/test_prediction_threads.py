"""Prediction and evaluation on several threads: the bits of one thread, for arrays, sparse rows and sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kernel_cases as kc
import numpy as np
import pytest
from conftest import name_of
from source_cases import Slow, readers_running

from fastnet import Network, source_rows
from fastnet.backends import forward, threads
from fastnet.checks import UnconvertedRows
from fastnet.data import source
from fastnet.errors import DataError
from fastnet.evaluation import Parts
from fastnet.kernels.formulas import Sums

N, N_IN, N_OUT = 3_000, 70, 3
rng = np.random.default_rng(0)
BYTES = rng.integers(0, 256, (N, N_IN), np.uint8) * (rng.random((N, N_IN)) < 0.5)
LABELS = rng.integers(0, N_OUT, N)
TASKS = {"classification": LABELS, "multilabel": np.eye(N_OUT)[LABELS], "regression": rng.normal(size=(N, N_OUT))}
KINDS = ["bytes", "floats", "integers", "mapped", "sparse", "source"]


def given(kind: str, y: Any, folder: Path) -> Any:
    """The rows in one of KINDS. A source has y too."""
    if kind == "mapped":
        np.save(folder / "x.npy", BYTES.astype(np.int64))
        return np.load(folder / "x.npy", mmap_mode="r")
    if kind == "sparse":
        return pytest.importorskip("scipy.sparse", reason="sparse rows need SciPy").csr_array(BYTES)
    if kind == "source":
        return source(Slow(BYTES, y, seconds=0.0))
    return {"bytes": BYTES, "floats": BYTES / 255, "integers": BYTES.astype(np.int16)}[kind]


@kc.pairs("backend", task=TASKS, kind=KINDS, n_threads=[2, 3, "auto"], hidden=[(), (8,), (300,)])
def test_any_number_of_threads_gives_the_bits_of_one(
    backend: Any, task: str, kind: str, n_threads: Any, hidden: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    monkeypatch.setattr(threads, "THREADED_WORK", 1)
    monkeypatch.setattr(forward, "PART_WORK", 1)  # many parts
    monkeypatch.setattr(source_rows, "READ_BYTES", 1 << 14)  # a read has a few parts
    name, y = name_of(backend), TASKS[task]
    if backend.MAX_THREADS == 1 and n_threads != "auto":
        n_threads = 1
    x = given(kind, y, tmp_path)
    net = Network([N_IN, *hidden, N_OUT], task=task, seed=0)
    scored = (x,) if kind == "source" else (x, y)
    weights = {} if kind == "source" else {"sample_weight": rng.random(N)}
    one, several = (
        (
            net.forward(x, backend=name, threads=count),
            net.predict(x, backend=name, threads=count),
            net.evaluate(*scored, backend=name, threads=count, **weights),
            net.cost(*scored, backend=name, threads=count, **weights),
        )
        for count in (1, n_threads)
    )
    np.testing.assert_array_equal(one[0], several[0])
    np.testing.assert_array_equal(one[1], several[1])
    assert np.array_equal(one[2], several[2], equal_nan=True)
    assert one[3] == several[3]
    if kind == "source":
        np.testing.assert_array_equal(one[0], net.forward(BYTES, backend=name))
        assert one[2] == pytest.approx(net.evaluate(BYTES, y, backend=name), nan_ok=True)
    mapped = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", net.dtype, (N, N_OUT))
    assert net.forward(x, backend=name, threads=n_threads, out=mapped) is mapped
    np.testing.assert_array_equal(mapped, one[0])
    assert not readers_running()


@pytest.mark.parametrize("n_rows", [1, 16, 64, 65, 1_000, 20_000])
@pytest.mark.parametrize("sizes", [(4, 8, 3), (784, 16, 10), (784, 512, 512, 10), (50_000, 100, 2)])
def test_the_parts_cover_all_rows_and_are_neither_long_nor_large(sizes: Any, n_rows: int) -> None:
    layers = Network(sizes, seed=0).layers
    for most in (1, 300, forward.MAX_ROWS):
        parts = forward.parts(layers, n_rows, 4, most)
        assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
        assert parts[-1].stop == n_rows
        longest = max(part.stop - part.start for part in parts)
        assert longest <= most
        assert longest <= 256 or longest * sizes[0] * 4 <= forward.MAX_BYTES


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["array", "unconverted", "source"])
def test_a_number_that_is_not_finite_is_found_by_any_thread(
    value: float, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are tested part by part. The message names the first such entry, as for a test of all rows at once."""
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    monkeypatch.setattr(forward, "PART_WORK", 1)
    if kind == "unconverted":
        monkeypatch.setattr("fastnet.checks.unconverted.MAX_COPY", 0)
    x = (BYTES / 255).astype(np.float16 if kind == "unconverted" else np.float32)
    x[[700, 2900], 5] = value
    net = Network([N_IN, 8, N_OUT], seed=0)
    data = source(Slow(x, LABELS, 0.0)) if kind == "source" else x
    assert kind != "unconverted" or isinstance(net.check_rows(BYTES.astype(np.float16)), UnconvertedRows)
    for call in (net.forward, net.predict):
        with pytest.raises((ValueError, DataError), match=r"x\[700, 5\] is (nan|inf)"):
            call(data, threads=2)
    with pytest.raises((ValueError, DataError), match=r"x\[700, 5\] is (nan|inf)"):
        net.evaluate(data, None if kind == "source" else LABELS, threads=2)
    assert not readers_running()


def test_the_sums_of_parts_do_not_depend_on_their_order() -> None:
    values = rng.random((50, 4)) * 10.0 ** rng.integers(-8, 8, (50, 1))
    totals = set()
    for order in (range(50), rng.permutation(50)):
        parts = Parts()
        for k in order:
            parts.add(slice(int(k), int(k) + 1), Sums(*values[k].tolist()))
        totals.add(parts.total())
    assert len(totals) == 1
    assert Parts().total() == Sums(0.0, 0.0, 0.0, 0.0)
