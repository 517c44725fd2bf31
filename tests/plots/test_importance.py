"""The pictures of importance, of partial dependence and of predictions show the given numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")

from fastnet import Network, plots
from fastnet.data.schema import Column, Schema
from fastnet.insight import Importance, PartialDependence

RNG = np.random.default_rng(0)


def found(n: int, measure: str = "accuracy") -> Importance:
    values = RNG.random((n, 5))
    names = tuple(f"column {k}" for k in range(n))
    return Importance(names, values.mean(axis=1), values.std(axis=1), values, 0.9, measure)


def ticks(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


# -- importance ------------------------------------------------------------------------------------------------


def test_columns_are_bars_with_their_spread_the_most_important_first() -> None:
    one = found(4)
    (axes,) = plots.importance(one).axes
    order = np.argsort(-one.mean)
    assert ticks(axes.yaxis) == [f"column {k}" for k in order]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], one.mean[order])
    spread = axes.collections[0].get_segments()
    np.testing.assert_allclose([ends[:, 0] for ends in spread], (one.mean + [[-1], [1]] * one.deviation).T[order])
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first is on top
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("fall of the accuracy", "")
    assert plots.importance(found(2, "r2")).axes[0].get_xlabel() == "fall of R2"


def test_only_the_most_important_of_many_columns_are_drawn() -> None:
    one = found(30)
    (axes,) = plots.importance(one).axes
    assert ticks(axes.yaxis) == [f"column {k}" for k in one.order[:20]]
    assert axes.get_ylabel() == "the 20 most important of 30 columns"


def test_percentages_of_ticks_are_exact() -> None:
    one = found(3)
    one.mean[...] = [0.09, 0.05, -0.03]  # Matplotlib would put ticks at 2.5%
    one.deviation[...] = 0
    figure = plots.importance(one)
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    written = [float(text.replace("\N{MINUS SIGN}", "-").rstrip("%")) / 100 for text in ticks(axis)]
    np.testing.assert_allclose(written, axis.get_ticklocs(), atol=1e-9)
    assert len(written) > 3


# -- partial dependence ----------------------------------------------------------------------------------------


def dependence(n_out: int, grid: Any = (0.0, 1.0, 2.0), measure: str = "probability") -> PartialDependence:
    average = RNG.random((len(grid), n_out))
    names = tuple(f"class {k}" for k in range(n_out))
    return PartialDependence("$width$", np.array(grid), average, names, measure)


def test_each_class_is_a_line() -> None:
    one = dependence(3)
    (axes,) = plots.partial_dependence(one).axes
    for line, average in zip(axes.lines, one.average.T, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), one.grid)
        np.testing.assert_array_equal(line.get_ydata(), average)
    assert len({line.get_color() for line in axes.lines}) == 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["class 0", "class 1", "class 2"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (r"\$width\$", "mean probability")


def test_the_second_of_two_classes_and_the_value_of_a_regression_are_drawn() -> None:
    two = dependence(2)
    (axes,) = plots.partial_dependence(two).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), two.average[:, 1])
    assert len(axes.lines) == 1
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["class 1"]
    (axes,) = plots.partial_dependence(dependence(1, measure="value")).axes
    assert axes.get_legend() is None
    assert axes.get_ylabel() == "mean value"


def test_of_many_classes_those_that_change_most_are_drawn() -> None:
    one = dependence(20)
    (axes,) = plots.partial_dependence(one).axes
    drawn = sorted(np.argsort(-np.ptp(one.average, axis=0))[:7])
    assert len(axes.lines) == 7
    for line, k in zip(axes.lines, drawn, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), one.average[:, k])
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {f"class {k}" for k in drawn}


def test_levels_are_points_and_several_columns_are_drawn_below_each_other() -> None:
    several = [dependence(3), dependence(3, ("Oslo", "Rome"))]
    above, below = plots.partial_dependence(several).axes
    assert ticks(below.xaxis) == ["Oslo", "Rome"]
    assert {line.get_linestyle() for line in below.lines} == {"None"}
    assert {line.get_linestyle() for line in above.lines} == {"-"}
    assert above.get_ylim() == below.get_ylim()
    assert below.get_legend() is None


def test_results_that_cannot_be_drawn_together_are_refused() -> None:
    from matplotlib.figure import Figure

    with pytest.raises(ValueError, match="found is empty"):
        plots.partial_dependence([])
    with pytest.raises(ValueError, match="different outputs; expected results of one model"):
        plots.partial_dependence([dependence(3), dependence(2)])
    with pytest.raises(ValueError, match="ax is for one result, but found has 2"):
        plots.partial_dependence([dependence(3)] * 2, ax=Figure().add_subplot())


# -- predictions -----------------------------------------------------------------------------------------------


def test_predictions_are_drawn_against_the_truth_and_their_errors() -> None:
    network = Network([3, 2], output="identity", seed=0)
    x, y = RNG.random((9, 3)), RNG.random((9, 2)).astype(np.float32)
    above, below = plots.predictions(network, x, y, output=1).axes
    predicted = network.forward(x)[:, 1]
    np.testing.assert_array_equal(above.lines[0].get_xdata(), predicted)
    np.testing.assert_array_equal(above.lines[0].get_ydata(), y[:, 1])
    np.testing.assert_array_equal(below.lines[0].get_ydata(), y[:, 1] - predicted)
    ends = np.array([min(predicted.min(), y[:, 1].min()), max(predicted.max(), y[:, 1].max())])
    np.testing.assert_allclose([above.lines[1].get_xdata(), above.lines[1].get_ydata()], [ends, ends])
    assert (above.get_title(loc="left"), below.get_xlabel()) == ("", "predicted value")


def test_the_target_s_name_is_the_title() -> None:
    network = Network([3, 1], output="identity", seed=0)
    network.schema = Schema(tuple(map(Column, "abc")), "price")
    figure = plots.predictions(network, RNG.random((9, 3)), RNG.random(9))
    assert figure.axes[0].get_title(loc="left") == "price"
    with pytest.raises(ValueError, match="network has the task classification; expected a regression"):
        plots.predictions(Network([3, 2]), RNG.random((9, 3)), [0] * 9)
