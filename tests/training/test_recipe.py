"""Recipes: equal seeds give equal networks, and `but` merges changes."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet
from fastnet.training.recipe import CHAPTER, MIN_ROWS, Recipe, table_recipe

X = np.linspace(0, 1, 40).reshape(10, 4)
Y = np.arange(10) % 2


def test_a_recipe_equals_the_plain_calls() -> None:
    recipe = Recipe((5, 3), 2, {"activation": "tanh"}, {"optimizer": "adam", "batch_size": 4, "backend": "numpy"})
    trainer = recipe.start(4, 2, seed=3)
    trainer.fit(X, Y, epochs=recipe.epochs)
    network = fastnet.Network([4, 5, 3, 2], activation="tanh", seed=3)
    fastnet.Trainer(network, optimizer="adam", batch_size=4, backend="numpy", seed=3).fit(X, Y, epochs=2)
    np.testing.assert_array_equal(trainer.network.parameters, network.parameters)
    assert not np.array_equal(
        recipe.start(4, 2, seed=4).network.parameters, recipe.start(4, 2, seed=3).network.parameters
    )


def test_the_default_recipe_is_the_chapter_s_network() -> None:
    assert Recipe() == CHAPTER
    assert CHAPTER.start(784, 10, 0).network.n_parameters == 13_002


def test_the_recipe_of_tables_depends_on_the_rows() -> None:
    small, large = table_recipe(MIN_ROWS - 1), table_recipe(10 * MIN_ROWS)
    assert (small.patience, large.patience) == (0, 20)
    assert small.trainer["weight_decay"] > 10 * large.trainer["weight_decay"] > 0
    network = large.start(4, 3, 0).network
    assert (network.sizes, network.activations_by_layer) == ((4, 100, 3), ("relu", "softmax"))


def test_changes_are_merged() -> None:
    changed = CHAPTER.but(hidden=(7,), trainer={"batch_size": 32}, network={"activation": "relu"})
    assert (changed.hidden, changed.epochs) == ((7,), CHAPTER.epochs)
    assert changed.trainer == {**CHAPTER.trainer, "batch_size": 32}
    assert changed.network == {**CHAPTER.network, "activation": "relu"}
    assert changed.start(4, 2, 0, learning_rate=0.125).learning_rate == 0.125


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"hidden": (0,)}, {"trainer": {"learning_rate": -1}}])
def test_impossible_recipes_are_errors(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"epochs|sizes|learning_rate"):
        CHAPTER.but(**wrong).start(4, 2, 0)


def test_on_changes_the_backend_of_a_recipe() -> None:
    assert CHAPTER.on(None) is CHAPTER
    assert CHAPTER.on("numpy").start(4, 2, 0).backend == "numpy"
