"""A network as scikit-learn's MLPClassifier or MLPRegressor, and the parts of a network from one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.architecture import Architecture, Floats
from fastnet.data.encoding import Column
from fastnet.data.schema import Schema
from fastnet.errors import require_extra
from fastnet.export.parts import Layer, Parts, joined
from fastnet.kernels.formulas import n_classes
from fastnet.names import Output
from fastnet.text import reason

# scikit-learn's names of activations and ours
ACTIVATIONS: dict[str, Output] = {
    "identity": "identity",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "softmax": "softmax",
    "exp": "exponential",
}
HIDDEN = ("identity", "logistic", "tanh", "relu")
COSTS = {"logistic": "cross_entropy", "softmax": "cross_entropy", "identity": "half_squared_error", "exp": "poisson"}
LOSSES = {"identity": "squared_error", "exp": "poisson"}  # of a regressor with these outputs
THEIRS = {ours: theirs for theirs, ours in ACTIVATIONS.items()}


def from_sklearn(mlp: Any) -> tuple[Parts, Schema | None]:
    """Return the parts of a network that computes the same as a fitted estimator, and the names of its classes.

    Raises
    ------
    TypeError
        `mlp` is not a multi-layer perceptron.
    ValueError
        It is not fitted, or knows one class only.
    """
    kind = type(mlp).__name__
    if not (hasattr(mlp, "hidden_layer_sizes") and hasattr(mlp, "activation")):
        raise TypeError(
            f"mlp must be an MLPClassifier or MLPRegressor, or the last step of a Pipeline, not {checks.given(mlp)}"
        )
    if not hasattr(mlp, "coefs_"):
        raise ValueError(f"the {kind} is not fitted: call its fit first")
    classes = getattr(mlp, "classes_", None)
    if classes is not None and len(classes) == 1:
        raise ValueError(f"the {kind} was fitted on one class only, {classes[0]!r}: a network needs two or more")
    hidden = ACTIVATIONS[checks.name_of("activation", mlp.activation, HIDDEN)]
    output = checks.name_of("out_activation_", mlp.out_activation_, COSTS)
    layers = [
        Layer(f"layer {k}", np.asarray(w).T, np.asarray(b))
        for k, (w, b) in enumerate(zip(mlp.coefs_, mlp.intercepts_, strict=True), 1)
    ]
    settings = {
        "activation": [hidden] * (len(layers) - 1),
        "output": ACTIVATIONS[output],
        "cost": COSTS[output],
        "task": _task(classes, len(layers[-1].biases), output),
        "byte_scale": 1.0,  # in scikit-learn a byte stands for its own value
    }
    return joined(layers, settings), _schema(classes, getattr(mlp, "feature_names_in_", ()))


def _task(classes: NDArray[Any] | None, n_out: int, output: str) -> str:
    if classes is None:
        return "regression"
    return "multilabel" if output == "logistic" and n_out > 1 else "classification"


def _schema(classes: NDArray[Any] | None, features: Any) -> Schema | None:
    """Return the names of the inputs and of the classes. Classes that are the numbers from 0 on need no names."""
    names: tuple[str, ...] = ()
    if classes is not None and not (classes.dtype.kind in "iu" and np.array_equal(classes, np.arange(len(classes)))):
        names = tuple(map(str, classes))
    columns = tuple(Column(str(name)) for name in features)
    return Schema(columns=columns, class_names=names) if names or columns else None


def to_sklearn(network: Architecture, parameters: Floats, classes: Any) -> Any:
    """Return a fitted MLPClassifier or MLPRegressor with a copy of the parameters (n_parameters,).

    `classes` are the labels of the classes. None stands for the names in the schema, or else for the numbers from 0 on.

    Raises
    ------
    MissingLibraryError
        scikit-learn is missing.
    ValueError
        scikit-learn cannot express the network, or there is not one label for each class.
    """
    require_extra("sklearn.neural_network", "to_sklearn needs scikit-learn", "sklearn")
    from sklearn.neural_network import MLPClassifier, MLPRegressor  # imported here, since it takes a second
    from sklearn.preprocessing import LabelBinarizer

    hidden, output = _activations(network)
    views = network.views(parameters)
    coefs, intercepts = [w.T.copy() for w in views.weights], [b.copy() for b in views.biases]
    if output == "softmax" and network.sizes[-1] == 2:  # scikit-learn has one output for two classes
        coefs[-1], intercepts[-1] = np.diff(coefs[-1]), np.diff(intercepts[-1])
        output = "logistic"
    arguments = {"hidden_layer_sizes": network.sizes[1:-1], "activation": hidden}
    # What `fit` leaves behind, after no epochs. `predict` needs some of it, and `partial_fit` all.
    fitted = {
        "coefs_": coefs,
        "intercepts_": intercepts,
        "out_activation_": output,
        "n_features_in_": network.sizes[0],
        "n_layers_": len(network.sizes),
        "n_outputs_": len(intercepts[-1]),
        "n_iter_": 0,
        "t_": 0,
        "loss_curve_": [],
        "best_loss_": np.inf,
        "validation_scores_": None,
        "best_validation_score_": None,
        "_no_improvement_count": 0,
    }
    if network.task == "regression":
        if classes is not None:
            raise ValueError("a regression has no classes: leave classes out")
        model = MLPRegressor(loss=LOSSES[output], **arguments)
    else:
        model = MLPClassifier(**arguments)
        labels = _labels(network, classes)
        try:
            binarizer = LabelBinarizer().fit(labels if network.is_classifier else np.zeros((1, len(labels)), np.int64))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"scikit-learn takes no classes such as {checks.given(labels.tolist())} ({reason(error)}): give texts, "
                "or whole numbers"
            ) from error
        binarizer.classes_ = labels  # in the order of the outputs; `fit` sorts them
        fitted |= {"classes_": labels, "_label_binarizer": binarizer}
    vars(model).update(fitted)
    return model


def _activations(network: Architecture) -> tuple[str, str]:
    """Return scikit-learn's names of the activations of the hidden layers and of the outputs."""
    *hidden, output = network.activations_by_layer
    names = list(dict.fromkeys(hidden))
    if len(names) > 1:
        raise ValueError(
            f"scikit-learn has one activation for all hidden layers, and the network has {', '.join(names)}: train a "
            "network with one of them"
        )
    theirs = THEIRS.get(names[0], "") if names else "relu"  # any name will do without a hidden layer
    if theirs not in HIDDEN:
        known = ", ".join(ACTIVATIONS[name] for name in HIDDEN)
        raise ValueError(f"scikit-learn has no hidden layers of {names[0]}: train a network with one of {known}")
    n_out = network.sizes[-1]
    expressible = {
        "regression": ["identity", "exponential"],
        "classification": ["sigmoid"] if n_out == 1 else ["softmax"],
        "multilabel": ["sigmoid"] if n_out > 1 else [],
    }[network.task]
    if output not in expressible:
        raise ValueError(
            f"scikit-learn has no {network.task} with {n_out} {output} {'output' if n_out == 1 else 'outputs'}: train "
            + (
                f"a network with {' or '.join(expressible)} outputs"
                if expressible
                else "a network for a classification"
            )
        )
    return theirs, THEIRS[output]


def _labels(network: Architecture, classes: Any) -> NDArray[Any]:
    """Return the label of each class. The labels of a multilabel network are the numbers from 0 on."""
    n = n_classes(network.sizes[-1])
    if not network.is_classifier:
        if classes is not None:
            raise ValueError("scikit-learn has no names for the labels of a multilabel network: leave classes out")
        return np.arange(n)
    names = network.schema.class_names if network.schema is not None else ()
    found = np.asarray(classes if classes is not None else names or range(n))
    if found.shape != (n,) or len(set(found.tolist())) < n:
        raise ValueError(
            f"classes must be {n} different labels, one for each class, not {checks.given(found.tolist())}: give "
            "classes=[...]"
        )
    return found
