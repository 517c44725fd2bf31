"""Ctrl-C during a fit: noted at once, acted on at the next batch boundary.

The signal's own handler runs when the fit has put its books in order; so a KeyboardInterrupt never lands between
two updates. Only Python's main thread receives signals; elsewhere nothing is deferred.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

import numpy as np

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Ints

T = TypeVar("T")
POLL_SECONDS = 0.05


class Interrupts:
    """`with Interrupts() as interrupts:` defers SIGINT; on leaving, a pending one is given to its handler."""

    def __init__(self) -> None:
        self.progress: Ints = np.zeros(c.PROGRESS_COLUMNS, np.int64)  # the kernels read its STOP
        self.pending = False
        self._handler: Callable[[int, FrameType | None], Any] | None = None

    def __enter__(self) -> Interrupts:
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(handler):
            self._handler = handler
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._handler is not None:
            handler, self._handler = self._handler, None
            signal.signal(signal.SIGINT, handler)
            if self.pending:
                handler(signal.SIGINT, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pending = True
        self.progress[c.STOP] = 1

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Runs a user's own code, which Ctrl-C may break off anywhere, as always."""
        if self._handler is None:
            yield
            return
        signal.signal(signal.SIGINT, self._handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, self._note)

    def call(self, function: Callable[[], T], abandon: bool = False) -> T | None:
        """Runs a long function in a thread, so that a signal is noted while it runs.

        Waits for its end all the same, unless `abandon`: then returns None as soon as an interrupt is pending.
        """
        if self._handler is None:
            return function()
        done, results, errors = threading.Event(), list[T](), list[BaseException]()

        def run() -> None:
            try:
                results.append(function())
            except BaseException as error:
                errors.append(error)
            finally:
                done.set()

        try:
            threading.Thread(target=run, name="fastnet", daemon=True).start()
        except RuntimeError:  # no thread is to be had: then here
            return function()
        while not done.wait(POLL_SECONDS):
            if abandon and self.pending:
                return None
        if errors:
            raise errors[0]
        return results[0]
