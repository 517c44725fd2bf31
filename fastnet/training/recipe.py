"""Recipe: the settings of a network and its training, to train many networks with different seeds, sizes and data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastnet import checks
from fastnet.network import Network
from fastnet.training.trainer import Trainer


@dataclass(frozen=True)
class Recipe:
    """The settings of a network and its training. The defaults are those of `fastnet train` for pictures.

    Parameters
    ----------
    hidden : tuple of int
        The widths of the hidden layers.
    epochs : int
        How many times to go through the training data.
    network : mapping
        Keyword arguments of Network, such as ``{"activation": "relu"}``, without `seed`.
    trainer : mapping
        Keyword arguments of Trainer, such as ``{"optimizer": "adam"}``, without `seed`.
    patience : int
        `fastnet train` holds out some of the training examples, ends the training after this number of epochs without a
        lower cost on them, and keeps the network of the lowest cost. 0: it runs all epochs, as the experiments do.
    """

    hidden: tuple[int, ...] = (16, 16)
    epochs: int = 30
    network: Mapping[str, Any] = field(default_factory=lambda: {"activation": "sigmoid", "cost": "squared_error"})
    trainer: Mapping[str, Any] = field(
        # With sigmoids and squared error, sgd's default rate of 0.1 reaches 85% on mnist-5k. This rate reaches 91%.
        default_factory=lambda: {"optimizer": "sgd", "learning_rate": 0.5, "schedule": "cosine", "batch_size": 10}
    )

    patience: int = 0

    def start(self, n_in: int, n_out: int, seed: int, **trainer: Any) -> Trainer:
        """Make a new network and its trainer. The network is not trained yet.

        Parameters
        ----------
        n_in, n_out : int
            The sizes of the input and output layers.
        seed : int
            The seed of the network and of the trainer.
        **trainer
            Arguments of Trainer that replace the recipe's.

        Returns
        -------
        Trainer
            The trainer. Its `network` is the new network.

        Raises
        ------
        ValueError, TypeError
            A setting is invalid for Network or Trainer.
        """
        checks.whole_number("epochs", self.epochs, 0)
        network = Network([n_in, *self.hidden, n_out], seed=seed, **self.network)
        return Trainer(network, seed=seed, **{**self.trainer, **trainer})

    def on(self, backend: str | None) -> Recipe:
        """Return the recipe with a backend, or the same recipe for None."""
        return self if backend is None else self.but(trainer={"backend": backend})

    def but(self, **changes: Any) -> Recipe:
        """Return a copy with changed fields. The mappings `network` and `trainer` are merged with the recipe's."""
        merged: dict[str, Any] = {
            name: {**getattr(self, name), **value} if name in ("network", "trainer") else value
            for name, value in changes.items()
        }
        return dataclasses.replace(self, **merged)


CHAPTER = Recipe()  # for pictures


VALIDATION_SPLIT = 0.2  # the share to hold out with a patience; a tenth of a small table says too little
MIN_ROWS = 200  # with fewer training rows, holding some out costs more accuracy than the overfitting of all epochs


def table_recipe(n_rows: int) -> Recipe:
    """Return the recipe of `fastnet train` for a table with this number of training rows. Columns are standardized.

    A weight decay of 2 / n_rows minimises the sum of all costs and of the squared weights. So it acts on few rows and
    is outweighed by many.
    """
    recipe = Recipe((100,), 200, {}, {"batch_size": 32, "weight_decay": 2 / n_rows})
    return recipe.but(patience=20) if n_rows >= MIN_ROWS else recipe
