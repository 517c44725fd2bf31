"""Shows the progress of a training and of a download on stderr."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec

from fastnet.text import scores
from fastnet.training.callbacks import Callback
from fastnet.training.history import Epoch
from fastnet.training.progress_bar import ProgressBar
from fastnet.training.trainer import Trainer


def training_progress(epochs: int, quiet: bool, validation_name: str) -> list[Callback]:
    """Return the callbacks that show a training: a bar if stderr is a terminal and tqdm is there, else lines.

    `validation_name` says which rows the network is evaluated on after each epoch: "test" or "held out".
    """
    if quiet:
        return []
    # A pseudo-terminal without a size, as in some containers, has 0 columns, and a bar needs more.
    has_bar = sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns and find_spec("tqdm")
    return [_Bar(validation_name)] if has_bar else [_Lines(epochs, validation_name)]


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

    def __init__(self, epochs: int, validation_name: str) -> None:
        self._epochs, self._validation_name = epochs, validation_name

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        title = f"epoch {epoch.epoch:{len(str(self._epochs))}}/{self._epochs}"
        line = f"{title}  {scores(epoch.cost, epoch.accuracy, epoch.r2)}"
        if not math.isnan(epoch.validation_cost):
            found = scores(epoch.validation_cost, epoch.validation_accuracy, epoch.validation_r2)
            line += f"  {self._validation_name} {found}"
        print(f"{line}  {epoch.examples_per_second:,.0f} examples/s", file=sys.stderr)


class _Bar(ProgressBar):
    """Shows one live bar for all epochs."""

    def __init__(self, validation_name: str) -> None:
        super().__init__()
        self.validation_name = validation_name


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
