"""Shows the progress of a training and of a download on stderr."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from fastnet.text import scores
from fastnet.training.callbacks import Callback, Progress
from fastnet.training.history import Epoch
from fastnet.training.trainer import Trainer


@contextlib.contextmanager
def training_progress(epochs: int, quiet: bool) -> Iterator[Sequence[Callback]]:
    """Yield the callbacks that show a training: a bar if stderr is a terminal and tqdm is there, else lines."""
    if quiet:
        yield []
        return
    # A pseudo-terminal without a size, as in some containers, has 0 columns, and a bar needs more.
    if sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns:
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            layout = "{desc} |{bar}| {remaining} left"
            with tqdm(total=epochs, file=sys.stderr, dynamic_ncols=True, bar_format=layout) as bar:
                yield [_Bar(bar, epochs)]
            return
    yield [_Lines(epochs)]


@contextlib.contextmanager
def told_if_slow(message: str, quiet: bool, seconds: float = 0.3) -> Iterator[None]:
    """Print a line if the block still runs after `seconds`."""
    timer = threading.Timer(seconds, lambda: print(message, file=sys.stderr, flush=True))
    timer.daemon = True
    if not quiet:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Lines(Callback):
    """Prints one line for each epoch."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        line = f"epoch {epoch.epoch:{len(str(self._epochs))}}/{self._epochs}  {scores(epoch.cost, epoch.accuracy)}"
        if not math.isnan(epoch.validation_cost):
            line += f"  test {scores(epoch.validation_cost, epoch.validation_accuracy)}"
        print(f"{line}  {epoch.examples_per_second:,.0f} examples/s", file=sys.stderr)


class _Bar(Callback):
    """Shows one live bar for all epochs. tqdm draws it at most ten times a second."""

    def __init__(self, bar: Any, epochs: int) -> None:
        self._bar, self._epochs = bar, epochs
        self._test = ""

    def on_batches(self, trainer: Trainer, progress: Progress) -> None:
        speed = progress.examples / max(progress.seconds, 1e-9)
        self._draw(progress.epoch, progress.cost, progress.accuracy, speed)
        self._bar.update(progress.epoch - 1 + progress.batch / progress.batches - self._bar.n)

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        if not math.isnan(epoch.validation_accuracy):
            self._test = f", test {epoch.validation_accuracy:.2%}"
            self._draw(epoch.epoch, epoch.cost, epoch.accuracy, epoch.examples_per_second)

    def _draw(self, epoch: int, cost: float, accuracy: float, speed: float) -> None:
        title = f"epoch {epoch:{len(str(self._epochs))}}/{self._epochs}"
        text = f"{title}, {scores(cost, accuracy)}{self._test}, {_short(speed)} examples/s"
        self._bar.set_description_str(text, refresh=False)


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


def _short(number: float) -> str:
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.1f}{suffix}"
    return f"{number:.0f}"
