"""Ctrl-C during a fit: noted at once, acted on at the next batch boundary.

The signal's own handler runs when the fit has put its books in order; so a KeyboardInterrupt never lands between
two updates. Only Python's main thread receives signals: it hands them on to the fits it runs in others, `Together`.
"""

from __future__ import annotations

import contextvars
import os
import signal
import threading
from collections.abc import Callable
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
        self._together = _together.get()

    def __enter__(self) -> Interrupts:
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(handler):
            self._handler = handler
            self._thread = threading.get_ident()
            _deferring.append(self)
            signal.signal(signal.SIGINT, self.note)
        if self._together is not None:
            self._together.joined_by(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._together is not None:
            self._together.left_by(self)
        if self._handler is not None:
            handler, self._handler = self._handler, None
            _deferring.remove(self)
            signal.signal(signal.SIGINT, handler)
            if self.pending:
                handler(signal.SIGINT, None)
        elif self.pending and kind is None:  # another thread's fit
            raise KeyboardInterrupt

    def note(self, number: int = signal.SIGINT, frame: FrameType | None = None) -> None:
        """Has the fit end at the next batch boundary."""
        self.pending = True
        self.progress[c.STOP] = 1

    def hand_over(self, function: Callable[[], object]) -> None:
        """Runs a user's own code, which Ctrl-C may break off anywhere, as always.

        Not a context manager out of a generator: one that is broken off before it is left is only left when the
        exception's traceback goes, and would then put `note` in the place of a handler that was given back already.
        """
        if self._handler is None:
            function()
            return
        signal.signal(signal.SIGINT, self._handler)
        try:
            function()
        finally:
            signal.signal(signal.SIGINT, self.note)

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


class Together:
    """The fits of several threads, which `stop` ends as Ctrl-C does the main thread's: with a KeyboardInterrupt.

    A thread's fits join where it runs in a context of `context()`.
    """

    def __init__(self) -> None:
        self._stopped = False
        self._fits: list[Interrupts] = []

    def context(self) -> contextvars.Context:
        """A copy of the caller's context in which fits join."""
        context = contextvars.copy_context()
        context.run(_together.set, self)
        return context

    def joined_by(self, fit: Interrupts) -> None:
        self._fits.append(fit)  # before the question, so that a stop in between is not missed
        if self._stopped:
            fit.note()

    def left_by(self, fit: Interrupts) -> None:
        self._fits.remove(fit)

    def stop(self) -> None:
        """Ends the fits that run, and those that are still to begin."""
        self._stopped = True
        for fit in tuple(self._fits):
            fit.note()


_deferring: list[Interrupts] = []  # the main thread's, one in the callback of another, while SIGINT is deferred


def _forked() -> None:
    """In a child that another thread forked there is no fit of the main thread's: SIGINT has its handler again."""
    if _deferring and _deferring[0]._thread != threading.get_ident():
        handler = _deferring[0]._handler
        _deferring.clear()
        signal.signal(signal.SIGINT, handler)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

_together: contextvars.ContextVar[Together | None] = contextvars.ContextVar("fastnet_together", default=None)
