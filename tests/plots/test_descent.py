"""The pictures of the descent and the gradient show all given numbers, with labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from insight_cases import small

from fastnet import Network, Trainer, plots
from fastnet.insight import compare_batches, descent_log, learning_rate_finder, ranking
from fastnet.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")


def check(figure: Figure, legends: bool = True) -> Any:
    """Check that a chart's axes have titles, labels and legends, and that no text is too small. Return the axes."""
    from matplotlib.text import Text

    assert style.rendered(figure).startswith(b"\x89PNG")
    charts = [axes for axes in figure.axes if axes.axison and axes.get_label() != "<colorbar>"]
    for axes in charts:
        assert axes.get_title(loc="left")
        assert axes.get_legend() is not None or figure.legends or not legends
    for text in figure.findobj(Text):
        assert text.get_fontsize() >= style.SMALL or not text.get_text()
    return charts


def lines(axes: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {line.get_label(): line.get_data() for line in axes.lines}


@pytest.mark.parametrize("rate", [0.1, 40.0])
def test_the_picture_of_a_log(rate: float) -> None:
    network, x, y = small()
    log = descent_log(Trainer(network, optimizer="sgd", learning_rate=rate, batch_size=60, backend="numpy"), x, y, 25)
    assert log.overshoot.any() == (rate == 40)
    cost, length, fall, ratio = check(plots.descent_log(log))
    for axes, expected in (
        (cost, {"cost": log.cost}),
        (length, {"gradient": log.gradient_norm, "step": log.step_length}),
        (fall, {"predicted": -log.predicted_change, "actual": -log.actual_change}),
        (ratio, {"actual / predicted": log.ratio}),
    ):
        for label, values in expected.items():
            np.testing.assert_array_equal(lines(axes)[label], (np.arange(25), values))
        assert axes.get_ylabel()
    assert fall.get_xlabel() == ratio.get_xlabel() == "step (60 examples each)"
    crosses = f"overshot: {log.overshoot.sum()} steps"
    assert (crosses in lines(cost)) == (rate == 40)
    if rate == 40:
        at = np.flatnonzero(log.overshoot)
        np.testing.assert_array_equal(lines(cost)[crosses], (at, log.cost[at]))
        np.testing.assert_array_equal(lines(ratio)[crosses], (at, log.ratio[at]))
        assert fall.get_yscale() == "linear"  # a linear axis also shows an increase


def test_the_picture_of_a_range_test() -> None:
    network, x, y = small()
    test = learning_rate_finder(network, x, y, steps=400, backend="numpy")
    figure = plots.range_test(test)
    (axes,) = check(figure)
    assert not axes.get_legend()  # it could cover points: the legend is below the axes
    assert figure.legends
    shown = lines(axes)
    np.testing.assert_array_equal(shown["batch of each step"], (test.learning_rate, test.cost))
    np.testing.assert_array_equal(shown["smoothed"], (test.learning_rate, test.smoothed_cost))
    assert shown["smallest smoothed cost"][1][0] == test.smoothed_cost.min()
    marked = shown[f"suggestion: {test.suggestion:.2g}, after 90% of the fall"]
    assert set(marked[0]) == {test.suggestion}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "mean cost of the batch")
    assert axes.get_xscale() == "log"


def test_the_picture_of_several_batch_sizes() -> None:
    network, x, y = small()
    runs = compare_batches(network, x, y, epochs=3, backend="numpy")
    figure = plots.batches(runs)
    seen, time = check(figure)
    for run in runs:
        label = f"batches of {run.batch_size}: {run.steps[-1]} updates"
        np.testing.assert_array_equal(lines(seen)[label], (run.examples, run.cost))
        np.testing.assert_array_equal(lines(time)[label], (run.seconds, run.cost))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(lines(seen))
    assert seen.get_xlabel() == "examples seen"
    assert time.get_xlabel() == "seconds of training"


def test_the_picture_of_a_ranking() -> None:
    network, x, y = small()
    x[:, 0] = 0
    found = ranking(network, x, y)
    curve, layers = check(plots.ranking(found, (0.1, 0.5)))
    _, share = curve.lines[0].get_data()
    np.testing.assert_allclose(share, 100 * found.cumulative[1:])
    for fraction, percent in ((0.1, "10%"), (0.5, "50%")):
        label = f"top {percent} hold {100 * found.share(fraction):.0f}%"
        assert lines(curve)[label][0] == 100 * fraction
        assert lines(curve)[label][1] == pytest.approx(100 * found.share(fraction))
    assert "exactly zero: 9% of components" in [text.get_text() for text in curve.get_legend().get_texts()]  # 5 of 53
    assert [bar.get_width() for bar in layers.patches] == pytest.approx(100 * found.by_layer.T.ravel())
    assert [text.get_text() for text in layers.get_yticklabels()] == ["layer 1", "layer 2"]
    assert [text.get_text() for text in layers.get_legend().get_texts()] == ["weights", "biases"]


@pytest.mark.parametrize("neurons", [None, [2], [4, 0, 3]])
def test_the_gradients_of_neurons_are_drawn_as_images(neurons: list[int] | None) -> None:
    network, x, y = small()
    gradient = network.gradient(x, y)
    figure = plots.neuron_gradients(network, gradient, (2, 3), neurons)
    charts = check(figure, legends=False)
    shown = list(range(5)) if neurons is None else neurons
    assert [axes.get_title(loc="left") for axes in charts] == [f"neuron {neuron}" for neuron in shown]
    maps = network.views(gradient).weights[0]
    largest = np.abs(maps[shown]).max()
    for axes, neuron in zip(charts, shown, strict=True):
        (image,) = axes.images
        np.testing.assert_array_equal(image.get_array(), maps[neuron].reshape(2, 3))
        assert image.get_clim() == pytest.approx((-largest, largest))  # all images share a scale around zero
        assert image.get_cmap().name == style.DIVERGING
    assert figure.axes[-1].get_xlabel() == "derivative of the cost with respect to the weight"


def test_only_some_of_many_neurons_are_drawn() -> None:
    network = Network([4, 50, 2], seed=0)
    figure = plots.neuron_gradients(network, network.gradient(np.ones((1, 4)), [0]), (2, 2))
    assert sum(bool(axes.images) for axes in figure.axes) == 32


def test_unusable_arguments_are_errors() -> None:
    network, x, y = small()
    gradient = network.gradient(x, y)
    with pytest.raises(ValueError, match="image_shape 28 x 28 has 784 pixels, but there are 6 inputs"):
        plots.neuron_gradients(network, gradient, (28, 28))
    with pytest.raises(ValueError, match="neurons must be at least one number, each from 0 to 4"):
        plots.neuron_gradients(network, gradient, (2, 3), [5])
    with pytest.raises(ValueError, match="at least one"):
        plots.neuron_gradients(network, gradient, (2, 3), [])
    with pytest.raises(ValueError, match=r"vector must be an array of shape \(53,\)"):
        plots.neuron_gradients(network, gradient[1:], (2, 3))
    with pytest.raises(ValueError, match="fraction must be at most 1"):
        plots.ranking(ranking(network, x, y), (2,))
