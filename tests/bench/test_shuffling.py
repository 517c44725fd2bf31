"""The benchmark of shuffle buffers, on few images: a small buffer is as good as an exact shuffle."""

from __future__ import annotations

import numpy as np

from fastnet.bench import shuffling
from fastnet.bench.workloads import Images
from fastnet.data import load


def test_a_small_buffer_trains_as_well_as_a_shuffle_of_sorted_images() -> None:
    data = load("mnist-5k")
    order = np.argsort(data.y_train, kind="stable")
    images = Images(data.x_train[order], data.y_train[order], data.x_test, data.y_test, "mnist-5k")
    exact, small, unshuffled = (shuffling.accuracies(images, part, seed=0) for part in (1, 10, None))
    assert len(exact) == len(shuffling.EPOCHS)
    assert abs(exact[-1] - small[-1]) < 0.03
    assert unshuffled[-1] < exact[-1] - 0.1
    records = [{"buffer": shuffling.name_of(part), "accuracies": [exact, small]} for part in (1, 10)]
    assert [row[0] for row in shuffling.section(records, 2, "few").rows] == ["all images", "1/10 of the images"]
