"""Measures what a plan needs: the time of an update and of an average, and the messages of an average."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.distributed.cost import Cluster
from fastnet.distributed.plan import Work
from fastnet.names import BackendName, OptimizerName
from fastnet.network import Network
from fastnet.training import Trainer
from fastnet.training.averaging import Averaging, Communicator

EPOCH_SECONDS = 0.05  # how long a measured epoch lasts, as far as ROWS allow and one update does not last longer
ROWS = 16_384  # of the measured training
EPOCHS = 5  # the shortest of these counts: other programs can only slow one down
SMALL, LARGE = 8, 1 << 22  # bytes of the messages that are timed


class SilentPartner:
    """A communicator of two processes, of which the other one sends zeros in no time.

    A training with it makes all calls of a training on two processes, but has the results of one process.
    """

    rank = 0
    size = 2

    def __init__(self) -> None:
        self.sent: list[int] = []  # the bytes of each Allreduce

    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None:
        """Return the array as it is. The time of an addition is part of the model."""
        self.sent.append(recvbuf.nbytes)
        recvbuf[...] = sendbuf

    def allgather(self, sendobj: Any) -> list[Any]:
        """Return the object for each of the two."""
        return [sendobj, sendobj]

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """Return the object."""
        return obj


def measured_work(
    sizes: Sequence[int],
    *,
    batch_size: int = 128,
    optimizer: OptimizerName = "adam",
    backend: BackendName | None = None,
) -> Work:
    """Train on random numbers for about two seconds, and return the times.

    The inputs are dense floats, so a network of images with many zeros is faster.

    Parameters
    ----------
    sizes : sequence of int
        The widths of the network's layers.
    batch_size : int
        The examples of an update of one process.
    optimizer : str
        The name of the optimiser. Its state is averaged with the parameters.
    backend : str, optional
        The backend, as for `Trainer`.

    Returns
    -------
    Work
        The times are the shortest of three epochs.

    Raises
    ------
    ValueError, TypeError, BackendError
        An argument is invalid, as for `Network` and `Trainer`.

    Examples
    --------
    >>> work = measured_work([4, 8, 3], batch_size=16)
    >>> work.n_parameters, work.update_seconds > 0
    (67, True)
    """
    network = Network(list(sizes), seed=0)
    few = 2 * checks.whole_number("batch_size", batch_size, 1)

    def start(**averaging: Any) -> Trainer:
        return Trainer(
            network.copy(),
            optimizer=optimizer,
            batch_size=batch_size,
            backend=backend,
            seed=0,
            sparse=False,
            **averaging,
        )

    rng = np.random.default_rng(0)
    x = rng.random((max(few, ROWS), sizes[0]), np.float32)
    # Classes that a network can learn. It warns of others.
    y = ((x - 0.5) @ rng.standard_normal((sizes[0], max(2, sizes[-1])), np.float32)).argmax(axis=1)
    seconds, _ = _timed(start, x[:few], y[:few], None, 1)
    n = few * max(1, int(min(len(x) / few, EPOCH_SECONDS / seconds / 2)))
    return work_of(start, x[:n], y[:n], batch_size)


def work_of(start: Callable[..., Trainer], x: NDArray[Any], y: NDArray[Any], batch_size: int) -> Work:
    """Return the times of a training on these examples.

    `start` makes a trainer with a new network. It takes the arguments `communicator` and `averaging`, or none.
    """
    own, _ = _timed(start, x, y, None, 1)
    gradients, gradient_bytes = _timed(start, x, y, SilentPartner(), 1)
    # The cost of an average shows most where averages are frequent.
    averages, parameter_bytes = _timed(start, x, y, SilentPartner(), 2)
    network = start().network
    return Work(
        sizes=network.sizes,
        n_parameters=network.n_parameters,
        batch_size=batch_size,
        update_seconds=own,
        gradient_seconds=max(gradients, own),
        average_seconds=max(0.0, 2 * (averages - own)),
        gradient_bytes=gradient_bytes,
        parameter_bytes=parameter_bytes,
    )


def _timed(
    start: Callable[..., Trainer], x: NDArray[Any], y: NDArray[Any], partner: SilentPartner | None, every: int
) -> tuple[float, tuple[int, ...]]:
    """Return the time of an update, and the bytes of each Allreduce of an average."""
    trainer = start() if partner is None else start(communicator=partner, averaging=Averaging(every=every))
    trainer.fit(x, y, epochs=1)  # compiles and warms up
    before, sent = trainer.steps, len(partner.sent) if partner is not None else 0
    seconds = trainer.fit(x, y, epochs=EPOCHS)["seconds"][-EPOCHS:]
    n_updates = trainer.steps - before
    shortest = float(min(seconds)) * EPOCHS / n_updates
    if partner is None:
        return shortest, ()
    found = Counter(partner.sent[sent:])
    # The messages at the start of a fit and at the end of an epoch are fewer than the averages, and do not count.
    each = {size: round(count * every / n_updates) for size, count in found.items()}
    return shortest, tuple(size for size in sorted(each) for _ in range(each[size]))


def measured_cluster(communicator: Communicator, straggler: float = Cluster.straggler) -> Cluster:
    """Return the latency and the bandwidth that the Allreduces of a communicator show. All its processes call this.

    Parameters
    ----------
    communicator : mpi4py communicator
        It has at least two processes.
    straggler : float
        The spread of the times of updates, which is not measured.

    Returns
    -------
    Cluster
        The latency and the bandwidth with which `allreduce_seconds` gives the measured times of a small and of a large
        Allreduce over these processes. The time of the additions is part of the bandwidth.

    Raises
    ------
    ValueError
        The communicator has only one process.
    """
    p = communicator.size
    if p < 2:
        raise ValueError("an Allreduce needs at least two processes: start the program with mpiexec -n 2")
    small, large = (measured_allreduce(communicator, n_bytes) for n_bytes in (SMALL, LARGE))
    rounds = math.log2(p)
    latency = small / rounds
    bandwidth = 2 * (p - 1) / p * LARGE / max(large - 2 * rounds * latency, 1e-9)
    return Cluster(latency, bandwidth, math.inf, straggler)


def measured_allreduce(communicator: Communicator, n_bytes: int, repeats: int = 50) -> float:
    """Return the median time in seconds of an Allreduce of `n_bytes`, the same number in all processes.

    All processes call this with the same arguments.
    """
    sent, received = np.ones((2, max(1, n_bytes // 4)), np.float32)
    seconds = []
    for _ in range(repeats + 5):
        began = time.perf_counter()
        communicator.Allreduce(sent, received)
        seconds.append(time.perf_counter() - began)
    return float(communicator.bcast(np.median(seconds[5:])))  # the first ones open connections


def adding_speed(n_bytes: int = LARGE) -> float:
    """Return the bytes per second at which this process adds a message to its own numbers."""
    own, message = np.ones((2, n_bytes // 4), np.float32)
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        own += message
        seconds.append(time.perf_counter() - began)
    return float(n_bytes / np.median(seconds))
