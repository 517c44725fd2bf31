"""The pictures of weights, of inputs that excite neurons, and of confidence show the given numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")

from fastnet import Network, plots
from fastnet.data.schema import Column, Schema
from fastnet.insight import (
    calibration,
    confidence_on_noise,
    exciting_images,
    ideal_inputs,
    weight_structure,
)
from fastnet.plots import style

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 16)).astype(np.uint8)
LABELS = RNG.integers(0, 3, 40)


def network(hidden: int = 6, seed: int = 0) -> Network:
    return Network([16, hidden, 5, 3], seed=seed)


def texts(figure: Any) -> str:
    """Return all texts of a figure. Check that each has at least 8 points."""
    from matplotlib.text import Text

    found = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in found) >= style.SMALL
    return "\n".join(text.get_text() for text in found)


def drawn(figure: Any) -> list[Any]:
    """Return the arrays of a figure's images, in drawing order."""
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.images]


def images_of(figure: Any) -> list[Any]:
    return [image for axes in figure.axes for image in axes.images]


# -- weights ---------------------------------------------------------------------------------------------------


def test_weights_are_drawn_as_images_on_one_scale_around_zero() -> None:
    net, before = network(), network(seed=1)
    figure = plots.weights(net, before=before)
    arrays = drawn(figure)
    expected = [*before.weights[0].reshape(-1, 4, 4), *net.weights[0].reshape(-1, 4, 4)]
    assert len(arrays) == 12
    for array, weights in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, weights)
    limits = {image.get_clim() for image in images_of(figure)}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low == -high
    assert high == pytest.approx(np.percentile(np.abs([before.weights[0], net.weights[0]]), 99.5))
    assert {image.get_cmap().name for image in images_of(figure)} == {"RdBu"}
    assert {"neurons, before training", "neurons, after training", "weight"} <= set(texts(figure).splitlines())


def test_only_some_of_many_neurons_are_drawn() -> None:
    figure = plots.weights(network(100))
    assert len(drawn(figure)) == 64
    assert "the first 64 of 100 neurons" in texts(figure).splitlines()


def test_images_need_not_be_square() -> None:
    assert {array.shape for array in drawn(plots.weights(network(), image_shape=(2, 8)))} == {(2, 8)}
    with pytest.raises(ValueError, match="image_shape 3 x 3 has 9 pixels, but there are 16 inputs"):
        plots.weights(network(), image_shape=(3, 3))


def test_weights_of_deeper_layers_are_drawn_as_a_table() -> None:
    net = network()
    figure = plots.weights(net, before=network(seed=1), layer=-1)
    assert [array.shape for array in drawn(figure)] == [(3, 5), (3, 5)]
    np.testing.assert_array_equal(drawn(figure)[1], net.weights[2])
    assert {"neuron of layer 3", "neuron of hidden layer 2", "before training"} <= set(texts(figure).splitlines())
    with pytest.raises(ValueError, match="there is no layer 3"):
        plots.weights(net, layer=3)
    with pytest.raises(ValueError, match="give this network as it was before its training"):
        plots.weights(net, before=network(7))


def named() -> Network:
    net = Network([3, 5, 2], seed=0)
    net.schema = Schema((Column("age"), Column("city", ("Oslo", "Rome"))), "bought", ("no", "yes"))
    return net


def test_weights_of_a_table_have_a_row_for_each_named_input() -> None:
    net = named()
    axes, bar = plots.weights(net).axes
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array(), net.weights[0].T)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["age", "city=Oslo", "city=Rome"]
    assert image.get_clim() == (-np.abs(net.weights[0]).max(), np.abs(net.weights[0]).max())
    assert image.get_cmap().name == "RdBu"
    assert (axes.get_xlabel(), bar.get_ylabel()) == ("neuron of the first layer", "weight")
    above, below, _ = plots.weights(net, before=Network([3, 5, 2], seed=1), narrow=True).axes
    assert [axes.get_title(loc="left") for axes in (above, below)] == ["before training", "after training"]
    outputs = plots.weights(net, layer=1).axes[0]
    assert [label.get_text() for label in outputs.get_yticklabels()] == ["no", "yes"]


def test_weights_times_deviations_compare_inputs_of_different_units() -> None:
    net = named()
    axes, bar = plots.weights(net, feature_names=["a", "b", "c"], deviations=[1000, 1, 0]).axes
    np.testing.assert_allclose(axes.images[0].get_array(), (net.weights[0] * [1000, 1, 0]).T)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert bar.get_ylabel() == "weight x deviation"


def test_the_strongest_inputs_and_neurons_of_a_wide_table_are_drawn() -> None:
    net = Network([70, 80, 2], seed=0)
    net.weights[0][:, 7] = net.weights[0][3] = 0
    axes = plots.weights(net).axes[0]
    assert np.asarray(axes.images[0].get_array()).shape == (60, 64)
    rows = [label.get_text() for label in axes.get_yticklabels()]
    norms = np.linalg.norm(net.weights[0], axis=0)
    assert rows == [f"input {k + 1}" for k in sorted(np.argsort(-norms)[:60])]
    assert "input 8" not in rows
    assert axes.get_ylabel() == "the 60 strongest of 70 inputs"
    assert axes.get_xlabel() == "the 64 strongest of 80 neurons"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"feature_names": ["a"]}, "feature_names has 1 names; expected one for each of 3 inputs"),
        ({"deviations": [1, 2]}, r"deviations has shape \(2,\); expected one number for each of 3 inputs"),
        ({"deviations": [1, 2, np.nan]}, "deviations must be finite numbers of 0 or more"),
        ({"deviations": [1, 2, 3], "layer": 1}, "feature_names and deviations are for the first layer of a table"),
    ],
)
def test_names_and_deviations_that_do_not_fit_are_refused(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plots.weights(named(), **options)


def test_structure_shows_each_set_with_its_figures() -> None:
    found = weight_structure(network(), network(seed=1))
    figure = plots.structure(found)
    smooth, edge = (axes for axes in figure.axes if not axes.images)
    assert [bar.get_width() for bar in smooth.patches] == [part.correlation for part in found.kinds.values()]
    assert [tick.get_text() for tick in smooth.get_yticklabels()] == ["initial", "trained", "blobs", "edges"]
    points = [line.get_xdata() for line in edge.lines if line.get_marker() != "None"]
    for shares, part in zip(points, found.kinds.values(), strict=True):
        np.testing.assert_array_equal(shares, part.edge_shares)
    assert [note.get_text() for note in edge.texts] == [f"{p.edge_shares.mean():.2f}" for p in found.kinds.values()]
    assert len(drawn(figure)) == 4 * 6
    assert "correlation of\nneighbouring pixels" in texts(figure)


def test_excitation_shows_the_images_their_mean_and_the_ideal_input() -> None:
    found = exciting_images(network(), IMAGES, 1, k=4)
    ideal = ideal_inputs(network(), 1, [3, 0], steps=3)
    figure = plots.excitation(found, ideal, IMAGES)
    arrays = drawn(figure)
    assert len(arrays) == 2 * (4 + 2)
    rows = [arrays[:6], arrays[6:]]
    for row, neuron, made in zip(rows, (3, 0), ideal.images, strict=True):
        for array, index in zip(row, found.indices[neuron], strict=False):
            np.testing.assert_array_equal(array.ravel(), IMAGES[index])
        np.testing.assert_array_equal(row[4].ravel(), found.mean[neuron])
        np.testing.assert_array_equal(row[5].ravel(), made)
    assert [image.get_clim()[1] for image in images_of(figure)[:6]] == [255] * 4 + [1] * 2
    read = set(texts(figure).splitlines())
    assert {"neuron 3", "neuron 0", "by ascent", "mean of 4", f"{found.sums[3, 0]:.1f}", f"{ideal.sums[1]:.1f}"} <= read
    with pytest.raises(ValueError, match="`found` is for layer 1, but `ideal` is for layer 2"):
        plots.excitation(found, ideal_inputs(network(), 2, steps=0), IMAGES)


# -- confidence ------------------------------------------------------------------------------------------------


def test_noise_shows_images_answers_and_confidence() -> None:
    found = confidence_on_noise(network(), IMAGES, n=300)
    figure = plots.noise(found, class_names=("ant", "bee", "cat"))
    assert len(drawn(figure)) == 4 * 5
    np.testing.assert_array_equal(drawn(figure)[-1].ravel(), found["real"].samples[4])
    charts = [axes for axes in figure.axes if axes.patches]
    assert len(charts) == 8
    for shares, tops, answers in zip(charts[::2], charts[1::2], found.kinds.values(), strict=True):
        np.testing.assert_allclose([bar.get_height() for bar in shares.patches], answers.shares)
        assert sum(bar.get_height() for bar in tops.patches) == pytest.approx(1)
        assert tops.get_title(loc="right") == f"median {answers.median:.2f} (dashed)"
    titles = [axes.get_title(loc="left") for axes in charts[::2]]
    assert titles == ["uniform", "gaussian", "shuffled pixels", "real"]
    assert [axes.get_ylabel() for axes in charts[::2]] == ["share of\n300 images"] * 3 + ["share of\n40 images"]
    first = found["uniform"]
    name = ("ant", "bee", "cat")[first.labels[0]]
    assert {f"{name}", f"{first.top[0]:.2f}", "answer", "top output"} <= set(texts(figure).splitlines())


def test_noise_without_images() -> None:
    net = Network([12, 3], seed=0)
    found = confidence_on_noise(net, RNG.random((3, 12)), n=10)
    for shape, words in ((None, ("values", "examples")), ((3, 4), ("pixels", "images"))):
        figure = plots.noise(found, samples=False, image_shape=shape)
        assert drawn(figure) == []
        assert f"shuffled {words[0]}" in texts(figure)
        assert f"10 {words[1]}" in texts(figure)
    assert len(drawn(plots.noise(found, image_shape=(3, 4)))) == 3 * 5 + 3  # there are only three real images
    with pytest.raises(ValueError, match="not the pixels of a square image"):
        plots.noise(found)


def test_reliability_shows_bins_gaps_and_counts() -> None:
    """Bins of fewer than 10 examples are pale and have no gap. A bin of one example has a height."""
    before, after = (calibration(network(), IMAGES, LABELS, temperature=t, bins=10) for t in (1.0, 0.25))
    assert [sorted(set(found.counts) - {0}) for found in (before, after)] == [[2, 6, 7, 8, 17], [2, 38]]
    figure = plots.reliability(before, after)
    above, below = figure.axes[:2], figure.axes[2:]
    for axes, counts, found in zip(above, below, (before, after), strict=True):
        many, few = found.counts >= 10, (found.counts > 0) & (found.counts < 10)
        for kind, opaque in ((many, True), (few, False)):
            for chart, values in ((axes, found.accuracy[kind]), (counts, found.counts[kind])):
                bars = [bar for bar in chart.patches if (bar.get_alpha() == 1) is opaque]
                np.testing.assert_allclose([bar.get_height() for bar in bars], values)
                np.testing.assert_allclose([bar.get_x() for bar in bars], found.edges[:-1][kind])
        gaps = axes.collections[0].get_segments()
        np.testing.assert_allclose([gap[0] for gap in gaps], np.stack([found.confidence, found.accuracy], 1)[many])
        np.testing.assert_allclose([gap[1] for gap in gaps], np.stack([found.confidence] * 2, 1)[many])
        assert counts.get_yscale() == "log"
        assert 0 < counts.get_ylim()[0] < 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "gap to the confidence",
        "accuracy = confidence",
        "accuracy of the bin",
        "of fewer than 10 examples",
    ]
    assert above[1].get_title(loc="left") == f"temperature 0.25: error {after.error:.3f}"
    assert {"accuracy", "examples", "confidence"} <= set(texts(figure).splitlines())
    one = plots.reliability(calibration(network(), IMAGES, LABELS, temperature=None))
    assert "outputs as they are: error" in texts(one)
    assert len(one.axes) == 2
