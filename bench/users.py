"""The suite `users`: cases that stand for users, on fastnet's compiled backends and every peer, in one pass of turns.

Each contender is verified against the NumPy backend in float64 before it is timed.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnet.bench.cases import Case, Data, case_folder, selected
from fastnet.bench.contenders import Session, Timing, take_turns
from fastnet.bench.peers import PEERS, chosen, is_same, unable
from fastnet.bench.peers.process import WARM, OwnPeer
from fastnet.bench.report import Section, number, ratio
from fastnet.bench.suites import BASELINE, Task, max_threads, verify_peer
from fastnet.bench.workloads import Images, Setup, checker, verify

VERIFIED_ROWS = 1_024  # of a case of inference
QUIET = 0.3  # seconds before calls with several threads: the peer's threads spin after its turn, and hold a core
NOTE = (
    "Medians of {rounds} rounds in which all contenders of a row take turns. Milliseconds of an epoch of the given "
    "rows, or of one call that labels the given rows. A ratio is fastnet's time divided by the time of the fastest "
    "peer of the row: the median over the rounds. Below 1 fastnet is faster. The row with the largest ratio comes "
    "first. In the tiny data each turn is a whole fit, with its checks. Other epochs are timed without the work before "
    "the first epoch. fastnet reads bytes as they are. The peers get floats, and convert them before the timing "
    "starts. With two threads, a predictor takes parts of 256 rows. Every contender was first verified against the "
    "NumPy backend in float64. The JSON has the times of all "
    "peers."
)


def run(task: Task) -> Section:
    names, missing = (list(task.peers), {}) if task.peers else chosen("all")
    for name, problem in missing.items():
        task.say(f"left out: {name}: {problem}")
    setups = [setup for setup in task.setups if setup.backend != BASELINE] or task.setups
    records = []
    left_out: dict[str, list[str]] = {}
    with started(names) as running, unscaled_columns():
        for position, case in enumerate(selected(task.cases)):
            task.say(f"users: {case.title}")
            with prepared(task, case, position, setups, running) as ready:
                for name, problem in ready.left_out.items():
                    left_out.setdefault(f"{name}: {problem}", []).append(case.title)
                timings = take_turns(ready.turns, task.rounds, rehearsals=0)
            records.append(record(case, ready.data, timings, running))
    return section(records, task.rounds, left_out, names)


# -- the contenders -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """The verified contenders of a case: each turn returns the seconds of one epoch or of one call."""

    data: Data
    turns: dict[str, Callable[[], float]]
    left_out: dict[str, str]  # a peer that cannot do the case -> the reason


class Peers(dict[str, OwnPeer]):
    """The processes of the peers, which start at their first case and go on with the next one."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names

    def loaded(self, name: str, case: Case, folder: str) -> OwnPeer:
        if name in self:
            self[name].load(folder, case.workload, case.dtype)
        else:
            self[name] = OwnPeer(name, PEERS[name].module, folder, case.workload, case.dtype)
            if case.threads > 1:  # a new process has one thread
                self[name].load(folder, case.workload, case.dtype)
        return self[name]


@contextlib.contextmanager
def unscaled_columns() -> Iterator[None]:
    """Hides the warning of unscaled columns: some pixels of digits are nearly always black."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "column .* has a standard deviation")
        yield


@contextlib.contextmanager
def started(names: Sequence[str]) -> Iterator[Peers]:
    running = Peers(names)
    try:
        yield running
    finally:
        for peer in running.values():
            peer.close()


@contextlib.contextmanager
def prepared(task: Task, case: Case, position: int, setups: Sequence[Setup], running: Peers) -> Iterator[Ready]:
    """Writes the data of a case, and verifies and rehearses fastnet's backends and the peers."""
    folder = case_folder(task.folder, position)
    data = case.written(task.pixels or task.dense, folder, task.quick)
    left_out = {name: problem for name in running.names if (problem := cannot(name, case, data))}
    able = [name for name in running.names if name not in left_out]
    with contextlib.ExitStack() as stack:
        turns: dict[str, Callable[[], float]] = {}
        for setup in setups:
            turn = own_turn(case, data, Setup(setup.backend, case.dtype), stack)
            turn()
            turns[setup.backend] = turn
        with ThreadPoolExecutor(max(len(able), 1)) as pool:  # the processes load and compile at the same time
            found = pool.map(lambda name: peer_turn(name, case, data, running, folder), able)
            turns |= dict(zip(able, found, strict=True))
        yield Ready(data, turns, left_out)


def cannot(name: str, case: Case, data: Data) -> str:
    sparse = not isinstance(data.x, np.ndarray)
    if problem := unable(name, case.trains, sparse, case.threads):
        return problem
    return "" if case.trains or is_same(name, case.workload) else "its outputs are always a softmax"


def own_turn(case: Case, data: Data, setup: Setup, stack: contextlib.ExitStack) -> Callable[[], float]:
    """fastnet's turn on one backend, verified."""
    workload = case.workload
    if not case.trains:
        rows = data.x_test[:VERIFIED_ROWS]
        network = workload.network(case.dtype)
        threads = min(case.threads, max_threads(setup.backend))
        predictor = network.compile(backend=setup.backend, max_batch=case.part_rows, threads=threads)
        check = checker(f"{case.title}, {setup}", workload.tolerance(case.dtype))
        parts = [rows[k : k + case.call_rows] for k in range(0, len(rows), case.call_rows)]
        expected = workload.network("float64").forward(rows, backend=BASELINE)
        check("output", np.concatenate([predictor.forward(part).copy() for part in parts]), expected)
        return functools.partial(_calls, predictor.predict, data.x_test, case)
    verify(workload, setup, data.x, data.y)
    if case.epochs > 1:
        trainer = workload.trainer(workload.network(case.dtype), setup)
        return functools.partial(_fit, trainer, case, data)
    session = Session(workload, setup, Images(data.x, data.y, data.x_test, data.y_test, case.title))
    stack.callback(session.close)
    return session.epoch


def _fit(trainer: Any, case: Case, data: Data) -> float:
    began = time.perf_counter()
    trainer.fit(data.x, data.y, epochs=case.epochs)
    return (time.perf_counter() - began) / case.epochs


def _calls(predict: Callable[[Any], Any], x: Any, case: Case) -> float:
    """The mean seconds of a call; the calls get different rows, as those of the peers."""
    starts = range(0, len(x) - case.call_rows + 1, case.call_rows)[: case.calls]
    parts = [x[k : k + case.call_rows] for k in starts]
    parts = [parts[k % len(parts)] for k in range(case.calls)]
    if case.threads > 1:
        time.sleep(QUIET)
    for part in parts[: case.calls // WARM]:
        predict(part)
    began = time.perf_counter()
    for part in parts:
        predict(part)
    return (time.perf_counter() - began) / case.calls


def peer_turn(name: str, case: Case, data: Data, running: Peers, folder: str) -> Callable[[], float]:
    """A peer's turn, verified, and rehearsed once."""
    peer = running.loaded(name, case, folder)
    turn: Callable[[], float]
    if case.trains:
        whole = PEERS[name].compiler
        verify_peer(name, peer, case.workload, case.dtype, data.x, data.y, data.x_test, whole)
        turn = functools.partial(_epochs, peer, case.epochs)
    else:
        peer.verify_outputs(case.workload.network("float64").forward(data.x_test[:VERIFIED_ROWS], backend=BASELINE))
        turn = functools.partial(peer.inference, case.call_rows, case.calls)
    turn()
    return turn


def _epochs(peer: OwnPeer, times: int) -> float:
    return peer.epochs(times) / times


# -- the results --------------------------------------------------------------------------------------------------


def record(case: Case, data: Data, timings: Mapping[str, Timing], peers: Mapping[str, Any]) -> dict[str, Any]:
    """A case with the times of all contenders; `best_peer` is the peer with the smallest median."""
    theirs = {name: timing.median for name, timing in timings.items() if name in peers}
    best = min(theirs, key=theirs.__getitem__) if theirs else ""
    own = {name: timing for name, timing in timings.items() if name not in peers}
    return {
        "case": case.title,
        "what": case.workload.layers if not case.trains else case.workload.title,
        "rows": data.x.shape[0] if case.trains else case.call_rows,
        "dtype": case.dtype,
        "trains": case.trains,
        "best_peer": best,
        "seconds": {name: timing.seconds for name, timing in timings.items()},
        "median_seconds": {name: timing.median for name, timing in timings.items()},
        "over_best_peer": {name: timings[best].speed(timing) if best else math.nan for name, timing in own.items()},
    }


def section(
    records: list[dict[str, Any]], rounds: int, left_out: Mapping[str, Sequence[str]], names: Sequence[str]
) -> Section:
    own = list(dict.fromkeys(name for r in records for name in r["over_best_peer"]))
    ordered = sorted(records, key=_worst, reverse=True)
    rows = []
    for r in ordered:
        best, times = r["best_peer"], r["median_seconds"]
        rows.append(
            (
                *(r["case"], r["what"], best or "-", f"{r['rows']:,}"),
                *(number(times[name] * 1e3) for name in own),
                number(times[best] * 1e3) if best else "-",
                *(ratio(r["over_best_peer"][name]) for name in own),
            )
        )
    columns = (
        *("case", "network", "best peer", "rows"),
        *(f"{name}, ms" for name in own),
        "best peer, ms",
        *(f"{name} / best peer" for name in own),
    )
    items = [
        *(f"{name}: {PEERS[name].title}" for name in names),
        *(f"left out: {who}: {_shortened(titles)}" for who, titles in left_out.items()),
    ]
    return Section(
        *("users", "Workloads of users", columns, rows, NOTE.format(rounds=rounds), ordered),
        text_columns=3,
        items=items,
    )


def _worst(r: dict[str, Any]) -> float:
    """The ratio that orders the table: that of the first backend; a case without a peer comes last."""
    value = next(iter(r["over_best_peer"].values()), math.nan)
    return -math.inf if math.isnan(value) else float(value)


def _shortened(titles: Sequence[str]) -> str:
    training = [title for title in titles if not title.startswith("inference")]
    calls = len(titles) - len(training)
    if len(training) > 3:
        training = ["training"]
    return ", ".join([*training, *([f"inference ({calls} rows of the table)"] if calls else [])])
