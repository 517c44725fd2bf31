"""What an Allreduce and the slowest of several processes cost: closed forms, and the simulation that checks them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fastnet import checks

MAX_PROCESSES = 1 << 20


@dataclass(frozen=True)
class Cluster:
    """The machines that the processes of a training run on, and what connects them.

    Each process has a link of its own to the others. If several processes share a link, divide its bandwidth among
    them.

    Parameters
    ----------
    latency : float
        The seconds that a message of no bytes takes.
    bandwidth : float
        The bytes per second of a link.
    adding : float
        The bytes per second at which a process adds a message to its own numbers. math.inf: the bandwidth is that of
        messages and additions together.
    straggler : float
        The standard deviation of the time of an update, as a share of its mean, from 0 to below 1.

    Raises
    ------
    ValueError, TypeError
        A number is out of range.

    Examples
    --------
    >>> Cluster(latency=2e-6, bandwidth=10e9).latency
    2e-06
    """

    latency: float = 20e-6
    bandwidth: float = 1.25e9
    adding: float = 5e9
    straggler: float = 0.05

    def __post_init__(self) -> None:
        checks.number("latency", self.latency, minimum=0)
        checks.number("bandwidth", self.bandwidth, above=0)
        if self.adding != math.inf:
            checks.number("adding", self.adding, above=0)
        checks.fraction("straggler", self.straggler)


@dataclass(frozen=True)
class Round:
    """A round of an Allreduce: each process exchanges this many bytes with a partner, and adds some of them."""

    n_bytes: float
    added: float

    def seconds(self, cluster: Cluster) -> float:
        """Return the seconds of the round on a cluster."""
        return cluster.latency + self.n_bytes / cluster.bandwidth + self.added / cluster.adding


def rounds_of(processes: int, n_bytes: float, algorithm: str) -> Iterator[Round]:
    """Return the rounds of an Allreduce of `n_bytes` over so many processes.

    "doubling": in each round the partners exchange all bytes. "halving": Rabenseifner's algorithm exchanges a half of
    the bytes, then a quarter and so on, and then gathers the parts in the opposite order. If the number of processes is
    no power of two, the processes beyond it send their bytes to a partner before the first round, and receive the
    sum after the last one.
    """
    n_rounds = processes.bit_length() - 1
    is_whole = processes == 1 << n_rounds
    if not is_whole:
        yield Round(n_bytes, n_bytes)
    if algorithm == "doubling":
        for _ in range(n_rounds):
            yield Round(n_bytes, n_bytes)
    else:
        parts = [n_bytes / 2**k for k in range(1, n_rounds + 1)]
        for part in parts:
            yield Round(part, part)
        for part in reversed(parts):
            yield Round(part, 0)
    if not is_whole:
        yield Round(n_bytes, 0)


ALGORITHMS = ("doubling", "halving")


def allreduce_seconds(processes: int, n_bytes: float, cluster: Cluster) -> float:
    """Return the time of an Allreduce in which no process waits for a late one.

    For a power of two of p processes and n bytes this is the smaller of lg(p) (a + n b + n c) and
    2 lg(p) a + 2 (p - 1)/p n b + (p - 1)/p n c, where a is the latency, b the time of a byte on the link, and c the
    time to add a byte: recursive doubling and Rabenseifner's algorithm in Thakur, Rabenseifner and Gropp (2005),
    "Optimization of Collective Communication Operations in MPICH", section 4.5. An implementation of MPI changes
    between algorithms at a size of its own, so its time is at best this one.

    Parameters
    ----------
    processes : int
        The number of processes. 1 takes no time.
    n_bytes : float
        The bytes that each process contributes.
    cluster : Cluster
        The machines.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    ValueError, TypeError
        A number is out of range.

    Examples
    --------
    >>> cluster = Cluster(latency=2e-6, bandwidth=10e9, adding=10e9)
    >>> f"{allreduce_seconds(8, 64, cluster):.2g} s for 64 bytes, {allreduce_seconds(8, 4e6, cluster):.2g} s for 4 MB"
    '6e-06 s for 64 bytes, 0.0011 s for 4 MB'
    """
    processes = checks.whole_number("processes", processes, 1, MAX_PROCESSES)
    n_bytes = checks.number("n_bytes", n_bytes, minimum=0)
    return min(sum(part.seconds(cluster) for part in rounds_of(processes, n_bytes, name)) for name in ALGORITHMS)


@cache
def largest_normal(n: int) -> float:
    """Return the expected largest of n independent standard normal numbers.

    The formula is the integral of 1 - F(z)^n over z > 0 less the integral of F(z)^n over z < 0 (David and Nagaraja,
    "Order Statistics", 2003, section 3.1), by the midpoint rule in steps of 0.01.

    Examples
    --------
    >>> round(largest_normal(2) * math.sqrt(math.pi), 4)
    1.0
    """
    z = np.arange(-9.995, 10, 0.01)
    below = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in z]) ** n  # F(z)^n
    return float(np.where(z > 0, 1 - below, -below).sum() * 0.01)


def slowest_seconds(processes: int, update_seconds: float, every: int, straggler: float) -> float:
    """Return the expected time until the slowest of the processes has made `every` updates.

    The times of updates are taken as independent and normal. So the sum of K updates has K times the mean, but only
    sqrt(K) times the standard deviation of one.
    """
    spread = straggler * update_seconds * math.sqrt(every)
    return every * update_seconds + spread * (largest_normal(processes) if processes > 1 else 0)


def simulated_seconds(
    processes: int,
    update_seconds: float,
    every: int,
    messages: Sequence[float],
    cluster: Cluster,
    *,
    repeats: int,
    seed: int,
) -> float:
    """Return the mean time of `every` updates and some Allreduces over random times of the updates.

    The simulation has a clock for each process. In a round of an Allreduce the partners go on when the later of them
    has come, so a late process holds up its partners only, and these hold up theirs. The closed form says that the
    last process ends at the largest time of the updates plus the times of the Allreduces.

    Parameters
    ----------
    processes : int
        A power of two.
    update_seconds : float
        The mean time of an update.
    every : int
        The number of updates before the Allreduces.
    messages : sequence of float
        The bytes of each Allreduce.
    cluster : Cluster
        The machines.
    repeats : int
        The number of random draws.
    seed : int
        The seed of the draws.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    ValueError
        The number of processes is no power of two.
    """
    if processes & (processes - 1):
        raise ValueError(f"the simulation is for a power of two of processes, not {processes}")
    rng = np.random.default_rng(seed)
    clocks = np.zeros((repeats, processes))
    for _ in range(every):
        clocks += update_seconds * np.maximum(0, 1 + cluster.straggler * rng.standard_normal(clocks.shape))
    for n_bytes in messages:
        ways = [_after(clocks, list(rounds_of(processes, n_bytes, name)), cluster) for name in ALGORITHMS]
        clocks = min(ways, key=np.mean)
    return float(clocks.max(axis=1).mean())


def _after(clocks: NDArray[np.float64], rounds: list[Round], cluster: Cluster) -> NDArray[np.float64]:
    """Return the clocks of the processes after the rounds of an Allreduce."""
    processes = clocks.shape[1]
    n_bits = processes.bit_length() - 1
    # Halving begins with the most distant partner and comes back; doubling begins with the nearest.
    bits = [*range(n_bits)] if len(rounds) == n_bits else [*reversed(range(n_bits)), *range(n_bits)]
    for bit, part in zip(bits, rounds, strict=True):
        partners = np.arange(processes) ^ (1 << bit)
        clocks = np.maximum(clocks, clocks[:, partners]) + part.seconds(cluster)
    return clocks
