"""The answers of a classifier: the class of each example, and the output that says how sure the network is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.ensemble import Ensemble, Model
from fastnet.names import BackendName, Threads
from fastnet.network import Network
from fastnet.training import selection


def check_classifier(network: Network, lacks: str) -> None:
    """Refuse an object that is no network (TypeError) and a network that is no classifier (ValueError).

    The error names `lacks`: what the network does not have.
    """
    checks.instance("network", network, Network)
    checks.classifier(network.task, lacks)


def check_model(network: object) -> None:
    """Refuse an object that is neither a network nor an ensemble (TypeError)."""
    if not isinstance(network, Ensemble):
        checks.instance("network", network, Network)


def all_outputs(
    network: Model, x: Any, backend: BackendName | None = None, threads: Threads = 1
) -> NDArray[np.floating[Any]]:
    """The outputs (n, n_out), or (n, n_classes) for a classifier: its single output a becomes 1 - a and a."""
    outputs = network.forward(x, backend=backend, threads=threads)
    return np.hstack((1 - outputs, outputs)) if network.is_classifier and outputs.shape[1] == 1 else outputs


def top_outputs(
    network: Model, x: Any, backend: BackendName | None, threads: Threads = 1
) -> tuple[NDArray[np.int64], NDArray[np.floating[Any]]]:
    """The answers (n,), and the output (n,) of each answer. The answer is the class with the largest output."""
    labels = network.predict(x, backend=backend, threads=threads)
    outputs = all_outputs(network, x, backend, threads)
    return labels, np.take_along_axis(outputs, labels[:, np.newaxis], axis=1)[:, 0]


def true_classes(network: Model, y: Any, n: int) -> NDArray[np.int64]:
    """The classes (n,) that y names: labels (n,), or targets (n, n_out). Raises ValueError where y does not fit."""
    return selection.true_classes(network.check_targets(y, n))
