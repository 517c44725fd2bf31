"""ProgressBar: shows a fit as a live bar, on a terminal or in a notebook."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from typing import Any

from fastnet.errors import require_extra
from fastnet.text import scores, short_number
from fastnet.training.callbacks import Callback, EpochSoFar, FitInfo, is_first
from fastnet.training.history import Epoch

LAYOUT = "{desc} |{bar}| {remaining} left"
AROUND_BAR = len(LAYOUT.format(desc="", bar="", remaining="0:00:00"))
MIN_BAR, PLAIN_BAR, MAX_BAR = 8, 10, 40  # columns of the bar; the second where no terminal limits the line


class ProgressBar(Callback):
    """Show one live bar for all epochs of a fit, with the cost, the scores and the speed.

    The bar is drawn by tqdm (the extra `cli`), at most ten times a second: on stderr, or as a widget in a notebook. In
    a narrow terminal the line leaves out, in this order: the speed, the bar, the validation score, the cost. If several
    processes train the network, the first one alone shows a bar.

    Raises
    ------
    MissingLibraryError
        tqdm is missing. `fit` raises this error before its first epoch.

    Examples
    --------
    >>> import fastnet
    >>> trainer = fastnet.Trainer(fastnet.Network([2, 2], seed=0))
    >>> history = trainer.fit([[0.0, 1.0]], [1], epochs=3, callbacks=[fastnet.ProgressBar()])
    """

    validation_name = "validation"  # what the bar calls the validation data

    def __init__(self) -> None:
        self._bar: Any = None

    def on_fit_begin(self, trainer: Any, info: FitInfo) -> None:
        """Make the bar."""
        require_extra("tqdm", "a progress bar needs tqdm", "cli")
        if "ipykernel" in sys.modules:
            from tqdm.auto import tqdm  # a widget in a notebook; this import takes four times as long
        else:
            from tqdm import tqdm
        self._epochs, self._done, self._validation = info.epochs, 0, list[str]()
        # With colour=None, $TQDM_COLOUR is ignored. A bar with a colour would write escape codes.
        first = epoch_title(1, info.epochs)
        self._bar = tqdm(
            total=info.epochs,
            desc=first,
            dynamic_ncols=True,
            bar_format=LAYOUT,
            colour=None,
            disable=not is_first(trainer),
        )
        self._columns = terminal_columns()

    def on_batches(self, trainer: Any, so_far: EpochSoFar) -> None:
        """Move the bar."""
        self._draw(so_far, so_far.examples / max(so_far.seconds, 1e-9))
        if so_far.batches:  # unknown for a stream
            self._bar.update(self._done + so_far.batch / so_far.batches - self._bar.n)

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        """Show the results on the validation data."""
        if not math.isnan(epoch.validation_cost):
            found = scores(epoch.validation_cost, epoch.validation_accuracy, epoch.validation_r2)
            self._validation = [f"{self.validation_name} {found.split(', ')[-1].removeprefix('accuracy ')}"]
            self._draw(epoch, epoch.examples_per_second)
        self._done += 1

    def on_fit_end(self, trainer: Any) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def _draw(self, epoch: Epoch | EpochSoFar, speed: float) -> None:
        """Set the text, and the width of the bar."""
        if self._bar.disable:
            return
        title = epoch_title(self._done + 1, self._epochs)
        cost, *score = scores(epoch.cost, epoch.accuracy, epoch.r2).split(", ")
        all_parts = [title, cost, *score, *self._validation]
        fewer_parts = all_parts, [title, cost, *score], [title, *(score or [cost])], [title]
        texts = [", ".join(parts) for parts in fewer_parts]
        with_speed = f"{texts[0]}, {short_number(speed)} examples/s"
        before, self._columns = self._columns, terminal_columns()
        columns = self._columns
        if columns and before and columns < before:
            # The terminal has folded the old line. tqdm would pad the next one to the old length.
            self._bar.fp.write("\n")
            self._bar.sp = self._bar.status_printer(self._bar.fp)
        room = None if columns is None else columns - 1  # a character in the last column may begin a new line
        text, bar = with_speed, PLAIN_BAR
        if room is not None:
            text = first_fitting([with_speed, texts[0]], room - AROUND_BAR - MIN_BAR) or first_fitting(texts, room)
            bar = min(MAX_BAR, room - AROUND_BAR - len(text))
        self._bar.bar_format = LAYOUT.replace("{bar}", f"{{bar:{bar}}}") if bar >= MIN_BAR else "{desc}"
        self._bar.set_description_str(text, refresh=False)


def epoch_title(epoch: int, epochs: int) -> str:
    """Return the text that names an epoch, such as "epoch  3/12"."""
    return f"epoch {epoch:{len(str(epochs))}}/{epochs}"


def terminal_columns() -> int | None:
    """Return the width of the terminal that shows stderr. None: stderr is no terminal, or the terminal has no size."""
    if "ipykernel" in sys.modules or not sys.stderr.isatty():  # the stderr of a notebook may have a terminal's number
        return None
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or None
    except OSError:  # the stream stands for a terminal, but has no file of its own
        return None


def first_fitting(texts: Iterable[str], columns: int) -> str:
    """Return the first text that fits into the columns, or "" if none does."""
    return next((text for text in texts if len(text) <= columns), "")
