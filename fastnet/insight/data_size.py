"""How much data it needs: accuracy against the number of training examples.

Not here: what is done with the data to make more of it.
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
from fastnet.insight.task import Task, stratified_order, task
from fastnet.training.recipe import CHAPTER, Recipe, in_parallel


@dataclass(frozen=True)
class DataSize:
    """Accuracies of networks that were trained on more and more examples.

    sizes (s,): training examples. epochs (s,): passes over them, and updates (s,) made in these. training, test float64
    (seeds, s): accuracies at the end, on the examples trained on and on the test's.
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
    backend: str | None = None,
) -> DataSize:
    """Trains on the first 100, 300, 1,000, ... and all of x (n, n_in), y (n,), each seed in a random order of its own.

    The classes are in proportion at every size (stratified). All sizes see as many examples as the recipe's epochs over
    all of x have, up to a part of an epoch: few examples have many more epochs. They have as many updates, too, where
    the batches fill each size.

    sizes: others, each at most n. Raises ValueError or TypeError for unusable data or settings, DivergedError where a
    training fails.
    """
    recipe = checks.instance("recipe", recipe, Recipe).on(backend)
    whole = task(x, y, test, recipe)
    if whole.test is None:
        raise TypeError("test must be a pair (x, y): what is asked for is the accuracy on it")
    n = len(whole.y)
    counts = checks.whole_numbers("sizes", steps_to(n) if sizes is None else sizes, 1, n)
    drawn = checks.seeds(seeds)
    jobs = [partial(_run, whole, recipe, count, seed) for seed, count in product(drawn, counts)]
    runs = in_parallel(jobs, recipe.trainer.get("backend"))
    found = np.array(runs).reshape(len(drawn), len(counts), 4)
    epochs, updates = found[0, :, :2].T.astype(np.int64)
    return DataSize(counts, epochs, updates, found[..., 2], found[..., 3])


def steps_to(n: int) -> tuple[int, ...]:
    """100, 300, 1,000, 3,000, ... below n, and n."""
    return (*(size for power in range(2, 12) for size in (10**power, 3 * 10**power) if size < n), n)


def _run(whole: Task, recipe: Recipe, count: int, seed: int) -> tuple[float, ...]:
    """The epochs and updates of one training, and its accuracies on what it trained on and on the test."""
    rng = np.random.default_rng([seed, 1])  # the same order for all sizes: a larger set holds the smaller
    chosen = stratified_order(whole.y, rng)[:count]
    x, y = whole.x[chosen], whole.y[chosen]
    epochs = round(recipe.epochs * len(whole.y) / count)
    trainer = whole.start(recipe, seed)
    trainer.fit(x, y, epochs=epochs)
    return epochs, trainer.steps, trainer.evaluate(x, y).accuracy, whole.tested(trainer).accuracy
