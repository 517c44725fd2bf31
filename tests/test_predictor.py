"""The Predictor that Network.compile returns: its results, the argument `out`, and compilation in advance."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from typing import Any

import comparisons as cmp
import kernel_cases as kc
import numpy as np
import pytest
from conftest import name_of

import fastnet
from fastnet import Network, Predictor, checks
from fastnet.backends import selection, threads
from fastnet.errors import BackendError
from fastnet.kernels import contract as c

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (90, 7)).astype(np.uint8)
FLOATS = (BYTES / 255).astype(np.float32)
HEADS: list[dict[str, Any]] = [
    {"output": "softmax", "cost": "cross_entropy"},
    {"output": "sigmoid"},
    {"output": "identity"},
]


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)


def network(n_out: int = 3, **arguments: Any) -> Network:
    return Network([7, 5, n_out], **{"activation": "tanh", "init": "normal", "seed": 0} | arguments)


# -- results equal Network.forward and predict -------------------------------------------------------------------------


@kc.pairs("backend", "dtype", "inputs", head=HEADS, n_out=[3, 1])
def test_a_predictor_equals_the_network(name: str, n_out: int, head: dict[str, Any], dtype: str, inputs: str) -> None:
    n_out = 3 if head["output"] == "softmax" else n_out  # softmax needs two outputs
    net, x = network(n_out, dtype=dtype, **head), BYTES if inputs == "bytes" else FLOATS
    predictor = net.compile(backend=name, max_batch=32)
    assert isinstance(predictor, Predictor)
    for n in (32, 1, 17, 32, 2):
        given = x[:n]
        outputs, result = net.forward(given, backend=name), net.predict(given, backend=name)
        cmp.assert_same_bits([predictor(given)], [predictor.forward(given)])
        cmp.assert_close(predictor(given), outputs, cmp.TOLERANCE[dtype])
        cmp.assert_close(predictor.predict(given), result, cmp.TOLERANCE[dtype])
        if n > c.FEW_ROWS:  # the network adds few rows in another order
            cmp.assert_same_bits([predictor(given), predictor.predict(given)], [outputs, result])
    cmp.assert_close(predictor(x), net.forward(x, backend=name), 1e-6)  # 90 rows, in parts of 32
    np.testing.assert_array_equal(predictor.predict(x).round(4), net.predict(x, backend=name).round(4))


def test_out_is_filled_and_returned(name: str) -> None:
    net = network()
    predictor = net.compile(backend=name, max_batch=16)
    for x in (FLOATS, FLOATS[:16], BYTES[:16], BYTES, FLOATS.astype(np.float64), FLOATS[::2], FLOATS[:3].tolist()):
        out, labels = np.empty((len(x), 3), np.float32), np.empty(len(x), np.int64)
        for call in (predictor, predictor.forward, net.forward):
            out.fill(np.nan)
            assert call(x, out=out) is out
            cmp.assert_close(out, net.forward(x, backend=name), 1e-6)
        for call in (predictor.predict, net.predict):
            labels.fill(-1)
            assert call(x, out=labels) is labels
            np.testing.assert_array_equal(labels, net.predict(x, backend=name))
    regression = network(output="identity")
    out = np.empty((90, 3), np.float32)
    assert regression.predict(FLOATS, out=out) is out
    assert regression.compile(backend=name).predict(FLOATS, out=out) is out


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_one_example_without_a_batch_axis(name: str, dtype: Any) -> None:
    net = network()
    predictor = net.compile(backend=name)
    x = BYTES[5] if dtype == np.uint8 else FLOATS[5].astype(dtype)
    for given in (x, x, np.repeat(x, 2)[::2], x.tolist() if dtype != np.uint8 else x):
        outputs = predictor(given)
        assert outputs.shape == (3,)
        cmp.assert_close(outputs, net.forward(x[None], backend=name)[0], 1e-6)
        label = predictor.predict(given)
        assert isinstance(label, np.int64)
        assert label == net.predict(x[None], backend=name)[0]
        out, number = np.empty(3, np.float32), np.empty((), np.int64)
        assert predictor(given, out) is out
        assert predictor.predict(given, number) is number
        cmp.assert_same_bits([out, number], [outputs, label])


def test_labels_differ_where_outputs_have_rounded_to_one(name: str) -> None:
    net = network(output="sigmoid")
    net.biases[-1][:] = [100, 300, 200]
    net.weights[-1][...] = 0
    predictor = net.compile(backend=name, max_batch=90)
    assert set(predictor(FLOATS).flat) == {1.0}
    assert set(predictor.predict(FLOATS)) == {1}


@pytest.mark.parametrize("x_dtype", [None, "uint8", "float32", np.float64])
def test_a_predictor_keeps_its_parameters_until_refresh(name: str, x_dtype: Any) -> None:
    net = network()
    predictor = net.compile(backend=name, max_batch=90, x_dtype=x_dtype)
    before = {id(x): net.forward(x, backend=name) for x in (BYTES, FLOATS)}
    labels = net.predict(FLOATS, backend=name)
    net.parameters[...] *= -2
    for x in (BYTES, FLOATS, BYTES):
        cmp.assert_same_bits([predictor(x)], [before[id(x)]])
    np.testing.assert_array_equal(predictor.predict(FLOATS), labels)
    predictor.refresh()
    for x in (BYTES, FLOATS):
        cmp.assert_same_bits([predictor(x)], [net.forward(x, backend=name)])
    np.testing.assert_array_equal(predictor.predict(FLOATS), net.predict(FLOATS, backend=name))


def test_inputs_that_fit_go_straight_to_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """`checks.lazy_inputs` is replaced by a function that fails. Only inputs that do not fit reach this function."""
    predictor = network().compile(backend="numpy", max_batch=90)
    predictor(FLOATS), predictor(BYTES)

    def fail(*arguments: Any, **more: Any) -> None:
        raise AssertionError("this is the slow way")

    monkeypatch.setattr(checks, "lazy_inputs", fail)
    out = np.empty((90, 3), np.float32)
    predictor(FLOATS, out), predictor(FLOATS), predictor(BYTES, out), predictor(BYTES[4]), predictor(BYTES[:4], out[:4])
    nan = FLOATS.copy()
    nan[3, 3] = np.nan
    assert np.isnan(predictor(nan)[3]).all()
    for slow in (FLOATS.astype(np.float64), FLOATS.T.copy().T, FLOATS[::2], np.tile(FLOATS, (2, 1))):
        with pytest.raises(AssertionError, match="the slow way"):
            predictor(slow)


@pytest.mark.parametrize("dtype", kc.DTYPES)
def test_every_call_tests_the_same_inputs_for_nan(name: str, dtype: str) -> None:
    """A C-contiguous array of the network's dtype is never tested for NaN. Any other input is always tested."""
    net = network(dtype=dtype)
    nan = FLOATS[:6].astype(dtype)
    nan[3, 3] = np.nan
    other = nan.astype("float64" if dtype == "float32" else "float32")
    swapped = nan.astype(nan.dtype.newbyteorder())
    for x in (nan, nan[3], nan[2:4]):
        for max_batch in (1, 4, 6):
            predictor = net.compile(backend=name, max_batch=max_batch)
            for _ in range(3):
                assert np.isnan(predictor(x)).any()
                predictor.predict(x)
            predictor.refresh()
            assert np.isnan(predictor(x)).any()
    for x in (
        other,
        swapped,
        nan.T.copy().T,
        np.repeat(nan, 2, axis=1)[:, ::2],
        nan.tolist(),
        other[3],
        nan[3].tolist(),
    ):
        predictor = net.compile(backend=name, max_batch=6)
        for _ in range(3):
            for call in (predictor, predictor.predict):
                with pytest.raises(ValueError, match=r"^x\[[03], 3\] is nan"):
                    call(x)
            predictor(np.nan_to_num(nan))
            predictor(BYTES[:6])


@pytest.mark.parametrize("wanted", [2, 3])
def test_threads_share_the_parts(wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(selection._MODULES, "numpy", "fake_team")
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    net = network()
    predictor = net.compile(backend="numpy", max_batch=8, threads=wanted)
    for x in (FLOATS, BYTES, FLOATS[:9], FLOATS[:8]):
        cmp.assert_close(predictor(x), net.forward(x), 1e-6)
        np.testing.assert_array_equal(predictor.predict(x), net.predict(x))


# -- refused arguments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "out",
    [
        np.empty((4, 3)),
        np.empty((4, 3), np.float16),
        np.empty((3, 3), np.float32),
        np.empty((4, 4), np.float32),
        np.empty(12, np.float32),
        np.empty((3, 4), np.float32).T,
        np.empty((4, 6), np.float32)[:, ::2],
        np.empty((4, 3), ">f4"),
        np.frombuffer(bytes(48), np.float32).reshape(4, 3),
        np.frombuffer(bytearray(49), np.float32, 12, 1).reshape(4, 3),
        [[0.0] * 3] * 4,
        "out",
    ],
)
def test_an_unusable_out_is_refused(out: Any) -> None:
    net = network()
    quick = net.compile(backend="numpy", max_batch=4)
    quick(FLOATS[:4])
    for call in (net.forward, quick, quick.forward, net.compile(backend="numpy")):
        for _ in range(2):
            with pytest.raises(ValueError, match=r"^out must be"):
                call(FLOATS[:4], out=out)
    for labels in (net.predict, quick.predict):
        with pytest.raises(ValueError, match=r"^out must be an array of shape \(4,\) and dtype int64"):
            labels(FLOATS[:4], out=out)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (FLOATS[:, :6], "x has shape (90, 6) takes 7"),
        (FLOATS[0, :6], "x has shape (1, 6) takes 7"),
        (FLOATS[:0], "x is empty"),
        (np.float32(3), "x has shape ()"),
        (np.ones((3, 7), complex), "complex128 numbers"),
        (np.full((3, 7), np.nan), "x[0, 0] is nan"),
        (None, "x"),
    ],
)
def test_unusable_inputs_are_refused(x: Any, words: str) -> None:
    predictor = network().compile(backend="numpy", max_batch=90)
    for call in (predictor, predictor.predict):
        with pytest.raises(ValueError, match="x") as caught:
            call(x)
        assert [word for word in words.split() if word not in str(caught.value)] == [], caught.value


@pytest.mark.parametrize("other", [None, FLOATS, fastnet.Network])
def test_what_is_no_network_is_refused(other: Any) -> None:
    with pytest.raises(TypeError, match=r"^network must be a fastnet\.Network, not (None|array|the class Network)"):
        Predictor(other)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_batch": 0}, "max_batch"),
        ({"max_batch": 1.5}, "max_batch"),
        ({"threads": 0}, "threads"),
        ({"threads": 2}, "threads=2.*numpy"),
        ({"x_dtype": "complex64"}, "such as uint8 or float32"),
        ({"x_dtype": "nonsense"}, "such as uint8 or float32"),
        ({"backend": "nmpy"}, "nmpy"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError, BackendError), match=words):
        network().compile(**{"backend": "numpy"} | arguments)


def test_a_predictor_cannot_be_pickled_or_copied() -> None:
    predictor = network().compile(backend="numpy")
    for twin in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickle the network"):
            twin(predictor)
    assert "7-5-3" in repr(predictor)


# -- warmup ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", kc.DTYPES)
def test_warmup_returns_its_seconds(name: str, dtype: str) -> None:
    first = fastnet.warmup(name, dtype=dtype, x_dtypes=["uint8", "float64"])
    again = fastnet.warmup(name, dtype=dtype, x_dtypes=["uint8", "float64"])
    assert isinstance(first, float)
    assert 0 <= again < 1
    if name != "numba":
        assert first < 1


def test_after_warmup_nothing_is_left_to_compile(name: str) -> None:
    if name != "numba":
        pytest.skip("only Numba compiles on first use")
    from fastnet.kernels import numba_backend

    fastnet.warmup("numba")
    before = len(numba_backend._run.signatures)
    net = network()
    trainer = fastnet.Trainer(net, backend="numba")
    for x in (BYTES, FLOATS):
        trainer.fit(x, np.arange(90) % 3, epochs=1, validation_data=(x, np.arange(90) % 3))
        net.predict(x, backend="numba")
        net.compile(backend="numba")(x)
    assert len(numba_backend._run.signatures) == before


@pytest.mark.parametrize(
    "arguments", [{"dtype": "float16"}, {"dtype": None}, {"x_dtypes": ["complex64"]}, {"backend": "nmba"}]
)
def test_warmup_refuses_unusable_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, BackendError)):
        fastnet.warmup(**arguments)


def test_two_threads_in_one_predictor_are_refused(name: str) -> None:
    """While one thread is in the kernel, a call from another thread raises, because both would use one workspace."""
    predictor = Network([7, 3], seed=0).compile(backend=name)
    entered, leave, inner = threading.Event(), threading.Event(), predictor._outputs

    def slow(x: Any, out: Any) -> None:
        entered.set()
        assert leave.wait(20)

    predictor(FLOATS[0])
    inner._ready[np.dtype(np.float32)] = slow
    thread = threading.Thread(target=predictor, args=(FLOATS[0],))
    thread.start()
    assert entered.wait(20)
    try:
        with pytest.raises(RuntimeError, match="one for each thread"):
            predictor(FLOATS[1])
    finally:
        leave.set()
        thread.join()
    inner.forget()
    np.testing.assert_array_equal(predictor(FLOATS[1]), predictor.forward(FLOATS[1]))


def test_a_masked_example_is_refused_like_masked_rows(name: str) -> None:
    predictor = Network([7, 3], seed=0).compile(backend=name)
    masked = np.ma.masked_array(FLOATS[0], FLOATS[0] > 0.5)
    for x in (masked, masked[None]):
        with pytest.raises(ValueError, match="masked"):
            predictor(x)


def test_a_call_keeps_no_reference_to_its_arrays(name: str) -> None:
    predictor = Network([7, 3], seed=0).compile(backend=name, max_batch=4)
    x, out = FLOATS[:4].copy(), np.empty((4, 3), np.float32)
    counts = sys.getrefcount(x), sys.getrefcount(out)
    for _ in range(3):
        predictor(x, out)
    assert (sys.getrefcount(x), sys.getrefcount(out)) == counts
    x.resize((2, 7), refcheck=False)  # NumPy refuses to resize while a buffer is exported
