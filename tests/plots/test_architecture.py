"""The report's pictures: the neurons and weights of a network, the curves of a training, and the classification."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")

from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_rgba

import fastnet
from fastnet import plots
from fastnet.data.schema import Schema
from fastnet.insight import confusion
from fastnet.plots import style
from fastnet.training.history import FIELDS
from fastnet.training.runs import Run

CLASSES = ["zero", "one", "$two$", "a very long name"]


def network(*sizes: int, **options: Any) -> fastnet.Network:
    return fastnet.Network(sizes, seed=0, **options)


def links(figure: Any) -> list[LineCollection]:
    found = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    assert all(len(c.get_segments()) == len(c.get_linewidths()) == len(c.get_colors()) for c in found)
    return found


def circles(figure: Any) -> list[int]:
    return [len(c.get_paths()) for c in figure.axes[0].collections if isinstance(c, PatchCollection)]


def words(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


# -- the network -----------------------------------------------------------------------------------------------


def test_every_neuron_and_link_of_a_small_network_is_drawn() -> None:
    net = network(3, 5, 4, activation="tanh", output="sigmoid")
    figure = plots.architecture(net, class_names=CLASSES)
    assert circles(figure) == [3, 5, 4]
    assert [len(c.get_segments()) for c in links(figure)] == [15, 20]
    assert words(figure) == ["3\ninputs", "5\ntanh", "4\nsigmoid", "zero", "one", r"\$two\$", "a very l…"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["excites (weight above 0)", "inhibits (below 0)"]


def test_links_show_sign_and_size() -> None:
    net = network(2, 2)
    net.weights[0][...] = [[0.5, -1.0], [0.25, -0.125]]
    (found,) = links(plots.architecture(net))
    drawn = {}
    for segment, width, colour in zip(found.get_segments(), found.get_linewidths(), found.get_colors(), strict=True):
        (_, y0), (_, y1) = segment
        drawn[int(y1 < 0), int(y0 < 0)] = width, colour  # the upper neurons are the first neurons
    for (j, i), (_, (red, _, blue, _)) in drawn.items():
        assert (blue > red) == (net.weights[0][j, i] > 0)
    by_width = sorted(drawn, key=lambda place: drawn[place][0])
    assert by_width == [(1, 1), (1, 0), (0, 0), (0, 1)]
    # The strongest link is drawn last, so that no other link hides it.
    assert found.get_linewidths()[-1] == max(found.get_linewidths())


def test_only_the_strongest_neurons_of_wide_layers_are_drawn() -> None:
    net = network(30, 64, 3)
    net.weights[1][:, 40] = 100
    figure = plots.architecture(net)
    assert circles(figure) == [14, 14, 3]
    assert [len(c.get_segments()) for c in links(figure)] == [14 * 14, 14 * 3]
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [3, 3]
    # Neuron 40 has the strongest links of the last layer, so it must be drawn.
    strongest = np.asarray(links(figure)[1].get_linewidths())
    assert np.sum(strongest > 2) == 3
    assert circles(plots.architecture(network(20, 21))) == [20, 14]


def test_images_of_inputs_are_drawn_and_linked_from_their_pixels() -> None:
    net = network(12, 2, 2)
    net.weights[0][...] = 0.01
    net.weights[0][0, 3] = 3
    figure = plots.architecture(net, image_shape=(3, 4))
    (image,) = figure.axes[0].images
    pixels = np.asarray(image.get_array())
    assert pixels.shape == (3, 4)
    np.testing.assert_allclose(pixels.ravel(), np.linalg.norm(net.weights[0], axis=0), rtol=1e-6)
    assert circles(figure) == [2, 2]
    first = links(figure)[0]
    assert len(first.get_segments()) == 2 * 5
    strongest = first.get_segments()[-1][0]
    left, right, low, high = image.get_extent()
    place = (strongest[0] - left) / (right - left) * 4, (high - strongest[1]) / (high - low) * 3
    assert (int(place[0]), int(place[1])) == (3, 0)  # pixel 3 is the last pixel of row 0
    assert not plots.architecture(net, image_shape=(5, 5)).axes[0].images  # the network does not have 25 inputs


def test_deep_and_shallow_and_dead_networks_are_drawn() -> None:
    deep = plots.architecture(network(*[6] * 12))
    assert words(deep) == ["6"] * 12
    assert circles(plots.architecture(network(2, 1))) == [2, 1]
    dead = network(3, 3)
    dead.parameters[...] = 0
    assert np.isfinite(links(plots.architecture(dead, image_shape=(1, 3)))[0].get_colors()).all()


# -- the training ----------------------------------------------------------------------------------------------


def columns(n: int, **given: list[Any]) -> dict[str, list[Any]]:
    return {name: [None] * n for name in FIELDS} | {"epoch": list(range(1, n + 1))} | given


def test_curves_show_the_history() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 4)), np.arange(60) % 3
    trainer = fastnet.Trainer(network(4, 3), backend="numpy")
    history = trainer.fit(x, y, epochs=4, validation_data=(x[:20], y[:20]))
    cost, accuracy = plots.history(history).axes
    assert (cost.get_ylabel(), accuracy.get_ylabel(), accuracy.get_xlabel()) == ("cost", "accuracy", "epoch")
    for axes, name in ((cost, "cost"), (accuracy, "accuracy")):
        training, validation = axes.lines
        assert training.get_ydata().tolist() == history[name]
        assert validation.get_ydata().tolist() == history[f"validation_{name}"]
        assert training.get_xdata().tolist() == [1, 2, 3, 4]
        assert (training.get_linestyle(), validation.get_linestyle()) == ("-", "--")
        assert training.get_color() != validation.get_color()
        assert training.get_marker() != validation.get_marker()
    assert {text.get_text() for text in cost.get_legend().texts} == {"training", "validation"}
    same = plots.history(history.to_dict()).axes
    assert same[0].lines[0].get_ydata().tolist() == history["cost"]


@pytest.mark.parametrize(
    ("names", "labels"),
    [(["r2"], ["R2"]), (["accuracy", "label_accuracy"], ["accuracy", "accuracy of labels"])],
    ids=["regression", "several labels"],
)
def test_the_scores_of_each_task_have_a_curve(names: list[str], labels: list[str]) -> None:
    given = columns(2, cost=[3.0, 2.0], **{name: [-0.5, 0.5] for name in names})
    figure = plots.history(given)
    assert [axes.get_ylabel() for axes in figure.axes] == ["cost", *labels]
    assert [axes.lines[0].get_ydata().tolist() for axes in figure.axes[1:]] == [[-0.5, 0.5]] * len(names)
    older = {name: given[name] for name in ("epoch", "cost", "accuracy", "validation_cost", "validation_accuracy")}
    assert len(plots.history(older).axes) == 1 + ("accuracy" in names)


def test_missing_values_are_not_drawn() -> None:
    (cost,) = plots.history(columns(3, cost=[3.0, 2.0, 1.0])).axes
    assert len(cost.lines) == 1
    assert cost.get_yscale() == "linear"
    assert plots.history(columns(3, cost=[3.0, 0.3, 0.01])).axes[0].get_yscale() == "log"
    assert plots.history(columns(2, cost=[3.0, 0.0])).axes[0].get_yscale() == "linear"
    with pytest.raises(ValueError, match="no epochs"):
        plots.history(columns(0))


def test_each_of_several_runs_has_a_colour() -> None:
    runs = {
        "short": columns(2, cost=[3.0, 2.0], validation_cost=[3.5, 3.0]),
        "long": columns(3, cost=[2.5, 1.5, 1.0]),
    }
    (axes,) = plots.history(runs, validation_name="the test rows").axes
    short, validated, long = axes.lines
    assert short.get_color() == validated.get_color() != long.get_color()
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--", "-"]
    assert long.get_ydata().tolist() == [2.5, 1.5, 1.0]
    named = {text.get_text(): line for text, line in zip(*legend(axes), strict=True)}
    assert set(named) == {"short", "long", "training", "the test rows"}
    assert named["long"].get_color() == long.get_color()
    assert named["the test rows"].get_linestyle() == "--"
    saved = {name: Run(fastnet.Network([2, 2], seed=0), run) for name, run in runs.items()}
    assert style.rendered(plots.history(saved)) == style.rendered(plots.history(runs))
    assert style.rendered(plots.history([*saved.values()])) == style.rendered(plots.history([*runs.values()]))
    alike = [f"experiments of November/rate {k}/seed 0" for k in range(3)]
    (axes,) = plots.history(dict.fromkeys(alike, runs["long"])).axes
    assert len({text.get_text() for text in legend(axes)[0]}) == 3
    (axes,) = plots.history([runs["long"]] * 9).axes
    assert len({line.get_color() for line in axes.lines}) == 9
    assert {text.get_text() for text in legend(axes)[0]} == {f"run {k + 1}" for k in range(9)}


def legend(axes: Any) -> tuple[list[Any], list[Any]]:
    return axes.get_legend().get_texts(), axes.get_legend().get_lines()


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([], "history is empty; expected at least one run"),
        ([3], "the history of 'run 1' must be a fastnet.History, a Run or a mapping of columns, not 3"),
        ({"a": columns(1, cost=[1.0]), "b": columns(0)}, "the history of 'b' has no epochs"),
    ],
)
def test_runs_without_epochs_are_refused(runs: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        plots.history(runs)


# -- the answers -----------------------------------------------------------------------------------------------


def test_confusions_are_counted_and_coloured_by_share() -> None:
    matrix = np.array([[8, 2], [0, 40]])
    figure = plots.confusion(matrix, ["a", "b"])
    axes, bar = figure.axes
    assert sorted(words(figure)) == ["2", "40", "8"]  # counts of zero are left blank
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2], [0, 1]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("the network's answer", "the truth")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert bar.get_xlabel() == "share of the true class"
    shades = axes.images[0]
    for text in axes.texts:  # the text must have enough contrast with its cell
        j, i = text.get_position()
        below = shades.cmap(shades.norm(shades.get_array()[int(i), int(j)]))
        assert abs(np.mean(below[:3]) - np.mean(to_rgba(text.get_color())[:3])) > 0.35
    with pytest.raises(ValueError, match="class_names has 1 names; the matrix needs 2"):
        plots.confusion(matrix, ["a"])


def test_confusions_of_a_network_have_the_names_of_its_classes() -> None:
    net = network(4, 3)
    net.schema = Schema(class_names=("ant", "bee", "cat"))
    x, y = np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 3
    (axes, _) = plots.confusion(net, x, y).axes
    matrix = confusion(net, x, y)
    np.testing.assert_allclose(axes.images[0].get_array(), matrix / matrix.sum(axis=1, keepdims=True))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ant", "bee", "cat"]
    net.schema = Schema(class_names=("ant", "bee"))  # of data with fewer classes than the network has
    assert [label.get_text() for label in plots.confusion(net, x, y).axes[0].get_yticklabels()] == ["ant", "bee", "2"]
    net.schema = None
    assert [label.get_text() for label in plots.confusion(net, x, y).axes[0].get_yticklabels()] == ["0", "1", "2"]
    with pytest.raises(TypeError, match=r"network must be a fastnet\.Network or a confusion matrix, not None"):
        plots.confusion(None)  # type: ignore[arg-type]  # the refused argument
    with pytest.raises(ValueError, match=r"the confusion matrix has shape \(2, 3\)"):
        plots.confusion(np.ones((2, 3), np.int64))


def test_weights_whose_squares_leave_float32_are_drawn_without_a_warning() -> None:
    net = fastnet.Network([4, 3], seed=0)
    net.weights[0][...] = 1e30
    assert plots.architecture(net).axes
    assert plots.weights(net).axes


def test_names_with_the_same_start_stay_different() -> None:
    figure = plots.confusion(np.eye(3, dtype=np.int64), ["a very long class 1", "a very long class 2", "b"])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a very…ass 1", "a very…ass 2", "b"]


def test_only_some_of_many_classes_are_named() -> None:
    figure = plots.confusion(np.eye(50, dtype=np.int64), [f"class {k}" for k in range(50)])
    assert words(figure) == []
    named = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert named == [f"class {k}" for k in range(0, 50, 3)]
    empty = plots.confusion(np.zeros((2, 2), np.int64), ["a", "b"])
    assert not np.asarray(empty.axes[0].images[0].get_array()).any()


def test_mistakes_are_shown_with_their_captions() -> None:
    images = np.arange(6 * 12, dtype=np.uint8).reshape(6, 3, 4)
    figure = plots.mistakes(images, ["a"] * 6, ["$b"] * 6, np.linspace(0.99, 0.5, 6))
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn][::5] == ["is a\nsays \\$b\n99% sure", "is a\nsays \\$b\n50% sure"]
    for axes, image in zip(drawn, images, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image)
        assert axes.images[0].get_clim() == (0, 255)
    floats = plots.captioned(images / 10, ["x"] * 6).axes[0].images[0]
    assert floats.get_clim() == (0, 7.1)
    with pytest.raises(ValueError, match="at least one mistake"):
        plots.mistakes(images[:0], [], [], np.empty(0))
