"""scikit-learn's MLPClassifier and MLPRegressor, one partial_fit per epoch, at a constant learning rate.

The classifier's cost is always cross-entropy, with a softmax, or a sigmoid for two classes. If the workload has the
same outputs and cost, the model starts from fastnet's parameters; else scikit-learn draws the parameters.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastnet.bench.peers import is_same
from fastnet.bench.workloads import ADAM, MOMENTUM, SEED, Array, Workload


class Model:
    def __init__(self, workload: Workload, dtype: str, x: Any, y: Array) -> None:
        self._x, self._y = x, y if workload.has_labels or y.shape[1] > 1 else y.ravel()
        self._extra = {"classes": np.arange(workload.sizes[-1])} if workload.has_labels else {}
        adam, momentum = workload.optimizer == "adam", MOMENTUM if workload.optimizer == "momentum" else 0.0
        # The squared error of scikit-learn has a factor 1/2.
        rate = workload.learning_rate * (1 if workload.has_labels or adam else 2)
        self._estimator = (MLPClassifier if workload.has_labels else MLPRegressor)(
            hidden_layer_sizes=workload.sizes[1:-1],
            activation="logistic" if workload.activation == "sigmoid" else "relu",
            solver="adam" if adam else "sgd",
            alpha=0.0,
            batch_size=min(workload.batch_size, x.shape[0]),
            learning_rate_init=rate,
            momentum=momentum,
            nesterovs_momentum=False,
            beta_1=ADAM.beta1,
            beta_2=ADAM.beta2,
            epsilon=ADAM.epsilon,
            random_state=SEED,
        )
        first = slice(0, workload.batch_size)  # a first step creates the parameters that predict needs
        self._estimator.partial_fit(x[first], self._y[first], **self._extra)
        if is_same("sklearn", workload):
            network = workload.network(dtype)
            for place, w in zip(self._estimator.coefs_, network.weights, strict=True):
                place[...] = w.T
            for place, b in zip(self._estimator.intercepts_, network.biases, strict=True):
                place[...] = b
            del self._estimator._optimizer  # partial_fit makes a new one

    def in_order(self, order: Array) -> None:
        """Makes the next epochs go through the examples in this order, for the verification."""
        self._estimator.set_params(shuffle=False)
        self._x, self._y = self._x[order], self._y[order]

    def epoch(self, order: Array) -> None:
        """One partial_fit, in an order that scikit-learn draws."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a last batch that is smaller
            self._estimator.partial_fit(self._x, self._y, **self._extra)

    def layers(self) -> list[tuple[Array, Array]]:
        return [(w.T, b) for w, b in zip(self._estimator.coefs_, self._estimator.intercepts_, strict=True)]

    def prepared(self, x: Any) -> Any:
        return x

    def outputs(self, prepared: Any) -> Array:
        if hasattr(self._estimator, "predict_proba"):
            return np.asarray(self._estimator.predict_proba(prepared))
        return self.predict(prepared).reshape(prepared.shape[0], -1)

    def predict(self, prepared: Any) -> Array:
        return np.asarray(self._estimator.predict(prepared))
