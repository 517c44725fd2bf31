"""A user's backend under a registered name: how it is selected, and which backends are refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastnet
from fastnet import BackendError, Network, Trainer, backends, cli, use_backend
from fastnet.backends import selection
from fastnet.backends.threads import usable_cores
from fastnet.kernels import contract, numpy_backend

X, Y = np.random.default_rng(0).random((20, 4), np.float32), np.arange(20) % 3
FUNCTIONS = ("predict", "predictor", "gradient", "train", "compress")
SETTINGS = ("MAX_THREADS", "COMPRESSION_PAYS")


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_registered", {})
    monkeypatch.delenv("FASTNET_BACKEND", raising=False)


def like_numpy(**changes: Any) -> SimpleNamespace:
    """Return a copy of the NumPy backend that records its calls, with some attributes changed."""
    calls: list[str] = []

    def listed(name: str) -> Any:
        def call(*arguments: Any) -> Any:
            calls.append(name)
            return getattr(numpy_backend, name)(*arguments)

        return call

    members = {name: listed(name) for name in FUNCTIONS} | {name: getattr(numpy_backend, name) for name in SETTINGS}
    return SimpleNamespace(**members | changes, calls=calls)


def chosen(argument: str | None = None) -> tuple[str, str]:
    """Return the backend and reason in a fit's history."""
    history = Trainer(Network([4, 3], seed=0), backend=argument, seed=0).fit(X, Y, epochs=1)
    return history["backend"][0], history["backend_reason"][0]


def test_a_registered_backend_is_selected_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = like_numpy()
    backends.register("mine", mine)
    assert backends.get("mine") is mine
    assert chosen("mine") == ("mine", "named by the argument")
    with use_backend("mine"):
        assert chosen() == ("mine", "named by use_backend")
    monkeypatch.setenv("FASTNET_BACKEND", "mine")
    assert chosen() == ("mine", "named by $FASTNET_BACKEND")
    assert mine.calls.count("train") >= 3


def test_every_call_goes_through_a_registered_backend() -> None:
    mine = like_numpy()
    backends.register("mine", mine)
    trained = []
    for name in ("mine", "numpy"):
        net = Network([4, 5, 3], seed=0)
        Trainer(net, backend=name, seed=0, sparse=True).fit(X, Y, epochs=2, validation_data=(X, Y))
        gradient, outputs = net.gradient(X, Y, backend=name), net.compile(backend=name, x_dtype="float32")(X)
        trained.append([net.parameters, gradient, outputs, net.forward(X, backend=name), net.predict(X, backend=name)])
    assert [a.tobytes() for a in trained[0]] == [a.tobytes() for a in trained[1]]
    assert set(mine.calls) == set(FUNCTIONS)


def test_auto_never_chooses_a_registered_backend() -> None:
    before = chosen()
    backends.register("aaa", like_numpy())
    assert chosen() == chosen("auto") == before
    with use_backend("aaa"):
        assert chosen("auto") == before


def test_a_registered_backend_is_listed_after_fastnet_s(capsys: pytest.CaptureFixture[str]) -> None:
    backends.register("mine", like_numpy(__version__="3.2"))
    backends.register("another", like_numpy())
    found = {info.name: info for info in backends.available()}
    assert list(found) == [*backends.NAMES, "mine", "another"]
    assert found["mine"] == ("mine", True, "3.2", "", "")
    assert found["another"] == ("another", True, "", "", "")
    assert cli.main(["backends"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mine", "3.2", "-"] in lines
    assert ["another", "-", "-"] in lines


def test_the_error_of_an_unknown_name_lists_registered_backends() -> None:
    backends.register("mine", like_numpy())
    with pytest.raises(BackendError, match=r"there are auto, cython, numba, numpy, mine; did you mean 'mine'\?"):
        Trainer(Network([4, 3]), backend="mines")


def test_a_name_is_known_only_where_it_was_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNET_BACKEND", "mine")
    with pytest.raises(BackendError, match=r"\$FASTNET_BACKEND: no backend is called 'mine'"):
        Trainer(Network([4, 3]))


def test_registering_a_name_again_replaces_the_backend() -> None:
    first, second = like_numpy(), like_numpy()
    backends.register("mine", first)
    trainer = Trainer(Network([4, 3]), backend="mine")
    backends.register("mine", second)
    trainer.fit(X, Y, epochs=1)
    assert first.calls == []
    assert "train" in second.calls
    assert [info.name for info in backends.available()].count("mine") == 1


@pytest.mark.parametrize("name", ["auto", *backends.NAMES])
def test_the_names_of_fastnet_s_backends_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is a backend of fastnet: give your backend another name"):
        backends.register(name, like_numpy())
    assert selection._registered == {}


@pytest.mark.parametrize("name", ["", " mine", "my backend", "mine\n", None, 5, b"mine"])
def test_a_name_must_be_a_word(name: Any) -> None:
    with pytest.raises(ValueError, match="the name of a backend must be one word, such as 'mine', not "):
        backends.register(name, like_numpy())


@pytest.mark.parametrize("missing", [*((name,) for name in (*FUNCTIONS, *SETTINGS)), ("gradient", "compress")])
def test_the_error_names_a_missing_member(missing: tuple[str, ...]) -> None:
    backend = like_numpy()
    for name in missing:
        delattr(backend, name)
    with pytest.raises(TypeError, match=f"the backend 'mine' lacks {', '.join(missing)}: fastnet.kernels.contract"):
        backends.register("mine", backend)
    with pytest.raises(BackendError):
        backends.get("mine")


@pytest.mark.parametrize("wrong", [SimpleNamespace(), "my_backend", None, like_numpy])
def test_an_object_that_is_no_backend_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"lacks {', '.join((*FUNCTIONS, *SETTINGS))}: "):
        backends.register("mine", wrong)


@pytest.mark.parametrize(
    ("member", "value", "error", "words"),
    [
        ("train", 3, TypeError, "train of the backend 'mine' must be a function, not 3"),
        ("MAX_THREADS", "many", TypeError, "MAX_THREADS of the backend 'mine' must be a whole number, not 'many'"),
        ("MAX_THREADS", 0, ValueError, "MAX_THREADS of the backend 'mine' must be at least 1, not 0"),
        ("COMPRESSION_PAYS", 1, TypeError, "COMPRESSION_PAYS of the backend 'mine' must be True or False, not 1"),
    ],
)
def test_members_of_the_wrong_type_or_value_are_refused(
    member: str, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        backends.register("mine", like_numpy(**{member: value}))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_with_other_arguments_is_refused(name: str) -> None:
    """A function with wrong arguments was written for another version of the contract."""
    for function in (lambda: 0.0, lambda net, params: 0.0, lambda *arguments, more: 0.0):
        with pytest.raises(TypeError, match=rf"^{name} of the backend 'mine' cannot be called as {name}\([a-z_, ]+\)$"):
            backends.register("mine", like_numpy(**{name: function}))
    assert selection._registered == {}
    backends.register("mine", like_numpy(**{name: getattr(numpy_backend, name)}))


def test_a_class_in_place_of_an_object_is_refused() -> None:
    """A function of the class would get the network as `self`, and the first fit would fail for a missing argument."""

    class Mine:
        MAX_THREADS, COMPRESSION_PAYS = 1, False

        def predict(self, net: Any, params: Any, x: Any, out: Any, work: Any) -> None: ...

        predictor = gradient = train = compress = predict

    with pytest.raises(TypeError, match=r"predict\(net, params, x, out, work\); register an object, Mine\(\)$"):
        backends.register("mine", Mine)


def test_register_requires_the_members_of_the_contract() -> None:
    """`register` requires exactly the members of the protocol."""
    assert {name for name in vars(contract.Backend) if not name.startswith("_")} == set(FUNCTIONS)
    assert set(contract.Backend.__annotations__) == set(SETTINGS)


def test_max_threads_limits_the_team_of_a_registered_backend() -> None:
    backends.register("mine", like_numpy())
    with pytest.raises(ValueError, match=r"threads=2: the mine backend runs on one thread.*threads=1 or 'auto'"):
        Trainer(Network([4, 3]), backend="mine", threads=2)
    n_threads: set[int] = set()

    def train(call: contract.TrainCall) -> float:
        n_threads.add(int(call.team[contract.N_THREADS]))
        return numpy_backend.train(call) if call.worker == 0 else 0.0  # worker 0 does everything

    backends.register("mine", like_numpy(MAX_THREADS=2, train=train))
    Trainer(Network([4, 3]), backend="mine", threads=8).fit(X, Y, epochs=1)
    assert n_threads == {min(2, usable_cores())}


def test_warmup_calls_only_backends_that_compile() -> None:
    """A backend with `warm_up` compiles on first use, so `warmup` calls its functions with a network of one weight."""
    plain, compiling = like_numpy(), like_numpy(warm_up=lambda dtype, x_dtype: None)
    for backend in (plain, compiling):
        backends.register("mine", backend)
        assert fastnet.warmup("mine") >= 0
    assert plain.calls == []
    assert {"predict", "predictor", "train", "compress"} <= set(compiling.calls)


def test_an_error_of_a_registered_backend_reaches_the_user() -> None:
    def train(call: contract.TrainCall) -> float:
        raise NotImplementedError("no dropout here")

    backends.register("mine", like_numpy(train=train))
    with pytest.raises(NotImplementedError, match="no dropout here"):
        Trainer(Network([4, 3]), backend="mine").fit(X, Y, epochs=1)


def test_objects_and_modules_can_be_registered() -> None:
    class Backend:
        MAX_THREADS, COMPRESSION_PAYS = 1, False

        def __getattr__(self, name: str) -> Any:
            return getattr(numpy_backend, name)

    backends.register("object", Backend())
    backends.register("module", numpy_backend)
    assert chosen("object")[0] == "object"
    assert chosen("module")[0] == "module"
