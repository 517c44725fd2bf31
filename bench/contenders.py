"""The contenders (fastnet in this process, other programs in their own) and the rounds in which they take turns."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol, TypeVar

from fastnet.backends.machine import Meter
from fastnet.bench.workloads import Images, Setup, Workload
from fastnet.training.history import Epoch
from fastnet.training.trainer import Trainer

ENDLESS = 1 << 30  # epochs
T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)


class Runner(Protocol):
    def epoch(self) -> float:
        """Trains one more epoch and returns its seconds."""

    def accuracy(self) -> float | None:
        """The current test accuracy, or None if it is unknown."""

    def close(self) -> None:
        """Ends the training and frees its process or thread."""


class Session:
    """fastnet in one long call of `fit` that waits for its turn after each epoch.

    The seconds of an epoch contain all work that recurs, such as drawing the order and recording the epoch. The work
    that a call of fit does once (checking the data, perhaps compressing it) counts as `preparation`.
    """

    def __init__(self, workload: Workload, setup: Setup, images: Images) -> None:
        self.preparation = math.nan  # seconds; known after the first epoch
        self._network = workload.network(setup.dtype)
        self._trainer = workload.trainer(self._network, setup)
        self._setup, self._images = setup, images
        self._turns: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[float | BaseException] = queue.SimpleQueue()
        self._began = 0.0
        self._thread = threading.Thread(target=self._train, daemon=True)
        self._thread.start()

    def _train(self) -> None:
        try:
            if self._turns.get():
                self._began = time.perf_counter()
                self._trainer.fit(self._images.x, self._images.y, epochs=ENDLESS, callbacks=[self._at_end])
        except BaseException as error:  # epoch() raises it in the caller's thread
            self._answers.put(error)

    def _at_end(self, trainer: Trainer, epoch: Epoch) -> None:
        seconds = time.perf_counter() - self._began
        if math.isnan(self.preparation):
            self.preparation, seconds = seconds - epoch.seconds, epoch.seconds
        self._answers.put(seconds)
        if not self._turns.get():
            trainer.stop()
        self._began = time.perf_counter()

    def epoch(self) -> float:
        self._turns.put(True)
        answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def accuracy(self) -> float:
        images = self._images
        return self._network.accuracy(images.x_test, images.y_test, backend=self._setup.backend)

    def close(self) -> None:
        self._turns.put(False)
        self._thread.join()


@dataclass
class Timing:
    """The rounds of one contender: each list has one entry per round."""

    seconds: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)  # operations a second, measured before each turn; NaN if unknown

    @property
    def median(self) -> float:
        return median(self.seconds)

    def speed(self, baseline: Timing) -> float:
        """The baseline's seconds divided by this contender's seconds: the median over the rounds."""
        return median(b / s for b, s in zip(baseline.seconds, self.seconds, strict=True))

    def share(self, operations: float) -> float:
        """The share of the multiply-add peak that a turn of `operations` operations reaches."""
        return median(operations / s / peak for s, peak in zip(self.seconds, self.peaks, strict=True))


def take_turns(
    turns: Mapping[Key, Callable[[], float]], rounds: int, peak: Meter | None = None, rehearsals: int = 1
) -> dict[Key, Timing]:
    """Calls each function once per round; a function returns its seconds. Each round begins with another function.

    So a slow moment of the machine slows all functions. `rehearsals` rounds run before these rounds and do not count.
    """
    names = list(turns)
    timings = {name: Timing() for name in names}
    for _ in range(rehearsals):
        for turn in turns.values():
            turn()
    for number in range(rounds):
        for name in rotated(names, number):
            timings[name].peaks.append(peak() if peak else math.nan)
            timings[name].seconds.append(turns[name]())
    return timings


def rotated(names: Iterable[T], number: int) -> list[T]:
    names = list(names)
    first = number % len(names)
    return names[first:] + names[:first]
