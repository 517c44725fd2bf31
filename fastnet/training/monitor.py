"""Monitor: follows one measure of the history and counts the epochs since its best value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnet import checks
from fastnet.training.callbacks import FitInfo
from fastnet.training.history import MEASURES, Epoch


class Monitor:
    """The best value of a measure so far. Small costs are good; large accuracies and large R2 are good."""

    def __init__(self, name: str, patience: int, min_delta: float) -> None:
        self.name = checks.name_of("monitor", name, MEASURES)
        self.patience = checks.whole_number("patience", patience, 1)
        self.min_delta = checks.number("min_delta", min_delta, minimum=0)
        self._sign = -1 if name.endswith("cost") else 1
        self.start()

    def start(self) -> None:
        """Forget all values."""
        self.best: float | None = None
        self._waited = 0

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"best": self.best, "waited": self._waited}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self.best, self._waited = state["best"], state["waited"]

    def check(self, info: FitInfo) -> None:
        """Raise ValueError if the measure is nan in each epoch of this fit."""
        checks.monitor(self.name, info.measures)

    def is_better(self, epoch: Epoch) -> bool:
        """Record an epoch. Return whether it is better than the best epoch by more than `min_delta`."""
        value: float = getattr(epoch, self.name)
        if value == value and (self.best is None or self._sign * (value - self.best) > self.min_delta):  # not nan
            self.best, self._waited = value, 0
            return True
        self._waited += 1
        return False

    def has_waited(self) -> bool:
        """Return whether the last `patience` epochs were no better. If so, the count starts again."""
        if self._waited < self.patience:
            return False
        self._waited = 0
        return True
