"""The data and the spaces of `fastnet search`: rows as the trainings take them, and networks that take raw rows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.cli.fitting import standardization
from fastnet.cli.train_options import default_standardization, recipe_for
from fastnet.data import Dataset
from fastnet.network import Network

Space = Mapping[str, Any]


class SearchData:
    """The rows of a search and its spaces.

    Attributes
    ----------
    data : Dataset
        The data as the user gave them.
    spaces : list of dict
        The spaces of the file. A parameter that a space does not name has the default of `fastnet train`.
    x, y : array
        The training rows (n, n_in), standardized where `fastnet train` would do so, and their targets.
    standard : Standardization
        What was standardized.
    """

    def __init__(self, args: argparse.Namespace, data: Dataset, spaces: Sequence[Space]) -> None:
        self.data = data
        default_standardization(args, data)
        self.spaces = [_complete(args, data, space) for space in spaces]
        outputs = {output for space in self.spaces for output in _outputs(data, space)}
        # Targets are standardized only if every network can scale its outputs to them.
        self.standard = standardization(args, data, "identity" if outputs == {"identity"} else "other")
        rows = self.standard.rows(data.x_train)
        wide = any("float64" in map(_name, _candidates(space, "dtype")) for space in self.spaces)
        # A trainer would convert float64 to the dtype of its network in every epoch.
        self.x = rows if rows.dtype == np.uint8 or wide else rows.astype(np.float32, copy=False)
        self.y: NDArray[Any] = self.standard.outputs(data.y_train)

    def for_raw_rows(self, network: Network) -> Network:
        """Return the network that gives for raw rows what `network` gives for the rows of the search."""
        found = self.standard.folded(network, self.data.x_train)
        found.schema = self.data.schema
        return found


def _complete(args: argparse.Namespace, data: Dataset, space: Space) -> dict[str, Any]:
    """Return a space with the defaults of `fastnet train` for what it does not name."""
    recipe = recipe_for(data)
    known: dict[str, Any] = {"hidden": recipe.hidden, **recipe.network, **recipe.trainer}
    if {"optimizer", "cost"} & space.keys():
        known.pop("learning_rate", None)  # the recipe's rate is for the recipe's optimizer and cost
    if data.task != "classification":
        known["task"] = data.task
    if "output" in space:
        known.pop("cost", None)  # the output implies one
    if args.backend is not None:
        if "backend" in space:
            raise ValueError(f"the space names backends, and --backend {args.backend} too: leave out one of them")
        known["backend"] = args.backend
    return {**{name: value for name, value in known.items() if name not in space}, **space}


def _candidates(space: Space, name: str) -> list[Any]:
    value = space.get(name)
    return value if isinstance(value, list) else [value]


def _name(value: Any) -> str:
    return str(value)


def _outputs(data: Dataset, space: Space) -> Iterator[str]:
    """Yield the activations that the output layers of the space's networks may have."""
    if data.task != "regression":
        return
    n_in, n_out = data.x_train.shape[1], data.y_train.shape[1]
    for output, cost in product(_candidates(space, "output"), _candidates(space, "cost")):
        network = Network([n_in, n_out], output=output, cost=cost, task="regression")
        yield network.activations_by_layer[-1]
