"""ProgressBar: shows a fit as a live bar, on a terminal or in a notebook."""

from __future__ import annotations

import math
import sys
from typing import Any

from fastnet.errors import require_extra
from fastnet.text import scores, short_number
from fastnet.training.callbacks import Callback, EpochSoFar, FitInfo
from fastnet.training.history import Epoch

LAYOUT = "{desc} |{bar}| {remaining} left"


class ProgressBar(Callback):
    """Show one live bar for all epochs of a fit, with the cost, the scores and the speed.

    The bar is drawn by tqdm (the extra `cli`), at most ten times a second: on stderr, or as a widget in a notebook.

    Raises
    ------
    FastnetError
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
        self._epochs, self._done, self._validation = info.epochs, 0, ""
        self._bar = tqdm(total=info.epochs, dynamic_ncols=True, bar_format=LAYOUT)

    def on_batches(self, trainer: Any, so_far: EpochSoFar) -> None:
        """Move the bar."""
        self._draw(so_far, so_far.examples / max(so_far.seconds, 1e-9))
        self._bar.update(self._done + so_far.batch / so_far.batches - self._bar.n)

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        """Show the results on the validation data."""
        if not math.isnan(epoch.validation_cost):
            found = scores(epoch.validation_cost, epoch.validation_accuracy, epoch.validation_r2)
            self._validation = f", {self.validation_name} {found.split(', ')[-1].removeprefix('accuracy ')}"
            self._draw(epoch, epoch.examples_per_second)
        self._done += 1

    def on_fit_end(self, trainer: Any) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def _draw(self, epoch: Epoch | EpochSoFar, speed: float) -> None:
        title = f"epoch {self._done + 1:{len(str(self._epochs))}}/{self._epochs}"
        found = scores(epoch.cost, epoch.accuracy, epoch.r2)
        self._bar.set_description_str(
            f"{title}, {found}{self._validation}, {short_number(speed)} examples/s", refresh=False
        )
