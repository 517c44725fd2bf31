"""Accuracy against the number of training examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import name_of
from insight_cases import blobs, data, images, unseen

from fastnet.insight import CHAPTER, Recipe, data_size
from fastnet.insight.data_size import steps_to
from fastnet.insight.task import stratified_order

SMALL = Recipe(
    (8,),
    3,
    {"activation": "relu", "cost": "cross_entropy"},
    {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 10},
)


# Test accuracies of five seeds, similar on all backends [in the literature]: 100 images: 0.675 to 0.724 [0.69],
# 1,000 images: 0.853 to 0.890 [0.89], all 4,000 images: 0.909 to 0.917.
def test_more_images_help_less_and_less(backend: Any) -> None:
    found = data_size(*images(4000), test=unseen(), sizes=(100, 1000, 4000), seeds=range(3), backend=name_of(backend))
    few, some, all_of_them = found.test.T
    assert 0.6 < few.min() < few.max() < 0.8
    assert 0.82 < some.min() < some.max() < 0.92
    assert all_of_them.min() > 0.89
    assert few.max() < some.min() < some.max() < all_of_them.min()
    assert some.mean() - few.mean() > 3 * (all_of_them.mean() - some.mean())  # measured: 0.17 and 0.04
    assert found.training[:, 0].min() > found.training[:, 2].max()  # the network memorises a few images
    assert set(found.updates) == {12_000}


# Test accuracies of five seeds on all of MNIST [in the literature]: 1,000 images: 0.854 to 0.878 [0.89], 10,000 images:
# 0.920 to 0.931 [0.93 to 0.94], 50,000 images: 0.945 to 0.952 [0.96]. With three times as many updates the accuracies
# are nearly the same: 0.859 to 0.876, 0.918 to 0.931 and 0.947 to 0.951.
def test_ten_times_as_many_images_still_help(backend: Any) -> None:
    digits = data("mnist")
    found = data_size(
        *(digits.x_train, digits.y_train),
        test=(digits.x_test, digits.y_test),
        sizes=(1000, 10_000, 50_000),
        seeds=[0],
        recipe=CHAPTER.but(epochs=10),
        backend=name_of(backend),
    )
    some, more, most = found.test[0]
    assert 0.83 < some < 0.90 < more < 0.945
    assert 0.94 < most < 0.965
    assert most - more < more - some


def test_each_seed_trains_on_the_first_rows_of_its_stratified_order() -> None:
    x, y = blobs(60)
    test = blobs(30, seed=1)
    found = data_size(x, y, test=test, sizes=(12, 60), seeds=(5, 1), recipe=SMALL)
    for row, seed in enumerate((5, 1)):
        order = stratified_order(y, np.random.default_rng([seed, 1]))
        for column, (size, epochs) in enumerate(((12, 15), (60, 3))):
            assert found.epochs[column] == epochs
            trainer = SMALL.start(10, 3, seed)
            trainer.fit(x[order[:size]], y[order[:size]], epochs=epochs)
            assert found.updates[column] == trainer.steps
            assert found.test[row, column] == trainer.evaluate(*test).accuracy
            assert found.training[row, column] == trainer.evaluate(x[order[:size]], y[order[:size]]).accuracy


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(80, (80,)), (100, (100,)), (101, (100, 101)), (4000, (100, 300, 1000, 3000, 4000))],
)
def test_default_sizes_go_from_100_to_all_examples(n: int, sizes: tuple[int, ...]) -> None:
    assert steps_to(n) == sizes


def test_the_last_default_size_is_all_examples() -> None:
    assert data_size(*blobs(150), test=blobs(), seeds=[0], recipe=SMALL).sizes == (100, 150)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (61,)}, "at most 60"),
        ({"sizes": ()}, "one or more different"),
        ({"sizes": (0,)}, "at least 1"),
        ({"sizes": (5, 5)}, "one or more different"),
        ({"seeds": ()}, "seeds"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data_size(*blobs(60), test=blobs(), recipe=SMALL, **change)


def test_data_size_requires_test_examples() -> None:
    with pytest.raises(TypeError, match="test must be a pair"):
        data_size(*blobs(), test=None, recipe=SMALL)
