"""OptunaCallback: reports the epochs of a fit to a trial of Optuna, which may end the fit early."""

from __future__ import annotations

from typing import Any

from fastnet import checks
from fastnet.errors import require_extra
from fastnet.training.callbacks import Callback, FitInfo
from fastnet.training.history import MEASURES, Epoch


class OptunaCallback(Callback):
    """Report a measure of each epoch to a trial of Optuna, and end the fit of a trial that the pruner gives up.

    `fit` then raises `optuna.TrialPruned`, which Optuna expects from the objective. The network keeps its parameters.

    Parameters
    ----------
    trial : optuna.trial.Trial
        The trial, as the objective gets it. Its study has one objective.
    measure : str
        The measure: "cost", "accuracy", "label_accuracy" or "r2", or one of these names after `validation_`.

    Raises
    ------
    ValueError, TypeError
        An argument is invalid, or the study goes the wrong way: it maximizes a cost, or minimizes another measure.
        `fit` raises ValueError if its history will not hold the measure.
    MissingLibraryError
        Optuna is missing.

    Examples
    --------
    >>> import optuna
    >>> import fastnet
    >>> from fastnet.search import OptunaCallback
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(100, 4)), rng.integers(0, 3, 100)
    >>> def objective(trial):
    ...     rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    ...     trainer = fastnet.Trainer(fastnet.Network([4, 16, 3], seed=0), learning_rate=rate, seed=0)
    ...     trainer.fit(x, y, epochs=10, validation_split=0.2, callbacks=[OptunaCallback(trial)])
    ...     return trainer.history["validation_cost"][-1]
    >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=optuna.pruners.MedianPruner())
    >>> study.optimize(objective, n_trials=8)
    >>> len(study.trials)
    8
    """

    comes_last = True  # so that the other callbacks see the last epoch

    def __init__(self, trial: Any, measure: str = "validation_cost") -> None:
        require_extra("optuna", "OptunaCallback needs Optuna", "optuna")
        from optuna.study import StudyDirection

        if not hasattr(trial, "report") or not hasattr(trial, "should_prune"):
            raise TypeError(f"trial must be the trial that Optuna gives to the objective, not {checks.given(trial)}")
        self._measure = checks.name_of("measure", measure, MEASURES)
        self._trial = trial
        wanted = StudyDirection.MINIMIZE if measure.endswith("cost") else StudyDirection.MAXIMIZE
        study = getattr(trial, "study", None)  # a FixedTrial has none
        if study is not None and study.directions != [wanted]:
            raise ValueError(
                f"measure={measure!r} needs optuna.create_study(direction={wanted.name.lower()!r}), and the study has "
                f"{', '.join(repr(direction.name.lower()) for direction in study.directions)}"
            )

    def on_fit_begin(self, trainer: Any, info: FitInfo) -> None:
        """Raise ValueError if this fit does not record the measure."""
        checks.monitor(self._measure, info.measures)

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        """Report the epoch. Raise `optuna.TrialPruned` if the trial is to end."""
        from optuna import TrialPruned

        value: float = getattr(epoch, self._measure)
        self._trial.report(value, epoch.epoch)
        if self._trial.should_prune():
            raise TrialPruned(f"{self._measure} {value:.4g} after epoch {epoch.epoch}")
