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


class ThreadCommunicator:
    """What `in_threads` gives each of its threads: the part of a communicator of mpi4py that a training uses.

    Attributes
    ----------
    rank : int
        The number of the thread, from 0.
    size : int
        The number of threads.
    """

    def __init__(self, rank: int, barrier: threading.Barrier, shelf: list[Any]) -> None:
        self.rank = rank
        self.size = len(shelf)
        self._barrier = barrier
        self._shelf = shelf  # a place for each thread

    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None:
        """Write the sum of the arrays of all threads into each thread's `recvbuf`. All get the same bits."""
        total = np.zeros_like(recvbuf)
        self._shelf[self.rank] = sendbuf
        self._barrier.wait()
        for part in self._shelf:
            total += part
        self._barrier.wait()  # only now may a thread change its array
        recvbuf[...] = total

    def allgather(self, sendobj: Any) -> list[Any]:
        """Return the objects of all threads, in the order of the threads."""
        self._shelf[self.rank] = sendobj
        self._barrier.wait()
        found = list(self._shelf)
        self._barrier.wait()
        return found

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
    barrier, shelf, together = threading.Barrier(n), [None] * n, Together()
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = function(ThreadCommunicator(rank, barrier, shelf))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

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
    if errors:  # a broken barrier only says that another thread has failed
        raise next((error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0])
    return [results[rank] for rank in range(n)]
