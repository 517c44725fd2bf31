"""Sparse matrices that are refused: corrupt ones in CSR, CSC, BSR, COO and DIA, and those that do not fit.

test_sparse_rows_damaged.py tests the formats LIL, DOK and COO.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sparse_cases import FLOATS, Y, network, trainer

from fastnet.kernels import contract as c

scipy_sparse = pytest.importorskip("scipy.sparse", reason="sparse input needs SciPy")
pytestmark = pytest.mark.usefixtures("on_numpy")


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
