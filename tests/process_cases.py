"""The processes of these tests: those of mpiexec if it started this program, else threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

import fastnet
from fastnet.distributed import in_threads

T = TypeVar("T")
UNDER_MPI = int(os.environ.get("OMPI_COMM_WORLD_SIZE") or os.environ.get("PMI_SIZE") or 1) > 1
if UNDER_MPI:
    from mpi4py import MPI
LEADS = not UNDER_MPI or MPI.COMM_WORLD.rank == 0  # whether this program is the first of its processes
SIZES = (MPI.COMM_WORLD.size,) if UNDER_MPI else (2, 4)
N, N_IN = 203, 70  # 203 rows are no whole number of batches; 70 inputs are enough for the kernels to skip zeros
RNG = np.random.default_rng(0)
BYTES = np.where(RNG.random((N, N_IN)) < 0.2, 200, 0).astype(np.uint8)
LABELS = RNG.integers(0, 3, N)
VALUES = RNG.normal(size=(N, 3))
WEIGHTS = RNG.uniform(0.1, 2, N)
TIMES = ("seconds", "examples_per_second", "waiting")


def together(work: Callable[[Any], T], n: int) -> list[T]:
    """Return the results of work(communicator) of n processes. Each process of mpiexec gets the results of all."""
    if UNDER_MPI:
        assert n == MPI.COMM_WORLD.size
        return MPI.COMM_WORLD.allgather(work(MPI.COMM_WORLD))
    return in_threads(work, n)


def outcomes(work: Callable[[Any], object], n: int) -> list[str]:
    """Return the error of each process as "type: words", or "none"."""

    def outcome(communicator: Any) -> str:
        try:
            work(communicator)
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
        return "none"

    return together(outcome, n)


def rows_of(rank: int, n: int, uneven: bool = False) -> slice:
    """Return the rows of a process: every n-th, or, with `uneven`, 3 rows for the last process and many for others."""
    if not uneven:
        return slice(rank, None, n)
    last = N - 3
    return slice(last, None) if rank == n - 1 else slice(rank * last // (n - 1), (rank + 1) * last // (n - 1))


def make(communicator: Any = None, *, network: dict[str, Any] | None = None, **settings: Any) -> fastnet.Trainer:
    """Return a trainer on one process, or on those of a communicator, which average the gradients unless told else."""
    made = {"activation": "tanh", "output": "softmax", "cost": "cross_entropy", "dtype": "float64"} | (network or {})
    defaults = {"batch_size": 8, "backend": "numpy", "seed": 0, "learning_rate": 0.05}
    if communicator is not None:
        defaults |= {"communicator": communicator, "averaging": 1}
    return fastnet.Trainer(fastnet.Network([N_IN, 5, 3], seed=0, **made), **defaults | settings)


def left_behind(trainer: fastnet.Trainer, *, times: bool = False) -> tuple[bytes, bytes, str]:
    """Return what a training leaves behind: the parameters, the optimiser's state and the history."""
    history = trainer.history.to_dict()
    for name in () if times else TIMES:
        del history[name]
    return trainer.network.parameters.tobytes(), trainer.state().moments.tobytes(), repr(history)
