"""ReadAhead: an iterator whose next item is made in a thread while the caller works with the last one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from fastnet.backends.interrupts import POLL_SECONDS

T = TypeVar("T")
CLOSE_SECONDS = 5.0  # a reader that hangs longer is left behind in its daemon thread


class ReadAhead(Generic[T]):
    """Iterate over the items of a generator function, made in a thread of its own.

    At any time there are at most two items: the one that the caller got last, and the next one. A generator may thus
    use two buffers in turn. Several threads may take items; then each of them has its last one. Use the object in a
    `with` block, which ends the thread.

    Parameters
    ----------
    items : function
        Called as items(is_wanted), where is_wanted() says whether the caller still wants items. It returns an iterator.
        Its errors are raised in the caller's thread.
    is_over : function
        Whether to end the iteration early: asked while the caller waits, so that Ctrl-C need not wait for a disk.

    Attributes
    ----------
    waited : float
        The seconds that the caller waited for items.
    """

    def __init__(
        self, items: Callable[[Callable[[], bool]], Iterator[T]], is_over: Callable[[], bool] = lambda: False
    ) -> None:
        self._items = items(self._is_wanted)
        self._is_over = is_over
        self._closed = False
        self._may_make = threading.Semaphore()  # one item at first; another one as the caller takes an item
        self._is_made = threading.Semaphore(0)
        self._lock = threading.Lock()  # for threads that make their items themselves
        self._made: tuple[T | None, BaseException | None] = None, None  # the last item, or the error that came instead
        self.waited = 0.0
        self._thread = threading.Thread(target=self._run, name="fastnet reader", daemon=True)
        self._has_thread = True
        try:
            self._thread.start()
        except RuntimeError:  # no thread can be started: the items are made when they are asked for
            self._has_thread = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        if self._has_thread:
            self._thread.join(CLOSE_SECONDS)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        began = time.perf_counter()
        item, error = self._next()
        self.waited += time.perf_counter() - began
        if error is not None:
            self._is_made.release()  # other threads get the error, or the end, too
            raise error
        assert item is not None
        self._may_make.release()
        return item

    def clear(self) -> None:
        """End the iteration in all threads."""
        self._closed = True
        self._may_make.release()

    def _next(self) -> tuple[T | None, BaseException | None]:
        if not self._has_thread:
            with self._lock:
                return (None, StopIteration()) if self._closed else self._make()
        while not (self._closed or self._is_over()):
            is_gone = not self._thread.is_alive()
            if self._is_made.acquire(timeout=0 if is_gone else POLL_SECONDS):
                return self._made
            if is_gone:
                raise RuntimeError(
                    "the thread that reads the data has ended, as in a process that was forked during a fit: call fit "
                    "in one process only"
                )
        return None, StopIteration()

    def _run(self) -> None:
        made: tuple[T | None, BaseException | None] = None, None
        while made[1] is None:
            self._may_make.acquire()
            if self._closed:
                return
            self._made = made = self._make()
            self._is_made.release()

    def _make(self) -> tuple[T | None, BaseException | None]:
        try:
            return next(self._items), None
        except BaseException as error:  # raised in the caller's thread
            return None, error

    def _is_wanted(self) -> bool:
        return not self._closed
