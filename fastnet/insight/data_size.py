"""The accuracy against the number of training examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.task import Task, stratified_order, task
from fastnet.names import BackendName
from fastnet.training.pool import in_parallel
from fastnet.training.recipe import CHAPTER, Recipe


@dataclass(frozen=True)
class DataSize:
    """The accuracies of networks that were trained on different numbers of examples.

    Attributes
    ----------
    sizes : tuple of int
        The numbers of training examples.
    epochs : ndarray of int64, shape (n_sizes,)
        The number of passes over the examples.
    updates : ndarray of int64, shape (n_sizes,)
        The number of updates in these passes.
    training : ndarray of float64, shape (n_seeds, n_sizes)
        The final accuracies on the training examples.
    test : ndarray of float64, shape (n_seeds, n_sizes)
        The final accuracies on the test examples.
    """

    sizes: tuple[int, ...]
    epochs: NDArray[np.int64]
    updates: NDArray[np.int64]
    training: NDArray[np.float64]
    test: NDArray[np.float64]


def data_size(
    x: Any,
    y: Any,
    *,
    test: tuple[Any, Any],
    sizes: Sequence[int] | None = None,
    seeds: Iterable[int] = range(5),
    recipe: Recipe = CHAPTER,
    backend: BackendName | None = None,
) -> DataSize:
    """Train on 100, 300, 1,000, ... and on all examples, and measure the accuracies.

    Each seed shuffles the examples, and each size takes the first examples of this order. Every size has the classes in
    proportion (stratified). Smaller sizes take more epochs, so that all trainings see the same number of examples, to
    within half an epoch. If the batch size does not divide a size, the numbers of updates differ too.

    Parameters
    ----------
    x : array_like or sparse matrix, shape (n, n_in)
        Training examples.
    y : array_like of int, shape (n,)
        Their labels.
    test : tuple
        Test examples and their labels.
    sizes : sequence of int, optional
        The numbers of training examples, at most n.
    seeds : iterable of int
        The seeds. There is one training for each seed and size.
    recipe : Recipe
        How the networks are made and trained.
    backend : str, optional
        The backend of the trainings.

    Returns
    -------
    DataSize

    Raises
    ------
    TypeError, ValueError
        The data or a setting do not fit.
    DivergedError
        A training diverged.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((200, 4)), np.arange(200) % 2
    >>> found = data_size(x, y, test=(x, y), seeds=[0, 1], recipe=CHAPTER.but(hidden=(4,), epochs=1))
    >>> found.sizes, found.test.shape
    ((100, 200), (2, 2))
    """
    recipe = checks.instance("recipe", recipe, Recipe, "fastnet.insight").on(backend)
    whole = task(x, y, test, recipe)
    if whole.test is None:
        raise TypeError("test must be a pair (x, y): data_size measures the accuracy on it")
    n = len(whole.y)
    counts = checks.whole_numbers("sizes", steps_to(n) if sizes is None else sizes, 1, n)
    drawn = checks.seeds(seeds)
    jobs = [partial(_run, whole, recipe, count, seed) for seed, count in product(drawn, counts)]
    runs = in_parallel(jobs, recipe.trainer.get("backend"))
    found = np.array(runs).reshape(len(drawn), len(counts), 4)
    epochs, updates = found[0, :, :2].T.astype(np.int64)
    return DataSize(counts, epochs, updates, found[..., 2], found[..., 3])


def steps_to(n: int) -> tuple[int, ...]:
    """The default sizes: 100, 300, 1,000, 3,000, ... below n, and n."""
    return (*(size for power in range(2, 12) for size in (10**power, 3 * 10**power) if size < n), n)


def _run(whole: Task, recipe: Recipe, count: int, seed: int) -> tuple[float, ...]:
    """The epochs and updates of one training, and its final accuracies on the training and test examples."""
    rng = np.random.default_rng([seed, 1])  # all sizes share the order, so that a larger set contains the smaller ones
    chosen = stratified_order(whole.y, rng)[:count]
    x, y = whole.x[chosen], whole.y[chosen]
    epochs = round(recipe.epochs * len(whole.y) / count)
    trainer = whole.start(recipe, seed)
    trainer.fit(x, y, epochs=epochs)
    return epochs, trainer.steps, trainer.evaluate(x, y).accuracy, whole.tested(trainer).accuracy
