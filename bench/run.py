"""`fastnet bench`: the workloads on every backend, interleaved in one process on one thread.

Each round trains an epoch on each backend in turn, so that what slows the machine for a while slows all of them, and
measures the core's multiply-add peak just before each. What is compared is paired within its round. Nothing is timed
before every backend has been found right on every workload.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np

from fastnet import __version__, backends
from fastnet.bench.workloads import DTYPES, ROWS, WORKLOADS, Images, Workload, load_images, verify
from fastnet.errors import DataError, FastnetError
from fastnet.files import atomic_write, shown
from fastnet.kernels import compiled

BASELINE = "numpy"
PEER = "peer"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
PEAK_SECONDS = 0.02
PEAK_LIMIT = 1 << 32  # rounds no core does in that time
COLUMNS = (
    *("workload", "backend", "seconds an epoch", "min to max", "speed, NumPy = 1"),
    *("dense-equivalent GFLOP/s", "of the FMA peak", "test accuracy"),
)
NOTE = (
    "Medians of {rounds} rounds; each ratio is taken within a round. Dense-equivalent: every multiply-add of the "
    "formula counts, though kernels may skip inputs that are zero, so that more than 100% of the peak is possible."
)


class PeerError(FastnetError, RuntimeError):
    """The external program did not start, ended, or said something else than the protocol has."""


class Result(NamedTuple):
    """The rounds of one backend on one workload; the lists have an entry a round."""

    workload: Workload
    backend: str
    seconds: list[float]
    baseline: list[float]  # seconds of the NumPy backend
    peaks: list[float]  # operations a second; nan where the peak is not known
    accuracy: float | None

    @property
    def speed(self) -> float:
        """How many times faster than the NumPy backend."""
        return median(b / s for b, s in zip(self.baseline, self.seconds, strict=True))

    @property
    def flops(self) -> float:
        return self.workload.train_flops * ROWS / median(self.seconds)

    @property
    def share(self) -> float:
        work = self.workload.train_flops * ROWS
        return median(work / s / peak for s, peak in zip(self.seconds, self.peaks, strict=True))

    def cells(self) -> tuple[str, ...]:
        """What the table says of it, in the order of COLUMNS."""
        return (
            self.workload.name,
            self.backend,
            f"{median(self.seconds):.3g}",
            f"{min(self.seconds):.3g} to {max(self.seconds):.3g}",
            f"{self.speed:.2f}",
            f"{self.flops / 1e9:.1f}",
            "-" if math.isnan(self.share) else f"{self.share:.0%}",
            "-" if self.accuracy is None else f"{self.accuracy:.2%}",
        )

    def to_dict(self) -> dict[str, Any]:
        known = not math.isnan(self.share)
        return {
            "workload": self.workload.name,
            "title": self.workload.title,
            "backend": self.backend,
            "seconds": self.seconds,
            "median_seconds": median(self.seconds),
            "speed_over_numpy": self.speed,
            "dense_equivalent_gflops": self.flops / 1e9,
            "peak_gflops": [peak / 1e9 for peak in self.peaks] if known else None,
            "share_of_peak": self.share if known else None,
            "test_accuracy": self.accuracy,
        }


# -- what is timed ------------------------------------------------------------------------------------------------


class Runner(Protocol):
    def epoch(self) -> float:
        """Trains one epoch more and returns the seconds it took."""

    def accuracy(self) -> float | None:
        """The share of the test set that it classifies right by now; None where it cannot tell."""


class Session:
    """A backend of fastnet's, training from round to round."""

    def __init__(self, workload: Workload, backend: str, dtype: str, images: Images) -> None:
        self._network = workload.network(dtype)
        self._trainer = workload.trainer(self._network, backend)
        self._backend, self._images = backend, images
        self._rng = np.random.default_rng()

    def epoch(self) -> float:
        """As the history has it, and the drawing of an order; the check of the data is once a fit, not an epoch."""
        began = time.perf_counter()
        self._rng.permutation(len(self._images.x))
        drawing = time.perf_counter() - began
        history = self._trainer.fit(self._images.x, self._images.y)
        return drawing + history.epochs[-1].seconds

    def accuracy(self) -> float:
        return self._network.accuracy(self._images.x_test, self._images.y_test, backend=self._backend)


class Peer:
    """An external program: says `ready`, then answers each line `E` with `t <wall seconds> <cpu seconds>`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        if (line := self._line()) != "ready":
            raise PeerError(f"the peer said {line!r}; expected 'ready'")

    def _line(self) -> str:
        line = self._stdout.readline()
        if not line:
            raise PeerError(f"the peer ended, with status {self._process.wait()}")
        return line.decode(errors="replace").strip()

    def epoch(self) -> float:
        with contextlib.suppress(BrokenPipeError):  # it has ended, which the answer tells
            self._stdin.write(b"E\n")
        line = self._line()
        try:
            kind, wall, _ = line.split()
            if kind != "t" or not 0 < float(wall) < math.inf:
                raise ValueError
        except ValueError:
            raise PeerError(f"the peer said {line!r}; expected 't <wall seconds> <cpu seconds>'") from None
        return float(wall)

    def accuracy(self) -> None:
        return None


@contextlib.contextmanager
def start_peer(command: str, workload: str) -> Iterator[Peer]:
    try:
        words = [word.replace("{workload}", workload) for word in shlex.split(command)]
        if not words:
            raise ValueError("it is empty")
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    except (OSError, ValueError) as error:
        raise PeerError(f"cannot start the peer {shown(command)!r}: {error}") from error
    with process:
        try:
            yield Peer(process)
        finally:
            process.kill()


def peak_meter(dtype: str) -> Callable[[], float] | None:
    """A function that measures this core's multiply-add peak in operations a second; None where there is none."""
    try:
        module = compiled.module(dtype)
    except ImportError:
        return None

    def rate(repeats: int) -> tuple[float, float]:
        began = time.perf_counter()
        done = float(module.peak_flops(repeats))
        seconds = time.perf_counter() - began
        return seconds, done / seconds

    repeats = 1 << 10
    while rate(repeats)[0] < PEAK_SECONDS:
        repeats *= 2
        if repeats > PEAK_LIMIT:  # a build whose compiler took the loop away
            return None
    return lambda: rate(repeats)[1]


def measure(
    workload: Workload, runners: dict[str, Runner], rounds: int, peak: Callable[[], float] | None
) -> list[Result]:
    """The runners interleaved, after an epoch each that does not count; each round begins with another of them."""
    names = list(runners)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    peaks: dict[str, list[float]] = {name: [] for name in names}
    for runner in runners.values():
        runner.epoch()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            peaks[name].append(peak() if peak else math.nan)
            seconds[name].append(runners[name].epoch())
    return [
        Result(workload, name, seconds[name], seconds[BASELINE], peaks[name], runners[name].accuracy())
        for name in names
    ]


# -- the report ---------------------------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    about = {
        "processor": _processor(),
        "instruction set": compiled.runnable(compiled.cpu_features())[0],
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "fastnet": __version__,
        "numpy": f"{np.__version__} with {blas.get('name', 'no BLAS known')} {blas.get('version', '')}".rstrip(),
    }
    for info in backends.available():
        if info.name != BASELINE:
            about[info.name] = f"{info.version} for {info.instruction_set}" if info.available else "missing"
    return about | {"date": datetime.date.today().isoformat()}


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def text(results: Sequence[Result], facts: dict[str, str], note: str) -> str:
    rows = [COLUMNS, *(result.cells() for result in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(w) if k < 2 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*(f"{name}: {fact}" for name, fact in facts.items()), "", *lines, "", note])


def markdown(results: Sequence[Result], facts: dict[str, str], note: str) -> str:
    about = dict.fromkeys(result.workload for result in results)
    table = [COLUMNS, ("---", "---", *["---:"] * (len(COLUMNS) - 2)), *(result.cells() for result in results)]
    return "\n".join(
        [
            *(f"- {workload.name}: {workload.title}" for workload in about),
            "",
            *("| " + " | ".join(row) + " |" for row in table),
            "",
            note,
            "",
            *(f"- {name}: {fact}" for name, fact in facts.items()),
        ]
    )


def split_readme(path: str) -> tuple[str, str]:
    """The text up to the first marker and from the second on; DataError unless each stands there once, in order."""
    try:
        text = Path(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {shown(path)}: {error}") from error
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise DataError(f"{shown(path)} must have one line {BEGIN} and after it one line {END}: the table goes between")
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:before], text[after:]


def write_readme(path: str, table: str) -> None:
    head, tail = split_readme(path)  # anew: it may have been edited during a run of minutes
    with atomic_write(path) as file:
        file.write(f"{head}\n\n{table}\n\n{tail}".encode())


# -- the command --------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    made = _Parser(
        prog="fastnet bench",
        description="Times an epoch of training on each backend, interleaved, on one thread, after a check that its\n"
        "results are right. MNIST is looked for as `fastnet train` does but not downloaded; without it, mnist-5k is\n"
        "repeated up to its size.",
        epilog="examples:\n  fastnet bench --workload W1 --rounds 11\n"
        '  fastnet bench --workload W1 --backend numpy --input float32 --peer "python ../shared/baseline/numpy_mlp.py '
        '{workload}"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--workload", action="append", choices=list(WORKLOADS), help="repeatable; default: all")
    made.add_argument(
        "--backend",
        action="append",
        choices=backends.NAMES,
        help="repeatable; default: those that work here. numpy, the baseline, is always among them",
    )
    made.add_argument("--rounds", type=_rounds, default=7, metavar="R", help="default: %(default)s")
    made.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="default: %(default)s")
    made.add_argument(
        "--input", choices=("uint8", "float32"), default="uint8", help="what the images are; default: %(default)s"
    )
    made.add_argument("--data-dir", metavar="DIR", help="where to look first for a folder mnist")
    made.add_argument(
        "--peer",
        metavar="COMMAND",
        help="another program to time in the same rounds, {workload} in it replaced: it prints the line `ready`, then "
        "answers each line `E` with an epoch and the line `t <wall seconds> <cpu seconds>`. Its results go unchecked",
    )
    made.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="all figures as JSON to a file; without one, to standard output instead of the table",
    )
    made.add_argument("--quiet", action="store_true", help="no table and no progress, errors only")
    made.add_argument(
        "--write-readme", metavar="FILE", help=f"put the table between its lines {BEGIN} and {END}, and nothing else"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0, 2 for an error, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser().parse_args(arguments)
    try:
        if any(os.environ.get(name) != "1" for name in ONE_THREAD):
            return _on_one_thread(arguments)
        _run(options, shlex.join(["fastnet", "bench", *arguments]))
    except FastnetError as error:
        print(f"fastnet bench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _on_one_thread(arguments: list[str]) -> int:
    """The command once more in a process whose BLAS has one thread: it reads that when NumPy is imported."""
    again = "import sys; sys.path[:] = {!r}; from fastnet.bench.run import main; sys.exit(main({!r}))"
    environment = os.environ | dict.fromkeys(ONE_THREAD, "1")
    return subprocess.run([sys.executable, "-c", again.format(sys.path, arguments)], env=environment).returncode


def _run(options: argparse.Namespace, command: str) -> None:
    def say(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr, flush=True)

    if options.write_readme:
        split_readme(options.write_readme)  # an error now rather than after minutes
    working = [info.name for info in backends.available() if info.available]
    names = list(dict.fromkeys([BASELINE, *(options.backend or working)]))
    workloads = [WORKLOADS[name] for name in dict.fromkeys(options.workload or WORKLOADS)]
    images = load_images(options.data_dir)
    if options.input == "float32":
        images = images._replace(x=np.divide(images.x, 255, dtype=np.float32))
    facts = machine() | {"data": f"{images.about}, as {options.input}", "arithmetic": f"{options.dtype}, one thread"}
    for workload in workloads:
        for name in names:
            verify(workload, name, options.dtype, images.x, images.y)
    say(f"verified: {', '.join(names)} on {', '.join(workload.name for workload in workloads)}")

    results: list[Result] = []
    peak = peak_meter(options.dtype)
    for workload in workloads:
        say(f"{workload.name}: {workload.title}")
        with contextlib.ExitStack() as stack:
            runners: dict[str, Runner] = {name: Session(workload, name, options.dtype, images) for name in names}
            if options.peer is not None:
                runners[PEER] = stack.enter_context(start_peer(options.peer, workload.name))
            results += measure(workload, runners, options.rounds, peak)

    facts["FMA peak"] = (
        f"{median(p for result in results for p in result.peaks) / 1e9:.0f} GFLOP/s, measured before every epoch"
        if peak
        else "not known: the Cython backend measures it, which is missing here or was compiled without the loop"
    )
    note = NOTE.format(rounds=options.rounds)
    as_json = json.dumps(
        {"command": command, "machine": facts, "rounds": options.rounds, "results": [r.to_dict() for r in results]},
        indent=1,
    )
    if options.json == "-" or not options.quiet:
        print(as_json if options.json == "-" else text(results, facts, note), flush=True)
    if options.json not in (None, "-"):
        with atomic_write(options.json) as file:
            file.write(as_json.encode() + b"\n")
    if options.write_readme:
        write_readme(options.write_readme, markdown(results, facts | {"written by": f"`{command}`"}, note))


if __name__ == "__main__":
    sys.exit(main())
