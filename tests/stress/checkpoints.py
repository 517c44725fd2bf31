"""SIGKILL at any moment of a training with checkpoints, a full disk, and writes that fail at the n-th call.

The training is resumed after each kill. In the end its parameters equal those of a training that nothing disturbed, bit
for bit, and no checkpoint that was complete is ever lost.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Collection
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np

from fastnet import Callback, Checkpoint, DataError, EarlyStopping, EpochSoFar, ReduceOnPlateau, Trainer
from fastnet.training.checkpoint_file import numbered, read

from . import fits, kills, writers
from .children import Child, killing_at
from .fits import bits
from .harness import Case, Danger

EVENTS = 60_000  # a kill by call comes at one of this many calls and returns of functions
CLOCK_SECONDS = 0.25  # a kill by the clock comes within this time
MAX_KILLS = 12  # of one training; it then goes on undisturbed


class Program(Danger):
    seconds = 120.0  # Numba may compile; other cases take a few seconds

    def draw(self, rng: np.random.Generator) -> Case:
        return fits.draw(rng) | {
            "batch": int(rng.integers(1, 40)),
            "epochs": int(rng.integers(2, 9)),
            "every": int(rng.integers(1, 8)),
            "checkpoint_seconds": float(rng.choice([0.0, 0.0, 0.002, 0.02])),
            "how": str(rng.choice(["clock", "call", "writer"])),
            "keep": int(rng.integers(1, 4)),
            "callbacks": bool(rng.integers(2)),
        }

    def check(self, case: Case) -> str:
        if case["every"] < 1 or case["keep"] < 1 or case["checkpoint_seconds"] < 0:
            raise fits.Unfit
        if case["backend"] not in fits.BACKENDS:
            return f"skipped: no {case['backend']} here"
        kills = check_kills(case)
        if not kills.count:
            return "finished before the first kill"
        return f"killed by {case['how']}" + ", also within a write" * bool(kills.in_writes)

    def unable(self) -> str:
        return "" if os.name == "posix" else "the program can send signals on POSIX systems only"

    def prepare(self) -> None:
        kills.Program().prepare()


class Pace(Callback):
    """Split the epochs into small chunks, so that a checkpoint may come after a few batches."""

    def __init__(self, every: int) -> None:
        self.every = every

    def on_batches(self, trainer: Trainer, progress: EpochSoFar) -> None:
        time.sleep(1e-4)  # the writer gets a turn


def callbacks_of(case: Case) -> list[Callback]:
    """Return new callbacks that change the training."""
    if not case["callbacks"]:
        return []
    return [ReduceOnPlateau("cost", patience=1, min_delta=0.01), EarlyStopping("cost", patience=4)]


class Kills(NamedTuple):
    """The kills of one training."""

    count: int
    in_writes: int  # those that left an incomplete file


def check_kills(case: Case) -> Kills:
    fit = fits.Fit(case)
    rng = np.random.default_rng(case["seed"])
    in_writes = 0
    with tempfile.TemporaryDirectory() as temporary, patch("fastnet.backends.threads.usable_cores", lambda: 4):
        undisturbed = fit.trainer()
        undisturbed.fit(*fit.data(), epochs=fit.epochs, callbacks=callbacks_of(case))
        folder = Path(temporary, "checkpoints")
        for count in range(MAX_KILLS + 1):
            before, parts = complete(folder), len(writers.left_over(folder))
            how, moment = case["how"] if count < MAX_KILLS else "", int(rng.integers(EVENTS))
            with Child(partial(train, fit, folder, how, moment)) as child:
                child.expect("ready", 60)
                if how == "clock":
                    time.sleep(moment / EVENTS * CLOCK_SECONDS)
                    child.signal(signal.SIGKILL)
                end = child.end()
                found = None if "SIGKILL" in end else child.result(60)
            check_folder(folder, before, case["keep"])
            in_writes += len(writers.left_over(folder)) > parts
            if found is not None:
                assert found == bits(undisturbed), "the parameters are not those of an undisturbed training"
                return Kills(count, in_writes)
    raise AssertionError(f"a child that nothing killed {end}")


def complete(folder: Path) -> list[str]:
    """Return the names of the numbered checkpoints of a folder."""
    return [path.name for _, path in numbered(folder)] if folder.is_dir() else []


def check_folder(folder: Path, before: Collection[str], keep: int) -> None:
    """Check that every checkpoint is whole, and that one is gone only if `keep` newer ones are there."""
    after = complete(folder)
    for name in after:
        read(folder / name)
    for name in set(before) - set(after):
        newer = [other for other in after if other > name]
        assert len(newer) >= keep, f"{name} is lost: there are only {sorted(after)}"


def train(fit: fits.Fit, folder: Path, how: str, moment: int, pipe: Connection) -> tuple[int, str]:
    """Begin or resume a training. Kill this process at an event of all threads, or of the writing thread."""
    case = fit.case
    checkpoint = Checkpoint(folder, seconds=case["checkpoint_seconds"], keep=case["keep"])
    pipe.send("ready")
    if how in ("call", "writer"):
        die_at(moment % (EVENTS // 10 if how == "writer" else EVENTS), is_writer=how == "writer")
    try:
        trainer, epochs = Trainer.resume(folder), None
    except DataError:
        trainer, epochs = fit.trainer(), fit.epochs
    x, y = fit.data()
    trainer.fit(x, y, epochs=epochs, callbacks=[Pace(case["every"]), checkpoint, *callbacks_of(case)])
    sys.setprofile(None)
    threading.setprofile(None)
    return bits(trainer)


def die_at(number: int, *, is_writer: bool) -> None:
    """Kill this process at event `number`. A call or return of a Python or C function is an event."""
    count = killing_at(number)
    threading.setprofile(count)  # for threads that are started later
    if not is_writer:
        sys.setprofile(count)
