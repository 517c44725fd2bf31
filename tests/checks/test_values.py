"""Generators, schedules, optimisers and callbacks of the user that change during a fit or return unusable values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from conftest import name_of

from fastnet import Adam, Callback, Network, Trainer
from fastnet.kernels import contract as c
from fastnet.training.optimizers import GradientDescent
from fastnet.training.schedules import Exponential, Schedule, Step

X = np.random.default_rng(0).random((40, 4), np.float32)
Y = np.arange(40) % 3


def trained(backend: Any, **arguments: Any) -> bytes:
    net = Network([4, 5, 3], seed=1)
    callbacks = arguments.pop("callbacks", [])
    Trainer(net, **{"backend": name_of(backend), "batch_size": 4, "seed": 7} | arguments).fit(
        X, Y, epochs=2, callbacks=callbacks
    )
    return net.parameters.tobytes()


def test_a_wild_generator_trains_like_a_plain_one(backend: Any) -> None:
    class Wild(np.random.Generator):
        def permutation(self, *arguments: Any, **more: Any) -> Any:
            return np.full(40, 1 << 40)

    assert trained(backend, seed=Wild(np.random.PCG64(7))) == trained(backend, seed=7)


def test_factors_changed_during_a_fit_have_no_effect(backend: Any) -> None:
    class Kept(Schedule):
        def factors(self, *arguments: Any) -> Any:
            return kept

    class Changes(Callback):
        every = 1

        def on_batches(self, trainer: Trainer, progress: Any) -> None:
            kept.fill(1000)

    kept = np.ones(10)
    net = Network([4, 5, 3], seed=1)
    trainer = Trainer(net, learning_rate=0.1, schedule=Kept(), backend=name_of(backend), batch_size=4, seed=7)
    trainer.fit(X, Y, epochs=1, callbacks=[Changes()])
    assert kept[0] == 1000
    assert trainer.history["learning_rate"] == [0.1]


def test_an_optimiser_is_what_its_numbers_say() -> None:
    """A subclass of GradientDescent returns Adam's kind, so the trainer must allocate Adam's rows of state."""

    class Turns(GradientDescent):
        def numbers(self) -> dict[int, float]:
            return {**Adam().numbers(), c.KIND: c.ADAM}

    for backend in ("numpy", "cython"):
        net = Network([4, 5, 3], seed=1)
        twin = net.copy()
        Trainer(net, optimizer=Turns(), learning_rate=0.01, backend=backend, seed=7).fit(X, Y, epochs=1)
        Trainer(twin, optimizer="adam", learning_rate=0.01, backend=backend, seed=7).fit(X, Y, epochs=1)
        assert net.parameters.tobytes() == twin.parameters.tobytes()

    class Unknown(GradientDescent):
        def numbers(self) -> dict[int, float]:
            return {c.KIND: 1.5}

    with pytest.raises(ValueError, match=r"^the kind of .*Unknown\(\) is 1\.5; expected one of \[0, 1, 2\]$"):
        Trainer(Network([4, 3]), optimizer=Unknown())


@pytest.mark.parametrize("every", [0, -3, 1.5, "2"])
def test_an_interval_set_during_a_fit_is_checked(every: Any) -> None:
    class Changes(Callback):
        every: Any = 1

        def on_batches(self, trainer: Trainer, progress: Any) -> None:
            self.every = every

    with pytest.raises((ValueError, TypeError), match=r"^every must be (at least 1|a whole number)"):
        Trainer(Network([4, 3]), backend="numpy", batch_size=4).fit(X, Y, epochs=1, callbacks=[Changes()])


# -- learning rates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"learning_rate": 1e308, "schedule": lambda step: 10.0 if step == 3 else 1e-308},
            "the learning rate of 1e+308 times the schedule's factor of 10 at step 3 is beyond float64: use a smaller",
        ),
        ({"schedule": lambda step: float("nan")}, "the schedule gave nan at step 0; expected a finite factor"),
        (
            {"schedule": lambda step: float("inf") if step else 1.0},
            "the schedule gave inf at step 1; expected a finite",
        ),
        ({"schedule": lambda step: -1.0}, "the schedule gave -1.0 at step 0; expected a finite factor, 0 or more"),
        ({"schedule": lambda step: None}, "the schedule gave None at step 0; expected a finite factor"),
        ({"schedule": lambda step: "fast"}, "the schedule gave 'fast' at step 0; expected a finite factor"),
        ({"schedule": lambda step: 10**400}, f"the schedule gave {10**79} at step 0; expected a finite factor"),
        ({"schedule": Exponential(1e200)}, "the schedule gave inf at step 16; expected a finite factor"),
        ({"schedule": Step(every=1, factor=1e200)}, "the schedule gave inf at step 20; expected a finite factor"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_impossible_rates_are_refused(arguments: dict[str, Any], words: str) -> None:
    net = Network([4, 3], dtype="float64", seed=0)
    trainer = Trainer(net, **{"backend": "numpy", "batch_size": 4, "learning_rate": 0.0} | arguments)
    with pytest.raises(ValueError, match=re.escape(words)):
        trainer.fit(X, Y, epochs=5)


@pytest.mark.parametrize(
    "given",
    [
        None,
        "fast",
        [[1.0], [1.0, 2.0]],
        np.ones((10, 1)),
        np.ones(9),
        np.full(10, 1j),
        np.full(10, np.longdouble("1e400")),
    ],
)
def test_factors_that_are_not_numbers_are_refused(given: Any) -> None:
    class Own(Schedule):
        def factors(self, *arguments: Any) -> Any:
            return given

    with pytest.raises(ValueError, match=r"^the schedule gave "):
        Trainer(Network([4, 3]), schedule=Own(), backend="numpy", batch_size=4).fit(X, Y, epochs=1)
