"""The kernel contract: a predictor gives the results of `predict` and has its own copy of the parameters."""

from __future__ import annotations

import contextlib
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import numpy as np

from fastnet.kernels import contract as c

SIZES = [(1, 1), (5, 3, 2), (784, 16, 16, 10), (33, 130, 70, 1)]


def made(backend: Any, k: kc.Case, most: int) -> Any:
    return backend.predictor(k.net, k.params, most, k.x.dtype, bc.workspace(k, most))


def call(predictor: Any, k: kc.Case) -> kc.Array:
    """Write the outputs into the middle of a larger array. Check that the rest of the array does not change."""
    n_out = k.naive.sizes[-1]
    room = np.full((len(k.x) + 4, n_out), 7, k.params.dtype)
    k.x.flags.writeable = False
    predictor(k.x, room[2:-2])
    assert (room[:2] == 7).all()
    assert (room[-2:] == 7).all()
    return room[2:-2].copy()


def assert_predicted(found: kc.Array, k: kc.Case, expected: kc.Array) -> None:
    """Compare with the result of `predict`, to the bit for many rows. `predict` adds few rows in another order."""
    cmp.assert_close(found, expected, {"float32": 2e-6, "float64": 3e-14}[k.params.dtype.name])
    if len(k.x) > c.FEW_ROWS:
        cmp.assert_same_bits([found], [expected])


@kc.pairs("backend", "dtype", "inputs", sizes=SIZES, rows=[1, 2, 7, 64, 300])
def test_a_predictor_equals_predict(backend: Any, rows: int, sizes: tuple[int, ...], dtype: str, inputs: str) -> None:
    k = kc.case(sizes, "relu", rows=rows, dtype=dtype, inputs=inputs, byte_scale=0.003)
    expected = bc.predict(backend, k)
    predictor = made(backend, k, rows)
    for _ in range(3):
        assert_predicted(call(predictor, k), k, expected)


@kc.pairs("backend", "dtype", "inputs")
def test_a_predictor_takes_any_number_of_rows(backend: Any, dtype: str, inputs: str) -> None:
    k = kc.case((40, 17, 5), "tanh", ("softmax", "cross_entropy"), 500, dtype, inputs)
    predictor = made(backend, k, 500)
    for first, rows in ((0, 500), (3, 1), (9, 256), (9, 257), (4, 1), (100, 17), (0, 500), (7, 2)):
        part = k._replace(x=k.x[first : first + rows].copy())
        assert_predicted(call(predictor, part), part, bc.predict(backend, part))


@kc.pairs("backend", "dtype", "inputs", most=[1, 3, 64, 257])
def test_more_rows_than_max_batch_are_predicted_in_parts(backend: Any, most: int, dtype: str, inputs: str) -> None:
    k = kc.case((40, 17, 5), "tanh", ("softmax", "cross_entropy"), 600, dtype, inputs)
    predictor = made(backend, k, most)
    for _ in range(2):
        cmp.assert_close(call(predictor, k), bc.predict(backend, k), {"float32": 2e-6, "float64": 3e-14}[dtype])


@kc.pairs("backend", "dtype", "inputs")
def test_a_predictor_keeps_the_parameters_it_was_made_with(backend: Any, dtype: str, inputs: str) -> None:
    """Each predictor also has its own workspace, so a call does not affect another predictor."""
    k = kc.case((12, 6, 3), rows=5, dtype=dtype, inputs=inputs)
    expected = bc.predict(backend, k)
    params = k.params.copy()
    predictor = made(backend, k._replace(params=params), 5)
    params += 1
    other = kc.case((12, 6, 3), rows=5, dtype=dtype, inputs=inputs, seed=1)
    another = made(backend, other, 5)
    for _ in range(2):
        assert_predicted(call(predictor, k), k, expected)
        assert_predicted(call(another, other), other, bc.predict(backend, other))
        bc.gradient(backend, other)


@kc.pairs("backend", "dtype")
def test_the_arrays_a_predictor_was_made_from_may_be_freed(backend: Any, dtype: str) -> None:
    k = kc.case((12, 6, 3), rows=5, dtype=dtype)
    expected = bc.predict(backend, k)
    predictor = made(backend, k._replace(params=k.params.copy(), net=k.net.copy()), 5)
    rubbish = [c.aligned_empty(size, dtype) for size in range(50, 3000, 50)]
    for array in rubbish:
        array.fill(np.nan)
    assert_predicted(call(predictor, k), k, expected)


@kc.pairs("backend", "dtype")
def test_a_changed_shape_of_x_reads_no_more_bytes(backend: Any, dtype: str) -> None:
    """Another thread may set x.shape after the check. The kernel then computes the rows from the bytes, or refuses."""
    k = kc.case((20, 3), "relu", rows=2, dtype=dtype)
    predictor = made(backend, k, 300)
    expected, out = call(predictor, k), np.full((302, 3), 7, dtype)
    with contextlib.suppress(ValueError):  # the NumPy backend refuses the call
        predictor(k.x.reshape(40, 1), out[:2])
        assert np.array_equal(out[:2], expected)
    assert (out[2:] == 7).all()
