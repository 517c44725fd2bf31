"""The processes that `mpiexec` starts: their communicator, and their common end after an error.

A process that fails while the others wait for it would leave them waiting forever. So each process that fails tells the
others. If they do not fail too within a second, it ends them.
"""

from __future__ import annotations

import atexit
import functools
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

from fastnet.errors import require_extra
from fastnet.training.averaging import Communicator

PATIENCE = 1.0  # seconds for which a failed process waits for the others to fail too
_POLL = 0.005  # seconds between two looks


def world() -> Communicator:
    """Return the communicator of all processes that `mpiexec` started. All of them make this call.

    If an exception ends one of the processes, or `sys.exit` with an error, it prints the error and ends the others too,
    within two seconds. mpi4py alone, `MPI.COMM_WORLD`, lets them wait for the failed one. A process that ends without
    an error ends no other one.

    Returns
    -------
    mpi4py.MPI.Intracomm
        ``MPI.COMM_WORLD``, for the argument `communicator` of `Trainer`.

    Raises
    ------
    MissingLibraryError
        mpi4py is missing.

    Examples
    --------
    A program for ``mpiexec -n 4 python train.py``:

    >>> def main():
    ...     communicator = fastnet.distributed.world()
    ...     x, y = load(communicator.rank, communicator.size)  # the rows of this process
    ...     trainer = fastnet.Trainer(fastnet.Network([784, 16, 10], seed=0), communicator=communicator)
    ...     trainer.fit(x, y, epochs=10)
    """
    communicator: Communicator = _world()[0]
    return communicator


@functools.cache
def _world() -> tuple[Any, Any]:
    """Return the communicator of all processes, and one of the same processes for their common end."""
    require_extra("mpi4py", "a training of several processes needs mpi4py", "mpi")
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # mpi4py is there, and no library of MPI
        from fastnet.errors import MissingLibraryError

        raise MissingLibraryError(
            f'a training of several processes needs an MPI library ({error}): python -m pip install "fastnet-mlp[mpi]"'
        ) from None
    communicator = MPI.COMM_WORLD
    pair = communicator, communicator.Dup()  # the processes may be within an exchange when one fails
    sys.excepthook = functools.partial(_end_after, sys.excepthook)
    sys.exit = functools.partial(_exit, sys.exit)  # Python calls no hook for SystemExit
    return pair


def _exit(leave: Callable[[str | int | None], NoReturn], status: str | int | None = None, /) -> NoReturn:
    """Leave this program as `sys.exit` does. With an error, end the other processes too when this one ends."""
    if status not in (None, 0):
        atexit.register(end_together, lambda: None, status if isinstance(status, int) else 1)
    leave(status)


def _end_after(
    show: Callable[..., Any], kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Show an exception that ends this process, as Python would, and end the other processes."""
    end_together(lambda: show(kind, error, traceback))


def end_together(show: Callable[[], Any], status: int = 1) -> None:
    """End all processes after an error in this one.

    If all processes fail within a second, process 0 alone shows its error, since they fail for the same reason. They
    then end in the ordinary way. Otherwise each process that has failed shows its error and ends all the others, with
    this exit status.
    """
    communicator, ending = _world()
    all_failed = _all_come(ending, PATIENCE)
    if not all_failed or communicator.rank == 0:
        show()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    if not all_failed:
        communicator.Abort(status)
    _all_come(ending, PATIENCE)  # mpiexec ends all processes at once when one of them ends with an error


def wait_for_all() -> None:
    """Wait until all processes make this call. The core stays free, where an MPI barrier would keep it busy."""
    _all_come(_world()[0], None)


def _all_come(communicator: Any, seconds: float | None) -> bool:
    """Wait until all processes make this call, for at most so many seconds. Return whether all of them did."""
    request = communicator.Ibarrier()
    limit = time.monotonic() + (seconds or 0)
    while not (done := request.Test()) and (seconds is None or time.monotonic() < limit):
        time.sleep(_POLL)
    return bool(done)
