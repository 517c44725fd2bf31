"""The pictures of searches show the given settings, scores and histories."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")

from network_cases import refused

from fastnet import plots
from fastnet.plots.parameter_axis import ParameterAxis
from fastnet.search import SearchResult, loguniform, search, uniform

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 2)).astype(np.float32), np.arange(60) % 2
SPACE = {"hidden": [(2,), (4, 4)], "learning_rate": loguniform(1e-3, 1e-1), "optimizer": ["sgd", "adam"]}


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return search(SPACE, X, Y, trials=8, seeds=2, budget=4, n_jobs=1)


@pytest.fixture(scope="module")
def halved() -> SearchResult:
    return search(SPACE, X, Y, trials=9, seeds=2, budget=9, n_jobs=1, method="halving")


def with_value(found: SearchResult, value: float) -> SearchResult:
    """Return the result with another value of the metric for the first training."""
    records = [replace(found.records[0], value=value), *found.records[1:]]
    return SearchResult(records, found.networks, found.request)


# -- axes of parameters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidates", "values", "is_log"),
    [
        (loguniform(1, 2), [1.0, 1.5, 2.0], True),
        (uniform(0, 1), [0.001, 0.01, 1.0], False),
        ([1e-4, 1e-3, 1e-2], [1e-4, 1e-3, 1e-2], True),
        ([8, 16, 64], [8, 16, 64], True),
        ([0.1, 0.2, 0.5], [0.1, 0.2, 0.5], False),
        ([0, 0.01, 0.1], [0, 0.01, 0.1], False),
        (lambda setting: uniform(0, 0.3), [0.005, 0.1, 0.14, 0.2, 0.29], False),
    ],
)
def test_numbers_on_a_logarithmic_scale_have_a_logarithmic_axis(candidates: Any, values: Any, is_log: bool) -> None:
    axis = ParameterAxis.of("a", [{"a": value} for value in values], [{"a": candidates}])
    assert (axis.is_log, axis.names) == (is_log, [])
    assert axis.shares(axis.values)[[0, -1]].tolist() == [0, 1]


def test_distributions_of_scipy_are_known() -> None:
    stats = pytest.importorskip("scipy.stats", reason="draws from a distribution of SciPy")
    for distribution, is_log in ((stats.loguniform(1, 3), True), (stats.uniform(1, 100), False)):
        settings = [{"a": value} for value in (1.0, 2.0, 100.0)]
        assert ParameterAxis.of("a", settings, [{"a": distribution}]).is_log == is_log


def test_other_values_have_names_in_order() -> None:
    settings: list[dict[str, Any]] = [{"hidden": (16, 16)}, {"hidden": (64,)}, {"hidden": (4,)}, {}]
    axis = ParameterAxis.of("hidden", settings, [])
    assert axis.names == ["-", "4", "16-16", "64"]
    assert axis.values.tolist() == [2, 3, 1, 0]
    numbers = ParameterAxis.of("dropout", [{"dropout": 0.5}, {}], [])
    assert np.isnan(numbers.values).tolist() == [False, True]


@pytest.mark.parametrize("candidates", [[0, 1e-5, 1e-4, 1e-1], [0.1, 0.10001, 0.2], [1000000, 1000001, 2000000]])
def test_a_few_candidates_that_are_too_close_become_names(candidates: Any) -> None:
    axis = ParameterAxis.of("a", [{"a": value} for value in [*candidates[::-1], None]], [{"a": candidates}])
    assert list(map(float, axis.names)) == candidates
    assert axis.values[:-1].tolist() == [*range(len(candidates))][::-1]
    assert math.isnan(axis.values[-1])
    drawn = ParameterAxis.of("a", [{"a": value} for value in candidates], [{"a": uniform(0, 3e6)}])
    assert drawn.names == []
    assert len(drawn.few_values) == 0


def test_ticks_do_not_overlap_and_differ() -> None:
    scores = ParameterAxis(np.array([1000200.0, 1000210.0, 1000900.0]), [])
    places, texts = zip(*scores.ticks(), strict=True)
    assert np.diff(places).min() > 0.08
    assert len(set(texts)) == len(texts)
    many = ParameterAxis.of("hidden", [{"hidden": (k,)} for k in range(1, 41)] + [{"hidden": (9, 9)}], [])
    assert [text for _, text in many.ticks()] == many.names[::3]


# -- pictures --------------------------------------------------------------------------------------------------


def test_each_setting_is_a_line_across_the_axes(found: SearchResult) -> None:
    (axes,) = plots.search_parallel(found).axes
    lines = np.array([*axes.collections[0].get_segments()[::-1]])[:, :, 1]
    best = axes.lines[-1].get_ydata()
    heights = np.vstack([best, lines])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["hidden", "learning\nrate", "optimizer", "score"]
    rates = np.log([one.setting["learning_rate"] for one in found.standings])
    np.testing.assert_allclose(heights[:, 1], (rates - rates.min()) / np.ptp(rates))
    scores = np.array([one.score for one in found.standings])
    np.testing.assert_allclose(heights[:, 3], (scores - scores.min()) / np.ptp(scores))
    assert {text.get_text() for text in axes.texts} >= {"2", "4-4", "adam", "sgd"}


def test_better_is_higher_up_and_diverged_settings_are_below() -> None:
    found = search(SPACE, X, X[:, 0], trials=4, seeds=1, budget=2, n_jobs=1)  # the metric is the cost
    (axes,) = plots.search_parallel(with_value(found, math.nan)).axes
    assert axes.lines[-1].get_ydata()[-1] == 1
    assert min(axes.collections[0].get_segments()[0][:, 1]) < 0
    assert "diverged" in {text.get_text() for text in axes.texts}


def test_effects_are_means_over_the_settings_with_a_value(found: SearchResult) -> None:
    figure = plots.search_effects(found)
    assert [axes.get_xlabel() for axes in figure.axes] == ["hidden", "learning rate", "optimizer"]
    groups = [[one.mean for one in found.standings if one.setting["optimizer"] == name] for name in ("adam", "sgd")]
    means = next(line for line in figure.axes[2].lines if line.get_marker() == "o")
    np.testing.assert_allclose(means.get_ydata(), [np.mean(group) for group in groups])
    bars = figure.axes[2].collections[0].get_segments()
    np.testing.assert_allclose([np.ptp(bar[:, 1]) / 2 for bar in bars], [np.std(group) for group in groups])
    assert figure.axes[1].get_xscale() == "log"


def test_effects_of_a_halving_compare_settings_after_equal_epochs(halved: SearchResult) -> None:
    axes = plots.search_effects(halved).axes[0]
    assert axes.get_ylabel() == "accuracy after 1 epoch"
    firsts = [record.history["validation_accuracy"][0] for record in halved.records]
    np.testing.assert_allclose(np.sort(axes.lines[0].get_ydata()), np.sort(np.mean(np.reshape(firsts, (-1, 2)), 1)))


def test_curves_of_the_best_setting_stand_out(found: SearchResult, halved: SearchResult) -> None:
    for one, columns in ((found, 4), (halved, 9)):
        (axes,) = plots.search_curves(one).axes
        others, best = axes.collections
        expected = [r.history["validation_accuracy"] for r in one.records if r.trial.number == one.best.number]
        np.testing.assert_array_equal([line[:, 1] for line in best.get_segments()], expected)
        assert len(best.get_segments()[0]) == columns
        assert len(others.get_segments()) == len(one.records) - 2
        assert axes.get_ylabel() == "accuracy on the rows held out"
    metric = search(SPACE, X, Y, trials=2, seeds=1, budget=2, n_jobs=1, metric=lambda network, x, y: 1.0)
    assert plots.search_curves(metric).axes[0].get_ylabel() == "cost on the rows held out"


def test_no_setting_stands_out_if_all_diverged(found: SearchResult) -> None:
    from matplotlib.colors import to_hex

    records = [replace(record, value=math.nan) for record in found.records]
    none = SearchResult(records, found.networks, found.request)
    refused(lambda: plots.search_effects(none), "all 8 settings diverged")
    for draw in (plots.search_parallel, plots.search_curves):
        (axes,) = draw(none).axes
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["diverged"]
        assert plots.style.RED not in [to_hex(line.get_color()).upper() for line in axes.lines]
    assert not axes.collections[1].get_segments()


def test_what_cannot_be_drawn_is_refused(found: SearchResult) -> None:
    one = search({"learning_rate": 0.1}, X, Y, trials=2, seeds=1, budget=1, n_jobs=1)
    for draw in (plots.search_parallel, plots.search_effects):
        refused(lambda draw=draw: draw(one), "no parameter varies")
        refused(lambda draw=draw: draw([found]), "found must be a fastnet.search.SearchResult, not list")
    refused(lambda: plots.search_curves(found.records), "found must be a fastnet.search.SearchResult")
    assert plots.search_curves(one).axes
