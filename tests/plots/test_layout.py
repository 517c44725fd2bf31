"""Every picture is readable: no text is small, cut or covered, and no legend covers data.

The pictures are those of the examples in the docstrings of fastnet.plots, and pictures of long names and many classes.
"""

from __future__ import annotations

import doctest
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")

import fastnet
from fastnet import plots
from fastnet.insight import Importance, PartialDependence, compare_batches, confidence_on_noise
from fastnet.plots import style
from fastnet.search import OMIT, loguniform, search, uniform
from fastnet.training.history import FIELDS

LONG = [f"a very long name of a class, number {k}" for k in range(20)]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)  # a new one, so that a picture does not depend on those before


def of_docstring(name: str) -> Any:
    """Return the figure that the example of a function draws."""
    globs = {"fastnet": fastnet, "np": np, **vars(plots)}
    test = doctest.DocTestFinder(recurse=False).find(getattr(plots, name), name, globs=globs)[0]
    doctest.DocTestRunner().run(test, clear_globs=False)
    return test.globs["figure"]


def importance(n: int) -> Any:
    values = rng().standard_normal((n, 5))
    names = tuple(f"the name of column {k} of a table" for k in range(n))
    return plots.importance(Importance(names, values.mean(axis=1), values.std(axis=1), values, 0.9, "accuracy"))


def dependence(grid: Any) -> PartialDependence:
    return PartialDependence("x", np.array(grid), rng().random((len(grid), 20)), tuple(LONG), "probability")


def history(runs: int) -> Any:
    def columns() -> dict[str, list[Any]]:
        values = {"cost": rng().random(9), "validation_accuracy": 0.8 + rng().random(9) / 9}
        return {name: list(values.get(name, [None] * 9)) for name in FIELDS} | {"epoch": list(range(1, 10))}

    return plots.history({f"the name of run {k}": columns() for k in range(runs)}, validation_name="the test rows")


def searched(method: Any = "random") -> Any:
    """Return a search over many parameters with long names of values."""
    x, y = rng().random((60, 2)), np.arange(60) % 2
    space = {
        "hidden": [(2,), (16, 16, 16), (128, 64, 32, 16, 8), (4,)],
        "learning_rate": loguniform(1e-6, 1e-1),
        "weight_decay": lambda setting: [0.0, 1e-4, 1e-2] if setting["learning_rate"] > 1e-3 else OMIT,
        "batch_size": [1, 8, 16, 64, 256],
        "optimizer": [fastnet.Momentum(0.95), fastnet.Momentum(0.9, nesterov=True), "adam", "sgd"],
        "activation": ["relu", "tanh", "leaky_relu", "sigmoid"],
        "schedule": ["constant", "cosine"],
        "dropout": uniform(0, 0.5),
    }
    return search(space, x, y, trials=12, seeds=2, budget=3, n_jobs=1, method=method)


def network(n_in: int) -> fastnet.Network:
    return fastnet.Network([n_in, 100, 3], seed=0)


def batches(seconds: float) -> Any:
    """Return the picture of a run that took this time. The label of a short time has many digits."""
    run = compare_batches(network(4), rng().random((60, 4)), np.arange(60) % 3, (None,), epochs=2)[0]
    return plots.batches([replace(run, seconds=np.linspace(0, seconds, len(run.seconds)))])


CASES: dict[str, Callable[[], Any]] = {
    **{name: lambda name=name: of_docstring(name) for name in plots.__all__ if name != "save"},
    "confusion of 2 long names": lambda: plots.confusion(np.array([[99999, 1], [2, 3]]), class_names=LONG[:2]),
    "confusion of 20 long names": lambda: plots.confusion(np.eye(20, dtype=np.int64), class_names=LONG),
    "confusion of large counts": lambda: plots.confusion(np.full((10, 10), 54321)),
    "mistakes of long names": lambda: plots.mistakes(np.ones((8, 8, 8)), LONG[:8], LONG[8:16], np.ones(8)),
    "importance of 30 columns": lambda: importance(30),
    "history of 3 runs": lambda: history(3),
    "history of 12 runs": lambda: history(12),
    "partial dependence of 20 classes": lambda: plots.partial_dependence([dependence([0, 1]), dependence(LONG[:5])]),
    "weights of 100 inputs": lambda: plots.weights(network(100), feature_names=[f"{LONG[0]} {k}" for k in range(100)]),
    "weights of 5 inputs, narrow": lambda: plots.weights(network(5), before=network(5), narrow=True),
    "batches of a short time": lambda: batches(1.75e-4),
    "parallel axes of many parameters": lambda: plots.search_parallel(searched()),
    "effects of many parameters": lambda: plots.search_effects(searched("halving")),
    "curves in a column of a page": lambda: plots.search_curves(searched("halving"), width=style.COLUMN),
    "noise in a column of a page": lambda: plots.noise(
        confidence_on_noise(network(9), rng().random((20, 9)), n=50), samples=False, width=style.COLUMN
    ),
    "predictions of large values": lambda: plots.predictions(
        fastnet.Network([3, 1], output="identity", seed=0), rng().random((9, 3)), 1e6 * rng().random(9)
    ),
}


@pytest.fixture(scope="module", params=CASES, ids=str)
def drawn(request: pytest.FixtureRequest) -> Any:
    figure = CASES[request.param]()
    figure.draw_without_rendering()  # places all texts
    return figure


def texts(figure: Any) -> list[Any]:
    """Return the texts that are seen: not the labels of ticks outside the limits of an axis, which are not drawn."""
    from matplotlib.text import Text

    unseen = {label for axes in figure.axes for axis in axes_of(axes) for label in labels(axis, seen=False)}
    found = (text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible())
    hidden = {text for axes in figure.axes if not axes.axison for axis in axes_of(axes) for text in axis.findobj(Text)}
    return [text for text in found if text not in unseen | hidden]


def axes_of(axes: Any) -> tuple[Any, Any]:
    return axes.xaxis, axes.yaxis


def labels(axis: Any, seen: bool = True) -> list[Any]:
    """Return the labels of ticks inside the limits of an axis, or outside."""
    low, high = sorted(axis.get_view_interval())
    low, high = low - 1e-9 * abs(low), high + 1e-9 * abs(high)  # Matplotlib allows for rounding, too
    every = (*axis.get_major_ticks(), *axis.get_minor_ticks())
    ticks = [tick for tick in every if (low <= tick.get_loc() <= high) == seen]
    found = [label for tick in ticks for label in (tick.label1, tick.label2)]
    return [label for label in found if label.get_text() and label.get_visible()]


def test_no_text_is_small(drawn: Any) -> None:
    assert min(text.get_fontsize() for text in texts(drawn)) >= style.SMALL


def test_no_text_is_cut(drawn: Any) -> None:
    width, height = drawn.bbox.size
    for text in texts(drawn):
        box = text.get_window_extent()
        # The box of a text is up to 2 pixels higher than its letters.
        assert -2 <= box.x0 <= box.x1 <= width + 2, text.get_text()
        assert -2 <= box.y0 <= box.y1 <= height + 2, text.get_text()


def test_no_names_at_an_axis_overlap(drawn: Any) -> None:
    for axis in (axis for axes in drawn.axes for axis in axes_of(axes)):
        for one, other in combinations(labels(axis), 2):
            assert shared(one.get_window_extent(), other.get_window_extent()) is None, (
                one.get_text(),
                other.get_text(),
            )


def test_no_titles_overlap(drawn: Any) -> None:
    titles = [
        text
        for text in texts(drawn)
        for axes in drawn.axes
        if text in (axes.title, axes._left_title, axes._right_title)
    ]
    for one, other in combinations(titles, 2):
        assert shared(one.get_window_extent(), other.get_window_extent()) is None, (one.get_text(), other.get_text())


def test_no_legend_covers_data(drawn: Any) -> None:
    legends = [axes.get_legend() for axes in drawn.axes if axes.get_legend() is not None] + drawn.legends
    for box in [legend.get_window_extent() for legend in legends]:
        for axes in drawn.axes:
            part = shared(box, axes.get_window_extent())
            if part is not None:
                assert not [artist for artist in artists(axes) if covers(part, artist)]


def shared(one: Any, other: Any) -> Any:
    """Return what two boxes share, if it is more than a line of a pixel, else None."""
    from matplotlib.transforms import Bbox

    found = Bbox.intersection(one, other)
    return found if found is not None and min(found.width, found.height) > 1 else None


def artists(axes: Any) -> Iterator[Any]:
    return (artist for artist in (*axes.lines, *axes.patches, *axes.collections, *axes.texts) if artist.get_visible())


def covers(box: Any, artist: Any) -> bool:
    """Return whether the box covers a part of what the artist draws."""
    if hasattr(artist, "get_offset_transform"):  # a collection
        offsets = artist.get_offset_transform().transform(artist.get_offsets())
        if len(artist.get_offsets()) > 1:
            return any(box.contains(*point) for point in offsets)
        transform = artist.get_transform()
        return any(path.intersects_bbox(box, filled=True) for path in map(transform.transform_path, artist.get_paths()))
    if hasattr(artist, "get_path"):  # a line or a bar
        path = artist.get_transform().transform_path(artist.get_path())
        return bool(path.intersects_bbox(box, filled=hasattr(artist, "get_facecolor")))
    return shared(box, artist.get_window_extent()) is not None
