"""The share of the examples that `fit` holds out for validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainer_cases import X, Y, bits, make

from fastnet import Network, Trainer
from fastnet.training.inputs import check_examples
from fastnet.training.selection import hold_out, select

WEIGHTS = np.random.default_rng(1).integers(0, 3, 53).astype(float)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.floats(0.02, 0.98), st.integers(0, 9))
def test_each_class_gives_its_share(counts: list[int], share: float, seed: int) -> None:
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    n, n_held = len(classes), round(share * len(classes))
    mask = hold_out(n, n_held, classes, seed)
    assert mask.sum() == n_held
    for label, count in enumerate(counts):
        assert abs(mask[classes == label].sum() - count * n_held / n) < 1


def test_the_examples_are_chosen_at_random() -> None:
    masks = [hold_out(100, 20, classes, seed) for classes in (None, np.arange(100) % 3) for seed in range(20)]
    assert all(mask.sum() == 20 for mask in masks)
    assert len({mask.tobytes() for mask in masks}) == 40
    assert np.sum(masks[:20], 0).max() < 20


def test_a_split_equals_its_two_parts() -> None:
    split, parts = make(), make()
    history = split.fit(X, Y, epochs=3, validation_split=0.2, sample_weight=WEIGHTS)
    seed = int(np.random.default_rng(0).integers(2**63))  # the trainer draws the seed of its splits first
    found = select(check_examples(parts.network, X, Y, WEIGHTS), parts.network.layers, None, 0.2, seed)
    assert found.held_out is not None
    held = np.setdiff1d(np.flatnonzero(WEIGHTS), found.rows)
    assert len(held) == round(0.2 * np.count_nonzero(WEIGHTS))
    parts = make(seed=np.random.default_rng(0))
    parts.fit(X, Y, epochs=0, validation_split=0.5)  # draws the seed
    x, y, w = X[found.rows], Y[found.rows], WEIGHTS[found.rows]
    expected = parts.fit(x, y, epochs=3, sample_weight=w, validation_data=(X[held], Y[held], WEIGHTS[held]))
    assert bits(split) == bits(parts)
    for name in ("cost", "accuracy", "validation_cost", "validation_accuracy", "examples"):
        assert history[name] == pytest.approx(expected[name], rel=1e-12)  # sums of chunks, whose lengths may differ


def test_a_second_fit_holds_out_the_same_examples() -> None:
    once, twice = make(schedule="constant"), make(schedule="constant")
    once.fit(X, Y, epochs=6, validation_split=0.2)
    for _ in range(2):
        twice.fit(X, Y, epochs=3, validation_split=0.2)
    assert bits(once) == bits(twice)
    assert once.history["validation_cost"] == twice.history["validation_cost"]


def test_class_weights_are_for_training_only() -> None:
    trainer = make(learning_rate=0.0)
    plain, weighted = (
        trainer.fit(X, Y, epochs=1, validation_split=0.2, class_weight=weight).epochs[-1] for weight in (None, {0: 9.0})
    )
    assert plain.cost != weighted.cost
    assert plain.validation_cost == weighted.validation_cost


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_r2_is_that_of_the_trained_examples(weights: Any) -> None:
    """With a learning rate of 0, one epoch evaluates the network on the examples it trains on."""
    y = X @ np.arange(12).reshape(6, 2)
    trainer = Trainer(Network([6, 2], output="identity", seed=0), learning_rate=0, seed=0, backend="numpy")
    history = trainer.fit(X, y, epochs=1, validation_split=0.3, sample_weight=weights)
    examples = check_examples(trainer.network, X, y, weights)
    seed = int(np.random.default_rng(0).integers(2**63))
    rows = select(examples, trainer.network.layers, None, 0.3, seed).rows
    held = np.setdiff1d(np.arange(53) if weights is None else np.flatnonzero(weights), rows)
    for part, name in ((rows, "r2"), (held, "validation_r2")):
        expected = trainer.evaluate(X[part], y[part], sample_weight=weights if weights is None else weights[part])
        assert history[name] == [pytest.approx(expected.r2, rel=1e-6)]
        assert np.isfinite(expected.r2)
