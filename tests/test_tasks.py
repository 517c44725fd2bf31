"""The task of a network: what `predict` returns, which scores have a meaning, and which targets fit."""

from __future__ import annotations

from typing import Any

import comparisons as cmp
import numpy as np
import pytest
from conftest import name_of

from fastnet import Evaluation, Network

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4)).astype(np.float32)
LABELS = RNG.integers(0, 2, (40, 3))


@pytest.fixture
def name(backend: Any) -> str:
    """Return the name of each backend of this machine."""
    return name_of(backend)


def network(task: Any, n_out: int = 3, **arguments: Any) -> Network:
    return Network([4, 5, n_out], task=task, cost=None, init="normal", seed=1, **arguments)


def test_several_labels_are_predicted_one_by_one(name: str) -> None:
    net = network("multilabel")
    expected = (net.forward(X, backend=name) >= 0.5).astype(np.int64)
    assert 0 < expected.mean() < 1
    predictor, out = net.compile(backend=name, max_batch=40), np.empty((40, 3), np.int64)
    for found in (net.predict(X, backend=name), predictor.predict(X), net.predict(X, out=out, backend=name)):
        cmp.assert_same_bits([found], [expected])
    assert predictor.predict(X[3]).tolist() == expected[3].tolist()
    assert predictor.predict(X, out) is out
    with pytest.raises(ValueError, match=r"out must be an array of shape \(40, 3\) and dtype int64"):
        net.predict(X, out=np.empty(40, np.int64))


def test_a_regression_with_sigmoid_outputs_predicts_values(name: str) -> None:
    net = network("regression", output="sigmoid")
    for found in (net.predict(X, backend=name), net.compile(backend=name, max_batch=40).predict(X)):
        cmp.assert_close(found, net.forward(X, backend=name), 1e-6)


def test_each_task_has_its_scores() -> None:
    labels, values = network("multilabel"), network("regression")
    right = labels.predict(X) == LABELS
    found = labels.evaluate(X, LABELS)
    assert found[1:3] == pytest.approx((right.all(axis=1).mean(), right.mean()))
    assert labels.accuracy(X, LABELS) == found.accuracy
    assert np.isnan(found.r2)
    found = values.evaluate(X, LABELS)
    assert np.isnan(found[1:3]).all()
    assert found.r2 < 1
    assert values.evaluate(X, values.predict(X)).r2 == 1
    assert np.isnan(network(None).evaluate(X, np.argmax(LABELS, axis=1))[2:]).all()
    assert Evaluation._fields == ("cost", "accuracy", "label_accuracy", "r2")


def test_r2_compares_with_the_mean_of_each_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastnet.evaluation.MAX_NUMBERS", 30)  # several blocks
    net, weights = network("regression", 2, dtype=np.float64), RNG.random(40)
    y = RNG.normal(size=(40, 2)) * (1, 5) + (100, 0)
    for w in (np.ones(40), weights):
        mean = np.average(y, axis=0, weights=w)
        expected = 1 - w @ np.square(net.forward(X) - y).sum(axis=1) / (w @ np.square(y - mean).sum(axis=1))
        assert net.evaluate(X, y, sample_weight=w).r2 == pytest.approx(expected, rel=1e-10)
    equal = np.tile([0.1, 0.7], (40, 1))  # their weighted mean has a rounding error
    assert np.isnan(net.evaluate(X, equal, sample_weight=weights).r2)


@pytest.mark.parametrize(
    ("task", "y", "words"),
    [
        ("classification", LABELS, r"y\[\d+\] has [23] entries above 0.5, .*task='multilabel'.*task='regression'"),
        ("classification", np.zeros((40, 3)), r"y\[0\] has no entry above 0, .*task='multilabel'"),
        ("multilabel", np.argmax(LABELS, axis=1), r"y has shape \(40,\); .* array \(40, 3\), .*'classification'"),
        ("multilabel", 255 * LABELS, r"y\[\d+, \d\] is 255; sigmoid outputs need targets from 0 to 1"),
        ("classification", 255 * np.eye(3)[LABELS[:, 0]], r"y\[0, \d\] is 255; softmax outputs need targets"),
    ],
)
def test_targets_that_do_not_fit_the_task_are_refused(task: Any, y: Any, words: str) -> None:
    net = network(task)
    for call in (net.cost, net.gradient, net.evaluate):
        with pytest.raises(ValueError, match=words):
            call(X, y)


def test_soft_targets_of_two_equal_classes_are_accepted() -> None:
    network("classification").cost(X, np.tile([0.5, 0.5, 0], (40, 1)))
    network("regression", output="sigmoid").cost(X, LABELS)
    Network([4, 3], cost="squared_error", task="regression").cost(X, 500.0 * LABELS)


def test_a_regression_has_no_accuracy_and_no_labels_to_confuse() -> None:
    from fastnet.insight import classified

    with pytest.raises(ValueError, match="task='regression' has no accuracy: use evaluate"):
        network("regression").accuracy(X, LABELS)
    with pytest.raises(ValueError, match="task='multilabel' has no classes to confuse"):
        classified(network("multilabel"), X, LABELS)
