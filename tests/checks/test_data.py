"""An error about examples or targets names the index and the value. Targets must be in the range of the outputs."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pytest

from fastnet import Network, Trainer, checks
from fastnet.checks.data import DOT_SIZE, SUM_SIZE
from fastnet.kernels import formulas

X = np.random.default_rng(0).random((6, 4), np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])
WIDE = np.finfo(np.longdouble).max > np.finfo(np.float64).max


@pytest.mark.skipif(not WIDE, reason="longdouble is float64 on this machine")
@pytest.mark.parametrize(
    ("dtype", "exponent", "words"),
    [
        ("float32", 1000, r"^x holds 1e\+1000, beyond float32: use smaller values$"),
        ("float64", 1000, r"^x holds 1e\+1000, beyond float64: use smaller values$"),
        ("float32", 300, r"^x holds 1e\+300, beyond float32: use a float64 network or smaller values$"),
    ],
)
def test_the_error_shows_a_large_float128(dtype: str, exponent: int, words: str) -> None:
    x = X.astype(np.longdouble)
    x[2, 1] = np.longdouble(10) ** exponent
    with pytest.raises(ValueError, match=words):
        Network([4, 3], dtype=dtype).forward(x)


@pytest.mark.parametrize("y", [np.array([0, 0, 0, np.nan, 0, 0]), np.array([0, 0, 0, np.nan, 0, 0], np.float32)])
def test_the_index_in_an_error_has_the_dimensions_of_y(y: Any) -> None:
    net = Network([4, 1])
    with pytest.raises(ValueError, match=r"^y\[3\] is nan;"):
        net.cost(X, y)
    with pytest.raises(ValueError, match=r"^y\[3, 0\] is nan;"):
        net.cost(X, y[:, None])
    with pytest.raises(ValueError, match=r"^y\[3\] is 2;"):
        net.cost(X, np.nan_to_num(y, nan=2))
    with pytest.raises(ValueError, match=r"^x\[1, 0, 1\] is nan; every value must be finite: fill or drop such rows$"):
        net.cost(np.where(np.arange(24) == 5, np.nan, X.ravel()).reshape(6, 2, 2), y)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (Y + 1, "^y[2] is 3; the network has 3 outputs, so labels are from 0 to 2: use y - 1$"),
        (Y + 2, "^y[1] is 3; .*: number the classes from 0, or give the network more outputs$"),
        (Y - 1, "^y[0] is -1; .*: number the classes from 0"),
    ],
)
def test_the_error_of_a_label_says_how_to_number_the_classes(y: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("[", r"\[")):
        Network([4, 3]).cost(X, y)


def test_masks_within_a_list_are_found() -> None:
    x, y = np.ma.masked_array(X, X > 0.9), np.ma.masked_array(Y, Y > 1)
    for given in ([*x], (*x,)):
        with pytest.raises(ValueError, match=r"^x has masked values"):
            Network([4, 3]).forward(given)
    with pytest.raises(ValueError, match=r"^y has masked values"):
        Network([4, 3]).cost(X, [*y])
    Network([4, 3]).cost([*np.ma.masked_array(X)], [*np.ma.masked_array(Y)])


ENDS = {"sigmoid": (0, 1), "softmax": (0, 1), "tanh": (-1, 1), "relu": (0, 1e6), "exponential": (0, 1e6)}
ANYTHING = {"identity", "leaky_relu"}


def test_every_activation_has_a_range() -> None:
    assert formulas.ACTIVATIONS.keys() == ENDS.keys() | ANYTHING


@pytest.mark.parametrize(
    ("output", "value", "dtype", "words"),
    [
        ("sigmoid", 255, np.uint8, "from 0 to 1"),
        ("sigmoid", -500, np.float32, "from 0 to 1"),
        ("sigmoid", 2, np.int64, "from 0 to 1"),
        ("softmax", 255, np.uint8, "from 0 to 1"),
        ("softmax", 1.001, np.float64, "from 0 to 1"),
        ("sigmoid", 1.00001, np.float64, "from 0 to 1"),
        ("tanh", 255, np.uint8, "from -1 to 1"),
        ("tanh", -1.001, np.float32, "from -1 to 1"),
        ("relu", -0.001, np.float64, "of 0 or more"),
        ("relu", -1, np.int64, "of 0 or more"),
    ],
)
def test_targets_outside_the_range_of_the_outputs_are_refused(
    output: str, value: float, dtype: Any, words: str
) -> None:
    net = Network([4, 3], output=output, cost="squared_error")
    good = np.eye(3, dtype=dtype)[Y]
    wrong = good.copy()
    wrong[4, 2], wrong[5, 0] = value, value
    message = f"y[4, 2] is {value:g}; {output} outputs need targets {words}: scale them, or use output='identity'"
    trainer = Trainer(net, backend="numpy")
    for call in (net.cost, net.gradient, partial(trainer.fit, epochs=1), trainer.partial_fit, trainer.evaluate):
        call(X, good)
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            call(X, wrong)
    with pytest.raises(ValueError, match="^validation " + re.escape(message)):
        trainer.fit(X, good, epochs=1, validation_data=(X, wrong))


@pytest.mark.parametrize("output", ENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_outside_the_range_by_rounding_are_accepted(output: str, dtype: Any) -> None:
    least, most = ENDS[output]
    y = np.tile(np.array([least - 1e-9, most + 1.2e-7, least], np.float64), (6, 1))
    Network([4, 3], output=output, cost="squared_error", dtype=dtype).cost(X, y)


@pytest.mark.parametrize("output", sorted(ANYTHING))
def test_unbounded_outputs_accept_any_targets(output: str) -> None:
    Network([4, 3], output=output).cost(X, np.eye(3)[Y] * 1000 - 500)


@pytest.mark.parametrize("output", ENDS)
def test_the_ends_of_the_range_and_labels_are_accepted(output: str) -> None:
    net = Network([4, 3], output=output, cost="squared_error")
    net.cost(X, np.tile(np.array(ENDS[output])[[0, 1, 0]], (6, 1)))
    net.cost(X, Y)
    if output != "softmax":
        Network([4, 1], output=output, cost="squared_error").cost(X, np.tile(ENDS[output], 3))
        Network([4, 1], output=output, cost="squared_error").cost(X, Y > 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 20, DOT_SIZE + 3, SUM_SIZE + 3])
def test_is_finite_looks_at_every_number(size: int, dtype: type) -> None:
    numbers = np.full(size, np.finfo(dtype).max, dtype)  # sums and squares overflow, the numbers are finite
    assert checks.is_finite(numbers)
    for at in {0, size // 2, size - 1} if size else ():
        for bad in (np.nan, np.inf, -np.inf):
            spoilt = numbers.copy()
            spoilt[at] = bad
            assert not checks.is_finite(spoilt)
            assert not checks.is_finite(np.stack([numbers, spoilt]))


@pytest.mark.parametrize("writeable", [True, False])
def test_an_array_that_kernels_take_is_not_copied(writeable: bool) -> None:
    x = np.ones((5, 3), np.float32)
    x.flags.writeable = writeable
    found = checks.lazy_inputs(x, 3, np.dtype(np.float32))
    assert isinstance(found, np.ndarray)
    assert np.shares_memory(found, x)
    assert found is not x  # the user may change the shape of x
