"""Prediction and evaluation of many rows, against the limits of the machine, and beside ONNX Runtime.

`python -m fastnet.bench.prediction --page docs/decisions/prediction.md` takes some minutes. In each round the memory is
read, the peak of the arithmetic is measured, and all calls take their turn.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from fastnet.backends import machine, threads
from fastnet.bench import pages, report
from fastnet.bench.contenders import Timing, take_turns
from fastnet.bench.workloads import Array, load_images
from fastnet.errors import FastnetError
from fastnet.export import onnx_graph
from fastnet.kernels import contract as c
from fastnet.network import Network

SECTION = "prediction"
NETWORKS = ((784, 16, 16, 10), (784, 512, 512, 10))
ROWS = (60_000, 12_000)  # of each network
NOISE, DIGITS = "noise", "digits"
ONNX_ROWS = 1_024  # ONNX Runtime gets parts of this size, which stay in the cache: all rows at once take it longer
QUIET = 0.3  # seconds: the threads of ONNX Runtime spin after its turn, and hold a core
GOAL = 0.9
FORWARD, PREDICT, EVALUATE, MEMORY, ONNX = "forward", "predict", "evaluate", "memory", "onnxruntime"


class Case(NamedTuple):
    """A network, its rows, and how many threads share them."""

    sizes: tuple[int, ...]
    x: Array
    y: Array
    about: str
    n_threads: int


def cases(most_rows: int, counts: Sequence[int]) -> Iterator[Case]:
    """Yield the cases. No entry of the noise is 0, so that a product needs all multiply-adds."""
    images = load_images()
    noise = np.random.default_rng(0).integers(1, 256, images.x.shape, np.uint8)
    for sizes, n in zip(NETWORKS, ROWS, strict=True):
        n = min(n, most_rows, len(images.x))
        for name, pixels in ((NOISE, noise[:n]), (DIGITS, images.x[:n])):
            for kind, x in (("bytes", pixels), ("floats", np.divide(pixels, 255, dtype=np.float32))):
                for count in counts:
                    yield Case(sizes, x, images.y[:n], f"{name}, {kind}", count)


def measure(case: Case, rounds: int, with_onnx: bool) -> dict[str, Any]:
    """Return the medians of a case, and which share of the nearer limit the calls reach."""
    network = Network(case.sizes, seed=0)
    n, count = len(case.x), case.n_threads
    out, labels = np.empty((n, case.sizes[-1]), np.float32), np.empty(n, np.int64)
    with ThreadPoolExecutor(count) as pool:
        turns: dict[str, Callable[[], float]] = {
            MEMORY: partial(_seconds, partial(_read, pool, np.array_split(case.x.reshape(-1), count))),
            FORWARD: partial(_seconds, partial(network.forward, case.x, out=out, threads=count), QUIET * with_onnx),
            PREDICT: partial(_seconds, partial(network.predict, case.x, out=labels, threads=count)),
            EVALUATE: partial(_seconds, partial(network.evaluate, case.x, case.y, threads=count)),
        }
        if with_onnx:
            turns[ONNX] = partial(_seconds, _onnx(network, case.x, count))
        meter = machine.peak_meter("float32")
        timings = take_turns(turns, rounds, meter and partial(_peak, pool, meter, count))
    operations = 2 * c.multiply_adds(network.layers) * n
    memory = timings[MEMORY]
    record: dict[str, Any] = {
        "network": "-".join(map(str, case.sizes)),
        "rows": n,
        "about": case.about,
        "threads": count,
        "seconds": {name: timing.median for name, timing in timings.items()},
        "memory_seconds": memory.median,
        "arithmetic_seconds": median(operations / peak for peak in memory.peaks),
        "rounds": {name: timing.seconds for name, timing in timings.items()},
    }
    for name in (FORWARD, PREDICT, EVALUATE):
        record[f"share_{name}"] = _share(timings[name], memory, operations)
    return record


def _share(own: Timing, memory: Timing, operations: int) -> float:
    """Return the share of the nearer limit: the larger of both times over the call's time."""
    rounds = zip(own.seconds, own.peaks, memory.seconds, strict=True)
    return median(max(read, operations / peak) / seconds for seconds, peak, read in rounds)


def _seconds(call: Callable[[], object], pause: float = 0.0) -> float:
    time.sleep(pause)
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _read(pool: ThreadPoolExecutor, pieces: Sequence[Array]) -> None:
    """Read each piece once: its largest number. NumPy releases the GIL and uses vectors."""
    list(pool.map(np.max, pieces))


def _peak(pool: ThreadPoolExecutor, meter: machine.Meter, count: int) -> float:
    """Return the operations a second of all threads together."""
    return sum(pool.map(lambda _: meter(), range(count)))


def _onnx(network: Network, x: Array, count: int) -> Callable[[], object]:
    import onnxruntime

    graph = onnx_graph.Graph(network.sizes[0], x.dtype)
    sums = onnx_graph.weighted_sums(graph, network, network.parameters, graph.x)
    activation = network.activations_by_layer[-1]
    graph.add_output(onnx_graph.activated(graph, activation, sums, "outputs"), network.sizes[-1])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = count, 1
    content = graph.model(network.description(), {}).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    parts = [{"x": x[start : start + ONNX_ROWS]} for start in range(0, len(x), ONNX_ROWS)]
    expected, found = network.forward(x[:ONNX_ROWS]), session.run(None, parts[0])[0]
    if not np.allclose(found, expected, rtol=1e-3, atol=1e-5):
        raise FastnetError("the outputs of ONNX Runtime differ from those of fastnet")
    return lambda: [session.run(None, part) for part in parts]


def section(records: Sequence[dict[str, Any]], rounds: int) -> report.Section:
    """Return the table. Rows of noise are judged by the limits."""
    columns = (
        *("network", "rows given", "threads", "limit of memory", "limit of arithmetic"),
        *("forward", "predict", "evaluate", "ONNX Runtime", "forward: share of the limit", "predict", "evaluate"),
    )
    rows = []
    for record in records:
        n, seconds = record["rows"], record["seconds"]
        speeds = (MEMORY, None, FORWARD, PREDICT, EVALUATE, ONNX)
        times = [record["arithmetic_seconds"] if name is None else seconds.get(name, np.nan) for name in speeds]
        shares = [report.percent(record[f"share_{name}"]) for name in (FORWARD, PREDICT, EVALUATE)]
        cells = [report.number(n / time / 1e6) for time in times]
        rows.append((record["network"], record["about"], str(record["threads"]), *cells, *shares))
    judged = [record for record in records if record["about"].startswith(NOISE)]
    good = sum(record["share_forward"] >= GOAL for record in judged)
    note = (
        f"Million rows a second: medians of {rounds} rounds. The limit of memory: the same array is read once by as "
        "many threads, by NumPy's max. The limit of arithmetic: the multiply-adds of all layers at the measured peak "
        "of as many threads. The share is the time that the nearer limit allows over the time of the call. Digits have "
        "many zeros, whose multiply-adds are left out, so that a share may exceed 100%. ONNX Runtime gets parts of "
        f"{ONNX_ROWS:,} rows and computes the outputs, as `forward` does; bytes are scaled in its graph. `forward` "
        f"reaches {GOAL:.0%} of the limit in {good} of {len(judged)} rows of noise."
    )
    return report.Section("prediction", "Prediction", columns, rows, note, records, 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m fastnet.bench.prediction", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=max(ROWS), metavar="N", help="at most this many rows of a network")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="default: %(default)s")
    parser.add_argument("--no-onnxruntime", action="store_true", help="leave out ONNX Runtime")
    parser.add_argument("--page", metavar="FILE", help="a page to write the table into")
    options = parser.parse_args(given)
    counts = sorted({1, threads.usable_cores()})
    if options.page is not None:
        pages.split(options.page, SECTION)  # raises before minutes of work
    records = []
    for case in cases(options.rows, counts):
        print(f"{case.sizes}, {case.about}, {case.n_threads} threads ...", file=sys.stderr, flush=True)
        records.append(measure(case, options.rounds, not options.no_onnxruntime))
    found = section(records, options.rounds)
    if options.page is None:
        report.show(found, False)
        return 0
    about = (
        f"Machine: {machine.processor()}, {threads.usable_cores()} cores. "
        f"Written by `{shlex.join(['python', '-m', 'fastnet.bench.prediction', *given])}`."
    )
    table = report.table(found.columns, found.rows, found.text_columns)
    pages.write(options.page, SECTION, "\n\n".join([table, report.paragraph(found.note), report.paragraph(about)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
