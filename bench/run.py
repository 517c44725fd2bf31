"""`fastnet bench`: its options, and the suites that it runs. Each backend is verified before it is timed.

Every backend and peer trains one epoch in each round, and ratios are taken within a round, so a slow moment of the
machine slows all contenders. Each backend is verified before it is timed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import NoReturn

from fastnet import backends
from fastnet.backends import machine
from fastnet.bench import accuracy, corners, growth, inference, memory, pages, peers, picture, report, training
from fastnet.bench.peers.process import ONE_THREAD, write_images
from fastnet.bench.report import Section
from fastnet.bench.suites import BASELINE, Task, max_threads, verify_all
from fastnet.bench.workloads import DTYPES, INPUTS, WORKLOADS, Setup, as_input, load_images
from fastnet.data.files import atomic_write
from fastnet.errors import FastnetError
from fastnet.names import Sparse
from fastnet.plots import style

OTHER_SUITES = {
    "inference": inference.run,
    "growth": growth.run,
    "corners": corners.run,
    "memory": memory.run,
    "accuracy": accuracy.run,
}
SUITES = ("train", *OTHER_SUITES)
SECTION = "benchmark"  # of the page that --write fills
ROUNDS, QUICK_ROUNDS = 7, 1
QUICK_ROWS = 2_000
SPARSE: dict[str, Sparse] = {"auto": "auto", "on": True, "off": False}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, not {text!r}")
    return int(text)


def _suites(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SUITES:
            raise argparse.ArgumentTypeError(f"there is no suite {name!r}; choose from {', '.join(SUITES)}")
    return names


def parser() -> argparse.ArgumentParser:
    made = _Parser(
        prog="fastnet bench",
        description="Times one epoch of training on each backend, on one thread; the backends take turns in rounds.\n"
        "Each backend is verified first. --suite and --peers measure more. The images are MNIST if it is on this\n"
        "machine (it is not downloaded), otherwise mnist-5k repeated up to 60,000 images.",
        epilog="examples:\n  fastnet bench --workload W1 --rounds 11\n  fastnet bench --peers --json all.json --all\n"
        "  fastnet bench --peers numpy,jax --picture speed.png\n"
        '  fastnet bench --workload W1 --backend numpy --input float32 --peer "python your_own.py {workload}"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--workload", action="append", choices=list(WORKLOADS), help="repeatable; default: all")
    made.add_argument(
        "--backend",
        action="append",
        choices=backends.NAMES,
        help="repeatable; default: all that work here. numpy is the baseline and always runs",
    )
    made.add_argument(
        "--suite",
        type=_suites,
        default=["train"],
        metavar="NAMES",
        help=f"separated by commas: {', '.join(SUITES)}; default: train",
    )
    made.add_argument("--all", action="store_true", help="every suite")
    made.add_argument(
        "--peers",
        nargs="?",
        const="all",
        metavar="NAMES",
        help="time other libraries on the same work: all that are installed, or names separated by commas: "
        f"{', '.join(peers.PEERS)}; numpy and torch stand for two peers each",
    )
    made.add_argument("--rounds", type=_positive, metavar="R", help=f"default: {ROUNDS}, with --quick {QUICK_ROUNDS}")
    made.add_argument("--quick", action="store_true", help="verify everything, but time only a small part of the data")
    made.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="default: %(default)s")
    made.add_argument(
        "--input",
        choices=(*INPUTS, "uint8"),
        default=INPUTS[0],
        help="the form in which fastnet gets the images (uint8 means bytes); default: %(default)s",
    )
    made.add_argument("--sparse", choices=SPARSE, default="auto", help="Trainer(sparse=...); default: %(default)s")
    made.add_argument(
        "--threads", type=_positive, default=1, metavar="N", help="training threads, if the backend can; default: 1"
    )
    made.add_argument("--data-dir", metavar="DIR", help="the folder in which to look first for the folder mnist")
    made.add_argument(
        "--peer",
        metavar="COMMAND",
        help="a program of yours to time in the same rounds; {workload} in COMMAND becomes the workload's name. The "
        "program prints the line `ready`. For each line `E` it trains one epoch and prints the line "
        "`t <wall seconds> <cpu seconds>`. The program's results are not checked",
    )
    made.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write all figures as JSON to FILE, or without FILE to standard output in place of the tables",
    )
    made.add_argument("--picture", metavar="FILE", help=f"draw the training results ({', '.join(style.KINDS)})")
    made.add_argument("--quiet", action="store_true", help="print errors only")
    made.add_argument(
        "--write",
        metavar="PAGE",
        help=f"replace the text of PAGE between the lines {' and '.join(pages.markers(SECTION))} by the tables and "
        "the --picture",
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
    """Runs the command again in a new process with one BLAS thread: BLAS reads its limit when NumPy is imported."""
    again = "import sys; sys.path[:] = {!r}; from fastnet.bench.run import main; sys.exit(main({!r}))"
    environment = os.environ | dict.fromkeys(ONE_THREAD, "1")
    return subprocess.run([sys.executable, "-c", again.format(sys.path, arguments)], env=environment).returncode


def _run(options: argparse.Namespace, command: str) -> None:
    suites = SUITES if options.all else list(dict.fromkeys(options.suite))
    _check(options, suites)
    with tempfile.TemporaryDirectory() as folder:
        task, facts = _task(options, folder)
        verify_all(task)
        bandwidth = machine.bandwidth(machine.stream_bytes())
        sections: list[Section] = []
        results: list[training.Result] = []
        if "train" in suites:
            results = training.run(task)
            sections.append(training.section(results, task.rounds))
        sections += [run(task) for name, run in OTHER_SUITES.items() if name in suites]

    facts["FMA peak"] = machine.peak_fact([peak for result in results for peak in result.timing.peaks])
    if not results and task.peak is not None:
        facts["FMA peak"] = f"{task.peak() / 1e9:.0f} GFLOP/s"
    facts["memory"] = (
        f"{bandwidth / 1e9:.1f} GB/s: one thread's dot products of two vectors of {machine.stream_bytes() >> 21} MiB"
    )
    if options.json is not None:
        json = report.as_json(
            sections, command=command, machine=facts, rounds=task.rounds, memory_bytes_per_second=bandwidth
        )
    if options.json == "-":
        print(json, flush=True)
    elif not options.quiet:
        print(report.text(sections, facts), flush=True)
    if options.json not in (None, "-"):
        with atomic_write(options.json) as file:
            file.write(json.encode() + b"\n")
    linked = None
    if options.picture:
        grown = next((section.records for section in sections if section.name == "growth"), [])
        about = f"Training on {facts['processor']}: {facts['arithmetic']}"
        picture.write(options.picture, results, grown, bandwidth, about)
        linked = pages.link(options.picture, options.write) if options.write else None
    if options.write:
        written = facts | {"written by": f"`{command}`"}
        pages.write(options.write, SECTION, report.markdown(sections, written, linked))


def _check(options: argparse.Namespace, suites: Sequence[str]) -> None:
    """Raises for a wrong option before the minutes of measuring."""
    if options.write:
        pages.split(options.write, SECTION)
    if options.picture:
        picture.check(options.picture)
        if "train" not in suites:
            raise FastnetError("--picture draws the results of the suite train: add train to --suite")


def _task(options: argparse.Namespace, folder: str) -> tuple[Task, dict[str, str]]:
    """The task that the options describe, and the facts to report. Writes the images for the peers to the folder."""

    def say(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr, flush=True)

    names, left_out = peers.chosen(options.peers) if options.peers else ([], {})
    for name, problem in left_out.items():
        say(f"left out: {name}: {problem}")
    working = [info.name for info in backends.available() if info.available]
    chosen = list(dict.fromkeys([BASELINE, *(options.backend or working)]))
    kind = "bytes" if options.input == "uint8" else options.input
    images = load_images(options.data_dir)
    if options.quick:
        images = images._replace(x=images.x[:QUICK_ROWS], y=images.y[:QUICK_ROWS])
    dense = as_input(images, "float32") if kind == "float32" else images
    write_images(dense, folder)
    sparse = SPARSE[options.sparse]
    task = Task(
        workloads=[WORKLOADS[name] for name in dict.fromkeys(options.workload or WORKLOADS)],
        setups=[Setup(n, options.dtype, sparse, min(options.threads, max_threads(n))) for n in chosen],
        peers=names,
        command=options.peer,
        images=as_input(images, "sparse") if kind == "sparse" else dense,
        folder=folder,
        dense=dense,
        rounds=options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS),
        quick=options.quick,
        peak=machine.peak_meter(options.dtype),
        say=say,
    )
    teams = [setup.backend for setup in task.setups if setup.threads > 1]
    threads = f"{options.threads} threads on {' and '.join(teams)}, else one" if teams else "one thread"
    facts = machine.facts() | {
        "data": f"{images.about}, as {kind}" + (f", the first {QUICK_ROWS:,} for a quick run" if options.quick else ""),
        "arithmetic": f"{options.dtype}, {threads}, sparse={options.sparse}",
    }
    return task, facts | peers.versions(names)


if __name__ == "__main__":
    sys.exit(main())
