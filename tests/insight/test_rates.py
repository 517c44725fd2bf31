"""The learning rate finder: its steps, the untouched network, and the quality of its suggestion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from conftest import name_of
from insight_cases import data, small

from fastnet import DivergedError, Network, Trainer
from fastnet.insight import CHAPTER, learning_rate_finder
from fastnet.training.pool import in_parallel

# sizes, options of the network, options of the trainer, and a grid of learning rates around the best rate
KINDS: dict[str, tuple[list[int], Mapping[str, Any], dict[str, Any], list[float]]] = {
    "digits": ([64, 16, 16, 10], CHAPTER.network, {"optimizer": "sgd", "batch_size": 10}, [0.3, 1, 3, 10]),
    "sigmoid": ([784, 16, 16, 10], CHAPTER.network, {"optimizer": "sgd", "batch_size": 10}, [0.05, 0.2, 0.5, 1, 2]),
    "relu": (
        [784, 128, 64, 10],
        {"activation": "relu", "cost": "cross_entropy"},
        {"optimizer": "sgd", "batch_size": 32},
        [0.01, 0.05, 0.2, 0.5, 1],
    ),
}


def test_the_finder_raises_the_rate_on_a_copy() -> None:
    network, x, y = small()
    before = network.parameters.copy()
    test = learning_rate_finder(
        network, x, y, min_rate=0.01, max_rate=10, steps=31, batch_size=60, optimizer="sgd", backend="numpy"
    )
    np.testing.assert_array_equal(network.parameters, before)
    np.testing.assert_allclose(test.learning_rate, 10 ** np.linspace(-2, 1, 31))
    assert test.cost[0] == pytest.approx(network.cost(x, y), rel=1e-6)  # the cost before the first update
    assert test.best == np.argmin(test.smoothed_cost)
    enough = 0.1 * test.smoothed_cost[0] + 0.9 * test.smoothed_cost.min()
    assert test.suggestion == test.learning_rate[np.flatnonzero(test.smoothed_cost <= enough)[0]]
    assert test.suggestion < test.learning_rate[test.best]
    assert not test.blew_up


def test_the_finder_trains_like_a_trainer_at_the_same_rates() -> None:
    network, x, y = small()
    test = learning_rate_finder(
        network, x, y, min_rate=0.1, max_rate=1, steps=9, batch_size=60, optimizer="adam", backend="numpy"
    )
    trainer = Trainer(network, optimizer="adam", batch_size=60, shuffle=False, backend="numpy")
    for rate, cost in zip(np.geomspace(0.1, 1, 9), test.cost, strict=True):
        trainer.learning_rate = rate
        assert trainer.partial_fit(x, y).cost == pytest.approx(cost, rel=1e-3)  # the order of the examples differs


def test_each_pass_has_every_example_once() -> None:
    """At a rate near 0 the cost of an example does not change, so both passes over 11 examples give the same costs."""
    network, x, y = small(n=11)
    test = learning_rate_finder(network, x, y, min_rate=1e-9, max_rate=2e-9, steps=22, batch_size=1, backend="numpy")
    alone = np.array([network.cost(x[k : k + 1], y[k : k + 1]) for k in range(11)])
    first, second = test.cost[:11], test.cost[11:]
    for costs, other in ((first, second), (second, first)):
        np.testing.assert_allclose(sorted(costs), sorted(alone), rtol=1e-5)
        assert not np.allclose(costs, alone, rtol=1e-5)  # the order differs from that of the data
        assert not np.allclose(costs, other, rtol=1e-5)
    again = learning_rate_finder(network, x, y, min_rate=1e-9, max_rate=2e-9, steps=22, batch_size=1, backend="numpy")
    np.testing.assert_array_equal(again.cost, test.cost)


def test_the_smoothed_cost_is_a_mean_around_each_step() -> None:
    network, x, y = small()
    test = learning_rate_finder(network, x, y, min_rate=1e-3, max_rate=1, steps=200, batch_size=4, backend="numpy")
    capped = np.minimum(test.cost, 2 * test.cost[:10].mean())  # the first twentieth of the steps
    assert (capped < test.cost).any()
    for k in (0, 77, 199):
        weights = np.exp(-0.5 * ((np.arange(200) - k) / 2) ** 2)  # the deviation is a hundredth of the steps
        assert test.smoothed_cost[k] == pytest.approx(np.average(capped, weights=weights), rel=1e-4)


def test_the_smoothed_cost_does_not_lag_behind_the_costs() -> None:
    """A smooth curve of costs goes through its smoothed curve. A mean of past costs would lie above a falling curve."""
    network, x, y = small()
    test = learning_rate_finder(network, x, y, max_rate=1, steps=1000, optimizer="sgd", batch_size=60, backend="numpy")
    fall = test.cost[0] - test.cost.min()
    assert fall > 0.1
    np.testing.assert_allclose(test.smoothed_cost[40:-40], test.cost[40:-40], atol=0.01 * fall)
    half = [np.argmax(cost < cost[0] - fall / 2) for cost in (test.cost, test.smoothed_cost)]
    assert half[0] == pytest.approx(half[1], abs=5)


def test_the_finder_ends_where_the_cost_blows_up(backend: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 2))
    network = Network([4, 2], output="identity", seed=0)
    test = learning_rate_finder(network, x, y, max_rate=1e12, optimizer="sgd", backend=name_of(backend))
    assert test.blew_up
    assert len(test.cost) == len(test.smoothed_cost) == len(test.learning_rate) < 3000
    assert test.learning_rate[-1] < 1e12
    recent = np.convolve(test.cost, np.full(150, 1 / 150), "valid")  # means of a twentieth of the steps
    blown_up = recent > 4 * np.minimum.accumulate(recent)
    assert blown_up.tolist() == [False] * (len(blown_up) - 1) + [True]
    assert 1e-3 < test.suggestion < 1
    test = learning_rate_finder(network, x, y, min_rate=1e30, max_rate=1e31, optimizer="sgd", backend=name_of(backend))
    assert test.blew_up
    assert np.isnan(test.suggestion)  # a cost that never falls gives no suggestion


@pytest.mark.parametrize("steps", [2, 40])
def test_parameters_that_are_not_finite_end_the_finder(steps: int) -> None:
    rng = np.random.default_rng(0)
    x, y = 1e3 * rng.normal(size=(50, 4)), rng.normal(size=(50, 2))
    network = Network([4, 2], output="identity", seed=0)
    test = learning_rate_finder(
        network, x, y, min_rate=1e-9, max_rate=1e38, steps=steps, optimizer="sgd", backend="numpy"
    )
    assert test.blew_up
    assert len(test.cost) < steps
    assert np.isfinite(test.cost).all()
    with pytest.raises(DivergedError):
        learning_rate_finder(network, x, y, min_rate=1e37, max_rate=1e38, steps=steps, optimizer="sgd", backend="numpy")


@pytest.fixture(scope="module")
def best_of_grid() -> dict[str, float]:
    """Return each kind's test accuracy after 30 epochs at the best rate of its grid, on the fastest backend."""
    return {kind: max(in_parallel([lambda k=kind, r=rate: trained(k, r) for rate in KINDS[kind][3]])) for kind in KINDS}


def examples(kind: str) -> Any:
    return data("digits" if kind == "digits" else "mnist-5k")


def trained(kind: str, rate: float, backend: str | None = None) -> float:
    sizes, network, trainer, _ = KINDS[kind]
    digits = examples(kind)
    run = Trainer(Network(sizes, seed=0, **network), learning_rate=rate, seed=0, backend=backend, **trainer)
    try:
        run.fit(digits.x_train, digits.y_train, epochs=30)
    except DivergedError:
        return 0.0
    return run.evaluate(digits.x_test, digits.y_test).accuracy


@pytest.mark.parametrize("kind", KINDS)
def test_the_suggestion_is_nearly_as_good_as_the_best_of_a_grid(
    backend: Any, kind: str, best_of_grid: dict[str, float]
) -> None:
    """Loss of accuracy, five seeds: at most 0.3 points on digits, 1.4 with sigmoid, 2.3 with ReLU (mean 1.8)."""
    sizes, arguments, trainer, _ = KINDS[kind]
    digits, name = examples(kind), name_of(backend)
    network = Network(sizes, seed=0, **arguments)
    test = learning_rate_finder(network, digits.x_train, digits.y_train, backend=name, **trainer)
    assert best_of_grid[kind] > 0.9
    assert trained(kind, test.suggestion, name) > best_of_grid[kind] - 0.03


def test_unusable_arguments_are_refused() -> None:
    network, x, y = small()
    with pytest.raises(ValueError, match="max_rate must be more than 1"):
        learning_rate_finder(network, x, y, min_rate=1, max_rate=1)
    with pytest.raises(ValueError, match="min_rate must be more than 0"):
        learning_rate_finder(network, x, y, min_rate=0)
    with pytest.raises(ValueError, match="steps must be at least 2"):
        learning_rate_finder(network, x, y, steps=1)
    with pytest.raises(TypeError, match="schedule is not for a range test"):
        learning_rate_finder(network, x, y, schedule="cosine")
    with pytest.raises(TypeError, match=r"network must be a fastnet\.Network"):
        learning_rate_finder(Trainer(network), x, y)
    with pytest.raises(ValueError, match="labels are from 0 to 2"):
        learning_rate_finder(network, x, y + 1)
