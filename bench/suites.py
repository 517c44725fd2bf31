"""What every suite is handed, and the contenders they have in common, verified before any of them is timed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fastnet import backends
from fastnet.backends.machine import Meter
from fastnet.bench.contenders import Runner, Session
from fastnet.bench.peers import PEERS
from fastnet.bench.peers.process import OwnPeer, start_command
from fastnet.bench.workloads import Images, Setup, Workload, reference, verified_rows, verify

BASELINE = "numpy"
PEER = "peer"  # the user's own
LEARNT_BATCHES, LEARNT_ROWS = 500, 10_000  # another algorithm than ours is to have learnt something by then


@dataclass(frozen=True)
class Task:
    """What was asked for."""

    workloads: Sequence[Workload]
    setups: Sequence[Setup]  # one for each backend
    peers: Sequence[str]
    command: str | None  # of a peer of the user's own
    images: Images  # as fastnet gets them
    folder: str  # where the peers find the same
    dense: Images  # as bytes or floats
    rounds: int
    quick: bool
    peak: Meter | None
    say: Callable[[str], None]

    @property
    def dtype(self) -> str:
        return self.setups[0].dtype

    @property
    def rows(self) -> int:
        return len(self.dense.y)

    def some(self, rows: int) -> int:
        """So many examples at most, and far fewer for a quick run."""
        return min(rows, self.rows, 500 if self.quick else rows)


def most_threads(backend: str) -> int:
    """That can train together; 1 where the backend's arithmetic has threads of its own."""
    return int(getattr(backends.get(backend), "MAX_THREADS", 1))


def verify_all(task: Task) -> None:
    for workload in task.workloads:
        for setup in task.setups:
            verify(workload, setup, task.images.x, task.images.y)
    names, workloads = (setup.backend for setup in task.setups), (workload.name for workload in task.workloads)
    task.say(f"verified: {', '.join(names)} on {', '.join(workloads)}")


@contextlib.contextmanager
def peers(task: Task, workload: Workload) -> Iterator[dict[str, OwnPeer]]:
    """The peers of this package at a workload, verified."""
    with contextlib.ExitStack() as stack:
        running: dict[str, OwnPeer] = {}
        for name in task.peers:
            about = PEERS[name]
            peer = OwnPeer(name, about.module, task.folder, workload, task.dtype)
            stack.callback(peer.close)
            rows = verified_rows(workload) if about.same else max(LEARNT_ROWS, LEARNT_BATCHES * workload.batch_size)
            x, y = task.dense.x[:rows], task.dense.y[:rows]
            peer.verify(reference(workload, x, y), y, about.same)
            running[name] = peer
        if running:
            task.say(f"{workload.name}: verified {', '.join(running)}")
        yield running


@contextlib.contextmanager
def contenders(task: Task, workload: Workload) -> Iterator[dict[str, Runner]]:
    """All that train: the backends, the peers, and the user's own program, whose results go unchecked."""
    with contextlib.ExitStack() as stack:
        running: dict[str, Runner] = {}
        for setup in task.setups:
            session = Session(workload, setup, task.images)
            stack.callback(session.close)
            running[setup.backend] = session
        running |= stack.enter_context(peers(task, workload))
        if task.command is not None:
            running[PEER] = start_command(task.command, workload)
            stack.callback(running[PEER].close)
        yield running
