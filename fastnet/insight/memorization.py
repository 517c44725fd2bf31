"""Learning or memorising: how fast a network fits true labels, wrong labels and images of nothing.

A network that has only learned rules could not fit labels without any; one that is wide enough fits them all the same,
but later (Zhang et al. 2017, "Understanding deep learning requires rethinking generalization"; Arpit et al. 2017, "A
closer look at memorization in deep networks"). What fits depends on patience too: 784-16-16-10 does not fit 4,000
shuffled digits within 200 epochs of MEMORIZER; with sigmoids and Adam at a falling rate it has them after some 1,000.
Not here: comparisons of conditions (fastnet.explore.memorize).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.task import Task, full_scale, task
from fastnet.training.history import Epoch
from fastnet.training.recipe import Recipe, in_parallel
from fastnet.training.trainer import Trainer

Array = NDArray[Any]
IMAGES = ("true", "shuffled", "noise")

# wide enough to memorise some thousand digits within its epochs
MEMORIZER = Recipe(
    hidden=(128,),
    epochs=100,
    network={"activation": "relu", "cost": "cross_entropy"},
    trainer={"optimizer": "momentum", "learning_rate": 0.02, "batch_size": 32},
)


@dataclass(frozen=True)
class Memorization:
    """How networks that differ in their seed fit one set of examples.

    sizes: the networks' layers, n_parameters of them. n: training images. corrupted, images: as they were asked for.
    training, test: accuracies float64 (seeds, epochs) after each epoch, training's on all its examples with the
    labels it trained on; NaN after a run that was stopped, and where there is no test. chance: the test accuracy
    expected of answers that know the training labels' frequencies and nothing else.
    """

    sizes: tuple[int, ...]
    n_parameters: int
    n: int
    batches: int  # updates an epoch
    corrupted: float
    images: str
    goal: float
    training: NDArray[np.float64]
    test: NDArray[np.float64]
    chance: float

    @property
    def epochs_to_fit(self) -> NDArray[np.float64]:
        """For each seed (seeds,) the first epoch after which training accuracy is at the goal; NaN where none is."""
        fitted = self.training >= self.goal
        return np.where(fitted.any(axis=1), fitted.argmax(axis=1) + 1.0, np.nan)

    @property
    def steps_to_fit(self) -> NDArray[np.float64]:
        """The same in updates."""
        return self.epochs_to_fit * self.batches

    @property
    def final_training(self) -> NDArray[np.float64]:
        """Training accuracy (seeds,) after the last epoch of each run."""
        return self.training[self._last]

    @property
    def final_test(self) -> NDArray[np.float64]:
        """Test accuracy (seeds,) after the last epoch of each run."""
        return self.test[self._last]

    @property
    def _last(self) -> tuple[Array, Array]:
        done = np.isfinite(self.training).sum(axis=1)
        return np.arange(len(done)), done - 1


def memorization(
    x: Any,
    y: Any,
    *,
    test: tuple[Any, Any] | None = None,
    corrupted: float = 0.0,
    images: str = "true",
    recipe: Recipe = MEMORIZER,
    seeds: Iterable[int] = range(5),
    goal: float = 0.99,
    stop: bool = False,
    backend: str | None = None,
) -> Memorization:
    """Trains a network for each seed on x (n, n_in) and labels y (n,), and follows its training and test accuracy.

    corrupted: the share of examples, drawn at random, whose labels are shuffled among themselves: 0 are the true
    labels, 1 all of them shuffled. images: "true"; "shuffled", each image's pixels in a random order of its own; or
    "noise", Gaussian of the mean and variance of x. Test images and labels stay true. The seed is of the network, the
    order and what is drawn. stop: end a run when its training accuracy is at the `goal`.

    Raises ValueError or TypeError for unusable data or settings, DivergedError where a training fails.
    """
    recipe = checks.instance("recipe", recipe, Recipe).on(backend)
    checks.whole_number("recipe.epochs", recipe.epochs, 1)
    share = checks.number("corrupted", corrupted, minimum=0)
    goal = checks.number("goal", goal, above=0)
    for name, value in (("corrupted", share), ("goal", goal)):
        if value > 1:
            raise ValueError(f"{name} is a share and at most 1, not {value:g}")
    checks.name_of("images", images, IMAGES)
    checks.flag("stop", stop)
    whole = task(x, y, test, recipe)
    if images != "true" and not isinstance(whole.x, np.ndarray):
        raise ValueError(f"images={images!r} leaves no zeros to skip: give x as an array, x.toarray()")
    until = goal if stop else math.inf
    jobs = [partial(_follow, whole, share, images, recipe, seed, until) for seed in checks.seeds(seeds)]
    trainers, training, tested = zip(*in_parallel(jobs, recipe.trainer.get("backend")), strict=True)
    one = trainers[0]
    return Memorization(
        one.network.sizes,
        one.network.n_parameters,
        len(whole.y),
        one.steps // len(one.history),
        share,
        images,
        goal,
        np.array(training),
        np.array(tested),
        _chance(whole),
    )


def _follow(
    whole: Task, share: float, images: str, recipe: Recipe, seed: int, until: float
) -> tuple[Trainer, NDArray[np.float64], NDArray[np.float64]]:
    """One run: its trainer, and the training and test accuracies (epochs,)."""
    rng = np.random.default_rng([seed, 1])  # not the numbers that the network and the order are drawn from
    x, y = _images(whole.x, images, rng), _corrupted(whole.y, share, rng)
    training, tested = np.full((2, recipe.epochs), np.nan)

    def follow(trainer: Trainer, epoch: Epoch) -> None:
        training[epoch.epoch - 1] = trainer.evaluate(x, y).accuracy
        tested[epoch.epoch - 1] = whole.tested(trainer).accuracy
        if training[epoch.epoch - 1] >= until:
            trainer.stop()

    trainer = whole.start(recipe, seed)
    trainer.fit(x, y, epochs=recipe.epochs, callbacks=[follow])
    return trainer, training, tested


def _corrupted(y: Array, share: float, rng: np.random.Generator) -> Array:
    chosen = rng.permutation(len(y))[: round(share * len(y))]
    labels = y.copy()
    labels[chosen] = y[rng.permutation(chosen)]
    return labels


def _images(x: Any, images: str, rng: np.random.Generator) -> Any:
    if images == "shuffled":
        return rng.permuted(x, axis=1)
    if images == "noise":
        scale = full_scale(x)
        return rng.normal(x.mean() / scale, x.std() / scale, x.shape).astype(np.float32)
    return x


def _chance(whole: Task) -> float:
    if whole.test is None:
        return np.nan
    shares = [np.bincount(y, minlength=whole.n_out) / len(y) for y in (whole.y, whole.test[1])]
    return float(shares[0] @ shares[1])
