"""scikit-learn's MLPClassifier, one partial_fit per epoch: gradient descent at a constant learning rate.

The classifier's cost is always softmax cross-entropy. It draws its initial parameters itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from fastnet.bench.workloads import SEED, Array, Workload


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Array, y: NDArray[np.int64]) -> None:
        self._x, self._y = x, y
        self._classes = np.arange(workload.sizes[-1])
        self._classifier = MLPClassifier(
            workload.sizes[1:-1],
            activation="logistic" if workload.activation == "sigmoid" else "relu",
            solver="sgd",
            alpha=0.0,
            batch_size=min(workload.batch_size, len(x)),
            learning_rate_init=workload.learning_rate,
            momentum=0.0,
            nesterovs_momentum=False,
            random_state=SEED,
        )
        first = slice(0, workload.batch_size)  # a first step creates the parameters that predict needs
        self._classifier.partial_fit(x[first], y[first], classes=self._classes)

    def epoch(self, order: NDArray[np.int64]) -> None:
        """One partial_fit, in an order that scikit-learn draws."""
        self._classifier.partial_fit(self._x, self._y, classes=self._classes)

    def layers(self) -> list[tuple[Array, Array]]:
        return []

    def prepared(self, x: Array) -> Array:
        return x

    def outputs(self, prepared: Array) -> Array:
        return np.asarray(self._classifier.predict_proba(prepared))

    def predict(self, prepared: Array) -> Array:
        return np.asarray(self._classifier.predict(prepared))
