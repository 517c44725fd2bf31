"""Prints the time of an update in float64 as a multiple of the time in float32, for networks of tables.

`python -m fastnet.bench.dtypes` takes half a minute. Only the kernel's time counts. Both dtypes take turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from fastnet.backends import selection
from fastnet.bench import report
from fastnet.bench.report import number
from fastnet.names import OptimizerName
from fastnet.network import Network
from fastnet.training import Trainer

DTYPES = ("float32", "float64")
CASES: tuple[tuple[tuple[int, ...], int, OptimizerName], ...] = (  # layers, rows of a batch, optimiser
    ((4, 8, 3), 1, "sgd"),
    ((4, 8, 3), 1, "adam"),
    ((4, 8, 3), 16, "sgd"),
    ((4, 8, 3), 16, "adam"),
    ((4, 8, 3), 150, "adam"),
    ((10, 10, 1), 1, "sgd"),
    ((10, 10, 1), 32, "adam"),
    ((4, 100, 3), 1, "adam"),
    ((4, 100, 3), 16, "sgd"),
    ((4, 100, 3), 150, "adam"),
    ((13, 64, 64, 1), 1, "sgd"),
    ((13, 64, 64, 1), 32, "adam"),
    ((30, 100, 2), 1, "adam"),
    ((30, 100, 2), 16, "sgd"),
    ((30, 100, 2), 200, "adam"),
    ((30, 100, 2), 512, "sgd"),
    ((10, 50, 50, 1), 64, "adam"),
    ((50, 32, 10), 8, "adam"),
    ((50, 200, 10), 128, "sgd"),
    ((100, 200, 10), 1, "sgd"),
    ((100, 200, 10), 1, "adam"),
    ((100, 200, 10), 16, "adam"),
    ((100, 200, 10), 128, "adam"),
    ((100, 200, 10), 512, "sgd"),
    ((100, 8, 1), 64, "adam"),
    ((20, 32, 32, 32, 5), 32, "adam"),
)
TURN = 5_000.0  # microseconds of an epoch, about
EXAMPLES = 20_000  # at most


def updates(sizes: Sequence[int], batch_size: int) -> int:
    """How many updates take about TURN: 0.3 us at least, and 17 multiply-adds a nanosecond of three products."""
    weights = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
    wanted = TURN / max(0.3, batch_size * weights * 3 / 50_000)
    return max(4, int(min(wanted, EXAMPLES / batch_size)))


def measure(
    sizes: tuple[int, ...], batch_size: int, optimizer: OptimizerName, backend: str, rounds: int
) -> list[float]:
    """The microseconds of an update in each dtype: the lower quartile of `rounds` epochs."""
    rng = np.random.default_rng(0)
    count = updates(sizes, batch_size)
    x, y = rng.standard_normal((count * batch_size, sizes[0])), rng.integers(0, max(2, sizes[-1]), count * batch_size)
    turns = []
    for dtype in DTYPES:
        network = Network(sizes, dtype=dtype, seed=0)
        trainer = Trainer(
            network, optimizer=optimizer, learning_rate=1e-4, batch_size=batch_size, backend=backend, seed=0
        )
        turns.append((trainer, x.astype(dtype)))
        trainer.fit(turns[-1][1], y, epochs=1)
    seconds = [[trainer.fit(rows, y, epochs=1).epochs[-1].seconds for trainer, rows in turns] for _ in range(rounds)]
    return [float(np.quantile(times, 0.25)) / count * 1e6 for times in zip(*seconds, strict=True)]


def rows_of(backend: str, rounds: int) -> list[list[str]]:
    """A row of the table for each case, with the largest ratio first."""
    found = []
    for sizes, batch_size, optimizer in CASES:
        times = measure(sizes, batch_size, optimizer, backend, rounds)
        what = ["-".join(map(str, sizes)), str(batch_size), optimizer]
        found.append((times[1] / times[0], [*what, *map(number, times)]))
    return [[*row, f"{ratio:.2f}"] for ratio, row in sorted(found, reverse=True)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fastnet.bench.dtypes", description=__doc__)
    parser.add_argument("--backend", default="cython", choices=selection.NAMES)
    parser.add_argument("--rounds", type=int, default=30, metavar="N")
    options = parser.parse_args(arguments)
    columns = ["network", "rows", "optimizer", *(f"{dtype}, us" for dtype in DTYPES), "float64 / float32"]
    rows = rows_of(options.backend, options.rounds)
    print(report.text([report.Section("dtypes", f"An update, {options.backend}", columns, rows, "", [], 1)], {}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
