"""A forked child of a stress program: it starts within milliseconds, with all that is imported, and can be killed."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any


class Child:
    """A copy of this process that runs `work(pipe)` and ends. `pipe` is its end of a pipe to this one.

    What `work` returns, or the words of what it raises, is sent last, as (True, result) or (False, words).
    """

    def __init__(self, work: Callable[[Connection], object]) -> None:
        self._pipe, theirs = Pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # BLAS has threads, which Python 3.12 warns of
            self._pid = os.fork()
        if not self._pid:
            self._run(work, theirs)
        theirs.close()
        self._status: int | None = None

    def _run(self, work: Callable[[Connection], object], pipe: Connection) -> None:
        try:
            self._pipe.close()
            try:
                end = (True, work(pipe))
            except BaseException:
                end = (False, traceback.format_exc()[-3000:])
            pipe.send(end)
        finally:
            os._exit(0)

    def hear(self, seconds: float) -> Any:
        """The next thing it sends. Raises AssertionError where it dies or sends nothing."""
        assert self._pipe.poll(seconds), f"no word from the child within {seconds:g} s"
        try:
            return self._pipe.recv()
        except EOFError:
            raise AssertionError(f"the child {self.end()}") from None

    def expect(self, word: str, seconds: float) -> None:
        """Hears that word. Raises AssertionError where it sends anything else."""
        heard = self.hear(seconds)
        assert heard == word, f"not {word!r} but {heard}"

    def result(self, seconds: float) -> Any:
        """What `work` returned. Raises AssertionError where it raised, died or hung."""
        right, found = self.hear(seconds)
        assert right, f"in the child:\n{found}"
        return found

    def sent(self) -> bool:
        """Whether there is anything to hear, an end without words included."""
        try:
            return self._pipe.poll() and bool(self._pipe.recv())
        except EOFError:
            return False

    def signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def end(self) -> str:
        """Waits for its end and says how that was."""
        if self._status is None:
            self._status = os.waitpid(self._pid, 0)[1]
        code = os.waitstatus_to_exitcode(self._status)
        return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def close(self) -> None:
        """Kills it where it still runs."""
        if self._status is None:
            self.signal(signal.SIGKILL)
            self.end()
        self._pipe.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
