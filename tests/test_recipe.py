"""Recipes: the same seed the same network, changes merged, and many trainings at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import fastnet
from fastnet import backends
from fastnet.errors import BackendError
from fastnet.recipe import CHAPTER, Recipe, in_parallel

X = np.linspace(0, 1, 40).reshape(10, 4)
Y = np.arange(10) % 2


def test_a_recipe_is_the_plain_calls() -> None:
    recipe = Recipe((5, 3), 2, {"activation": "tanh"}, {"optimizer": "adam", "batch_size": 4, "backend": "numpy"})
    trainer = recipe.start(4, 2, seed=3)
    trainer.fit(X, Y, epochs=recipe.epochs)
    network = fastnet.Network([4, 5, 3, 2], activation="tanh", seed=3)
    fastnet.Trainer(network, optimizer="adam", batch_size=4, backend="numpy", seed=3).fit(X, Y, epochs=2)
    np.testing.assert_array_equal(trainer.network.parameters, network.parameters)
    assert not np.array_equal(
        recipe.start(4, 2, seed=4).network.parameters, recipe.start(4, 2, seed=3).network.parameters
    )


def test_the_default_is_the_chapter_s_network() -> None:
    assert Recipe() == CHAPTER
    assert CHAPTER.start(784, 10, 0).network.n_parameters == 13_002


def test_changes_are_merged() -> None:
    changed = CHAPTER.but(hidden=(7,), trainer={"batch_size": 32}, network={"activation": "relu"})
    assert (changed.hidden, changed.epochs) == ((7,), CHAPTER.epochs)
    assert changed.trainer == {**CHAPTER.trainer, "batch_size": 32}
    assert changed.network == {"activation": "relu"}
    assert changed.start(4, 2, 0, learning_rate=0.125).learning_rate == 0.125


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"hidden": (0,)}, {"trainer": {"learning_rate": -1}}])
def test_what_cannot_be_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"epochs|sizes|learning_rate"):
        CHAPTER.but(**wrong).start(4, 2, 0)


def test_parallel_results_keep_their_order_and_the_backend_of_the_caller() -> None:
    with fastnet.use_backend("numpy"):
        found = in_parallel(
            [lambda k=k: (k, backends.resolve().name, threading.current_thread().name) for k in range(9)]
        )
    assert [(k, name) for k, name, _ in found] == [(k, "numpy") for k in range(9)]
    assert all(thread.startswith("fastnet") for *_, thread in found)


def test_parallel_is_the_same_as_one_after_the_other() -> None:
    def final(seed: int) -> np.ndarray:
        trainer = CHAPTER.start(4, 2, seed, backend="numpy")
        trainer.fit(X, Y, epochs=3)
        return trainer.network.parameters

    for together, alone in zip(
        in_parallel([lambda s=s: final(s) for s in range(6)]), map(final, range(6)), strict=True
    ):
        np.testing.assert_array_equal(together, alone)


def test_the_first_error_is_raised_and_no_more_is_begun() -> None:
    begun = []

    def job(k: int) -> None:
        begun.append(k)
        if k == 1:
            raise BackendError("gone")

    with pytest.raises(BackendError, match="gone"):
        in_parallel([lambda k=k: job(k) for k in range(5000)])
    assert len(begun) < 5000
