"""The optimisers sgd and adam as scikit-learn defines them: their rates, their momentum and when they stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.kernels import contract as c
from fastnet.kernels.contract import Ints
from fastnet.network import Network
from fastnet.training.dropout import draw_keys, with_dropout
from fastnet.training.kernel_calls import OptimizerState
from fastnet.training.optimizers import MIN_EPSILON

# The velocity of scikit-learn is the rate times the velocity of the kernels, which would overflow for tiny rates. The
# kernels get at least this rate. An update at this rate changes no weight.
MIN_RATE = 1e-20
MIN_ADAPTIVE_RATE = 1e-6  # "adaptive" lowers no rate that is at most this one
ADAPTIVE_FACTOR = 5.0


@dataclass(slots=True)
class Descent:
    """An optimiser between two epochs. `partial_fit` continues with it.

    Attributes
    ----------
    state : OptimizerState
        The kernels' settings, the moments, and the number of updates.
    layers : numpy.ndarray
        The network's layers with dropout.
    schedule : str
        "constant", "invscaling" or "adaptive".
    initial_rate, rate : float
        The learning rate at the start and now. Adam computes its own rates from the initial one.
    power : float
        The exponent of "invscaling".
    """

    state: OptimizerState
    layers: Ints
    schedule: str
    initial_rate: float
    rate: float
    power: float

    @classmethod
    def of(cls, estimator: Any, network: Network, dropout: tuple[float, ...], rng: np.random.RandomState) -> Descent:
        """Return the optimiser that an estimator's parameters describe. Random numbers are drawn for dropout only."""
        settings = _settings(estimator)
        moments = np.zeros((c.SLOTS[int(settings[c.KIND])], network.n_parameters), network.dtype)
        layers = network.layers
        if any(dropout):
            keys = draw_keys(dropout, np.random.default_rng(rng.randint(2**31)))
            layers = with_dropout(layers, dropout, keys)
        schedule = estimator.learning_rate if estimator.solver == "sgd" else "constant"
        rate = float(estimator.learning_rate_init)
        return cls(OptimizerState(settings, moments), layers, schedule, rate, rate, float(estimator.power_t))

    def continue_with(self, network: Network, alpha: float) -> None:
        """Take the network's layers and the penalty as they are now. Everything else stays."""
        self.state.settings[c.PENALTY] = alpha
        layers, columns = network.layers.copy(), [c.DROP, c.DROP_KEY]
        layers[:, columns] = self.layers[:, columns]
        self.layers = c.frozen(layers)

    @property
    def kernel_rate(self) -> float:
        """The learning rate of the next epoch's updates."""
        return max(self.rate, min(MIN_RATE, self.initial_rate))

    def epoch_ended(self, n_examples: int) -> None:
        """Set the rate of the next epoch. `n_examples` were seen so far, over all epochs."""
        if self.schedule == "invscaling":
            self.set_rate(self.initial_rate / (n_examples + 1) ** self.power)

    def stops(self, reason: str, verbose: bool) -> bool:
        """Whether training stops for this reason. "adaptive" divides the rate by 5 in place of stopping."""
        then = " Stopping."
        if self.schedule == "adaptive":
            if self.rate > MIN_ADAPTIVE_RATE:
                self.set_rate(self.rate / ADAPTIVE_FACTOR)
                then = f" Setting learning rate to {self.rate:f}"
            else:
                then = " Learning rate too small. Stopping."
        if verbose:
            print(reason + then)
        return then.endswith("Stopping.")

    def set_rate(self, rate: float) -> None:
        """Set the rate, and rescale the velocity so that its product with the rate stays the same."""
        before, self.rate = self.kernel_rate, rate
        if self.state.settings[c.KIND] == c.MOMENTUM:
            self.state.moments *= before / self.kernel_rate


def _settings(estimator: Any) -> NDArray[np.float64]:
    """Return the optimiser's settings in the form that kernels take."""
    found = np.zeros(c.OPTIMIZER_COLUMNS)
    found[c.PENALTY] = estimator.alpha
    if estimator.solver == "adam":
        epsilon = max(estimator.epsilon, MIN_EPSILON)
        columns = [c.KIND, c.BETA1, c.BETA2, c.EPSILON, c.PLAIN_EPSILON]
        found[columns] = c.ADAM, estimator.beta_1, estimator.beta_2, epsilon, 1
    elif estimator.momentum > 0:
        columns = [c.KIND, c.BETA1, c.NESTEROV]
        found[columns] = c.MOMENTUM, estimator.momentum, estimator.nesterovs_momentum
    else:
        found[c.KIND] = c.GRADIENT_DESCENT
    return found
