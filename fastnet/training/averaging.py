"""How several processes train one network: what they average, and how often. Only the settings and types are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from fastnet import checks

MAX_COST_OF_GRADIENTS = 0.2  # of an update's time
MAX_COST_OF_AVERAGES = 0.1
MAX_EVERY = 64  # updates between two averages: with more, the accuracy falls


@runtime_checkable
class Communicator(Protocol):
    """The part of an mpi4py communicator, such as ``MPI.COMM_WORLD``, that a training uses."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None: ...
    def allgather(self, sendobj: Any) -> list[Any]: ...
    def bcast(self, obj: Any, root: int = 0) -> Any: ...


@dataclass(frozen=True)
class Averaging:
    """What the processes of a training average, and how often.

    Parameters
    ----------
    every : int or "auto"
        1: the gradients are averaged in each update, so that the processes make the update of one large batch. A larger
        number: each process makes this number of updates on its own rows, then the parameters are averaged (local SGD:
        Stich, arXiv 1805.09767). "auto": the first process chooses before the first update, from the measured times
        of an update and of an average.
    warmup : int
        The number of epochs in which gradients are averaged before parameters are (post-local SGD: Lin et al., arXiv
        1808.07217).
    state : str
        "average": the optimiser's state is averaged with the parameters. "keep": each process keeps its own.

    Raises
    ------
    ValueError, TypeError
        A setting is invalid.
    """

    every: int | Literal["auto"] = "auto"
    warmup: int = 0
    state: Literal["average", "keep"] = "average"

    def __post_init__(self) -> None:
        if self.every != "auto":
            object.__setattr__(self, "every", checks.whole_number("every", self.every, 1))  # never a NumPy number,
        object.__setattr__(self, "warmup", checks.whole_number("warmup", self.warmup, 0))  # which JSON does not take
        checks.name_of("state", self.state, ("average", "keep"))


def choose_every(update: float, single: float, gradients: float, average: float) -> int:
    """Choose between gradients and parameters from measured times.

    Gradients are averaged, which needs a kernel call and an Allreduce for each update, if that costs at most 20% more
    than updates without exchanges. Otherwise the parameters are averaged every 2, 4, 8, 16, 32 or 64 updates, as often
    as costs at most 10%.

    Parameters
    ----------
    update : float
        The seconds of an update, of many in one kernel call.
    single : float
        The seconds of an update that has a kernel call of its own.
    gradients : float
        The seconds of an Allreduce of the gradient.
    average : float
        The seconds of an Allreduce of what is averaged with the parameters.

    Returns
    -------
    int
        1 for gradients, else the number of updates between two averages of the parameters.
    """
    if single + gradients <= (1 + MAX_COST_OF_GRADIENTS) * update:
        return 1
    every = 2
    while every < MAX_EVERY and average > MAX_COST_OF_AVERAGES * every * update:
        every *= 2
    return every


def checked(communicator: object, averaging: object) -> tuple[Communicator, Averaging]:
    """Return the communicator and the averaging of a trainer.

    Raises ValueError or TypeError if one of them is invalid, or if there is an averaging without a communicator.
    """
    if communicator is None:
        raise ValueError("averaging needs several processes: give a communicator too, such as MPI.COMM_WORLD of mpi4py")
    if isinstance(communicator, type) or not isinstance(communicator, Communicator):
        raise TypeError(
            f"communicator must be a communicator, such as MPI.COMM_WORLD of mpi4py, not {checks.given(communicator)}"
        )
    if isinstance(averaging, Averaging):
        return communicator, averaging
    if averaging != "auto" and (isinstance(averaging, bool) or not isinstance(averaging, (int, np.integer))):
        raise TypeError(
            "averaging must be 'auto', a whole number or a fastnet.distributed.Averaging, not "
            f"{checks.given(averaging)}"
        )
    return communicator, Averaging("auto" if averaging == "auto" else checks.whole_number("averaging", averaging, 1))


def generator_of_process(
    generator: np.random.Generator, seed: object, communicator: Communicator | None
) -> np.random.Generator:
    """Return the random generator of this process. `generator` is what `seed` gives to a training on one process.

    Each process but the first has a generator of its own, made from the seed and the process' rank. Otherwise the
    processes would draw the same dropout masks. A generator of the user's own is taken as it is.
    """
    if communicator is None or communicator.rank == 0 or isinstance(seed, np.random.Generator) or seed is None:
        return generator
    return np.random.default_rng((int(seed), communicator.rank))  # type: ignore[call-overload]  # the seed is a whole number, as `generator` was made from it
