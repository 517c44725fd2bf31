"""Trainer(sparse=...): a fit that compresses a dense x."""

from __future__ import annotations

from typing import Any

import comparisons as cmp
import fake_team
import kernel_cases as kc
import numpy as np
import pytest
from sparse_cases import BYTES, FLOATS, Y, trainer

from fastnet import Network, Trainer, backends
from fastnet.backends import compression, selection
from fastnet.backends.forward import work_of
from fastnet.kernels import contract as c

scipy_sparse = pytest.importorskip("scipy.sparse", reason="sparse input needs SciPy")
pytestmark = pytest.mark.usefixtures("on_numpy")


@pytest.mark.parametrize("dense", [BYTES, FLOATS], ids=["bytes", "floats"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_compressed_fit_equals_the_dense_fit(name: str, optimizer: str, dense: kc.Array) -> None:
    plain, packed = (trainer(backend=name, optimizer=optimizer, sparse=sparse) for sparse in (False, True))
    for each in (plain, packed):
        each.fit(dense, Y, epochs=3, validation_data=(dense, Y))
    cmp.assert_close(packed.network.parameters, plain.network.parameters, cmp.AGREEMENT["float32"])
    assert plain.history["inputs"] == ["dense"] * 3
    share = np.count_nonzero(dense) / dense.size
    assert packed.history["inputs"] == [f"compressed: {share:.1%} not zero"] * 3


def test_sparse_input_stays_sparse() -> None:
    for setting in (True, False, "auto"):
        history = trainer(sparse=setting).fit(scipy_sparse.csr_array(BYTES), Y, epochs=1)
        assert history["inputs"] == [f"sparse: {np.count_nonzero(BYTES) / BYTES.size:.1%} not zero"]
    assert trainer(sparse=True).partial_fit(BYTES, Y).inputs.startswith("compressed")


@pytest.mark.filterwarnings("ignore:the network does not learn")  # from inputs that are all 0
def test_auto_compresses_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trainer().fit(BYTES, Y, epochs=9)["inputs"][0] == "dense"  # compression never pays on NumPy
    monkeypatch.setitem(selection._MODULES, "numpy", "fake_team")
    full = np.maximum(FLOATS, np.float32(0.5))
    half = np.where(np.arange(70) < 70 * c.SPARSE_SHARE + 1, full, np.float32(0))
    for x, epochs, wanted in (
        (FLOATS, compression.SPARSE_EPOCHS, "compressed"),
        (BYTES, compression.SPARSE_EPOCHS, "dense"),  # the kernels skip zeros of dense bytes
        (FLOATS, compression.SPARSE_EPOCHS - 1, "dense"),
        (full, 9, "dense"),
        (half, 9, "dense"),
        (np.zeros_like(FLOATS), 9, "compressed"),
    ):
        assert trainer().fit(x, Y, epochs=epochs)["inputs"][0].startswith(wanted)
    narrow = Trainer(Network([63, 3]), backend="numpy")
    assert narrow.fit(FLOATS[:, :63], Y, epochs=9)["inputs"][0] == "dense"
    assert trainer().partial_fit(FLOATS, Y).inputs == "dense"


def test_the_sample_is_spread_over_all_rows() -> None:
    x = np.zeros((100_000, 64), np.float32)
    assert compression.compresses(None, fake_team, x, 9)  # compression pays on the backend module fake_team
    x[60_000:] = 1
    assert not compression.compresses(None, fake_team, x, 9)


@pytest.mark.parametrize("wrong", ["yes", 1, None, 0.5, [True]])
def test_impossible_settings_are_refused(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="sparse must be True, False or 'auto'"):
        trainer(sparse=wrong)


def test_data_changed_while_they_are_compressed_are_an_error() -> None:
    """Another thread may change the array during the call. The kernels must not write outside their memory."""
    x = np.zeros((50, 70), np.float32)

    class Changing:
        @staticmethod
        def compress(x: Any, scale: float, starts: Any, indices: Any, values: Any) -> int:
            found = int(backends.get("numpy").compress(x, scale, starts, indices, values))
            x[:] = 1  # after the entries are counted
            return found

    with pytest.raises(ValueError, match="x was changed"):
        compression.compressed(Changing, x, np.dtype(np.float32), 1.0)


def test_the_work_of_sparse_rows_follows_from_their_entries() -> None:
    layers = Network([1000, 8, 3], seed=0).layers
    few = c.SparseRows(np.arange(0, 101, 10), np.zeros(100, np.int32), np.ones(100, np.float32), 1000)
    assert work_of(layers, np.zeros((10, 1000), np.float32), 4) == 4 * (8000 + 24)
    assert work_of(layers, few, 4) == 4 * (10 * 8 + 24)


def test_the_trainer_s_docstring_has_the_limits_of_the_code() -> None:
    text = " ".join(str(Trainer.__doc__).split())
    assert f"at least {c.SPARSE_INPUTS} inputs" in text
    assert f"at most {c.SPARSE_SHARE:.0%} of the entries" in text
    assert f"at least {compression.SPARSE_EPOCHS} epochs" in text
