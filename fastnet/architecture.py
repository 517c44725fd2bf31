"""Architecture: the layers, the cost and the task of a network. Not here: the parameters and the computation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.backends.encoding import encode
from fastnet.costs import CostObject, described, name_and_number
from fastnet.kernels import contract as c
from fastnet.kernels import formulas
from fastnet.names import Activation, Cost, Output, TaskName
from fastnet.notebook import card
from fastnet.text import layers

if TYPE_CHECKING:
    from fastnet.data.schema import Schema

Floats = NDArray[np.floating[Any]]  # of the network's dtype


class Views(NamedTuple):
    """Views of a flat vector, layer by layer: weights[l] (n_out, n_in) and biases[l] (n_out,) share its memory."""

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]


class Architecture:
    """The part of a network that its arguments fix. `Network` documents the arguments and adds the parameters."""

    _schema: Schema | None = None

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation | Sequence[Output],
        output: Output | None,
        cost: Cost | CostObject | None,
        task: TaskName | None,
        byte_scale: float,
    ) -> None:
        self._sizes = checks.layer_sizes(sizes)
        hidden = checks.hidden_activations(activation, len(self._sizes) - 2)
        given = None if cost is None else name_and_number(cost)
        names = checks.output_cost_and_task(output, given and given[0], task, self._sizes[-1])
        self._activations = cast(tuple[Output, ...], (*hidden, names[0]))
        self._cost, self._cost_number = given or name_and_number(cast(Cost, names[1]))
        self._task = cast(TaskName, names[2])
        self._byte_scale = checks.byte_scale(byte_scale)
        self._encode()

    def _encode(self) -> None:
        self._layers = encode(
            self._sizes, self._activations, self._cost, self._cost_number, self._task, self._byte_scale
        )
        to_sums = self._layers.copy()
        to_sums[-1, c.ACTIVATION] = c.IDENTITY
        self._layers_to_sums = c.frozen(to_sums)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The layers' widths, inputs first."""
        return self._sizes

    @property
    def activations_by_layer(self) -> tuple[Output, ...]:
        """The activation of each layer of weights, the output layer's last."""
        return self._activations

    @property
    def cost_name(self) -> Cost:
        """The cost that training minimises."""
        return self._cost

    @property
    def cost_number(self) -> float:
        """The number of the cost, such as the delta of Huber's cost; 0 for a cost without a number."""
        return self._cost_number

    @property
    def task(self) -> TaskName:
        """What the outputs mean: "classification", "regression" or "multilabel"."""
        return self._task

    @property
    def schema(self) -> Schema | None:
        """What the inputs and outputs mean, or None. You may set it. Refuses a schema that does not fit the widths."""
        return self._schema

    @schema.setter
    def schema(self, value: Schema | None) -> None:
        if value is not None:
            from fastnet.data.schema import Schema  # imported here, since fastnet.data is a lazy package

            checks.instance("schema", value, Schema, "fastnet.data")
            n_in, n_names = len(value.feature_names), len(value.class_names)
            n_out = formulas.n_classes(self._sizes[-1]) if self.is_classifier else self._sizes[-1]
            if n_in not in (0, self._sizes[0]):
                raise ValueError(
                    f"the schema describes {n_in} inputs, but the network has {self._sizes[0]}: give the schema of the "
                    "data that it is trained on"
                )
            if n_names > n_out:
                raise ValueError(
                    f"the schema names {n_names} classes, but the network has {n_out} classes, labels or values: give "
                    "the schema of the data that it is trained on"
                )
        self._schema = value

    @property
    def is_classifier(self) -> bool:
        """Whether the task is classification: each example has one class."""
        return self._task == "classification"

    @property
    def byte_scale(self) -> float:
        """What a byte of 1 in x stands for."""
        return self._byte_scale

    @property
    def n_parameters(self) -> int:
        """The number of weights and biases."""
        return c.count_parameters(self._sizes)

    @property
    def layers(self) -> NDArray[np.int64]:
        """The network in the form that kernels take, read-only. `fastnet.kernels.contract` names the columns."""
        return self._layers.view()  # a view, since users may set an array's shape and dtype

    def layers_to_weighted_sums(self) -> NDArray[np.int64]:
        """Return `layers` without the last activation: the outputs are then the last layer's weighted sums.

        Costs and classes are computed from the weighted sums, since several activations may round to 1.
        """
        return self._layers_to_sums.view()

    def views(self, vector: NDArray[Any]) -> Views:
        """Return views of a vector (n_parameters,), such as a gradient: the weights and the biases of each layer.

        Raises ValueError if the vector has another shape.
        """
        checks.vector(vector, self.n_parameters, "vector")
        weights, biases = [], []
        for n_in, n_out, _, w, b, *_ in self._layers.tolist():
            weights.append(vector[w : w + n_in * n_out].reshape(n_out, n_in))
            biases.append(vector[b : b + n_out])
        return Views(tuple(weights), tuple(biases))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the layers and the number of parameters."""
        rows = [("layer", "inputs", "neurons", "activation", "weights and biases")]
        for k, (n_in, n_out, *_) in enumerate(self._layers.tolist()):
            rows.append((str(k + 1), f"{n_in:,}", f"{n_out:,}", self._activations[k], f"{(n_in + 1) * n_out:,}"))
        facts = {"parameters": f"{self.n_parameters:,}", "cost": self.cost_description(), "task": self._task}
        return card(f"Network {layers(self._sizes)}", facts, rows)

    def cost_description(self) -> str:
        """Return the cost as text: its name, and its number if this is not the default, such as "huber(delta=2)"."""
        return described(self._cost, self._cost_number)

    def description(self) -> str:
        """Return the widths, activations and cost as text. The task is left out if the output implies it."""
        *hidden, output = self._activations
        implied = checks.output_cost_and_task(output, self._cost, None, self._sizes[-1])[2]
        names = "/".join(dict.fromkeys(hidden)) or "no hidden layer"
        parts = [names, output, self.cost_description()]
        parts += [] if self._task == implied else [self._task]
        parts += [] if self._byte_scale == c.PIXEL_SCALE else [f"byte_scale {self._byte_scale:g}"]
        return f"{'-'.join(map(str, self._sizes))} {', '.join(parts)}"
