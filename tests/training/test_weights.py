"""Weights of examples and of classes in `fit` and `partial_fit`."""

from __future__ import annotations

from typing import Any

import comparisons as cmp
import numpy as np
import pytest
from conftest import name_of
from trainer_cases import OPTIMIZERS, X, Y, bits, make

from fastnet import Network, Trainer
from fastnet.training.selection import with_class_weights

COUNTS = np.random.default_rng(1).integers(0, 4, 53)


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)


def test_whole_weights_equal_repeated_examples(name: str) -> None:
    """The repeated examples are in one batch with their twins, since each epoch has one batch."""
    weighted, repeated = (make(backend=name, batch_size=1000, dropout=0) for _ in range(2))
    first = weighted.fit(X, Y, epochs=5, sample_weight=COUNTS, validation_data=(X, Y, COUNTS))
    x, y = np.repeat(X, COUNTS, 0), np.repeat(Y, COUNTS)
    second = repeated.fit(x, y, epochs=5, validation_data=(x, y))
    cmp.assert_close(weighted.network.parameters, repeated.network.parameters, 1e-5)
    for measure in ("cost", "accuracy", "validation_cost", "validation_accuracy"):
        assert first[measure] == pytest.approx(second[measure], rel=1e-5)
    assert len(set(first["accuracy"])) > 1


@pytest.mark.parametrize("batch_size", [8, "auto"])
def test_a_weight_of_0_leaves_the_example_out(name: str, batch_size: Any) -> None:
    left_out, without = (make(backend=name, batch_size=batch_size) for _ in range(2))
    weights = (COUNTS > 0).astype(float)
    first = left_out.fit(X, Y, epochs=3, sample_weight=weights)
    second = without.fit(X[COUNTS > 0], Y[COUNTS > 0], epochs=3)
    assert bits(left_out) == bits(without)
    assert left_out.steps == without.steps
    assert first["examples"] == second["examples"]
    assert first["cost"] == pytest.approx(second["cost"], rel=1e-12)  # sums of chunks, whose lengths may differ
    left_out.partial_fit(X, Y, sample_weight=weights)
    without.partial_fit(X[COUNTS > 0], Y[COUNTS > 0])
    assert bits(left_out) == bits(without)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_of_1_change_no_bit(name: str, optimizer: str) -> None:
    def trained(**arguments: Any) -> tuple[bytes, list[float]]:
        trainer = make(backend=name, optimizer=optimizer)
        history = trainer.fit(X, Y, epochs=3, **arguments)
        return bits(trainer), history["accuracy"]

    assert trained() == trained(sample_weight=np.ones(53)) == trained(class_weight={2: 1.0})


def test_class_weights_multiply_the_weights(name: str) -> None:
    by_class, by_example = (make(backend=name) for _ in range(2))
    by_class.fit(X, Y, epochs=3, class_weight={0: 0.0, 2: 2.5}, sample_weight=1.0 + COUNTS)
    by_example.fit(X, Y, epochs=3, sample_weight=np.array([0, 1, 2.5])[Y] * (1 + COUNTS))
    assert bits(by_class) == bits(by_example)


@pytest.mark.parametrize("weights", [np.empty(0), 0.5 * COUNTS], ids=["unweighted", "weighted"])
def test_balanced_gives_each_class_the_same_total(weights: Any) -> None:
    """scikit-learn's formula: the sum of all weights / (n_classes * the sum of the weights of the class).

    A class without examples among the rows does not count.
    """
    rows = np.flatnonzero(COUNTS)
    found = with_class_weights("balanced", weights, Y, rows, 4)  # there is no example of class 3
    each = weights if weights.size else np.ones(53)
    sums = np.array([each[rows][Y[rows] == label].sum() for label in range(3)])
    np.testing.assert_allclose(found, each * (each[rows].sum() / (3 * sums))[Y])


def test_a_fit_that_is_balanced_equals_a_fit_with_these_weights() -> None:
    balanced, by_hand = make(), make()
    balanced.fit(X, Y, epochs=3, class_weight="balanced", sample_weight=COUNTS)
    counts = np.bincount(Y, COUNTS)
    by_hand.fit(X, Y, epochs=3, sample_weight=(counts.sum() / (3 * counts))[Y] * COUNTS)
    assert bits(balanced) == bits(by_hand)


def test_class_weights_of_target_vectors_and_of_a_single_output() -> None:
    vectors, labels = make(), make()
    vectors.fit(X, np.eye(3)[Y], epochs=2, class_weight={1: 3.0})
    labels.fit(X, Y, epochs=2, class_weight={1: 3.0})
    cmp.assert_close(vectors.network.parameters, labels.network.parameters, 1e-6)
    one, other = (Trainer(Network([6, 1], seed=0), seed=0, batch_size=9, backend="numpy") for _ in range(2))
    one.fit(X, Y > 1, epochs=2, class_weight={True: 3.0})
    other.fit(X, Y > 1, epochs=2, sample_weight=np.where(Y > 1, 3.0, 1.0))
    assert bits(one) == bits(other)


def test_a_regression_has_no_classes() -> None:
    trainer = Trainer(Network([6, 1], output="identity", seed=0), seed=0)
    with pytest.raises(ValueError, match=r"class_weight is for task='classification': use sample_weight"):
        trainer.fit(X, X.sum(1), epochs=1, class_weight="balanced")


def test_evaluate_takes_weights() -> None:
    trainer = make()
    expected = trainer.evaluate(np.repeat(X, COUNTS, 0), np.repeat(Y, COUNTS))
    assert trainer.evaluate(X, Y, sample_weight=COUNTS)[:2] == pytest.approx(expected[:2], rel=1e-6)
