"""Learning or memorising: how fast a network fits true labels, shuffled labels and images of noise.

Not here: the comparison of conditions (explore/memorize.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.task import Task, byte_scale_of, number_for_one, task
from fastnet.names import BackendName
from fastnet.training.history import Epoch
from fastnet.training.pool import in_parallel
from fastnet.training.recipe import Recipe
from fastnet.training.trainer import Trainer

Images: TypeAlias = Literal["true", "shuffled", "noise"]

# This network memorises some thousand digits within its 100 epochs.
MEMORIZER = Recipe(
    hidden=(128,),
    epochs=100,
    network={"activation": "relu", "cost": "cross_entropy"},
    trainer={"optimizer": "momentum", "learning_rate": 0.02, "batch_size": 32},
)


@dataclass(frozen=True)
class Memorization:
    """How networks with different seeds fit one set of examples.

    Attributes
    ----------
    sizes : tuple of int
        The widths of the networks' layers.
    n_parameters : int
        The number of parameters of each network.
    n : int
        The number of training examples.
    n_batches : int
        The number of updates in an epoch.
    corrupted, images, goal
        The arguments of `memorization`.
    training : ndarray of float64, shape (n_seeds, epochs)
        The accuracy on all training examples after each epoch, measured with the labels used in training. It is NaN
        after the last epoch of a run that was stopped.
    test : ndarray of float64, shape (n_seeds, epochs)
        The accuracy on the test examples after each epoch; NaN without test examples.
    chance : float
        The expected test accuracy of answers drawn with the frequencies of the training labels.
    """

    sizes: tuple[int, ...]
    n_parameters: int
    n: int
    n_batches: int
    corrupted: float
    images: Images
    goal: float
    training: NDArray[np.float64]
    test: NDArray[np.float64]
    chance: float

    @property
    def epochs_to_fit(self) -> NDArray[np.float64]:
        """The first epoch (n_seeds,) after which the training accuracy reaches the goal; NaN where no epoch does."""
        fitted = self.training >= self.goal
        return np.where(fitted.any(axis=1), fitted.argmax(axis=1) + 1.0, np.nan)

    @property
    def steps_to_fit(self) -> NDArray[np.float64]:
        """The updates (n_seeds,) until the training accuracy reaches the goal."""
        return self.epochs_to_fit * self.n_batches

    @property
    def final_training(self) -> NDArray[np.float64]:
        """The training accuracy (n_seeds,) after the last epoch of each run."""
        return self.training[self._last]

    @property
    def final_test(self) -> NDArray[np.float64]:
        """The test accuracy (n_seeds,) after the last epoch of each run."""
        return self.test[self._last]

    @property
    def _last(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        done = np.isfinite(self.training).sum(axis=1)
        return np.arange(len(done)), done - 1


def memorization(
    x: Any,
    y: Any,
    *,
    test: tuple[Any, Any] | None = None,
    corrupted: float = 0.0,
    images: Images = "true",
    recipe: Recipe = MEMORIZER,
    seeds: Iterable[int] = range(5),
    goal: float = 0.99,
    stop: bool = False,
    backend: BackendName | None = None,
) -> Memorization:
    """Train a network for each seed, and follow its training and test accuracy.

    A network that can only learn rules cannot fit shuffled labels. A wide network can fit them, but needs more epochs
    than for true labels (Zhang et al. 2017, "Understanding deep learning requires rethinking generalization"; Arpit et
    al. 2017, "A closer look at memorization in deep networks"). A narrow network needs still more epochs: 784-16-16-10
    does not fit 4,000 shuffled digits within 200 epochs of MEMORIZER. With sigmoids and Adam at a falling learning rate
    it fits them after about 1,000 epochs.

    Parameters
    ----------
    x : array_like or sparse matrix, shape (n, n_in)
        Training examples.
    y : array_like of int, shape (n,)
        Their labels.
    test : tuple, optional
        Test examples and their labels, which are never shuffled.
    corrupted : float
        The share of examples, drawn at random, whose labels are shuffled among these examples. 0 keeps all labels, 1
        shuffles all labels.
    images : {"true", "shuffled", "noise"}
        "true": x as it is. "shuffled": the pixels of each image are in a random order, another order for each image.
        "noise": Gaussian noise with the mean and variance of x.
    recipe : Recipe
        How the networks are made and trained.
    seeds : iterable of int
        The seeds, one for each training. A seed sets the network, the order of the examples and the shuffling.
    goal : float
        The training accuracy that counts as fitted.
    stop : bool
        Whether a run ends when it reaches the goal.
    backend : str, optional
        The backend of the trainings.

    Returns
    -------
    Memorization

    Raises
    ------
    TypeError, ValueError
        The data or a setting do not fit.
    DivergedError
        A training diverged.

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> found = memorization(x, y, corrupted=1.0, recipe=MEMORIZER.but(epochs=3), seeds=[0, 1])
    >>> found.training.shape
    (2, 3)
    """
    recipe = checks.instance("recipe", recipe, Recipe, "fastnet.insight").on(backend)
    checks.whole_number("recipe.epochs", recipe.epochs, 1)
    share = checks.number("corrupted", corrupted, minimum=0)
    goal = checks.number("goal", goal, above=0)
    for name, value in (("corrupted", share), ("goal", goal)):
        if value > 1:
            raise ValueError(f"{name} must be at most 1, not {value:g}")
    checks.name_of("images", images, get_args(Images))
    checks.boolean("stop", stop)
    whole = task(x, y, test, recipe)
    if images != "true" and not isinstance(whole.x, np.ndarray):
        raise ValueError(f"images={images!r} needs x as an array, not sparse: give x.toarray()")
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
    whole: Task, share: float, images: Images, recipe: Recipe, seed: int, until: float
) -> tuple[Trainer, NDArray[np.float64], NDArray[np.float64]]:
    """One run: its trainer, and the training and test accuracies (epochs,)."""
    rng = np.random.default_rng([seed, 1])  # not [seed], which draws the network and the order
    x, y = _images(whole.x, images, byte_scale_of(recipe), rng), _corrupted(whole.y, share, rng)
    training, tested = np.full((2, recipe.epochs), np.nan)

    def follow(trainer: Trainer, epoch: Epoch) -> None:
        training[epoch.epoch - 1] = trainer.evaluate(x, y).accuracy
        tested[epoch.epoch - 1] = whole.tested(trainer).accuracy
        if training[epoch.epoch - 1] >= until:
            trainer.stop()

    trainer = whole.start(recipe, seed)
    trainer.fit(x, y, epochs=recipe.epochs, callbacks=[follow])
    return trainer, training, tested


def _corrupted(y: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    chosen = rng.permutation(len(y))[: round(share * len(y))]
    labels = y.copy()
    labels[chosen] = y[rng.permutation(chosen)]
    return labels


def _images(x: Any, images: Images, byte_scale: float, rng: np.random.Generator) -> Any:
    if images == "shuffled":
        return rng.permuted(x, axis=1)
    if images == "noise":
        one = number_for_one(x, byte_scale)
        return rng.normal(x.mean() / one, x.std() / one, x.shape).astype(np.float32)
    return x


def _chance(whole: Task) -> float:
    if whole.test is None:
        return np.nan
    shares = [np.bincount(y, minlength=whole.n_out) / len(y) for y in (whole.y, whole.test[1])]
    return float(shares[0] @ shares[1])
