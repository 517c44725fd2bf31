"""`fastnet bench`: runs the suites and writes the results. fastnet/cli/bench.py has the options.

Every backend is verified first. All contenders run in each round, and a ratio compares times of the same round.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from fastnet import backends
from fastnet.backends import machine
from fastnet.bench import (
    accuracy,
    compare,
    corners,
    estimators,
    growth,
    inference,
    memory,
    pages,
    peers,
    picture,
    report,
    scaling,
    training,
    users,
)
from fastnet.bench.cases import CASES
from fastnet.bench.peers.process import ONE_THREAD, write_images
from fastnet.bench.report import Section
from fastnet.bench.suites import BASELINE, Task, max_threads, verify_all
from fastnet.bench.workloads import WORKLOADS, Setup, as_input, load_images
from fastnet.data.files import atomic_write
from fastnet.errors import FastnetError

OTHER_SUITES = {
    "users": users.run,
    "inference": inference.run,
    "growth": growth.run,
    "corners": corners.run,
    "memory": memory.run,
    "accuracy": accuracy.run,
    "estimators": estimators.run,
    "scaling": scaling.run,
}
SUITES = ("train", *OTHER_SUITES)
SECTION = "benchmark"  # of the page that --write fills
ROUNDS, QUICK_ROUNDS = 7, 1
QUICK_ROWS = 2_000
# Options that would change nothing in a kind of run, and the defaults of those that are not off by default.
NOT_IN_USERS = ("workload", "dtype", "input", "sparse", "threads", "peer")
NOT_IN_SCALING = ("all", "suite", "peers", "peer", "threads")
NOT_IN_COMPARE = ("all", "suite", "scaling", "workload", "dtype", "input", "sparse", "peer", "picture", "write")
DEFAULTS = {"suite": ["train"], "dtype": "float32", "input": "bytes", "sparse": "auto", "threads": 1}


def main(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Run the command and return its exit status.

    Parameters
    ----------
    options : argparse.Namespace
        The parsed arguments.
    arguments : sequence of str
        The arguments of `fastnet bench`, for a second process and for the results, which quote the command.

    Raises
    ------
    FastnetError
        An option is wrong, a backend or peer is missing or computes wrong results, or a file cannot be written.
    """
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        return _on_one_thread(arguments)
    _run(options, shlex.join(["fastnet", "bench", *arguments]))
    return 0


def _on_one_thread(arguments: Sequence[str]) -> int:
    """Run the command again in a new process with one BLAS thread: BLAS reads its limit when NumPy is imported."""
    again = "import sys; sys.path[:] = {!r}; from fastnet.cli import main; sys.exit(main({!r}))"
    command = [sys.executable, "-c", again.format(sys.path, ["bench", *arguments])]
    try:
        return subprocess.run(command, env=os.environ | dict.fromkeys(ONE_THREAD, "1")).returncode
    except KeyboardInterrupt:  # the other process reports the interrupt
        return 130


def _run(options: argparse.Namespace, command: str) -> None:
    suites = SUITES if options.all else ["scaling"] if options.scaling else list(dict.fromkeys(options.suite))
    _check(options, suites)
    with tempfile.TemporaryDirectory() as folder:
        task, facts = _task(options, suites, folder)
        if options.compare is None and set(suites) != {"users"}:  # these verify their own cases
            verify_all(task)
        bandwidth = machine.bandwidth(machine.stream_bytes())
        sections: list[Section] = []
        results: list[training.Result] = []
        if options.compare is not None:
            section, versions = compare.run(task, options.compare)
            sections.append(section)
            facts |= versions
        elif "train" in suites:
            results = training.run(task)
            sections.append(training.section(results, task.rounds))
        sections += [run(task) for name, run in OTHER_SUITES.items() if name in suites and options.compare is None]

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
    """Raises an error for a wrong option before minutes of measuring."""
    compares = options.compare is not None
    if compares:
        _refuse(options, "--compare has its own cases and prints its table", NOT_IN_COMPARE)
    elif options.scaling:
        _refuse(options, "--scaling measures fastnet alone, and chooses the numbers of threads", NOT_IN_SCALING)
    elif set(suites) == {"users"}:
        _refuse(options, "the suite users has its own cases", NOT_IN_USERS)
    if options.case and not compares and "users" not in suites:
        raise FastnetError("--case chooses cases of the suite users or of --compare: add users to --suite")
    if options.write:
        pages.split(options.write, SECTION)
    if options.picture:
        picture.check(options.picture)
        if "train" not in suites:
            raise FastnetError("--picture draws the results of the suite train: add train to --suite")
    titles = [each.title for each in compare.compared()] if compares else [case.title for case in CASES]
    for words in options.case or ():
        if not words.strip():
            raise FastnetError("--case needs words of a title, not an empty text")
        if not any(words.lower() in title.lower() for title in titles):
            raise FastnetError(f"no case has the words {words}; there are: {'; '.join(titles)}")


def _refuse(options: argparse.Namespace, why: str, names: Sequence[str]) -> None:
    """Raises an error if one of these options differs from its default: it would change nothing."""
    for name in names:
        value = getattr(options, name)
        if value not in (None, DEFAULTS.get(name, False)):
            raise FastnetError(f"{why}: leave out --{name}")


def _task(options: argparse.Namespace, suites: Sequence[str], folder: str) -> tuple[Task, dict[str, str]]:
    """The task that the options describe, and the facts to report. Writes the images for the peers to the folder."""

    def say(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr, flush=True)

    if options.compare is not None:
        with compare.version_at(options.compare):
            pass  # an error before the data are read
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
    task = Task(
        workloads=[WORKLOADS[name] for name in dict.fromkeys(options.workload or WORKLOADS)],
        setups=[Setup(n, options.dtype, options.sparse, min(options.threads, max_threads(n))) for n in chosen],
        peers=names,
        command=options.peer,
        images=as_input(images, "sparse") if kind == "sparse" else dense,
        folder=folder,
        dense=dense,
        rounds=options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS),
        quick=options.quick,
        peak=machine.peak_meter(options.dtype),
        say=say,
        pixels=images,
        cases=options.case or (),
    )
    teams = [setup.backend for setup in task.setups if setup.threads > 1]
    threads = f"{options.threads} threads on {' and '.join(teams)}, else one" if teams else "one thread"
    facts = machine.facts() | {
        "data": f"{images.about}, as {kind}" + (f", the first {QUICK_ROWS:,} for a quick run" if options.quick else ""),
        "arithmetic": f"{options.dtype}, {threads}, sparse={options.sparse}",
    }
    shown = names or (peers.chosen("all")[0] if "users" in suites and options.compare is None else [])
    return task, facts | peers.versions(shown)
