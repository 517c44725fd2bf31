"""The final costs of trainings, the line between two minima, and the cost surface around one minimum."""

from __future__ import annotations

import sys
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from conftest import name_of
from insight_cases import blobs, images, unseen

from fastnet import Network, Trainer
from fastnet.errors import FastnetError
from fastnet.insight import (
    CHAPTER,
    MINIMIZER,
    Landscape,
    Minima,
    Recipe,
    descent_landscape,
    descent_path,
    interpolate,
    landscape,
    match_neurons,
    minima,
)

SMALL = Recipe(
    (8,),
    4,
    {"activation": "relu", "cost": "cross_entropy"},
    {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 10},
)
WIDE = MINIMIZER.but(hidden=(128,))


def trained(recipe: Recipe, seed: int, x: Any, y: Any, backend: str | None = None) -> Network:
    trainer = recipe.but(trainer={"backend": backend}).start(x.shape[1], y.max() + 1, seed)
    trainer.fit(x, y, epochs=recipe.epochs)
    return trainer.network


@cache
def digits(recipe: str, seed: int, backend: str) -> Network:
    return trained({"chapter": CHAPTER, "wide": WIDE}[recipe], seed, *images(4000), backend)


# -- minima ------------------------------------------------------------------------------------------------------


# Coefficients of variation of the test cost, five groups of 20 seeds, similar on all backends [in the literature]:
# 5 neurons: 0.17 to 0.28 [0.23], 10 neurons: 0.108 to 0.172 [0.14], 25 neurons: 0.088 to 0.116 [0.075], 100 neurons:
# 0.037 to 0.060 [0.055]. In one group the cost varies less with 10 neurons than with 25, so the test does not compare
# these two. Difference between the largest and the smallest test cost: 0.50 to 1.19 with 5 neurons, 0.10 to 0.17 with
# 25, 0.029 to 0.056 with 100.
def test_final_costs_vary_less_in_wider_networks(backend: Any) -> None:
    found = minima(*images(4000), test=unseen(), widths=(5, 10, 25, 100), backend=name_of(backend))
    five, ten, some, hundred = found.variation
    assert 0.12 < five < 0.4
    assert five > 1.3 * some
    assert some > 1.2 * hundred
    assert 0.07 < ten < 0.25
    assert ten > 1.5 * hundred  # measured: 1.9 to 4.4 times
    assert hundred < 0.09
    spread = np.ptp(found.test_cost, axis=1)[[0, 2, 3]]
    assert spread[0] > 2 * spread[1] > 2 * spread[2]
    assert found.test_accuracy.mean(axis=1)[3] > 0.93


def test_minima_are_the_ends_of_the_recipe_s_trainings() -> None:
    x, y = blobs()
    test = blobs(30, seed=1)
    found = minima(x, y, widths=(3, 8), seeds=(4, 2), recipe=SMALL, test=test)
    for i, width in enumerate((3, 8)):
        for j, seed in enumerate((4, 2)):
            network = trained(SMALL.but(hidden=(width,)), seed, x, y)
            assert (found.cost[i, j], found.accuracy[i, j]) == network.evaluate(x, y)[:2]
            assert (found.test_cost[i, j], found.test_accuracy[i, j]) == network.evaluate(*test)[:2]


def test_the_coefficient_of_variation_is_the_deviation_over_the_mean() -> None:
    costs = np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]])
    found = Minima((1, 2), 2 * costs, costs, costs, costs)
    np.testing.assert_allclose(found.variation, [0.5, 0.0])
    np.testing.assert_allclose(found.training_variation, [0.5, 0.0])
    alone = minima(*blobs(), widths=(3,), seeds=[0], recipe=SMALL)
    assert np.isnan([*alone.variation, *alone.training_variation]).all()
    assert np.isnan(alone.test_cost).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": ()}, "widths"),
        ({"widths": (0,)}, "at least 1"),
        ({"widths": (3, 3)}, "different"),
        ({"seeds": ()}, "s"),
    ],
)
def test_impossible_widths_and_seeds_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        minima(*blobs(), recipe=SMALL, **change)


# -- the line between two minima ---------------------------------------------------------------------------------


# Barriers of five pairs on each backend. 784-16-16-10: 0.71 to 0.85 before and 0.14 to 0.23 after matching.
# 784-128-10: 0.14 to 0.22 before and 0.012 to 0.015 after matching.
@pytest.mark.parametrize(("recipe", "least", "ratio"), [("chapter", 0.5, 2.5), ("wide", 0.1, 6)])
def test_matching_neurons_lowers_the_barrier(backend: Any, recipe: str, least: float, ratio: float) -> None:
    pytest.importorskip("scipy", reason="matching neurons needs the extra `insight`")
    a, b = (digits(recipe, seed, name_of(backend)) for seed in (0, 1))
    before = interpolate(a, b, *images(4000), backend=name_of(backend))
    after = interpolate(a, match_neurons(a, b), *images(4000), backend=name_of(backend))
    assert before.barrier > least
    assert before.barrier > ratio * after.barrier
    assert after.accuracy.min() > before.accuracy.min()
    np.testing.assert_allclose(after.cost[[0, -1]], before.cost[[0, -1]], rtol=1e-4)


def test_the_costs_of_a_path_are_those_of_the_networks_on_it() -> None:
    x, y = blobs()
    a, b = (trained(SMALL, seed, x, y) for seed in (0, 1))
    path = interpolate(a, b, x, y, points=5)
    np.testing.assert_allclose(path.at, [0, 0.25, 0.5, 0.75, 1])
    assert (path.cost[0], path.accuracy[0]) == a.evaluate(x, y)[:2]
    assert (path.cost[-1], path.accuracy[-1]) == b.evaluate(x, y)[:2]
    a.parameters[...] = (3 * a.parameters + b.parameters) / 4
    assert path.cost[1] == pytest.approx(a.cost(x, y), rel=1e-5)


def test_the_barrier_is_the_rise_above_the_line_between_the_ends() -> None:
    a, b = Network([2, 2], seed=0), Network([2, 2], seed=1)
    path = interpolate(a, b, np.zeros((1, 2)), [0], points=3)
    for cost, barrier in (([1, 4, 3], 2.0), ([1, 2, 3], 0.0), ([1, 0, 3], 0.0)):
        assert type(path)(path.at, np.array(cost, float), path.accuracy).barrier == barrier


def permuted(network: Network, seed: int) -> Network:
    """Return a network that computes the same function with its hidden neurons in a random order."""
    rng, found = np.random.default_rng(seed), network.copy()
    for layer in range(len(found.sizes) - 2):
        order = rng.permutation(found.sizes[layer + 1])
        found.weights[layer][...] = found.weights[layer][order]
        found.biases[layer][...] = found.biases[layer][order]
        found.weights[layer + 1][...] = found.weights[layer + 1][:, order]
    return found


@pytest.mark.parametrize("sizes", [(10, 7, 3), (10, 16, 16, 3), (10, 5, 6, 7, 3), (10, 3)])
def test_matching_restores_shuffled_neurons(sizes: tuple[int, ...]) -> None:
    pytest.importorskip("scipy", reason="matching neurons needs the extra `insight`")
    a = Network(sizes, init="normal", seed=0)
    for seed in range(5):
        b = permuted(a, seed)
        before = b.parameters.copy()
        np.testing.assert_array_equal(match_neurons(a, b).parameters, a.parameters)
        np.testing.assert_array_equal(b.parameters, before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_matched_network_computes_the_same(backend: Any, dtype: str) -> None:
    pytest.importorskip("scipy", reason="matching neurons needs the extra `insight`")
    a, b = (Network([10, 16, 12, 3], activation="tanh", init="normal", seed=seed, dtype=dtype) for seed in (0, 1))
    found, x = match_neurons(a, b), blobs()[0]
    assert not np.array_equal(found.parameters, b.parameters)
    outputs = (network.forward(x, backend=name_of(backend)) for network in (found, b))
    np.testing.assert_allclose(*outputs, atol=1e-5 if dtype == "float32" else 1e-13)


def test_the_match_of_a_single_layer_is_the_best_of_all_orders() -> None:
    pytest.importorskip("scipy", reason="matching neurons needs the extra `insight`")
    a, b = (Network([4, 5, 3], init="normal", seed=seed) for seed in (0, 1))
    found = match_neurons(a, b)

    def likeness(order: tuple[int, ...]) -> float:
        rows = list(order)
        c = b.copy()
        c.weights[0][...], c.biases[0][...] = b.weights[0][rows], b.biases[0][rows]
        c.weights[1][...] = b.weights[1][:, rows]
        return float(a.parameters @ c.parameters)

    best = max(likeness(order) for order in permutations(range(5)))
    assert a.parameters @ found.parameters == pytest.approx(best, rel=1e-5)


def test_networks_of_different_shapes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy", reason="matching neurons needs the extra `insight`")
    a = Network([4, 5, 3])
    for b in (Network([4, 6, 3]), Network([4, 5, 3], activation="tanh"), Network([4, 5, 3], dtype="float64")):
        with pytest.raises(ValueError, match="same layers"):
            match_neurons(a, b)
        with pytest.raises(ValueError, match="same layers"):
            interpolate(a, b, np.zeros((1, 4)), [0])
    with pytest.raises(TypeError, match="a must be"):
        interpolate("a", a, np.zeros((1, 4)), [0])
    with pytest.raises(ValueError, match="points"):
        interpolate(a, a, np.zeros((1, 4)), [0], points=1)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(FastnetError, match=r"fastnet-mlp\[insight\]"):
        match_neurons(a, a)


# -- the surface -------------------------------------------------------------------------------------------------


def test_the_costs_of_a_map_are_those_of_networks_on_the_plane() -> None:
    x, y = blobs()
    network = trained(SMALL, 0, x, y)
    before = network.parameters.copy()
    found = landscape(network, x, y, span=0.5, points=5)
    np.testing.assert_array_equal(network.parameters, before)
    np.testing.assert_allclose(found.across, [-0.5, -0.25, 0, 0.25, 0.5])
    np.testing.assert_array_equal(found.across, found.up)
    assert (found.cost[2, 2], found.accuracy[2, 2]) == network.evaluate(x, y)[:2]
    for i, j in ((0, 4), (3, 1)):
        moved = network.copy()
        moved.parameters[...] += found.across[j] * found.directions[0] + found.up[i] * found.directions[1]
        assert found.cost[i, j] == pytest.approx(moved.cost(x, y), rel=1e-4)
    assert (found.path, found.variance) == (None, None)


def test_random_directions_have_the_length_of_each_neuron_s_weights() -> None:
    network = Network([10, 8, 3], init="normal", seed=0)
    network.weights[0][2] = 0  # a neuron with zero weights gets a zero direction
    found = landscape(network, *blobs(), points=2, seed=1)
    for direction in found.directions:
        weights, biases = network.views(direction)
        for ours, theirs in zip(weights, network.weights, strict=True):
            np.testing.assert_allclose(np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1), rtol=1e-5)
        assert not any(b.any() for b in biases)
    a, b = found.directions
    assert abs(a @ b) < 0.5 * np.linalg.norm(a) * np.linalg.norm(b)
    again, other = (landscape(network, *blobs(), points=2, seed=seed).directions for seed in (1, 2))
    np.testing.assert_array_equal(again, found.directions)
    assert not np.array_equal(other, found.directions)


def test_the_path_has_the_parameters_before_and_after_each_epoch() -> None:
    x, y = blobs()
    path = descent_path(SMALL.start(10, 3, 0), x, y, epochs=4)
    trainer = SMALL.start(10, 3, 0)
    for places in path:
        np.testing.assert_array_equal(places, trainer.network.parameters)
        trainer.fit(x, y, epochs=1)
    assert len(path) == 5


def test_the_plane_contains_a_path_that_lies_in_a_plane() -> None:
    x, y = blobs()
    network = Network([10, 3], seed=0)
    rng = np.random.default_rng(0)
    one, two = np.linalg.qr(rng.standard_normal((network.n_parameters, 2)))[0].T
    angles = np.linspace(0, 3, 12)
    path = network.parameters + np.outer(5 * np.cos(angles) - 5 * np.cos(3), one)
    path += np.outer(np.sin(angles) - np.sin(3), two)
    found = descent_landscape(network, path, x, y, points=4, margin=0.5)
    assert found.path is not None
    assert found.variance is not None
    assert found.variance.sum() == pytest.approx(1)
    assert found.variance[0] > 0.8
    np.testing.assert_allclose(network.parameters + found.path @ found.directions, path, atol=1e-5)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(2), atol=1e-9)
    for line, places in ((found.across, found.path[:, 0]), (found.up, found.path[:, 1])):
        length = np.ptp(places)
        np.testing.assert_allclose(line[[0, -1]], [places.min() - length / 2, places.max() + length / 2])


# Measured with five seeds: the two directions hold 97.7 to 98.1% of the variance of the path. The cost is 0.99 to 1.18
# at the start and 0.05 to 0.065 at the end.
def test_the_cost_falls_along_the_path_on_its_plane(backend: Any) -> None:
    x, y = images(1000)
    trainer = CHAPTER.but(trainer={"backend": name_of(backend)}).start(784, 10, 0)
    path = descent_path(trainer, *images(4000), epochs=CHAPTER.epochs)
    found = descent_landscape(trainer.network, path, x, y, points=11, backend=name_of(backend))
    assert found.path is not None
    assert found.variance is not None
    assert found.variance.sum() > 0.95
    np.testing.assert_allclose(found.path[-1], 0, atol=1e-9)
    start, end = (cost_at(found, place) for place in found.path[[0, -1]])
    assert end < 0.2 * start
    assert end < 1.5 * trainer.evaluate(x, y).cost


def cost_at(found: Landscape, place: Any) -> float:
    """Return the cost at the grid point closest to `place`."""
    return float(found.cost[np.abs(found.up - place[1]).argmin(), np.abs(found.across - place[0]).argmin()])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (np.zeros((2, 33)), "k of at least 3"),
        (np.zeros((3, 32)), r"\(k, 33\)"),
        (np.zeros(33), "shape"),
        (np.zeros((5, 33)), "on a line"),
        (np.outer(np.arange(5), np.ones(33)), "on a line"),
        (np.full((5, 33), np.nan), "not finite"),
    ],
)
def test_a_path_without_a_plane_is_refused(path: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        descent_landscape(Network([10, 3]), path, *blobs())


def test_arguments_of_the_wrong_type_are_refused() -> None:
    network, (x, y) = Network([10, 3]), blobs()
    with pytest.raises(TypeError, match=r"network must be a fastnet\.Network, not Trainer"):
        landscape(Trainer(network), x, y)
    with pytest.raises(TypeError, match=r"trainer must be a fastnet\.Trainer, not Network"):
        descent_path(network, x, y, epochs=1)
    with pytest.raises(TypeError, match=r"recipe must be a fastnet\.insight\.Recipe, not str"):
        minima(x, y, recipe="wide")


@pytest.mark.parametrize("change", [{"span": 0}, {"points": 1}, {"seed": -1}])
def test_impossible_maps_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        landscape(Network([10, 3]), *blobs(), **change)
