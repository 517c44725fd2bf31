"""The exchanges of the processes that train one network together, and how an error of one of them ends all.

All processes make the same exchanges in the same order. Each exchange begins with `Ranks.meet`, an Allreduce of a few
numbers. A process that fails goes to its next meeting too, and says there that it failed. The processes then tell each
other their errors, and all of them raise the same one. So none of them waits for a process that has left.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import numpy as np

from fastnet.errors import FastnetError
from fastnet.kernels.contract import Floats
from fastnet.training.averaging import Communicator

T = TypeVar("T")
# The numbers of a meeting. Allreduce adds them over the processes, so the last five come from the first process alone.
FAILED, INTERRUPTED, WHICH, STOPPED, DIVERGED, WEIGHT, UPDATES, TELLS, SECONDS, RATE, DIGEST = range(11)
TELL_SECONDS = 0.05  # how often the callbacks without an `every` are called


class Ranks:
    """The processes of one fit, as each of them sees them. Use the object in a `with` block around the whole fit.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and the number of processes.
    is_stopped, is_interrupted : bool
        Whether a process called `stop`, and whether one got Ctrl-C, as of the last meeting. All processes agree.
    has_diverged : bool
        Whether a process had a cost that is not finite, as of the last meeting.
    weight : float
        The sum of the weights that the processes brought to the last meeting.
    n_updates : int
        How many updates the processes make before the next meeting, if no average comes first.
    tells : bool
        Whether the callbacks without an `every` are due. Who calls them sets it to false.
    now : float
        The time of the first process' clock at the last meeting.
    first_rate, first_digest : float, int
        What the first process brought to the last meeting as its `rate` and `digest`.
    """

    def __init__(self, communicator: Communicator) -> None:
        self._communicator = communicator
        self.rank, self.size = communicator.rank, communicator.size
        self._ours, self._all = np.zeros(11), np.zeros(11)
        self._has_ended = False  # whether all processes know that the fit has failed, or the communicator is broken
        self._interrupted: str = ""
        self._told = -np.inf
        self.is_stopped = self.is_interrupted = self.has_diverged = self.tells = False
        self.weight, self.n_updates, self.now, self.first_rate, self.first_digest = 0.0, 1, 0.0, 0.0, 0

    def name(self, rank: int | None = None) -> str:
        """Return "process 1 of 4" for rank 1 of 4 processes."""
        return f"process {self.rank if rank is None else rank} of {self.size}"

    # -- a fit that ends ---------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all processes have ended their fit. If one failed, raise its error in all of them."""
        if self._has_ended:
            return
        if error is not None and not (self.is_interrupted and isinstance(error, KeyboardInterrupt)):
            self._fail(error)
            return
        self.meet()
        if error is None and self.is_interrupted:
            raise KeyboardInterrupt(self._interrupted)

    def end_with(self, error: Exception) -> NoReturn:
        """Raise an error that all processes raise at this point."""
        self._has_ended = True
        raise error

    def _fail(self, error: BaseException) -> None:
        """Tell the other processes of this process' error. Raise another process' error if that one is to be raised."""
        self._ours[:] = 0
        self._ours[FAILED] = 1
        self.add(self._ours, self._all)
        self._raise_one(error)

    def _raise_one(self, ours: BaseException | None) -> None:
        """Raise the error of the first process that has failed. If it is `ours`, only put a name to it."""
        said = self.gather(None if ours is None else _packed(ours))
        self._has_ended = True
        errors = {rank: pack for rank, pack in enumerate(said) if pack is not None}
        first = min(errors)
        name = "" if len(errors) == self.size and len({text for _, text in errors.values()}) == 1 else self.name(first)
        if ours is not None and (first == self.rank or not name):
            _put_name(ours, name)
            return
        error = _unpacked(errors[first], name)
        raise error from ours

    # -- exchanges ---------------------------------------------------------------------------------------------

    def meet(
        self,
        *,
        interrupted: bool = False,
        stopped: bool = False,
        diverged: bool = False,
        weight: float = 0.0,
        n_updates: Callable[[], int] | None = None,
        rate: float = 0.0,
        digest: int = 0,
    ) -> None:
        """Meet the other processes: tell them these things, and set the attributes from what all of them tell.

        `n_updates` returns how many updates this process would make before the next meeting. Without it, no callback
        is due.

        Raises
        ------
        Exception
            A process has failed. All processes raise its error.
        """
        ours = self._ours
        ours[:] = 0
        ours[INTERRUPTED], ours[STOPPED], ours[DIVERGED], ours[WEIGHT] = interrupted, stopped, diverged, weight
        ours[WHICH] = self.rank * interrupted
        if self.rank == 0:
            now = time.monotonic()
            ours[SECONDS], ours[RATE], ours[DIGEST] = now, rate, digest
            if n_updates is not None:
                ours[UPDATES], ours[TELLS] = n_updates(), now - self._told > TELL_SECONDS
        self.add(self._ours, self._all)
        found = self._all.tolist()
        if found[FAILED]:
            self._raise_one(None)
        if found[INTERRUPTED] and not self.is_interrupted:
            name = self.name(int(found[WHICH])) if found[INTERRUPTED] == 1 else f"{found[INTERRUPTED]:.0f} processes"
            self.is_interrupted, self._interrupted = True, f"{name}: Ctrl-C"
        self.is_stopped |= bool(found[STOPPED])
        self.has_diverged, self.weight, self.n_updates = bool(found[DIVERGED]), found[WEIGHT], int(found[UPDATES])
        self.tells, self.now = self.tells or bool(found[TELLS]), found[SECONDS]
        self.first_rate, self.first_digest = found[RATE], int(found[DIGEST])
        if found[TELLS]:
            self._told = self.now

    def gather(self, ours: T) -> list[T]:
        """Return what each process gives, in the order of the processes. Call this only after `meet`."""
        found: list[T] = self._call(self._communicator.allgather, ours)
        return found

    def add(self, numbers: Floats, total: Floats) -> None:
        """Write the sum over the processes of `numbers` into `total`. Call this only after `meet`."""
        self._call(self._communicator.Allreduce, numbers, total)

    def of_first(self, ours: T) -> T:
        """Return what the first process gives. Call this only after `meet`."""
        found: T = self._call(self._communicator.bcast, ours)
        return found

    def _call(self, exchange: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return exchange(*arguments)
        except BaseException:  # of the communicator: there is no other way to tell the other processes
            self._has_ended = True
            raise


# -- errors that travel --------------------------------------------------------------------------------------------

Packed = tuple[bytes, str]  # a pickled exception, or b"", and its text


def _packed(error: BaseException) -> Packed:
    text = f"{type(error).__name__}: {error}"
    if not isinstance(error, (Exception, KeyboardInterrupt)):  # SystemExit would end the other processes silently
        return b"", text
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)
    except Exception:  # an exception class may raise anything when it is pickled
        return b"", text
    return pickled, text


def _unpacked(packed: Packed, name: str) -> BaseException:
    """Return another process' error, with the name of that process before its words."""
    pickled, text = packed
    try:
        error = pickle.loads(pickled) if pickled else None
    except Exception:  # its class may be missing in this process
        error = None
    if not isinstance(error, BaseException):
        return FastnetError(f"{name}: {text}" if name else text)
    _put_name(error, name)
    return error


def _put_name(error: BaseException, name: str) -> None:
    """Put the name of a process before an error's words."""
    if not name:
        return
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{name}: {error.args[0]}",)
    elif not error.args:
        error.args = (name,)
    else:
        error.add_note(name)
