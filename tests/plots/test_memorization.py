"""The pictures of memorising, minima, the cost surface and data sizes show the given numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fastnet.insight import DataSize, Landscape, Memorization, Minima, Path

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
from fastnet import plots  # without Matplotlib there is nothing to test


def found(n: int = 100, corrupted: float = 0.0, hidden: int = 8, slow: bool = False) -> Memorization:
    """Return a result of two seeds and four epochs. The labels are fitted in epochs 2 and 3, or never if `slow`."""
    training = np.array([[0.3, 0.99, 1.0, 1.0], [0.4, 0.9, 0.99, 1.0]]) * (0.5 if slow else 1)
    return Memorization((5, hidden, 3), 1234, n, 4, corrupted, "true", 0.99, training, training / 2, 0.3)


def lines(axes: Any) -> dict[str, np.ndarray]:
    """Return the points (2, n) of each named line."""
    return {line.get_label(): np.array(line.get_data(), float) for line in axes.lines if line.get_label()[0] != "_"}


def texts(figure: Any) -> list[str]:
    """Return all texts in the picture."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def sizes(figure: Any) -> Iterator[float]:
    from matplotlib.text import Text

    return (text.get_fontsize() for text in figure.findobj(Text) if text.get_text())


def drawn(figure: Any) -> Any:
    """Draw the figure. Check that all axes have labels, no text is small, and the width is at most nine inches."""
    assert plots.style.rendered(figure).startswith(b"\x89PNG")
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes if axes.get_label() != "<colorbar>")
    assert min(sizes(figure)) >= plots.style.SMALL
    assert figure.get_figwidth() <= 9
    return figure


def test_memorization_shows_each_condition_s_mean_and_band() -> None:
    true, other = found(), found(slow=True)
    figure = drawn(plots.memorization({"true labels": true, "shuffled labels": other}))
    axes = figure.axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) == 4]
    expected = [one for condition in (true, other) for one in (condition.training, condition.test)]
    for line, runs, dashed in zip(curves, expected, ["-", "--"] * 2, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
        np.testing.assert_allclose(line.get_ydata(), runs.mean(axis=0))
        assert line.get_linestyle() == dashed
    assert len({line.get_color() for line in curves}) == len({line.get_marker() for line in curves}) == 2
    for band, runs in zip(axes.collections, expected, strict=True):
        corners = band.get_paths()[0].vertices
        assert {tuple(corner) for corner in corners} >= {(1.0, runs[:, 0].min()), (4.0, runs[:, 3].max())}
    assert [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [0.3]  # the line of chance
    written = texts(figure)
    assert {"true labels", "shuffled labels", "epochs", "accuracy", "chance"} <= set(written)
    assert "5-8-3 on 100 examples, 2 seeds" in written


def test_memorization_without_a_test_has_no_test_lines() -> None:
    alone = found()
    alone = Memorization(**{**vars(alone), "test": np.full((2, 4), np.nan), "chance": np.nan})
    figure = drawn(plots.memorization({"true labels": alone}))
    assert len(figure.axes[0].lines) == 1
    assert not {"chance", "test examples, true labels"} & set(texts(figure))


def test_corruption_shows_accuracies_and_epochs_against_the_share() -> None:
    figure = drawn(plots.corruption([found(), found(corrupted=0.5), found(corrupted=1.0)]))
    accuracy, epochs = figure.axes
    shown = lines(accuracy)
    np.testing.assert_allclose(shown["training, labels as given"], [[0, 0.5, 1], [1, 1, 1]])
    np.testing.assert_allclose(shown["test, true labels"], [[0, 0.5, 1], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(epochs.lines[0].get_data(), [[0, 0.5, 1], [2.5, 2.5, 2.5]])
    assert "share of labels shuffled" in texts(figure)


def test_corruption_marks_conditions_that_are_not_fitted_in_time() -> None:
    figure = drawn(plots.corruption([found(), found(corrupted=1.0, slow=True)]))
    np.testing.assert_allclose(lines(figure.axes[1])["every seed: not in 4 epochs"], [[1], [4]])
    assert figure.axes[1].get_ylim()[1] > 4.2  # the cross is inside the axes


def test_an_effect_marks_conditions_that_are_not_fitted_in_time() -> None:
    true, shuffled = [found(), found(hidden=16)], [found(slow=True), found(hidden=16)]
    figure = drawn(plots.memorization_effect("width", (8, 16), true, shuffled))
    epochs, end = figure.axes
    shown = lines(epochs)
    np.testing.assert_allclose(shown["true labels"], [[0, 1], [2.5, 2.5]])
    np.testing.assert_allclose(shown["shuffled labels"], [[1], [2.5]])
    np.testing.assert_allclose(shown["shuffled labels: not in 4 epochs"], [[0], [4]])
    np.testing.assert_allclose(lines(end)["training, shuffled labels"], [[0, 1], [0.5, 1]])
    np.testing.assert_allclose(lines(end)["test, true labels"], [[0, 1], [0.5, 0.5]])
    assert {"width", "8", "16", "5-h-3 on 100 examples"} <= set(texts(figure))


def test_capacity_shows_the_accuracy_against_the_number_of_images() -> None:
    figure = drawn(plots.capacity({"5-8-3": [found(10), found(100, slow=True)], "5-9-3": [found(10), found(100)]}))
    shown = lines(figure.axes[0])
    np.testing.assert_allclose(shown["5-8-3: 1,234 parameters"], [[10, 100], [1, 0.5]])
    np.testing.assert_allclose(shown["5-9-3: 1,234 parameters"], [[10, 100], [1, 1]])
    assert figure.axes[0].get_xscale() == "log"


def test_minima_shows_each_seed_and_the_variation() -> None:
    cost = np.array([[1.0, 2, 3], [1, 1.1, 1.2]])
    figure = drawn(plots.minima(Minima((5, 50), cost / 2, cost, cost, cost)))
    costs, variation = figure.axes
    np.testing.assert_allclose(lines(costs)["mean"], [[5, 50], [2, 1.1]])
    dots = [line for line in costs.lines if line.get_linestyle() == "None"]
    np.testing.assert_array_equal([dot.get_ydata() for dot in dots], cost)
    for dot, width in zip(dots, (5, 50), strict=True):
        np.testing.assert_allclose(dot.get_xdata(), width, rtol=0.1)
    np.testing.assert_allclose(lines(variation)["test cost"], [[5, 50], [0.5, 0.1 / 1.1]])
    assert {"neurons in the hidden layer", "test cost at the end", "3 seeds each"} <= set(texts(figure))


def test_minima_without_a_test_show_the_training_costs() -> None:
    cost, none = np.array([[1.0, 2, 3]]), np.full((1, 3), np.nan)
    figure = drawn(plots.minima(Minima((5,), cost, cost, none, none)))
    assert "training cost at the end" in texts(figure)
    assert set(lines(figure.axes[1])) == {"training cost"}


def test_interpolation_shows_cost_and_accuracy_along_the_line() -> None:
    at = np.array([0, 0.5, 1])
    before, after = Path(at, np.array([1, 5, 1.0]), at), Path(at, np.array([1, 2, 1.0]), 1 - at)
    figure = drawn(plots.interpolation({"as trained": before, "neurons matched": after}))
    np.testing.assert_array_equal(lines(figure.axes[0])["as trained: barrier 4"], [at, before.cost])
    np.testing.assert_array_equal(lines(figure.axes[0])["neurons matched: barrier 1"], [at, after.cost])
    np.testing.assert_array_equal(lines(figure.axes[1])["neurons matched"], [at, 1 - at])
    assert {"cost", "accuracy", "network a", "network b"} <= set(texts(figure))


def surface(**more: Any) -> Landscape:
    across, up = np.linspace(-1, 1, 5), np.linspace(-2, 2, 7)
    cost = 0.1 + across**2 + (up[:, None] + 2)  # lowest in the middle of the bottom edge
    return Landscape(across, up, cost, cost, np.zeros((2, 3)), **more)


def test_a_landscape_is_a_map_of_its_costs() -> None:
    figure = drawn(plots.landscape(surface()))
    axes, bar = figure.axes
    assert (axes.get_xlim(), axes.get_ylim()) == ((-1, 1), (-2, 2))
    contours = axes.collections[0]
    assert (contours.levels[0], contours.levels[-1]) == (pytest.approx(0.1), pytest.approx(5.1))
    lowest = contours.get_paths()[0].vertices
    assert lowest[:, 1].max() < -1.5
    assert np.abs(lowest[:, 0]).max() < 0.5
    np.testing.assert_array_equal(contours.zmin, 0.1)
    np.testing.assert_array_equal(lines(axes)["the network"], [[0], [0]])
    assert bar.get_ylabel() == "cost (logarithmic)"
    assert "random" in axes.get_xlabel()


def test_a_landscape_with_a_path_draws_it_and_names_the_variance() -> None:
    path = np.array([[-0.5, 1.5], [0.2, 0.3], [0, 0]])
    figure = drawn(plots.landscape(surface(path=path, variance=np.array([0.75, 0.2]))))
    axes = figure.axes[0]
    np.testing.assert_array_equal(lines(axes)["after each epoch"], path.T)
    np.testing.assert_array_equal(lines(axes)["start"], path[:1].T)
    assert "75%" in axes.get_xlabel()
    assert "20%" in axes.get_ylabel()


def test_a_flat_landscape_can_be_drawn() -> None:
    flat = np.full((2, 2), 0.5)
    drawn(plots.landscape(Landscape(np.arange(2.0), np.arange(2.0), flat, flat, np.zeros((2, 3)))))


def test_data_size_shows_accuracy_against_size() -> None:
    training, test = np.array([[1, 0.9], [1, 0.8]]), np.array([[0.6, 0.7], [0.7, 0.9]])
    figure = drawn(plots.data_size(DataSize((100, 1000), np.array([30, 3]), np.array([300, 300]), training, test)))
    axes = figure.axes[0]
    np.testing.assert_allclose(lines(axes)["training examples"], [[100, 1000], [1, 0.85]])
    np.testing.assert_allclose(lines(axes)["test examples"], [[100, 1000], [0.65, 0.8]])
    assert axes.get_xscale() == "log"
    assert {"65.0%", "80.0%", "1,000", "2 seeds, 300 updates each"} <= set(texts(figure))
