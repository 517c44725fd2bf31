"""ReduceOnPlateau: lowers the learning rate when a fit no longer improves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnet import checks
from fastnet.training.callbacks import Callback, FitInfo
from fastnet.training.history import Epoch
from fastnet.training.monitor import Monitor


class ReduceOnPlateau(Callback):
    """Multiply the learning rate by a factor when a measure of the history has not improved for some epochs.

    Parameters
    ----------
    monitor : str
        The measure, as for `EarlyStopping`.
    factor : float
        A number between 0 and 1.
    patience : int
        The rate is lowered after this number of consecutive epochs that are not better than the best epoch before them.
        The count then starts again.
    min_delta : float
        An epoch is better if it improves the measure by more than this number.
    min_rate : float
        The rate is never lowered below this number.

    Raises
    ------
    ValueError, TypeError
        A setting is invalid. `fit` raises ValueError if its history will not hold the measure.

    Examples
    --------
    >>> import fastnet
    >>> trainer = fastnet.Trainer(fastnet.Network([2, 2], seed=0), learning_rate=0.5)
    >>> x, y = [[0.0, 1.0], [0.0, 1.0]], [0, 1]
    >>> plateau = fastnet.ReduceOnPlateau("accuracy", patience=2)
    >>> trainer.fit(x, y, epochs=5, callbacks=[plateau])["learning_rate"]
    [0.5, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(
        self,
        monitor: str = "validation_cost",
        *,
        factor: float = 0.5,
        patience: int = 5,
        min_delta: float = 0.0,
        min_rate: float = 0.0,
    ) -> None:
        self._monitor = Monitor(monitor, patience, min_delta)
        self._factor = checks.between_0_and_1("factor", factor)
        self._min_rate = checks.number("min_rate", min_rate, minimum=0)

    @property
    def state(self) -> Mapping[str, Any]:
        """The best value so far, and the number of epochs since."""
        return self._monitor.state

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self._monitor.state = state

    def on_fit_begin(self, trainer: Any, info: FitInfo) -> None:
        """Forget the last fit. Raise ValueError if this fit does not record the measure."""
        self._monitor.check(info)
        self._monitor.start()

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        """Lower the learning rate if it is time to."""
        if not self._monitor.is_better(epoch) and self._monitor.has_waited():
            trainer.learning_rate = min(
                trainer.learning_rate, max(trainer.learning_rate * self._factor, self._min_rate)
            )
