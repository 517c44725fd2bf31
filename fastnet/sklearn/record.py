"""The record of the epochs: losses, validation scores, and how long neither has improved."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from fastnet.kernels.contract import Floats


@dataclass(slots=True)
class Record:
    """What scikit-learn's estimators record over all calls of `fit` with warm start and of `partial_fit`.

    Attributes
    ----------
    losses, scores : list of float
        One entry for each epoch. There are scores with early stopping only.
    best_loss, best_score : float
        The smallest loss and the largest score so far.
    best_parameters : numpy.ndarray
        The parameters after the epoch with the best score.
    n_without_improvement : int
        The number of epochs since the loss or the score last improved by `tol`.
    n_epochs : int
        The number of epochs of the last call.
    n_examples : int
        The number of examples seen, over all epochs.
    is_interrupted : bool
        Whether Ctrl-C ended the last call.
    """

    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    best_score: float = -math.inf
    best_parameters: Floats | None = None
    n_without_improvement: int = 0
    n_epochs: int = 0
    n_examples: int = 0
    is_interrupted: bool = False

    def add_loss(self, loss: float, n_examples: int) -> None:
        """Add an epoch over `n_examples` examples."""
        self.losses.append(loss)
        self.n_epochs += 1
        self.n_examples += n_examples

    def judge_loss(self, tol: float) -> None:
        """Compare the last loss with the best one."""
        loss = self.losses[-1]
        self.n_without_improvement = self.n_without_improvement + 1 if loss > self.best_loss - tol else 0
        self.best_loss = min(self.best_loss, loss)

    def judge_score(self, score: float, tol: float, parameters: Floats) -> None:
        """Add a validation score and keep the parameters if the score is the best so far."""
        self.scores.append(score)
        self.n_without_improvement = self.n_without_improvement + 1 if score < self.best_score + tol else 0
        if score > self.best_score:
            self.best_score = score
            self.best_parameters = parameters.copy()
