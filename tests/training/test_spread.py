"""A fit warns once of columns whose spread is far from 1, and names the worst column."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse

from fastnet import Network, Trainer
from fastnet.training import spread as spread_module
from fastnet.training.spread import spread_message

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3000, 3))
Y = RNG.integers(0, 2, 3000)


def fit(x: Any, **arguments: Any) -> None:
    net = Network([3, 2], seed=0, dtype=np.float64)
    Trainer(net, learning_rate=1e-9, batch_size=100, seed=0, backend="numpy").fit(x, Y[: x.shape[0]], epochs=1)


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ([1, 3000, 1], "column 1 of x has a standard deviation of 3e+03; networks train best on columns with one near"),
        ([1, 200, 3000], "column 2 of x has a standard deviation of 3e+03 and 1 more column needs scaling too; "),
        ([1e-4, 200, 3000], "column 0 of x has a standard deviation of 0.0001 and 2 more columns need scaling too; "),
    ],
)
def test_a_fit_warns_once_and_names_the_worst_column(factors: list[float], words: str) -> None:
    x = X * factors / X.std(axis=0) + [5, 0, -7]
    names = re.sub(r"column (\d)", lambda found: f"column {'abc'[int(found[1])]!r}", words)
    cases = [(x, words), (x.astype(np.int64) if min(factors) >= 1 else x, words), (x.astype(np.float32), words)]
    cases += [(library.DataFrame(x, **{key: list("abc")}), names) for library, key in FRAMES]
    for given, expected in cases:
        with pytest.warns(UserWarning, match="^column") as caught:
            fit(given)
        assert len(caught) == 1
        assert caught[0].filename == __file__  # the warning blames the line that called fit
        message = str(caught[0].message)
        assert re.match(re.sub(r"3e\\\+03|0\\.0001", r"\\S+", re.escape(expected)), message), message
        assert message.endswith("use sklearn.preprocessing.StandardScaler()")


FRAMES: list[tuple[Any, str]] = [(pandas, "columns"), (polars, "schema")]


def test_the_columns_of_sparse_rows_are_named_too() -> None:
    x = scipy.sparse.csr_array(np.where(RNG.random(X.shape) < 0.2, X * [1, 1, 3000], 0))
    with pytest.warns(UserWarning, match=r"^column 2 of x has .* use sklearn\S+StandardScaler\(with_mean=False\)$"):
        fit(x)


@pytest.mark.parametrize(
    "x",
    [
        X * [90, 0.02, 1],
        np.concatenate([X[:, :1], np.full((3000, 2), [1e9, 0.1])], axis=1),  # constant columns
        np.where(np.arange(3000)[:, None] % 10 == 0, 1e-4 * X, 0),  # mostly zeros
        RNG.integers(0, 256, (3000, 3), np.uint8),
        scipy.sparse.csr_array(np.full((40, 3), 1e9)),
        scipy.sparse.csr_array(np.where(RNG.random(X.shape) < 0.1, 0.001, 0)),
        X[:1] * 1e9,
    ],
)
def test_no_warning_where_scaling_would_not_help(x: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(x)


def test_the_sample_is_spread_over_all_rows() -> None:
    x = X.copy()
    x[2000:, 1] *= 1000  # the last third
    with pytest.warns(UserWarning, match="^column 1 of x"):
        fit(x)
    with warnings.catch_warnings():  # validation data and a stream draw no warning
        warnings.simplefilter("error")
        trainer = Trainer(Network([3, 2], seed=0), learning_rate=1e-9, batch_size=100, seed=0, backend="numpy")
        trainer.fit(X, Y, epochs=1, validation_data=(x, Y))
        trainer.partial_fit(x, Y)


@pytest.mark.parametrize("spread", [0.0, 1e-5, 0.0098, 0.0102, 0.012, 1.0, 90.0, 98.0, 102.0, 1e5, 1e30])
@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_the_quick_check_passes_only_columns_that_draw_no_warning(spread: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    column = rng.permutation(np.tile([-1.0, 1.0], 20)) * spread + shift
    x = np.stack([rng.normal(size=40), column], axis=1).astype(np.float32)
    deviation = float(x[:, 1].astype(np.float64).std())
    warns = deviation > 100 or 0 < deviation < 0.01
    assert bool(spread_message(x, None)) == warns
    if warns:
        assert not spread_module._is_fine(x)
    elif deviation in (0, 1) or 0.011 < deviation < 94:
        assert spread_module._is_fine(x)
