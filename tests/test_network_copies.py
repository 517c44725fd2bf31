"""Network: copies are complete and independent, and the repr describes the network."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastnet
from fastnet import Network

X = np.random.default_rng(0).random((6, 4), np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])


def random_network(sizes: list[int], **arguments: Any) -> Network:
    """Return a network with nonzero biases, so that a misplaced bias changes the results."""
    return Network(sizes, init="normal", seed=1, **arguments)


@pytest.mark.parametrize(
    "twin_of",
    [Network.copy, copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["method", "copy", "deepcopy", "pickle"],
)
def test_copies_are_complete_and_independent(twin_of: Any) -> None:
    net = random_network(
        [4, 3, 2],
        activation=["tanh"],
        output="sigmoid",
        cost=fastnet.CrossEntropy(3.0),
        task="multilabel",
        dtype=np.float64,
        byte_scale=0.5,
    )
    before = net.parameters.copy()
    twin = twin_of(net)
    assert repr(twin) == repr(net)
    assert twin.parameters.tobytes() == before.tobytes()
    twin.weights[1][...] = 7
    twin.biases[0][...] = 8
    assert np.count_nonzero(twin.parameters == 7) == 6
    assert np.count_nonzero(twin.parameters == 8) == 3
    assert net.parameters.tobytes() == before.tobytes()
    assert not twin.layers.flags.writeable
    fastnet.Trainer(twin, seed=0).fit(X, np.eye(2)[Y % 2], epochs=1)
    assert net.parameters.tobytes() == before.tobytes()


def test_a_copied_trainer_trains_its_own_network() -> None:
    net = random_network([4, 3])
    trainer = fastnet.Trainer(net, optimizer="adam", batch_size=2, seed=0)
    trainer.fit(X, Y, epochs=1)
    twin = copy.deepcopy(trainer)
    before = net.parameters.copy()
    twin.fit(X, Y, epochs=1)
    assert net.parameters.tobytes() == before.tobytes()
    trainer.fit(X, Y, epochs=1)
    assert twin.network.parameters.tobytes() == net.parameters.tobytes()


def test_repr_is_one_line_with_every_option() -> None:
    text = repr(Network([784, 16, 16, 10], activation="sigmoid", cost="squared_error"))
    assert all(word in text for word in ("784-16-16-10", "13,002", "sigmoid", "squared_error", "float32"))
    assert "\n" not in text
