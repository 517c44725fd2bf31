"""Compares `fastnet train` on tables, with no option but the label's column, with scikit-learn's networks.

`python -m fastnet.bench.tables` takes some minutes. It writes shuffled copies of each table to CSV files, trains on
each with the command line, and fits scikit-learn's MLP with its defaults on the same rows, standardized.
`--options="--weight-decay 0"` gives `fastnet train` other options.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import data
from fastnet.bench import report
from fastnet.errors import require_extra

TARGET = "target"  # the name of the column to predict


class Table(NamedTuple):
    """inputs (n, n_in), and the texts or numbers (n,) to predict."""

    inputs: NDArray[np.float64]
    targets: NDArray[Any]


def _classes(name: str) -> Table:
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    return Table(bunch.data, bunch.target_names[bunch.target])


def _diabetes() -> Table:
    from sklearn.datasets import load_diabetes

    return Table(*load_diabetes(return_X_y=True))


def _rare() -> Table:
    from sklearn.datasets import make_classification

    inputs, targets = make_classification(5000, 20, weights=[50 / 51], flip_y=0, random_state=0)
    return Table(inputs, np.array(["common", "rare"])[targets])


TABLES: dict[str, Callable[[], Table]] = {
    "iris": lambda: _classes("iris"),
    "wine": lambda: _classes("wine"),
    "breast cancer": lambda: _classes("breast_cancer"),
    "diabetes": _diabetes,
    "5,000 rows, 2% of them in one class": _rare,
}


class Scores(NamedTuple):
    """The accuracy or R2 on the test rows of one copy."""

    rows: int  # to train on
    fastnet: float
    sklearn: float  # for a regression with standardized targets, as fastnet has them
    sklearn_raw: float  # with raw targets; the same as `sklearn` for classes


def compare(table: Table, seed: int, folder: Path, options: Sequence[str] = ()) -> Scores:
    """Train on a copy of the table whose rows are shuffled with this seed. `options` go to `fastnet train`."""
    path = folder / "table.csv"
    order = np.random.default_rng(seed).permutation(len(table.targets))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"x{k + 1}" for k in range(table.inputs.shape[1])), TARGET])
        writer.writerows([*row, target] for row, target in zip(table.inputs[order], table.targets[order], strict=True))
    command = ["fastnet", "train", "--data", str(path), "--label-column", TARGET, "--json", "--quiet", *options]
    done = subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True, text=True)
    test = json.loads(done.stdout)["test"]
    rows = data.load(path, label_column=TARGET)
    theirs = _sklearn(rows, scales_targets=True)
    if rows.task == "classification":
        return Scores(len(rows.x_train), test["accuracy"], theirs, theirs)
    return Scores(len(rows.x_train), test["r2"], theirs, _sklearn(rows, scales_targets=False))


def _sklearn(rows: data.Dataset, scales_targets: bool) -> float:
    """The score of scikit-learn's MLP with its defaults on standardized columns."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if rows.task == "classification":
        network: Any = MLPClassifier(random_state=0)
    elif scales_targets:
        network = TransformedTargetRegressor(MLPRegressor(random_state=0), transformer=StandardScaler())
    else:
        network = MLPRegressor(random_state=0)
    model = make_pipeline(StandardScaler(), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the defaults stop after 200 epochs, converged or not
        model.fit(rows.x_train, rows.y_train.reshape(len(rows.y_train)))
    return float(model.score(rows.x_test, rows.y_test.reshape(len(rows.y_test))))


def section(found: dict[str, list[Scores]]) -> report.Section:
    """The table of the mean scores."""
    columns = ("data", "training rows", "fastnet train", "scikit-learn", "difference", "scikit-learn, raw targets")
    rows, records = [], []
    for name, scores in found.items():
        ours, theirs, raw = (np.array([getattr(s, key) for s in scores]) for key in Scores._fields[1:])
        error = float((ours - theirs).std(ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else np.nan
        is_same = np.array_equal(theirs, raw)
        difference = f"{np.mean(ours - theirs):+.3f} ± {error:.3f}"
        rows.append(
            (
                *(name, f"{scores[0].rows:,}", f"{ours.mean():.3f}", f"{theirs.mean():.3f}", difference),
                "" if is_same else f"{raw.mean():.3f}",
            )
        )
        records.append({"data": name, "scores": [s._asdict() for s in scores]})
    copies = len(next(iter(found.values())))
    note = (
        f"Accuracies, and R2 for diabetes: means over {copies} shuffled copies of each table, with the standard error "
        "of the mean difference. Both train and test on the same rows."
    )
    return report.Section("tables", "Tables at the command line", columns, rows, note, records, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fastnet.bench.tables", description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=40, metavar="N", help="default: %(default)s")
    parser.add_argument("--data", nargs="+", default=list(TABLES), choices=TABLES, metavar="NAME", help="default: all")
    parser.add_argument("--options", type=shlex.split, default=[], help="more options of fastnet train, after a =")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    options = parser.parse_args(arguments)
    require_extra("sklearn", "the tables come from scikit-learn", "sklearn")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.data:
            table = TABLES[name]()
            found[name] = [compare(table, seed, Path(folder), options.options) for seed in range(options.copies)]
    report.show(section(found), options.markdown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
