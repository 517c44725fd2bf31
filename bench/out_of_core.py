"""Training on a file that is ten times as large as the memory left to the process, beside training in memory.

`python -m fastnet.bench.out_of_core` writes an NPY file of images and trains W1 on it, in a new process for each
measurement. The process that reads the file has a limit on its address space (RLIMIT_AS): what it had after one small
fit from a source, plus a tenth of the file. The other process holds all images. Both train one epoch in each round, on
the same number of rows. The file has just been written, so it lies in the page cache, if that is large enough.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.backends.machine import facts, resident_peak
from fastnet.bench import report
from fastnet.bench.workloads import WORKLOADS, Setup, load_images
from fastnet.data import source
from fastnet.errors import FastnetError

WORKLOAD = WORKLOADS["W1"]
SHARE = 10  # the file is this many times as large as the memory left to the process
BUFFER_SHARE = 2  # the shuffle buffer takes this part of that memory; the rest is for threads and blocks
MEMORY, EXACT = 0, -1  # in place of the size of a buffer
GROWTH = 100e6  # bytes beside the buffer that a training may take
IN_FILE, IN_MEMORY = "from the file", "in memory"
CODE = "import sys; sys.path[:] = {!r}; from fastnet.bench.out_of_core import trained; print(trained(*{!r}))"


def write(folder: Path, n_bytes: int) -> int:
    """Write the images of W1, repeated up to this many bytes, and their labels. Return the number of rows."""
    images = load_images()
    n = max(len(images.x), n_bytes // WORKLOAD.sizes[0])
    for name, values in (("x", images.x), ("y", images.y)):
        rows = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", values.dtype, (n, *values.shape[1:]))
        for start in range(0, n, len(values)):
            rows[start : start + len(values)] = values[: n - start]
        rows.flush()
    return n


def trained(folder: str, buffer: int, limit: int) -> str:
    """Train one epoch of W1 and return its figures as JSON.

    `buffer` is the size of the shuffle buffer, MEMORY to train in memory, or EXACT to shuffle exactly. `limit` is how
    many bytes the process may add to its address space; 0 sets no limit.
    """
    paths = [Path(folder, f"{name}.npy") for name in ("x", "y")]
    setup = Setup("auto")
    few = [np.load(path, mmap_mode="r")[:1000].copy() for path in paths]
    # The small fit loads the kernels. Its reading thread also makes the memory pool that glibc gives each thread, in
    # 128 MB of address space. A later thread takes the same pool. Under the limit no pool can be made: each allocation
    # of the thread then goes to the system, and training has half the speed.
    small = source((few[0], few[1]), shuffle_buffer=200_000)
    WORKLOAD.trainer(WORKLOAD.network("float32"), setup).fit(small, epochs=1)
    before = _status("VmRSS")
    if limit:
        import resource  # not on Windows

        most = _status("VmSize") + limit
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if buffer == MEMORY:
        data: tuple[Any, ...] = tuple(map(np.load, paths))
    else:
        data = (source((paths[0], paths[1]), shuffle_buffer=None if buffer == EXACT else buffer),)
    epoch = WORKLOAD.trainer(WORKLOAD.network("float32"), setup).fit(*data, epochs=1).epochs[-1]
    return json.dumps(
        {
            "backend": epoch.backend,
            "examples_per_second": epoch.examples_per_second,
            "waiting": epoch.waiting,
            "cost": epoch.cost,
            "growth": resident_peak() - before,
        }
    )


def _status(name: str) -> int:
    """Return a size of this process in bytes, from /proc."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise FastnetError(f"this system does not report {name}: measure on Linux")


def measure(folder: Path, buffer: int, limit: int) -> dict[str, Any]:
    """Train in a new process and return its figures."""
    words = [sys.executable, "-c", CODE.format(sys.path, (str(folder), buffer, limit))]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise FastnetError(f"the process with a buffer of {buffer:,} bytes failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def section(found: dict[str, list[dict[str, Any]]], n_bytes: int, buffer: int) -> report.Section:
    """Return the table of the medians over the rounds. `found` has the measurements of each row of the table."""
    in_file, in_memory = found[IN_FILE], found[IN_MEMORY]
    ratios = [a["examples_per_second"] / b["examples_per_second"] for a, b in zip(in_file, in_memory, strict=True)]
    rows = [
        (
            name,
            f"{np.median([record['examples_per_second'] for record in records]):,.0f}",
            f"{np.median([record['waiting'] for record in records]):.1%}",
            f"{max(record['growth'] for record in records) / 1e6:,.0f}",
            f"{np.median([record['cost'] for record in records]):.4f}",
        )
        for name, records in found.items()
    ]
    growth = max(record["growth"] for record in in_file)
    note = (
        f"An epoch of W1 on {n_bytes / 1e6:,.0f} MB of bytes, {WORKLOAD.title}, backend {in_file[0]['backend']}: "
        f"medians of {len(in_file)} rounds. From the file, training has {np.median(ratios):.0%} of the speed in memory "
        f"in the median round (from {min(ratios):.0%} to {max(ratios):.0%}), with a shuffle buffer of "
        f"{buffer / 1e6:,.0f} MB and at most {n_bytes / SHARE / 1e6:,.0f} MB of new address space. The memory is the "
        f"largest growth of the resident memory. It is {'below' if growth <= buffer + GROWTH else 'ABOVE'} buffer plus "
        f"{GROWTH / 1e6:.0f} MB."
    )
    columns = ("images", "examples/s", "waiting", "memory, MB", "cost")
    records = [{"images": name, "rounds": rounds} for name, rounds in found.items()]
    return report.Section("out_of_core", "Training beyond the memory", columns, rows, note, records, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fastnet.bench.out_of_core", description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=2000, help="the size of the file (default: 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often to measure both (default: 5)")
    parser.add_argument("--folder", type=Path, help="where to write the file (default: a temporary folder)")
    parser.add_argument("--exact", action="store_true", help="also measure an exact shuffle of the file, once")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        n_bytes = write(folder, options.megabytes * 10**6) * WORKLOAD.sizes[0]
        limit = n_bytes // SHARE
        buffer = limit // BUFFER_SHARE
        found: dict[str, list[dict[str, Any]]] = {IN_FILE: [], IN_MEMORY: []}
        for _ in range(options.rounds):
            found[IN_FILE].append(measure(folder, buffer, limit))
            found[IN_MEMORY].append(measure(folder, MEMORY, 0))
        if options.exact:
            found["from the file, shuffle_buffer=None"] = [measure(folder, EXACT, limit)]
    report.show(section(found, n_bytes, buffer), options.markdown)
    print("\n" + "\n".join(f"{name}: {fact}" for name, fact in facts().items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
