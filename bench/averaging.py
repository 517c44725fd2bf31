"""What averages cost: accuracy at equal epochs on MNIST for averages in each update and every 4 to 256 updates.

`python -m fastnet.bench.averaging docs/how-to/many-machines.md` takes some minutes and writes a table into the page.
The processes are threads of this process (`fastnet.distributed.in_threads`), which gives the results of mpiexec.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnet import backends
from fastnet.backends import machine
from fastnet.bench import pages, report
from fastnet.bench.workloads import Images, load_images
from fastnet.distributed import Averaging, ThreadCommunicator, in_threads
from fastnet.errors import FastnetError
from fastnet.network import Network
from fastnet.training.trainer import Trainer

SECTION = "averaging"
EVERY = (1, 4, 16, 64, 256)
PROCESSES = 4
SIGMOID = {"activation": "sigmoid", "cost": "squared_error"}
CHAPTER = {"optimizer": "sgd", "learning_rate": 0.5, "batch_size": 10}


class Row(NamedTuple):
    """A row of the table: a training, and what its processes average."""

    name: str
    sizes: tuple[int, ...]
    network: dict[str, Any]
    trainer: dict[str, Any]
    averaging: dict[str, Any]
    every: tuple[int, ...] = EVERY


_ADAM = {"optimizer": "adam", "batch_size": 32}
_WIDE = (784, 128, 10)
ROWS = (
    Row("784-16-16-10, sgd", (784, 16, 16, 10), SIGMOID, CHAPTER, {}),
    Row("784-16-16-10, sgd, four times the rate", (784, 16, 16, 10), SIGMOID, CHAPTER | {"learning_rate": 2.0}, {}),
    Row("784-128-10, Adam", _WIDE, {}, _ADAM, {}),
    Row("784-128-10, Adam, each keeps its state", _WIDE, {}, _ADAM, {"state": "keep"}, EVERY[1:]),
    Row("784-128-10, Adam, the first epoch with averaged gradients", _WIDE, {}, _ADAM, {"warmup": 1}, EVERY[1:]),
)


def accuracy(images: Images, row: Row, every: int, processes: int, epochs: int, seed: int) -> float:
    """Return the accuracy on the test images after a training."""

    def train(communicator: ThreadCommunicator) -> float:
        network = Network(row.sizes, seed=seed, **row.network)
        settings: dict[str, Any] = {}
        if processes > 1:
            settings = {"communicator": communicator, "averaging": Averaging(every=every, **row.averaging)}
        trainer = Trainer(network, seed=seed, **row.trainer, **settings)
        part = slice(communicator.rank, None, processes)
        trainer.fit(images.x[part], images.y[part], epochs=epochs)
        return network.accuracy(images.x_test, images.y_test) if communicator.rank == 0 else 0.0

    return in_threads(train, processes)[0]


def measured(images: Images, row: Row, epochs: int, seeds: int) -> dict[str, Any]:
    """Return the accuracies of a row: of one process, and of each number of updates between averages."""

    def of(every: int, processes: int) -> list[float]:
        return [accuracy(images, row, every, processes, epochs, seed) for seed in range(seeds)]

    return {
        "training": row.name,
        "one process": of(1, 1) if not row.averaging else [],
        "every": {every: of(every, PROCESSES) for every in row.every},
    }


def section(records: Sequence[dict[str, Any]], epochs: int, seeds: int, about: str) -> report.Section:
    """Return the table of the mean accuracies."""

    def cell(values: Sequence[float]) -> str:
        return f"{np.mean(values):.2%} ± {np.std(values, ddof=1):.2%}" if values else ""

    rows = [
        (record["training"], cell(record["one process"]), *(cell(record["every"].get(k, ())) for k in EVERY))
        for record in records
    ]
    columns = ("training", "one process", "gradients", *(f"every {k}" for k in EVERY[1:]))
    note = (
        f"Accuracy on the test images of {about} after {epochs} epoch{'s' * (epochs != 1)}: mean and standard "
        f"deviation of {seeds} seeds. {PROCESSES} processes train on a quarter of the images each, with batches of 10 "
        "images (sgd) or 32 (Adam) in "
        "each process. Gradients: their averages in each update. Every 4 and more: averages of the parameters. "
        "A row has the same learning rate in all columns: 0.5 or 2 for sgd, 0.001 for Adam."
    )
    return report.Section("averaging", "What averages cost", columns, rows, note, records, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m fastnet.bench.averaging", description=__doc__.splitlines()[0])
    parser.add_argument(
        "page", nargs="?", help=f"write the table between its lines {' and '.join(pages.markers(SECTION))}"
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="networks of each cell (default: 5)")
    parser.add_argument("--epochs", type=int, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=60_000, metavar="N", help="training images (default: %(default)s)")
    options = parser.parse_args(given)
    try:
        if options.page:
            pages.split(options.page, SECTION)  # raises before minutes of work
        images = load_images()
        images = images._replace(x=images.x[: options.rows], y=images.y[: options.rows])
        records = []
        for row in ROWS:
            print(f"{row.name} ...", file=sys.stderr, flush=True)
            records.append(measured(images, row, options.epochs, options.seeds))
    except (FastnetError, OSError) as error:
        print(f"fastnet.bench.averaging: error: {error}", file=sys.stderr)
        return 2
    found = section(records, options.epochs, options.seeds, images.about)
    if not options.page:
        report.show(found, for_page=False)
        return 0
    command = shlex.join(["python", "-m", "fastnet.bench.averaging", *given])
    about = f"Backend: {backends.resolve().name}. Machine: {machine.processor()}. Written by `{command}`."
    table = report.table(found.columns, found.rows, found.text_columns)
    pages.write(options.page, SECTION, "\n\n".join([table, report.paragraph(found.note), report.paragraph(about)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
