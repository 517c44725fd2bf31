"""A fitted estimator: its network, scikit-learn's views of the weights, the outputs for new data, and copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from fastnet import checks
from fastnet.backends.engine import choose
from fastnet.kernels.contract import Floats
from fastnet.network import Network
from fastnet.notebook import card
from fastnet.sklearn.plain_state import plain, restored
from fastnet.source import Source

SPARSE_FORMATS = ["csr", "csc"]


def validated(estimator: BaseEstimator, X: Any, *y: Any, **options: Any) -> Any:
    """Return X, or X and y, as scikit-learn's `validate_data` does. If a frame has a bad column, the error names it."""
    if isinstance(X, Source):
        raise TypeError(
            "of the methods of an estimator only partial_fit takes a Source; for outputs and scores give the Source to "
            "network_, as in network_.predict(source)"
        )
    try:
        return validate_data(estimator, X, *y, accept_sparse=SPARSE_FORMATS, order="C", **options)
    except ValueError:
        if checks.is_frame(X):
            checks.inputs(X, X.shape[1], np.dtype(np.float64), "X")
        raise


class Fitted(BaseEstimator):
    """Base class of the estimators' base class.

    Attributes
    ----------
    network_ : Network
        The trained network. It can be saved with `network_.save(path)`.
    coefs_, intercepts_ : list of numpy.ndarray
        The weights (n_in, n_out) and the biases (n_out,) of each layer: views of the network's parameters. Predictions
        follow if you change the arrays, or put other arrays into the lists.
    """

    backend: str | None
    threads: int | str
    n_iter_: int
    loss_: float

    def _hold(self, network: Network) -> None:
        """Keep a network. `coefs_` and `intercepts_` are views of its parameters."""
        self.network_ = network
        self.coefs_ = [w.T for w in network.weights]
        self.intercepts_ = list(network.biases)
        self._views = (*self.coefs_, *self.intercepts_)

    def _has_own_views(self) -> bool:
        """Whether `coefs_` and `intercepts_` are still the views of the network, not arrays of the user."""
        held = (*self.coefs_, *self.intercepts_)
        return len(held) == len(self._views) and all(a is b for a, b in zip(held, self._views, strict=True))

    def _outputs(self, X: Any) -> Floats:
        """Return the activations (n, n_outputs) of the last layer for unchecked examples."""
        check_is_fitted(self)
        network = current_network(self)
        X = validated(self, X, dtype=[network.dtype, np.uint8], reset=False)
        rows = network.check_inputs(X, "X")
        return choose(self.backend, self.threads).forward(network.layers, network.kernel_parameters(), rows)

    def _html_repr(self) -> str:
        """Return what a notebook shows: scikit-learn's diagram and, after `fit`, the network and its loss."""
        diagram = str(super()._html_repr())
        if not hasattr(self, "network_"):
            return diagram
        facts = {
            "network": self.network_.description(),
            "parameters": f"{self.network_.n_parameters:,}",
            "iterations": f"{self.n_iter_:,}",
            "loss": f"{self.loss_:.4g}",
        }
        return diagram + card("Fitted", facts, curves={"loss": getattr(self, "loss_curve_", [])})

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_views" in state and self._has_own_views():  # the network holds their numbers
            for name in ("coefs_", "intercepts_", "_views"):
                del state[name]
        return plain(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(restored(state))
        if "network_" in state and "_views" not in state:
            self._hold(self.network_)


def current_network(estimator: Fitted) -> Network:
    """Return `network_`, or a copy with the arrays that the user put into `coefs_` and `intercepts_`."""
    if estimator._has_own_views():
        return estimator.network_
    network: Network = estimator.network_.copy()
    coefs, intercepts = estimator.coefs_, estimator.intercepts_
    if len(coefs) != len(network.weights) or len(intercepts) != len(network.biases):
        raise ValueError(f"coefs_ and intercepts_ must have {len(network.weights)} arrays each, one for each layer")
    for own, given in zip((*network.weights, *network.biases), (*coefs, *intercepts), strict=True):
        array = np.asarray(given).T
        if array.shape != own.shape:
            raise ValueError(f"an array of coefs_ or intercepts_ has shape {array.T.shape}, not {own.T.shape}")
        own[...] = array
    return network
