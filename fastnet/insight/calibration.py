"""Calibration: whether a network's confidence matches its accuracy, and the temperature that corrects the confidence.

Not here: the answers to noise (confidence.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.errors import require_extra
from fastnet.insight.answers import check_classifier, top_outputs, true_classes
from fastnet.names import BackendName
from fastnet.network import Network

MIN_TEMPERATURE = 1e-6  # a division by a smaller number could overflow the weights
MAX_FITTED = 100.0  # fit_temperature searches from 1 / MAX_FITTED to MAX_FITTED
LACKS = "confidence in classes to calibrate"  # what a regression network does not have, for the error's text


@dataclass(frozen=True, eq=False)
class Calibration:
    """A reliability diagram: the examples are put into bins of equal width by the confidence of their answers.

    Attributes
    ----------
    temperature : float or None
        The temperature of the softmax; None if the confidence is the network's output as it is.
    edges : ndarray of float64, shape (bins + 1,)
        The edges of the bins, from 0 to 1.
    confidence : ndarray of float64, shape (bins,)
        The mean confidence in each bin; NaN in an empty bin.
    accuracy : ndarray of float64, shape (bins,)
        The share of right answers in each bin; NaN in an empty bin.
    counts : ndarray of int64, shape (bins,)
        The number of examples in each bin.
    """

    temperature: float | None
    edges: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error: `|accuracy - confidence|` of the bins, averaged over the examples.

        Naeini et al. (2015), "Obtaining well calibrated probabilities using Bayesian binning".
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

    def _mean(self, values: NDArray[np.float64]) -> float:
        return float(np.nansum(values * self.counts) / self.counts.sum())


def tempered(network: Network, temperature: float) -> Network:
    """Return the network whose outputs are the probabilities of the classes at a temperature.

    The weighted sums of the last layer are divided by the temperature T. The outputs are the softmax of the results, or
    the sigmoid for a single output. The method is from Guo et al. (2017), "On calibration of modern neural networks". T
    above 1 lowers the confidence, T below 1 raises it. For softmax outputs T = 1 changes nothing. Sigmoid outputs need
    not sum to 1. The softmax that replaces them sums to 1.

    Parameters
    ----------
    network : Network
        A classifier. It stays as it is.
    temperature : float
        The temperature, at least 0.000001.

    Returns
    -------
    Network
        A copy with the weights and biases of the last layer divided by the temperature, a softmax (or sigmoid) output
        and the cross-entropy as its cost. It gives the same answers as `network`.

    Raises
    ------
    ValueError
        The network is a regression network, or the temperature is too small.

    Examples
    --------
    >>> network = fastnet.Network([4, 3], seed=0)
    >>> x = np.ones((1, 4))
    >>> hot = tempered(network, 10.0).forward(x)
    >>> bool(hot.max() < tempered(network, 1.0).forward(x).max())
    True
    """
    temperature = checks.number("temperature", temperature, minimum=MIN_TEMPERATURE)
    check_classifier(network, LACKS)
    hidden = network.activations_by_layer[:-1]
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
    backend: BackendName | None = None,
) -> Calibration:
    """Compare the confidence of the answers with the share of right answers.

    x and y should be examples that trained neither the network nor the temperature.

    Parameters
    ----------
    network : Network
        A classifier.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    temperature : float or None
        The confidence is the largest probability at this temperature, as `tempered` computes it. With None it is the
        largest output. With a single output a the confidence is a for class 1 and 1 - a for class 0.
    bins : int
        The number of bins.
    backend : str, optional
        The backend that computes the outputs.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        The network is a regression network, or an argument does not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((50, 4)), np.arange(50) % 3
    >>> int(calibration(fastnet.Network([4, 3], seed=0), x, y, bins=5).counts.sum())
    50
    """
    check_classifier(network, LACKS)
    bins = checks.whole_number("bins", bins, 1)
    probabilities = network if temperature is None else tempered(network, temperature)
    answers, top = top_outputs(probabilities, x, backend)
    confidence = top.astype(np.float64)
    truth = true_classes(network, y, len(answers))
    edges = np.linspace(0, 1, bins + 1)
    # Bin k holds edges[k] < confidence <= edges[k + 1].
    bin_of = np.clip(np.searchsorted(edges, confidence) - 1, 0, bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):  # the mean of an empty bin is NaN
        mean_confidence, accuracy = (np.bincount(bin_of, of, bins) / counts for of in (confidence, answers == truth))
    return Calibration(temperature, edges, mean_confidence, accuracy, counts)


def fit_temperature(network: Network, x: Any, y: Any, *, backend: BackendName | None = None) -> float:
    """Fit the temperature that makes the labels most likely (Guo et al. 2017), from 0.01 to 100.

    x and y must be validation data, because a network is too sure of its training data. Measure the calibration on a
    third set of data.

    Parameters
    ----------
    network : Network
        A classifier.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    backend : str, optional
        The backend that computes the outputs.

    Returns
    -------
    float
        The temperature. It minimises the cross-entropy.

    Raises
    ------
    ValueError
        The network is a regression network, or the data do not fit.
    MissingLibraryError
        SciPy is missing (the extra `insight`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((50, 4)), np.arange(50) % 3
    >>> 0.01 <= fit_temperature(fastnet.Network([4, 3], seed=0), x, y) <= 100
    True
    """
    check_classifier(network, LACKS)
    require_extra("scipy.optimize", "fitting a temperature needs SciPy", "insight")
    from scipy.optimize import minimize_scalar

    limit = math.log(MAX_FITTED)

    def cost(log_temperature: float) -> float:
        return tempered(network, math.exp(log_temperature)).cost(x, y, backend=backend)

    # The cross-entropy has one minimum in log T.
    found = minimize_scalar(cost, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x))
