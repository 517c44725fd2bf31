"""The experiments of `fastnet explore`: each runs functions of fastnet.insight on one data set and tells what it found.

An experiment is a module of this package with one function, explore(setting) -> Finding. Not here: the functions
themselves (fastnet.insight), the pictures (fastnet.plots), the command (cli/explore.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.data import Dataset
from fastnet.errors import DivergedError
from fastnet.training.recipe import CHAPTER, Recipe
from fastnet.training.trainer import Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# name on the command line: what it asks. Its module has the same name, with _ for -.
EXPERIMENTS = {
    "descent": "what gradient descent does, step by step",
    "gradient": "which weights and biases matter most",
    "weights": "what the hidden neurons look at, and whether it is edges",
    "noise": "how sure the network is about nothing, and how well calibrated",
    "memorize": "whether it learns or memorises",
    "minima": "why it is so easy: where many seeds end, and the ways between them",
    "data-size": "how much data it needs",
}
NEED_SCIPY = {"noise", "minima"}


@dataclass(frozen=True)
class Setting:
    """What the experiments of one command share. `seeds`: runs where a figure needs several, seed, seed + 1, ..."""

    data: Dataset
    backend: str | None = None
    seed: int = 0
    seeds: int = 5
    recipe: Recipe = CHAPTER

    def start(self) -> Trainer:
        """A trainer of a new network of the setting's recipe."""
        data = self.data
        recipe = self.recipe.on(self.backend)
        return recipe.start(data.x_train.shape[1], len(data.class_names), self.seed)

    @property
    def examples(self) -> str:
        """What the data's examples are called."""
        return "images" if self.data.image_shape else "examples"

    @cached_property
    def trained(self) -> Trainer:
        """The recipe's network after its training, trained once for all experiments: not to be changed."""
        trainer = self.start()
        trainer.fit(
            self.data.x_train,
            self.data.y_train,
            epochs=self.recipe.epochs,
            validation_data=(self.data.x_test, self.data.y_test),
        )
        return trainer


@dataclass(frozen=True)
class Finding:
    """What an experiment found: text to print, numbers for JSON, and pictures, drawn when they are wanted.

    numbers may hold arrays, dataclasses and NaN: see `plain`. pictures: the file's name without its ending, and what
    draws it.
    """

    text: str
    numbers: Mapping[str, Any]
    pictures: Mapping[str, Callable[[], Figure]] = field(default_factory=dict)


def run(name: str, setting: Setting) -> Finding:
    """Runs one experiment of EXPERIMENTS. Raises ValueError for an unknown name, DivergedError where one diverges."""
    checks.name_of("experiment", name, EXPERIMENTS)
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    try:
        found: Finding = module.explore(setting)
    except DivergedError as error:
        x = setting.data.x_train
        raise DivergedError(
            f"{name}: a cost is no longer finite, at learning rate {error.learning_rate:g}. The experiments' rates are "
            f"for inputs from about 0 to 1, or of deviation 1; these are from {x.min():g} to {x.max():g}: scale them "
            "first",
            epoch=error.epoch,
            step=error.step,
            learning_rate=error.learning_rate,
        ) from error
    return found


def plain(value: Any) -> Any:
    """The value as JSON has it: arrays become lists, dataclasses and named tuples dicts, NaN and infinity None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
