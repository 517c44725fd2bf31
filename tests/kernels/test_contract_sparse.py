"""The kernel contract: sparse rows, and the compression of dense rows to sparse rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest
from drawn_cases import cases
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet.kernels import contract as c

TOLERANCE, TRAINED = cmp.TOLERANCE, cmp.TRAINED


def on_sparse(k: kc.Case, zeros: bool = False) -> kc.Case:
    return k._replace(x=kc.sparse(k.x, k.params.dtype, zeros, k.scale))


def assert_forward_and_back(backend: Any, k: kc.Case, zeros: bool = False) -> None:
    """Check that sparse rows and dense rows give the oracle's results."""
    dtype = k.params.dtype.name
    s = on_sparse(k, zeros)
    found, (cost, grad) = bc.predict(backend, s), bc.gradient(backend, s)
    cmp.assert_close(found, naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x, k.scale)), TOLERANCE[dtype])
    cmp.assert_close(found, bc.predict(backend, k), TOLERANCE[dtype])
    for expected_cost, expected_grad in (cmp.naive_gradient(k), bc.gradient(backend, k)):
        cmp.assert_close(cost, expected_cost, TOLERANCE[dtype])
        cmp.assert_close(grad, expected_grad, TOLERANCE[dtype])


@settings(max_examples=200)
@given(
    k=cases(),
    share=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    zeros=st.booleans(),
)
def test_predict_and_gradient(backend: Any, k: kc.Case, share: float, zeros: bool) -> None:
    assert_forward_and_back(backend, kc.mostly_zero(k, share, len(k.params)), zeros)


@kc.pairs(
    "backend",
    "dtype",
    "inputs",
    kind=["no entries at all", "all full", "one entry", "only the last column"],
    width=[1, 16, 67],
)
def test_rows_with_any_number_of_entries(backend: Any, width: int, kind: str, dtype: str, inputs: str) -> None:
    k = kc.case((width, 6, 3), "tanh", ("softmax", "cross_entropy"), 11, dtype, inputs)
    x = np.zeros_like(k.x)
    if kind == "all full":
        x = k.x + (k.x == 0).astype(x.dtype)
    elif kind == "one entry":
        x[4, width // 2] = 3
    elif kind == "only the last column":
        x[:, -1] = 1 + np.arange(11)
    k = k._replace(x=x)
    assert_forward_and_back(backend, k)
    order = np.arange(11)
    found, expected = (bc.train(backend, each, order, 4, kc.RULES["adam"]) for each in (on_sparse(k), k))
    cmp.assert_close(found.params, expected.params, TRAINED[dtype])


@kc.pairs("backend", "dtype", "inputs", "targets", rows=[c.BLOCK_ROWS + 1, 2 * c.BLOCK_ROWS + 88])
def test_more_sparse_rows_than_a_block(backend: Any, rows: int, dtype: str, inputs: str, targets: str) -> None:
    k = kc.mostly_zero(kc.case((9, 4, 2), "tanh", ("softmax", "cross_entropy"), rows, dtype, inputs, targets))
    assert_forward_and_back(backend, k)


@kc.pairs("rule", "extra", "dtype", "inputs", "targets", "task", "weights")
def test_training_on_sparse_rows_equals_dense_training(
    backend: Any, rule: str, extra: str, dtype: str, inputs: str, targets: str, task: str, weights: str
) -> None:
    """The result equals training on the dense array. The order repeats and omits rows. The last batch is smaller."""
    optimizer = bc.rule(rule, extra)
    output = ("softmax", "cross_entropy")
    k = kc.mostly_zero(kc.case((30, 9, 3), "tanh", output, 20, dtype, inputs, targets, 0, task, weights))
    order = np.random.default_rng(1).integers(0, 20, 38)
    expected = bc.train(backend, k, order, 5, optimizer, step=3)
    found = bc.train(backend, on_sparse(k), order, 5, optimizer, step=3)
    cmp.assert_close(found.params, expected.params, TRAINED[dtype])
    cmp.assert_close(found.state, expected.state, TRAINED[dtype])
    cmp.assert_close(found.cost, expected.cost, TRAINED[dtype])
    cmp.assert_close(found.report, expected.report, TRAINED[dtype])
    assert found.steps == expected.steps
    cmp.assert_same_bits(found, bc.train(backend, on_sparse(k), order, 5, optimizer, step=3))


@kc.pairs("backend", "dtype", "inputs", batch_size=[1, 7, 300, 1300])
def test_train_in_batches_of_any_size(backend: Any, batch_size: int, dtype: str, inputs: str) -> None:
    k = kc.mostly_zero(kc.case((70, 5, 3), "sigmoid", ("softmax", "cross_entropy"), 2000, dtype, inputs, "labels"), 0.1)
    order = np.random.default_rng(12).permutation(2000)[:1500]
    rate = np.full(-(-1500 // batch_size), 0.05)
    found, expected = (bc.train(backend, each, order, batch_size, naive.Rule(), rate) for each in (on_sparse(k), k))
    cmp.assert_close(found.params, expected.params, cmp.AGREEMENT[dtype])
    assert found.cost == pytest.approx(expected.cost, rel=cmp.AGREEMENT[dtype])
    assert abs(found.score - expected.score) <= (2 if dtype == "float32" else 0)


@kc.pairs("backend", "dtype", "inputs")
def test_a_slice_of_sparse_rows_has_these_rows(backend: Any, dtype: str, inputs: str) -> None:
    k = kc.mostly_zero(kc.case((20, 4, 3), rows=50, dtype=dtype, inputs=inputs))
    s = on_sparse(k)
    for part in (slice(0, 9), slice(3, 50), slice(17, 18), slice(49, 60)):
        whole = bc.predict(backend, k)[part]
        cmp.assert_close(bc.predict(backend, s._replace(x=s.x[part])), whole, TOLERANCE[dtype])


@kc.pairs("backend", "rule", "dtype")
def test_a_cost_that_is_not_finite_stops_before_the_update(backend: Any, dtype: str, rule: str) -> None:
    k = kc.mostly_zero(kc.case((6, 5, 3), "tanh", ("softmax", "cross_entropy"), 20, dtype))
    k.x[13, 2] = np.nan
    order = np.arange(20)
    found = bc.train(backend, on_sparse(k), order, 4, kc.RULES[rule])
    before = bc.train(backend, on_sparse(k), order[:12], 4, kc.RULES[rule], bc.rates(order, 4)[:3])
    assert found.steps == 3
    cmp.assert_same_bits(found, before)
    assert bc.train(backend, on_sparse(k), order, 4, kc.RULES[rule], stop=1).steps == 0


# -- more inputs than fit one piece ---------------------------------------------------------------------------------


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use pieces of 8 inputs. With larger pieces the oracle would take minutes."""
    monkeypatch.setattr(c, "PIECE_INPUTS", 8)
    c._plan.cache_clear()
    yield
    c._plan.cache_clear()


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(("sizes", "rows"), [((9, 1), 7), ((33, 70, 3), 20), ((67, 4, 2), 2 * c.BLOCK_ROWS + 88)])
@kc.pairs("backend", "dtype", share=[0.0, 0.05, 0.3, 1.0])
def test_predict_and_gradient_in_pieces(
    backend: Any, sizes: tuple[int, ...], rows: int, share: float, dtype: str
) -> None:
    k = kc.mostly_zero(kc.case(sizes, "tanh", ("sigmoid", "cross_entropy"), rows, dtype), share)
    assert_forward_and_back(backend, k)


@pytest.mark.usefixtures("small_pieces")
@kc.pairs("backend", "rule", "extra", "dtype", batch_size=[5, 140, 300], n_threads=[1, 3])
def test_train_in_pieces(
    backend: Any, n_threads: int, batch_size: int, rule: str, extra: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result equals training on the dense array. On a compiled backend, pieces must not change a bit."""
    n_threads = min(n_threads, backend.MAX_THREADS)
    optimizer = bc.rule(rule, extra)
    k = kc.mostly_zero(kc.case((70, 34, 3), "tanh", ("softmax", "cross_entropy"), 310, dtype, targets="labels"), 0.1)
    order = np.random.default_rng(1).permutation(310)[: 2 * batch_size + 3]
    found = bc.train(backend, on_sparse(k), order, batch_size, optimizer, step=3, n_threads=n_threads)
    expected = bc.train(backend, k, order, batch_size, optimizer, step=3, n_threads=n_threads)
    cmp.assert_close(found.params, expected.params, TRAINED[dtype])
    cmp.assert_close(found.state, expected.state, TRAINED[dtype])
    cmp.assert_close(found.cost, expected.cost, TRAINED[dtype])
    if backend.COMPRESSION_PAYS:
        monkeypatch.undo()
        c._plan.cache_clear()
        whole = bc.train(backend, on_sparse(k), order, batch_size, optimizer, step=3, n_threads=n_threads)
        cmp.assert_same_bits(found, whole)


# -- compress --------------------------------------------------------------------------------------------------------


def compressed(backend: Any, x: kc.Array, dtype: Any, scale: float = c.PIXEL_SCALE) -> c.SparseRows:
    """Compress x. The first call counts the entries, and the second call writes into arrays of exactly this size."""
    starts = np.full(len(x) + 1, -1)
    found = backend.compress(x, scale, starts, np.empty(0, np.int32), np.empty(0, dtype))
    again = np.full(len(x) + 1, -1)
    indices, values = np.full(found, -1, np.int32), np.full(found, np.nan, dtype)
    assert backend.compress(x, scale, again, indices, values) == found == np.count_nonzero(x)
    cmp.assert_same_bits([starts], [again])
    return c.SparseRows(again, indices, values, x.shape[1])


@kc.pairs("dtype", "inputs")
def test_compress_keeps_every_value_that_is_not_zero(backend: Any, inputs: str, dtype: str) -> None:
    widths, shares = [1, 2, 15, 16, 17, 31, 33, 64, 65, 784], [0.0, 0.03, 0.2, 0.9, 1.0]
    for width, share, rows in product(widths, shares, [1, 3, 40, 600]):
        assert_compressed(backend, rows, share, width, inputs, dtype)


def assert_compressed(backend: Any, rows: int, share: float, width: int, inputs: str, dtype: str) -> None:
    rng = np.random.default_rng(width)
    x = rng.integers(1, 256, (rows, width)) * (rng.random((rows, width)) < share)
    x = x.astype(np.uint8 if inputs == "bytes" else dtype)
    x[1::4] = 0
    x.flags.writeable = False
    s = compressed(backend, x, dtype, 0.3)  # no scale for floats
    at_rows, columns = np.nonzero(x)
    starts = np.concatenate(([0], np.cumsum((x != 0).sum(1))))
    cmp.assert_same_bits([s.starts, s.indices], [starts, columns.astype(np.int32)])
    np.testing.assert_allclose(
        s.values, kc.as_floats(x, dtype, 0.3)[at_rows, columns], rtol=np.finfo(dtype).eps if inputs == "bytes" else 0
    )


@kc.pairs("backend", "dtype")
def test_compress_keeps_the_smallest_number_and_drops_both_zeros(backend: Any, dtype: str) -> None:
    tiny = np.finfo(dtype).tiny
    x = np.array([[0.0, -0.0, tiny, -tiny] * 5, [-1.0, 0.0, 0.0, 0.0] * 5], dtype)
    assert compressed(backend, x, dtype).starts.tolist() == [0, 10, 15]


@kc.pairs("backend", "dtype", "inputs")
def test_training_on_compressed_rows_equals_dense_training(backend: Any, dtype: str, inputs: str) -> None:
    k = kc.mostly_zero(kc.case((40, 6, 3), rows=30, dtype=dtype, inputs=inputs))
    order = np.random.default_rng(13).permutation(30)
    s = k._replace(x=compressed(backend, k.x, dtype))
    found, expected = (bc.train(backend, each, order, 4, naive.Rule()) for each in (s, k))
    cmp.assert_close(found.params, expected.params, TRAINED[dtype])


@kc.pairs("backend", "dtype", "inputs")
def test_compress_writes_only_within_its_arrays(backend: Any, dtype: str, inputs: str) -> None:
    """Another thread may write to x between counting and writing the entries."""
    k = kc.case((70, 2), "tanh", ("sigmoid", "squared_error"), 9, dtype, inputs)
    room = 100
    indices, values = np.full(room + 50, -7, np.int32), np.full(room + 50, -7, dtype)
    x = np.where(k.x == 0, 1, k.x).astype(k.x.dtype)
    found = backend.compress(x, 1.0, np.empty(10, np.int64), indices[:room], values[:room])
    assert found != room
    assert (indices[room:] == -7).all()
    assert (values[room:] == -7).all()


@kc.pairs("backend", "dtype")
def test_bytes_of_more_than_32768_columns(backend: Any, dtype: str) -> None:
    """A kernel may pack a column and its byte into 32 bits, which is possible for up to 32,768 columns."""
    k = kc.mostly_zero(kc.case((33_000, 3), "tanh", ("sigmoid", "squared_error"), 4, dtype, "bytes"), 0.01)
    expected = naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x))
    cmp.assert_close(bc.predict(backend, k), expected, cmp.AGREEMENT[dtype])
    cmp.assert_close(bc.predict(backend, on_sparse(k)), expected, cmp.AGREEMENT[dtype])
