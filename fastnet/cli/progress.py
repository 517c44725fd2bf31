"""Shows the progress of a training and of a download on stderr."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from fastnet.text import scores
from fastnet.training.callbacks import Callback, EpochSoFar
from fastnet.training.history import Epoch
from fastnet.training.progress_bar import ProgressBar, epoch_title, first_fitting, terminal_columns
from fastnet.training.trainer import Trainer

MAX_LINES = 20  # of a fit on a terminal, so that they fit onto a screen


def training_progress(epochs: int, quiet: bool, validation_name: str) -> list[Callback]:
    """Return the callbacks that show a training: a live line if stderr is a terminal and tqdm is there, else lines.

    `validation_name` is what the lines call the validation data.
    """
    if quiet:
        return []
    # A pseudo-terminal without a size, as in some containers, has 0 columns. A dumb terminal may show each \r.
    is_live = terminal_columns() is not None and os.environ.get("TERM") != "dumb" and find_spec("tqdm")
    return [_Live(epochs, validation_name)] if is_live else [_Lines(epochs, validation_name)]


def say(message: str) -> None:
    """Print a line on stderr, above the live line if there is one."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(message, file=sys.stderr, flush=True)
    else:
        tqdm.tqdm.write(message, file=sys.stderr)
        sys.stderr.flush()


@contextlib.contextmanager
def told_if_slow(message: str, quiet: bool, seconds: float = 0.3) -> Iterator[None]:
    """Print a line if the block still runs after `seconds`."""
    timer = threading.Timer(seconds, lambda: say(message))
    timer.daemon = True
    if not quiet:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Lines(Callback):
    """Prints one line for each epoch."""

    def __init__(self, epochs: int, validation_name: str) -> None:
        self._epochs, self._validation_name = epochs, validation_name

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        say(_texts(epoch, self._epochs, self._validation_name)[0])


class _Live(ProgressBar):
    """Shows a live line for the running epoch. Prints a line for the first epoch, the last, and some between them."""

    def __init__(self, epochs: int, validation_name: str) -> None:
        super().__init__()
        self.validation_name = validation_name
        self._step = _step(epochs)
        self._unprinted: Epoch | None = None  # the last finished epoch, if it has no line
        self._is_in_epoch = False

    def on_batches(self, trainer: Trainer, so_far: EpochSoFar) -> None:
        self._is_in_epoch = True
        super().on_batches(trainer, so_far)

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        self._is_in_epoch = False
        super().on_epoch_end(trainer, epoch)
        self._unprinted = epoch
        if epoch.epoch in (1, self._epochs) or epoch.epoch % self._step == 0:
            self._print()

    def on_fit_end(self, trainer: Trainer) -> None:
        self._print()
        self._bar.leave = self._is_in_epoch  # the line of an epoch that ended early stays
        super().on_fit_end(trainer)

    def _print(self) -> None:
        if self._unprinted is not None:
            texts = _texts(self._unprinted, self._epochs, self.validation_name)
            say(first_fitting(texts, terminal_columns() or len(texts[0])) or texts[-1])
            self._unprinted = None


def _step(epochs: int) -> int:
    """Return the number of epochs between two lines: 1, 2, 5, 10, 20, ..., so that a fit has at most 20 of them."""
    steps: Iterator[int] = (digit * 10**power for power in itertools.count() for digit in (1, 2, 5))
    return next(step for step in steps if epochs <= MAX_LINES * step)


def _texts(epoch: Epoch, epochs: int, validation_name: str) -> list[str]:
    """Return the line of a finished epoch, and shorter forms of it that leave out whole parts."""
    title = epoch_title(epoch.epoch, epochs)
    found = scores(epoch.cost, epoch.accuracy, epoch.r2)
    texts = [f"{title}  {found}", f"{title}  {found.split(', ')[-1]}", title]
    if not math.isnan(epoch.validation_cost):
        validated = scores(epoch.validation_cost, epoch.validation_accuracy, epoch.validation_r2)
        score = validated.split(", ")[-1].removeprefix("accuracy ")
        texts = [f"{texts[0]}  {validation_name} {validated}", f"{texts[0]}  {validation_name} {score}", *texts]
    return [f"{texts[0]}  {epoch.examples_per_second:,.0f} examples/s", *texts]


class DownloadProgress:
    """Shows a download, one line for each file. On a terminal the line is updated up to five times a second."""

    def __init__(self) -> None:
        self._file = ""
        self._drawn = 0.0

    def __call__(self, file: str, done: int, total: int | None) -> None:
        live, now = sys.stderr.isatty(), time.monotonic()
        finished = done == total
        if file != self._file:
            self._file, self._drawn = file, 0.0
            if not live:
                print(f"downloading {file}", file=sys.stderr)
        if live and (finished or now - self._drawn > 0.2):
            self._drawn = now
            size = f" of {total / 1e6:.1f}" if total else ""
            end = "\n" if finished else ""
            print(f"\rdownloading {file}: {done / 1e6:.1f}{size} MB", end=end, file=sys.stderr, flush=True)


class RowsProgress:
    """Shows on a terminal how many rows of a table are read."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, what: str, rows: int, all_rows: int | None) -> None:
        if terminal_columns() is None or not find_spec("tqdm"):
            return
        from tqdm import tqdm  # imported here: it takes 20 ms

        if self._bar is None or self._bar.desc != f"{what}: ":
            self.close()
            self._bar = tqdm(desc=what, total=all_rows, unit=" rows", unit_scale=True, leave=False)
        self._bar.update(rows - self._bar.n)

    def close(self) -> None:
        """Remove the line."""
        if self._bar is not None:
            self._bar.close()
