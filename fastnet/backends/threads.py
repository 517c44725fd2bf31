"""Chooses how many threads share a kernel call, and runs these threads.

The threads of a team end with the call, so a process can fork between calls, and several Python threads can each train
a network. The helpers of `share_parts` end soon after the call.
"""

from __future__ import annotations

import _thread
import contextvars
import math
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Ints

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
THREADED_WORK = 1 << 24  # "auto" uses several threads if a batch's forward pass has at least this many multiply-adds
THREAD_ROWS = 16  # with "auto", the smallest number of rows per thread
QUOTA_SECONDS = 1.0  # the quotas are read again after this time: the files take 0.13 ms, a call of a predictor less
IDLE_SECONDS = 0.1  # how long a helper of `share_parts` waits for another call
_remembered: dict[tuple[str, str], tuple[float, float]] = {}  # (proc, cgroups) -> when it was read, and the quota


def usable_cores(proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> int:
    """Return how many cores this process may use, by its affinity and the CPU quotas of its control groups.

    A quota of 2.5 cores counts as 3. The result is at least 1. Only tests set the parameters.
    """
    key = proc, cgroups
    now = time.monotonic()
    read_at, quota = _remembered.get(key, (-math.inf, math.inf))
    if now - read_at >= QUOTA_SECONDS:
        quota = min(_quotas(proc, cgroups), default=math.inf)
        _remembered[key] = now, quota
    return max(1, min(_affinity(), math.ceil(quota))) if quota < math.inf else _affinity()


def _affinity() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13 and later; PYTHON_CPU_COUNT overrides it
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(proc: str, cgroups: str) -> Iterator[float]:
    """Yield the CPU quotas, in cores, of this process's control groups and their parents (cgroup versions 1 and 2)."""
    for line in _read(f"{proc}/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mounts = [cgroups, f"{cgroups}/unified"]
        elif "cpu" in controllers.split(","):
            mounts = [f"{cgroups}/cpu", f"{cgroups}/{controllers}"]
        else:
            continue
        folders = path.strip("/").split("/") if path.strip("/") else []
        for mount in mounts:
            for depth in range(len(folders) + 1):
                yield from _quota("/".join([mount, *folders[:depth]]))


def _quota(folder: str) -> Iterator[float]:
    numbers = _read(f"{folder}/cpu.max").split()
    if not numbers:
        numbers = [*_read(f"{folder}/cpu.cfs_quota_us").split(), *_read(f"{folder}/cpu.cfs_period_us").split()]
    try:
        quota, period = map(int, numbers)
    except ValueError:  # "max", or no such file
        return
    if quota > 0 and period > 0:  # -1: no limit
        yield quota / period


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def team_size(threads: int | None, max_threads: int, n_rows: int, work: int) -> int:
    """Return how many threads share a call: at most one for each core that the process may use.

    Parameters
    ----------
    threads : int or None
        The number that the user asked for. None stands for "auto".
    max_threads : int
        The largest number that the backend takes.
    n_rows, work : int
        The number of rows in the call, and the multiply-adds of its forward pass. "auto" depends on both.
    """
    if threads is None:
        threads = n_rows // THREAD_ROWS if work >= THREADED_WORK else 1
    return min(threads, max_threads, usable_cores()) if threads > 1 else 1


class OneAtATime:
    """A lock for `with` that never waits. If it is taken, the `with` statement raises RuntimeError(words).

    A copy or an unpickled lock starts free, even if the original is taken.
    """

    def __init__(self, words: str) -> None:
        self._words = words
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(self._words)

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[OneAtATime], tuple[str]]:
        return OneAtATime, (self._words,)


def run_team(n_threads: int, call: Callable[[Ints, int], T]) -> T:
    """Run ``call(team, worker)`` in `n_threads` threads and return the result of worker 0, the current thread.

    An error in a worker marks the team as broken, so that the other workers stop waiting. This function then raises the
    error. If a thread cannot be started, the current thread warns and makes the call alone.
    """
    if n_threads == 1:
        return call(c.team(1), 0)
    team = c.team(n_threads)
    all_here = threading.Event()  # workers begin only after all have started, since a kernel waits for every worker
    errors: list[BaseException] = []

    def run(worker: int) -> None:
        all_here.wait()
        try:
            if not team[c.BROKEN]:
                call(team, worker)
        except BaseException as error:
            team[c.BROKEN] = 1
            errors.append(error)

    started: list[threading.Thread] = []
    try:
        try:
            for worker in range(1, n_threads):
                run_here = contextvars.copy_context().run  # keeps use_backend and np.errstate in the thread
                thread = threading.Thread(target=run_here, args=(run, worker), name=f"fastnet-{worker}", daemon=True)
                thread.start()
                started.append(thread)
        except RuntimeError as error:
            team[c.BROKEN] = 1
            alone = str(error)
        else:
            alone = ""
            all_here.set()
            result = call(team, 0)
    except BaseException:
        team[c.BROKEN] = 1
        raise
    finally:
        all_here.set()
        _join(started)
    if alone:
        warnings.warn(f"{n_threads} threads cannot be started here ({alone}): continuing with one", RuntimeWarning, 2)
        return call(c.team(1), 0)
    if errors:
        raise errors[0]
    return result


class _Helper:
    """A thread that makes calls for `share_parts`. After a call it waits IDLE_SECONDS for another one, then it ends.

    Waking a waiting thread takes about 10 us, starting one 90 us. A forked process starts its own helpers.
    """

    idle: ClassVar[list[_Helper]] = []

    def __init__(self, job: Callable[[], object], gate: Any) -> None:
        self._job: Callable[[], object] | None = job
        self._gate = gate
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        _thread.start_new_thread(self._serve, ())  # threading.Thread.start() would wait until the thread runs

    @classmethod
    def call(cls, job: Callable[[], object], gate: Any) -> None:
        """Call `job`, which raises no error, in a helper. Release the lock `gate` when the call has ended."""
        try:
            helper = cls.idle.pop()
        except IndexError:
            cls(job, gate)
        else:
            helper._job, helper._gate = job, gate
            helper._wake.release()

    def _serve(self) -> None:
        while self._job is not None:
            self._job()
            gate, self._job = self._gate, None
            self.idle.append(self)  # before the caller goes on, who may need a helper at once
            gate.release()
            if not self._wake.acquire(timeout=IDLE_SECONDS):
                try:
                    self.idle.remove(self)
                except ValueError:  # a caller has just taken this helper
                    self._wake.acquire()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Helper.idle.clear)


class Left(Protocol[T_co]):
    """The parts that no thread has taken yet. Several threads take parts at once."""

    def __iter__(self) -> Iterator[T_co]:
        """Return an iterator over the parts. Each part goes to one thread."""

    def clear(self) -> None:
        """Forget the parts."""


class _Listed(Generic[T]):
    """The parts of a sequence."""

    def __init__(self, parts: Sequence[T]) -> None:
        self._left = deque(parts)

    def __iter__(self) -> Iterator[T]:
        with suppress(IndexError):
            while True:
                yield self._left.popleft()

    def clear(self) -> None:
        self._left.clear()


def share_parts(n_threads: int, parts: Sequence[T] | Left[T], call: Callable[[T, int], object]) -> None:
    """Make ``call(part, worker)`` for each part. A thread takes the next part when it has finished one.

    The current thread is worker 0 and begins at once, so a short call does not wait until the other threads run. An
    error ends the work of all threads, and is raised. If a thread cannot be started, the current thread warns.
    """
    left: Left[T] = _Listed(parts) if isinstance(parts, Sequence) else parts
    errors, alone = list[BaseException](), ""
    begun, ended = set[int](), set[int]()

    def take(worker: int) -> None:
        for part in left:
            call(part, worker)

    def run(worker: int) -> None:
        begun.add(worker)
        try:
            take(worker)
        except BaseException as error:
            left.clear()
            errors.append(error)
        finally:
            ended.add(worker)

    gates: dict[int, Any] = {}
    try:
        for worker in range(1, n_threads):
            run_here = contextvars.copy_context().run  # keeps use_backend and np.errstate in the thread
            gate = _thread.allocate_lock()
            gate.acquire()
            gates[worker] = gate
            try:
                _Helper.call(partial(run_here, run, worker), gate)
            except RuntimeError as error:
                del gates[worker]
                alone = str(error)
                break
        take(0)
    except BaseException:
        # Ctrl-C may have come before or after the start of the last helper. A helper that has not begun finds no part.
        left.clear()
        gates = {worker: gate for worker, gate in gates.items() if worker in begun}
        raise
    finally:
        # The helpers write to arrays of the caller. Ctrl-C cannot skip this wait: here, it is raised in the `try` only.
        interrupt, waits = None, True
        while waits:
            try:
                left.clear()
                for worker, gate in gates.items():
                    while worker not in ended:
                        gate.acquire()
                waits = False
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt
    if errors:
        raise errors[0]
    if alone:
        warnings.warn(f"{n_threads} threads cannot be started here ({alone})", RuntimeWarning, 2)


def _join(threads: list[threading.Thread]) -> None:
    """Wait for all threads, even on Ctrl-C: until they end, they write to arrays of the caller."""
    interrupt = None
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except KeyboardInterrupt as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt
