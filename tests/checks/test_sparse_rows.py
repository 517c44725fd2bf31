"""Sparse matrices as x of every call, and a Trainer that compresses a dense x."""

from __future__ import annotations

import contextlib
import copy
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import comparisons as cmp
import fake_team
import kernel_cases as kc
import numpy as np
import pytest
from conftest import name_of

from fastnet import Network, Trainer, backends
from fastnet.backends import compression, selection
from fastnet.backends.forward import work_of
from fastnet.kernels import contract as c

scipy_sparse = pytest.importorskip("scipy.sparse", reason="sparse input needs SciPy")

FORMATS = ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"]
RNG = np.random.default_rng(0)
BYTES = (RNG.integers(1, 256, (60, 70)) * (RNG.random((60, 70)) < 0.15)).astype(np.uint8)
BYTES[7] = 0
FLOATS = (BYTES / 255).astype(np.float32)
Y = RNG.integers(0, 3, 60)


@pytest.fixture(autouse=True)
def _on_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the tests that name no backend on NumPy, because they do not depend on the backend."""
    monkeypatch.setenv(backends.ENVIRONMENT, "numpy")


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)


def network(**arguments: Any) -> Network:
    return Network([70, 5, 3], activation="tanh", output="softmax", cost="cross_entropy", seed=0, **arguments)


def trainer(**arguments: Any) -> Trainer:
    return Trainer(
        network(),
        **{"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 8, "backend": "numpy", "seed": 0} | arguments,
    )


# -- results equal those of the dense array ------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [BYTES, FLOATS], ids=["bytes", "floats"])
def test_every_call_takes_sparse_x(name: str, dense: kc.Array) -> None:
    net, x = network(), scipy_sparse.csr_array(dense)
    calls: list[Callable[[Any], Any]] = [
        lambda x: net.forward(x, backend=name),
        lambda x: net.forward(x, backend=name, out=np.empty((60, 3), np.float32)),
        lambda x: net.predict(x, backend=name),
        lambda x: net.predict(x, backend=name, out=np.empty(60, np.int64)),
        lambda x: net.cost(x, Y, backend=name),
        lambda x: net.accuracy(x, Y, backend=name),
        lambda x: net.evaluate(x, Y, backend=name)[:2],
        lambda x: net.gradient(x, Y, backend=name),
        lambda x: net.compile(backend=name, max_batch=16)(x),
        lambda x: net.compile(backend=name, max_batch=16).predict(x),
        lambda x: trainer(backend=name).evaluate(x, Y)[:2],
        lambda x: trainer(backend=name).fit(x, Y, epochs=2, validation_data=(x, Y))["validation_cost"],
        lambda x: trainer(backend=name).partial_fit(x, Y).cost,
    ]
    for call in calls:
        cmp.assert_close(call(x), call(dense), 2e-6)
    for found, expected in zip(net.activations(x, backend=name), net.activations(dense, backend=name), strict=True):
        assert isinstance(found, np.ndarray)
        cmp.assert_close(found, expected, 2e-6)


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.filterwarnings("ignore:Constructing a DIA matrix")
def test_every_sparse_format_gives_the_same_result(form: str, kind: str) -> None:
    for dense, dtype in product([BYTES, FLOATS, FLOATS.astype(np.float64)], kc.DTYPES):
        x = getattr(scipy_sparse, f"csr_{kind}")(dense).asformat(form)
        net = network(dtype=dtype)
        np.testing.assert_allclose(net.forward(x), net.forward(dense), rtol=1e-5, err_msg=f"{dense.dtype}, {dtype}")


def test_sparse_rows_objects_are_accepted(name: str) -> None:
    cmp.assert_close(
        network().forward(kc.sparse(FLOATS, np.float32), backend=name), network().forward(FLOATS, backend=name), 2e-6
    )


def unsorted() -> Any:
    """Return a matrix with unsorted and repeated columns and a zero. Its flags falsely say sorted and canonical."""
    x = scipy_sparse.csr_array(
        (np.array([1, 2, 3, 4, 0, 5], np.float32), np.array([3, 1, 3, 3, 0, 69]), np.array([0, 4, 4, 6])), shape=(3, 70)
    )
    x.has_canonical_format = x.has_sorted_indices = True
    return x


@pytest.mark.parametrize("rows", [[], [7], [3, 59, 0, 3], range(60)], ids=str)
def test_indexing_sparse_rows_takes_rows_by_number(rows: Any) -> None:
    chosen = np.array(rows, np.int64)
    found, expected = kc.sparse(FLOATS, np.float32)[chosen], kc.sparse(FLOATS[chosen], np.float32)
    first, last = expected.starts[[0, -1]]
    assert len(found) == len(chosen)
    np.testing.assert_array_equal(found.starts, expected.starts - first)
    np.testing.assert_array_equal(found.indices, expected.indices[first:last])
    np.testing.assert_array_equal(found.values, expected.values[first:last])


def test_duplicates_are_summed_and_the_user_s_matrix_is_unchanged() -> None:
    x = unsorted()
    before = copy.deepcopy(x.__dict__)
    expected = np.zeros((3, 70), np.float32)
    expected[0, 3], expected[0, 1], expected[2, 69] = 8, 2, 5
    rows = network().check_inputs(x)
    assert isinstance(rows, c.SparseRows)
    assert rows.starts.tolist() == [0, 2, 2, 4]
    assert rows.indices.tolist() == [1, 3, 0, 69]
    np.testing.assert_array_equal(network().forward(x), network().forward(expected))
    assert before.keys() == x.__dict__.keys()
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(x, name), before["_" + name] if "_" + name in before else before[name])
    coo = scipy_sparse.coo_array((np.array([1, 2, 3.0]), ([5, 5, 0], [1, 1, 7])), shape=(60, 70))
    np.testing.assert_allclose(network().forward(coo), network().forward(coo.toarray()))
    assert len(coo.data) == 3


@pytest.mark.parametrize("dense", [BYTES, FLOATS], ids=["bytes", "floats"])
def test_fitting_values_are_shared_and_indices_copied(dense: kc.Array) -> None:
    """Values of the network's dtype are shared. Others, such as bytes, are converted. Indices are always copied."""
    x = scipy_sparse.csr_array(dense)
    for array in (x.data, x.indices, x.indptr):
        array.flags.writeable = False
    rows = network().check_inputs(x)
    assert isinstance(rows, c.SparseRows)
    assert np.shares_memory(rows.values, x.data) == (dense is FLOATS)
    assert not np.shares_memory(rows.indices, x.indices)
    assert (rows.starts.dtype, rows.indices.dtype, rows.dtype) == (np.int64, np.int32, np.float32)
    part = kc.sparse(dense, np.float32)[3:50]  # its arrays are slices of larger arrays
    again = network().check_inputs(part)
    assert isinstance(again, c.SparseRows)
    assert np.shares_memory(again.values, part.values)
    assert not np.shares_memory(again.indices, part.indices)
    np.testing.assert_allclose(network().forward(part), network().forward(dense[3:50]), rtol=1e-5)
    x = scipy_sparse.csr_array(dense)
    x.indices, x.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    rows = network().check_inputs(x)
    assert isinstance(rows, c.SparseRows)
    assert rows.indices.dtype == np.int32


def test_a_matrix_without_entries_is_accepted(name: str) -> None:
    x = scipy_sparse.csr_array((60, 70), dtype=np.float32)
    cmp.assert_close(network().forward(x, backend=name), network().forward(x.toarray(), backend=name), 2e-6)
    trainer(backend=name).fit(x, Y, epochs=1)


def test_scipy_is_not_imported() -> None:
    code = (
        "import sys, numpy as np, fastnet\n"
        "trainer = fastnet.Trainer(fastnet.Network([70, 2]), backend='numpy', sparse=True)\n"
        "trainer.fit(np.ones((4, 70)), np.zeros(4, int), epochs=1)\n"
        "assert 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# -- refused matrices ------------------------------------------------------------------------------------------------


def broken(form: str, change: Callable[[Any], object]) -> Any:
    x = scipy_sparse.csr_array(FLOATS).asformat(form)
    change(x)
    return x


def setting(name: str, at: int, value: float) -> Callable[[Any], object]:
    return lambda x: getattr(x, name).__setitem__(at, value)


@pytest.mark.parametrize(
    "change",
    [
        setting("indices", 0, 70),
        setting("indices", 3, 1 << 30),
        setting("indices", 3, -1),
        setting("indptr", 1, 10**6),
        setting("indptr", 0, 3),
        setting("indptr", 0, -3),
        setting("indptr", -1, 10**6),
        setting("indptr", 5, -1),
        lambda x: setattr(x, "data", x.data[:3]),
        lambda x: setattr(x, "indices", x.indices[:3]),
        lambda x: setattr(x, "indptr", x.indptr[:3]),
        lambda x: setattr(x, "indices", x.indices.astype(float)),
        lambda x: setattr(x, "indptr", x.indptr[:, None]),
    ],
)
def test_corrupt_matrices_are_refused_before_use(change: Callable[[Any], object]) -> None:
    """Each matrix would make a kernel or SciPy's conversion read or write memory outside the matrix."""
    refused = 0
    for form in ("csr", "csc", "bsr"):
        with contextlib.suppress(ValueError):  # SciPy refuses some of these matrices
            x = broken(form, change)
            with pytest.raises(ValueError, match=r"x is not a valid sparse matrix: .*build it again"):
                network().forward(x)
            refused += 1
    assert refused


@pytest.mark.parametrize("place", [("row", 60), ("row", -1), ("col", 70), ("col", -1)])
def test_corrupt_coordinates_are_refused(place: tuple[str, int]) -> None:
    x = scipy_sparse.coo_matrix(FLOATS)
    getattr(x, place[0])[0] = place[1]
    with pytest.raises(ValueError, match="x is not a valid sparse matrix"):
        network().gradient(x, Y)


@pytest.mark.parametrize(
    "change",
    [
        setting("offsets", 0, 70),
        setting("offsets", 0, -60),
        setting("offsets", 0, 1),
        lambda x: setattr(x, "offsets", np.arange(9)),
        lambda x: setattr(x, "data", x.data[:1]),
        lambda x: setattr(x, "data", x.data[0]),
    ],
)
def test_corrupt_diagonals_are_refused(change: Callable[[Any], object]) -> None:
    x = scipy_sparse.diags_array([[1.0] * 59, [2.0] * 60], offsets=[-1, 1], shape=(60, 70))
    np.testing.assert_allclose(network().forward(x), network().forward(x.toarray()), rtol=1e-6)
    change(x)
    with pytest.raises(ValueError, match="x is not a valid sparse matrix"):
        network().forward(x)


@pytest.mark.parametrize("part", ["data", "indices", "indptr", "_shape"])
@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
def test_matrices_with_replaced_parts_are_refused(form: str, part: str) -> None:
    masked = np.ma.masked_array([1.0], mask=[True])
    for value in (None, 3, "data", [1, 2], masked, np.zeros((2, 2, 2, 2))):
        x = broken(form, lambda x, value=value: setattr(x, part, value))
        with pytest.raises(ValueError, match=r"^x is not a valid sparse matrix: .*build it again"):
            network().forward(x)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "dia"])
@pytest.mark.parametrize("shape", [(-60, 70), (60.0, 70.0)])
@pytest.mark.filterwarnings("ignore:Constructing a DIA matrix")
def test_an_impossible_shape_is_refused(form: str, shape: Any) -> None:
    """An impossible shape can crash the process, for example when SciPy converts a CSC matrix with -1 rows."""
    x = broken(form, lambda x: setattr(x, "_shape", shape))
    with pytest.raises(
        ValueError, match="x is not a valid sparse matrix: its shape is not a tuple of whole numbers from 0"
    ):
        network().forward(x)


@pytest.mark.parametrize("blocks", [(0, 1), (61, 1), (60, 71), (7, 70)])
def test_blocks_that_do_not_fill_the_shape_are_refused(blocks: tuple[int, int]) -> None:
    x = broken("bsr", lambda x: setattr(x, "data", np.ones((len(x.data), *blocks), np.float32)))
    with pytest.raises(ValueError, match=r"x is not a valid sparse matrix: its data.*are not blocks"):
        network().forward(x)


@pytest.mark.parametrize("form", ["dia", "csc"])
@pytest.mark.filterwarnings("ignore:Constructing a DIA matrix")
def test_matrices_that_scipy_cannot_convert_are_refused_in_one_line(form: str) -> None:
    x = broken(form, lambda x: setattr(x, "_shape", (1 << 62, 70)))
    with pytest.raises(ValueError, match=r"x is .* scipy cannot convert .*give it as CSR"):
        network().forward(x)


NAN = FLOATS.copy()
NAN[9, 11] = np.nan


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (scipy_sparse.csr_array(FLOATS[:, :69]), "x (60, 69) 69 values 70"),
        (scipy_sparse.csr_array((60, 3_000_000_000)), "x (60, 3000000000) 70"),
        (scipy_sparse.csr_array((0, 70)), "x empty"),
        (scipy_sparse.coo_array(FLOATS[0]), "x (70,) reshape(1, -1)"),
        (scipy_sparse.csr_array(FLOATS.astype(complex)), "x complex128"),
        (scipy_sparse.csr_array(NAN), "x[9, 11] nan finite"),
        (scipy_sparse.csc_array(NAN), "x[9, 11] nan finite"),
        (scipy_sparse.csr_array(FLOATS.astype(np.float64) * 1e300), "e+297 float32 float64"),
        (c.SparseRows(np.array([0, 1]), np.array([70], np.int32), np.ones(1, np.float32), 70), "x valid 70 69"),
    ],
)
def test_unusable_sparse_inputs_are_refused(x: Any, words: str) -> None:
    for call in (network().forward, network().activations, lambda x: trainer().fit(x, Y, epochs=1)):
        with pytest.raises(ValueError, match="x") as caught:
            call(x)
        message = str(caught.value)
        assert "\n" not in message
        assert [word for word in words.split() if word not in message] == [], message


def test_the_error_names_validation_data() -> None:
    with pytest.raises(ValueError, match=r"validation x has shape \(60, 69\)"):
        trainer().fit(FLOATS, Y, epochs=1, validation_data=(scipy_sparse.csr_array(FLOATS[:, :69]), Y))
    with pytest.raises(ValueError, match=r"y has shape"):
        trainer().fit(scipy_sparse.csr_array(FLOATS), Y[:9], epochs=1)


# -- Trainer(sparse=...) ---------------------------------------------------------------------------------------------


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
