"""Settings and data that Hypothesis draws for the estimators, and the comparison with scikit-learn's own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse
import sklearn.neural_network
from hypothesis import strategies as st
from numpy.typing import NDArray

import fastnet.sklearn

EPOCHS = 30
TASKS = ("binary", "multiclass", "multilabel", "strings", "regression", "outputs", "poisson")


@dataclass
class Case:
    """Parameters of an estimator, data, and the calls to make."""

    task: str
    calls: str  # "fit", "warm" or "partial"
    parameters: dict[str, Any]
    n: int
    n_features: int
    weighted: bool
    sparse: bool
    seed: int
    arguments: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        x = rng.standard_normal((self.n, self.n_features))
        self.dense = x * (rng.random(x.shape) < 0.4) if self.sparse else x
        self.x = scipy.sparse.csr_matrix(self.dense) if self.sparse else x
        self.y = _targets(self.task, self.dense, rng)
        self.arguments = {"sample_weight": rng.integers(0, 4, self.n) + rng.random(self.n)} if self.weighted else {}

    @property
    def is_classifier(self) -> bool:
        return self.task in ("binary", "multiclass", "multilabel", "strings")

    def fitted(self, package: Any, x: Any = None, y: Any = None, arguments: Any = None, **more: Any) -> Any:
        """Return the fitted estimator of `fastnet.sklearn` or `sklearn.neural_network`. x and y replace the case's."""
        x, y, arguments = (self.x, self.y, self.arguments) if x is None else (x, y, arguments)
        make = package.MLPClassifier if self.is_classifier else package.MLPRegressor
        estimator = make(**self.parameters, **more)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # neither may have converged, and a batch may be larger than the data
            if self.calls == "partial":
                first = {"classes": np.unique(self.y)} if self.is_classifier else {}
                if self.task == "multilabel":
                    first = {"classes": np.arange(self.y.shape[1])}
                for _ in range(EPOCHS):
                    estimator.partial_fit(x, y, **arguments, **first)
                    first = {}
            else:
                for _ in range(1 + (self.calls == "warm")):
                    estimator.fit(x, y, **arguments)
        return estimator


def _targets(task: str, x: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
    sums = x @ rng.standard_normal((x.shape[1], 3)) + 0.5 * rng.standard_normal((len(x), 3))
    makers: dict[str, Callable[[], NDArray[Any]]] = {
        "binary": lambda: (sums[:, 0] > 0).astype(int),
        "multiclass": lambda: sums.argmax(axis=1),
        "multilabel": lambda: (sums > 0).astype(int),
        "strings": lambda: np.array(["one", "two", "three"])[sums.argmax(axis=1)],
        "regression": lambda: sums[:, 0],
        "outputs": lambda: sums,
        "poisson": lambda: rng.poisson(np.exp(np.clip(sums[:, 0], -2, 2))).astype(float),
    }
    found = makers[task]()
    if task in ("binary", "multiclass", "strings"):  # each class has examples enough to split
        labels = np.unique(found)
        found[: 4 * len(labels)] = np.repeat(labels, 4)
    return found


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw parameters of every kind. All runs have up to 30 epochs in float64."""
    task = draw(st.sampled_from(TASKS))
    calls = draw(st.sampled_from(("fit", "fit", "warm", "partial")))
    solvers = ("sgd", "adam") if calls == "partial" else ("sgd", "adam", "adam", "lbfgs")
    solver = draw(st.sampled_from(solvers))
    n = draw(st.integers(40, 120))
    parameters = {
        "hidden_layer_sizes": tuple(draw(st.lists(st.integers(1, 20), max_size=3))),
        "activation": draw(st.sampled_from(("identity", "logistic", "tanh", "relu"))),
        "solver": solver,
        "alpha": draw(st.sampled_from((0.0, 1e-4, 0.01, 1.0))),
        "random_state": draw(st.integers(0, 999)),
        "max_iter": EPOCHS // 2 if calls == "warm" else EPOCHS,
        # With tol=0, lbfgs goes on until rounding errors decide its steps.
        "tol": draw(st.sampled_from((1e-4, 0.01) if solver == "lbfgs" else (0.0, 1e-4, 0.01))),
        "warm_start": calls == "warm",
    }
    if solver != "lbfgs":
        parameters |= {
            "batch_size": draw(st.sampled_from(("auto", 7, 10, 32, n))),
            "learning_rate_init": draw(st.sampled_from((1e-4, 1e-3, 0.01))),
            "shuffle": draw(st.booleans()),
            "early_stopping": calls != "partial" and draw(st.booleans()),
            "validation_fraction": draw(st.sampled_from((0.1, 0.25))),
            "n_iter_no_change": draw(st.sampled_from((2, 10))),
        }
    if solver == "sgd":
        parameters |= {
            "learning_rate": draw(st.sampled_from(("constant", "invscaling", "adaptive"))),
            "power_t": draw(st.sampled_from((0.25, 0.5))),
            "momentum": draw(st.sampled_from((0.0, 0.5, 0.9))),
            "nesterovs_momentum": draw(st.booleans()),
        }
    if solver == "adam":
        parameters |= {
            "beta_1": draw(st.sampled_from((0.0, 0.9))),
            "beta_2": draw(st.sampled_from((0.9, 0.999))),
            "epsilon": draw(st.sampled_from((1e-8, 1e-3))),
        }
    if task == "poisson":
        parameters["loss"] = "poisson"
    return Case(
        task=task,
        calls=calls,
        parameters=parameters,
        n=n,
        n_features=draw(st.integers(1, 8)),
        weighted=draw(st.booleans()),
        sparse=draw(st.booleans()),
        seed=draw(st.integers(0, 999)),
    )


TOLERANCE = 1e-6


def rounding(case: Case) -> float:
    """Return how far errors in the last bit of X change scikit-learn's weights, relative to the largest of a layer.

    L-BFGS amplifies such errors by a factor of 1e11 on some problems. So does Adam where gradients are close to 0. The
    result is inf if the number of epochs changes.
    """
    first, found = case.fitted(sklearn.neural_network), 0.0
    for seed in range(6):
        x = case.x.copy()
        numbers = x.data if case.sparse else x
        numbers *= 1 + np.finfo(float).eps * np.random.default_rng(seed).integers(-1, 2, numbers.shape)
        other = case.fitted(sklearn.neural_network, x=x, y=case.y, arguments=case.arguments)
        if other.n_iter_ != first.n_iter_:
            return math.inf
        found = max(found, _relative(other.coefs_, first.coefs_))
    return found


def is_equal(case: Case, difference: float) -> bool:
    """Whether the difference is within the tolerance, or no more than rounding errors make."""
    return difference < TOLERANCE or difference <= 10 * rounding(case)


COUNTS = ("n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "out_activation_")
STOCHASTIC = ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_")


def worst_difference(case: Case, backend: str) -> float:
    """Return the largest relative difference of weights, losses, scores and outputs.

    Each difference is relative to the largest number of its array. Classes must be equal. The result is inf if a count
    or a label differs.
    """
    ours = case.fitted(fastnet.sklearn, backend=backend)
    theirs = case.fitted(sklearn.neural_network)
    names = ["loss_", "coefs_", "intercepts_", *(STOCHASTIC if case.parameters["solver"] != "lbfgs" else ())]
    pairs = [(getattr(ours, name), getattr(theirs, name)) for name in names]
    if any(getattr(ours, name) != getattr(theirs, name) for name in COUNTS):
        return math.inf
    if case.is_classifier:
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        if not np.array_equal(ours.predict(case.x), theirs.predict(case.x)):
            return math.inf
        pairs.append((ours.predict_proba(case.x), theirs.predict_proba(case.x)))
    else:
        pairs.append((ours.predict(case.x), theirs.predict(case.x)))
    return max(_relative(a, b) for a, b in pairs)


def _relative(ours: Any, theirs: Any) -> float:
    if theirs is None or ours is None:
        assert ours is theirs
        return 0.0
    if isinstance(theirs, list) and theirs and isinstance(theirs[0], np.ndarray):
        return max(_relative(a, b) for a, b in zip(ours, theirs, strict=True))
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    if a.shape != b.shape:
        return math.inf
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite], b[~finite])
    a, b = a[finite], b[finite]
    return float(np.abs(a - b).max(initial=0) / (np.abs(b).max(initial=0) or 1))
