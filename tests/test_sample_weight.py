"""sample_weight in evaluate, cost and gradient: whole weights repeat examples, and unusable weights are refused."""

from __future__ import annotations

from typing import Any

import comparisons as cmp
import numpy as np
import pytest
from conftest import name_of

from fastnet import Network

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype(np.float32)
COUNTS = np.array([0, 3, 1, 0, 2, 5, 1, 0, 0, 4, 1, 2])
TARGETS = {
    "classification": RNG.integers(0, 3, 12),
    "multilabel": RNG.integers(0, 2, (12, 3)),
    "regression": RNG.random((12, 3), np.float32),
}


def results(net: Network, x: Any, y: Any, name: str, weight: Any = None) -> tuple[Any, ...]:
    arguments = {"sample_weight": weight, "backend": name}
    return net.evaluate(x, y, **arguments), net.cost(x, y, **arguments), net.gradient(x, y, **arguments)


@pytest.mark.parametrize("task", TARGETS)
def test_whole_weights_repeat_examples(backend: Any, task: Any) -> None:
    name, y = name_of(backend), TARGETS[task]
    net = Network([4, 5, 3], task=task, cost=None, seed=0)
    repeated = results(net, np.repeat(X, COUNTS, axis=0), np.repeat(y, COUNTS, axis=0), name)
    for weights in (COUNTS, COUNTS.tolist(), COUNTS.astype(np.float32)):
        for found, expected in zip(results(net, X, y, name, weights), repeated, strict=True):
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-7)
    plain = results(net, X, y, name)
    for ones in (np.ones(12), np.ones(12, bool), [1] * 12):
        cmp.assert_same_bits(results(net, X, y, name, ones), plain)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (COUNTS[:11], r"sample_weight has shape \(11,\) and dtype int64; expected \(12,\) numbers"),
        (COUNTS[:, None], r"use numpy.ravel\(sample_weight\)"),
        (COUNTS - 1, r"sample_weight\[0\] is -1; a weight is 0, or from 1e-30 to 1e\+30"),
        (1e300 * COUNTS, r"sample_weight\[1\] is 3e\+300; a weight is 0, or from"),
        (np.where(COUNTS == 5, np.nan, 1), r"sample_weight\[5\] is nan"),
        (0 * COUNTS, "sample_weight is zero everywhere"),
        (["a"] * 12, "sample_weight"),
        ("balanced", "sample_weight must be an array or a list of numbers"),
    ],
)
def test_unusable_weights_are_refused(weights: Any, words: str) -> None:
    net = Network([4, 3], seed=0)
    for call in (net.evaluate, net.cost, net.accuracy, net.gradient):
        with pytest.raises(ValueError, match=words):
            call(X, TARGETS["classification"], sample_weight=weights)
