"""`mpiexec -n 4 fastnet train`: each process trains on its own rows. Process 0 alone prints and writes files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from fastnet.data.large_datasets import part_of
from fastnet.data.sources.joined import JoinedReader
from fastnet.errors import MissingLibraryError
from fastnet.training.averaging import Communicator

# In these variables mpiexec tells each process their number: that of Open MPI, and that of MPICH and its descendants.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def count() -> int:
    """Return how many processes `mpiexec` started with this one; 1 without `mpiexec`. mpi4py is not imported."""
    found = (os.environ.get(name, "") for name in _SIZES)
    return next((int(text) for text in found if text.isdecimal() and int(text)), 1)


def join(args: argparse.Namespace) -> None:
    """Set `args.communicator`, None for one process. All processes but the first print nothing."""
    args.communicator = None
    if count() > 1:
        from fastnet.distributed import mpi  # imported here: few trainings have several processes

        args.communicator = mpi.world()
        if args.communicator.rank:
            args.quiet, args.json = True, False


def leads(args: argparse.Namespace) -> bool:
    """Whether this process prints and writes: the only one, or the first of several."""
    return args.communicator is None or args.communicator.rank == 0


def wait(args: argparse.Namespace) -> None:
    """Wait until all processes are here."""
    if args.communicator is not None:
        from fastnet.distributed import mpi

        mpi.wait_for_all()


def fail(show: Callable[[], None], status: int) -> None:
    """Show an error that ends this process. With several processes, end the others too."""
    if count() > 1:
        try:
            from fastnet.distributed import mpi

            mpi.end_together(show, status)
            return
        except MissingLibraryError:  # the processes cannot talk to each other, so each shows its error
            pass
    show()


def rows_of(communicator: Communicator | None, n: int) -> slice:
    """Return which of n rows are those of this process: every size-th one."""
    return slice(None) if communicator is None else slice(communicator.rank, n, communicator.size)


def reader_of(communicator: Communicator | None, reader: JoinedReader) -> JoinedReader:
    """Return a reader of the rows of this process."""
    return reader if communicator is None else part_of(reader, communicator.rank, communicator.size)
