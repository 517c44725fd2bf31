"""The words of warnings and errors about training that did not converge: what would help, from what was seen."""

from __future__ import annotations

from typing import Any

from fastnet.checks import AnyRows
from fastnet.training.spread import spread_message

LAST_EPOCHS = 10
HARDLY = 0.01  # a smaller share of the first loss is hardly a change


def max_iter_reached(estimator: Any, x: AnyRows) -> str:
    """Return the text of the ConvergenceWarning after `max_iter` epochs."""
    losses = estimator.loss_curve_
    found = [
        f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the optimization hasn't "
        "converged yet.",
        unscaled(estimator, x),
    ]
    first, last = losses[0], losses[-1]
    recent = losses[-min(LAST_EPOCHS, len(losses))]
    if len(losses) > 1 and abs(first - last) < HARDLY * abs(first):
        found.append(
            f"The loss has hardly moved, from {first:.4g} to {last:.4g}: raise learning_rate_init, now "
            f"{estimator.learning_rate_init:g}."
        )
    elif last < recent:
        found.append(
            f"The loss still falls, from {recent:.4g} to {last:.4g} in the last {min(LAST_EPOCHS, len(losses))} "
            "iterations: raise max_iter."
        )
    elif last > recent:
        found.append(
            f"The loss no longer falls steadily ({recent:.4g}, later {last:.4g}): lower learning_rate_init, now "
            f"{estimator.learning_rate_init:g}."
        )
    return " ".join(filter(None, found))


def lbfgs_stopped(estimator: Any, problem: str, x: AnyRows) -> str:
    """Return the text of the ConvergenceWarning of the solver lbfgs."""
    more = "Raise max_iter." if estimator.n_iter_ >= estimator.max_iter else ""
    return " ".join(filter(None, (f"{problem}.", unscaled(estimator, x), more)))


def diverged(epoch: int) -> str:
    """Return the text of the warning about a loss that is not finite, where early stopping kept good weights."""
    return (
        f"The loss was not finite in iteration {epoch}, so training stopped, and the weights of the best "
        "validation score are kept. Scale the data, such as with StandardScaler, or lower learning_rate_init."
    )


def not_finite(epoch: int | None = None) -> str:
    """Return the text of the error about weights or a loss that are not finite."""
    when = "" if epoch is None else f" The loss was not finite in iteration {epoch}."
    return (
        "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
        f"preprocessed.{when} Scale the data, such as with StandardScaler, or lower learning_rate_init."
    )


def unscaled(estimator: Any, x: AnyRows) -> str:
    """Return a sentence about a column that needs scaling, or "" if none does."""
    message = spread_message(x, getattr(estimator, "feature_names_in_", None))
    return f"{message[0].upper()}{message[1:]}." if message else ""
