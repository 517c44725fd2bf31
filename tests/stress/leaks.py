"""The numbers of bytes, descriptors, threads, processes and temporary files do not grow over many calls.

A case repeats an operation on a backend. Some rounds fill the caches. Then `rounds` further rounds must add nothing.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import warnings
import weakref
from pathlib import Path
from typing import NamedTuple

import numpy as np

import fastnet

from . import fits
from .harness import Case, Danger, Unfit
from .leaking_operations import OPERATIONS, Once

ROUNDS = 100
WARM_ROUNDS = 20
# Growth up to these limits is no leak, because a cache may grow. A leak adds at least ROUNDS blocks in ROUNDS rounds.
BLOCKS, BYTES = 40, 1 << 14
LIBC = ctypes.CDLL(None)
TRIES = 8  # batches of rounds; a resource that grows in every batch leaks


class Use(NamedTuple):
    """The resources of this process."""

    blocks: int  # blocks that Python's allocator has handed out
    bytes: int  # bytes that malloc has handed out, in all arenas
    descriptors: int
    threads: int
    processes: int
    files: int


class Program(Danger):
    seconds = 120.0

    def draw(self, rng: np.random.Generator) -> Case:
        case: Case = {"operation": str(rng.choice(list(OPERATIONS))), "rounds": ROUNDS} | fits.draw(rng)
        return case | {"n": 2 + case["n"] // 6, "batch": 1 + case["batch"] // 6, "epochs": 1 + case["epochs"] // 3}

    def check(self, case: Case) -> str:
        if case["rounds"] < 1:
            raise Unfit
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "the network does not learn", UserWarning)  # the labels are random
            usual, tempfile.tempdir = tempfile.tempdir, folder
            try:
                once = OPERATIONS[case["operation"]](fits.Fit(case), Path(folder))
                check_flat(once, case["rounds"], folder)
                check_death(once)
            finally:
                tempfile.tempdir = usual
        return f"{case['operation']} on {case['backend']}: flat over {case['rounds']} rounds"

    def unable(self) -> str:
        return "" if hasattr(LIBC, "mallinfo2") else "counting memory needs glibc 2.33 or later"

    def prepare(self) -> None:
        for backend, dtype in itertools.product(fits.BACKENDS, ("float32", "float64")):
            fastnet.warmup(backend, dtype=dtype)
        gc.freeze()  # collections then skip half a million objects of the compilers and take 0.4 s less


def check_flat(once: Once, rounds: int, folder: str) -> None:
    """Check that no resource grows in every batch."""
    for _ in range(WARM_ROUNDS):
        once()
    grown: set[str] = set(Use._fields)
    before = use(folder)
    for _ in range(TRIES):
        for _ in range(rounds):
            once()
        after = use(folder)
        more = {name: now - then for name, then, now in zip(Use._fields, before, after, strict=True)}
        grown &= {name for name, count in more.items() if count > {"blocks": BLOCKS, "bytes": BYTES}.get(name, 0)}
        if not grown:
            return
        before = after
    raise AssertionError(f"in {rounds} rounds more: " + ", ".join(f"{more[name]} {name}" for name in sorted(grown)))


def check_death(once: Once) -> None:
    """Check that the operation's objects die with their last reference, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        made = once() or []
        alive = [weakref.ref(thing) for thing in made]
        del made
        left = {type(found).__name__ for found in (died() for died in alive) if found is not None}
        assert not left, f"objects outlive their last reference: {left}"
    finally:
        gc.enable()


def use(folder: str) -> Use:
    """Collect garbage, wait until ended threads are gone, and return the resources of this process."""
    gc.collect()
    until = time.monotonic() + 1  # the system still lists a joined thread for a moment
    while len(os.listdir("/proc/self/task")) > threading.active_count() and time.monotonic() < until:
        time.sleep(0.001)
    LIBC.mallinfo2.restype = Allocated
    allocated = LIBC.mallinfo2()
    return Use(
        sys.getallocatedblocks(),
        allocated.uordblks + allocated.hblkhd,
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
        len(multiprocessing.active_children()) + len(Path("/proc/thread-self/children").read_text().split()),
        sum(len(files) for _, _, files in os.walk(folder)),
    )


class Allocated(ctypes.Structure):
    """struct mallinfo2 of malloc.h (glibc 2.33)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]
    uordblks: int
    hblkhd: int
