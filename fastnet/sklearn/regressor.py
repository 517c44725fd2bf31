"""MLPRegressor: regression with scikit-learn's interface and numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from fastnet import checks
from fastnet.costs import Huber, Quantile
from fastnet.kernels.contract import Floats
from fastnet.network import Network
from fastnet.sklearn.estimator import MLP, Validation
from fastnet.sklearn.held_out import Score, r2
from fastnet.sklearn.labels import checked_labels
from fastnet.sklearn.parameters import ACTIVATIONS, makes_epochs

Array = NDArray[Any]
LOSSES = ("squared_error", "poisson", "absolute_error", "huber", "quantile")


class MLPRegressor(RegressorMixin, MLP):
    """Multi-layer perceptron regressor, a replacement for the one of scikit-learn.

    The parameters and attributes of scikit-learn's MLPRegressor have their names, defaults and meanings here. With the
    same `random_state`, the weights, losses and predictions are the same.
    """

    def __init__(
        self,
        loss: str = "squared_error",
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
        quantile: float = 0.5,
        delta: float = 1.0,
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
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Floats:
        """Return the predicted values."""
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    _has_numeric_y = True

    def _checked_y(self, y: Any, incremental: bool, is_first: bool) -> Array:
        y = checked_labels(y)
        return y.reshape(len(y), -1)

    def _kernel_y(self, y: Array) -> Array:
        return self.network_.check_targets(y, len(y))

    def _n_outputs(self, y: Array) -> int:
        return y.shape[1]

    def _new_network(self, sizes: list[int], dtype: np.dtype[Any]) -> Network:
        checks.name_of("loss", self.loss, LOSSES)
        cost: Any = self.loss
        if self.loss == "squared_error":
            cost = "half_squared_error"
        elif self.loss == "huber":
            cost = Huber(self.delta)
        elif self.loss == "quantile":
            cost = Quantile(self.quantile)
        return Network(
            sizes,
            activation=ACTIVATIONS[self.activation],
            output="exponential" if self.loss == "poisson" else "identity",
            cost=cost,
            task="regression",
            seed=0,
            dtype=dtype,
            byte_scale=1.0,
        )

    def _cost_divisor(self) -> int:
        return self.n_outputs_ if self.loss == "squared_error" else 1

    @property
    def _score(self) -> Score:
        return r2
