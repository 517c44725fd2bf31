"""The kernel contract: exponentials, saturation, subnormal numbers and the floating-point environment."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import backend_calls as bc
import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import pytest

from fastnet.kernels import contract as c
from fastnet.kernels import formulas

RELATIVE = {"float32": 1e-6, "float64": 1e-14}


def activation_of(backend: Any, name: str, z: kc.Array) -> kc.Array:
    """Return the activation of one neuron with weight 1 and bias 0 at each z. For softmax the sums are (z, 0)."""
    n = 2 if name == "softmax" else 1
    k = kc.case((1, n), output=(name, "squared_error"), rows=len(z), dtype=z.dtype.name)
    k.params[:] = 0
    k.params[0] = 1
    return bc.predict(backend, k._replace(x=z[:, None].copy()))[:, 0]


def sweep(dtype: str, low: float, high: float) -> kc.Array:
    """Return random and round values of z. Their number is odd, so the last vector is incomplete."""
    z = np.random.default_rng(7).uniform(low, high, 3000)
    return np.concatenate([z, np.linspace(low, high, 401)]).astype(dtype)


def worst_relative(found: kc.Array, expected: list[float]) -> float:
    exact = np.array(expected)
    return float(np.max(np.abs(found.astype(np.float64) - exact) / np.abs(exact)))


@kc.pairs("dtype", name=["sigmoid", "softmax", "exponential"])
def test_sigmoid_and_exponential_are_accurate(backend: Any, name: str, dtype: str) -> None:
    """The relative error must be small even at 1e-35, because the cost takes the logarithm of the activation."""
    function = math.exp if name == "exponential" else naive.sigmoid
    for low, high in [(-20, 20), (-1e-3, 1e-3), (-80, -20), (20, 80)]:
        z = sweep(dtype, low, high)
        expected = [function(v) for v in z.tolist()]
        assert worst_relative(activation_of(backend, name, z), expected) < RELATIVE[dtype], (low, high)


@kc.pairs("dtype")
def test_tanh_is_accurate(backend: Any, dtype: str) -> None:
    """The relative error must be small even near zero, where (e^2z - 1) / (e^2z + 1) would lose all digits."""
    for low, high in [(-3, 3), (-1e-3, 1e-3), (-1e-20, 1e-20), (0.3, 0.7), (-400, 400)]:
        z = sweep(dtype, low, high)
        z = z[z != 0]
        expected = [math.tanh(v) for v in z.tolist()]
        assert worst_relative(activation_of(backend, "tanh", z), expected) < RELATIVE[dtype], (low, high)


@kc.pairs("backend", "dtype", name=["relu", "leaky_relu", "identity"])
def test_piecewise_linear_activations_are_exact(backend: Any, name: str, dtype: str) -> None:
    z = sweep(dtype, -30, 30)
    expected = np.array([naive.activate(name, [v])[0] for v in z.tolist()])
    np.testing.assert_allclose(activation_of(backend, name, z), expected, rtol=RELATIVE[dtype] / 5, atol=0)


@kc.pairs("dtype", name=formulas.ACTIVATIONS)
def test_activations_far_from_zero_and_at_zero(backend: Any, name: str, dtype: str) -> None:
    far = [0.0, 1e4, -1e4, 1e30, -1e30, 700.0, -700.0, 89.0, -89.0]
    found = activation_of(backend, name, np.array(far * 5, dtype))
    if name == "exponential":
        with np.errstate(over="ignore"):
            expected = np.exp(np.array(far, dtype)).tolist()  # inf above the range of the dtype
    else:
        expected = [naive.sigmoid(v) if name == "softmax" else naive.activate(name, [v])[0] for v in far]
    # To avoid subnormal numbers, an exponential may stop just above the smallest normal number instead of reaching 0.
    np.testing.assert_allclose(found, expected * 5, rtol=RELATIVE[dtype], atol=4 * np.finfo(dtype).tiny)


@kc.pairs("backend", "dtype", name=formulas.ACTIVATIONS)
def test_nan_gives_nan_only_in_its_row(backend: Any, name: str, dtype: str) -> None:
    z = np.linspace(-2, 2, 37).astype(dtype)
    clean = activation_of(backend, name, z)
    z[[3, 20, 36]] = np.nan
    found = activation_of(backend, name, z)
    assert np.isnan(found[[3, 20, 36]]).all()
    others = ~np.isnan(z)
    cmp.assert_same_bits([found[others]], [clean[others]])


# -- saturation ------------------------------------------------------------------------------------------


@kc.pairs(
    "backend",
    "dtype",
    "inputs",
    "targets",
    hidden=["sigmoid", "tanh", "relu"],
    output=[output for output in kc.OUTPUTS if output[0] != "exponential"],  # its cost overflows
)
def test_saturated_networks_have_a_finite_right_cost(
    backend: Any, hidden: str, output: tuple[str, str], dtype: str, inputs: str, targets: str
) -> None:
    """With weighted sums of +-1e4, exponentials overflow and outputs round to 0. The cost must be finite and right."""
    k = kc.case((4, 5, 3), hidden, output, 12, dtype, inputs, targets)
    k.params[:] *= 1e4
    cost, grad = bc.gradient(backend, k)
    naive_cost, naive_grad = cmp.naive_gradient(k)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    assert cost == pytest.approx(naive_cost, rel=tolerance, abs=tolerance)
    cmp.assert_close(grad, naive_grad, tolerance)
    found = bc.train(backend, k, np.arange(12), 12, naive.Rule(), np.zeros(1))
    assert found.cost == pytest.approx(12 * naive_cost, rel=tolerance, abs=tolerance)
    if output[1] == "cross_entropy":
        assert naive_cost > 10  # otherwise the outputs are not saturated


# -- denormals and the floating-point environment ----------------------------------------------------------


def count_subnormal(array: kc.Array) -> int:
    size = np.abs(array)
    return int(np.count_nonzero((size > 0) & (size < np.finfo(array.dtype).tiny)))


@kc.pairs("compiled", "dtype", name=["sigmoid", "softmax"])
def test_no_output_is_subnormal(compiled: Any, name: str, dtype: str) -> None:
    """e^-90 is subnormal in float32. Arithmetic with subnormal numbers is up to a hundred times slower."""
    z = sweep(dtype, *{"float32": (-104, -86), "float64": (-746, -706)}[dtype])
    found = activation_of(compiled, name, z)
    assert count_subnormal(found) == 0
    assert (found >= 0).all()
    assert (found < 1e-36).all()


@kc.pairs("compiled", "rule", "dtype")
def test_training_makes_no_subnormal(compiled: Any, rule: str, dtype: str) -> None:
    """The derivatives of a saturated layer are tiny, and the optimiser's state decays while the gradient is zero."""
    k = kc.case((4, 6, 3), dtype=dtype, rows=8)
    at = k.net[0, c.BIASES]
    k.params[at : at + 6] = {"float32": -89.0, "float64": -710.0}[dtype]
    k.x[:, 0] = 0
    tiny = float(np.finfo(dtype).tiny)
    assert count_subnormal(bc.gradient(compiled, k)[1]) == 0
    state = np.full((kc.RULES[rule].slots(), len(k.params)), 3 * tiny, dtype)
    found = bc.train(compiled, k, np.arange(8), 1, kc.RULES[rule], state=state)
    assert count_subnormal(found.params) == 0
    assert count_subnormal(found.state) == 0


def keeps_subnormals() -> bool:
    """Return whether both vector and scalar arithmetic of this thread keep subnormal numbers."""
    made = np.full(67, 1e-38, np.float32) * np.full(67, 0.1, np.float32)
    read = np.full(67, 1e-39, np.float32) * np.full(67, 1e10, np.float32)
    return bool((made != 0).all() and (read != 0).all() and 2.0**-1060 * 0.5 != 0)


def every_way_out(backend: Any, dtype: str) -> Iterator[str]:
    """Make one call for each way in which a call can end. Yield a name after each call."""
    k = kc.case((5, 6, 3), output=("softmax", "cross_entropy"), dtype=dtype, rows=9)
    bc.predict(backend, k)
    yield "predict"
    bc.gradient(backend, k)
    yield "gradient"
    backend.predictor(k.net, k.params, 1, k.x.dtype, bc.workspace(k, 1))(k.x[:1], np.empty((1, 3), dtype))
    yield "predictor"
    for rule in kc.RULES.values():
        bc.train(backend, k, np.arange(9), 4, rule)
        yield f"train, {rule.kind}"
    bc.train(backend, k, np.arange(9), 4, naive.Rule(), stop=1)
    yield "train, stopped"
    bc.train(backend, k, np.arange(0), 4, naive.Rule())
    yield "train, no steps"
    k.x[5] = np.nan
    assert bc.train(backend, k, np.arange(9), 4, naive.Rule()).steps == 1
    yield "train, not finite"


@kc.pairs("backend", "dtype")
def test_the_caller_keeps_its_subnormals(backend: Any, dtype: str) -> None:
    assert keeps_subnormals()
    for call in every_way_out(backend, dtype):
        assert keeps_subnormals(), call


@kc.pairs("backend", "dtype")
def test_the_caller_keeps_its_flushing(backend: Any, dtype: str) -> None:
    """If the caller flushes subnormals to zero before a call, it still does so after the call."""
    torch = pytest.importorskip("torch", reason="the test switches flushing on with PyTorch")
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush subnormals")
    try:
        assert not keeps_subnormals()
        for call in every_way_out(backend, dtype):
            assert not keeps_subnormals(), call
    finally:
        torch.set_flush_denormal(False)
    assert keeps_subnormals()


@pytest.mark.parametrize(
    ("output", "biases"),
    [
        *((output, (60, 80, 70)) for output in kc.OUTPUTS if output[0] in ("sigmoid", "tanh")),
        (("relu", "squared_error"), (-3, -1, -2)),
    ],
)
@kc.pairs("backend", "dtype")
def test_equal_outputs_are_classified_by_their_weighted_sums(
    backend: Any, output: tuple[str, str], biases: tuple[int, ...], dtype: str
) -> None:
    """All outputs are equal, because sigmoid and tanh round to 1 and ReLU gives 0 for the negative sums."""
    k = kc.case((2, 3), output=output, rows=9, dtype=dtype, targets="labels")
    k = k._replace(params=np.array([0] * 6 + list(biases), dtype), y=np.arange(9) % 2)  # 4 rows of class 1
    found = bc.train(backend, k, np.arange(9), 4, naive.Rule(), np.zeros(3))
    assert len(set(bc.predict(backend, k)[0])) == 1
    assert found.score == cmp.naive_report(k)[c.SCORE] == 4
