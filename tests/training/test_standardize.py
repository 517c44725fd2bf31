"""The folded network gives for raw rows what the trained network gives for standardized rows."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet
from fastnet.kernels.formulas import ACTIVATIONS
from fastnet.training.standardize import MAX_CHANGE, Standardization

HIDDEN = [row.name for row in ACTIVATIONS.values() if row.is_hidden]


def table(seed: int, n: int = 60, n_in: int = 5) -> np.ndarray:
    """Return random rows. Each column has a mean and a deviation of its own, from 1e-3 to 1e3."""
    rng = np.random.default_rng(seed)
    means, deviations = 10 ** rng.uniform(-3, 3, (2, n_in))
    rows: np.ndarray = means * rng.choice([-1, 1], n_in) + deviations * rng.normal(size=(n, n_in))
    return rows


def random_network(*sizes: int, seed: int = 0, **options: object) -> fastnet.Network:
    """Return a network all of whose parameters are random, biases too."""
    network = fastnet.Network(sizes, init="normal", seed=seed, **options)  # type: ignore[arg-type]  # options of mixed types
    network.parameters *= 0.3
    return network


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", HIDDEN)
def test_the_folded_network_takes_raw_rows(activation: str, dtype: str) -> None:
    for seed in range(5):
        x = table(seed)
        standard, network = Standardization.of(x), random_network(5, 7, 6, 3, activation=activation, dtype=dtype)
        rows = standard.rows(x)
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(rows.std(axis=0), 1)
        folded = standard.folded(network, x)
        expected = network.astype("float64").forward(rows)
        np.testing.assert_allclose(folded.forward(x), expected, atol=1e-9 if dtype == "float64" else MAX_CHANGE)


@pytest.mark.parametrize("sizes", [(5, 2), (5, 7, 2)])
def test_the_outputs_of_a_regression_are_in_the_units_of_the_target(sizes: tuple[int, ...]) -> None:
    x, y = table(1), table(2, n_in=2)
    standard, network = Standardization.of(x, y), random_network(*sizes, task="regression", dtype="float64")
    rows, targets = standard.rows(x), standard.outputs(y)
    np.testing.assert_allclose((targets.mean(axis=0), targets.std(axis=0)), ([0, 0], [1, 1]), atol=1e-9)
    folded = standard.folded(network, x)
    np.testing.assert_allclose(folded.forward(x), network.forward(rows) * y.std(axis=0) + y.mean(axis=0))
    deviation = y.var(axis=0).sum()
    assert 1 - folded.evaluate(x, y).r2 == pytest.approx(np.square(folded.forward(x) - y).sum() / (len(y) * deviation))


def test_a_constant_column_has_no_influence() -> None:
    x = table(3)
    x[:, 1], x[:, 3] = 0.1, 1e9 + 1e-7 * x[:, 3]  # the differences of column 3 are rounding errors
    standard, network = Standardization.of(x), random_network(5, 7, 3, dtype="float64")
    assert standard.inputs is not None
    assert standard.inputs.deviations[[1, 3]].tolist() == [0, 0]
    assert standard.rows(x)[:, [1, 3]].tolist() == [[0, 0]] * len(x)
    folded, other = standard.folded(network, x), x.copy()
    other[:, [1, 3]] += 5
    np.testing.assert_array_equal(folded.forward(other), folded.forward(x))
    constant = Standardization.of(x, np.full((len(x), 1), 7.0))
    regression = random_network(5, 7, 1, task="regression", dtype="float64")
    np.testing.assert_array_equal(constant.folded(regression, x).predict(x), np.full((len(x), 1), 7.0))


@pytest.mark.parametrize(("offset", "dtype"), [(0, "float32"), (50, "float32"), (1e4, "float64"), (1e9, "float64")])
def test_a_network_of_far_columns_needs_float64(offset: float, dtype: str) -> None:
    x = np.random.default_rng(0).normal(size=(60, 5)) + offset
    standard, network = Standardization.of(x), random_network(5, 20, 3)
    folded = standard.folded(network, x)
    assert folded.dtype == dtype
    np.testing.assert_allclose(folded.forward(x), network.forward(standard.rows(x)), atol=2 * MAX_CHANGE)


@pytest.mark.parametrize("scale", [1e-200, 1e-45, 1e39, 1e200])
def test_numbers_outside_of_float32_need_float64(scale: float) -> None:
    x = scale * np.random.default_rng(0).normal(size=(60, 5))
    standard, network = Standardization.of(x), random_network(5, 20, 3)
    folded = standard.folded(network, x)
    assert folded.dtype == "float64"
    np.testing.assert_allclose(folded.forward(x), network.forward(standard.rows(x)), atol=2 * MAX_CHANGE)


def test_large_outputs_do_not_need_float64() -> None:
    x = table(0) / 1000
    standard, network = Standardization.of(x), random_network(5, 20, 1, output="identity", task="regression")
    network.parameters *= 30
    assert np.abs(network.forward(standard.rows(x))).max() > 1000
    assert standard.folded(network, x).dtype == "float32"


def test_bytes_stay_bytes() -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 5), np.uint8)
    standard, network = Standardization.of(x), random_network(5, 20, 3)
    np.testing.assert_allclose(standard.rows(x).std(axis=0), 1)
    fastnet.Trainer(network, seed=0).fit(standard.rows(x) * 2, np.arange(60) % 3, epochs=1)  # floats above 1
    np.testing.assert_allclose(
        standard.folded(network, x).forward(x), network.forward(standard.rows(x)), atol=MAX_CHANGE
    )


def test_targets_alone_may_be_standardized() -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (60, 5), np.uint8), table(2, n_in=1)
    standard, network = Standardization.of(None, y), random_network(5, 7, 1, task="regression", dtype="float64")
    assert standard.rows(x) is x
    np.testing.assert_allclose(standard.folded(network, x).forward(x), network.forward(x) * y.std() + y.mean())


def test_the_folded_network_knows_its_raw_inputs() -> None:
    x = 1000 * table(0)
    standard, network = Standardization.of(x), fastnet.Network([5, 4, 2], seed=0)
    fastnet.Trainer(network, seed=0).fit(standard.rows(x), np.arange(60) % 2, epochs=1)
    folded = standard.folded(network, x)
    with pytest.warns(UserWarning, match=f"trained on floats as large as {abs(x).max():g}".replace("+", r"\+")):
        folded.forward(x.astype(np.uint8))
