"""A forked child of a stress program. The child starts within milliseconds, has all modules, and can be killed."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any


def killing_at(number: int) -> Callable[..., None]:
    """Return a profile function that kills this process at event `number`.

    A call or return of a Python or C function is an event.
    """
    left = number

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return count


class Child:
    """A fork of this process that runs `work(pipe)` and ends. `pipe` connects it with this process.

    The child's last message is (True, result of `work`) or (False, error message).
    """

    def __init__(self, work: Callable[[Connection], object]) -> None:
        self._pipe, theirs = Pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork while BLAS has threads
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
        """Return the child's next message. Raise AssertionError if the child dies or sends nothing."""
        assert self._pipe.poll(seconds), f"no message from the child within {seconds:g} s"
        try:
            return self._pipe.recv()
        except EOFError:
            raise AssertionError(f"the child {self.end()}") from None

    def expect(self, word: str, seconds: float) -> None:
        """Check that the child's next message is `word`."""
        heard = self.hear(seconds)
        assert heard == word, f"expected {word!r} from the child, got {heard}"

    def result(self, seconds: float) -> Any:
        """Return the result of `work`. Raise AssertionError if the child raised, died or hung."""
        right, found = self.hear(seconds)
        assert right, f"in the child:\n{found}"
        return found

    def sent(self) -> bool:
        """Return whether there is a message, or the child has ended."""
        try:
            return self._pipe.poll() and bool(self._pipe.recv())
        except EOFError:
            return False

    def signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def end(self) -> str:
        """Wait until the child ends. Return a description of its exit."""
        if self._status is None:
            self._status = os.waitpid(self._pid, 0)[1]
        code = os.waitstatus_to_exitcode(self._status)
        return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def close(self) -> None:
        """Kill the child if it still runs."""
        if self._status is None:
            self.signal(signal.SIGKILL)
            self.end()
        self._pipe.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
