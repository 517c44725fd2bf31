"""Checks the suggestions of the range test: training at the suggested rate against training at each rate of a grid.

`python -m fastnet.bench.rates` takes about an hour and prints a table; `--sets iris --seeds 2` takes half a minute.
Each network is trained until the cost of validation rows stops to fall. The scores are those of test rows: the
accuracy, or R2 of a regression.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnet.bench import report
from fastnet.data import load
from fastnet.errors import DivergedError, require_extra
from fastnet.insight import CHAPTER, learning_rate_finder
from fastnet.names import OptimizerName
from fastnet.network import Network
from fastnet.training import EarlyStopping, Trainer

GRID = tuple(float(rate) for rate in 10.0 ** np.arange(-4, 1.1, 0.5))
POINT = 0.01  # of accuracy or R2: a larger loss is marked
WORST = -1.0  # the score of a training that diverged, and the lowest R2
TEST_SHARE, VALIDATION_SHARE, PATIENCE = 0.3, 0.15, 20
FIRST_SEED = 100  # the rule of the suggestion was chosen with the seeds from 0 to 5
MNIST_ROWS = 5_000
OPTIMIZERS: tuple[OptimizerName, ...] = ("sgd", "adam")


class Rows(NamedTuple):
    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any


class Set(NamedTuple):
    """A data set: its rows for a seed, which also draws the test rows of a table."""

    rows: Callable[[int], Rows]
    seeds: int
    epochs: int = 500  # at most
    regression: bool = False
    relu: tuple[int, ...] = (100,)  # the hidden layers of the network with ReLU


class Kind(NamedTuple):
    """A network and its batches."""

    name: str
    network: dict[str, Any]
    hidden: tuple[int, ...] | None  # None: those of the set
    batch_size: Any


KINDS = (Kind("sigmoid", dict(CHAPTER.network), CHAPTER.hidden, 10), Kind("relu", {}, None, "auto"))


def images(name: str, rows: int | None = None) -> Callable[[int], Rows]:
    def get(seed: int) -> Rows:
        data = load(name)
        return Rows(data.x_train[:rows], data.y_train[:rows], data.x_test[:rows], data.y_test[:rows])

    return get


def table(name: str, regression: bool = False, **arguments: Any) -> Callable[[int], Rows]:
    """A set of scikit-learn. The columns, and the targets of a regression, are standardised by the training rows."""

    def get(seed: int) -> Rows:
        from sklearn import datasets, preprocessing
        from sklearn.model_selection import train_test_split

        make = getattr(datasets, name)
        x, y = make(return_X_y=True) if name.startswith("load") else make(random_state=0, **arguments)
        parts = train_test_split(x, y, test_size=TEST_SHARE, random_state=seed, stratify=None if regression else y)
        x_train, x_test, y_train, y_test = parts
        columns = preprocessing.StandardScaler().fit(x_train)
        x_train, x_test = columns.transform(x_train), columns.transform(x_test)
        if regression:
            target = preprocessing.StandardScaler().fit(y_train[:, None])
            y_train, y_test = target.transform(y_train[:, None]), target.transform(y_test[:, None])
        return Rows(x_train, y_train, x_test, y_test)

    return get


SETS: dict[str, Set] = {
    "digits": Set(images("digits"), 5, 100),
    "mnist-5k": Set(images("mnist-5k"), 3, 100),
    "mnist": Set(images("mnist", MNIST_ROWS), 3, 100, relu=(128, 64)),
    "iris": Set(table("load_iris"), 20),
    "wine": Set(table("load_wine"), 20),
    "breast_cancer": Set(table("load_breast_cancer"), 10),
    "diabetes": Set(table("load_diabetes", True), 20, regression=True),
    "1:50": Set(
        table("make_classification", n_samples=3000, n_informative=5, weights=[50 / 51], flip_y=0),
        5,
    ),
    "moons": Set(table("make_moons", n_samples=1000, noise=0.2), 10),
    "friedman1": Set(table("make_friedman1", True, n_samples=1000, noise=1.0), 10, regression=True),
}


def network(case: Set, kind: Kind, rows: Rows, seed: int) -> Network:
    n_out = 1 if case.regression else int(np.max(rows.y_train)) + 1
    task: dict[str, Any] = {"task": "regression"} if case.regression else {}
    hidden = case.relu if kind.hidden is None else kind.hidden
    return Network([rows.x_train.shape[1], *hidden, n_out], seed=seed, **kind.network, **task)


def score(case: Set, kind: Kind, optimizer: OptimizerName, rate: float, rows: Rows, seed: int) -> float:
    """The test score after training at a rate."""
    trainer = Trainer(
        network(case, kind, rows, seed),
        optimizer=optimizer,
        learning_rate=rate,
        batch_size=kind.batch_size,
        seed=seed,
    )
    stopping = EarlyStopping(patience=PATIENCE)
    try:
        trainer.fit(
            rows.x_train,
            rows.y_train,
            epochs=case.epochs,
            validation_split=VALIDATION_SHARE,
            callbacks=[stopping],
        )
    except DivergedError:
        return WORST
    found = trainer.evaluate(rows.x_test, rows.y_test)
    value = found.r2 if case.regression else found.accuracy
    return max(WORST, float(value)) if np.isfinite(value) else WORST


def measure(name: str, kind: Kind, optimizer: OptimizerName, seeds: int) -> dict[str, Any]:
    """The mean scores over the seeds, at the suggested rate of each seed and at each rate of the grid."""
    case = SETS[name]
    suggestions, scores, by_rate = list[float](), list[float](), list[list[float]]()
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        rows = case.rows(seed)
        start = network(case, kind, rows, seed)
        settings: dict[str, Any] = {"optimizer": optimizer, "batch_size": kind.batch_size}
        test = learning_rate_finder(start, rows.x_train, rows.y_train, seed=seed, **settings)
        rate = test.suggestion
        suggestions.append(rate)
        scores.append(score(case, kind, optimizer, rate, rows, seed) if np.isfinite(rate) else WORST)
        by_rate.append([score(case, kind, optimizer, rate, rows, seed) for rate in GRID])
    means = np.mean(by_rate, 0)
    best = int(np.argmax(means))
    losses = np.array(by_rate)[:, best] - scores
    return {
        "set": name,
        "network": kind.name,
        "optimizer": optimizer,
        "seeds": seeds,
        "suggestions": suggestions,
        "score": float(np.mean(scores)),
        "grid": means.tolist(),
        "best_rate": GRID[best],
        "best_score": float(means[best]),
        "loss": float(losses.mean()),
        "loss_error": float(losses.std(ddof=1) / np.sqrt(seeds)) if seeds > 1 else np.nan,
    }


def section(records: Sequence[dict[str, Any]]) -> report.Section:
    columns = ("set", "network", "optimizer", "seeds", "suggestion", "score", "best rate", "its score", "loss", "")
    rows = [
        (
            *(r["set"], r["network"], r["optimizer"], str(r["seeds"]), f"{np.nanmedian(r['suggestions']):.2g}"),
            *(f"{r['score']:.3f}", f"{r['best_rate']:.2g}", f"{r['best_score']:.3f}"),
            *(f"{r['loss']:.3f} ± {r['loss_error']:.3f}", "" if r["loss"] <= POINT else "more than a point"),
        )
        for r in records
    ]
    losses = [r["loss"] for r in records]
    note = (
        f"{sum(loss <= POINT for loss in losses)} of {len(losses)} trainings end within a point ({POINT:g}) of the "
        f"best rate of the grid, {sum(loss <= 2 * POINT for loss in losses)} within two. The median loss is "
        f"{np.median(losses):.3f}, the largest {max(losses):.3f}. The suggestion is the median over the seeds. The "
        "error of a loss is the standard error of its mean."
    )
    return report.Section("rates", "Training at the suggested rate", columns, rows, note, records, 3)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fastnet.bench.rates", description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS, metavar="NAME", help="default: all")
    parser.add_argument("--seeds", type=int, metavar="N", help="default: 3 to 20, more for small sets")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    options = parser.parse_args(arguments)
    require_extra("sklearn", "the sets of tables need scikit-learn", "sklearn")
    records = [
        measure(name, kind, optimizer, options.seeds or SETS[name].seeds)
        for name in options.sets
        for kind in KINDS
        for optimizer in OPTIMIZERS
    ]
    report.show(section(records), options.markdown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
