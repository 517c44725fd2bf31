"""The engines of a cluster, for the pool: joblib's Dask and Ray, which get the data once.

joblib's `parallel_config` gives an engine. This module returns one like it that does not lose a result or wait for a
worker that is gone, and says which errors mean a lost worker.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

RAY_SECONDS = 2  # how long cancelled tasks of Ray have to end
DASK_SECONDS = 60  # how long a cluster may have no worker: after a loss, workers start again
LOST = {  # what the engines raise for a lost worker or its lost data, by module and class, since most are not imported
    "concurrent.futures.process.BrokenProcessPool",
    "distributed.scheduler.KilledWorker",
    "distributed.client.FutureCancelledError",
    "distributed.client.FuturesCancelledError",
    "ray.exceptions.NodeDiedError",
    "ray.exceptions.ObjectLostError",
    "ray.exceptions.OutOfMemoryError",
    "ray.exceptions.WorkerCrashedError",
}


@dataclass(frozen=True)
class InRay:
    """The data in Ray's object store. A node copies them once, and its processes map them."""

    reference: Any

    def get(self) -> Any:
        import ray

        return ray.get(self.reference)


class InDask:
    """The data that Dask sends to each worker. Without a name, Dask would pickle the data once more to make one."""

    def __init__(self, data: Any) -> None:
        self._data, self._name = data, secrets.token_hex()

    def __dask_tokenize__(self) -> str:
        return self._name

    def get(self) -> Any:
        return self._data


def prepared(engine: Any, data: Any) -> tuple[Any, Any]:
    """Return an engine of joblib and what the tasks get for the data, so that the data are sent once."""
    kind = type(engine).__name__
    if kind == "DaskDistributedBackend":
        named = InDask(data)
        return _dask(engine, named), named
    if kind == "RayBackend":
        import ray

        return _ray(engine), InRay(ray.put(data))
    return engine, data


def _dask(engine: Any, data: InDask) -> Any:
    """Return joblib's engine for Dask with the data on all workers. A copy on one worker only would die with it."""

    class Dask(type(engine)):  # type: ignore[misc]  # joblib has no types
        def effective_n_jobs(self, n_jobs: int) -> int:
            cores: int = super().effective_n_jobs(n_jobs)
            return 2 if cores == 1 else cores  # with 1, joblib would run the tasks in this process

        def submit(self, function: Any, callback: Any = None) -> Any:
            # joblib does not call back for a worker that is lost for good, and would wait forever.
            future = super().submit(function, callback)
            future.add_done_callback(lambda done: done.exception() is not None and callback(done.exception()))
            return future

    try:
        engine.client.wait_for_workers(1, timeout=DASK_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"the Dask cluster has had no worker for {DASK_SECONDS} seconds: start workers") from None
    return Dask(
        client=engine.client,
        scatter=[data],
        wait_for_workers_timeout=engine.wait_for_workers_timeout,
        **engine.submit_kwargs,
    )


def _ray(engine: Any) -> Any:
    """Return joblib's engine for Ray, with tasks of Ray in place of actors.

    Ray's own engine starts new processes for each call, which takes seconds for each rung of a search. Ray keeps the
    processes of tasks, and runs the task of a process that died again.
    """
    from concurrent.futures import ThreadPoolExecutor

    import ray

    run = ray.remote(**(engine.ray_remote_args or {"num_cpus": 1}))(_result)
    running: set[Any] = set()

    class Ray(type(engine)):  # type: ignore[misc]  # Ray has no types for this class
        supports_return_generator = True

        def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
            self.parallel = parallel
            # Ray's thread that brings a result must not send the next task: a large task would wait for this thread.
            self._sender = ThreadPoolExecutor(1)
            workers: int = self.effective_n_jobs(n_jobs)
            return workers

        def submit(self, function: Any, callback: Any = None) -> Any:
            def done(future: Any) -> None:
                running.discard(reference)
                with suppress(RuntimeError):  # the call has ended
                    self._sender.submit(callback, future)

            reference = run.remote(function)
            running.add(reference)
            future = reference.future()
            future.add_done_callback(done)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            try:
                return out.result()
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None  # the error of the task, without the traceback of its process in its words

        def abort_everything(self, ensure_ready: bool = True) -> None:
            left = list(running)
            for is_forced in (False, True):  # first as by Ctrl-C, so that a fit ends at its next batch
                for reference in left:
                    ray.cancel(reference, force=is_forced)
                if left:
                    left = ray.wait(left, num_returns=len(left), timeout=RAY_SECONDS)[1]

        def terminate(self) -> None:
            self._sender.shutdown(wait=False)

    return Ray(nesting_level=engine.nesting_level)


def _result(function: Callable[[], T]) -> T:
    return function()


def is_loss(error: BaseException) -> bool:
    """Whether an error says that a worker or its data are lost."""
    return any(f"{kind.__module__}.{kind.__qualname__}" in LOST for kind in type(error).__mro__)
