"""The estimators of fastnet.sklearn as subjects of a report: their run, their classes, and what a pipeline does before.

Nothing is imported for users without estimators: a user who has one has imported scikit-learn.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnet.text import numbered
from fastnet.training.history import FIELDS
from fastnet.training.runs import Run


@dataclass(frozen=True, eq=False)
class Estimated:
    """A fitted estimator of fastnet.sklearn.

    model : estimator or Pipeline
        What the user gave.
    last : estimator of fastnet.sklearn
        The model, or the last step of the pipeline.
    before : Pipeline or None
        The earlier steps of the pipeline.
    """

    model: Any
    last: Any
    before: Any

    @property
    def classes(self) -> list[Any]:
        """The classes of a classifier, in the order of the outputs."""
        return list(self.last.classes_.tolist())

    @property
    def feature_names(self) -> list[str]:
        """The names of the columns of the frame that the model was fitted on, or []."""
        return [str(name) for name in getattr(self.model, "feature_names_in_", ())]

    def inputs(self, x: Any) -> Any:
        """Return the network's inputs for the examples of the model. Raises what scikit-learn raises for them."""
        from fastnet.sklearn.fitted import validated

        if self.before is not None:
            x = self.before.transform(x)
        return validated(self.last, x, dtype=[self.last.network_.dtype, np.uint8], reset=False)

    def input_names(self, x: Any, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the network's inputs, as the steps of the pipeline call them, or "input 1" and so on."""
        n = self.last.network_.sizes[0]
        try:
            names = [
                str(name) for name in self.before.get_feature_names_out(None if hasattr(x, "columns") else columns)
            ]
        except (AttributeError, ValueError):  # a step gives its outputs no names
            names = []
        if len(names) != n:
            return numbered("input", n)
        plain = [name.split("__", 1)[-1] for name in names]  # ColumnTransformer writes "step__column"
        return tuple(plain if len(set(plain)) == n else names)

    def run(self) -> Run:
        """Return the run of the estimator's training, as far as the estimator remembers it."""
        last = self.last
        losses, scores = getattr(last, "loss_curve_", None) or [], getattr(last, "validation_scores_", None) or []
        n = len(losses)
        columns: dict[str, list[Any]] = {name: [None] * n for name in FIELDS}
        columns |= {"epoch": list(range(1, n + 1)), "cost": losses, "examples": [last.t_ // n] * n if n else []}
        if len(scores) == n:
            columns["validation_accuracy" if hasattr(last, "classes_") else "validation_r2"] = scores
        is_stochastic = last.solver != "lbfgs"
        record = {
            "optimizer": last.solver,
            "alpha": last.alpha,
            "learning_rate": last.learning_rate_init if is_stochastic else None,
            "batch_size": last.batch_size if is_stochastic else None,
            "epochs": last.n_iter_ if is_stochastic else None,
            "validation": "rows held out of the training rows for early stopping",
            "seed": last.random_state if isinstance(last.random_state, int) else None,
        }
        return Run(last.network_, columns if n else {}, record)


def estimated(model: Any) -> Estimated | None:
    """Return the estimator of fastnet.sklearn that a model is, or in which a pipeline ends; None for other objects.

    Raises scikit-learn's NotFittedError before the first fit, and ValueError for a classifier of one class.
    """
    fitted, pipeline = (sys.modules.get(name) for name in ("fastnet.sklearn.fitted", "sklearn.pipeline"))
    if fitted is None:
        return None
    model = getattr(model, "best_estimator_", model)  # of a search such as GridSearchCV
    is_pipeline = pipeline is not None and isinstance(model, pipeline.Pipeline)
    last = model.steps[-1][1] if is_pipeline else model
    if not isinstance(last, fitted.Fitted):
        return None
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(last)
    if len(getattr(last, "classes_", (0, 1))) < 2:
        raise ValueError(
            f"the model knows one class only, {last.classes_.tolist()[0]!r}: train it on two classes or more"
        )
    return Estimated(model, last, model[:-1] if is_pipeline and len(model.steps) > 1 else None)
