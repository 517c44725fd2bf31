"""The costs of a network: objects with a number, and which output, cost and task a network gets from its arguments."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from fastnet import CrossEntropy, Huber, Network, Quantile

X = np.random.default_rng(0).normal(size=(20, 4))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Huber(0), "delta must be from"),
        (lambda: Huber(math.inf), "delta must be finite"),
        (lambda: Huber("1"), "delta must be a number"),
        (lambda: Quantile(0), "q must be more than 0"),
        (lambda: Quantile(1), "q must be below 1"),
        (lambda: CrossEntropy(0), "limit must be more than 0"),
        (lambda: CrossEntropy(math.nan), "limit must be finite"),
    ],
)
def test_a_number_that_a_cost_cannot_have_is_refused(make: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_costs_are_values_that_cannot_change() -> None:
    assert Huber() == Huber(1.0) != Huber(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Quantile(0.5).q = 0.6  # type: ignore[misc]  # the refused assignment


@pytest.mark.parametrize(
    ("cost", "number", "text", "of_errors"),
    [
        (Huber(0.5), 0.5, "huber(delta=0.5)", lambda e: np.where(abs(e) <= 0.5, e * e / 2, 0.5 * (abs(e) - 0.25))),
        ("huber", 1.0, "huber", lambda e: np.where(abs(e) <= 1, e * e / 2, abs(e) - 0.5)),
        (Quantile(0.9), 0.9, "quantile(q=0.9)", lambda e: np.where(e < 0, -0.9 * e, 0.1 * e)),
        ("absolute_error", 0.0, "absolute_error", abs),
        ("half_squared_error", 0.0, "half_squared_error", lambda e: e * e / 2),
    ],
)
def test_a_network_computes_the_cost_with_its_number(cost: Any, number: float, text: str, of_errors: Any) -> None:
    net = Network([4, 2], cost=cost, task="regression", seed=0, dtype=np.float64)
    y = 2 * np.random.default_rng(1).normal(size=(20, 2))
    assert (net.cost_name, net.cost_number) == (text.split("(")[0], number)
    assert f" identity, {text}, 10 parameters" in repr(net)
    assert net.cost(X, y) == pytest.approx(of_errors(net.forward(X) - y).sum(axis=1).mean(), rel=1e-12)


def test_the_limit_of_the_cross_entropy_changes_the_cost_alone() -> None:
    free, limited = (Network([4, 3], cost=CrossEntropy(limit), seed=0, dtype=np.float64) for limit in (math.inf, 0.5))
    y = np.arange(20) % 3
    each = -np.log(free.forward(X)[np.arange(20), y])
    assert each.min() < 0.5 < each.max()
    assert free.cost(X, y) == pytest.approx(each.mean(), rel=1e-12)
    assert limited.cost(X, y) == pytest.approx(np.minimum(each, 0.5).mean(), rel=1e-12)
    assert limited.gradient(X, y).tobytes() == free.gradient(X, y).tobytes()


@pytest.mark.parametrize(
    ("n_out", "arguments", "expected"),
    [
        (3, {"cost": None}, "softmax cross_entropy classification"),
        (1, {"cost": None}, "sigmoid cross_entropy classification"),
        (3, {"cost": None, "task": "classification"}, "softmax cross_entropy classification"),
        (3, {"cost": None, "task": "multilabel"}, "sigmoid cross_entropy multilabel"),
        (3, {"cost": None, "task": "regression"}, "identity squared_error regression"),
        (3, {"cost": None, "output": "sigmoid"}, "sigmoid cross_entropy classification"),
        (3, {"cost": None, "output": "softmax"}, "softmax cross_entropy classification"),
        (3, {"cost": None, "output": "sigmoid", "task": "regression"}, "sigmoid cross_entropy regression"),
        (3, {"cost": None, "output": "exponential"}, "exponential poisson regression"),
        (3, {"cost": None, "output": "tanh"}, "tanh squared_error regression"),
        (3, {"cost": "squared_error"}, "sigmoid squared_error classification"),
        (3, {"cost": "squared_error", "task": "regression"}, "identity squared_error regression"),
        (3, {"cost": "cross_entropy"}, "softmax cross_entropy classification"),
        (1, {"cost": "cross_entropy"}, "sigmoid cross_entropy classification"),
        (3, {"cost": "cross_entropy", "task": "multilabel"}, "sigmoid cross_entropy multilabel"),
        (3, {"cost": "poisson"}, "exponential poisson regression"),
        (1, {"cost": Huber()}, "identity huber regression"),
        (3, {"cost": "absolute_error", "output": "sigmoid"}, "sigmoid absolute_error classification"),
        (3, {"cost": "squared_error", "output": "softmax", "task": "regression"}, "softmax squared_error regression"),
    ],
)
def test_arguments_imply_output_cost_and_task(n_out: int, arguments: dict[str, Any], expected: str) -> None:
    net = Network([4, n_out], **arguments)
    assert " ".join((net.activations_by_layer[-1], net.cost_name, net.task)) == expected
    assert net.is_classifier == (net.task == "classification")


def test_the_description_names_a_task_that_the_output_does_not_imply() -> None:
    assert ", multilabel, " in repr(Network([4, 3], cost="cross_entropy", task="multilabel"))
    for net in (Network([4, 3], cost="cross_entropy"), Network([4, 3], task="regression")):
        assert net.task not in repr(net)
    assert "byte_scale 1, " in repr(Network([4, 3], byte_scale=1))
