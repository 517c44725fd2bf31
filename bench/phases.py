"""Prints how long each thread of a team spends in each phase of training, as a share of the time.

`python -m fastnet.bench.phases --layers 784,512,512,10 --batch 128 --threads 2` needs Cython kernels that were built
with FASTNET_PHASES=1.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastnet import text
from fastnet.bench import report
from fastnet.bench.workloads import WORKLOADS, Images, Setup, load_images
from fastnet.errors import FastnetError
from fastnet.kernels import cython_dispatch
from fastnet.names import Sparse

# In the order of the phases in kernels/vec.h. "between" is the time between two calls: Python's work for a chunk, and
# the start and the end of the other threads.
PHASES = (
    *("between", "pack", "gather", "forward", "output", "backward", "wait for deltas", "update", "wait for update"),
    *("step", "wait for step", "unpack"),
)
EPOCHS = 5


def examples(sizes: Sequence[int], rows: int) -> Images:
    """The first images of MNIST for a network that fits them; noise for another network."""
    if (sizes[0], sizes[-1]) == (784, 10):
        images = load_images()
        return images._replace(x=images.x[:rows], y=images.y[:rows])
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((rows, sizes[0]), np.float32), rng.integers(0, sizes[-1], rows)
    return Images(x, y, x, y, f"{rows:,} rows of noise")


def measure(
    sizes: tuple[int, ...], batch_size: int, threads: int, rows: int, dtype: str = "float32", sparse: Sparse = "auto"
) -> list[list[float]]:
    """For each thread, the nanoseconds per batch in each phase, over some epochs after the first."""
    workload = replace(WORKLOADS["W6"], name="phases", sizes=sizes, batch_size=batch_size, learning_rate=0.01)
    images = examples(sizes, rows)
    trainer = workload.trainer(workload.network(dtype), Setup("cython", dtype, sparse, threads))
    kernels: Any = cython_dispatch.module(dtype)
    trainer.fit(images.x, images.y, epochs=1)
    kernels.phases(threads)
    trainer.fit(images.x, images.y, epochs=EPOCHS)
    batches = EPOCHS * -(-len(images.y) // batch_size)
    return [[ns / batches for ns in phases] for phases in kernels.phases(threads)]


def rows_of(found: Sequence[Sequence[float]]) -> list[list[str]]:
    """A row of the table for each phase that took time, and one for the sum."""
    totals = [sum(phases) for phases in found]
    if not any(totals):
        raise FastnetError("these kernels do not count phases: FASTNET_PHASES=1 python setup.py build_ext --inplace")
    table = [[name, *times] for name, times in zip(PHASES, zip(*found, strict=True), strict=True) if any(times)]
    return [
        [str(name), *(f"{ns / 1000:.1f} us  {ns / total:4.0%}" for ns, total in zip(times, totals, strict=True))]
        for name, *times in [*table, ["a batch", *totals]]
    ]


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word[:18]) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, not {word!r}")
    return int(word)


def _sizes(words: str) -> tuple[int, ...]:
    sizes = tuple(map(_positive, words.split(",")))
    if len(sizes) < 2:
        raise argparse.ArgumentTypeError(f"expected two or more sizes, such as 784,16,10, not {words!r}")
    return sizes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fastnet.bench.phases", description=__doc__)
    parser.add_argument("--layers", type=_sizes, default=(784, 512, 512, 10), metavar="N,N,...")
    parser.add_argument("--batch", type=_positive, default=128, metavar="N")
    parser.add_argument("--threads", type=_positive, default=2, metavar="N")
    parser.add_argument("--examples", type=_positive, default=12_800, metavar="N")
    options = parser.parse_args(arguments)
    try:
        table = rows_of(measure(options.layers, options.batch, options.threads, options.examples))
    except FastnetError as error:
        parser.error(str(error))
    columns = ["phase", *(f"thread {worker}" for worker in range(options.threads))]
    title = f"{text.layers(options.layers)} at {options.batch} rows"
    print(report.text([report.Section("phases", title, columns, table, "", [], 1)], {}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
