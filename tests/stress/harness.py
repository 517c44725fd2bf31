"""Run the cases of a stress program in a worker process, one after the other, and reduce the failures.

If the worker dies or hangs, its current case has failed, and a new worker continues.
"""

from __future__ import annotations

import abc
import contextlib
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Case = dict[str, Any]  # JSON values only, because files and pipes carry cases
CORPUS = Path(__file__).parent / "corpus"
# The programs in the order in which `all` runs them. Each program is a module of this package with a class `Program`.
NAMES = (
    "configurations",
    "files",
    "sparse",
    "kills",
    "checkpoints",
    "failing_calls",
    "changes",
    "races",
    "leaks",
)
MAX_FAILURES = 5  # a run stops after this many failures, because more would tell little
REDUCTIONS, REDUCTION_SECONDS = 400, 90.0  # limits on the search for a simpler case of one failure


class Unfit(Exception):
    """The case is meaningless. The reduction makes such cases often, and `draw` makes a few."""


class Danger(abc.ABC):
    """One danger: how to draw a case, how to check it, and how to make it simpler."""

    seconds = 60.0  # a case that takes longer counts as hung
    memory: int | None = None  # the worker's limit of address space in bytes; None: no limit

    def cases(self, seed: int) -> Iterator[Case]:
        """Yield the cases of a seed, in most programs for ever. Case i depends only on the seed and i."""
        index = 0
        while True:
            yield self.draw(np.random.default_rng([seed, index]))
            index += 1

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator) -> Case:
        """Draw a random case."""

    @abc.abstractmethod
    def check(self, case: Case) -> str | dict[str, int]:
        """Run the case in this process. Return a short summary for the log: the subject and the outcome.

        If a case is a batch of items, return a dict from summary to the number of items. Raise Unfit for a meaningless
        case. Any other exception, or the end of the process, is a failure.
        """

    def simpler(self, case: Case) -> Iterator[Case]:
        """Yield simpler cases, the simplest first. The default makes numbers smaller and lists shorter."""
        for key, value in case.items():
            for smaller in smaller_values(value):
                yield {**case, key: smaller}

    def prepare(self) -> None:  # noqa: B027 - most programs have nothing to prepare
        """Prepare a worker before its first case, for example by compiling. This time does not count for a case."""

    def unable(self) -> str:
        """Return why the program cannot run on this machine, such as a missing compiler, or ""."""
        return ""

    def launcher(self) -> list[str]:
        """Return the words in front of the worker's Python command, such as `env` with variables, or []."""
        return []


def smaller_values(value: Any) -> Iterator[Any]:
    """Yield smaller numbers, shorter lists and lists of smaller numbers. Strings are names, so they stay."""
    if isinstance(value, bool):
        if value:
            yield False
    elif isinstance(value, int):
        yield from dict.fromkeys(n for n in (0, 1, value // 2, value - 1) if abs(n) < abs(value))
    elif isinstance(value, float):
        if value not in (0.0, 1.0):
            yield from (0.0, 1.0)
    elif isinstance(value, list):
        half = len(value) // 2
        if half:
            yield from (value[:half], value[half:])
        for i in range(len(value)):
            yield value[:i] + value[i + 1 :]
        for i, entry in enumerate(value):
            for smaller in smaller_values(entry):
                yield [*value[:i], smaller, *value[i + 1 :]]


def load(name: str) -> Danger:
    """Return the program of that name."""
    program = import_module(f"{__package__}.{name}").Program()
    assert isinstance(program, Danger)
    return program


# -- the worker -------------------------------------------------------------------------------------------------------


class Died(Exception):
    """The worker ended or did not answer."""


class Worker:
    """A process that checks cases of one program."""

    def __init__(self, name: str, program: Danger) -> None:
        self._name, self._program = name, program
        self._process: subprocess.Popen[str] | None = None

    def check(self, case: Case) -> tuple[str, Any]:
        """Return ("right", the result of `Danger.check`), ("unfit", "") or ("wrong", the reason)."""
        try:
            process = self._started()
            assert process.stdin is not None
            process.stdin.write(json.dumps(case) + "\n")
            process.stdin.flush()
            kind, text = json.loads(self._answer(self._program.seconds))
            return kind, text
        except (Died, BrokenPipeError) as error:
            return "wrong", self._end(str(error))

    def prepare(self) -> None:
        """Start the process and wait for its `prepare`. If `prepare` fails, the first case tries again and says why."""
        try:
            self._started()
        except Died:
            self.close()

    def close(self) -> None:
        if self._process is not None:
            self._end("")

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - kept open
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (os.getcwd(), *sys.path)))}
            self._process = subprocess.Popen(
                [
                    *self._program.launcher(),
                    *(sys.executable, "-X", "faulthandler", "-c", f"from {__name__} import work; work({self._name!r})"),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                bufsize=1,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches only the parent, and the whole group can be killed
            )
            self._answer(600)  # the answer of `prepare`, which may take minutes because Numba compiles
        return self._process

    def _answer(self, seconds: float) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise Died(f"no answer within {seconds:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise Died("")
        return line

    def _end(self, why: str) -> str:
        """End the process and return why it died, from its exit code and its last output."""
        assert self._process is not None
        hung = why.startswith("no answer")
        if self._process.stdin is not None and not hung:
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # a worker that still runs then leaves its main loop
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        self._errors.seek(0)
        last_words = self._errors.read()[-4000:].strip()
        self._errors.close()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
        self._process = None
        died = why if hung else f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{died}\n{last_words}".strip()


def work(name: str) -> None:
    """Run the worker's main loop. Answers go to the original stdout, and all printed text goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    program = load(name)
    if program.memory is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (program.memory, program.memory))
    program.prepare()
    answers.write("ready\n")
    for line in sys.stdin:
        try:
            answer = ("right", program.check(json.loads(line)))
        except Unfit:
            answer = ("unfit", "")
        except BaseException as error:
            answer = ("wrong", _described(error))
        answers.write(json.dumps(answer) + "\n")


def _described(error: BaseException) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-4:]
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__}: {error}\n{where}"


# -- a run ------------------------------------------------------------------------------------------------------------


@dataclass
class Failure:
    """A failed case, its reduction, and the error."""

    index: int
    case: Case
    reduced: Case
    why: str


@dataclass
class Report:
    """The cases and failures of a run."""

    name: str
    seed: int
    tried: int = 0
    unfit: int = 0  # meaningless cases, not counted as tried
    seconds: float = 0.0
    unable: str = ""  # why the program cannot run here
    log: Counter[str] = field(default_factory=Counter)  # the number of cases or items for each summary
    failures: list[Failure] = field(default_factory=list)

    def __str__(self) -> str:
        if self.unable:
            return f"{self.name}: nothing was tried: {self.unable}"
        items = f" ({self.log.total():,} items)" if self.log.total() > self.tried else ""
        lines = [
            f"{self.name}: {self.tried:,} cases{items} of seed {self.seed} in {self.seconds:.0f} s, "
            f"{len(self.failures)} failed" + (f"; {self.unfit:,} more were meaningless" if self.unfit else "")
        ]
        lines += [f"  {count:8,}  {what}" for what, count in self.log.most_common(40)]
        for failure in self.failures:
            why = failure.why.replace("\n", "\n      ")
            lines += [
                f"  FAILED: case {failure.index}: {json.dumps(failure.case)[:2000]}",
                f"    reduced to {json.dumps(failure.reduced)[:2000]}",
                f"    {why}",
            ]
        return "\n".join(lines)


def run(
    name: str, seed: int, count: int | None = None, seconds: float | None = None, first: int = 0, keep: bool = True
) -> Report:
    """Check cases until `count` cases are checked, the time is over or no case is left. Save the failed cases."""
    program = load(name)
    worker, report = Worker(name, program), Report(name, seed)
    report.unable = program.unable()
    if report.unable:
        return report
    try:
        worker.prepare()
        began = time.monotonic()
        for index, case in enumerate(program.cases(seed)):
            if index < first:
                continue
            if count is not None and report.tried >= count:
                break
            if seconds is not None and time.monotonic() - began > seconds:
                break
            kind, text = worker.check(case)
            if kind == "unfit":
                report.unfit += 1
                continue
            report.tried += 1
            if kind == "right":
                report.log.update(text if isinstance(text, dict) else [text])
            else:
                reduced, why = _reduced(program, worker, case, text)
                report.failures.append(Failure(index, case, reduced, why))
                if keep:
                    _keep(name, report.failures[-1], seed)
                if len(report.failures) >= MAX_FAILURES:
                    break
        report.seconds = time.monotonic() - began
    finally:
        worker.close()
    return report


def _reduced(program: Danger, worker: Worker, case: Case, why: str) -> tuple[Case, str]:
    """Return the simplest case found that fails in the same way, and its error."""
    deadline, tries = time.monotonic() + REDUCTION_SECONDS, 0
    shrunk = True
    while shrunk:
        shrunk = False
        for candidate in program.simpler(case):
            tries += 1
            if tries > REDUCTIONS or time.monotonic() > deadline:
                return case, why
            kind, text = worker.check(candidate)
            if kind == "wrong" and _kind(text) == _kind(why):
                case, why, shrunk = candidate, text, True
                break
    return case, why


def keep_reduced(name: str, program: Danger, case: Case) -> None:
    """Reduce and save a case that failed outside of `run`. Print the result."""
    worker = Worker(name, program)
    try:
        reduced, why = _reduced(program, worker, case, worker.check(case)[1])
    finally:
        worker.close()
    _keep(name, Failure(0, case, reduced, why), seed=0)
    print(f"FAILED: {json.dumps(reduced)[:2000]}\n  {why}", flush=True)


def _kind(why: str) -> str:
    """Return the kind of a failure: the exception's name, or how the process died."""
    return why.partition("\n")[0].partition(":")[0]


def _keep(name: str, failure: Failure, seed: int) -> None:
    text = json.dumps(failure.reduced, sort_keys=True)
    path = CORPUS / name / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    why = failure.why.partition("\n")[0]  # the rest contains this machine's paths
    found = {"case": failure.reduced, "why": why, "seed": seed, "index": failure.index}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def kept(name: str) -> list[Path]:
    """Return the corpus files of a program."""
    return sorted((CORPUS / name).glob("*.json"))
