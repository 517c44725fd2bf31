"""A fit that diverges: the step that the error names, and the parameters afterwards."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import kernel_cases as kc
import numpy as np
import pytest
from conftest import name_of
from trainer_cases import CHUNKS, Recorder, X, Y, bits, make

import fastnet
from fastnet import DivergedError, Network, Trainer
from fastnet.training import chunks as chunks_module


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)


FACTORS: dict[str, Callable[[int], float]] = {
    "the first batch": lambda step: 1e38,
    "the first of an epoch": lambda step: 1e30 if step == 6 else 1.0,
    "mid-epoch": lambda step: 1e30 if step == 10 else 1.0,
    "the last of an epoch": lambda step: 1e30 if step == 12 else 1.0,
    "the parameters": lambda step: (
        1e300 if step == 10 else 1.0
    ),  # the cost is finite, but the update makes parameters infinite
}


@kc.pairs("backend", when=FACTORS, chunks=["huge", "tiny", "threads"])
def test_divergence_names_the_step_and_restores_the_parameters(
    name: str, when: str, chunks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant, value in CHUNKS[chunks].items():
        monkeypatch.setattr(chunks_module, constant, value)
    net = Network([6, 5, 3], activation="relu", output="identity", seed=0)
    armed = [True]

    def factor(step: int) -> float:
        return FACTORS[when](step) if armed else 1.0

    trainer = Trainer(net, optimizer="sgd", learning_rate=0.01, batch_size=8, schedule=factor, seed=0, backend=name)
    with pytest.raises(DivergedError) as caught:
        trainer.fit(X, Y, epochs=5)
    error = caught.value
    at_once = when == "the parameters"
    bad = {"the first batch": 0, "the first of an epoch": 6, "the last of an epoch": 12}.get(when, 10)
    assert error.step == bad + (1 if at_once else 2)  # the cost of the next step shows the bad update
    assert error.epoch == 1 + (error.step - 1) // 7
    assert error.learning_rate == pytest.approx(0.01 * FACTORS[when](error.step - 1))
    for word in (f"epoch {error.epoch}", f"step {error.step}", f"rate {error.learning_rate:g}"):
        assert word in str(error)
    assert "\n" not in str(error)
    assert np.isfinite(net.parameters).all()
    assert np.isfinite(net.cost(X, Y))
    assert trainer.steps == bad  # the bad update does not count
    same = Network([6, 5, 3], activation="relu", output="identity", seed=0)
    again = Trainer(same, optimizer="sgd", learning_rate=0.01, batch_size=8, seed=0, backend=name)
    if bad:
        again.fit(X, Y, epochs=5, callbacks=[Recorder(1, lambda t, p: t.stop() if t.steps == bad else None)])
    assert bits(trainer) == same.parameters.tobytes()
    armed.clear()
    trainer.learning_rate = 0.001
    before = net.cost(X, Y)
    trainer.fit(X, Y, epochs=3)
    assert trainer.evaluate(X, Y).cost < before


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_divergence_restores_the_state_of_the_optimiser(optimizer: str) -> None:
    """Training after a divergence gives the same result as training after a stop at the same update."""
    armed = [True]
    net = Network([6, 5, 3], activation="relu", output="identity", seed=0)

    def schedule(step: int) -> float:
        return 1e30 if armed and step == 10 else 1.0

    trainer = Trainer(net, optimizer=optimizer, learning_rate=0.01, batch_size=8, schedule=schedule, seed=0)
    with pytest.raises(DivergedError):
        trainer.fit(X, Y, epochs=5)
    armed.clear()
    same = Network([6, 5, 3], activation="relu", output="identity", seed=0)
    again = Trainer(same, optimizer=optimizer, learning_rate=0.01, batch_size=8, seed=0)
    again.fit(X, Y, epochs=5, callbacks=[Recorder(1, lambda t, p: t.stop() if t.steps == 10 else None)])
    for one in (trainer, again):
        assert one.steps == 10
        one.partial_fit(X[:16], Y[:16])
    assert bits(trainer) == bits(again)


def test_a_network_that_starts_with_an_infinite_parameter_diverges_at_step_1() -> None:
    trainer = make()
    trainer.network.parameters[0] = np.inf
    with pytest.raises(DivergedError, match="step 1"):
        trainer.fit(X, Y, epochs=1)
    assert trainer.steps == 0


def test_the_error_of_a_divergence_can_be_pickled() -> None:
    error = DivergedError("the cost", epoch=2, step=30, learning_rate=0.5)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert isinstance(twin, DivergedError)
        assert str(twin) == "the cost"
        assert (twin.epoch, twin.step, twin.learning_rate) == (2, 30, 0.5)


def test_parameters_set_by_a_callback_are_not_rolled_back() -> None:
    def spoil(trainer: Trainer, epoch: fastnet.Epoch) -> None:
        trainer.network.parameters[...] = 1e30

    trainer = Trainer(Network([6, 5, 3], activation="relu", output="identity", seed=0), backend="numpy")
    with pytest.raises(DivergedError) as caught:
        trainer.fit(np.ones((50, 6), np.float32), np.ones((50, 3), np.float32), epochs=5, callbacks=[spoil])
    assert caught.value.epoch == 2
    assert (trainer.network.parameters == np.float32(1e30)).all()
