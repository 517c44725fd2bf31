"""SIGKILL at any moment of a writer, and SIGINT at any moment of `fit`.

A killed writer leaves the old content or the new one, and perhaps a temporary file, which the next save removes. An
interrupted fit is at a batch boundary and can continue.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

import numpy as np

from fastnet import Callback, Epoch, EpochSoFar, Network, Trainer, warmup

from . import writers
from .children import Child, killing_at
from .fits import bits
from .harness import Case, Danger
from .interrupted_fits import ENDLESS, Fit, go_on
from .kernel_calls import available

# A fit must end within this number of seconds after the signal, even on a busy machine.
# tests/backends/test_interrupts.py allows 1 s.
ANSWER = 10.0
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam")
SCHEDULES = ("constant", "cosine", "exponential")
INPUTS = ("uint8", "float32", "float64", "sparse")
CALLBACKS = ("none", "nothing", "save", "sleep")
COMPILING = 40  # one case in 40 interrupts a fit while Numba compiles; compiling takes 15 seconds


# The oracle of an interrupted fit is another trainer, which a callback stops after the same number of updates. Their
# parameters, optimiser states and step counts are compared bit for bit.
class Program(Danger):
    seconds = 120.0  # Numba may compile; other cases take less than one second

    def draw(self, rng: np.random.Generator) -> Case:
        if rng.random() < 0.5:
            return draw_kill(rng)
        names = available()
        if rng.integers(COMPILING) == 0 and "numba" in names:
            return {"what": "compile", "milliseconds": int(rng.integers(8000))}
        return draw_interrupt(rng, names)

    def check(self, case: Case) -> str:
        if case["what"] == "kill":
            return check_kill(case)
        return check_compiling(case) if case["what"] == "compile" else check_interrupt(case)

    def unable(self) -> str:
        return "" if os.name == "posix" else "the program can send signals on POSIX systems only"

    def prepare(self) -> None:
        for name in available():
            Trainer(Network([2, 2]), backend=name).fit(np.ones((1, 2)), np.zeros(1, int), epochs=1)
        if "numba" in available():
            for dtype in ("float32", "float64"):
                warmup("numba", dtype=dtype, x_dtypes=("uint8", dtype))


# -- SIGKILL while a file is written -----------------------------------------------------------------------------------


def draw_kill(rng: np.random.Generator) -> Case:
    """Draw a case. `moment` is in thousandths of the writer's time, or of its number of function calls."""
    return {
        "what": "kill",
        "writer": str(rng.choice(writers.names())),
        "how": str(rng.choice(["clock", "call"])),
        "moment": int(rng.integers(1200)),
    }


def check_kill(case: Case) -> str:
    name = case["writer"]
    if name not in writers.names():
        return f"skipped: a package of {name} is not installed"
    writer, (seconds, calls) = writers.writer(name), measured(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        writers.place(folder, writer.old)
        if case["how"] == "clock":
            work, delay = partial(announced_write, writer, folder), seconds * case["moment"] / 1000
        else:
            work, delay = partial(write_up_to_a_call, writer, folder, calls * case["moment"] // 1000), 30.0
        with Child(work) as child:
            child.expect("ready", 60)
            if case["how"] == "clock":
                time.sleep(delay)
                child.signal(signal.SIGKILL)
            how = child.end()
            finished = child.sent()
        assert "SIGKILL" in how or finished, how
        left = writers.left(writer, folder, finished)
        parts = writers.left_over(folder)
        assert len(parts) <= (0 if finished else 1), f"left: {parts}"
        left += ", a temporary file" if parts else ""
        writer.write(folder)  # a leftover file must not prevent writing, and must not outlast it
        assert writers.found(folder) == dict(writer.new)
        assert not writers.left_over(folder), f"left after another save: {writers.left_over(folder)}"
    return f"kill {name} by {case['how']}: {'finished' if finished else left}"


def announced_write(writer: writers.Writer, folder: Path, pipe: Connection) -> None:
    pipe.send("ready")
    writer.write(folder)


def write_up_to_a_call(writer: writers.Writer, folder: Path, number: int, pipe: Connection) -> None:
    """Write, and kill this process at event `number`. A call or return of a Python or C function is an event."""
    pipe.send("ready")
    sys.setprofile(killing_at(number))
    try:
        writer.write(folder)
    finally:
        sys.setprofile(None)


@cache
def measured(name: str) -> tuple[float, int]:
    """Return the seconds that a writer takes, and the number of events that write_up_to_a_call counts."""
    writer, calls = writers.writer(name), 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        writers.place(folder, writer.old)
        began = time.perf_counter()
        writer.write(folder)
        seconds = time.perf_counter() - began
        writers.place(folder, writer.old)
        sys.setprofile(count)
        try:
            writer.write(folder)
        finally:
            sys.setprofile(None)
    return seconds, calls


# -- SIGINT during a fit -----------------------------------------------------------------------------------------------


def draw_interrupt(rng: np.random.Generator, names: list[str]) -> Case:
    backend = names[rng.integers(len(names))]
    long = bool(rng.integers(30) == 0)  # one batch that takes seconds
    rows = 40_000 if long else int(rng.integers(1, 400))
    return {
        "what": "interrupt",
        "backend": backend,
        "dtype": str(rng.choice(["float32", "float64"])),
        "sizes": [100, 1024, 1024, 10] if long else rng.integers(1, 90, rng.integers(2, 5)).tolist(),
        "rows": rows,
        "batch": rows if long else int(rng.integers(1, rng.choice([8, 64, rows + 1]) + 1)),
        "threads": 1 if backend == "numpy" else int(rng.integers(1, 5)),
        "inputs": "uint8" if long else str(rng.choice(INPUTS)),
        "optimizer": str(rng.choice(OPTIMIZERS)),
        "schedule": str(rng.choice(SCHEDULES)),
        "dropout": bool(rng.integers(2)),
        "validation": bool(rng.integers(2)),
        "callback": "none" if long else str(rng.choice(CALLBACKS)),
        "every": int(rng.choice(np.array([0, 1, rng.integers(1, 20)]))),
        "microseconds": int(1e6 * rng.random()) if long else int(10 ** rng.uniform(2, 5)),
        "seed": int(rng.integers(1000)),
    }


class Act(Callback):
    """A user's callback, which may be running when the signal comes."""

    def __init__(self, kind: str, every: int, folder: Path) -> None:
        self.every = every or None
        self._kind, self._folder = kind, folder

    def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
        if self._kind == "sleep":
            time.sleep(1e-4)

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        if self._kind == "save":
            trainer.network.save(self._folder / "network.npz")


def check_interrupt(case: Case) -> str:
    if case["backend"] not in available():
        return f"skipped: no {case['backend']} here"
    fit = Fit(case)
    with tempfile.TemporaryDirectory() as folder, patch("fastnet.backends.threads.usable_cores", lambda: 4):
        with Child(partial(interrupted_fit, fit, Path(folder))) as child:
            child.expect("ready", 60)
            time.sleep(case["microseconds"] / 1e6)
            sent = time.perf_counter()  # all processes share this clock
            child.signal(signal.SIGINT)
            answered, steps, digest = child.result(60)
        assert answered - sent < ANSWER, f"answered after {answered - sent:.2f} s"
        assert (steps, digest) == bits(fit.after(steps)), f"not the state after {steps} updates"
        assert not writers.left_over(Path(folder)), "a temporary file is left"
        if saved := list(Path(folder).iterdir()):
            Network.load(saved[0])
    where = "before the first update" if not steps else "within an epoch" if steps % fit.batches else "between epochs"
    return f"interrupt {case['backend']}: {where}"


def interrupted_fit(fit: Fit, folder: Path, pipe: Connection) -> tuple[float, int, str]:
    """Return the time at which SIGINT ended a fit, and its state. Then check that the fit can continue."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    case, trainer = fit.case, fit.trainer()
    callbacks = [] if case["callback"] == "none" else [Act(case["callback"], case["every"], folder)]
    if case["rows"] < 10_000:
        fit.run(fit.trainer(), 1)  # does all imports, so that the signal seldom comes before the fit
    try:
        pipe.send("ready")
        fit.run(trainer, ENDLESS, *callbacks)
    except KeyboardInterrupt:
        answered = time.perf_counter()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "the usual SIGINT handler is not restored"
    steps, digest = bits(trainer)
    examples = sum(trainer.history["examples"])
    assert examples == fit.examples(steps), f"{examples} examples in the history, not {fit.examples(steps)}"
    if case["rows"] < 10_000:
        go_on(fit, trainer)
    return answered, steps, digest


# -- SIGINT while Numba compiles ---------------------------------------------------------------------------------------

COMPILED = {"backend": "numba", "dtype": "float64", "sizes": [3, 5, 2], "rows": 50, "batch": 7, "threads": 1}
COMPILED |= {"inputs": "float64", "optimizer": "adam", "schedule": "constant", "dropout": False, "validation": False}
COMPILED |= {"seed": 0}


def check_compiling(case: Case) -> str:
    if "numba" not in available():
        return "skipped: numba is not installed"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "NUMBA_CACHE_DIR": folder}
        process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import compiling; compiling()"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(case["milliseconds"] / 1e3)
            sent = time.perf_counter()
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=100)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, errors[-3000:]
    answered, steps = out.split()
    assert float(answered) - sent < ANSWER, f"answered after {float(answered) - sent:.2f} s"
    return f"interrupt numba: {'after it had compiled' if int(steps) else 'while it compiled'}"


def compiling() -> None:
    """Interrupt a fit while Numba compiles, and check the trainer's state. Then fit again, which compiles again."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores SIGINT
    fit = Fit(COMPILED)
    trainer = fit.trainer()
    try:
        print("ready", flush=True)
        fit.run(trainer, ENDLESS)
    except KeyboardInterrupt:
        print(time.perf_counter(), trainer.steps, flush=True)
    found = bits(trainer)
    go_on(fit, trainer)
    assert found == bits(fit.after(found[0])), f"not the state after {found[0]} updates"
