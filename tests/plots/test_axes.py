"""Pictures of one axes are drawn into the axes that the user gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")

from fastnet import Network, plots
from fastnet.insight import Importance, PartialDependence
from fastnet.plots.axes import short_names
from fastnet.search import search

IMPORTANCE = Importance(("a", "b"), np.ones(2), np.ones(2), np.ones((2, 3)), 0.9, "accuracy")
DEPENDENCE = PartialDependence("a", np.arange(3.0), np.ones((3, 2)), ("no", "yes"), "probability")
FOUND = search({"hidden": [(2,), (3,)]}, np.eye(6), np.arange(6) % 2, method="grid", seeds=1, budget=2, n_jobs=1)
DRAW: dict[str, Callable[..., Any]] = {
    "confusion": lambda **options: plots.confusion(np.eye(2, dtype=np.int64), **options),
    "importance": lambda **options: plots.importance(IMPORTANCE, **options),
    "partial_dependence": lambda **options: plots.partial_dependence(DEPENDENCE, **options),
    "search_curves": lambda **options: plots.search_curves(FOUND, **options),
    "search_parallel": lambda **options: plots.search_parallel(FOUND, **options),
    "weights": lambda **options: plots.weights(Network([3, 2]), **options),
    "weights of a deeper layer": lambda **options: plots.weights(Network([3, 2, 2]), layer=1, **options),
}


def test_each_picture_with_the_argument_is_tested_here() -> None:
    takes = {name for name in plots.__all__ if "ax" in inspect.signature(getattr(plots, name)).parameters}
    assert takes == set(DRAW) - {"weights of a deeper layer"}


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_the_picture_is_drawn_into_the_given_axes(draw: Callable[..., Any]) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subfigures(1, 2)
    other, axes = left.add_subplot(), right.add_subplot()
    assert draw(ax=axes) is figure
    assert axes.has_data()
    assert not other.has_data()
    alone = draw().axes[0]
    assert words(axes) == words(alone) != [""]
    assert len(axes.lines) == len(alone.lines)


def words(axes: Any) -> list[str]:
    """Return the label and the names along the lower edge of axes."""
    return [axes.get_xlabel(), *(label.get_text() for label in axes.get_xticklabels())]


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_what_is_no_axes_is_refused(draw: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"^ax must be an Axes of Matplotlib, not 3$"):
        draw(ax=3)


def test_several_axes_do_not_fit_into_one() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    for options in ({"before": Network([16, 2])}, {"image_shape": (4, 4)}, {}):
        with pytest.raises(ValueError, match="ax is for one table of weights: leave out `before` and image_shape"):
            plots.weights(Network([16, 2]), ax=axes, **options)


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["sepal length", "sepal width", "area"], ["sepal le…", "sepal wi…", "area"]),
        (["heating=gas", "heating=oil", "heating=heat pump"], ["heat…=gas", "heat…=oil", "heat…pump"]),
        (["class number 9 of many", "class number 10 of many"], ["…9 of ma…", "…10 of m…"]),
        (["the same long name"] * 2, ["the same…"] * 2),
        ([], []),
    ],
)
def test_short_names_differ(names: list[str], short: list[str]) -> None:
    assert short_names(names, 9) == short
