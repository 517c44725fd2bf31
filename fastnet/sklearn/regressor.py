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
from fastnet.names import BatchSize
from fastnet.sklearn.estimator import MLP, Validation
from fastnet.sklearn.held_out import Score, r2
from fastnet.sklearn.labels import checked_labels
from fastnet.sklearn.parameters import makes_epochs
from fastnet.source_rows import is_source

Array = NDArray[Any]
LOSSES = ("squared_error", "poisson", "absolute_error", "huber", "quantile")


class MLPRegressor(RegressorMixin, MLP):
    """Multi-layer perceptron regressor: a faster replacement for the one of scikit-learn.

    The parameters and attributes of scikit-learn's MLPRegressor have their names, defaults and meanings here. With the
    same `random_state` and data, weights, losses and predictions are equal up to rounding.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "absolute_error", "huber", "quantile"}
        "squared_error" is half of the squared error. "poisson" is half of the Poisson deviance, for targets of 0 or
        more. scikit-learn's MLPRegressor has these two losses.
    hidden_layer_sizes : int or sequence of int
        The widths of the hidden layers. An empty sequence makes a linear model.
    activation : {"identity", "logistic", "tanh", "relu"}
        The activation of the hidden layers.
    solver : {"lbfgs", "sgd", "adam"}
        "sgd" is gradient descent on batches with momentum, "adam" is Adam on batches. "lbfgs" is SciPy's L-BFGS-B on
        all examples.
    alpha : float
        The strength of L2 regularisation: alpha / 2 times the sum of the squared weights is added to the summed loss of
        a batch.
    batch_size : int or "auto"
        The number of examples in an update of "sgd" and "adam". "auto" is min(200, n).
    learning_rate : {"constant", "invscaling", "adaptive"}
        How "sgd" changes its rate. "constant": not at all. "invscaling": after each epoch the rate becomes
        `learning_rate_init / (t_ + 1)**power_t`. "adaptive": the rate is divided by 5 when the loss or the score no
        longer improves.
    learning_rate_init : float
        The first learning rate of "sgd" and "adam".
    power_t : float
        The exponent of "invscaling".
    max_iter : int
        The largest number of epochs, or of iterations of "lbfgs".
    shuffle : bool
        Whether each epoch of "sgd" and "adam" draws a new order of the examples.
    random_state : int, RandomState or None
        The source of the initial weights, the held-out examples, the order of the examples, and dropout.
    tol : float
        The smallest improvement of the loss or of the score that counts. "lbfgs" stops when no component of the
        gradient is larger.
    verbose : bool
        Whether to print the loss of each epoch, and the score of the held-out examples.
    warm_start : bool
        Whether `fit` starts from the weights of the last fit.
    momentum : float
        The momentum of "sgd", from 0 to 1.
    nesterovs_momentum : bool
        Whether the momentum is Nesterov's.
    early_stopping : bool
        Whether to hold out examples, to stop when their score no longer improves, and to keep the best weights.
    validation_fraction : float
        The share of the examples to hold out for early stopping.
    beta_1, beta_2, epsilon : float
        The decay of Adam's mean gradient, the decay of its mean squared gradient, and the number that keeps its divisor
        above 0.
    n_iter_no_change : int
        Training stops after more than this number of epochs without an improvement.
    max_fun : int
        The largest number of loss evaluations of "lbfgs".
    quantile : float
        The quantile that the loss "quantile" fits, above 0 and below 1.
    delta : float
        The error at which the loss "huber" turns from a square to a line.
    backend : str, optional
        "cython", "numba", "numpy" or "auto". None: the backend in use.
    threads : int or "auto"
        How many threads share the work of each batch, and the rows to predict. Use 1 if joblib runs several fits at a
        time.
    dropout : float or sequence of float
        The dropout rates of the hidden layers: one rate for all, or one for each. Only "sgd" and "adam" have dropout.
    callbacks : sequence of Callback or function
        Functions that "sgd" and "adam" call as function(running, epoch) after each epoch, or objects such as
        `fastnet.EarlyStopping`. `running` has `network`, `learning_rate`, `steps`, `history` and `stop()`. An epoch is
        one kernel call, so `on_batches` of a callback is called once per epoch. `partial_fit` takes no callbacks.
    dtype : float32 or float64, optional
        The dtype of the weights and of the arithmetic. None: float32 if X is float32 and the solver is not "lbfgs",
        else float64.

    Attributes
    ----------
    network_ : Network
        The network. `network_.save(path)` writes it to a file.
    coefs_, intercepts_ : list of numpy.ndarray
        The weights (n_in, n_out) and the biases (n_out,) of each layer: views of the network's parameters.
    loss_ : float
        The last loss.
    loss_curve_ : list of float
        The loss of each epoch: the mean over its batches, each computed just before its update, with regularisation.
    best_loss_ : float or None
        The smallest loss; None with early stopping.
    validation_scores_, best_validation_score_ : list of float, float or None
        The score of the held-out examples after each epoch, and the best score; None without early stopping.
    n_iter_, t_ : int
        The number of epochs of the last fit, and the number of examples seen over all fits.
    n_layers_, n_outputs_, out_activation_
        The number of layers with the inputs, the number of outputs, and the activation of the output layer.
    n_features_in_, feature_names_in_
        The number of columns of X, and their names if all names are strings.

    Examples
    --------
    >>> from fastnet.sklearn import MLPRegressor
    >>> model = MLPRegressor(solver="lbfgs", random_state=0)
    >>> model.fit([[0.0], [1.0], [2.0]], [0.0, 2.0, 4.0]).predict([[3.0]]).round().tolist()
    [6.0]
    """

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: BatchSize = "auto",
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
        """Train the network.

        Parameters
        ----------
        X : array, data frame or scipy.sparse matrix (n, n_features)
            Examples: floats, whole numbers or bools. A byte stands for its own value.
        y : array (n,) or (n, n_outputs)
            Targets.
        sample_weight : array (n,), optional
            The weight of each example, 0 or more.
        X_val, y_val : arrays, optional
            Examples for early stopping, in place of held-out ones. They need early_stopping=True.
        sample_weight_val : array, optional
            The weights of these examples.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            An argument or a parameter is invalid, or the loss or a weight is not finite.
        BackendError
            The backend is unknown, or missing here.
        """
        return self._fit(X, y, sample_weight, validation=Validation(X_val, y_val, sample_weight_val))

    @available_if(makes_epochs)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch. The call continues with the weights and the optimiser of the last call.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`. X may also be a Source, which has its own y: the estimator trains for one epoch on each block
            of the source in turn. A block takes half of the shuffle buffer.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As for `fit`, or early_stopping is True.
        AttributeError
            The solver is "lbfgs", which has no epochs.
        """
        if is_source(X, y, sample_weight):
            return self._partial_fit_source(X, self.partial_fit)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Floats:
        """Return the predicted values: (n,), or (n, n_outputs) for several outputs.

        Raises NotFittedError before the first fit, and ValueError if X is invalid.
        """
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    _has_numeric_y = True

    def _learn_y(self, y: Any, incremental: bool) -> None:
        checked_labels(y)

    def _numbers(self, y: Any) -> Array:
        return y.reshape(len(y), -1)

    def _kernel_y(self, y: Array) -> Array:
        return self.network_.check_targets(y, len(y))

    def _n_outputs(self, y: Array) -> int:
        return y.shape[1]

    def _formulas(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        checks.name_of("loss", self.loss, LOSSES)
        cost: Any = self.loss
        if self.loss == "squared_error":
            cost = "half_squared_error"
        elif self.loss == "huber":
            cost = Huber(self.delta)
        elif self.loss == "quantile":
            cost = Quantile(self.quantile)
        return {"output": "exponential" if self.loss == "poisson" else "identity", "cost": cost, "task": "regression"}

    def _cost_divisor(self) -> int:
        return self.n_outputs_ if self.loss == "squared_error" else 1

    @property
    def _score(self) -> Score:
        return r2

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
