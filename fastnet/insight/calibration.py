"""Whether a network is right as often as it is sure: calibration, and the temperature that mends it.

Not here: what it answers to noise (confidence.py).

What counts as the probability of a class. A temperature T divides the weighted sums of the last layer, and the softmax
of these is taken, whatever output the network was trained with (Guo et al. 2017, On calibration of modern neural
networks). For softmax outputs T = 1 is the network itself. Ten sigmoids, the chapter's outputs, are ten answers to ten
questions and do not sum to 1: their softmax makes one distribution of them, is larger than the outputs say, and is what
a temperature above 1 mends. Without a temperature (None) the top output itself is the confidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.errors import require_extra
from fastnet.insight.confidence import top_outputs
from fastnet.kernels.formulas import target_classes
from fastnet.network import Network

HOTTEST = 100.0  # temperatures are looked for from 1 / HOTTEST to HOTTEST


@dataclass(frozen=True, eq=False)
class Calibration:
    """A reliability diagram: examples in bins of equal width by the confidence in their answer.

    edges: (bins + 1,) from 0 to 1. confidence, accuracy: (bins,), the mean confidence and the share of right answers of
    each bin, NaN where it is empty. counts: int64 (bins,). temperature: None where the outputs were taken as they are.
    """

    temperature: float | None
    edges: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean over examples of |accuracy - confidence| of their bins.

        Naeini et al. 2015, Obtaining well calibrated probabilities using Bayesian binning.
        """
        return self._mean(np.abs(self.accuracy - self.confidence))

    @property
    def mean_confidence(self) -> float:
        """The mean confidence over the examples."""
        return self._mean(self.confidence)

    @property
    def mean_accuracy(self) -> float:
        """The share of right answers."""
        return self._mean(self.accuracy)

    def _mean(self, of_bins: NDArray[np.float64]) -> float:
        return float(np.nansum(of_bins * self.counts) / self.counts.sum())


def tempered(network: Network, temperature: float) -> Network:
    """The network whose outputs are the probabilities of the classes at that temperature.

    A copy with the weights and biases of the last layer divided by the temperature, with a softmax output (with a
    single output a sigmoid) and the cross-entropy as its cost. Its answers are those of the network.

    Raises ValueError for a regression network and a temperature below 0.000001.
    """
    temperature = checks.number("temperature", temperature, minimum=1e-6)  # by less the weights could overflow
    hidden = _classifier(network).activations_by_layer[:-1]
    result = Network(network.sizes, activation=hidden, cost="cross_entropy", dtype=network.dtype)
    result.parameters[...] = network.parameters
    for last in (result.weights[-1], result.biases[-1]):
        last /= temperature
    return result


def calibration(
    network: Network,
    x: Any,
    y: Any,
    *,
    temperature: float | None = 1.0,
    bins: int = 15,
    backend: str | None = None,
) -> Calibration:
    """How the confidence in the answers to x (n, n_in) compares with how often they are right, by labels y (n,).

    The confidence is the largest probability at that temperature (see above), in a network with a single output that
    of the answer; with temperature=None it is the top output as it is. x and y should be data that neither the network
    nor the temperature was fitted to.

    Raises ValueError for a regression network and impossible arguments.
    """
    bins = checks.whole_number("bins", bins, 1)
    probabilities = _classifier(network) if temperature is None else tempered(network, temperature)
    answers, top = top_outputs(probabilities, x, backend)
    confidence = top.astype(np.float64)
    truth = classes_of(network.check_targets(y, len(answers)))
    edges = np.linspace(0, 1, bins + 1)
    # bin k: edges[k] < confidence <= edges[k + 1]
    numbers = np.clip(np.searchsorted(edges, confidence) - 1, 0, bins - 1)
    counts = np.bincount(numbers, minlength=bins)
    with np.errstate(invalid="ignore"):  # the mean of an empty bin is NaN
        means = [np.bincount(numbers, of, bins) / counts for of in (confidence, answers == truth)]
    return Calibration(temperature, edges, means[0], means[1], counts)


def fit_temperature(network: Network, x: Any, y: Any, *, backend: str | None = None) -> float:
    """The temperature, from 0.01 to 100, that makes the labels y (n,) of x (n, n_in) most likely (Guo et al. 2017).

    x and y are validation data: not those that the network was trained on, of which it is too sure, and not those that
    its calibration is then measured with. The cross-entropy falls towards one temperature from both sides.

    Raises ValueError for a regression network, FastnetError without scipy (the extra `insight`).
    """
    _classifier(network)
    require_extra("scipy.optimize", "fitting a temperature needs SciPy", "insight")
    from scipy.optimize import minimize_scalar

    hottest = math.log(HOTTEST)

    def cost(log_temperature: float) -> float:
        return tempered(network, math.exp(log_temperature)).cost(x, y, backend=backend)

    found = minimize_scalar(cost, bounds=(-hottest, hottest), method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x))


def _classifier(network: Network) -> Network:
    checks.instance("network", network, Network)
    checks.classifier(network.is_classifier, network.activations_by_layer[-1], "confidence in classes to calibrate")
    return network


def classes_of(y: NDArray[Any]) -> NDArray[Any]:
    """Class numbers (n,) of what the network takes as y: labels, or targets (n, n_out)."""
    if y.ndim == 1:
        return y
    return target_classes(y, axis=1)
