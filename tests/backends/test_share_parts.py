"""Threads that share the parts of a call: each part is computed once, and helpers wait for the next call."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Any

import numpy as np
import pytest

from fastnet.backends import threads
from fastnet.backends.threads import share_parts


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_each_part_is_computed_once_and_a_helper_serves_the_next_call(n_threads: int) -> None:
    helpers = set()
    for _ in range(3):
        barrier, seen = threading.Barrier(n_threads), []

        def call(part: int, worker: int, barrier: threading.Barrier = barrier, seen: list[int] = seen) -> None:
            if part < n_threads:
                barrier.wait(20)  # raises unless all threads run at once
            seen.append(part)
            if worker:
                helpers.add(threading.get_ident())
            assert (worker == 0) == (threading.current_thread() is threading.main_thread())

        share_parts(n_threads, range(9), call)
        assert sorted(seen) == list(range(9))
    assert len(helpers) == n_threads - 1


def test_helpers_end_and_are_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.01)
    for _ in range(2):
        barrier = threading.Barrier(2)
        share_parts(2, range(2), lambda part, worker, barrier=barrier: barrier.wait(20))
        deadline = time.monotonic() + 20
        while threads._Helper.idle:
            assert time.monotonic() < deadline
            time.sleep(1e-3)


FORK = """
import os, threading
from fastnet.backends import threads

def shared():
    barrier = threading.Barrier(2)
    threads.share_parts(2, range(2), lambda part, worker: barrier.wait(20))

threads.IDLE_SECONDS = 60
shared()
while not threads._Helper.idle:
    pass
child = os.fork()
shared()
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_starts_its_own_helpers() -> None:
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK], check=True, timeout=60)


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_a_part_waits_for_the_other_threads_and_is_raised(failing: int) -> None:
    barrier, ended = threading.Barrier(2), []

    def call(part: int, worker: int) -> None:
        barrier.wait(20)
        if worker == failing:
            raise KeyboardInterrupt
        time.sleep(0.2)
        ended.append(part)

    with pytest.raises(KeyboardInterrupt):
        share_parts(2, range(50), call)
    assert len(ended) == 1


@pytest.mark.parametrize("is_started", [True, False])
def test_ctrl_c_while_a_helper_is_started_waits_for_what_runs(
    is_started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, begun, ended = _thread.start_new_thread, threading.Event(), []

    def interrupted(*arguments: Any) -> None:
        if is_started:
            start(*arguments)
            assert begun.wait(20)
        raise KeyboardInterrupt

    def call(part: int, worker: int) -> None:
        begun.set()
        time.sleep(0.2)
        ended.append(part)

    monkeypatch.setattr(threads._Helper, "idle", [])
    monkeypatch.setattr(threads._thread, "start_new_thread", interrupted)
    with pytest.raises(KeyboardInterrupt):
        share_parts(2, range(50), call)
    assert len(ended) == is_started


def test_ctrl_c_at_the_end_waits_for_the_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    class Parts(deque[int]):
        is_new = True

        def clear(self) -> None:
            super().clear()
            if self.is_new:
                self.is_new = False
                raise KeyboardInterrupt

    barrier, ended = threading.Barrier(2), []

    def call(part: int, worker: int) -> None:
        barrier.wait(20)
        time.sleep(0.2 * worker)
        ended.append(worker)

    monkeypatch.setattr(threads, "deque", Parts)
    with pytest.raises(KeyboardInterrupt):
        share_parts(2, range(2), call)
    assert ended == [0, 1]


def test_parts_have_the_caller_s_context_and_need_no_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    barrier, seen = threading.Barrier(2), []

    def call(part: int, worker: int) -> None:
        barrier.wait(20)
        seen.append(np.geterr()["divide"])

    with np.errstate(divide="raise"):
        share_parts(2, range(2), call)
    assert seen == ["raise"] * 2

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads._Helper, "idle", [])
    monkeypatch.setattr(threads._thread, "start_new_thread", refuse)
    with pytest.warns(RuntimeWarning, match="3 threads cannot be started here"):
        share_parts(3, range(4), lambda part, worker: seen.append(part))
    assert seen[2:] == list(range(4))
