"""Large integers and memory-mapped arrays are converted a piece at a time, and give the results of a converted copy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from conftest import name_of, python

from fastnet import Callback, Network, Trainer, checks
from fastnet.checks import unconverted
from fastnet.training.pieces import pieces

N, N_IN = 400, 80
RNG = np.random.default_rng(0)
# The first half has few zeros and the second half many. A kernel skips zeros or not, for all of x.
SMALL = np.where(RNG.random((N, N_IN)) < np.where(np.arange(N) < N // 2, 0.6, 0.1)[:, None], 2, 0).astype(np.int8)
Y = RNG.integers(0, 3, N)


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unconverted, "MAX_COPY", 1000)
    monkeypatch.setattr(unconverted, "PIECE_BYTES", 4 * N_IN * 50)  # 50 rows of float32


def mapped(folder: Path, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    np.save(folder / "x.npy", x)
    return np.load(folder / "x.npy", mmap_mode="r")


@pytest.mark.parametrize("shift", [0, 1])
def test_training_on_unconverted_rows_gives_the_same_bits(backend: Any, shift: int) -> None:
    """With a shift of 1 no number is 0, so the kernels skip nothing."""
    found, costs = [], []
    for x in (SMALL + np.int8(shift), (SMALL + shift).astype(np.float32)):
        net = Network([N_IN, 6, 3], seed=0)
        trainer = Trainer(
            net, optimizer="momentum", learning_rate=0.1, batch_size=16, seed=1, backend=name_of(backend), dropout=0.2
        )
        history = trainer.fit(x, Y, epochs=3, sample_weight=np.arange(N) % 5)
        trainer.partial_fit(x, Y)
        found.append((net.parameters.tobytes(), history["accuracy"]))
        costs.append(history["cost"])
    assert isinstance(net.check_rows(SMALL), checks.UnconvertedRows)
    assert found[0] == found[1]
    np.testing.assert_allclose(*costs, rtol=1e-12)  # the sums of the chunks, whose lengths depend on the speed


@pytest.mark.parametrize("kind", [np.int16, np.float64, np.float16, bool, ">i4"])
def test_every_call_on_a_mapped_file_equals_the_call_on_an_array(tmp_path: Path, backend: Any, kind: Any) -> None:
    x = mapped(tmp_path, SMALL.astype(kind))
    copy = np.array(x, np.float32)
    net, name = Network([N_IN, 6, 3], activation="sigmoid", seed=0), name_of(backend)
    assert isinstance(net.check_rows(x), checks.UnconvertedRows)
    predictor = net.compile(backend=name, max_batch=7)
    for call in (net.forward, predictor, net.predict):
        arguments = {} if call is predictor else {"backend": name}
        np.testing.assert_allclose(call(x, **arguments), call(copy, **arguments), 1e-5)
    np.testing.assert_allclose(net.activations(x, backend=name)[0], net.activations(copy, backend=name)[0], 1e-5)
    np.testing.assert_allclose(net.evaluate(x, Y, backend=name)[:2], net.evaluate(copy, Y, backend=name)[:2], 1e-5)
    np.testing.assert_array_equal(net.gradient(x, Y, backend=name), net.gradient(copy, Y, backend=name))


def test_pieces_hold_every_batch_once_and_the_sampled_rows_at_the_sampled_places() -> None:
    rows = checks.UnconvertedRows(SMALL, np.dtype(np.float32))
    order = RNG.permutation(N)[:-3]
    found = list(pieces(rows, order, 16, len(order)))
    assert [len(piece.order) for piece in found] == [48] * 8 + [13]  # 3 batches are less than 50 rows
    np.testing.assert_array_equal(np.concatenate([numbers[part] for numbers, part in found]), order)
    for numbers, part in found:
        sampled = np.setdiff1d(np.arange(len(numbers)), part)
        np.testing.assert_array_equal(numbers[sampled], np.arange(32) * N // 32)


def test_only_large_copies_are_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network([N_IN, 3])

    def stays(x: Any) -> bool:
        return isinstance(net.check_rows(x), checks.UnconvertedRows)

    assert stays(SMALL)
    assert stays(mapped(tmp_path, SMALL.astype(np.int64)))
    assert not stays(SMALL.astype(np.int64))  # larger than its copy
    assert not stays(SMALL[:31])  # fewer rows than the kernels sample
    assert not stays(np.asfortranarray(SMALL))
    assert not stays(mapped(tmp_path, SMALL.astype(np.float32)))  # needs no conversion
    assert not stays(scipy.sparse.csr_array(SMALL))
    monkeypatch.setattr(unconverted, "MAX_COPY", 4 * SMALL.size)
    assert not stays(SMALL)


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "x[300, 7] is nan"), (1e300, "x holds 1e+300, beyond float32: use a float64 network")]
)
def test_mapped_floats_are_checked_before_the_fit(tmp_path: Path, value: float, words: str) -> None:
    x = SMALL.astype(np.float64)
    x[300, 7] = value
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        Network([N_IN, 3]).forward(mapped(tmp_path, x))


def test_unconverted_rows_can_be_compressed(backend: Any) -> None:
    found = []
    for x in (SMALL, SMALL.astype(np.float32)):
        net = Network([N_IN, 6, 3], seed=0)
        trainer = Trainer(net, learning_rate=0.1, batch_size=16, seed=1, backend=name_of(backend), sparse=True)
        found.append((trainer.fit(x, Y, epochs=2)["inputs"], net.parameters.tobytes()))
    assert found[0] == found[1]


def test_ctrl_c_between_pieces_ends_the_fit_at_a_batch() -> None:
    class Stop(Callback):
        every = 1

        def on_batches(self, trainer: Trainer, progress: Any) -> None:
            if progress.batch == 5:
                raise KeyboardInterrupt

    trainer = Trainer(Network([N_IN, 3], seed=0), batch_size=16, seed=1, backend="numpy")
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(SMALL, Y, epochs=1, callbacks=[Stop()])
    assert trainer.steps == 5


def test_a_mapped_file_of_600_mb_does_not_grow_the_process(tmp_path: Path, backend: Any) -> None:
    """A float copy would take 1.2 GB. The file has no data on the disk: all its numbers are 0."""
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.int16, (300_000, 1000)).flush()
    code = f"""
import resource
import numpy as np, fastnet
x = np.load({str(tmp_path / "x.npy")!r}, mmap_mode="r")
y = np.zeros(len(x), np.int64)
trainer = fastnet.Trainer(fastnet.Network([1000, 2], seed=0), batch_size=1000, backend={name_of(backend)!r}, seed=0)

def train_and_evaluate(n):
    trainer.fit(x[:n], y[:n], epochs=1)
    trainer.evaluate(x[:n], y[:n])

train_and_evaluate(10_000)  # loads and compiles what a fit needs
memory = int(open("/proc/self/status").read().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (memory + 60_000_000, resource.RLIM_INFINITY))
train_and_evaluate(len(x))
"""
    python(code)
