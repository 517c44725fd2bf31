"""`fastnet bench --compare OLD`: this version and another one, in processes of their own that take turns.

Each case is verified in both versions against the NumPy backend in float64 before it is timed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import numpy as np

from fastnet.bench.cases import CASES, Case, Data, case_folder, columns, grey, pixels
from fastnet.bench.contenders import Timing, take_turns
from fastnet.bench.peers import PEERS
from fastnet.bench.peers.process import ONE_THREAD
from fastnet.bench.report import Section, number, ratio, spread
from fastnet.bench.suites import BASELINE, Task, max_threads
from fastnet.bench.users import QUIET, cannot, peer_turn, started, unscaled_columns
from fastnet.bench.workloads import ROWS, WORKLOADS, Array, Setup, Workload, checker, verified_rows
from fastnet.errors import FastnetError
from fastnet.text import shown

OLD, NEW = "old", "new"
TRAININGS = ("train", "fit", "further", "partial_fit")
WORKER = Path(__file__).with_name("compare_worker.py")
PYTHONS = ("bin/python", "Scripts/python.exe")  # in a virtual environment
NOTE = (
    "Medians of {rounds} rounds in which both versions and all backends take turns, each in a process of its own. "
    "new / old is the median, and min to max the range, of the ratios of the rounds; below 1 the new version is "
    "faster. The time of a call on few rows is the median of five parts of a turn, after a part that is not timed. "
    "Both versions were verified against the NumPy backend in float64 first. {means}"
)


@dataclass(frozen=True)
class Version:
    """An installed version: a Python, and the folder to import fastnet from unless this Python finds it by itself."""

    python: str
    folder: str = ""


class VersionError(FastnetError, RuntimeError):
    """The other version is missing, cannot start, or ended early."""


@contextlib.contextmanager
def version_at(path: str) -> Iterator[Version]:
    """The version at a path: a folder that holds fastnet/, a virtual environment, its Python, or a wheel."""
    place = Path(path or os.devnull)  # an empty path is not the current folder
    python = next((place / name for name in PYTHONS if (place / name).is_file()), None)
    if (place / "fastnet" / "__init__.py").is_file():
        yield Version(sys.executable, str(place.resolve()))
    elif python is not None:
        yield Version(os.path.abspath(python))
    elif place.suffix == ".whl" and zipfile.is_zipfile(place):
        with tempfile.TemporaryDirectory() as folder:
            with zipfile.ZipFile(place) as wheel:
                wheel.extractall(folder)
            yield Version(sys.executable, folder)
    elif place.is_file() and os.access(place, os.X_OK):
        yield Version(os.path.abspath(place))
    else:
        raise VersionError(
            f"--compare {shown(path)} is no version of fastnet: give a folder that holds fastnet/ with built kernels "
            "(a checkout or site-packages), a virtual environment or its python, or a wheel"
        )


class Process:
    """A process of one version, with compare_worker.py in it."""

    def __init__(self, name: str, version: Version) -> None:
        self.name = name
        environment = os.environ | dict.fromkeys(ONE_THREAD, "1")
        if not version.folder:  # a virtual environment must not import this version
            environment.pop("PYTHONPATH", None)
        words = [version.python, "-P", str(WORKER), *([version.folder] if version.folder else [])]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # open until close()
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment
            )
        except OSError as error:
            self._errors.close()
            raise VersionError(f"cannot start the {name} version's {version.python}: {error}") from error
        try:
            self.facts = self._answer()
        except BaseException:
            self.close()
            raise

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
            said = "".join(last) or "it printed no error"
            raise VersionError(f"the process of the {self.name} version ended with status {status}: {said}")
        try:
            return dict(json.loads(line))
        except ValueError:
            raise VersionError(f"the process of the {self.name} version is no Python with fastnet") from None

    def ask(self, what: str, **question: Any) -> dict[str, Any]:
        """The answer to a question. Raises CaseError if the version cannot answer it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the process has ended; _answer() raises for that
            self._process.stdin.write(json.dumps({"do": what} | question).encode() + b"\n")
            self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise CaseError(f"the {self.name} version fails: {answer['error']}")
        return answer

    def close(self) -> None:
        self._process.kill()
        with self._process:
            pass
        self._errors.close()


class CaseError(FastnetError, RuntimeError):
    """A version cannot do a case; the comparison goes on without it."""


# -- the cases ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """A case, and the kind of its turns: a training or a call, as compare_worker.py describes."""

    case: Case
    kind: str

    @property
    def title(self) -> str:
        return self.case.title


def _call(title: str, kind: str, workload: Workload, data: Any, rows: int, calls: int, examples: int = 64) -> Compared:
    return Compared(Case(title, workload, data, examples, call_rows=rows, calls=calls), kind)


_IRIS = Workload("iris", (4, 8, 3), "relu", "softmax", "cross_entropy", 16, 1e-3, "adam")
_ADAM = Workload("W1, Adam", WORKLOADS["W1"].sizes, "relu", "softmax", "cross_entropy", 10, 1e-3, "adam")


def compared() -> list[Compared]:
    """The workloads of the suite train, the calls on few rows, and the cases of the suite users."""
    found = [Compared(Case(name, workload, pixels, ROWS), "train") for name, workload in WORKLOADS.items()]
    for workload in (WORKLOADS["W6"], WORKLOADS["W1"]):
        found.append(_call(f"forward of one row, {workload.layers}", "forward", workload, grey, 1, 200))
    for kind in ("partial_fit", "cost", "gradient"):
        found.append(_call(f"{kind} of 10 rows, {_ADAM.layers}", kind, _ADAM, grey, 10, 200))
    found += [
        Compared(Case("iris, a fit of one epoch", _IRIS, columns, 150, calls=50), "fit"),
        Compared(Case("iris, each further epoch", _IRIS, columns, 150, calls=20), "further"),
    ]
    bytes_of_digits = {f"digits as bytes, {name}" for name in WORKLOADS}  # all rows of them come first already
    for case in CASES:
        if case.title not in bytes_of_digits:
            kind = "predictor" if not case.trains else "fit" if case.epochs > 1 else "train"
            found.append(Compared(case, kind))
    return found


def selected(words: Sequence[str]) -> list[Compared]:
    return [each for each in compared() if not words or any(word.lower() in each.title.lower() for word in words)]


def expected(each: Compared, data: Data, rows: int) -> Array:
    """What the first rows must give, from the NumPy backend in float64."""
    workload = each.case.workload
    network = workload.network("float64")
    x, y = data.x[:rows], data.y[:rows]
    if each.kind in ("forward", "predictor"):
        return network.forward(data.x_test[:rows], backend=BASELINE)
    if each.kind == "cost":
        return np.asarray(network.cost(x, y, backend=BASELINE))
    if each.kind == "gradient":
        return network.gradient(x, y, backend=BASELINE)
    trainer = workload.trainer(network, Setup(BASELINE, "float64", sparse=False))
    if each.kind == "partial_fit":
        trainer.partial_fit(x, y)
    else:
        trainer.fit(x, y, epochs=1)
    return network.parameters


# -- the comparison -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def processes(path: str, backends: Sequence[str]) -> Iterator[dict[tuple[str, str], Process]]:
    """A process for each version and each backend that both versions have."""
    with contextlib.ExitStack() as stack:
        versions = {OLD: stack.enter_context(version_at(path)), NEW: Version(sys.executable, _own_folder())}
        running: dict[tuple[str, str], Process] = {}
        for backend in backends:
            for name, version in versions.items():
                running[name, backend] = Process(name, version)
                stack.callback(running[name, backend].close)
                _check(running[name, backend], version)
        old, new = (running[name, backends[0]].facts for name in (OLD, NEW))
        if old["place"] == new["place"]:
            raise VersionError(f"--compare {shown(path)} is this version itself, {new['place']}")
        for name, facts in ((OLD, old), (NEW, new)):
            if missing := [backend for backend in backends if backend not in facts["backends"]]:
                raise VersionError(
                    f"the {name} version, {facts['place']}, has no backend {missing[0]}: build it, or choose others "
                    "with --backend"
                )
        yield running


def _own_folder() -> str:
    """The folder from which this process imported fastnet."""
    import fastnet

    assert fastnet.__file__ is not None
    return str(Path(fastnet.__file__).parent.parent)


def _check(process: Process, version: Version) -> None:
    place = Path(process.facts["place"])
    if version.folder and place.parent != Path(version.folder).resolve():
        raise VersionError(f"the {process.name} version should be that of {version.folder}, but Python imports {place}")


def run(task: Task, path: str) -> tuple[Section, dict[str, str]]:
    """The table, and a fact about each version."""
    backends = [setup.backend for setup in task.setups if setup.backend != BASELINE] or [BASELINE]
    records: list[dict[str, Any]] = []
    threads = {setup.backend: setup.threads for setup in task.setups}
    with processes(path, backends) as running, started(task.peers) as peers, unscaled_columns():
        facts = {name: running[name, backends[0]].facts for name in (OLD, NEW)}
        for position, each in enumerate(selected(task.cases)):
            task.say(f"compare: {each.title}")
            folder = case_folder(task.folder, position)
            data = each.case.written(task.pixels or task.dense, folder, task.quick)
            try:
                turns = _turns(each, data, folder, running, threads, task.quick)
            except CaseError as error:
                task.say(f"compare: {each.title} is left out: {error}")
                continue
            if each.kind in ("train", "forward", "predictor") or each.case.epochs > 1:
                for name in [name for name in task.peers if not cannot(name, each.case, data)]:
                    turns[PEERS[name].title, name] = peer_turn(name, each.case, data, peers, folder)
            timings = take_turns(turns, task.rounds)
            records += _records(each, timings, backends, task.peers)
    if not records:
        raise VersionError("the two versions have no case in common")
    about = {name: f"fastnet {each['version']} at {each['place']}" for name, each in facts.items()}
    return _section(records, task.rounds, task.peers), about


def _turns(
    each: Compared,
    data: Data,
    folder: str,
    running: Mapping[tuple[str, str], Process],
    threads: Mapping[str, int],
    quick: bool,
) -> dict[tuple[str, str], Callable[[], float]]:
    """A turn for each process, after its results are verified."""
    case = each.case
    rows = case.call_rows or min(verified_rows(case.workload), data.x.shape[0])
    right = expected(each, data, rows)
    calls = max(case.calls // (10 if quick else 1), 1)
    turns: dict[tuple[str, str], Callable[[], float]] = {}
    for (name, backend), process in running.items():
        process.ask("load", folder=folder, **settings_of(each, backend, threads[backend]))
        path = str(Path(folder, "result.npy"))
        process.ask("result", rows=rows, path=path)
        check = checker(f"{each.title}, {name}, {backend}", case.workload.tolerance(case.dtype))
        found = np.load(path)
        if each.kind in TRAININGS:  # a version that begins with other parameters is wrong too
            start = case.workload.network("float64").parameters
            check("change of the parameters", found - start, right - start)
        else:
            check("result", found, right)
        turns[name, backend] = functools.partial(_turn, process, case, calls)
    return turns


def settings_of(each: Compared, backend: str, threads: int) -> dict[str, Any]:
    """The arguments of `Worker.load`. A predictor has the case's number of threads, a training the given number."""
    if each.kind == "predictor":
        threads = min(each.case.threads, max_threads(backend))
    rows, part_rows = each.case.call_rows, each.case.part_rows
    return {"backend": backend, "kind": each.kind, "threads": threads, "call_rows": rows, "part_rows": part_rows}


def _turn(process: Process, case: Case, calls: int) -> float:
    if case.threads > 1:
        time.sleep(QUIET)
    return float(process.ask("turn", epochs=case.epochs, calls=calls)["seconds"])


# -- the results --------------------------------------------------------------------------------------------------


def _records(
    each: Compared, timings: Mapping[tuple[str, str], Timing], backends: Sequence[str], names: Sequence[str]
) -> list[dict[str, Any]]:
    found = []
    peers = {name: timing for (_, name), timing in timings.items() if name in names}
    for backend in backends:
        old, new = timings[OLD, backend], timings[NEW, backend]
        found.append(
            {
                "case": each.title,
                "what": each.case.workload.title,
                "kind": each.kind,
                "dtype": each.case.dtype,
                "backend": backend,
                "old_seconds": old.seconds,
                "new_seconds": new.seconds,
                "new_over_old": [_over(a, b) for a, b in zip(new.seconds, old.seconds, strict=True)],
                "peer_seconds": {name: timing.seconds for name, timing in peers.items()},
                "old_over_peer": {name: timing.speed(old) for name, timing in peers.items()},
                "new_over_peer": {name: timing.speed(new) for name, timing in peers.items()},
            }
        )
    return found


def _over(a: float, b: float) -> float:
    return a / b if b > 0 else math.nan


def _section(records: list[dict[str, Any]], rounds: int, names: Sequence[str]) -> Section:
    rows = []
    for r in records:
        both = [(r["old_over_peer"].get(name, math.nan), r["new_over_peer"].get(name, math.nan)) for name in names]
        rows.append(
            (
                *(r["case"], r["backend"], number(median(r["old_seconds"]) * 1e3)),
                *(number(median(r["new_seconds"]) * 1e3), ratio(median(r["new_over_old"])), spread(r["new_over_old"])),
                *(ratio(value) for pair in both for value in pair),
            )
        )
    columns = (
        *("case", "backend", "old, ms", "new, ms", "new / old", "min to max"),
        *(f"{version} / {name}" for name in names for version in (OLD, NEW)),
    )
    means = []
    for backend in dict.fromkeys(r["backend"] for r in records):
        ratios = [median(r["new_over_old"]) for r in records if r["backend"] == backend]
        if all(value > 0 for value in ratios):  # also false for NaN
            means.append(f"{backend} {geometric_mean(ratios):.3f}")
    note = NOTE.format(rounds=rounds, means=f"Geometric mean of new / old: {', '.join(means)}." if means else "")
    return Section("compare", "Two versions", columns, rows, note, records)
