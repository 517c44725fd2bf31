"""Runs the tasks of a search in the pool, writes each result down, and keeps the networks of the best settings."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from fastnet.network import Network
from fastnet.search.halving import Rung, chosen
from fastnet.search.journal import Journal
from fastnet.search.problem import Problem
from fastnet.search.records import Record, Request, Trial, order_of, standing
from fastnet.search.training import Task, train
from fastnet.training import checkpoint_file
from fastnet.training.pool import run_in_pool
from fastnet.training.state import TrainingState

Key = tuple[int, int]  # the numbers of a setting and of a replicate
State = TrainingState | Path | None  # where the next rung goes on from; None for a training that has ended


class KeptNetworks:
    """The networks of the best settings so far. Those of other settings are dropped.

    A setting counts when all of its trainings on a rung are here. In a search by halving, no setting that goes on is
    dropped: its training may have ended early, or the journal may have its network of a later rung.
    """

    def __init__(self, keep: int, request: Request, journal: Journal | None) -> None:
        self._keep, self._request, self._journal = keep, request, journal
        self._least = 0
        self._records: dict[int, dict[int, Record]] = {}  # of the last rung of each setting, by number and replicate
        self._networks: dict[Key, Network] = {}
        self._best: list[tuple[tuple[float, ...], int]] = []  # order and number of the best settings

    def add(self, record: Record, network: Network | None) -> None:
        """Add the result of a training. The network is None if the journal has it."""
        number, replicate = record.trial.number, record.trial.replicate
        if network is not None:
            self._networks[number, replicate] = network
        elif self._journal is not None:  # the file is the network of this rung, and that in memory may be older
            self._networks.pop((number, replicate), None)
        of_setting = self._records.setdefault(number, {})
        of_setting[replicate] = record
        if not self._is_complete(number):
            return
        lower = self._request.lower_is_better
        self._best = [(order, other) for order, other in self._best if other != number]
        insort(self._best, (order_of(standing(list(of_setting.values()), lower), lower), number))
        self._drop_the_worst()

    def keep_at_least(self, count: int) -> None:
        """Keep so many settings at least: those of a rung, which are the best ones. 0 after the last rung."""
        self._least = count
        self._drop_the_worst()

    def _drop_the_worst(self) -> None:
        most = max(self._keep, self._least)
        for _, number in self._best[most:]:
            self._drop(number)
        del self._best[most:]

    def _is_complete(self, number: int) -> bool:
        records = self._records[number].values()
        return len(records) == self._request.seeds and len({record.rung for record in records}) == 1

    def _drop(self, number: int) -> None:
        for replicate in range(self._request.seeds):
            self._networks.pop((number, replicate), None)
            if self._journal is not None:
                self._journal.drop_network(number, replicate)

    def networks(self) -> dict[Key, Network]:
        """Return the networks of the best settings, the best first. Networks that are only in files are read."""
        found = {}
        for _, number in self._best:
            for replicate in range(self._request.seeds):
                network = self._networks.get((number, replicate))
                if network is None and self._journal is not None:
                    network = self._journal.network(number, replicate)
                if network is not None:
                    found[number, replicate] = network
        return found


@dataclass
class Run:
    """A search that runs.

    Attributes
    ----------
    problem : Problem
        The data.
    request : Request
        What was asked for.
    trials : list of Trial
        All trainings, setting by setting.
    n_jobs : int or None
        How many trainings run at the same time.
    backend : str or None
        The backend of all trainings, if they have the same.
    kept : KeptNetworks
        The networks of the best settings so far.
    journal : Journal or None
        Where the results are written.
    on_finished : function
        Called with the record of each training that is finished, or that the journal has.
    """

    problem: Problem
    request: Request
    trials: Sequence[Trial]
    n_jobs: int | None
    backend: str | None
    kept: KeptNetworks
    journal: Journal | None
    on_finished: Callable[[Record], object]

    def whole(self) -> list[Record]:
        """Train all settings to their end, and return the records in the order of the trials."""
        epochs = [trial.setting.get("epochs", self.request.budget) for trial in self.trials]
        tasks = [Task(trial, n, n) for trial, n in zip(self.trials, epochs, strict=True)]
        return [record for record, _ in self._results(tasks, [None] * len(tasks))]

    def halving(self, stages: Sequence[Rung]) -> list[Record]:
        """Train all settings to the first rung, and the best ones of each rung to the next. Return the last records."""
        found: dict[Key, Record] = {}
        states: dict[Key, State] = {}
        trials = list(self.trials)
        for rung, stage in enumerate(stages):
            self.kept.keep_at_least(stages[max(rung, 1)].settings if len(stages) > 1 else 0)
            keys = [(trial.number, trial.replicate) for trial in trials]
            going = [k for k, key in enumerate(keys) if not rung or states[key] is not None]
            tasks = [Task(trials[k], self.request.budget, stage.epochs, rung) for k in going]
            ended = {key: replace(found[key], rung=rung) for key in keys if rung and states[key] is None}
            for record in ended.values():
                self._finished(record, None)
            found |= ended
            results = self._results(tasks, [states.get(keys[k]) for k in going])
            for k, (record, state) in zip(going, results, strict=True):
                found[keys[k]], states[keys[k]] = record, state
            if rung + 1 < len(stages):
                trials = self._promoted(trials, [found[key] for key in keys], stages[rung + 1].settings)
        self.kept.keep_at_least(0)
        return [found[trial.number, trial.replicate] for trial in self.trials]

    def _promoted(self, trials: Sequence[Trial], records: Sequence[Record], count: int) -> list[Trial]:
        """Return the trainings that go on to the next rung."""
        best = set(chosen(records, count, self.request.lower_is_better))
        if self.journal is not None:
            for record in records:
                if record.trial.number not in best:
                    self.journal.drop_state(record.trial, record.rung)
        return [trial for trial in trials if trial.number in best]

    def _results(self, tasks: Sequence[Task], states: Sequence[State]) -> list[tuple[Record, State]]:
        """Run the tasks that the journal does not have, from these states. Return the record and the state of each."""
        found: dict[int, tuple[Record, State]] = {}
        for index, task in enumerate(tasks):
            recorded = self.journal.record(task.trial, task.rung) if self.journal is not None else None
            if recorded is not None:
                found[index] = recorded
                self._finished(recorded[0], None)
        left = [index for index in range(len(tasks)) if index not in found]
        if not left:
            return [found[index] for index in range(len(tasks))]
        parts = [replace(tasks[index], state=_loaded(states[index])) for index in left]
        running = run_in_pool(train, parts, self.problem, n_jobs=self.n_jobs, backend=self.backend)
        with closing(running) as results:
            for position, outcome in results:
                if self.journal is not None:
                    self.journal.write(outcome)
                found[left[position]] = outcome.record, outcome.state
                self._finished(outcome.record, outcome.network)
        return [found[index] for index in range(len(tasks))]

    def _finished(self, record: Record, network: Network | None) -> None:
        self.kept.add(record, network)
        self.on_finished(record)


def _loaded(state: State) -> TrainingState | None:
    """Return the state in memory. Without its file, the training begins again, and comes to the same results."""
    if isinstance(state, Path):
        return checkpoint_file.read(state) if state.exists() else None
    return state
