"""Pool: independent trainings on the cores of this machine or on a cluster, with joblib.

joblib knows the engines: threads, processes, Dask and Ray. The user chooses one with `joblib.parallel_config`. This
module adds what trainings need: they share one copy of the data, the results come as they finish, a lost worker's tasks
run again, and Ctrl-C ends the running trainings at their next batch.
"""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

from fastnet.backends import use_backend
from fastnet.backends.engine import choose
from fastnet.backends.interrupts import Together
from fastnet.backends.threads import usable_cores
from fastnet.checks import given, whole_number
from fastnet.errors import require_extra
from fastnet.training.pool_engines import InDask, InRay, is_loss, prepared

T = TypeVar("T")
Task = TypeVar("Task")
Data = TypeVar("Data")

LOSSES = 3  # this many lost workers in a row, with no task finished in between, end the run


@dataclass(frozen=True)
class _Call(Generic[Data, Task, T]):
    """A task and its number."""

    function: Callable[[Data, Task], T]
    index: int
    task: Task

    def __call__(self, data: Data) -> tuple[int, T]:
        return self.index, self.function(data, self.task)


class _RemoteCall(Generic[Data, T]):
    """A call in another process, with the backend that is in use here.

    It is pickled here and now: joblib would wait forever for a task that Dask cannot pickle.
    """

    def __init__(self, call: _Call[Data, Any, T], backend: str) -> None:
        from joblib.externals.loky.backend.reduction import dumps  # takes functions that pickle does not take

        self._index, self._backend = call.index, backend
        self._pickled: bytes = dumps(call)

    def __repr__(self) -> str:  # Dask's page of running tasks shows it
        return f"training {self._index}"

    def __call__(self, data: Data | InRay | InDask) -> tuple[int, T]:
        call: _Call[Data, Any, T] = pickle.loads(self._pickled)
        with use_backend(self._backend):
            return call(data.get() if isinstance(data, (InRay, InDask)) else data)


def run_in_pool(
    function: Callable[[Data, Task], T],
    tasks: Iterable[Task],
    data: Data,
    *,
    n_jobs: int | None = None,
    backend: str | None = None,
) -> Generator[tuple[int, T]]:
    """Run ``function(data, task)`` for each task, and yield the results as they finish.

    Close the iterator when you leave it early, with ``contextlib.closing``: then no training goes on. Only workers of
    Dask finish those that they have begun.

    Parameters
    ----------
    function : callable
        A function of a module, so that it can be pickled. It does not change `data`.
    tasks : iterable
        What differs from call to call.
    data : object
        What all calls share. Threads get the object itself. Processes of this machine get its large arrays as memory
        maps. Each node of Ray and each worker of Dask gets it once.
    n_jobs : int, optional
        The number of tasks that run at the same time. -1: one for each core. None: that of `joblib.parallel_config`,
        else 1. A Dask cluster uses all of its cores.
    backend : str, optional
        The backend of the trainings. None: the backend in use. Without `joblib.parallel_config`, compiled kernels run
        in threads, since they release the GIL, and NumPy in processes.

    Returns
    -------
    generator
        For each task its number, counted from 0, and its result.

    Raises
    ------
    MissingLibraryError
        `n_jobs` asks for more than one task at a time, and joblib is missing.
    ValueError, TypeError
        `n_jobs` is invalid.
    RuntimeError
        Workers were lost again and again.
    BaseException
        A task raised an error. The running tasks end as after `close`, and no other task starts.
    """
    if n_jobs is not None and whole_number("n_jobs", n_jobs, -sys.maxsize) == 0:
        raise ValueError(f"n_jobs must be a number of workers, or -1 for one worker a core, not {given(n_jobs)}")
    calls = [_Call(function, index, task) for index, task in enumerate(tasks)]
    if n_jobs in (None, 1) and sys.modules.get("joblib") is None:  # so nobody has called joblib.parallel_config
        return _one_by_one(calls, data)
    require_extra("joblib", "several trainings at the same time need joblib", "search")
    from joblib.parallel import get_active_backend

    prefer = "threads" if choose(backend).takes_threads else "processes"
    engine = get_active_backend(prefer=prefer)[0]
    workers = get_active_backend()[1] if n_jobs is None else n_jobs
    if type(engine).__module__.startswith("joblib._parallel_backends"):  # an engine of this machine
        workers = min(_cores(workers), len(calls))
        if workers <= 1:
            return _one_by_one(calls, data)
        if getattr(engine, "supports_sharedmem", False):
            return _in_threads(calls, data, workers)
    return _in_processes(calls, data, engine, workers)


def in_parallel(jobs: Iterable[Callable[[], T]], backend: str | None = None) -> list[T]:
    """Run independent trainings in threads, one for each core, and return their results in order.

    Compiled kernels run without the GIL, so threads run in parallel. A backend that takes one thread runs one job at a
    time. NumPy's calls are short: with several threads, the contention for the GIL makes them five times slower.
    Without joblib the jobs run one after the other.

    Parameters
    ----------
    jobs : iterable of callable
        Functions without arguments. Each trains a network.
    backend : str or None
        The backend that the jobs use. None: the backend in use.

    Returns
    -------
    list
        The result of each job.

    Raises
    ------
    BaseException
        A job raised an error. If several jobs did, the first such job in the list gives the error. After an error
        or Ctrl-C, the running trainings end at their next batch, and no other training starts.
    """
    calls = [_Call(_without_data, index, job) for index, job in enumerate(jobs)]
    workers = min(usable_cores(), len(calls)) if choose(backend).takes_threads and find_spec("joblib") else 1
    results = _in_threads(calls, None, workers) if workers > 1 else _one_by_one(calls, None)
    with closing(results):
        found = dict(results)
    return [found[index] for index in range(len(calls))]


def _without_data(_: None, job: Callable[[], T]) -> T:
    return job()


def _cores(n_jobs: int | None) -> int:
    """Return the number of workers on this machine, as joblib counts: -1 is one worker a core, -2 one fewer."""
    n_jobs = 1 if n_jobs is None else n_jobs
    return n_jobs if n_jobs > 0 else max(usable_cores() + 1 + n_jobs, 1)


def _one_by_one(calls: Sequence[_Call[Data, Task, T]], data: Data) -> Generator[tuple[int, T]]:
    for call in calls:
        yield call(data)


class _Threads(Generic[Data]):
    """The tasks that run in threads of this process. The first error stops all of them."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._together = Together()
        self._context = self._together.context()  # has the caller's `use_backend` and np.errstate
        self._changed = threading.Condition()
        self._running = 0
        self._stopped = threading.Event()
        self.errors: list[tuple[int, BaseException]] = []

    def run(self, call: _Call[Data, Any, T]) -> tuple[int, T] | None:
        """Run a task and return its result, or None if it raised an error or came after the stop."""
        with self._changed:
            if self._stopped.is_set():
                return None
            self._running += 1
        try:
            return self._context.copy().run(call, self._data)
        except BaseException as error:
            if not (self._stopped.is_set() and isinstance(error, KeyboardInterrupt)):  # otherwise it is the stop itself
                self.errors.append((call.index, error))
            self.stop()
            return None
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def waiting(self, calls: Iterable[_Call[Data, Any, T]]) -> Iterator[_Call[Data, Any, T]]:
        """Yield the calls, up to the stop."""
        for call in calls:
            if self._stopped.is_set():
                return
            yield call

    def stop(self) -> None:
        """End the running tasks at their next batch. No other task starts."""
        self._stopped.set()
        self._together.stop()

    def wait(self) -> None:
        """Wait until no task runs."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0)


def _in_threads(calls: Sequence[_Call[Data, Task, T]], data: Data, workers: int) -> Generator[tuple[int, T]]:
    import joblib

    threads = _Threads(data)
    run = joblib.delayed(threads.run)
    results = joblib.Parallel(n_jobs=workers, backend="threading", return_as="generator_unordered", batch_size=1)(
        run(call) for call in threads.waiting(calls)
    )
    try:
        with _aborting(results):
            for result in results:
                if result is not None:
                    yield result
    finally:
        threads.stop()
        threads.wait()
    if threads.errors:
        raise min(threads.errors, key=lambda failure: failure[0])[1]


def _in_processes(
    calls: Sequence[_Call[Data, Task, T]], data: Data, engine: Any, workers: int | None
) -> Generator[tuple[int, T]]:
    import joblib

    backend = choose().name
    left = {call.index: call for call in calls}
    losses = 0
    while left:
        running, shared = prepared(engine, data)
        ahead = "n_jobs" if isinstance(shared, InRay) else "2 * n_jobs"  # Ray runs all that it has
        results = joblib.Parallel(
            n_jobs=workers, backend=running, return_as="generator_unordered", batch_size=1, pre_dispatch=ahead
        )(joblib.delayed(_RemoteCall(call, backend))(shared) for call in list(left.values()))
        try:
            with _aborting(results):
                for index, result in results:
                    losses = 0
                    del left[index]
                    yield index, result
        except Exception as error:
            if not is_loss(error):
                raise
            losses += 1
            if losses == LOSSES:
                raise RuntimeError(
                    f"{LOSSES} workers were lost one after the other, and {len(left)} of {len(calls)} tasks are not "
                    f"done ({error}). A worker may have run out of memory: use fewer workers, n_jobs=1 for example"
                ) from error


class _Abandoned(BaseException):
    """Ends the generator of joblib."""


@contextmanager
def _aborting(results: Generator[Any]) -> Iterator[None]:
    """End joblib's generator at the end of the block, and the tasks that it runs. Its `close()` would warn."""
    try:
        yield
    finally:
        with suppress(_Abandoned):
            results.throw(_Abandoned())
