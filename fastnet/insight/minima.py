"""Why it is so easy: the costs that many seeds end at, and the ways between two of their networks.

Not here: the surface around one network (landscape.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.errors import require_extra
from fastnet.insight.memorization import MEMORIZER
from fastnet.insight.task import Task, task
from fastnet.network import Network
from fastnet.training.recipe import Recipe, in_parallel

Array = NDArray[Any]

# one hidden layer, and as many epochs as training examples take to be fitted
MINIMIZER = MEMORIZER.but(epochs=10, trainer={"learning_rate": 0.05})


@dataclass(frozen=True)
class Minima:
    """Where trainings that differ in their seed ended, for each width of the hidden layer.

    widths (w,). Costs and accuracies float64 (w, seeds), of the training and of the test examples; NaN without a test.
    """

    widths: tuple[int, ...]
    cost: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    test_cost: NDArray[np.float64]
    test_accuracy: NDArray[np.float64]

    @property
    def variation(self) -> NDArray[np.float64]:
        """The coefficient of variation (w,) of the test cost: standard deviation over the seeds, by the mean."""
        return _variation(self.test_cost)

    @property
    def training_variation(self) -> NDArray[np.float64]:
        """The same of the training cost."""
        return _variation(self.cost)


@dataclass(frozen=True)
class Path:
    """Cost and accuracy (points,) along the straight line from one network, at 0, to another, at 1."""

    at: NDArray[np.float64]
    cost: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def barrier(self) -> float:
        """How far the cost rises above the line between the costs of the ends, at most; 0 where it nowhere does.

        Frankle et al. 2020, "Linear mode connectivity and the lottery ticket hypothesis", in the form of Entezari et
        al. 2022.
        """
        return float(np.max(self.cost - ((1 - self.at) * self.cost[0] + self.at * self.cost[-1])))


def minima(
    x: Any,
    y: Any,
    *,
    widths: Sequence[int] = (5, 10, 25, 50, 100, 250),
    seeds: Iterable[int] = range(20),
    recipe: Recipe = MINIMIZER,
    test: tuple[Any, Any] | None = None,
    backend: str | None = None,
) -> Minima:
    """Trains a network with one hidden layer for each width and seed, on x (n, n_in) and labels y (n,).

    The wider they are, the closer together the costs lie where they end (Choromanska et al. 2015, "The loss surfaces of
    multilayer networks").

    Raises ValueError or TypeError for unusable data or settings, DivergedError where a training fails.
    """
    recipe = checks.instance("recipe", recipe, Recipe).on(backend)
    whole = task(x, y, test, recipe)
    drawn = checks.seeds(seeds)
    layers = checks.whole_numbers("widths", widths, 1)
    jobs = [partial(_end, whole, recipe.but(hidden=(w,)), seed) for w, seed in product(layers, drawn)]
    ends = in_parallel(jobs, recipe.trainer.get("backend"))
    table = np.array(ends).reshape(len(layers), len(drawn), 4)
    return Minima(layers, *(table[..., i] for i in range(4)))


def _end(whole: Task, recipe: Recipe, seed: int) -> tuple[float, ...]:
    trainer = whole.start(recipe, seed)
    trainer.fit(whole.x, whole.y, epochs=recipe.epochs)
    return (*trainer.evaluate(whole.x, whole.y), *whole.tested(trainer))


def _variation(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    if costs.shape[1] < 2:
        return np.full(len(costs), np.nan)
    return np.asarray(costs.std(axis=1, ddof=1) / costs.mean(axis=1))


def interpolate(a: Network, b: Network, x: Any, y: Any, *, points: int = 25, backend: str | None = None) -> Path:
    """The cost and accuracy on x, y of networks on the straight line from a's parameters to b's.

    Raises ValueError where the two are not of the same layers, or for unusable data.
    """
    _alike(a, b)
    at = np.linspace(0.0, 1.0, checks.whole_number("points", points, 2))

    def evaluated(t: float) -> tuple[float, float]:
        between = a.copy()
        between.parameters[...] = (1 - t) * a.parameters + t * b.parameters
        return between.evaluate(x, y, backend=backend)

    cost, accuracy = np.array(in_parallel([partial(evaluated, t) for t in at], backend)).T
    return Path(at, cost, accuracy)


def match_neurons(a: Network, b: Network) -> Network:
    """A network that computes what b does, with its hidden neurons in the order in which they are most like a's.

    Neurons are alike whose weights, incoming, outgoing and bias, have a large scalar product; each hidden layer in turn
    is put in the best order (the linear sum assignment problem) until none changes: the best of all with one hidden
    layer, a good one with several. This is the "weight matching" of Ainsworth et al. 2023, "Git Re-Basin", begun with
    the incoming weights alone; what it tries is the conjecture of Entezari et al. 2022, "The role of permutation
    invariance in linear mode connectivity of neural networks".

    Raises ValueError where the two are not of the same layers, FastnetError without scipy (the extra `insight`).
    """
    require_extra("scipy.optimize", "matching neurons needs SciPy", "insight")
    from scipy.optimize import linear_sum_assignment

    _alike(a, b)
    found = b.copy()
    # at first by what comes in, since what goes out leads to neurons that are in no order yet
    for outgoing in (False, True):
        changed = True
        while changed:
            changed = False
            for layer in range(len(a.biases) - 1):
                likeness = _neurons(a, layer, outgoing) @ _neurons(found, layer, outgoing).T
                order = linear_sum_assignment(likeness, maximize=True)[1]
                gain = likeness[np.arange(len(order)), order].sum() - np.trace(likeness)
                if gain > 1e-9 * np.abs(likeness).sum():  # rounding could have two equal orders alternate for ever
                    _reorder(found, layer, order)
                    changed = True
    return found


def _neurons(network: Network, layer: int, outgoing: bool) -> Array:
    """A row for each neuron of a hidden layer: its incoming weights and bias, and its outgoing weights if wanted."""
    parts = [network.weights[layer], network.biases[layer], *([network.weights[layer + 1].T] if outgoing else [])]
    return np.column_stack(parts).astype(np.float64)


def _reorder(network: Network, layer: int, order: Array) -> None:
    incoming, bias, outgoing = network.weights[layer], network.biases[layer], network.weights[layer + 1]
    incoming[...], bias[...], outgoing[...] = incoming[order], bias[order], outgoing[:, order]


def _alike(a: Network, b: Network) -> None:
    for name, network in (("a", a), ("b", b)):
        checks.instance(name, network, Network)
    if not np.array_equal(a.layers, b.layers) or a.dtype != b.dtype:
        raise ValueError(f"a and b must have the same layers, cost and dtype; they are {a!r} and {b!r}")
