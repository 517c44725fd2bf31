"""Damaged SciPy matrices in the formats LIL, DOK and COO. test_sparse_rows_refused.py tests the other formats.

SciPy's own conversions do not check the matrices and would write outside their memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnet import Network

scipy_sparse = pytest.importorskip("scipy.sparse", reason="sparse input needs SciPy")

RNG = np.random.default_rng(0)
X = RNG.random((60, 70), np.float32)
X[RNG.random((60, 70)) < 0.8] = 0
X[3, 5] = 0.5
WORDS = r"^x is not a valid sparse matrix: .*; build it again with functions of scipy$"
Change = Callable[[Any], object]


def lists(part: str, row: int, new: Callable[[list[Any]], object]) -> Change:
    return lambda x: getattr(x, part).__setitem__(row, new(getattr(x, part)[row]))


def value(part: str, new: object) -> Change:
    return lambda x: setattr(x, part, new)


def entry(key: object, new: object = 1.0) -> Change:
    return lambda x: x._dict.__setitem__(key, new)


def coords(row: Callable[[Any], object] = lambda a: a, column: Callable[[Any], object] = lambda a: a) -> Change:
    return lambda x: setattr(x, "coords", (row(x.coords[0]), column(x.coords[1])))


LIL: dict[str, Change] = {
    "more values than columns": lists("data", 3, lambda found: found * 5000),
    "fewer values than columns": lists("data", 3, lambda found: found[:1]),
    "more columns than values": lists("rows", 3, lambda found: found * 500),
    "unsorted": lists("rows", 3, lambda found: found[::-1]),
    "twice": lists("rows", 3, lambda found: [found[0], *found[:-1]]),
    "too large": lists("rows", 3, lambda found: [*found[:-1], 70]),
    "negative": lists("rows", 3, lambda found: [-1, *found[1:]]),
    "beyond int64": lists("rows", 3, lambda found: [*found[:-1], 1 << 70]),
    "a fraction": lists("rows", 3, lambda found: [float(column) for column in found]),
    "a string": lists("rows", 3, lambda found: ["a", *found[1:]]),
    "no list": lists("rows", 3, lambda found: None),
    "no number": lists("data", 3, lambda found: ["a"] * len(found)),
    "fewer rows": lambda x: setattr(x, "rows", x.rows[:-1]),
    "more rows": lambda x: setattr(x, "rows", np.append(x.rows, x.rows)),
    "rows that are numbers": value("rows", np.zeros(60)),
    "no rows": value("rows", None),
    "data that are numbers": value("data", np.zeros(60)),
    "a dtype that is a string": value("dtype", "float32"),
    "no dtype": value("dtype", None),
}
COO: dict[str, Change] = {
    "too large": coords(column=lambda a: a + 70),
    "negative": coords(lambda a: a - 60),
    "beyond int64": coords(lambda a: np.full(len(a), 2**63, np.uint64)),
    "too few": coords(column=lambda a: a[:5]),
    "fractions": coords(column=lambda a: a.astype(float)),
    "two dimensions": coords(lambda a: a[None], lambda a: a[None]),
    "no array": coords(lambda a: None),
    "ragged": coords(lambda a: [[1], [2, 3]]),
    "three of them": lambda x: setattr(x, "coords", (*x.coords, x.coords[0])),
    "none": value("coords", None),
    "data too few": lambda x: setattr(x, "data", x.data[:3]),
    "data of two dimensions": lambda x: setattr(x, "data", x.data[None]),
}
DOK: dict[str, Change] = {
    "too large": entry((99, 0)),
    "negative": entry((-1, 0)),
    "beyond int64": entry((0, 1 << 70)),
    "a fraction": entry((0.5, 0)),
    "a number": entry(3),
    "a string": entry("ab"),
    "three numbers": entry((1, 2, 3)),
    "no number": entry((0, 0), "a"),
    "no dictionary": value("_dict", None),
}


def matrix(form: str, kind: str, change: Change) -> Any:
    x = getattr(scipy_sparse, f"{form}_{kind}")(X)
    np.testing.assert_allclose(Network([70, 3], seed=0).forward(x), Network([70, 3], seed=0).forward(X), rtol=1e-5)
    change(x)
    return x


@pytest.mark.parametrize(
    ("form", "damage"),
    [(form, damage) for form, known in (("lil", LIL), ("coo", COO), ("dok", DOK)) for damage in known],
)
def test_damaged_matrices_are_refused(form: str, damage: str) -> None:
    for kind in ("array", "matrix"):
        x = matrix(form, kind, {"lil": LIL, "coo": COO, "dok": DOK}[form][damage])
        with pytest.raises(ValueError, match=WORDS):
            Network([70, 3]).forward(x)


def test_matrices_without_two_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x has shape \(70,\).*x\.reshape\(1, -1\)"):
        Network([70, 3]).forward(scipy_sparse.coo_array(X[0]))
    if not hasattr(scipy_sparse.coo_array(X), "coords"):
        pytest.skip("this scipy has no arrays of three dimensions")
    x = scipy_sparse.coo_array(X.reshape(60, 7, 10))
    with pytest.raises(ValueError, match=r"^x has shape \(60, 7, 10\); .*two dimensions: use x\.reshape\(60, 70\)$"):
        Network([70, 3]).forward(x)
    assert Network([70, 3]).forward(x.reshape(60, 70)).shape == (60, 3)


@pytest.mark.parametrize("form", ["lil", "dok", "coo"])
def test_values_of_another_type_are_refused(form: str) -> None:
    x = scipy_sparse.csr_array((X > 0).astype(np.complex64)).asformat(form)
    with pytest.raises(ValueError, match=r"^x has dtype complex64; expected numbers"):
        Network([70, 3]).forward(x)


@pytest.mark.parametrize("form", ["lil", "dok"])
def test_values_beyond_float32_are_refused_without_a_warning(form: str) -> None:
    x = scipy_sparse.csr_array(X.astype(np.float32)).asformat(form)
    damage = lists("data", 3, lambda found: [1e300] * len(found)) if form == "lil" else entry((3, 5), 1e300)
    damage(x)
    with pytest.raises(ValueError, match=r"^x\[3, \d+\] is inf; every value must be finite: fill or drop such rows$"):
        Network([70, 3]).forward(x)


@pytest.mark.parametrize("blocks", [(0, 0), (7, 10), (6, 9), (60, 70)])
def test_blocks_that_do_not_fill_the_shape_are_refused(blocks: tuple[int, int]) -> None:
    x = scipy_sparse.bsr_array(X, blocksize=(6, 10))
    x.data = np.zeros((len(x.data), *blocks), np.float32)
    with pytest.raises(ValueError, match=WORDS):
        Network([70, 3]).forward(x)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo"])
def test_masked_values_are_refused_and_float16_accepted(form: str) -> None:
    x = scipy_sparse.csr_array(X).asformat(form)
    x.data = x.data.astype(np.float16)
    np.testing.assert_allclose(Network([70, 3], seed=0).forward(x), Network([70, 3], seed=0).forward(X), rtol=0.01)
    x.data = np.ma.masked_array(x.data, x.data > 0.9)
    with pytest.raises(ValueError, match=WORDS):
        Network([70, 3]).forward(x)


def test_sparse_rows_made_by_the_user_are_checked() -> None:
    from fastnet.kernels.contract import SparseRows

    good: dict[str, Any] = {
        "starts": np.array([0, 1, 2]),
        "indices": np.array([0, 69], np.int32),
        "values": np.ones(2, np.float32),
        "n_in": 70,
    }
    assert Network([70, 3]).forward(SparseRows(**good)).shape == (2, 3)
    for part, wrong in {
        "starts": [np.array([0, 1, 3]), np.array([0, -1, 2]), np.array([1.0, 1, 2]), np.array([[0, 1, 2]]), None],
        "indices": [np.array([0, 70]), np.array([-1, 0]), np.array([0.5, 1]), np.array([0]), None],
        "values": [np.ones(1, np.float32), np.ones((2, 2), np.float32), None],
        "n_in": [71],
    }.items():
        for each in wrong:
            with pytest.raises(ValueError, match=r"^x (is not a valid sparse|has shape|has dtype|is empty)"):
                Network([70, 3]).forward(SparseRows(**good | {part: each}))
