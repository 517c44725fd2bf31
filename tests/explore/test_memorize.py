"""The experiments memorize, minima and data-size on small digits: texts, numbers and pictures."""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np
import pytest

import fastnet
from fastnet.explore import Finding, Setting, memorize, minima, plain, run
from fastnet.insight import CHAPTER, MEMORIZER

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
pytest.importorskip("scipy", reason="matching neurons needs the extra `insight`")


@cache
def digits() -> fastnet.data.Dataset:
    pytest.importorskip("sklearn", reason="digits need the extra `sklearn`")
    return fastnet.data.load("digits")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the trainings fewer and smaller. Other tests check the results of full trainings."""
    monkeypatch.setattr(memorize, "MAX_IMAGES", 200)
    monkeypatch.setattr(memorize, "CURVES", 5)
    monkeypatch.setattr(memorize, "PATIENCE", 5)
    monkeypatch.setattr(memorize, "CAPACITIES", (50, 100, 10_000))
    monkeypatch.setattr(memorize, "MEMORIZER", MEMORIZER.but(epochs=5))
    monkeypatch.setattr(minima, "N_SEEDS", 3)
    monkeypatch.setattr(minima, "MAX_TRAINED", 300)


PICTURES = {
    "memorize": {
        "memorize",
        *(f"memorize-{x}" for x in ["corruption", "width", "weight-decay", "dropout", "capacity"]),
    },
    "minima": {
        *("minima", "minima-landscape", "minima-descent"),
        *("minima-between-64-16-16-10", "minima-between-64-128-10"),
    },
    "data-size": {"data-size"},
}


def explored(name: str, data: fastnet.data.Dataset | None = None) -> Finding:
    return run(name, Setting(data or digits(), n_seeds=2, recipe=CHAPTER.but(epochs=3)))


@pytest.mark.parametrize("name", PICTURES)
def test_an_experiment_has_text_numbers_and_pictures(name: str) -> None:
    from fastnet.plots.style import rendered

    found = explored(name)
    assert set(found.pictures) == PICTURES[name]
    for draw in found.pictures.values():
        assert rendered(draw()).startswith(b"\x89PNG")
    written = json.dumps(plain(found.numbers), allow_nan=False)
    assert len(written) < 2_000_000
    assert "directions" not in written  # each direction has as many numbers as the network has parameters
    assert max(map(len, found.text.splitlines())) < 130


@pytest.mark.parametrize("name", PICTURES)
def test_few_examples_without_pictures_are_enough(name: str) -> None:
    data, some = digits(), slice(40)
    few = (array[some].astype(np.float32) / 255 for array in (data.x_train[:, :30], data.x_test[:, :30]))
    x, tested = few
    own = fastnet.data.Dataset("own.csv", x, data.y_train[some], tested, data.y_test[some], None, data.class_names)
    found = explored(name, own)
    assert found.text
    for draw in found.pictures.values():
        draw().canvas.draw_idle()


def test_memorize_compares_the_conditions_in_its_text() -> None:
    found = explored("memorize")
    conditions = found.numbers["conditions"]
    for name, (corrupted, images) in {
        "true labels": (0.0, "true"),
        "shuffled labels": (1.0, "true"),
        "shuffled pixels": (0.0, "shuffled"),
        "noise as images": (0.0, "noise"),
    }.items():
        one = conditions[name]["run"]
        assert (one.corrupted, one.images, one.n, one.sizes) == (corrupted, images, 200, (64, 128, 10))
        assert re.search(rf"^{name} .* {one.final_test.mean():.1%}$", found.text, re.M)
    assert [one["run"].corrupted for one in found.numbers["corrupted"]] == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    widths = found.numbers["width"]
    assert [one["run"].sizes[1] for one in widths["shuffled labels"]] == list(widths["values"])
    assert [one["run"].corrupted for one in widths["shuffled labels"] + widths["true labels"]] == [1.0] * 6 + [0.0] * 6
    assert [one["run"].n for one in found.numbers["capacity"]["64-16-16-10"]] == [50, 100, 1438]
    assert [re.search(rf"^ *{n} +\d", found.text, re.M) is not None for n in ("50", "100", "1,438", "10,000")] == [
        *(True, True, True, False)
    ]


def test_the_text_names_a_condition_that_is_not_fitted_in_time() -> None:
    found = explored("memorize")
    assert np.isnan(found.numbers["conditions"]["shuffled labels"]["epochs_to_fit"]).all()
    assert re.search(r"^shuffled labels +>5 +0 of 2 seeds", found.text, re.M)


def test_minima_prints_the_numbers_it_keeps() -> None:
    found = explored("minima")
    for width, variation in zip(found.numbers["minima"].widths, found.numbers["variation"], strict=True):
        assert re.search(rf"^ *{width} .* {variation:.3f} ", found.text, re.M)
    for name, barriers in found.numbers["barriers"].items():
        for how, barrier in barriers.items():
            assert re.search(rf"^{name} {how} .* {barrier:.3f} ", found.text, re.M)
    barriers = found.numbers["barriers"]["64-128-10"]
    # measured with five seeds: barriers of 0.32 to 0.47 as trained, 0.05 to 0.07 with matched neurons
    assert barriers["neurons matched"] < 0.7 * barriers["as trained"]
    assert f"{found.numbers['descent_plane']['variance'][0]:.0%}" in found.text


def test_data_size_prints_a_line_for_each_size() -> None:
    found = explored("data-size")
    sizes, test = found.numbers["found"].sizes, found.numbers["found"].test
    assert sizes == (100, 300, 1000, len(digits().y_train))
    assert len(set(found.numbers["found"].updates)) > 1  # 1,438 images end in a smaller batch
    assert "All trainings see the same number of images, to within half an epoch." in found.text
    for size, accuracy in zip(sizes, test.mean(axis=0), strict=True):
        assert re.search(rf"^ *{size:,} .* {accuracy:.1%} ", found.text, re.M)
