"""The byte scale of a network: every path reads a byte b as b * scale, and a likely mistake draws one warning."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import comparisons as cmp
import numpy as np
import pytest
from conftest import name_of

from fastnet import Network, Trainer

X = np.random.default_rng(0).integers(0, 17, (30, 8)).astype(np.uint8)
Y = np.arange(30) % 3


def network(**arguments: Any) -> Network:
    return Network([8, 5, 3], cost="cross_entropy", seed=0, **arguments)


@pytest.mark.parametrize("scale", [1, 0.25])
def test_every_path_multiplies_bytes_by_the_scale(backend: Any, scale: float, tmp_path: Path) -> None:
    name, net, x = name_of(backend), network(byte_scale=scale), scale * X.astype(np.float32)
    expected = net.forward(x, backend=name)
    net.save(tmp_path / "net")
    for same in (net, net.copy(), net.astype("float64").astype("float32"), Network.load(tmp_path / "net")):
        assert same.byte_scale == scale
        cmp.assert_close(same.forward(X, backend=name), expected, 1e-6)
        cmp.assert_close(same.compile(backend=name, max_batch=30, x_dtype=np.uint8)(X), expected, 1e-6)
    cmp.assert_close(net.gradient(X, Y, backend=name), net.gradient(x, Y, backend=name), 1e-6)
    for sparse in (False, True):
        bytes_, floats = (network(byte_scale=scale) for _ in range(2))
        for trained, data in ((bytes_, X), (floats, x)):
            trainer = Trainer(trained, optimizer="sgd", learning_rate=0.1, seed=0, backend=name, sparse=sparse)
            trainer.fit(data, Y, epochs=3)
        cmp.assert_close(bytes_.parameters, floats.parameters, 1e-5)


def test_sparse_bytes_are_multiplied_by_the_scale() -> None:
    scipy_sparse = pytest.importorskip("scipy.sparse", reason="sparse matrices need SciPy")
    net, x = network(byte_scale=0.5), scipy_sparse.csr_array(X)
    cmp.assert_close(net.forward(x), net.forward(0.5 * X), 1e-6)
    cmp.assert_close(net.compile(max_batch=30)(x), net.forward(0.5 * X), 1e-6)


def bytes_and_sparse_bytes() -> list[Any]:
    scipy_sparse = pytest.importorskip("scipy.sparse", reason="sparse matrices need SciPy")
    return [X, scipy_sparse.csr_array(X)]


@pytest.mark.parametrize("use", ["forward", "predict", "fit", "predictor", "x_dtype"])
def test_bytes_after_large_floats_draw_one_warning(use: str, tmp_path: Path) -> None:
    for x in bytes_and_sparse_bytes():
        net = network()
        trainer = Trainer(net, optimizer="sgd", learning_rate=0.1, seed=0, backend="numpy")
        trainer.fit(X.astype(float), Y, epochs=1)
        calls: dict[str, Any] = {
            "forward": lambda: net.forward(x),  # noqa: B023  # called in this iteration
            "predict": lambda: net.predict(x),  # noqa: B023  # called in this iteration
            "fit": lambda: trainer.fit(x, Y, epochs=1),  # noqa: B023  # called in this iteration
            "predictor": lambda: net.compile()(x),  # noqa: B023  # called in this iteration
            "x_dtype": lambda: net.compile(x_dtype=np.uint8),  # noqa: B023  # called in this iteration
        }
        net.save(tmp_path / "net")
        with pytest.warns(UserWarning, match=r"floats as large as 16, .*Network\(byte_scale=1\)") as caught:
            calls[use]()
        assert len(caught) == 1
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            net.forward(x)
        with pytest.warns(UserWarning, match="floats as large as 16"):
            Network.load(tmp_path / "net").forward(x)


def test_matching_data_draw_no_warning() -> None:
    counts, pixels = network(byte_scale=1), network()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for net, floats in ((counts, X.astype(float)), (pixels, X / 255)):
            Trainer(net, optimizer="sgd", learning_rate=0.1, seed=0, backend="numpy").fit(floats, Y, epochs=1)
            net.forward(X)
            net.forward(X.astype(int))
