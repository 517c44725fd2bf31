"""Network and Trainer without settings: what the defaults are, and that they train on small public data sets."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

from fastnet import Adam, Network, Trainer


def test_the_defaults() -> None:
    many, one, values = Network([4, 8, 3]), Network([4, 8, 1]), Network([4, 8, 2], task="regression")
    assert (many.activations_by_layer, many.cost_name) == (("relu", "softmax"), "cross_entropy")
    assert (one.activations_by_layer, one.cost_name) == (("relu", "sigmoid"), "cross_entropy")
    assert (values.activations_by_layer, values.cost_name) == (("relu", "identity"), "squared_error")
    trainer = Trainer(many)
    assert (trainer.optimizer, trainer.learning_rate, trainer.batch_size) == (Adam(), 0.001, "auto")


# With sigmoids, the squared error, plain gradient descent and batches of 32, networks of the same sizes score 0.95 on
# iris, 0.98 on scaled breast_cancer, 0.63 (the larger class) on breast_cancer and 0.56 on diabetes.
@pytest.mark.parametrize(
    ("name", "scaled", "epochs", "enough"),
    [
        ("iris", True, 200, 0.97),
        ("breast_cancer", True, 100, 0.99),
        ("breast_cancer", False, 100, 0.9),
        ("diabetes", True, 300, 0.95),
    ],
)
def test_the_defaults_train(name: str, scaled: bool, epochs: int, enough: float) -> None:
    datasets: Any = pytest.importorskip("sklearn.datasets", reason="the data come from scikit-learn")
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0) if scaled else x
    if name == "diabetes":
        y = (y - y.mean()) / y.std()
        net = Network([x.shape[1], 100, 100, 1], task="regression", seed=0)
    else:
        net = Network([x.shape[1], 100, 100, y.max() + 1], seed=0)
    with contextlib.nullcontext() if scaled else pytest.warns(UserWarning, match="StandardScaler"):
        Trainer(net, seed=0).fit(x, y, epochs=epochs)
    found = net.evaluate(x, y)
    assert np.nanmax([found.accuracy, found.r2]) > enough
