"""Defers Ctrl-C during a fit to the next batch boundary, where the network and the trainer are consistent.

Only Python's main thread receives signals. `Together` stops the fits of other threads.
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

try:  # the C functions take 0.1 us, those of `signal` 4 us, since they make enums
    from _signal import getsignal  # type: ignore[import-not-found]  # no stubs
    from _signal import signal as set_signal
except ImportError:  # not CPython
    from signal import getsignal
    from signal import signal as set_signal

T = TypeVar("T")
SIGINT = int(signal.SIGINT)
POLL_SECONDS = 0.05


class Interrupts:
    """A context in which SIGINT is deferred. If a SIGINT is pending on exit, the previous handler is called."""

    def __init__(self) -> None:
        self.progress: Ints = np.zeros(c.PROGRESS_COLUMNS, np.int64)  # kernels poll its STOP
        self.pending = False
        self._handler: Callable[[int, FrameType | None], Any] | None = None
        self._together = _together.get()

    def __enter__(self) -> Interrupts:
        handler = getsignal(SIGINT)
        self._thread = threading.get_ident()
        if self._thread == threading.main_thread().ident and callable(handler):
            self._handler = handler
            _deferring.append(self)
            set_signal(SIGINT, self.note)
        if self._together is not None:
            self._together.joined_by(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._together is not None:
            self._together.left_by(self)
        if self._handler is not None:
            handler, self._handler = self._handler, None
            _deferring.remove(self)
            set_signal(SIGINT, handler)
            if self.pending:
                handler(signal.SIGINT, None)
        elif self.pending and kind is None:  # a fit that `Together` stopped
            raise KeyboardInterrupt

    def note(self, number: int = SIGINT, frame: FrameType | None = None) -> None:
        """Make the fit end at the next batch boundary."""
        self.pending = True
        self.progress[c.STOP] = 1

    def hand_over(self, function: Callable[[], object]) -> None:
        """Run the user's code under the user's handler, so that Ctrl-C interrupts this code anywhere.

        This method takes a function, because a context manager made from a generator is not safe. A KeyboardInterrupt
        could leave the generator suspended until the traceback is freed. The generator's cleanup would then install
        `note` after the fit's end.
        """
        if self._handler is None:
            function()
            return
        set_signal(SIGINT, self._handler)
        try:
            function()
        finally:
            set_signal(SIGINT, self.note)

    def call(self, function: Callable[[], T], abandon: bool = False) -> T | None:
        """Run a long function in a new thread and wait for it. The waiting thread can receive signals.

        With `abandon`, an interrupt ends the wait, and the result is None.
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
        except RuntimeError:  # no thread can be started
            return function()
        while not done.wait(POLL_SECONDS):
            if abandon and self.pending:
                return None
        if errors:
            raise errors[0]
        return results[0]


class Together:
    """A group of fits in several threads that stop together. Each fit ends with a KeyboardInterrupt, as on Ctrl-C.

    A fit joins the group if it runs in a context from `context()`.
    """

    def __init__(self) -> None:
        self._stopped = False
        self._fits: list[Interrupts] = []

    def context(self) -> contextvars.Context:
        """Return a copy of the current context. Fits that run in the copy join this group."""
        context = contextvars.copy_context()
        context.run(_together.set, self)
        return context

    def joined_by(self, fit: Interrupts) -> None:
        self._fits.append(fit)  # before the check, so that the fit does not miss a stop
        if self._stopped:
            fit.note()

    def left_by(self, fit: Interrupts) -> None:
        self._fits.remove(fit)

    def stop(self) -> None:
        """End the running fits, and each later fit at its first batch."""
        self._stopped = True
        for fit in tuple(self._fits):
            fit.note()


_deferring: list[Interrupts] = []  # the main thread's running fits; a fit inside a callback comes after the outer fit


def _forked() -> None:
    """If another thread than the main one forked this process, restore the SIGINT handler: no fit runs here."""
    if _deferring and _deferring[0]._thread != threading.get_ident():
        handler = _deferring[0]._handler
        _deferring.clear()
        set_signal(SIGINT, handler)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

_together: contextvars.ContextVar[Together | None] = contextvars.ContextVar("fastnet_together", default=None)
