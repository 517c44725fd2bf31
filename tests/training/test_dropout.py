"""Trainer(dropout=...). tests/kernels/test_contract_dropout.py tests the kernels."""

from __future__ import annotations

from typing import Any

import conftest
import kernel_cases as kc
import numpy as np
import pytest

from fastnet import Network, Trainer
from fastnet.errors import DivergedError
from fastnet.kernels import contract as c
from fastnet.training import chunks

RNG = np.random.default_rng(0)
X = RNG.random((53, 6), np.float32)  # 53 is prime: the last batch is smaller unless the batch size is 1 or 53
Y = RNG.integers(0, 3, 53)


@pytest.fixture(params=kc.BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    conftest.load_backend(request.param)
    return str(request.param)


def make(sizes: tuple[int, ...] = (6, 9, 8, 3), **arguments: Any) -> Trainer:
    net = Network(sizes, activation="tanh", output="softmax", cost="cross_entropy", seed=0)
    return Trainer(
        net, **{"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 8, "backend": "numpy", "seed": 0} | arguments
    )


def bits(trainer: Trainer) -> bytes:
    return trainer.network.parameters.tobytes()


def fitted(epochs: int = 5, **arguments: Any) -> Trainer:
    trainer = make(**arguments)
    trainer.fit(X, Y, epochs=epochs)
    return trainer


def test_training_without_dropout_is_unchanged(name: str) -> None:
    plain = fitted(backend=name)
    for none in (0, 0.0, (0, 0.0), np.zeros(2)):
        zero = fitted(backend=name, dropout=none)
        assert bits(zero) == bits(plain)
        assert zero.history["cost"] == plain.history["cost"]
    dropped = fitted(backend=name, dropout=0.5)
    assert bits(dropped) != bits(plain)
    assert bits(make((6, 3), dropout=0)) == bits(make((6, 3)))  # there is no hidden layer to drop from


def test_a_seed_drops_the_same_neurons_on_every_backend(name: str) -> None:
    one, again, other = (fitted(backend=name, dropout=0.5, seed=seed) for seed in (3, 3, 4))
    assert bits(one) == bits(again) != bits(other)
    reference = fitted(backend="numpy", dropout=0.5, seed=3)
    np.testing.assert_allclose(one.network.parameters, reference.network.parameters, atol=2e-6)
    assert one.history["cost"] == pytest.approx(reference.history["cost"], rel=1e-5)


def test_masks_differ_from_seed_to_seed() -> None:
    """Without shuffling, the seed decides only the masks."""
    one, again, other = (fitted(dropout=0.5, shuffle=False, seed=seed) for seed in (3, 3, 4))
    assert bits(one) == bits(again) != bits(other)


def test_one_share_applies_to_every_hidden_layer() -> None:
    assert bits(fitted(dropout=0.3)) == bits(fitted(dropout=[0.3, 0.3])) == bits(fitted(dropout=np.array(0.3)))
    found = [bits(fitted(dropout=rates)) for rates in ((0.3, 0), (0, 0.3), (0.3, 0.3))]
    assert len(set(found)) == 3


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_3_and_2_epochs_are_5_whatever_the_chunks(name: str, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    once = fitted(backend=name, optimizer=optimizer, dropout=0.5)
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 0)  # one batch per chunk
    monkeypatch.setattr(chunks, "PACKED_SECONDS", 0)
    monkeypatch.setattr(chunks, "FIRST_CHUNK", 0)
    twice = fitted(3, backend=name, optimizer=optimizer, dropout=0.5)
    twice.fit(X, Y, epochs=2)
    assert bits(once) == bits(twice)


def test_a_share_just_below_1_is_accepted() -> None:
    """The share is rounded to the largest share that the kernels can represent, not to 1."""
    trainer = make(dropout=1 - 1e-12, learning_rate=0)
    trainer.fit(X, Y, epochs=1)
    assert np.isfinite(trainer.network.parameters).all()


def test_prediction_drops_nothing(name: str) -> None:
    trainer = make(backend=name, dropout=0.9, learning_rate=0, batch_size=53)
    net = trainer.network
    before = net.forward(X, backend=name), net.gradient(X, Y, backend=name)
    history = trainer.fit(X, Y, epochs=1, validation_data=(X, Y))
    np.testing.assert_array_equal(net.forward(X, backend=name), before[0])
    np.testing.assert_array_equal(net.gradient(X, Y, backend=name), before[1])
    assert not net.layers[:, [c.DROP, c.DROP_KEY]].any()
    assert history["validation_cost"][-1] == pytest.approx(net.cost(X, Y, backend=name), rel=1e-6)
    # The costs in the history are those with dropout.
    assert history["cost"][-1] != pytest.approx(net.cost(X, Y, backend=name), rel=1e-3)


def test_the_search_for_a_divergence_repeats_the_masks(name: str) -> None:
    spoilt = X.copy()
    spoilt[30] = 3e38
    net = Network([6, 9, 8, 3], activation="relu", output="identity", seed=0)
    trainer = Trainer(
        net, backend=name, dropout=0.5, optimizer="sgd", learning_rate=0.1, batch_size=8, seed=0, shuffle=False
    )
    with (
        pytest.warns(UserWarning, match="^column 0 of x has a standard deviation"),
        pytest.raises(DivergedError, match=r"step 4") as caught,
    ):
        trainer.fit(spoilt, np.eye(3, dtype=np.float32)[Y], epochs=1)
    assert caught.value.step == 4
    assert np.isfinite(net.parameters).all()
    expected = Trainer(
        Network([6, 9, 8, 3], activation="relu", output="identity", seed=0),
        backend=name, dropout=0.5, optimizer="sgd", learning_rate=0.1, batch_size=8, seed=0, shuffle=False,
    )  # fmt: skip
    # Step 3, the last with a finite cost, began after two updates.
    expected.fit(X[:16], np.eye(3, dtype=np.float32)[Y[:16]], epochs=1)
    assert net.parameters.tobytes() == bits(expected)


def noisy(n: int, rng: np.random.Generator, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points of two classes in 20 dimensions, with a share of the labels wrong."""
    x = rng.normal(size=(n, 20)).astype(np.float32)
    y = (x[:, :5].sum(1) > 0).astype(np.int64)
    return x, np.where(rng.random(n) < noise, 1 - y, y)


@pytest.mark.parametrize("seed", range(5))
def test_dropout_reduces_overfitting_to_noisy_labels(seed: int) -> None:
    """Measured on these five seeds: the training accuracy is 1 without dropout and 0.91 to 0.965 with dropout.

    The accuracy on test data without wrong labels is 0.67 to 0.755 without dropout. Dropout raises it by 0.0265 to
    0.0605 and lowers the test cost by 0.14 to 0.28.
    """
    rng = np.random.default_rng(seed)
    (x, y), test = noisy(200, rng, 0.2), noisy(2000, rng, 0.0)
    found = []
    for dropout in (0.0, 0.5):
        net = Network([20, 128, 2], activation="relu", output="softmax", cost="cross_entropy", seed=seed)
        trainer = Trainer(net, optimizer="adam", batch_size=20, seed=seed, dropout=dropout)
        trainer.fit(x, y, epochs=100)
        found.append((net.accuracy(x, y), net.accuracy(*test), net.cost(*test)))
    (train, accuracy, cost), (dropped_train, dropped_accuracy, dropped_cost) = found
    assert train == 1  # the network memorises every label, even wrong ones
    assert dropped_train < 0.98
    assert dropped_accuracy > accuracy + 0.02
    assert dropped_cost < cost - 0.1
