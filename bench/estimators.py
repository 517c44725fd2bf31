"""The suite `estimators`: fits of fastnet.sklearn's estimators and of scikit-learn's, with equal results, in turns.

Both estimators make the same updates from the same random numbers, so the suite compares their loss curves first.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastnet.bench.peers.process import PeerError
from fastnet.bench.report import Section, number, ratio, spread
from fastnet.bench.suites import BASELINE, Task
from fastnet.bench.workloads import Array

SEED = 0
BATCHES: dict[int | str, int] = {
    "auto": 200_000,
    10: 20_000,
}  # the batch sizes, and how many examples a fit goes through
QUICK = 20  # a quick run divides the number of examples by this
TOLERANCE = {"float64": 1e-6, "float32": 1e-2}  # the largest relative difference of two loss curves
PEER = "scikit-learn"
NOTE = (
    "Medians of {rounds} rounds. A fit makes the given number of epochs with scikit-learn's default settings "
    "(hidden_layer_sizes=(100,), solver='adam'); batch auto means min(200, rows). All columns have mean 0 and standard "
    "deviation 1. The time is that of the whole call of fit. Every contender draws the same random numbers; the loss "
    "curves agree to a relative {float64:g} in float64 and {float32:g} in float32."
)


class Table(NamedTuple):
    """One data set."""

    name: str
    is_regression: bool
    load: Callable[[], tuple[Array, Array]]


def run(task: Task) -> Section:
    """Compares one backend of fastnet, the first that is not the baseline, with scikit-learn."""
    try:
        import sklearn  # noqa: F401  # only to see whether it is installed
    except ImportError:
        raise PeerError(
            'the suite estimators compares with scikit-learn: python -m pip install "fastnet-mlp[sklearn]"'
        ) from None
    names = [setup.backend for setup in task.setups if setup.backend != BASELINE] or [BASELINE]
    records: list[dict[str, Any]] = []
    for table in tables():
        x, y = table.load()
        for batch, examples in BATCHES.items():
            for dtype in TOLERANCE:
                task.say(f"estimators: {table.name}, batch {batch}, {dtype}")
                epochs = max(2, examples // (QUICK if task.quick else 1) // len(x))
                records += measure(table, x.astype(dtype), y, batch, epochs, names, task.rounds)
    rows = [
        (
            *(r["table"], r["dtype"], r["backend"], str(r["batch_size"]), str(r["epochs"])),
            *(number(float(np.median(r["seconds"])) / r["epochs"] * 1e3), spread([s * 1e3 for s in r["per_epoch"]])),
            ratio(r["speedup"]),
        )
        for r in records
    ]
    columns = ("table", "dtype", "backend", "batch", "epochs", "ms per epoch", "min to max", "speed, scikit-learn = 1")
    note = NOTE.format(rounds=task.rounds, **TOLERANCE)
    return Section("estimators", "Estimators", columns, rows, note, records, text_columns=3)


def tables() -> list[Table]:
    from sklearn import datasets
    from sklearn.preprocessing import scale

    def named(load: Callable[..., Any]) -> Callable[[], tuple[Array, Array]]:
        def scaled() -> tuple[Array, Array]:
            x, y = load(return_X_y=True)
            return scale(x), y

        return scaled

    def diabetes() -> tuple[Array, Array]:
        x, y = datasets.load_diabetes(return_X_y=True)
        return scale(x), scale(y)

    def synthetic() -> tuple[Array, Array]:
        x, y = datasets.make_classification(20_000, 30, n_informative=10, random_state=SEED)
        return scale(x), y

    return [
        Table("iris, 150 x 4", False, named(datasets.load_iris)),
        Table("breast_cancer, 569 x 30", False, named(datasets.load_breast_cancer)),
        Table("digits, 1,797 x 64", False, named(datasets.load_digits)),
        Table("diabetes, 442 x 10", True, diabetes),
        Table("synthetic, 20,000 x 30", False, synthetic),
    ]


def measure(
    table: Table, x: Array, y: Array, batch: int | str, epochs: int, names: list[str], rounds: int
) -> list[dict[str, Any]]:
    """One record for each contender: the seconds of its fits, one in each round."""
    from sklearn import neural_network

    from fastnet import sklearn as ours

    kind = "MLPRegressor" if table.is_regression else "MLPClassifier"
    settings: dict[str, Any] = {
        "batch_size": batch,
        "max_iter": epochs,
        "n_iter_no_change": epochs,
        "random_state": SEED,
    }
    contenders: dict[str, Callable[[], Any]] = {
        name: partial(getattr(ours, kind), backend=name, **settings) for name in names
    }
    contenders[PEER] = partial(getattr(neural_network, kind), **settings)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn: the iterations have reached their maximum
        _verify({name: make().fit(x, y) for name, make in contenders.items()}, str(x.dtype))
        for _ in range(rounds):
            for name, make in contenders.items():
                estimator = make()
                began = time.perf_counter()
                estimator.fit(x, y)
                seconds[name].append(time.perf_counter() - began)
    return [
        {
            "table": table.name,
            "backend": name,
            "dtype": str(x.dtype),
            "batch_size": batch,
            "epochs": epochs,
            "seconds": found,
            "per_epoch": [each / epochs for each in found],
            "speedup": float(np.median(np.array(seconds[PEER]) / np.array(found))),
        }
        for name, found in seconds.items()
    ]


def _verify(fitted: dict[str, Any], dtype: str) -> None:
    expected = np.array(fitted[PEER].loss_curve_)
    for name, estimator in fitted.items():
        curve = np.array(estimator.loss_curve_)
        if curve.shape != expected.shape or not np.allclose(curve, expected, rtol=TOLERANCE[dtype], atol=0):
            raise PeerError(f"the loss curve of {name} differs from scikit-learn's: report this as a bug")
