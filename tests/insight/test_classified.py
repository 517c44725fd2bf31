"""The confusion matrix, the accuracy and the mistakes of a classifier equal counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet
from fastnet import insight

X = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_confusion_equals_counting_by_hand(outputs: int) -> None:
    network = fastnet.Network([5, outputs], seed=1)
    classes = max(outputs, 2)
    y = np.arange(200) % classes
    found = insight.classified(network, X, y, backend="numpy")
    a = network.forward(X, backend="numpy")
    a = np.hstack((1 - a, a)) if outputs == 1 else a
    expected = np.zeros((classes, classes), int)
    for truth, row in zip(y, a, strict=True):
        expected[truth, max(range(classes), key=lambda k: row[k])] += 1
    np.testing.assert_array_equal(found.matrix, expected)
    assert found.matrix.sum() == 200
    assert found.accuracy == np.trace(expected) / 200 == network.accuracy(X, y, backend="numpy")
    np.testing.assert_array_equal(found.confidence, a.max(axis=1))
    wrong = found.mistakes
    assert sorted(wrong) == np.flatnonzero(found.predicted != y).tolist()
    assert len(wrong) > 20
    assert (np.diff(found.confidence[wrong]) <= 0).all()


def test_dense_targets_are_read_as_classes() -> None:
    y = np.arange(200) % 4
    network = fastnet.Network([5, 4], seed=1)
    expected = insight.classified(network, X, y)
    np.testing.assert_array_equal(insight.classified(network, X, np.eye(4)[y]).matrix, expected.matrix)
    one = fastnet.Network([5, 1], seed=1)
    expected = insight.classified(one, X, y % 2)
    found = insight.classified(one, X, np.where(y % 2, 0.9, 0.2)[:, None])
    np.testing.assert_array_equal(found.matrix, expected.matrix)


def test_a_regression_has_no_confusion_matrix() -> None:
    with pytest.raises(ValueError, match="has no classes to confuse"):
        insight.classified(fastnet.Network([5, 2], output="identity"), X, X[:, :2])


def test_confusion_is_the_matrix_of_classified() -> None:
    network, y = fastnet.Network([5, 4], seed=1), np.arange(200) % 4
    expected = insight.classified(network, X, y).matrix
    np.testing.assert_array_equal(insight.confusion(network, X, y), expected)
    assert len(set(expected.ravel())) > 4
