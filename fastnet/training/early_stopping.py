"""EarlyStopping: ends a fit that no longer improves, and restores the best parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnet import checks
from fastnet.kernels.contract import Floats
from fastnet.training.callbacks import Callback, FitInfo
from fastnet.training.history import Epoch
from fastnet.training.monitor import Monitor


class EarlyStopping(Callback):
    """Stop the fit when a measure of the history has not improved for some epochs.

    Parameters
    ----------
    monitor : str
        The measure: "cost", "accuracy", "label_accuracy" or "r2", or one of these names after `validation_`. Small
        costs are good, and so are large values of the other measures.
    patience : int
        The fit stops after this number of consecutive epochs that are not better than the best epoch before them.
    min_delta : float
        An epoch is better if it improves the measure by more than this number.
    restore_best : bool
        Whether the network gets the parameters of the best epoch when the fit ends, for whatever reason it ends. The
        optimiser's state stays that of the last update.

    Attributes
    ----------
    best : float or None
        The best value in the last fit.
    best_epoch : int or None
        The number of the epoch with this value.

    Raises
    ------
    ValueError, TypeError
        A setting is invalid. `fit` raises ValueError if its history will not hold the measure.

    Examples
    --------
    >>> import fastnet
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(100, 4)), rng.integers(0, 3, 100)
    >>> stopping = fastnet.EarlyStopping(patience=5)
    >>> trainer = fastnet.Trainer(fastnet.Network([4, 32, 3], seed=0), seed=0)
    >>> history = trainer.fit(x, y, epochs=500, validation_split=0.2, callbacks=[stopping])
    >>> len(history) == stopping.best_epoch + 5 < 500
    True
    """

    def __init__(
        self,
        monitor: str = "validation_cost",
        *,
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        self._monitor = Monitor(monitor, patience, min_delta)
        self._restore_best = checks.boolean("restore_best", restore_best)
        self._parameters: Floats | None = None  # of the best epoch, while a fit runs
        self.best_epoch: int | None = None

    @property
    def best(self) -> float | None:
        """The best value in the last fit."""
        return self._monitor.best

    @property
    def state(self) -> Mapping[str, Any]:
        """The best value so far, its epoch and its parameters, and the number of epochs since."""
        parameters = {} if self._parameters is None else {"parameters": self._parameters}
        return {**self._monitor.state, "best_epoch": self.best_epoch, **parameters}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self._monitor.state = state
        self.best_epoch, self._parameters = state["best_epoch"], state.get("parameters")

    def on_fit_begin(self, trainer: Any, info: FitInfo) -> None:
        """Forget the last fit. Raise ValueError if this fit does not record the measure."""
        self._monitor.check(info)
        self._monitor.start()
        self.best_epoch = self._parameters = None

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        """Keep the parameters of a better epoch, or stop the fit."""
        if self._monitor.is_better(epoch):
            self.best_epoch = epoch.epoch
            if self._restore_best:
                self._parameters = trainer.network.parameters.copy()
        elif self._monitor.has_waited():
            trainer.stop()

    def on_fit_end(self, trainer: Any) -> None:
        """Restore the best parameters."""
        if self._parameters is not None:
            trainer.network.parameters = self._parameters
            self._parameters = None
