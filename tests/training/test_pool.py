"""The pool: trainings in threads and processes give the results of a loop; errors and Ctrl-C end all of them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import name_of

import fastnet
from fastnet import backends
from fastnet.backends.interrupts import Together
from fastnet.backends.threads import usable_cores
from fastnet.errors import BackendError, MissingLibraryError
from fastnet.training import pool
from fastnet.training.pool import in_parallel, run_in_pool
from fastnet.training.recipe import CHAPTER

X = np.linspace(0, 1, 40).reshape(10, 4)
Y = np.arange(10) % 2


def test_parallel_results_keep_their_order_and_the_backend_of_the_caller() -> None:
    with fastnet.use_backend("numpy"):
        found = in_parallel([lambda k=k: (k, backends.resolve().name) for k in range(9)], "numba")
    assert found == [(k, "numpy") for k in range(9)]


def test_a_backend_of_one_thread_gets_one_training_at_a_time(backend: Any) -> None:
    together, most = set(), []

    def job() -> None:
        together.add(threading.get_ident())
        most.append(len(together))
        time.sleep(0.02)
        together.discard(threading.get_ident())

    in_parallel([job] * 8, name_of(backend))
    assert max(most) == (min(usable_cores(), 8) if backend.MAX_THREADS > 1 else 1)


def test_parallel_trainings_equal_sequential_ones() -> None:
    def final(seed: int) -> np.ndarray:
        trainer = CHAPTER.start(4, 2, seed, backend="numpy")
        trainer.fit(X, Y, epochs=3)
        return trainer.network.parameters

    for together, alone in zip(
        in_parallel([lambda s=s: final(s) for s in range(6)]), map(final, range(6)), strict=True
    ):
        np.testing.assert_array_equal(together, alone)


def test_the_first_error_is_raised_and_ends_the_queue() -> None:
    begun = []

    def job(k: int) -> None:
        begun.append(k)
        if k == 1:
            raise BackendError("gone")
        time.sleep(0.001)  # on a busy machine, the calling thread needs time to see the error

    with pytest.raises(BackendError, match="gone"):
        in_parallel([lambda k=k: job(k) for k in range(5000)])
    assert len(begun) < 5000


@pytest.mark.skipif(os.name != "posix", reason="os.kill sends no SIGINT on Windows")
@pytest.mark.filterwarnings("ignore:the network does not learn:UserWarning")  # the labels alternate
@pytest.mark.parametrize("jobs", [1, 50])
def test_ctrl_c_ends_running_trainings(jobs: int) -> None:
    ended = []

    def job() -> None:
        trainer = CHAPTER.start(4, 2, 0, backend="numpy")
        try:
            trainer.fit(X, Y, epochs=10**6)
        except KeyboardInterrupt:
            ended.append(trainer.steps)
            raise

    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        in_parallel([job] * jobs)
    assert time.perf_counter() - began < 5  # the whole training would take an hour
    assert 1 <= len(ended) <= min(jobs, usable_cores())
    assert min(ended) > 0


def test_a_fit_that_begins_after_the_stop_ends_at_once() -> None:
    together = Together()
    together.stop()
    trainer = CHAPTER.start(4, 2, 0, backend="numpy")
    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        executor.submit(together.context().run, partial(trainer.fit, X, Y, epochs=3)).result()
    assert trainer.steps == 0
    trainer.fit(X, Y, epochs=1)  # the stop has no effect outside the context
    assert trainer.steps == 1


def test_the_stop_does_not_hide_the_error_of_a_fit() -> None:
    together = Together()
    trainer = CHAPTER.start(4, 2, 0, backend="numpy")

    def stop_and_fail(trainer: fastnet.Trainer, epoch: fastnet.Epoch) -> None:
        together.stop()
        raise RuntimeError("mine")

    fit = partial(trainer.fit, X, Y, epochs=3, callbacks=[stop_and_fail])
    with ThreadPoolExecutor(1) as executor, pytest.raises(RuntimeError, match="mine"):
        executor.submit(together.context().run, fit).result()


def test_numpy_runs_in_processes_with_the_backend_of_the_caller() -> None:
    pytest.importorskip("joblib", reason="the extra search is not installed")

    def described(data: np.ndarray, task: int) -> tuple[bool, str, str]:
        return os.getpid() == task, backends.resolve().name, type(data).__name__

    large = np.zeros(200_000)  # joblib maps arrays of a megabyte and more
    with fastnet.use_backend("numpy"):
        found = dict(run_in_pool(described, [os.getpid()] * 4, large, n_jobs=2))
    assert found == dict.fromkeys(range(4), (False, "numpy", "memmap"))


def test_a_pool_of_one_is_a_loop_in_this_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def described(data: list[int], task: int) -> tuple[int, int]:
        data.append(task)
        return threading.get_ident(), task

    order: list[int] = []
    expected = [(k, (threading.get_ident(), k)) for k in range(4)]
    assert list(run_in_pool(described, range(4), order)) == expected
    monkeypatch.setitem(sys.modules, "joblib", None)  # as if it were not installed
    monkeypatch.setattr(pool, "find_spec", lambda name: None)
    assert in_parallel([threading.get_ident] * 3) == [threading.get_ident()] * 3
    with pytest.raises(MissingLibraryError, match=r"need joblib .*fastnet-mlp\[search\]"):
        run_in_pool(described, range(4), order, n_jobs=2)


@pytest.mark.parametrize("n_jobs", [0, 1.5, "two"])
def test_an_invalid_number_of_jobs_is_refused_at_once(n_jobs: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="n_jobs must be"):
        run_in_pool(divmod, [1], 3, n_jobs=n_jobs)


@pytest.mark.filterwarnings("ignore:the network does not learn:UserWarning")  # the labels alternate
def test_leaving_the_results_early_ends_the_running_trainings() -> None:
    pytest.importorskip("joblib", reason="the extra search is not installed")
    steps = []

    def train(data: None, epochs: int) -> None:
        trainer = CHAPTER.start(4, 2, 0, backend="numpy")
        try:
            trainer.fit(X, Y, epochs=epochs)
        finally:
            steps.append(trainer.steps)

    with closing(run_in_pool(train, [1, 10**6, 10**6, 10**6], None, n_jobs=2)) as results:
        assert next(results) == (0, None)
    assert len(steps) <= 3
    assert max(steps) < 10**6
