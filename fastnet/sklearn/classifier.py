"""MLPClassifier: classification with scikit-learn's interface and numbers."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from fastnet import checks
from fastnet.costs import CrossEntropy
from fastnet.kernels.contract import Floats
from fastnet.names import BatchSize
from fastnet.sklearn.estimator import MLP, Validation
from fastnet.sklearn.held_out import Score, accuracy
from fastnet.sklearn.labels import Labels, checked_labels
from fastnet.sklearn.parameters import makes_epochs
from fastnet.source_rows import is_source

Array = NDArray[Any]


class MLPClassifier(ClassifierMixin, MLP):
    """Multi-layer perceptron classifier: a faster replacement for the one of scikit-learn.

    The parameters and attributes of scikit-learn's MLPClassifier have their names, defaults and meanings here. With the
    same `random_state` and data, weights, losses and predictions are equal up to rounding. The loss is the
    cross-entropy. Each example has one class, or, with y of shape (n, n_labels), any number of labels.

    Parameters
    ----------
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
    class_weight : mapping, "balanced" or list of mappings, optional
        A weight for each class, which multiplies the weights of its examples. "balanced" gives each class the same sum.
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
    classes_ : numpy.ndarray
        The classes, sorted.
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
    >>> from fastnet.sklearn import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> MLPClassifier(random_state=0, max_iter=1000).fit(x, y).score(x, y) > 0.95
    True
    """

    def __init__(
        self,
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
        """Train the network.

        Parameters
        ----------
        X : array, data frame or scipy.sparse matrix (n, n_features)
            Examples: floats, whole numbers or bools. A byte stands for its own value.
        y : array (n,) or (n, n_labels)
            Labels of any kind, or 0 and 1 for each label of an example.
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
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch. The call continues with the weights and the optimiser of the last call.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`. X may also be a Source, which has its own y: the estimator trains for one epoch on each block
            of the source in turn. A block takes half of the shuffle buffer.
        classes : array (n_classes,), optional
            All classes. The first call needs them.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As for `fit`; or early_stopping is True, the first call lacks `classes`, or y has a class that is not among
            them.
        AttributeError
            The solver is "lbfgs", which has no epochs.
        """
        if is_source(X, y, sample_weight):
            return self._partial_fit_source(X, partial(self.partial_fit, classes=classes))
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
        """Return the class (n,) of each example; for several labels, an array (n, n_labels) of 0 and 1.

        Raises NotFittedError before the first fit, and ValueError if X is invalid.
        """
        outputs = self._outputs(X)
        return self._labels.decode(self._labels.predicted(outputs))

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class (n, n_classes), or of each label (n, n_labels)."""
        outputs = self._outputs(X)
        if self.n_outputs_ == 1:
            return np.hstack([1 - outputs, outputs])
        return outputs

    def predict_log_proba(self, X: Any) -> Floats:
        """Return the logarithm of `predict_proba`."""
        probabilities = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(probabilities, out=probabilities)

    def _learn_y(self, y: Any, incremental: bool) -> None:
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

    def _numbers(self, y: Any) -> Array:
        return self._labels.codes(np.ravel(y) if getattr(y, "shape", ())[1:] == (1,) else y)

    def _kernel_y(self, y: Array) -> Array:
        return self._labels.targets(y, self.network_.dtype)

    def _n_outputs(self, y: Array) -> int:
        return self._labels.n_outputs

    def _formulas(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        return {
            "output": "softmax" if self._labels.kind == "multiclass" else "sigmoid",
            "cost": CrossEntropy(-math.log(np.finfo(dtype).eps)),  # scikit-learn clips probabilities to eps
            "task": "multilabel" if self._labels.kind == "multilabel" else "classification",
        }

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
        product = by_class * weights if weights.size else by_class
        return checks.weights(product, len(y), "sample_weight times class_weight")

    @property
    def _score(self) -> Score:
        return lambda outputs, truth, weights: accuracy(self._labels.predicted(outputs), truth, weights)

    def _stratify(self, y: Array) -> Array | None:
        return self.classes_[y] if self._labels.kind == "binary" else None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
