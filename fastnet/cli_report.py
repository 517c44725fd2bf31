"""What the command line shows: progress on stderr, and the texts of its reports.

Not here: what is computed (the library), and which report a command prints (cli.py).
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.callbacks import Callback, Progress
from fastnet.files import shown
from fastnet.history import Epoch
from fastnet.trainer import Trainer

MOST_CLASSES_SHOWN = 30  # a wider matrix than this fits no terminal


# -- progress --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def training_progress(epochs: int, quiet: bool) -> Iterator[Sequence[Callback]]:
    """The callbacks that show a run of so many epochs: a live bar on a terminal with tqdm, else plain lines."""
    if quiet:
        yield []
        return
    # A pseudo-terminal that was given no size, as in some containers, has 0 columns: room for no bar.
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
    """Prints a line, once, while the block is still running after so many seconds."""
    timer = threading.Timer(seconds, lambda: print(message, file=sys.stderr, flush=True))
    timer.daemon = True
    if not quiet:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Lines(Callback):
    """One line an epoch."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def on_epoch_end(self, trainer: Trainer, epoch: Epoch) -> None:
        line = f"epoch {epoch.epoch:{len(str(self._epochs))}}/{self._epochs}  {scores(epoch.cost, epoch.accuracy)}"
        if not math.isnan(epoch.validation_cost):
            line += f"  test {scores(epoch.validation_cost, epoch.validation_accuracy)}"
        print(f"{line}  {epoch.examples_per_second:,.0f} examples/s", file=sys.stderr)


class _Bar(Callback):
    """One live bar for all epochs; tqdm draws it at most ten times a second, however often it is told."""

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
    """Tells how a download goes: one line a file, drawn over again on a terminal, at most five times a second."""

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


def scores(cost: float, accuracy: float) -> str:
    """A cost, and an accuracy where there is one: a regression network has none."""
    return f"cost {cost:.4g}" if math.isnan(accuracy) else f"cost {cost:.4f}, accuracy {accuracy:.2%}"


def _short(number: float) -> str:
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.1f}{suffix}"
    return f"{number:.0f}"


# -- reports ---------------------------------------------------------------------------------------------------


def facts(pairs: dict[str, str]) -> str:
    """Names and what there is to say of them, a line each, the names in a column."""
    width = max(10, *map(len, pairs))  # 10: so that the blocks of one command line up
    return "\n".join(f"{name:{width}}  {text}" for name, text in pairs.items())


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Rows of cells in columns, the columns `left` to the left and the others, numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    layout = "  ".join(f"{{:{'<' if i in left else '>'}{width}}}" for i, width in enumerate(widths))
    return "\n".join(layout.format(*row).rstrip() for row in rows)


def confusion_text(matrix: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """The matrix as a table, with each class's recall: the share of its examples that were recognised."""
    if len(matrix) > MOST_CLASSES_SHOWN:
        return f"confusion matrix: too wide to show, {len(matrix)} classes; --json has it"
    numbers = [str(k) for k in range(len(matrix))]
    rows = [["", *numbers, "recall"]]
    for k, (row, name) in enumerate(zip(matrix, class_names, strict=True)):
        recall = f"{row[k] / row.sum():.1%}" if row.any() else "-"
        title = name if name == numbers[k] else f"{k} {shown(name)}"
        rows.append([title, *(str(count) if count else "." for count in row), recall])
    return f"confusion matrix (row: the truth, column: the prediction)\n{table(rows)}"
