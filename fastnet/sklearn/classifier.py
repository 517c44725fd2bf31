"""MLPClassifier: classification with scikit-learn's interface and numbers."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from fastnet.costs import CrossEntropy
from fastnet.kernels.contract import Floats
from fastnet.network import Network
from fastnet.sklearn.estimator import MLP, Validation
from fastnet.sklearn.held_out import Score, accuracy
from fastnet.sklearn.labels import Labels, checked_labels
from fastnet.sklearn.parameters import ACTIVATIONS, makes_epochs

Array = NDArray[Any]


class MLPClassifier(ClassifierMixin, MLP):
    """Multi-layer perceptron classifier, a replacement for the one of scikit-learn.

    The parameters and attributes of scikit-learn's MLPClassifier have their names, defaults and meanings here. With the
    same `random_state`, the weights, losses and predictions are the same.
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        class_weight: Any = None,
        backend: str | None = None,
        threads: int | str = 1,
        dropout: Any = 0.0,
        callbacks: Any = (),
        dtype: Any = None,
    ) -> None:
        arguments = locals()  # scikit-learn expects an attribute for each argument, and nothing else
        del arguments["self"]
        self.__dict__.update(arguments)

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network."""
        return self._fit(X, y, sample_weight, validation=Validation(X_val, y_val, sample_weight_val))

    @available_if(makes_epochs)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch."""
        known = getattr(self, "classes_", None)
        if known is None:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._labels = Labels.of(y if type_of_target(y).startswith("multilabel") else np.asarray(classes))
            self.classes_ = unique_labels(classes)
        elif classes is not None and not np.array_equal(known, unique_labels(classes)):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}")
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Any:
        """Return the class of each example."""
        outputs = self._outputs(X)
        return self._labels.decode(self._labels.predicted(outputs))

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class."""
        outputs = self._outputs(X)
        if self.n_outputs_ == 1:
            return np.hstack([1 - outputs, outputs])
        return outputs

    def predict_log_proba(self, X: Any) -> Floats:
        """Return the logarithm of the probability of each class."""
        probabilities = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(probabilities, out=probabilities)

    def _checked_y(self, y: Any, incremental: bool, is_first: bool) -> Array:
        y = checked_labels(y)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._labels = Labels.of(y)
            self.classes_ = self._labels.classes
        elif self.warm_start:
            found = unique_labels(y)
            if not np.array_equal(found, self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {found}"
                )
        return self._labels.codes(y)

    def _kernel_y(self, y: Array) -> Array:
        return self._labels.targets(y, self.network_.dtype)

    def _n_outputs(self, y: Array) -> int:
        return self._labels.n_outputs

    def _new_network(self, sizes: list[int], dtype: np.dtype[Any]) -> Network:
        return Network(
            sizes,
            activation=ACTIVATIONS[self.activation],
            output="softmax" if self._labels.kind == "multiclass" else "sigmoid",
            cost=CrossEntropy(-math.log(np.finfo(dtype).eps)),  # scikit-learn clips probabilities to eps
            task="multilabel" if self._labels.kind == "multilabel" else "classification",
            seed=0,
            dtype=dtype,
            byte_scale=1.0,
        )

    def _weights(self, sample_weight: Any, y: Array, incremental: bool) -> NDArray[np.float64]:
        weights = super()._weights(sample_weight, y, incremental)
        if self.class_weight is None:
            return weights
        if incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all examples, and partial_fit sees a part of them: give a mapping "
                "{class: weight}, such as from sklearn.utils.class_weight.compute_class_weight"
            )
        by_class = compute_sample_weight(self.class_weight, self._labels.decode(y))
        return by_class * weights if weights.size else by_class

    @property
    def _score(self) -> Score:
        return lambda outputs, truth, weights: accuracy(self._labels.predicted(outputs), truth, weights)

    def _stratify(self, y: Array) -> Array | None:
        return self.classes_[y] if self._labels.kind == "binary" else None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
