"""The task that every suite gets, and its contenders: backends and peers, verified before they are timed."""

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
PEER = "peer"  # the name of the user's own program
LEARNT_BATCHES, LEARNT_ROWS = 500, 10_000  # an accuracy is verified after at least this many


@dataclass(frozen=True)
class Task:
    """The options of a run."""

    workloads: Sequence[Workload]
    setups: Sequence[Setup]  # one per backend
    peers: Sequence[str]
    command: str | None  # starts the user's own program
    images: Images  # in the form that fastnet gets
    folder: str  # where the peers find the images
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
        """At most `rows` examples; far fewer in a quick run."""
        return min(rows, self.rows, 500 if self.quick else rows)


def max_threads(backend: str) -> int:
    """How many threads can share a batch; 1 if the backend's BLAS has threads of its own."""
    return int(getattr(backends.get(backend), "MAX_THREADS", 1))


def verify_all(task: Task) -> None:
    for workload in task.workloads:
        for setup in task.setups:
            verify(workload, setup, task.images.x, task.images.y)
    names, workloads = (setup.backend for setup in task.setups), (workload.name for workload in task.workloads)
    task.say(f"verified: {', '.join(names)} on {', '.join(workloads)}")


@contextlib.contextmanager
def peers(task: Task, workload: Workload) -> Iterator[dict[str, OwnPeer]]:
    """The verified peers of this package, on one workload."""
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
    """The backends, the peers, and the user's own program. The program's results are not checked."""
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
