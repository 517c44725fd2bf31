"""The selection of a backend, errors of missing backends, builds per instruction set, specialisations and forks."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import backend_calls as bc
import numpy as np
import pytest
from conftest import load_backend, name_of, python

import fastnet
from fastnet import BackendError, Network, Trainer, backends, use_backend
from fastnet.kernels import contract, cython_dispatch

TESTS = str(Path(__file__).parents[1])
X, Y = np.random.default_rng(0).random((20, 4), np.float32), np.arange(20) % 3


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTNET_BACKEND", raising=False)


def chosen(argument: str | None = None) -> tuple[str, str]:
    """Return the backend and reason in a fit's history."""
    history = Trainer(Network([4, 3], seed=0), backend=argument, seed=0).fit(X, Y, epochs=1)
    return history["backend"][0], history["backend_reason"][0]


# -- argument, context, environment ------------------------------------------------------------------------------


def test_auto_takes_the_fastest_available_backend() -> None:
    best = next(info.name for info in backends.available() if info.available)
    assert chosen() == chosen("auto")
    assert chosen()[0] == best
    assert chosen()[1].startswith("auto: ")


def test_argument_beats_context_beats_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    best = chosen()[0]
    monkeypatch.setenv("FASTNET_BACKEND", "numpy")
    assert chosen() == ("numpy", "named by $FASTNET_BACKEND")
    assert chosen("auto")[0] == best  # the argument "auto" overrides context and environment
    with use_backend("auto"):
        assert chosen()[0] == best
    with use_backend("numpy"):
        assert chosen() == ("numpy", "named by use_backend")
        assert chosen("auto")[0] == best
    assert chosen("numpy") == ("numpy", "named by the argument")
    monkeypatch.setenv("FASTNET_BACKEND", "auto")
    assert chosen()[0] == best
    monkeypatch.setenv("FASTNET_BACKEND", "")
    assert chosen()[0] == best


def test_every_backend_can_be_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(name) == (name, "named by the argument")
    with use_backend(name):
        assert chosen() == (name, "named by use_backend")
        assert chosen("numpy")[0] == "numpy"
        with use_backend("numpy"):
            assert chosen()[0] == "numpy"
        assert chosen()[0] == name
    monkeypatch.setenv("FASTNET_BACKEND", name)
    assert chosen() == (name, "named by $FASTNET_BACKEND")


def test_an_error_inside_use_backend_ends_its_effect() -> None:
    before = backends.resolve()
    with pytest.raises(LookupError), use_backend("numpy"), use_backend("auto"):
        raise LookupError
    assert backends.resolve() == before


def test_use_backend_holds_for_its_own_thread_only() -> None:
    found: list[str] = []
    with use_backend("numpy"):
        thread = threading.Thread(target=lambda: found.append(backends.resolve().reason))
        thread.start()
        thread.join()
    assert found[0].startswith("auto")


def test_the_methods_of_a_network_take_a_backend() -> None:
    net = Network([4, 3], seed=0)
    for call in (net.forward, net.predict, net.activations):
        with pytest.raises(BackendError, match="numpie"):
            call(X, backend="numpie")
    for call in (net.cost, net.accuracy, net.evaluate, net.gradient):
        with pytest.raises(BackendError, match="numpie"):
            call(X, Y, backend="numpie")


@pytest.mark.parametrize(("wrong", "right"), [("numbers", "numba"), ("cpython", "cython"), ("Numpy", "numpy")])
def test_the_error_of_an_unknown_name_lists_the_backends(
    wrong: str, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(where: str, call: Any) -> None:
        with pytest.raises(BackendError) as caught:
            call()
        message = str(caught.value)
        assert message.startswith(where)
        assert f"did you mean '{right}'" in message
        assert "auto, cython, numba, numpy" in message

    refused("backend", lambda: Trainer(Network([4, 3]), backend=wrong))
    refused("use_backend", lambda: use_backend(wrong).__enter__())
    monkeypatch.setenv("FASTNET_BACKEND", wrong)
    refused("$FASTNET_BACKEND", lambda: Trainer(Network([4, 3])))


@pytest.mark.parametrize("wrong", [None, 5, "", "auto"])
def test_get_requires_the_name_of_a_backend(wrong: Any) -> None:
    words = "no backend is called" if isinstance(wrong, str) else "give a backend's name, cython, .*, not (None|5)$"
    with pytest.raises(BackendError, match=f"^backend: {words}"):
        backends.get(wrong)


def test_use_backend_requires_a_name() -> None:
    with pytest.raises(BackendError, match=r"^use_backend: give a backend's name, auto, .*, not None$"):
        use_backend(None).__enter__()  # type: ignore[arg-type]  # the refused argument


# -- missing backends --------------------------------------------------------------------------------------------


@pytest.fixture
def without_cython(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cython_dispatch, "find_spec", lambda name: None)
    cython_dispatch.module.cache_clear()
    yield
    cython_dispatch.module.cache_clear()


def test_a_missing_cython_backend_says_how_to_get_it(without_cython: None) -> None:
    for call in (lambda: chosen("cython"), lambda: backends.get("cython"), lambda: use_backend("cython").__enter__()):
        with pytest.raises(BackendError) as caught:
            call()
        assert "C compiler" in str(caught.value)
        assert "python -m pip install" in str(caught.value)
        assert "\n" not in str(caught.value)
    info = {info.name: info for info in backends.available()}["cython"]
    assert not info.available
    assert "pip install" in info.problem
    name, reason = chosen()
    assert name in ("numba", "numpy")
    assert reason.startswith("auto: ")
    assert "cython" in reason
    assert "missing" in reason


WITHOUT = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED or any(name.startswith(f"fastnet.kernels.{b}") for b in BLOCKED):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
import numpy as np, fastnet
def history(backend):
    return fastnet.Trainer(fastnet.Network([4, 3]), backend=backend).fit(np.ones((5, 4)), np.zeros(5, int), epochs=1)
try:
    history("numba")
except fastnet.BackendError as error:
    print(error)
h = history(None)
print(h["backend"][0], "|", h["backend_reason"][0])
print([info.name for info in fastnet.backends.available() if info.available])
"""


@pytest.mark.parametrize("blocked", [("numba",), ("llvmlite",), ("numba", "cython_dispatch")])
def test_a_missing_numba_says_how_to_get_it(blocked: tuple[str, ...]) -> None:
    message, choice, there = python(f"BLOCKED = {blocked}\n" + WITHOUT).splitlines()
    assert 'python -m pip install "fastnet-mlp[numba]"' in message
    if "cython_dispatch" in blocked:
        assert choice == "numpy | auto: cython and numba missing"
        assert there == "['numpy']"
    else:
        assert "numba" not in there
        assert choice in (
            "cython | auto: the first of cython, numba, numpy that works here",
            "numpy | auto: cython and numba missing",
        )


def test_available_describes_each_backend() -> None:
    found = backends.available()
    assert [info.name for info in found] == ["cython", "numba", "numpy"]
    for info in found:
        assert bool(info.problem) != info.available
        assert bool(info.version) == bool(info.instruction_set) == info.available
    assert found[2].version == np.__version__
    if found[0].available:
        assert found[0].version == fastnet.__version__


# -- builds for an instruction set ---------------------------------------------------------------------------------

ORACLE = """
import itertools, sys
sys.path.insert(0, TESTS)
import numpy as np
import backend_calls as bc, comparisons as cmp, kernel_cases as kc, naive
from fastnet import backends
from fastnet.kernels import cython_dispatch
for dtype, tolerance in (("float32", 5e-6), ("float64", 1e-13)):
    backend = cython_dispatch.module(dtype)
    assert backend.__name__ == f"fastnet.kernels._cython_{ISA}_{dtype}", backend.__name__
    for inputs, n_in in itertools.product(kc.INPUTS, (19, 79)):
        for hidden, output in (("tanh", ("softmax", "cross_entropy")), ("relu", ("sigmoid", "squared_error"))):
            k = kc.case((n_in, 33, 5, 3), hidden, output, 9, dtype, inputs, "labels")
            if n_in == 79:  # enough inputs for the kernels to skip zeros
                k = kc.mostly_zero(k, 0.2)
            outputs = naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x))
            cmp.assert_close(bc.predict(backend, k), outputs, tolerance)
            cost, grad = cmp.naive_gradient(k)
            cmp.assert_close(bc.gradient(backend, k)[0], cost, tolerance)
            cmp.assert_close(bc.gradient(backend, k)[1], grad, tolerance)
            params, is_weight = k.params.tolist(), k.naive.is_weight()
            rule, state = kc.RULES["adam"], [[0.0] * len(params), [0.0] * len(params)]
            for step in (1, 2):
                now = k._replace(params=np.array(params))
                naive.update(rule, params, state, cmp.naive_gradient(now)[1], is_weight, 0.1, step)
            twice = bc.train(backend, k, np.tile(np.arange(9), 2), 9, rule, np.full(2, 0.1))
            cmp.assert_close(twice.params, params, 20 * tolerance)
print(cython_dispatch.instruction_set())
"""


@pytest.mark.parametrize("isa", list(cython_dispatch.LEVELS))
def test_each_build_equals_the_oracle(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTNET_ISA", raising=False)
    if isa not in cython_dispatch.runnable(cython_dispatch.cpu_features()):
        pytest.skip(f"this CPU does not run {isa}")
    built = [
        cython_dispatch.find_spec(f"fastnet.kernels._cython_{isa}_{dtype}") is not None for dtype in compiled_dtypes()
    ]
    if not all(built):
        wanted = isa != "generic" and os.environ.get("FASTNET_REQUIRE_EXT") == "1"
        assert not wanted, f"FASTNET_REQUIRE_EXT=1, and {isa} was not built for both dtypes"
        pytest.skip(f"{isa} was not built")
    assert python(f"TESTS, ISA = {TESTS!r}, {isa!r}\n" + ORACLE, FASTNET_ISA=isa).strip()


def compiled_dtypes() -> tuple[str, str]:
    return "float32", "float64"


def features(*names: str) -> dict[str, bool]:
    """Return a dict like NumPy's table of CPU features, in which only these features are True."""
    return dict.fromkeys(cython_dispatch.V4, False) | dict.fromkeys(names, True)


@pytest.mark.parametrize(
    ("table", "builds"),
    [
        ({}, ["generic"]),
        (features(), ["generic"]),
        (features(*cython_dispatch.V2), ["x86_v2", "generic"]),
        (features(*cython_dispatch.V3), ["x86_v3", "x86_v2", "generic"]),
        (features(*cython_dispatch.V4), ["x86_v4", "x86_v3", "x86_v2", "generic"]),
        (features(*cython_dispatch.V4) | {"AVX512VL": False}, ["x86_v3", "x86_v2", "generic"]),
        (features(*cython_dispatch.V4) | {"FMA3": False}, ["x86_v2", "generic"]),
        (features(*cython_dispatch.V4) | {"SSE41": False}, ["generic"]),
        ({"X86_V2": True, "X86_V3": True, "X86_V4": False}, ["x86_v3", "x86_v2", "generic"]),
        ({"X86_V2": True, "X86_V3": True, "X86_V4": True}, ["x86_v4", "x86_v3", "x86_v2", "generic"]),
        ({"X86_V3": True}, ["generic"]),  # V3 requires V2, and a feature that is not listed is missing
        ({"NEON": True, "ASIMD": True}, ["generic"]),
    ],
)
def test_only_builds_that_the_cpu_can_run_are_listed(
    table: dict[str, bool], builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTNET_ISA", raising=False)
    assert cython_dispatch.runnable(table) == builds
    for cap in cython_dispatch.LEVELS:
        monkeypatch.setenv("FASTNET_ISA", cap)
        capped = cython_dispatch.runnable(table)
        assert capped == builds[builds.index(cap) :] if cap in builds else set(capped) <= set(builds)


def test_the_module_of_each_dtype_runs_on_this_cpu(compiled: Any) -> None:
    if name_of(compiled) != "cython":
        pytest.skip("only Cython is built per instruction set")
    for dtype in compiled_dtypes():
        name = cython_dispatch.module(dtype).__name__
        assert any(f"_cython_{isa}_{dtype}" in name for isa in cython_dispatch.runnable(cython_dispatch.cpu_features()))


# -- the backends' modules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["predict", "gradient", "train"])
def test_signatures_are_the_protocol_s(backend: Any, function: str) -> None:
    wanted = list(inspect.signature(getattr(contract.Backend, function)).parameters)[1:]
    assert list(inspect.signature(getattr(backend, function)).parameters) == wanted
    if backend is cython_dispatch:
        for dtype in compiled_dtypes():
            assert list(inspect.signature(getattr(cython_dispatch.module(dtype), function)).parameters) == wanted


SPECIALISATIONS = """
import numpy as np, fastnet
from fastnet.kernels import numba_backend
rng = np.random.default_rng(0)
bytes_ = rng.integers(0, 256, (20, 4), np.uint8)
floats = rng.random((20, 4), np.float32)
labels = rng.integers(0, 3, 20)
targets = np.eye(3, dtype=np.float32)[labels]
counts = []
for x in (bytes_, floats):
    for y in (labels, targets):
        for optimizer in ("sgd", "momentum", "nesterov", "adam"):
            for writeable in (True, False):
                x.flags.writeable = y.flags.writeable = writeable
                network = fastnet.Network([4, 3, 3], output="softmax", cost="cross_entropy")
                trainer = fastnet.Trainer(network, optimizer=optimizer, backend="numba", batch_size=6, clip_norm=1)
                trainer.fit(x, y, epochs=2, validation_data=(x, y))
                for call in (network.forward, network.predict, network.activations):
                    call(x, backend="numba")
                network.gradient(x, y, backend="numba")
                trainer.partial_fit(x[3:].astype(x.dtype.newbyteorder()), y[3:])
    counts.append(len(numba_backend._run.signatures))
print(counts)
"""


def test_numba_compiles_once_for_all_inputs() -> None:
    load_backend("numba")
    assert python(SPECIALISATIONS).strip() == "[1, 1]"  # bytes and floats share a specialisation


FIRST_USE = """
import threading
from concurrent.futures import ThreadPoolExecutor
from fastnet.backends import selection
at_once = threading.Barrier(8)
def first(k):
    at_once.wait()
    return hasattr(selection.get(NAME), "COMPRESSION_PAYS")
with ThreadPoolExecutor(8) as pool:
    print(all(pool.map(first, range(8))))
"""


def test_threads_may_use_a_backend_for_the_first_time_together(name: str) -> None:
    """No thread gets a module that another thread has imported only in part."""
    assert python(f"NAME = {name!r}\n" + FIRST_USE).strip() == "True"


FORK = """
import os, time, sys
import numpy as np, fastnet
import fastnet.training.chunks
fastnet.training.chunks.LONG_BATCH = 0
def train():
    network = fastnet.Network([4, 3], seed=0)
    x = np.random.default_rng(0).random((50, 4), np.float32)
    fastnet.Trainer(network, backend=NAME, seed=0).fit(x, np.arange(50) % 3, epochs=5)
    return network.parameters.tobytes()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_can_train(name: str) -> None:
    python(f"NAME = {name!r}\n" + FORK + bc.AND_IN_A_CHILD, "-W", "ignore::DeprecationWarning")
