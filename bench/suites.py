"""The task that every suite gets, and its contenders: backends and peers, verified before they are timed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastnet import backends
from fastnet.backends.machine import Meter
from fastnet.bench.contenders import Runner, Session
from fastnet.bench.peers import PEERS, is_same, tolerance, unable
from fastnet.bench.peers.process import OwnPeer, start_command
from fastnet.bench.workloads import Images, Setup, Workload, reference, verified_rows, verify

BASELINE = "numpy"
PEER = "peer"  # the name of the user's own program
VERIFIED_OUTPUTS = 1_000  # rows of a peer that does not train
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
    pixels: Images | None = None  # the images as bytes, for the suite users
    cases: Sequence[str] = ()  # words in the titles of the cases to measure; all without words

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
def peers(task: Task, workload: Workload, trains: bool = True) -> Iterator[dict[str, OwnPeer]]:
    """The verified peers of this package, on one workload; without those that cannot do it."""
    with contextlib.ExitStack() as stack:
        running: dict[str, OwnPeer] = {}
        for name in task.peers:
            if problem := unable(name, trains):
                task.say(f"{workload.name}: left out: {name}: {problem}")
                continue
            peer = OwnPeer(name, PEERS[name].module, task.folder, workload, task.dtype)
            stack.callback(peer.close)
            verify_peer(name, peer, workload, task.dtype, task.dense.x, task.dense.y, task.dense.x_test)
            running[name] = peer
        if running:
            task.say(f"{workload.name}: verified {', '.join(running)}")
        yield running


def verify_peer(
    name: str, peer: OwnPeer, workload: Workload, dtype: str, x: Any, y: Any, x_test: Any, whole: bool = False
) -> None:
    """Compares a peer's training with the NumPy backend in float64; only its outputs if it does not train.

    `whole` leaves out the last batch, which is smaller. A peer may take seconds to compile its step for that batch.
    """
    if not PEERS[name].trains:
        rows = x_test[:VERIFIED_OUTPUTS]
        peer.verify_outputs(workload.network("float64").forward(rows, backend=BASELINE))
        return
    same = is_same(name, workload)
    rows = verified_rows(workload) if same else max(LEARNT_ROWS, LEARNT_BATCHES * workload.batch_size)
    rows = min(rows, x.shape[0])
    rows -= rows % workload.batch_size if whole else 0
    x, y = x[:rows], y[:rows]
    peer.verify(reference(workload, x, y), y, same, tolerance(name, workload, dtype))


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
