"""How fast a training on many processes would be, from measured times of its parts and a model of the network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fastnet import checks
from fastnet.distributed.cost import MAX_PROCESSES, Cluster, allreduce_seconds, simulated_seconds, slowest_seconds
from fastnet.training.averaging import choose_every

PROCESSES = tuple(2**k for k in range(11))
EVERY = (1, 4, 16, 64, 256)


@dataclass(frozen=True)
class Work:
    """What one process does in a training, with measured times. `measured_work` makes one.

    Attributes
    ----------
    sizes : tuple of int
        The widths of the network's layers.
    n_parameters : int
        The number of its parameters.
    batch_size : int
        The examples of an update of one process.
    update_seconds : float
        The time of an update in a training of one process.
    gradient_seconds : float
        The time of an update of a process whose gradients are averaged, without the messages.
    average_seconds : float
        The time that an average of the parameters adds to the updates before it, without the messages.
    gradient_bytes, parameter_bytes : tuple of int
        The bytes of each Allreduce that averages the gradients once, or the parameters.
    """

    sizes: tuple[int, ...]
    n_parameters: int
    batch_size: int
    update_seconds: float
    gradient_seconds: float
    average_seconds: float
    gradient_bytes: tuple[int, ...]
    parameter_bytes: tuple[int, ...]

    def exchange_seconds(self, processes: int, every: int, cluster: Cluster) -> float:
        """Return the time of the messages of one average."""
        return sum(allreduce_seconds(processes, n_bytes, cluster) for n_bytes in self.messages(every))

    def messages(self, every: int) -> tuple[int, ...]:
        """Return the bytes of each Allreduce of an average."""
        return self.gradient_bytes if every == 1 else self.parameter_bytes

    def called_seconds(self, every: int) -> float:
        """Return the time that an average adds to the updates before it, without the messages."""
        return self.gradient_seconds - self.update_seconds if every == 1 else self.average_seconds


@dataclass(frozen=True)
class Point:
    """The predicted speed of a training.

    Attributes
    ----------
    processes : int
        The number of processes. Each makes its updates on a batch of its own, so a training on twice as many processes
        reads twice as many examples in the same number of updates.
    every : int
        The number of updates between two averages; 1 stands for averages of gradients.
    is_chosen : bool
        Whether `Averaging(every="auto")` would choose this number.
    seconds : float
        The time of an update, with its share of the average.
    examples_per_second : float
        The examples that all processes train on in a second.
    speedup : float
        `examples_per_second` divided by that of one process.
    efficiency : float
        `speedup` divided by the number of processes.
    waiting, messages, calls : float
        The shares of the time in which a process waits for the slowest, in which messages travel, and in which it
        prepares and takes in an average. The rest of the time are updates.
    """

    processes: int
    every: int
    is_chosen: bool
    seconds: float
    examples_per_second: float
    speedup: float
    efficiency: float
    waiting: float
    messages: float
    calls: float

    @property
    def communication(self) -> float:
        """The share of the time that is no update: `waiting`, `messages` and `calls` together."""
        return self.waiting + self.messages + self.calls


def plan(
    work: Work, cluster: Cluster, *, processes: Iterable[int] = PROCESSES, every: Iterable[int] = EVERY
) -> list[Point]:
    """Predict the speed of a training on many processes.

    The time of `every` updates and their average is the sum of three parts: the expected time of the slowest process
    (`straggler`), the Allreduces, and the calls around them. `python -m fastnet.bench.distributed` compares the result
    with real runs. The model says how many examples a second the processes read, not how much they learn from them.

    Parameters
    ----------
    work : Work
        What one process does.
    cluster : Cluster
        The machines.
    processes : iterable of int
        The numbers of processes to predict.
    every : iterable of int
        The numbers of updates between two averages. The choice of the trainer is added to them.

    Returns
    -------
    list of Point
        For each number of processes a point for each `every`, in ascending order.

    Raises
    ------
    ValueError, TypeError
        A number is out of range.

    Examples
    --------
    >>> work = Work((784, 16, 16, 10), 13_002, 10, 4e-6, 30e-6, 50e-6, (64, 52_016), (64, 52_016))
    >>> for point in plan(work, Cluster(), processes=[64], every=[1, 64]):
    ...     print(f"every {point.every}: {point.speedup:.1f} times as fast as one process")
    every 1: 0.5 times as fast as one process
    every 64: 21.5 times as fast as one process
    """
    counts = sorted(checks.whole_numbers("processes", processes, 1, MAX_PROCESSES))
    wanted = checks.whole_numbers("every", every, 1)
    points = []
    for count in counts:
        chosen = chosen_for(work, cluster, count)
        points += [_point(work, cluster, count, k, k == chosen) for k in sorted({*wanted, chosen})]
    return points


def chosen_for(work: Work, cluster: Cluster, processes: int) -> int:
    """Return the number of updates between two averages that a training with `averaging="auto"` would choose."""
    if processes == 1:
        return 1
    gradients, average = (work.exchange_seconds(processes, every, cluster) for every in (1, 2))
    return choose_every(work.update_seconds, work.gradient_seconds, gradients, average)


def _point(work: Work, cluster: Cluster, processes: int, every: int, is_chosen: bool) -> Point:
    own, called = work.update_seconds, 0.0
    slowest, messages = own * every, 0.0
    if processes > 1:
        called = work.called_seconds(every)
        slowest = slowest_seconds(processes, own, every, cluster.straggler)
        messages = work.exchange_seconds(processes, every, cluster)
    whole = slowest + called + messages
    speedup = processes * own * every / whole
    return Point(
        processes=processes,
        every=every,
        is_chosen=is_chosen,
        seconds=whole / every,
        examples_per_second=processes * work.batch_size * every / whole,
        speedup=speedup,
        efficiency=speedup / processes,
        waiting=(slowest - own * every) / whole,
        messages=messages / whole,
        calls=called / whole,
    )


def simulated_speedup(work: Work, cluster: Cluster, point: Point, *, repeats: int = 40, seed: int = 0) -> float:
    """Return the speed-up of a point by a simulation with random times. nan if the processes are no power of two."""
    p, k, own = point.processes, point.every, work.update_seconds
    if p & (p - 1):
        return math.nan
    if p == 1:
        return 1.0
    slowest = simulated_seconds(p, own, k, work.messages(k), cluster, repeats=repeats, seed=seed)
    return p * own * k / (slowest + work.called_seconds(k))
