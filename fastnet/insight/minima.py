"""Minima: the final costs of trainings with different seeds, and the line between two trained networks.

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
from fastnet.names import BackendName
from fastnet.network import Network
from fastnet.training.pool import in_parallel
from fastnet.training.recipe import Recipe

Floats = NDArray[np.float64]

# This recipe has one hidden layer, and enough epochs to fit the training examples.
MINIMIZER = MEMORIZER.but(epochs=10, trainer={"learning_rate": 0.05})


@dataclass(frozen=True)
class Minima:
    """The final costs of trainings with different seeds, for each width of the hidden layer.

    Attributes
    ----------
    widths : tuple of int
        The widths.
    cost, accuracy : ndarray of float64, shape (n_widths, n_seeds)
        Cost and accuracy on the training examples.
    test_cost, test_accuracy : ndarray of float64, shape (n_widths, n_seeds)
        Cost and accuracy on the test examples; NaN without test examples.
    """

    widths: tuple[int, ...]
    cost: Floats
    accuracy: Floats
    test_cost: Floats
    test_accuracy: Floats

    @property
    def variation(self) -> Floats:
        """The coefficient of variation (n_widths,) of the test cost: standard deviation over the seeds / mean."""
        return _variation(self.test_cost)

    @property
    def training_variation(self) -> Floats:
        """The coefficient of variation (n_widths,) of the training cost."""
        return _variation(self.cost)


@dataclass(frozen=True)
class Path:
    """Cost and accuracy along the straight line from one network, at 0, to another, at 1.

    Attributes
    ----------
    at : ndarray of float64, shape (points,)
        The positions on the line, from 0 to 1.
    cost : ndarray of float64, shape (points,)
        The cost of the network at each position.
    accuracy : ndarray of float64, shape (points,)
        The accuracy of the network at each position.
    """

    at: Floats
    cost: Floats
    accuracy: Floats

    @property
    def barrier(self) -> float:
        """The largest excess of the path's cost over the linear interpolation between its two ends, at least 0.

        The definition is from Frankle et al. (2020), "Linear mode connectivity and the lottery ticket hypothesis", in
        the form of Entezari et al. (2022).
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
    backend: BackendName | None = None,
) -> Minima:
    """Train a network with one hidden layer for each width and seed.

    Choromanska et al. (2015), "The loss surfaces of multilayer networks", report that the final costs of wider networks
    lie closer together.

    Parameters
    ----------
    x : array_like or sparse matrix, shape (n, n_in)
        Training examples.
    y : array_like of int, shape (n,)
        Their labels.
    widths : sequence of int
        The widths of the hidden layer.
    seeds : iterable of int
        The seeds. There is one training for each seed and width.
    recipe : Recipe
        How the networks are made and trained.
    test : tuple, optional
        Test examples and their labels.
    backend : str, optional
        The backend of the trainings.

    Returns
    -------
    Minima

    Raises
    ------
    TypeError, ValueError
        The data or a setting do not fit.
    DivergedError
        A training diverged.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> minima(x, y, widths=(2, 8), seeds=range(3), recipe=MINIMIZER.but(epochs=1)).cost.shape
    (2, 3)
    """
    recipe = checks.instance("recipe", recipe, Recipe, "fastnet.insight").on(backend)
    whole = task(x, y, test, recipe)
    drawn = checks.seeds(seeds)
    layers = checks.whole_numbers("widths", widths, 1)
    jobs = [partial(_end, whole, recipe.but(hidden=(w,)), seed) for w, seed in product(layers, drawn)]
    ends = in_parallel(jobs, recipe.trainer.get("backend"))
    table = np.array(ends).reshape(len(layers), len(drawn), 4)
    return Minima(layers, *(table[..., i] for i in range(4)))


def _end(whole: Task, recipe: Recipe, seed: int) -> tuple[float, ...]:
    """The final cost and accuracy of one training, on the training examples and on the test examples."""
    trainer = whole.start(recipe, seed)
    trainer.fit(whole.x, whole.y, epochs=recipe.epochs)
    return (*trainer.evaluate(whole.x, whole.y)[:2], *whole.tested(trainer)[:2])  # the costs and the accuracies


def _variation(costs: Floats) -> Floats:
    if costs.shape[1] < 2:
        return np.full(len(costs), np.nan)
    return np.asarray(costs.std(axis=1, ddof=1) / costs.mean(axis=1))


def interpolate(
    a: Network, b: Network, x: Any, y: Any, *, points: int = 25, backend: BackendName | None = None
) -> Path:
    """Evaluate the networks on the straight line from a's parameters to b's.

    Parameters
    ----------
    a, b : Network
        Networks of the same layers and dtype.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples.
    y : array_like, shape (n,) or (n, n_out)
        Labels, or targets.
    points : int
        The number of points on the line, including both ends.
    backend : str, optional
        The backend that computes the costs.

    Returns
    -------
    Path

    Raises
    ------
    TypeError, ValueError
        The two networks differ in their layers, or another argument does not fit.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> a, b = fastnet.Network([4, 5, 3], seed=0), fastnet.Network([4, 5, 3], seed=1)
    >>> line = interpolate(a, b, x, y, points=5)
    >>> line.at
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    _check_same_layers(a, b)
    at = np.linspace(0.0, 1.0, checks.whole_number("points", points, 2))

    def evaluated(t: float) -> tuple[float, float]:
        between = a.copy()
        between.parameters[...] = (1 - t) * a.parameters + t * b.parameters
        return between.evaluate(x, y, backend=backend)[:2]

    cost, accuracy = np.array(in_parallel([partial(evaluated, t) for t in at], backend)).T
    return Path(at, cost, accuracy)


def match_neurons(a: Network, b: Network) -> Network:
    """Reorder the hidden neurons of b to match the hidden neurons of a.

    The result computes the same outputs as b. The similarity of two neurons is the scalar product of their vectors of
    incoming weights, bias and outgoing weights. Each hidden layer in turn gets its best order (a linear sum assignment)
    until no order changes. With one hidden layer the result is the best order. With several hidden layers a better
    order may exist. The method is the "weight matching" of Ainsworth et al. (2023), "Git Re-Basin". The first rounds
    use the incoming weights and biases alone. A low barrier after matching supports the conjecture of Entezari et al.
    (2022), "The role of permutation invariance in linear mode connectivity of neural networks".

    Parameters
    ----------
    a, b : Network
        Networks of the same layers and dtype. They stay as they are.

    Returns
    -------
    Network
        b with its hidden neurons in another order.

    Raises
    ------
    TypeError, ValueError
        The two networks differ in their layers.
    MissingLibraryError
        SciPy is missing (the extra `insight`).

    Examples
    --------
    >>> a = fastnet.Network([4, 5, 3], seed=0)
    >>> b = a.copy()
    >>> for w in (b.weights[0], b.biases[0]):
    ...     w[...] = w[::-1].copy()
    >>> b.weights[1][...] = b.weights[1][:, ::-1].copy()
    >>> bool((match_neurons(a, b).parameters == a.parameters).all())
    True
    """
    require_extra("scipy.optimize", "matching neurons needs SciPy", "insight")
    from scipy.optimize import linear_sum_assignment

    _check_same_layers(a, b)
    found = b.copy()
    # The first rounds leave out the outgoing weights, because the next layer's neurons are not matched yet.
    for outgoing in (False, True):
        changed = True
        while changed:
            changed = False
            for layer in range(len(a.biases) - 1):
                likeness = _neurons(a, layer, outgoing) @ _neurons(found, layer, outgoing).T
                order = linear_sum_assignment(likeness, maximize=True)[1]
                gain = likeness[np.arange(len(order)), order].sum() - np.trace(likeness)
                # With a limit of 0, rounding could make the loop alternate between two equal orders for ever.
                if gain > 1e-9 * np.abs(likeness).sum():
                    _reorder(found, layer, order)
                    changed = True
    return found


def _neurons(network: Network, layer: int, outgoing: bool) -> Floats:
    """A row for each neuron of a hidden layer: incoming weights and bias, and outgoing weights if wanted."""
    parts = [network.weights[layer], network.biases[layer], *([network.weights[layer + 1].T] if outgoing else [])]
    return np.column_stack(parts).astype(np.float64)


def _reorder(network: Network, layer: int, order: NDArray[np.int64]) -> None:
    incoming, bias, outgoing = network.weights[layer], network.biases[layer], network.weights[layer + 1]
    incoming[...], bias[...], outgoing[...] = incoming[order], bias[order], outgoing[:, order]


def _check_same_layers(a: Network, b: Network) -> None:
    for name, network in (("a", a), ("b", b)):
        checks.instance(name, network, Network)
    if not np.array_equal(a.layers, b.layers) or a.dtype != b.dtype:
        raise ValueError(f"a and b must have the same layers, cost and dtype; they are {a!r} and {b!r}")
