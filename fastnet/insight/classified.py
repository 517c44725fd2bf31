"""How a classifier sorts given examples: what it confuses, and its worst mistakes.

Not here: whether its confidence can be trusted (calibration.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.calibration import classes_of
from fastnet.insight.confidence import top_outputs
from fastnet.network import Network

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Classified:
    """Examples and the network's answers to them.

    truth, predicted: int64 (n,). confidence: (n,), the output of each answer. matrix: int64 (classes, classes), how
    many examples of each class (row) were taken for each class (column).
    """

    truth: Labels
    predicted: Labels
    confidence: NDArray[np.floating]
    matrix: Labels

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return float(np.mean(self.truth == self.predicted))

    @property
    def mistakes(self) -> Labels:
        """The numbers of the examples that were answered wrong, the most confident answer first."""
        wrong = np.flatnonzero(self.truth != self.predicted)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]


def classified(network: Network, x: Any, y: Any, *, backend: str | None = None) -> Classified:
    """The network's answers to x (n, n_in), of which y says the truth: labels (n,) or targets (n, n_out).

    Raises ValueError for a regression network, and for data that the network does not take.
    """
    checks.instance("network", network, Network)
    checks.classifier(network.is_classifier, network.activations_by_layer[-1], "classes to confuse")
    predicted, confidence = top_outputs(network, x, backend)
    truth = classes_of(network.check_targets(y, len(predicted)))
    classes = max(network.sizes[-1], 2)
    counts = np.bincount(truth.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return Classified(truth.astype(np.int64), predicted, confidence, counts.reshape(classes, classes))
