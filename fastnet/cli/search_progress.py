"""Shows the progress of a search on stderr: a live line on a terminal, else up to 20 lines."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from fastnet.cli.progress import MAX_LINES, say
from fastnet.search.halving import Rung
from fastnet.search.journal import FILE
from fastnet.search.records import Record, standings
from fastnet.search.standing_texts import metric_title
from fastnet.text import duration, score
from fastnet.training.progress_bar import first_fitting, terminal_columns

LOWER_IS_BETTER = ("cost",)
_SECONDS = 0.2  # between two drawings of the live line


def finished(folder: str | None) -> int:
    """Return how many trainings the journal in a folder has."""
    path = None if folder is None else Path(folder) / FILE
    return max(path.read_bytes().count(b"\n") - 1, 0) if path is not None and path.is_file() else 0


class SearchProgress:
    """Shows how many trainings are done, how many a second, the time left and the best setting so far.

    Parameters
    ----------
    stages : sequence of Rung
        The rungs of a search by halving. Another search has one.
    seeds : int
        The number of trainings with each setting. A setting counts for the best when it has all of them.
    metric : str
        The name of the metric.
    quiet : bool
        Whether to show nothing.
    already : int
        The number of trainings that an earlier call of the command has run. They come first and take no time.
    """

    def __init__(self, stages: Sequence[Rung], seeds: int, metric: str, *, quiet: bool, already: int = 0) -> None:
        self._seeds, self._metric, self._quiet, self._already = seeds, metric, quiet, already
        self._total = sum(stage.settings for stage in stages) * seeds
        ends = [stage.epochs for stage in stages]
        self._epochs = [end - start for start, end in pairwise((0, *ends))]  # that a training runs on each rung
        self._all_epochs = seeds * sum(
            stage.settings * epochs for stage, epochs in zip(stages, self._epochs, strict=True)
        )
        self._done_epochs = self._new_epochs = 0
        self._records: dict[tuple[int, int], list[Record]] = {}  # by the number of the setting and the rung
        self.done = 0
        self._began = self._drawn = time.monotonic()
        is_live = terminal_columns() is not None and os.environ.get("TERM") != "dumb" and find_spec("tqdm")
        self._bar: Any = None
        if is_live and not quiet:
            from tqdm import tqdm  # imported here: it takes 20 ms

            self._bar = tqdm(total=self._total, bar_format="{desc}", dynamic_ncols=True, colour=None)
            self._draw()

    def __call__(self, record: Record) -> None:
        """Count a training that has ended."""
        self._records.setdefault((record.trial.number, record.rung), []).append(record)
        self.done += 1
        self._done_epochs += self._epochs[record.rung]
        if self.done > self._already:
            self._new_epochs += self._epochs[record.rung]
        now = time.monotonic()
        if self._bar is not None:
            if now - self._drawn > _SECONDS or self.done == self._total:
                self._drawn = now
                self._draw()
        elif not self._quiet and self.done > self._already and self._is_due():
            say(self._texts()[0])

    def _is_due(self) -> bool:
        """Whether the last training completes one more of MAX_LINES equal parts."""
        return self.done * MAX_LINES // self._total > (self.done - 1) * MAX_LINES // self._total

    def close(self) -> None:
        """Leave the live line as it is."""
        if self._bar is not None:
            self._draw()
            self._bar.close()
            self._bar = None

    def __enter__(self) -> SearchProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _draw(self) -> None:
        columns = terminal_columns()
        texts = self._texts()
        # A character in the last column may begin a new line.
        self._bar.set_description_str(first_fitting(texts, columns - 1) if columns else texts[0])

    def _texts(self) -> list[str]:
        """Return the line, and shorter forms of it that leave out whole parts."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        count, best = f"{self.done:{len(str(self._total))}}/{self._total} trainings", self._best()
        if not self._new_epochs:
            return [f"{count}{best}", count]
        speed = f", {(self.done - self._already) / seconds:.3g}/s"
        left = seconds * (self._all_epochs - self._done_epochs) / self._new_epochs
        with_time = f"{speed}, {duration(left)} left" if left > 0 else speed
        return [f"{count}{with_time}{best}", f"{count}{speed}{best}", f"{count}{best}", count]

    def _best(self) -> str:
        """Return the best setting that has all its trainings in words, or "" if there is none."""
        whole = [record for records in self._records.values() if len(records) >= self._seeds for record in records]
        found = standings(whole, self._metric in LOWER_IS_BETTER)
        if not found or math.isnan(found[0].mean):
            return ""
        return f", best {metric_title(self._metric)} {score(self._metric, found[0].mean)}"
