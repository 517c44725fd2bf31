"""The processes of a training as threads of this process: for tests, for experiments, and where MPI is missing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

import numpy as np

from fastnet import checks
from fastnet.backends.interrupts import POLL_SECONDS, Together

T = TypeVar("T")
MAX_THREADS = 1024


class _Meetings:
    """A barrier for n threads.

    With `threading.Barrier` all waiting threads wake up one after the other, since each must take the barrier's lock
    again. An Allreduce of four threads on two busy cores then takes 2 ms, and 0.1 ms here.
    """

    def __init__(self, n: int) -> None:
        self._lock = threading.Lock()
        self._gates = [threading.Semaphore(0) for _ in range(n)]
        self._waiting: list[int] = []
        self._missed = [False] * n  # whether the last meeting of each thread did not take place
        self._has_left = False

    def wait(self, rank: int) -> None:
        """Wait until all threads have come. Raise BrokenBarrierError if one has ended, and so never comes."""
        with self._lock:
            self._check()
            is_last = len(self._waiting) == len(self._gates) - 1
            if is_last:
                self._open()
            else:
                self._waiting.append(rank)
                self._missed[rank] = False
        if not is_last:
            self._gates[rank].acquire()
            if self._missed[rank]:
                self._check()

    def leave(self) -> None:
        """Say that a thread has ended. The others must not wait for it."""
        with self._lock:
            self._has_left = True
            for rank in self._waiting:
                self._missed[rank] = True
            self._open()

    def _open(self) -> None:
        for rank in self._waiting:
            self._gates[rank].release()
        self._waiting.clear()

    def _check(self) -> None:
        if self._has_left:
            raise threading.BrokenBarrierError(
                "a thread waits for another one that has ended: all of them must make the same exchanges"
            )


class ThreadCommunicator:
    """What `in_threads` gives each of its threads: the part of a communicator of mpi4py that a training uses.

    Attributes
    ----------
    rank : int
        The number of the thread, from 0.
    size : int
        The number of threads.
    """

    def __init__(self, rank: int, size: int, meetings: _Meetings, shelves: tuple[list[Any], list[Any]]) -> None:
        self.rank, self.size = rank, size
        self._meetings = meetings
        # Exchanges use the two shelves in turn. Nobody puts a thing on a shelf before all have come to the exchange
        # after the shelf's last use, so all have taken their things from it. One meeting an exchange is enough.
        self._shelf, self._next_shelf = shelves

    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None:
        """Write the sum of the arrays of all threads into each thread's `recvbuf`. All get the same bits."""
        first, *others = self.allgather(np.array(sendbuf))  # a copy, which other threads read after this call
        np.copyto(recvbuf, first)
        for part in others:
            recvbuf += part

    def allgather(self, sendobj: Any) -> list[Any]:
        """Return the objects of all threads, in the order of the threads."""
        shelf = self._shelf
        self._shelf, self._next_shelf = self._next_shelf, shelf
        shelf[self.rank] = sendobj
        self._meetings.wait(self.rank)
        return list(shelf)

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """Return the object of the thread `root`."""
        return self.allgather(obj)[root]


def in_threads(function: Callable[[ThreadCommunicator], T], n: int) -> list[T]:
    """Call `function(communicator)` in n threads and return the results in the order of the threads.

    Each thread stands for a process of `mpiexec -n`, with the same results. The kernels release the GIL, so the threads
    also use several cores. Ctrl-C ends their trainings at the next update.

    Parameters
    ----------
    function : callable
        A function of a communicator, which it gives to its own `Trainer`.
    n : int
        The number of threads.

    Returns
    -------
    list
        The result of each thread.

    Raises
    ------
    ValueError, TypeError
        The number of threads is out of range.
    Exception
        The first error of a thread. The other threads end at their next exchange.
    threading.BrokenBarrierError
        A thread waits for another one that has returned.

    Examples
    --------
    >>> import fastnet
    >>> x, y = np.random.default_rng(0).random((64, 3)), np.arange(64) % 2
    >>> def train(communicator):
    ...     network = fastnet.Network([3, 4, 2], seed=0)
    ...     trainer = fastnet.Trainer(network, communicator=communicator, averaging=4, seed=0)
    ...     trainer.fit(x[communicator.rank :: 2], y[communicator.rank :: 2], epochs=2)
    ...     return network.parameters
    >>> first, second = in_threads(train, 2)
    >>> np.array_equal(first, second)
    True
    """
    n = checks.whole_number("n", n, 1, MAX_THREADS)
    meetings, shelves, together = _Meetings(n), ([None] * n, [None] * n), Together()
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = function(ThreadCommunicator(rank, n, meetings, shelves))
        except BaseException as error:
            errors.append(error)
        finally:
            meetings.leave()

    def start(rank: int, context: Context) -> threading.Thread:
        thread = threading.Thread(target=context.run, args=(run, rank), name=f"fastnet process {rank}", daemon=True)
        thread.start()
        return thread

    threads = [start(rank, together.context()) for rank in range(n)]
    interrupt: KeyboardInterrupt | None = None
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join(POLL_SECONDS)
            except KeyboardInterrupt as pressed:  # the fits end at their next update
                interrupt = pressed
                together.stop()
    if interrupt is not None:
        raise interrupt
    if errors:  # BrokenBarrierError follows from another thread's error
        raise next((error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0])
    return [results[rank] for rank in range(n)]
