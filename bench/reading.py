"""Times how fast a CSV file is read, with pyarrow and without: ``python -m fastnet.bench.reading``."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from fastnet.backends import machine
from fastnet.data import csv_tables
from fastnet.data.csv_tables import read_csv


def write(path: Path, rows: int) -> None:
    """Write a table of 15 columns of numbers and one of three labels."""
    rng = np.random.default_rng(0)
    labels = np.array(["setosa", "versicolor", "virginica"])
    with open(path, "w") as file:
        print(*(f"c{k}" for k in range(15)), "species", sep=",", file=file)
        for start in range(0, rows, 10_000):
            n = min(10_000, rows - start)
            columns = [*(rng.normal(size=(15, n)).round(4).astype(str)), labels[rng.integers(0, 3, n)]]
            file.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))


def main() -> None:
    """Print the median processor time of each way, and how many times as fast pyarrow is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {"pyarrow": [], "Python": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write(path, args.rows)
        size = path.stat().st_size
        for _ in range(args.rounds):
            for name, smallest in (("pyarrow", 0), ("Python", 2 * size)):
                with mock.patch.object(csv_tables, "MIN_PLAIN", smallest):
                    start = time.process_time()
                    read_csv(path)
                    seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    print(f"{args.rows:,} rows, {size / 1e6:.0f} MB, {machine.processor()}")
    for name, median in medians.items():
        print(f"{name}: {median:.2f} s, {size / 1e6 / median:.0f} MB/s")
    print(f"ratio {medians['Python'] / medians['pyarrow']:.1f}")


if __name__ == "__main__":
    main()
