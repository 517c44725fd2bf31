"""The table of experiments, the setting that the experiments of one command share, and the call of one experiment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.data import Dataset
from fastnet.errors import DivergedError
from fastnet.explore.finding import Finding
from fastnet.names import BackendName
from fastnet.training.recipe import CHAPTER, Recipe
from fastnet.training.trainer import Trainer

# The name of each experiment on the command line, and its question. The module has the same name with _ in place of -.
EXPERIMENTS = {
    "descent": "what gradient descent does, step by step",
    "gradient": "which weights and biases matter most",
    "weights": "what the hidden neurons look at, and whether they look for edges",
    "noise": "how sure the network is about noise, and how well it is calibrated",
    "memorize": "whether the network learns or memorises",
    "minima": "whether all seeds end equally well, and what lies between two trained networks",
    "data-size": "how much data the network needs",
}
NEED_SCIPY = {"noise", "minima"}


@dataclass(frozen=True)
class Setting:
    """The data, seeds and recipe that the experiments of one command share.

    Attributes
    ----------
    data : Dataset
        The examples to train on and to test with.
    backend : str, optional
        The backend of all trainings. By default fastnet chooses one.
    seed : int
        The seed of a single training.
    n_seeds : int
        The number of seeds in an experiment that compares seeds. They are seed, seed + 1, ...
    recipe : Recipe
        How the network is made and trained.
    """

    data: Dataset
    backend: BackendName | None = None
    seed: int = 0
    n_seeds: int = 5
    recipe: Recipe = CHAPTER

    @property
    def seeds(self) -> range:
        """The seeds of an experiment that compares seeds."""
        return range(self.seed, self.seed + self.n_seeds)

    @property
    def examples(self) -> str:
        """The word for the data's examples: images or examples."""
        return "images" if self.data.image_shape else "examples"

    def start(self, recipe: Recipe | None = None, seed: int | None = None) -> Trainer:
        """Return a trainer of a new network. By default it has the setting's recipe and seed."""
        recipe = (recipe or self.recipe).on(self.backend)
        seed = self.seed if seed is None else seed
        return recipe.start(self.data.x_train.shape[1], len(self.data.class_names), seed)

    @cached_property
    def trained(self) -> Trainer:
        """The trainer after the recipe's training. All experiments share it, and none may change its network."""
        trainer = self.start()
        test = self.data.x_test, self.data.y_test
        trainer.fit(self.data.x_train, self.data.y_train, epochs=self.recipe.epochs, validation_data=test)
        return trainer

    def training_sample(self, n: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return n random training examples with the classes in proportion, or all if there are fewer than n."""
        return _sample(self.data.x_train, self.data.y_train, n, self.seed)

    def test_sample(self, n: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return n random test examples with the classes in proportion, or all if there are fewer than n."""
        return _sample(self.data.x_test, self.data.y_test, n, self.seed)


def _sample(x: NDArray[Any], y: NDArray[np.int64], n: int, seed: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    # Imported here, since insight loads slowly and every command loads this module.
    from fastnet.insight.task import stratified_order

    chosen = stratified_order(y, np.random.default_rng(seed))[:n]
    return x[chosen], y[chosen]


def run(name: str, setting: Setting) -> Finding:
    """Run one experiment.

    Parameters
    ----------
    name : str
        A key of EXPERIMENTS.
    setting : Setting
        The data, the seeds and the recipe.

    Raises
    ------
    ValueError
        There is no experiment of this name.
    DivergedError
        A training diverged.

    Examples
    --------
    >>> setting = Setting(fastnet.data.load("mnist-5k"))
    >>> print(run("weights", setting).text)  # takes seconds  # doctest: +SKIP
    """
    checks.name_of("experiment", name, EXPERIMENTS)
    module = import_module(f"{__package__}.{name.replace('-', '_')}")
    try:
        found: Finding = module.explore(setting)
    except DivergedError as error:
        x = setting.data.x_train
        raise DivergedError(
            f"{name}: the cost is no longer finite, at learning rate {error.learning_rate:g}. The experiments expect "
            f"inputs from about 0 to 1, or of standard deviation 1. The inputs of this data set are from {x.min():g} "
            f"to {x.max():g}: scale them first",
            epoch=error.epoch,
            step=error.step,
            learning_rate=error.learning_rate,
        ) from error
    return found
