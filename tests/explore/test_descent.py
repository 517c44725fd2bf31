"""The experiments `descent` and `gradient`: their texts for digits and for data without images."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

import fastnet
from fastnet.errors import FastnetError
from fastnet.evaluation import Evaluation
from fastnet.explore import Finding, Setting, plain, run
from fastnet.explore.descent import _stop_text
from fastnet.insight import BatchRun, StopAtMinimum
from fastnet.training.recipe import CHAPTER


@pytest.fixture(scope="module")
def setting() -> Setting:
    pytest.importorskip("sklearn", reason="digits need the extra `sklearn`")
    return Setting(fastnet.data.load("digits"), seed=0, n_seeds=2, recipe=CHAPTER.but(epochs=12))


@pytest.fixture(scope="module")
def descent(setting: Setting) -> Finding:
    return run("descent", setting)


@pytest.fixture(scope="module")
def gradient(setting: Setting) -> Finding:
    return run("gradient", setting)


def test_the_text_of_the_descent_has_its_numbers(descent: Finding) -> None:
    numbers: Any = descent.numbers
    slow, rates = numbers["slow"], numbers["by_rate"]
    assert slow.batch_size == 1438
    assert f"norm {slow.gradient_norm[0]:.2f} at step 0" in descent.text
    assert f"{slow.ratio.min():.1%} to {slow.ratio.max():.1%}" in descent.text
    assert 0.95 < slow.ratio.min() <= slow.ratio.max() < 1.05
    assert not rates[0.1].overshoot.any()
    assert rates[10.0].overshoot.any()
    assert f"{rates[10.0].overshoot.sum()} of {len(rates[10.0])}" in descent.text
    assert f"the suggested rate is {numbers['range_test'].suggestion:.2g}" in descent.text
    assert f"test accuracy {numbers['accuracy']['suggested rate']:.2%} at the suggested rate" in descent.text
    for found in numbers["batches"]:
        assert f"{found.steps[-1]:,}" in descent.text
        assert f"{found.cost[-1]:.4f}" in descent.text
    assert [found.batch_size for found in numbers["batches"]] == [1438, 10, 1]
    assert numbers["stop"]["reached"]
    assert "the gradient is short enough for a minimum, but batches of 1 reached the lower cost" in descent.text
    assert f"after {numbers['stop']['steps'][-1]} steps" in descent.text
    assert numbers["stop"]["norms"][-1] <= 0.01 * slow.gradient_norm[0]


def test_the_text_of_the_stop_follows_the_result() -> None:
    """The text mentions a lower cost of batches only if there is one, and a minimum only if the gradient is short."""
    stop = StopAtMinimum(np.zeros((1, 1)), np.zeros(1), 0.5)
    stop.steps, stop.norms = [3], [0.4]
    ones = np.ones(1)
    run = BatchRun(10, 0.5, ones.astype(int), ones.astype(int), ones, 0.2 * ones, False)
    assert "minimum, but batches of 10 reached the lower cost 0.200 (table above)" in _stop_text(
        stop, Evaluation(0.3, 0.5), 7, [run]
    )
    assert _stop_text(stop, Evaluation(0.1, 0.5), 7, [run]).endswith("the gradient is short enough for a minimum")
    stop.norms = [0.6]
    text = _stop_text(stop, Evaluation(0.3, 0.5), 7, [run])
    assert text.endswith("the gradient is not short yet")
    assert "on all 7 examples, after 3 steps" in text


def test_the_error_of_a_divergence_says_what_to_do() -> None:
    rng = np.random.default_rng(0)
    x, y = (1e4 * rng.normal(size=(40, 5))).astype(np.float32), np.arange(40) % 2
    data = fastnet.data.Dataset("large", x, y, x, y, None, ("0", "1"))
    words = r"memorize: .* are from -[\de+.]+ to [\de+.]+: scale them first"
    with pytest.warns(UserWarning, match="StandardScaler"), pytest.raises(FastnetError, match=words):
        run("memorize", Setting(data, "numpy", n_seeds=2))


def test_the_text_of_the_gradient_has_its_numbers(gradient: Finding) -> None:
    numbers: Any = gradient.numbers
    assert list(numbers) == ["0", "1", "5", "12"]
    for stage in numbers.values():
        assert f"{stage['norm']:.3f}" in gradient.text
        assert f"{stage['top 1%']:.0%}" in gradient.text
        assert stage["nudges"].advantage > 2
        assert f"{stage['nudges'].advantage:.1f}" in gradient.text
    most = gradient.text.partition("components after training:")[2].splitlines()[2:]
    assert len(most) == 5
    assert all(any(word in line for word in ("pixel ", "neuron ", "bias")) for line in most)


@pytest.mark.parametrize("name", ["descent", "gradient"])
def test_their_numbers_are_json_and_their_pictures_can_be_drawn(name: str, descent: Finding, gradient: Finding) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
    found = {"descent": descent, "gradient": gradient}[name]
    json.dumps(plain(found.numbers), allow_nan=False)
    expected = {
        "descent": ["descent", "overshoot", "range-test", "batches"],
        "gradient": ["gradient-ranking", "neuron-gradients"],
    }
    assert list(found.pictures) == expected[name]
    for draw in found.pictures.values():
        assert draw().axes


def test_data_without_images_have_no_pictures_of_pixels(setting: Setting) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 5)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    data = dataclasses.replace(
        setting.data,
        name="table",
        x_train=x[:60],
        y_train=y[:60],
        x_test=x[60:],
        y_test=y[60:],
        image_shape=None,
        class_names=("no", "yes"),
    )
    table = Setting(data, recipe=CHAPTER.but(epochs=3))
    found = run("gradient", table)
    assert list(found.pictures) == ["gradient-ranking"]
    assert "The examples are not images" in found.text
    assert "pixel" not in found.text
    assert list(found.numbers) == ["0", "1", "3"]
    assert "60 examples" in run("descent", table).text
