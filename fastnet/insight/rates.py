"""The range test, which suggests a learning rate.

Not here: the effect of a learning rate on single steps (descent.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.errors import DivergedError
from fastnet.network import Network
from fastnet.training.order import examples_in_batch
from fastnet.training.trainer import Trainer

Floats = NDArray[np.float64]
STEPS = 3000  # with 400 steps a network cannot follow the rate, and the suggestion comes too late for some sets
WIDTH = 1 / 100  # the standard deviation of the smoothing window, as a share of the steps
RECENT = 1 / 20  # the share of the steps whose mean cost decides whether the cost blew up
BLOWN_UP = 4.0  # the test ends at this multiple of the smallest recent mean
CAP = 2.0  # larger multiples of the first costs count as this in the smoothed cost, else a blow-up hides the fall
# The suggestion is the rate at which the smoothed cost has made this share of its fall. docs/decisions/range-test.md
# has the measurements: ten data sets, two networks, two optimisers.
FALLEN = 0.9


@dataclass(frozen=True)
class RangeTest:
    """The steps of a range test. The test ends early if the cost blows up.

    Attributes
    ----------
    learning_rate : ndarray of float64, shape (n,)
        The learning rate of each step.
    cost : ndarray of float64, shape (n,)
        The mean cost of each step's batch, before its update.
    smoothed_cost : ndarray of float64, shape (n,)
        The mean of the costs around each step, with Gaussian weights. The window has the same width on both sides, so
        the smoothed cost does not lag behind the costs. Costs above twice the first costs count as twice the first
        costs.
    best : int
        The step with the smallest smoothed cost.
    suggestion : float
        The suggested rate: the first rate at which the smoothed cost has made 90% of its fall from the first step to
        `best`; NaN if it never fell.
    blew_up : bool
        Whether the test ended early, because the cost was not finite or the mean of recent costs exceeded 4 times its
        minimum.
    """

    learning_rate: Floats
    cost: Floats
    smoothed_cost: Floats
    best: int
    suggestion: float
    blew_up: bool


def learning_rate_finder(
    network: Network,
    x: Any,
    y: Any,
    *,
    min_rate: float = 1e-4,
    max_rate: float = 100.0,
    steps: int = STEPS,
    seed: int | np.random.Generator | None = 0,
    **trainer: Any,
) -> RangeTest:
    """Suggest a learning rate by a range test (Smith 2017, "Cyclical learning rates for training neural networks").

    A copy of the network is trained on random batches while the learning rate rises geometrically. The cost first falls
    and then rises, when the rate is too high. The suggestion is the rate at which the smoothed cost has made 90% of its
    fall. @CLAIM@ Use the test on a new network. The cost of a trained network can hardly fall.

    Parameters
    ----------
    network : Network
        The network to start from. It stays as it is.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    min_rate, max_rate : float
        The range of learning rates.
    steps : int
        The number of steps.
    seed : int, Generator or None
        The seed of the order of the examples.
    **trainer
        Further arguments of Trainer, such as batch_size, optimizer and backend. The suggestion is for these settings.

    Returns
    -------
    RangeTest

    Raises
    ------
    TypeError, ValueError
        An argument does not fit.
    DivergedError
        The training diverged at the first rate.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> test = learning_rate_finder(fastnet.Network([4, 3], seed=0), x, y, steps=50)
    >>> bool(1e-4 < test.suggestion < 100)
    True
    """
    checks.instance("network", network, Network)
    min_rate = checks.number("min_rate", min_rate, above=0)
    max_rate = checks.number("max_rate", max_rate, above=min_rate)
    steps = checks.whole_number("steps", steps, 2)
    rates = np.geomspace(min_rate, max_rate, steps)
    for name in ("learning_rate", "schedule"):
        if name in trainer:
            raise TypeError(f"{name} is not for a range test, which varies the rate: give min_rate and max_rate")
    network = network.copy()
    rng = checks.generator(seed)
    trial = Trainer(network, seed=rng, **trainer)
    x = network.check_inputs(x)
    y = network.check_targets(y, len(x))
    costs = list[float]()
    n_recent = max(1, round(RECENT * steps))
    least, blew_up = np.inf, False
    order = rng.permutation(len(x))
    batch_size = examples_in_batch(trial.batch_size, len(x))
    for rate in rates:
        trial.learning_rate = rate
        if not order.size:
            order = rng.permutation(len(x))
        rows, order = order[:batch_size], order[batch_size:]
        try:
            costs.append(trial.partial_fit(x[rows], y[rows]).cost)
        except DivergedError:
            if not costs:
                raise
            blew_up = True
            break
        if len(costs) >= n_recent:  # the mean of fewer costs can be small by chance
            recent = float(np.mean(costs[-n_recent:]))
            least = min(least, recent)
            if recent > BLOWN_UP * least:
                blew_up = True
                break
    cost, seen = np.array(costs), rates[: len(costs)]
    smoothed = _smoothed(cost, WIDTH * steps, n_recent)
    best = int(np.argmin(smoothed))
    suggestion = float(seen[_fallen(smoothed, best)]) if best else np.nan
    return RangeTest(seen, cost, smoothed, best, suggestion, blew_up)


def _smoothed(cost: Floats, deviation: float, n_first: int) -> Floats:
    """Return the mean around each step with Gaussian weights. At the ends the mean covers the steps that are there."""
    reach = int(np.ceil(4 * deviation))
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    capped = np.minimum(cost, CAP * cost[:n_first].mean())
    return _around(capped, window) / _around(np.ones_like(cost), window)


def _around(values: Floats, window: Floats) -> Floats:
    reach = len(window) // 2
    return np.convolve(values, window)[reach : reach + len(values)]


def _fallen(smoothed: Floats, best: int) -> int:
    """Return the first step at which the smoothed cost has made the share FALLEN of its fall."""
    enough = smoothed[0] - FALLEN * (smoothed[0] - smoothed[best])
    return int(np.argmax(smoothed[: best + 1] <= enough))
