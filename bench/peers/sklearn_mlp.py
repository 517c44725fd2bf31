"""scikit-learn's MLPClassifier, an epoch a partial_fit: plain gradient descent at a constant rate.

Its cost is softmax cross-entropy, whatever the workload's is, and it starts from parameters of its own.
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
        first = slice(0, workload.batch_size)  # a step makes its parameters, without which it predicts nothing
        self._classifier.partial_fit(x[first], y[first], classes=self._classes)

    def epoch(self, order: NDArray[np.int64]) -> None:
        """In an order of its own drawing."""
        self._classifier.partial_fit(self._x, self._y, classes=self._classes)

    def layers(self) -> list[tuple[Array, Array]]:
        return []

    def prepared(self, x: Array) -> Array:
        return x

    def outputs(self, prepared: Array) -> Array:
        return np.asarray(self._classifier.predict_proba(prepared))

    def predict(self, prepared: Array) -> Array:
        return np.asarray(self._classifier.predict(prepared))
