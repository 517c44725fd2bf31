"""The structure of trained weights, and the images that excite neurons."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import insight_cases as cases
import numpy as np
import pytest
from conftest import name_of

from fastnet import Network, Trainer
from fastnet.insight import (
    CHAPTER,
    blobs,
    edge_share,
    edges,
    exciting_images,
    ideal_inputs,
    neighbour_correlation,
    never_lit,
    unlit_weights,
    weight_structure,
)
from fastnet.insight.excitation import first_layers, input_gradient
from fastnet.insight.images import gabor

RNG = np.random.default_rng(0)
SHAPE = (28, 28)


# -- smoothness ------------------------------------------------------------------------------------------------


def test_the_correlation_of_neighbours_by_hand() -> None:
    """Two images of 2 x 3 pixels have eight horizontal and six vertical pairs of neighbours."""
    images = np.array([[1, 2, 4, 0, 1, 5], [3, 3, 1, 2, 0, 0]], float)
    pairs = [(1, 2), (2, 4), (0, 1), (1, 5), (3, 3), (3, 1), (2, 0), (0, 0)]
    pairs += [(1, 0), (2, 1), (4, 5), (3, 2), (3, 0), (1, 0)]
    expected = np.corrcoef(np.array(pairs).T)[0, 1]
    assert neighbour_correlation(images, (2, 3)) == pytest.approx(expected)
    only = np.array([1, 1, 0, 0, 1, 1], bool)  # two horizontal pairs and one vertical pair
    expected = np.corrcoef([(1, 2), (1, 5), (3, 3), (0, 0), (2, 1), (3, 0)], rowvar=False)[0, 1]
    assert neighbour_correlation(images, (2, 3), pixels=only) == pytest.approx(expected)


def test_constant_images_have_no_correlation_of_neighbours() -> None:
    assert np.isnan(neighbour_correlation(np.ones((3, 16)), (4, 4)))
    assert np.isnan(neighbour_correlation(np.ones((3, 1)), (1, 1)))


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.67, 0.9])
def test_blobs_have_the_requested_smoothness(correlation: float) -> None:
    """Measured with seeds 0 to 9: at most 0.003 from the requested value."""
    assert neighbour_correlation(blobs(SHAPE, correlation, 300), SHAPE) == pytest.approx(correlation, abs=0.01)


def test_blobs_have_the_requested_strength() -> None:
    strength = np.linspace(0, 2, 784)
    np.testing.assert_allclose(blobs(SHAPE, 0.5, 5000, strength=strength).std(axis=0), strength, rtol=0.06)


# -- edges -----------------------------------------------------------------------------------------------------


def test_an_edge_of_the_bank_has_share_1() -> None:
    for angle, wavelength, phase in ((0, 4, 0), (np.pi / 2, 8, np.pi / 2), (np.pi / 8, 8, 1.0)):
        image = gabor((27, 27), (np.array([13.0]), np.array([13.0])), wavelength, angle, phase)
        assert image.shape == (1, 729)
        assert edge_share(image, (27, 27)) == pytest.approx(1, abs=0.001)
        assert edge_share(-5 * image, (27, 27)) == pytest.approx(1, abs=0.001)


def test_the_angle_is_that_of_the_edge() -> None:
    flat, upright = (gabor((9, 9), (4, 4), 4, angle, 0).reshape(9, 9) for angle in (0, np.pi / 2))
    np.testing.assert_allclose(flat, flat[:, ::-1])
    assert (np.diff(np.sign(flat[:, 4])) != 0).any()  # the sign changes across a flat bar
    assert (flat[4] > 0).all()  # the sign is constant along a flat bar
    np.testing.assert_allclose(upright, flat.T, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 16), (16, 1), (2, 8), (1, 1), (4, 4), (8, 8)])
def test_a_share_is_at_most_1(shape: tuple[int, int]) -> None:
    """In images of few rows an edge and a bar may be equal. The fit to both then has one direction instead of two."""
    shares = edge_share(RNG.random((50, shape[0] * shape[1])), shape)
    assert 0 < shares.min() <= shares.max() < 1 + 1e-5


def test_two_edges_at_right_angles_have_share_one_half() -> None:
    one, other = (gabor((27, 27), (13.0, 13.0), 4, angle, np.pi / 2) for angle in (0, np.pi / 2))
    assert edge_share((one + other)[None], (27, 27)) == pytest.approx(0.5, abs=0.02)


def test_the_share_is_small_for_noise_and_large_for_edges() -> None:
    """Seeds 0 to 9: noise has shares of at most 0.028 to 0.037, and random edges have mean shares of 0.73 to 0.81."""
    noise = edge_share(RNG.normal(size=(96, 784)), SHAPE)
    assert noise.max() < 0.05
    assert 0.7 < edge_share(edges(SHAPE), SHAPE).mean() < 0.85


def test_excluded_pixels_change_nothing() -> None:
    image, use = edges(SHAPE, 3), np.arange(784) % 28 < 20
    spoiled = np.where(use, image, 100)
    np.testing.assert_allclose(edge_share(spoiled, SHAPE, pixels=use), edge_share(image * use, SHAPE))
    assert np.isnan(edge_share(np.zeros((1, 784)), SHAPE)).all()


def test_trained_weights_are_smooth_and_are_not_edges(backend: Any) -> None:
    """In the literature the correlation of neighbours is 0.01 before training and 0.46 after.

    Measured with five seeds on each backend: -0.01 to 0.01 before and 0.66 to 0.67 after. The mean share
    that one oriented edge explains is 2% of a neuron's weights before training, 15 to 18% after training, 13% of a
    random blob, and 77% of a random edge.
    """
    d = cases.data()
    for seed, net in zip(cases.SEEDS, cases.trained(name_of(backend)), strict=True):
        found = weight_structure(net, CHAPTER.start(784, 10, seed).network, d.image_shape)
        assert found["trained"].correlation > 0.5
        assert abs(found["initial"].correlation) < 0.03
        share = {kind: part.edge_shares.mean() for kind, part in found.kinds.items()}
        assert share["initial"] < 0.05
        assert share["blobs"] > 0.1  # the share is 0.08 if blobs() gets no `strength`
        assert share["trained"] - share["blobs"] < (share["edges"] - share["trained"]) / 3
        assert np.median(found["trained"].edge_shares) < found["edges"].edge_shares.min()


def test_impossible_images_are_refused() -> None:
    for function in (neighbour_correlation, edge_share):
        with pytest.raises(ValueError, match=r"expected \(n, n_in\): give one image as images\[None\]"):
            function(np.ones(16))
    with pytest.raises(TypeError, match="rows and columns such as"):
        edges(4)
    with pytest.raises(ValueError, match="n must be at least 1"):
        edges((4, 4), 0)
    with pytest.raises(ValueError, match="correlation must be at most 1, not 2"):
        blobs((4, 4), 2)
    with pytest.raises(ValueError, match=r"strength must be an array of shape \(16,\), not \(3,\)"):
        blobs((4, 4), 0.5, strength=np.ones(3))
    with pytest.raises(TypeError, match=r"before must be a fastnet\.Network, not str"):
        weight_structure(Network([16, 3]), "before")
    single = Network([1, 3])  # one pixel has no neighbours
    assert np.isnan(weight_structure(single, single)["trained"].correlation)


def test_the_structure_of_weights_requires_images() -> None:
    net = Network([12, 3], seed=0)
    with pytest.raises(ValueError, match="12 inputs are not the pixels of a square image"):
        weight_structure(net, net)
    with pytest.raises(ValueError, match="image_shape 3 x 5 has 15 pixels"):
        weight_structure(net, net, (3, 5))
    with pytest.raises(TypeError, match="rows and columns such as"):
        weight_structure(net, net, 12)
    with pytest.raises(ValueError, match="give this network as it was before its training"):
        weight_structure(net, Network([12, 4]), (3, 4))
    with pytest.raises(ValueError, match=r"unknown set of images 'edge'; .* did you mean 'edges'"):
        weight_structure(net, net, (3, 4))["edge"]
    with pytest.raises(ValueError, match="pixels must be an array"):
        weight_structure(net, net, (3, 4), pixels=np.ones(11, bool))


# -- pixels that are never lit ---------------------------------------------------------------------------------


def test_never_lit_pixels_are_found_in_dense_and_sparse_data() -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="sparse data need SciPy")
    x = (RNG.random((6, 40)) < 0.2).astype(np.float32)
    expected = (x == 0).all(axis=0)
    assert expected.any()
    assert not expected.all()
    for data in (x, (255 * x).astype(np.uint8), x.reshape(6, 5, 8), sparse.csr_array(x), sparse.coo_matrix(x)):
        np.testing.assert_array_equal(never_lit(data), expected)
    with_zeros = sparse.csr_array(x)
    with_zeros.data[:] = 0  # stored zeros
    assert never_lit(with_zeros).all()


def test_weights_of_never_lit_pixels_change_only_by_decay(backend: Any) -> None:
    d, name = cases.data(), name_of(backend)
    for net, seed in zip(cases.trained(name), cases.SEEDS, strict=True):
        before = CHAPTER.start(784, 10, seed).network
        unlit = unlit_weights(net, before, d.x_train)
        np.testing.assert_array_equal(unlit.pixels, ~d.x_train.any(axis=0))
        assert unlit.pixels.sum() == 122
        assert net.weights[0][:, unlit.pixels].tobytes() == before.weights[0][:, unlit.pixels].tobytes()
        assert unlit.largest_change == 0
        assert unlit.kept == 1

    trainer = CHAPTER.start(784, 10, 0, backend=name, weight_decay=1e-3)
    before = trainer.network.copy()
    trainer.fit(d.x_train, d.y_train, epochs=2)
    decayed = unlit_weights(trainer.network, before, d.x_train)
    assert decayed.largest_change > 0
    # 800 updates; the mean rate of the cosine schedule from 0.5 is 0.25
    assert decayed.kept == pytest.approx(np.exp(-800 * 0.25 * 1e-3), rel=0.01)


def test_results_are_nan_where_every_pixel_is_lit() -> None:
    net = Network([4, 2], seed=0)
    unlit = unlit_weights(net, net, np.ones((3, 4)))
    assert not unlit.pixels.any()
    assert np.isnan([unlit.largest_change, unlit.kept]).all()


# -- excitation ------------------------------------------------------------------------------------------------


def deep(dtype: Any = np.float64) -> Network:
    net = Network([16, 7, 6, 5], activation=["tanh", "sigmoid"], output="sigmoid", init="normal", seed=3, dtype=dtype)
    net.weights[0][...] /= 4
    return net


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
def test_the_first_layers_alone_give_their_weighted_sums(layer: int) -> None:
    net, x = deep(), RNG.random((9, 16))
    sums, activations = first_layers(net, layer).forward(x), net.activations(x)[layer]
    squash = np.tanh if layer == 0 else lambda z: 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(squash(sums), activations, atol=1e-12)


def test_the_gradient_by_the_pixels_equals_central_differences(backend: Any) -> None:
    net, images, neurons = first_layers(deep(), 2), RNG.random((4, 16)), np.array([0, 3, 3, 1])
    outputs, gradient = input_gradient(net, images, neurons, backend=name_of(backend))
    each = np.arange(4)
    np.testing.assert_allclose(outputs, net.forward(images)[each, neurons], atol=1e-12)
    step = 1e-5
    for pixel in range(16):
        nudge = step * (np.arange(16) == pixel)
        up, down = (net.forward(images + sign * nudge)[each, neurons] for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, pixel], (up - down) / (2 * step), atol=1e-8)


def test_exciting_images_have_the_largest_weighted_sums(backend: Any) -> None:
    net, images, name = deep(), RNG.integers(0, 256, (60, 16)).astype(np.uint8), name_of(backend)
    found = exciting_images(net, images, 1, k=4, backend=name)
    sums, activations = first_layers(net, 1).forward(images), net.activations(images)[1]
    assert found.indices.shape == found.sums.shape == found.activations.shape == (6, 4)
    assert found.mean.shape == (6, 16)
    for neuron in range(6):
        expected = np.argsort(-sums[:, neuron])[:4]
        np.testing.assert_array_equal(found.indices[neuron], expected)
        np.testing.assert_allclose(found.sums[neuron], sums[expected, neuron])
        np.testing.assert_allclose(found.activations[neuron], activations[expected, neuron])
        np.testing.assert_allclose(found.mean[neuron], images[expected].mean(axis=0) / 255)
    assert exciting_images(net, images, -1, k=1).layer == 2


def test_the_ideal_input_of_a_first_neuron_is_known(backend: Any) -> None:
    """The weighted sum of a neuron of layer 0 is largest if pixels with positive weights are 1 and all others 0."""
    net = deep()
    found = ideal_inputs(net, 0, [2, 5], backend=name_of(backend))
    np.testing.assert_array_equal(found.neurons, [2, 5])
    np.testing.assert_allclose(found.images, net.weights[0][[2, 5]] > 0, atol=1e-6)
    expected = np.maximum(net.weights[0], 0).sum(axis=1) + net.biases[0]
    np.testing.assert_allclose(found.sums, expected[[2, 5]], atol=1e-6)
    np.testing.assert_allclose(found.activations, np.tanh(found.sums), atol=1e-6)


def test_ascent_goes_up_and_stays_within_0_and_1() -> None:
    net, start = deep(), RNG.random((5, 16))
    before = first_layers(net, -1).forward(start)[np.arange(5), np.arange(5)]
    sums = [ideal_inputs(net, -1, start=start, steps=steps).sums for steps in (0, 1, 5, 50)]
    np.testing.assert_allclose(sums[0], before, atol=1e-12)
    assert all((later >= earlier).all() for earlier, later in pairwise(sums))
    assert (sums[-1] > before).all()
    images = ideal_inputs(net, -1, start=start, step=3.0).images
    assert images.min() >= 0
    assert images.max() <= 1
    as_bytes = (255 * start).astype(np.uint8)
    np.testing.assert_allclose(ideal_inputs(net, -1, start=as_bytes, steps=0).images, as_bytes / 255)


def test_ideal_inputs_excite_more_than_any_image(backend: Any) -> None:
    """Measured with five seeds on each backend: true for every neuron of both layers."""
    d, name = cases.data(), name_of(backend)
    for net in cases.trained(name)[:2]:
        for layer in (1, 2):  # the test of the known ideal input covers layer 0
            real = exciting_images(net, d.x_train, layer, k=1, backend=name)
            ideal = ideal_inputs(net, layer, start=d.x_train[real.indices[:, 0]], backend=name)
            assert (ideal.sums > real.sums[:, 0]).all()
            found = first_layers(net, layer).forward(ideal.images, backend=name)
            np.testing.assert_allclose(np.diagonal(found), ideal.sums, rtol=1e-4)


def test_ascent_keeps_the_image_of_a_dead_neuron() -> None:
    net = Network([16, 3, 2], activation="relu", seed=0)
    net.biases[0][...] = -100
    found = ideal_inputs(net, 1, steps=5)
    np.testing.assert_array_equal(found.images, np.full((2, 16), 0.5))


def test_excitation_refuses_unusable_arguments() -> None:
    net, x = deep(), RNG.random((4, 16))
    with pytest.raises(ValueError, match="there is no layer 3: give one from 0 to 2"):
        exciting_images(net, x, 3, k=1)
    with pytest.raises(ValueError, match="k is 9, and there are only 4 images"):
        exciting_images(net, x, 0)
    with pytest.raises(ValueError, match="there is no neuron 7"):
        ideal_inputs(net, 0, [7])
    with pytest.raises(ValueError, match="neurons is empty"):
        ideal_inputs(net, 0, [])
    with pytest.raises(ValueError, match="start has 4 images; expected one for each of the 5 neurons"):
        ideal_inputs(net, -1, start=x)
    with pytest.raises(TypeError, match=r"neurons must be a list of neuron numbers, such as \[3\]"):
        ideal_inputs(net, 0, 3)
    for function in (exciting_images, ideal_inputs):
        with pytest.raises(TypeError, match=r"network must be a fastnet\.Network, not Trainer"):
            function(Trainer(net), x, 0)
    with pytest.raises(ValueError, match="step must be more than 0"):
        ideal_inputs(net, 0, step=0)
