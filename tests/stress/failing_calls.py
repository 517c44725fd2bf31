"""The n-th system call fails, for every n, while fastnet trains, predicts, saves and loads.

Every call of every scenario is a case. The seed gives the order of the cases.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from functools import cache, partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastnet import DataError

from .children import Child
from .failing_scenarios import ALLOCATIONS, MEMORY, SCENARIOS, THREADS, Outcome, Scenario
from .harness import Case, Danger

# failing.c is loaded before libc and makes the calls fail. Only allocations of at least LEAST bytes fail. While a file
# is written or read, any such allocation may fail. In a fit or a prediction, only allocations of NumPy's array data
# fail, because fastnet and its kernels ask for no other memory. If another allocation of NumPy fails, NumPy 2.4 or its
# OpenBLAS raises SystemError or reads invalid memory.
SET_HANDLER = 304  # index of PyDataMem_SetHandler in NumPy's table of C functions
CAPSULE = ctypes.py_object, ctypes.c_char_p, ctypes.c_void_p
LEAST = 512  # bytes; smaller allocations never fail, because Python takes small objects from arenas


class Kind(NamedTuple):
    """A kind of failure: a counter of failing.c, and the errno. If `on`, all calls from the n-th on fail."""

    number: int
    errno: int
    on: bool = False


KINDS = {
    "array": Kind(0, errno.ENOMEM),
    "arrays": Kind(0, errno.ENOMEM, on=True),
    "allocation": Kind(1, errno.ENOMEM),
    "allocations": Kind(1, errno.ENOMEM, on=True),
    "open": Kind(2, errno.EMFILE),
    "read": Kind(3, errno.EIO),
    "write": Kind(4, errno.EIO),
    "short write": Kind(5, 0),
    "full disk": Kind(6, errno.ENOSPC, on=True),
    "fsync": Kind(7, errno.EIO),
    "close": Kind(8, errno.EIO),
    "rename": Kind(9, errno.EACCES),
    "chmod": Kind(10, errno.EPERM),
    "truncate": Kind(11, errno.EIO),
    "thread": Kind(12, errno.EAGAIN),
    "threads": Kind(12, errno.EAGAIN, on=True),
}


class Program(Danger):
    seconds = 60.0

    def cases(self, seed: int) -> Iterator[Case]:
        found = every_case()
        for index in np.random.default_rng(seed).permutation(len(found)):
            yield found[index]

    def draw(self, rng: np.random.Generator) -> Case:
        found = every_case()
        return found[rng.integers(len(found))]

    def check(self, case: Case) -> str:
        right, words = server().ask(case)
        assert right, words
        return words

    def simpler(self, case: Case) -> Iterator[Case]:
        yield from ()  # a smaller n would make another call fail

    def prepare(self) -> None:
        server()

    def unable(self) -> str:
        if not sys.platform.startswith("linux"):
            return "the program makes system calls fail on Linux only"
        return "" if shutil.which("cc") else "there is no C compiler (cc) to compile failing.c with"


@cache
def every_case() -> list[Case]:
    right, found = server().ask({"scenario": "", "kind": "", "n": 0})
    assert right, found
    cases = json.loads(found)
    assert isinstance(cases, list)
    return cases


# -- the connection to the process whose calls fail -------------------------------------------------------------------


class Server:
    """A process with failing.c loaded, which forks a child for each case."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        library = Path(self._folder.name, "failing.so")
        source = Path(__file__).with_name("failing.c")
        subprocess.run(["cc", "-O1", "-fPIC", "-shared", "-o", library, source, "-ldl", "-lpthread"], check=True)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LD_PRELOAD": str(library)}
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
        )

    def ask(self, case: Case) -> tuple[bool, str]:
        """Run a case. Return whether it passed, and a summary."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        line = self._process.stdout.readline()
        assert line, f"the server process has ended with exit code {self._process.wait()}"
        right, words = json.loads(line)
        return right, words


@cache
def server() -> Server:
    return Server()


def serve() -> None:
    """Run the server's main loop."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    take_over_arrays()
    for line in sys.stdin:
        case = json.loads(line)
        try:
            answer = (True, tried(case) if case["scenario"] else json.dumps(all_cases()))
        except AssertionError as error:
            answer = (False, str(error))
        answers.write(json.dumps(answer) + "\n")


# -- the process whose calls fail -------------------------------------------------------------------------------------


def library() -> ctypes.CDLL:
    """Return the library of failing.c, which the process loaded before libc."""
    found = ctypes.CDLL(None)
    found.arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_long]
    found.counted.restype = found.failed.restype = ctypes.c_long
    return found


def take_over_arrays() -> None:
    """Make NumPy allocate array data through failing.c, in this thread's context (NEP 49)."""
    python = ctypes.pythonapi
    python.PyCapsule_GetPointer.restype, python.PyCapsule_GetPointer.argtypes = ctypes.c_void_p, CAPSULE[:2]
    python.PyCapsule_New.restype, python.PyCapsule_New.argtypes = ctypes.py_object, (ctypes.c_void_p, *CAPSULE[1:])
    api = python.PyCapsule_GetPointer(import_module("numpy._core._multiarray_umath")._ARRAY_API, None)
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(
        ctypes.cast(api, ctypes.POINTER(ctypes.c_void_p))[SET_HANDLER]
    )
    handler = ctypes.addressof(ctypes.c_char.in_dll(library(), "array_handler"))
    set_handler(python.PyCapsule_New(handler, b"mem_handler", None))


@cache
def scenario(name: str) -> Scenario:
    """Make a scenario and run it once. The children that are forked later then need not import or compile."""
    made = SCENARIOS[name]()
    attempt(made, Kind(0, 0), 0, last=0)
    return made


def all_cases() -> list[Case]:
    """Return a case for every scenario, every kind of failure and every call that may fail."""
    found = []
    for name in SCENARIOS:
        with Child(partial(calls, scenario(name))) as child:
            counted = child.result(60)
        for kind in scenario(name).kinds:
            found += [{"scenario": name, "kind": kind, "n": n + 1} for n in range(counted[KINDS[kind].number])]
    return found


def calls(scenario: Scenario, pipe: Connection) -> list[int]:
    """Return the number of calls that a scenario makes, for each counter of failing.c."""
    attempt(scenario, Kind(0, 0), 0, last=0)
    return [library().counted(kind) for kind in range(len(KINDS))]


def tried(case: Case) -> str:
    name, kind = case["scenario"], case["kind"]
    if name not in SCENARIOS:
        return f"skipped: {name} needs a package that is not here"
    with Child(partial(judged, scenario(name), kind, case["n"])) as child:
        words = child.result(40)
    return f"{name}, {kind}: {words}"


def judged(scenario: Scenario, kind: str, n: int, pipe: Connection) -> str:
    """Run a scenario with one failure. Check its result, error, files and threads."""
    before = open_files(), threading.active_count()
    with tempfile.TemporaryDirectory() as folder:
        outcome = attempt(scenario, KINDS[kind], n, folder=Path(folder))
        gc.collect()
        assert (open_files(), threading.active_count()) == before, "files or threads are left open"
        if outcome.error is not None:
            assert outcome.failed, f"raised {outcome.error!r} although no call failed"
            assert in_words(outcome.error, kind), f"not an error for users: {outcome.error!r}\n{outcome.where}"
        words = [str(warning.message) for warning in outcome.warnings]
        assert not words or kind in THREADS or scenario.may_warn, f"warns: {words}"
        scenario.judge(outcome, kind, n)
    if not outcome.failed:
        return "no such call"
    return "right" if outcome.error is None else type(outcome.error).__name__


def in_words(error: BaseException, kind: str) -> bool:
    """Return whether a user may see this error. NumPy's SystemError without an exception does not come from fastnet."""
    if kind in ALLOCATIONS and isinstance(error, SystemError):
        return str(error).endswith(("without exception set", "without setting an exception"))
    return isinstance(error, DataError) or (kind in MEMORY and isinstance(error, MemoryError))


def attempt(scenario: Scenario, kind: Kind, n: int, last: int | None = None, folder: Path | None = None) -> Outcome:
    """Run a scenario while the n-th call fails, or all calls from the n-th on."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return attempt(scenario, kind, n, last, Path(temporary))
    failing = library()
    scenario.place(folder)
    error: BaseException | None = None
    result, where = None, ""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        failing.arm(kind.number, n, (sys.maxsize if kind.on else n) if last is None else last, kind.errno, LEAST)
        try:
            result = scenario.run()
        except BaseException as raised:
            failing.disarm()
            where = "".join(traceback.format_exception(raised))[-3000:]
            error = raised.with_traceback(None)  # the frames of the traceback refer to arrays and files
            error.__context__ = error.__cause__ = None
        failing.disarm()
    return Outcome(result, error, where, told, failing.failed())


def open_files() -> list[str]:
    """Return the files that the process has open."""
    names = os.listdir("/proc/self/fd")  # the descriptor of the listing itself is closed now
    return sorted(os.readlink(f"/proc/self/fd/{name}") for name in names if os.path.lexists(f"/proc/self/fd/{name}"))
