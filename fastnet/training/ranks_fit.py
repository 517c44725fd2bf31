"""A fit of several processes: how they begin it, where their rows come from, and the records of all of them."""

from __future__ import annotations

import dataclasses
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.backends.interrupts import Interrupts
from fastnet.evaluation import Squares
from fastnet.kernels import contract as c
from fastnet.kernels.contract import Floats, Ints
from fastnet.kernels.formulas import Sums
from fastnet.training.averaging import Averaging, choose_every
from fastnet.training.divergence import DivergenceWatch
from fastnet.training.fit import Fit
from fastnet.training.hashing import hash_of
from fastnet.training.history import Epoch
from fastnet.training.kernel_calls import OptimizerState
from fastnet.training.ranks import Ranks
from fastnet.training.ranks_updates import CommonGradients, ParameterAverage
from fastnet.training.selection import NO_ROWS
from fastnet.training.totals import Totals
from fastnet.training.windows import Window

PART_SECONDS = 1.0  # the longest time between two meetings: an error or Ctrl-C in one process waits this long
MEASURED_SECONDS = 0.2  # an update is measured at most this long
MEASURED_UPDATES = 16  # in a call of a measurement
MEASURED_CALLS = 5


class Part(NamedTuple):
    """What a process tells the others before the first update."""

    facts: Mapping[str, str]  # the same in all processes
    n_batches: int
    squares: Squares | None  # of the targets; None if the network is not for regression
    told: Mapping[str, Any]  # the entries of records that are those of the first process


class CommonFit:
    """What several processes share in a fit, and what they exchange in it.

    Attributes
    ----------
    ranks : Ranks
        The exchanges.
    every : int
        1 if the gradients are averaged, else the number of updates between two averages of the parameters.
    """

    def __init__(self, fit: Fit, ranks: Ranks, averaging: Averaging, every: int, parts: list[Part]) -> None:
        self.ranks, self.every = ranks, every
        self._warmup = averaging.warmup
        self._fit, self._parts = fit, parts
        self._alone = fit.watch
        may_be_gradients = every == 1 or averaging.warmup
        self._gradients = CommonGradients(fit.updates, ranks) if may_be_gradients else None
        self._average = ParameterAverage(fit.updates, ranks, averaging.state == "average") if every > 1 else None
        self._weight = 0.0  # this process' examples since the last average

    def begin_epoch(self, epoch: int, done: int) -> int:
        """Choose what is averaged in an epoch whose first `done` batches are made. Return its `every`."""
        fit, every = self._fit, 1 if epoch <= self._warmup else self.every
        watch: DivergenceWatch = self._alone
        if every == 1:
            assert self._gradients is not None
            watch = self._gradients
        if fit.watch is not watch:
            watch.forget()
            fit.watch = watch
        what = "gradients" if every == 1 else "parameters"
        fit.averaging = f"{what} of {self.ranks.size} processes" + (f" every {every} updates" if every > 1 else "")
        size, n = fit.updates.batch_size, fit.updates.epoch_rows
        self._weight = float(min(done * size, n) - min(done // every * every * size, n))
        return every

    def begin_part(self) -> None:
        """Begin a part of an epoch, at whose end the processes meet."""
        if self._gradients is not None and self._fit.watch is self._gradients:
            self._gradients.begin_part()

    def make(self, rows: Ints, rates: NDArray[np.float64], epoch: int) -> NDArray[np.float64]:
        """Make an update for each rate. A process whose rows have run out gives none, and its report is of zeros."""
        watch, updates = self._fit.watch, self._fit.updates
        if watch is self._alone and not len(rows):
            updates.state.step += len(rates)
            return np.zeros((len(rates), c.REPORT_COLUMNS))
        report = watch.make(rows, rates, epoch, is_last=True)
        self._weight += len(rows)
        return report

    def next_size(self) -> int:
        """Return how many updates this process would make before the next meeting."""
        return self._fit.chunks.next_size(PART_SECONDS)

    def end_part(self, epoch: int, interrupted: bool, stopped: bool, is_average: bool) -> None:
        """Meet the other processes, and average the parameters if it is time for that or if the fit is stopped."""
        if self._gradients is not None and self._fit.watch is self._gradients:
            self._gradients.end_part(epoch)
        ranks, weight = self.ranks, self._weight
        ranks.meet(interrupted=interrupted, stopped=stopped, weight=weight, n_updates=self.next_size)
        if self._fit.watch is self._alone and (is_average or ranks.is_stopped):
            assert self._average is not None
            self._average.average(weight)
            self._alone.forget()
            self._weight = 0.0

    def digest(self) -> int:
        """Return a number that differs between processes, most likely, if their parameters differ."""
        return zlib.crc32(self._fit.updates.parameters.data)

    def check_alike(self, learning_rate: float, digest: int) -> None:
        """Raise ValueError if callbacks set another learning rate or other parameters than in the first process."""
        ranks = self.ranks
        if learning_rate != ranks.first_rate:
            raise ValueError(
                f"the learning rate is {learning_rate:g} here and {ranks.first_rate:g} in {ranks.name(0)}: callbacks "
                "must set the same one in all processes"
            )
        if digest != ranks.first_digest:
            raise ValueError(f"the parameters differ from those of {ranks.name(0)}: callbacks must set the same in all")

    def record(self, totals: Totals) -> Epoch:
        """Return the record of an epoch of all processes, with the results on their validation data.

        Each process evaluates its own validation data.
        """
        fit, ranks = self._fit, self.ranks
        interrupted = ranks.is_interrupted
        found = None if interrupted else fit.evaluated()
        ranks.meet(interrupted=not interrupted and fit.interrupts.pending)
        ours = totals.sums.tolist(), totals.n_examples, totals.seconds, totals.waited, found
        sums, n_examples, seconds, waited, evaluations = zip(*ranks.gather(ours), strict=True)
        slowest = int(np.argmax(seconds))
        common = dataclasses.replace(
            totals,
            sums=np.add.reduce(np.array(sums), axis=0),
            n_examples=sum(n_examples),
            seconds=seconds[slowest],
            waited=waited[slowest],
        )
        record = dataclasses.replace(common.record(fit), **self._parts[0].told)
        known = [evaluation for evaluation in evaluations if evaluation is not None]
        if len(known) < ranks.size:
            return record
        sums, squares = zip(*known, strict=True)
        total = Sums(*map(sum, zip(*sums, strict=True)))
        return fit.with_validation(record, total, _pooled(fit.updates.layers, squares))

    def end(self) -> None:
        """Average the parameters if Ctrl-C came between two averages, so that all processes hold the same network.

        The callbacks have written their checkpoints before, since a training goes on from those without this average.
        """
        if self._average is not None and self._fit.watch is self._alone and self.ranks.is_interrupted:
            self.ranks.meet(weight=self._weight)
            if self.ranks.weight:
                self._average.average(self._weight)


class Supply:
    """The batches of an epoch on this process, without the first `done` batches."""

    def __init__(self, fit: Fit, shuffle: bool, rng: np.random.Generator, totals: Totals) -> None:
        self._fit, self._totals, self._size = fit, totals, fit.updates.batch_size
        n_own = -(-fit.updates.epoch_rows // self._size)
        is_over = totals.n_batches >= n_own
        windows = fit.windows(shuffle, rng, 0 if is_over else totals.n_batches)  # draws the order in any case
        self._windows: Iterator[Window] = iter(() if is_over else windows)
        self._window: Window | None = None
        self._place = 0

    def take(self, n_batches: int) -> tuple[Ints, int]:
        """Return the rows of at most `n_batches` batches, all in one window, and how many batches these are.

        If the rows have run out, return no rows and `n_batches`.
        """
        while self._window is None or self._place >= len(self._window.order):
            window = next(self._windows, None)
            if window is None:
                return NO_ROWS, n_batches
            if window.x is not self._fit.updates.x:
                self._fit.use(window)
                self._totals.wait(window.waited)
            self._window, self._place = window, 0
        rows = self._window.order[self._place : self._place + n_batches * self._size]
        self._place += len(rows)
        return rows, -(-len(rows) // self._size)

    def numbered(self, rows: Ints) -> Ints:
        """Return the row numbers in the user's data."""
        return rows if self._window is None else self._window.numbered(rows)


def facts_of(trainer: Any, fit: Fit, software: Mapping[str, str]) -> dict[str, str]:
    """Return what must be the same in all processes of a fit, by its name in words."""
    network = trainer.network
    names = ["optimizer", "batch_size", "weight_decay", "clip_norm", "dropout", "shuffle", "learning_rate", "averaging"]
    return {
        **{f"the version of {name}" if name[:4] != "the " else name: text for name, text in software.items()},
        "the network": f"{network.description()}, {network.cost_name} {network.cost_number:g}, {network.dtype}",
        "the backend": fit.engine.name,
        **{name: str(getattr(trainer, name)) for name in names},
        "schedule": _text_of(trainer.schedule),
        "the number of epochs": str(fit.epochs),
        "the updates made": str(trainer.steps),
    }


def _text_of(schedule: Any) -> str:
    """Return a text of a schedule. Functions stand in it by their names, since their addresses differ."""
    name = type(schedule).__qualname__
    if not dataclasses.is_dataclass(schedule):
        return name
    values = {field.name: getattr(schedule, field.name) for field in dataclasses.fields(schedule)}
    texts = {key: getattr(value, "__qualname__", repr(value)) for key, value in values.items()}
    return f"{name}({', '.join(f'{key}={text}' for key, text in texts.items())})"


def digest(fit: Fit) -> str:
    """Return a text that differs between processes if their parameters differ."""
    return f"hash {hash_of(fit.updates.parameters).hex()}"


def join(fit: Fit, ranks: Ranks, averaging: Averaging, every: int | None, facts: Mapping[str, str]) -> CommonFit:
    """Begin a fit together: check that it is the same fit in all processes, and choose what to average.

    Parameters
    ----------
    fit : Fit
        This process' fit.
    ranks : Ranks
        The exchanges.
    averaging : Averaging
        The setting.
    every : int, optional
        What was chosen before. None: nothing was.
    facts : mapping of str to str
        What must be the same in all processes, by its name in words.

    Raises
    ------
    ValueError
        The facts differ, or the backend cannot average gradients. All processes raise the same error.
    """
    if fit.feed is not None and fit.n_batches == 0:
        raise ValueError("a stream has no known length, so processes cannot share it: give each a Source to read again")
    updates, validation = fit.updates, fit.validation
    fit.ranks = ranks
    updates.interrupts = Interrupts()  # kernels go on after Ctrl-C until the processes meet
    ranks.meet()
    facts = {**facts, "the validation data": "given" if validation is not None else "not given"}
    told = {"threads": updates.n_threads, "inputs": fit.inputs, "backend_reason": fit.engine.reason}
    parts = ranks.gather(Part(facts, fit.n_batches, fit.squares, told))
    _check_same([part.facts for part in parts], ranks)
    fit.n_batches = max(part.n_batches for part in parts)
    if fit.squares is not None:
        fit.squares = _pooled(updates.layers, [part.squares for part in parts if part.squares is not None])
        fit.variance = fit.squares.variance
    if every is None:
        every = averaging.every if averaging.every != "auto" else _measured(fit, ranks, averaging)
    if (every == 1 or averaging.warmup) and not hasattr(updates.kernels, "update"):
        ranks.end_with(
            ValueError(
                f"the backend {fit.engine.name!r} cannot average gradients, since it has no `update`: "
                "give averaging=16, or another backend"
            )
        )
    return CommonFit(fit, ranks, averaging, every, parts)


def _pooled(layers: Ints, squares: Iterable[Squares]) -> Squares:
    """Return the squares of all processes' targets. `layers` are the network's."""
    found = Squares(layers)
    for some in squares:
        found.merge(some)
    return found


# What to do if these differ. Other facts come from settings.
_ADVICE = {
    "the network's parameters": "give Network the same seed in all processes; after an error, go on from a checkpoint",
    "the updates made": "after an error, go on from a checkpoint, or make new trainers",
    "the epochs done": "after an error, go on from a checkpoint, or make new trainers",
}


def _check_same(facts: list[Mapping[str, str]], ranks: Ranks) -> None:
    """Raise ValueError in all processes if a fact differs between them."""
    for name, ours in facts[0].items():
        for rank, others in enumerate(facts):
            if (theirs := others.get(name)) != ours:
                advice = _ADVICE.get(name, "give all processes the same")
                ranks.end_with(
                    ValueError(
                        f"the processes differ in {name}: {ours} in {ranks.name(0)}, {theirs} in {ranks.name(rank)}; "
                        f"{advice}"
                    )
                )


def _measured(fit: Fit, ranks: Ranks, averaging: Averaging) -> int:
    """Return what `choose_every` chooses in the first process, from times measured now."""
    updates = fit.updates
    rows = (fit.rows if fit.feed is None else np.arange(len(updates.x)))[: MEASURED_UPDATES * updates.batch_size]
    state = OptimizerState(updates.state.settings, updates.state.moments.copy(), updates.state.step)
    copy = dataclasses.replace(updates, parameters=updates.parameters.copy(), state=state, epoch_rows=len(rows))
    n_batches = -(-len(rows) // updates.batch_size)
    many = _seconds(lambda: copy.make(rows, np.zeros(n_batches))) / n_batches
    one = _seconds(lambda: copy.make(rows[: updates.batch_size], np.zeros(1)))
    ranks.meet()
    n_averaged = 1 + (len(state.moments) if averaging.state == "average" else 0)
    gradients = _seconds_of_sum(ranks, updates.parameters)
    average = _seconds_of_sum(ranks, np.concatenate([updates.parameters] * n_averaged))
    if not hasattr(updates.kernels, "update"):
        one = np.inf
    return ranks.of_first(choose_every(many, one, gradients, average))


def _seconds(function: Callable[[], object]) -> float:
    """Return the shortest time of some calls."""
    times, end = list[float](), time.perf_counter() + MEASURED_SECONDS
    while len(times) < 2 or (len(times) < MEASURED_CALLS and time.perf_counter() < end):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def _seconds_of_sum(ranks: Ranks, numbers: Floats) -> float:
    """Return the shortest time of some sums over the processes. All processes make the same number of calls."""
    times, total = list[float](), np.empty_like(numbers)
    for _ in range(MEASURED_CALLS):
        began = time.perf_counter()
        ranks.add(numbers, total)
        times.append(time.perf_counter() - began)
    return min(times)
