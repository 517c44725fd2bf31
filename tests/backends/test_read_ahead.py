"""ReadAhead: items made in a thread, one ahead of the caller."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from source_cases import readers_running

from fastnet.backends import read_ahead
from fastnet.backends.read_ahead import ReadAhead
from fastnet.backends.threads import share_parts


def counting(n: int, made: list[int], seconds: float = 0.0) -> Callable[[Callable[[], bool]], Iterator[int]]:
    def items(is_wanted: Callable[[], bool]) -> Iterator[int]:
        for k in range(n):
            time.sleep(seconds)
            made.append(k)
            yield k

    return items


def test_the_items_come_in_order_and_at_most_one_is_made_ahead() -> None:
    made: list[int] = []
    with ReadAhead(counting(20, made)) as items:
        for k, item in enumerate(items):
            assert item == k
            time.sleep(0.002)
            assert len(made) <= k + 2
    assert made == list(range(20))
    assert not readers_running()


def test_making_an_item_overlaps_with_the_caller_s_work() -> None:
    with ReadAhead(counting(10, [], seconds=0.03)) as items:
        for _ in items:
            time.sleep(0.05)
    assert 0.01 < items.waited < 0.2  # for the first item, which begins before the caller asks, but not for all ten


def test_a_caller_that_stops_early_leaves_no_thread() -> None:
    made: list[int] = []
    with ReadAhead(counting(1000, made)) as items:
        next(items)
    assert not readers_running()
    assert len(made) <= 2


def test_errors_are_raised_in_the_caller_s_thread() -> None:
    def failing(is_wanted: Callable[[], bool]) -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with ReadAhead(failing) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="the disk is gone"):
            next(items)
    assert not readers_running()


def test_a_wait_ends_when_the_caller_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "CLOSE_SECONDS", 0.05)
    asked: list[bool] = []

    def hanging(is_wanted: Callable[[], bool]) -> Iterator[int]:
        while is_wanted():
            time.sleep(0.01)
        asked.append(True)
        yield 0

    began = time.monotonic()
    with ReadAhead(hanging, lambda: time.monotonic() - began > 0.1) as items:
        assert list(items) == []
    assert time.monotonic() - began < 2
    for _ in range(500):
        time.sleep(0.01 if readers_running() else 0)
    assert asked
    assert not readers_running()


def test_threads_share_the_items_and_an_error_ends_all_of_them() -> None:
    made, taken = list[int](), list[int]()
    with ReadAhead(counting(200, made)) as items:
        share_parts(3, items, lambda item, worker: taken.append(item))
    assert sorted(taken) == made == list(range(200))

    def failing(item: int, worker: int) -> None:
        if item == 5:
            raise OSError("the disk is full")

    with (
        ReadAhead(counting(10_000, [], seconds=0.001)) as items,
        pytest.raises(OSError, match="the disk is full"),
    ):
        share_parts(3, items, failing)

    assert not readers_running()


@pytest.mark.parametrize("kind", [OSError, IndexError, StopIteration])
@pytest.mark.parametrize("has_thread", [True, False])
def test_no_error_of_a_generator_is_taken_for_its_end(
    kind: type[Exception], has_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(is_wanted: Callable[[], bool]) -> Iterator[int]:
        yield 1
        raise kind("no such row")

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    if not has_thread:
        monkeypatch.setattr(threading.Thread, "start", refuse)
    for n_threads in (1, 3):
        # Python makes a StopIteration of a generator a RuntimeError.
        with ReadAhead(failing) as items, pytest.raises(RuntimeError if kind is StopIteration else kind):
            share_parts(n_threads, items, lambda item, worker: None)
    assert not readers_running()


def test_a_helper_that_begins_after_an_error_finds_no_item(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for _ in ("with a thread", "without"):
        with ReadAhead(counting(9, [])) as items:
            assert next(items) == 0
            items.clear()
            assert list(items) == []
        monkeypatch.setattr(threading.Thread, "start", refuse)
