"""Checks of the estimators' parameters. `fit` makes them, because scikit-learn demands an `__init__` without checks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from fastnet import checks
from fastnet.names import Activation

# scikit-learn's names and ours
ACTIVATIONS: dict[str, Activation] = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
STOCHASTIC = ("sgd", "adam")
SOLVERS = ("lbfgs", *STOCHASTIC)
LEARNING_RATES = ("constant", "invscaling", "adaptive")
FLAGS = ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping")


@contextmanager
def parameter_errors() -> Iterator[None]:
    """Turn the errors of a `with` block into scikit-learn's InvalidParameterError: a ValueError and a TypeError."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise InvalidParameterError(str(error)) from None


def check_parameters(estimator: Any) -> None:
    """Raise ValueError or TypeError if a parameter of an estimator is invalid."""
    p = estimator
    checks.name_of("activation", p.activation, ACTIVATIONS)
    checks.name_of("solver", p.solver, SOLVERS)
    checks.name_of("learning_rate", p.learning_rate, LEARNING_RATES)
    for name in FLAGS:
        checks.boolean(name, getattr(p, name))
    for name in ("alpha", "power_t", "tol"):
        checks.number(name, getattr(p, name), minimum=0)
    for name in ("learning_rate_init", "epsilon"):
        checks.number(name, getattr(p, name), above=0)
    for name in ("validation_fraction", "beta_1", "beta_2"):
        checks.fraction(name, getattr(p, name))
    if checks.number("momentum", p.momentum, minimum=0) > 1:
        raise ValueError(f"momentum must be from 0 to 1, not {p.momentum}")
    for name in ("max_iter", "max_fun"):
        checks.whole_number(name, getattr(p, name), 1)
    if p.n_iter_no_change != math.inf:
        checks.whole_number("n_iter_no_change", p.n_iter_no_change, 1)
    if not isinstance(p.batch_size, str):
        checks.whole_number("batch_size", p.batch_size, 1)
    elif p.batch_size != "auto":
        raise ValueError(f"batch_size must be a whole number or 'auto', not {p.batch_size!r}")
    if not isinstance(p.verbose, (bool, np.bool_)):
        checks.whole_number("verbose", p.verbose, 0)
    if p.dtype is not None:
        checks.real_dtype(p.dtype)


def hidden_sizes(given: Any) -> list[Any]:
    """Return the widths of the hidden layers from one width or several. Raise ValueError if one is below 1."""
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    for size in sizes:
        if not isinstance(size, (int, np.integer)) or size <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}. Expected whole numbers.")
    return sizes


def makes_epochs(estimator: Any) -> bool:
    """Whether an estimator has `partial_fit`. Raise AttributeError if not."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True
