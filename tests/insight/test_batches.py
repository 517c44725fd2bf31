"""Comparing batch sizes: each run equals a separate fit with its batch size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import name_of
from insight_cases import data, small, untrained

from fastnet import Network, Trainer
from fastnet.insight import compare_batches


def test_each_run_equals_a_separate_fit() -> None:
    network, x, y = small()
    before = network.parameters.copy()
    options: dict[str, Any] = {"optimizer": "momentum", "schedule": "cosine", "backend": "numpy", "seed": 3}
    runs = compare_batches(
        network, x, y, (None, 7, 1), epochs=3, learning_rates=(0.3, 0.1, 0.01), measurements=4, **options
    )
    np.testing.assert_array_equal(network.parameters, before)
    assert [run.batch_size for run in runs] == [60, 7, 1]
    for run, rate, batches in zip(runs, (0.3, 0.1, 0.01), (1, 9, 60), strict=True):
        alone = Trainer(network.copy(), learning_rate=rate, batch_size=run.batch_size, **options)
        alone.fit(x, y, epochs=3)
        assert run.learning_rate == rate
        assert run.steps[[0, -1]].tolist() == [0, alone.steps] == [0, 3 * batches]
        assert run.examples[[0, -1]].tolist() == [0, 180]
        assert run.cost[0] == network.cost(x, y, backend="numpy")
        assert run.cost[-1] == alone.evaluate(x, y).cost
        assert run.seconds[0] == 0
        assert (np.diff(run.seconds) > 0).all()
        assert (np.diff(run.steps) > 0).all()
        assert len({len(run.steps), len(run.examples), len(run.seconds), len(run.cost)}) == 1
        assert not run.diverged
    assert [len(run.cost) - 1 for run in runs] == [
        3,
        3 * 5,
        3 * 4,
    ]  # batch size 7: after every 2nd of 9 batches, and after the 9th; batch size 1: after every 15th of 60
    np.testing.assert_array_equal(runs[1].examples[:7], [0, 14, 28, 42, 56, 60, 74])


def test_small_batches_learn_more_from_the_same_number_of_examples(backend: Any) -> None:
    """Final costs of five seeds on each backend.

    Full batch: 1.00 to 1.16. Batch size 10: 0.21 to 0.31. Batch size 1: 0.14 to 0.24.
    """
    digits = data()
    x, y = digits.x_train, digits.y_train
    runs = compare_batches(
        untrained(0),
        x,
        y,
        epochs=4,
        learning_rates=0.5,
        measurements=1,
        optimizer="sgd",
        backend=name_of(backend),
    )
    whole, ten, one = (run.cost[-1] for run in runs)
    assert whole > 0.8
    assert ten < 0.4
    assert one < 0.4


def test_learning_rates_may_be_an_array() -> None:
    network, x, y = small()
    rates: Any = np.array([0.3, 0.1])
    runs = compare_batches(network, x, y, (None, 7), epochs=1, learning_rates=rates, backend="numpy")
    assert [run.learning_rate for run in runs] == [0.3, 0.1]


def test_a_diverged_run_is_marked_and_the_others_continue() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 2))
    network = Network([4, 2], output="identity", seed=0)
    runs = compare_batches(
        network, x, y, (1, None), epochs=200, learning_rates=(5.0, 0.1), optimizer="sgd", backend="numpy"
    )
    assert [run.diverged for run in runs] == [True, False]
    assert runs[1].cost[-1] < runs[1].cost[0]


def test_unusable_arguments_are_refused() -> None:
    network, x, y = small()
    with pytest.raises(ValueError, match="2 entries for 3 batch sizes"):
        compare_batches(network, x, y, learning_rates=(0.1, 0.2))
    with pytest.raises(TypeError, match=r"batch_sizes must be a list such as \(None, 10, 1\), not 10"):
        compare_batches(network, x, y, 10)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        compare_batches(network, x, y, (0,))
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        compare_batches(network, x, y, epochs=0)
    with pytest.raises(TypeError, match=r"network must be a fastnet\.Network"):
        compare_batches(Trainer(network), x, y)
