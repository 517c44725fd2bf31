"""The answers of a classifier: the class of each example, and the output that says how sure the network is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.kernels.formulas import target_classes
from fastnet.names import BackendName
from fastnet.network import Network


def check_classifier(network: Network, lacks: str) -> None:
    """Refuse an object that is no network (TypeError) and a network that is no classifier (ValueError).

    The error names `lacks`: what the network does not have.
    """
    checks.instance("network", network, Network)
    checks.classifier(network.task, lacks)


def top_outputs(
    network: Network, x: Any, backend: BackendName | None
) -> tuple[NDArray[np.int64], NDArray[np.floating[Any]]]:
    """The answers (n,), and the output (n,) of each answer.

    The answer is the class with the largest output. With a single output a, the answer 1 has the output a, and the
    answer 0 has the output 1 - a.
    """
    labels, outputs = network.predict(x, backend=backend), network.forward(x, backend=backend)
    if outputs.shape[1] == 1:
        return labels, np.where(labels == 1, outputs[:, 0], 1 - outputs[:, 0])
    return labels, outputs.max(axis=1)


def true_classes(network: Network, y: Any, n: int) -> NDArray[np.int64]:
    """The classes (n,) that y names: labels (n,), or targets (n, n_out). Raises ValueError where y does not fit."""
    targets = network.check_targets(y, n)
    return targets if targets.ndim == 1 else target_classes(targets, axis=1)
