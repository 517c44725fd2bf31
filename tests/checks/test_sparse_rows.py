"""Sparse matrices as x of every call give the results of the dense array."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import comparisons as cmp
import kernel_cases as kc
import numpy as np
import pytest
from sparse_cases import BYTES, FLOATS, Y, network, trainer

from fastnet.kernels import contract as c

scipy_sparse = pytest.importorskip("scipy.sparse", reason="sparse input needs SciPy")
pytestmark = pytest.mark.usefixtures("on_numpy")

FORMATS = ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"]


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
