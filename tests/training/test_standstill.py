"""The warning of a network that does not learn: when it is given, when it is not, and what it says."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from fastnet import Callback, Network, Trainer, insight
from fastnet.training import standstill

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4)).astype(np.float32)
Y = np.where(X[:, 0] > 1.0, 2, np.where(X[:, 1] > 1.0, 1, 0))  # class 0 has the largest share
ADVICE = (
    "; try one after the other: scale the inputs to mean 0 and standard deviation 1; use activation='relu'; use a "
    "tenth or ten times of learning_rate=0.5; use optimizer='adam'"
)


def dead(n_out: int = 3, activation: Any = "relu", **settings: Any) -> Network:
    """Return a network whose hidden neurons give 0 for every input, so that its output is constant."""
    network = Network([4, 8, n_out], activation=activation, seed=0, **settings)
    network.biases[0][...] = -1e3
    return network


def said(network: Network, x: Any = X, y: Any = Y, epochs: int = 12, **arguments: Any) -> list[str]:
    """Return the warnings of one fit. `fit` gets the arguments that are not the trainer's."""
    fit = {name: arguments.pop(name) for name in ("callbacks", "sample_weight", "class_weight") if name in arguments}
    trainer = Trainer(network, **{"learning_rate": 0.01, "seed": 0, "batch_size": 20} | arguments)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        trainer.fit(x, y, epochs=epochs, **fit)
    return [str(warning.message) for warning in found]


def test_the_warning_says_what_was_seen_and_what_to_try() -> None:
    network = dead(activation="sigmoid", cost="squared_error")
    (message,) = said(network, X + 5, optimizer="sgd", learning_rate=0.5)
    share = f"{np.bincount(Y).max() / len(Y):.2%}"
    assert message.startswith("the network does not learn: over 5 epochs the cost stays near ")
    assert f"; a constant output has accuracy {share}{ADVICE}" in message


@pytest.mark.parametrize(
    ("x", "scale"),
    [
        (X + 5, True),
        ((X - X.mean(axis=0)) * 9, True),
        (X * 1e-3, True),
        (X.astype(np.float64) * 1e300, True),
        (X, False),
        (np.full(X.shape, 7, np.uint8), False),  # bytes are scaled by the network
        (scipy.sparse.csr_array(X * 9), False),
    ],
    ids=["mean 5", "large", "small", "huge", "scaled", "bytes", "sparse"],
)
def test_scaling_is_advised_where_it_is_missing(x: Any, scale: bool) -> None:
    network = dead()
    network.weights[0][...] = 0  # so that no input is large enough to wake a neuron
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    message = said(network.astype(dtype), x, learning_rate=0.1)[-1]
    advice = "scale the inputs to mean 0 and standard deviation 1; " * scale
    assert message.endswith(f"; try one after the other: {advice}use a tenth or ten times of learning_rate=0.1")


@pytest.mark.parametrize("callbacks", [[], [Callback()]], ids=["many epochs in a call", "one epoch in a call"])
@pytest.mark.parametrize(
    ("network", "y"),
    [
        (dead(), Y),
        (dead(1), (Y > 0).astype(int)),
        (dead(), np.eye(3)[Y]),
        (dead(2, task="multilabel"), np.stack([Y > 0, Y > 1], 1).astype(int)),
        (dead(1, task="regression"), X[:, 0]),
    ],
    ids=["labels", "one output", "targets", "several labels", "regression"],
)
def test_a_constant_output_draws_one_warning(network: Network, y: Any, callbacks: list[Callback]) -> None:
    assert len(said(network.copy(), y=y, callbacks=callbacks, epochs=40)) == 1
    alive = Network(network.sizes, task=network.task, seed=0)
    assert not said(alive, y=y, callbacks=callbacks, epochs=40)


def test_five_epochs_are_needed_and_the_warning_comes_at_once() -> None:
    class Count(Callback):
        def on_epoch_end(self, trainer: Trainer, epoch: Any) -> None:
            seen.append(epoch.epoch)

    seen: list[int] = []
    trainer = Trainer(dead(), learning_rate=0.1, seed=0, batch_size=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(X, Y, epochs=4)  # these epochs belong to another fit
        with pytest.raises(UserWarning, match="does not learn"):
            trainer.fit(X, Y, epochs=9, callbacks=[Count()])
    assert seen == [5, 6, 7, 8, 9]
    assert len(trainer.history) == 9
    trainer.fit(X, Y, epochs=1)  # an error of a warning leaves the trainer in order


def test_a_cost_that_stays_the_same_is_seen_whatever_the_score() -> None:
    network = Network([4, 8, 3], seed=5)
    network.biases[1][0] += 1.5  # nearly always class 0
    assert network.accuracy(X, Y) > np.mean(Y == 0)
    assert len(said(network, learning_rate=1e-9)) == 1
    assert not said(network, learning_rate=0.0)


def test_shares_count_with_the_weights() -> None:
    assert len(said(dead(), class_weight="balanced")) == 1
    (message,) = said(dead(), sample_weight=np.where(Y == 2, 9.0, 1.0), learning_rate=0.1, batch_size=200, epochs=99)
    counts = np.bincount(Y) * [1, 1, 9]
    assert f"; a constant output has accuracy {counts.max() / counts.sum():.2%}; " in message


def test_what_is_learned_slowly_or_has_one_class_draws_no_warning() -> None:
    assert not said(Network([4, 8, 2], seed=0), y=np.where(np.arange(200) < 2, 1, 0), epochs=60)  # 1:100
    slow = Network([4, 8, 3], seed=0)
    assert not said(slow, y=2 - Y, optimizer="sgd", learning_rate=0.003, batch_size=200)  # the cost falls steadily
    assert slow.accuracy(X, 2 - Y) < np.mean(Y == 0)
    certain = Network([4, 8, 2], seed=0)
    certain.biases[1][...] = 1e3, 0
    assert not said(certain, y=np.zeros(200, int))


def test_an_experiment_of_fastnet_draws_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        insight.compare_batches(dead(), X, Y, [20], epochs=40, learning_rates=0.1)


def test_a_trained_network_draws_no_warning() -> None:
    network = Network([4, 8, 3], seed=0)
    assert not said(network, epochs=200)
    assert not said(network, learning_rate=1e-9)


def test_the_shares_are_counted_only_where_the_cost_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = Network([4, 8, 3], seed=0)
    said(trained, epochs=300)
    counted: list[int] = []
    monkeypatch.setattr(standstill, "true_classes", lambda y: (counted.append(1), y)[1])
    assert not said(Network([4, 8, 3], seed=0), epochs=20, callbacks=[Callback()])
    assert not counted
    assert not said(trained, epochs=40, learning_rate=1e-9, callbacks=[Callback()])
    assert len(counted) == 1  # a fit keeps the result


@pytest.mark.parametrize(
    "change",
    [
        lambda epochs: epochs.append("not an epoch"),
        lambda epochs: epochs.insert(-2, "not an epoch"),
        lambda epochs: epochs.clear(),
        lambda epochs: epochs.pop(0),
        lambda epochs: epochs.insert(0, epochs[0]),
    ],
    ids=["append", "insert", "clear", "pop", "again"],
)
def test_a_fit_does_not_depend_on_what_a_callback_makes_of_the_history(change: Any) -> None:
    said(dead(), callbacks=[lambda trainer, epoch: change(trainer.history.epochs)])
