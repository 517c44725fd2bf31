"""Ensemble: several networks as one model, whose outputs are the mean of theirs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet import checks
from fastnet.backends.engine import choose
from fastnet.ensemble.mean_outputs import mean, mean_sums
from fastnet.ensemble.member_outputs import MemberOutputs, widest
from fastnet.evaluation import Evaluation, Squares, evaluation
from fastnet.kernels import formulas
from fastnet.names import BackendName, TaskName, Threads
from fastnet.network import Network
from fastnet.network_file import MAX_MEMBERS, holds_ensemble, opened_ensemble, write_ensemble
from fastnet.notebook import card
from fastnet.predictor import predicted
from fastnet.source_rows import NO_Y, is_source
from fastnet.text import layers

if TYPE_CHECKING:
    from fastnet.data.schema import Schema

Array = NDArray[Any]


class Ensemble:
    """Several networks as one model. Its outputs are the mean of the networks' outputs.

    For a classification the outputs are probabilities, and so is their mean (Lakshminarayanan et al. 2017,
    arXiv 1612.01474). The networks may differ in their hidden layers, dtypes and costs.

    Parameters
    ----------
    networks : iterable of Network
        The networks. The ensemble keeps them, not copies: if one is trained further, the ensemble changes too.

    Attributes
    ----------
    networks : tuple of Network
        The networks. `len`, iteration and indexing of the ensemble go through them.

    Raises
    ------
    TypeError
        An object is no network.
    ValueError
        There is no network or more than 1,000, or they differ in the task, the number of inputs or outputs, the
        activation of the outputs, the byte_scale or the schema.

    Examples
    --------
    >>> import fastnet
    >>> ensemble = fastnet.Ensemble(fastnet.Network([4, 8, 3], seed=seed) for seed in range(5))
    >>> ensemble
    <Ensemble of 5 networks, 4 inputs, 3 outputs, classification, 335 parameters>
    >>> ensemble.predict([[0.1, 0.2, 0.3, 0.4]])
    array([2])
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        if isinstance(networks, Network):
            raise TypeError("networks must be a list of networks, not one network: write Ensemble([network])")
        if not isinstance(networks, Iterable):
            raise TypeError(f"networks must be a list of networks, not {checks.given(networks)}")
        some = islice(networks, MAX_MEMBERS + 1)  # a generator may have no end
        found = [checks.instance(f"networks[{k}]", one, Network) for k, one in enumerate(some)]
        if not 1 <= len(found) <= MAX_MEMBERS:
            raise ValueError(f"an ensemble needs 1 to {MAX_MEMBERS:,} networks, not {'more' if found else '0'}")
        first = _Interface.of(found[0])
        for k, one in enumerate(found):
            for name, mine, other in zip(_Interface._fields, first, _Interface.of(one), strict=True):
                if mine != other:
                    raise ValueError(
                        f"the networks of an ensemble must agree, but networks[0] and networks[{k}] differ in "
                        f"{name.replace('_', ' ')} ({mine} and {other}): leave one out"
                    )
        schemas = [(k, one.schema) for k, one in enumerate(found) if one.schema is not None]
        if odd := [k for k, schema in schemas if schema != schemas[0][1]]:
            raise ValueError(
                f"networks[{schemas[0][0]}] and networks[{odd[0]}] have different schemas: give networks that were "
                "trained on the same columns and classes"
            )
        self.networks = tuple(found)
        self._schema = schemas[0][1] if schemas else None

    def __len__(self) -> int:
        return len(self.networks)

    def __iter__(self) -> Iterator[Network]:
        return iter(self.networks)

    def __getitem__(self, k: int) -> Network:
        return self.networks[k]

    def __repr__(self) -> str:
        n, (n_in, n_out) = len(self), self.sizes
        what = f"{n} network{'s' * (n > 1)}, {n_in:,} input{'s' * (n_in > 1)}, {n_out:,} output{'s' * (n_out > 1)}"
        return f"<Ensemble of {what}, {self.task}, {self.n_parameters:,} parameters>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a line for each network."""
        rows = [("network", "layers", "activation", "cost", "parameters")]
        for k, one in enumerate(self, 1):
            activation = ", ".join(dict.fromkeys(one.activations_by_layer))
            rows.append((str(k), layers(one.sizes), activation, one.cost_description(), f"{one.n_parameters:,}"))
        facts = {"parameters": f"{self.n_parameters:,}", "task": self.task}
        return card(f"Ensemble of {len(self)} networks", facts, rows)

    # -- properties ------------------------------------------------------------------------------------------

    @property
    def sizes(self) -> tuple[int, int]:
        """The number of inputs and the number of outputs."""
        sizes = self.networks[0].sizes
        return sizes[0], sizes[-1]

    @property
    def task(self) -> TaskName:
        """What the outputs mean: "classification", "regression" or "multilabel"."""
        return self.networks[0].task

    @property
    def is_classifier(self) -> bool:
        """Whether the task is classification: each example has one class."""
        return self.networks[0].is_classifier

    @property
    def byte_scale(self) -> float:
        """What a byte of 1 in x stands for."""
        return self.networks[0].byte_scale

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the outputs: float64 if a network has it, else float32."""
        return np.result_type(*(one.dtype for one in self))

    @property
    def n_parameters(self) -> int:
        """The number of weights and biases of all networks together."""
        return sum(one.n_parameters for one in self)

    @property
    def schema(self) -> Schema | None:
        """What the inputs and outputs mean, or None. You may set it, and `save` keeps it."""
        return self._schema

    @schema.setter
    def schema(self, value: Schema | None) -> None:
        for one in self:
            one.schema = value
        self._schema = value

    def description(self) -> str:
        """Return the networks as text: the widths, activations and cost of each. Equal ones are counted."""
        described = [one.description() for one in self]
        return "; ".join(f"{described.count(text)} x {text}" for text in dict.fromkeys(described))

    def cost_description(self) -> str:
        """Return the networks' cost as text, or "several costs"."""
        costs = {one.cost_description() for one in self}
        return costs.pop() if len(costs) == 1 else "several costs"

    # -- computation -----------------------------------------------------------------------------------------

    def forward(
        self, x: Any, *, backend: BackendName | None = None, threads: Threads = 1, out: Array | None = None
    ) -> NDArray[np.floating[Any]]:
        """Return the mean of the networks' outputs.

        Parameters
        ----------
        x : array, data frame, scipy.sparse matrix or Source (n, n_in)
            Examples, one per row, as `Network.forward` takes them. A source is read once for all networks.
        backend : str, optional
            A backend's name. None: the backend in use.
        threads : int or "auto"
            How many threads may share the work.
        out : numpy.ndarray (n, n_out), optional
            A C-contiguous array of the ensemble's dtype for the result.

        Returns
        -------
        numpy.ndarray (n, n_out)
            `out`, or a new array of the ensemble's dtype. The mean is computed in float64.

        Raises
        ------
        ValueError
            x or `out` has an invalid shape or dtype, or x has a value that is not finite.
        """
        members = MemberOutputs(self.networks, x)
        out = checks.result(out, (members.n_rows, self.sizes[1]), self.dtype)
        for part in members.passes(choose(backend, threads)):
            out[part.rows] = mean(part.outputs)
        return out

    def predict(
        self, x: Any, *, backend: BackendName | None = None, threads: Threads = 1, out: Array | None = None
    ) -> Array:
        """Return what the mean of the networks' outputs says: classes, labels or values.

        Classification: the class with the largest mean probability. With a single output, the class is 1 if the mean
        probability is at least 0.5, else 0. Multilabel: 1 for each label whose mean probability is at least 0.5, else
        0. Regression: the mean values. Mean probabilities are compared before they are rounded.

        Parameters
        ----------
        x, backend, threads
            As for `forward`.
        out : numpy.ndarray, optional
            The array for the result.

        Returns
        -------
        numpy.ndarray
            `out`, or a new array: int64 (n,) for classification, int64 (n, n_out) for multilabel, (n, n_out) of the
            ensemble's dtype for regression.
        """
        if self.task == "regression":
            return self.forward(x, backend=backend, threads=threads, out=out)
        members = MemberOutputs(self.networks, x)
        out = checks.result(out, (members.n_rows, self.sizes[1])[: 1 if self.is_classifier else 2], np.int64)
        for part in members.passes(choose(backend, threads), to_sums=True):
            out[part.rows] = predicted(self.task, self._mean_sums(part.outputs))
        return out

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        backend: BackendName | None = None,
        threads: Threads = 1,
    ) -> Evaluation:
        """Return the mean cost of the mean outputs, and the scores that have a meaning for the task.

        Parameters
        ----------
        x, backend, threads
            As for `forward`.
        y : array
            Class labels (n,), or targets (n, n_out). A Source has its own.
        sample_weight : array (n,), optional
            The weight of each example in all means.

        Returns
        -------
        Evaluation
            What `Network.evaluate` returns. The cost is nan if the networks have different costs.
        """
        engine, in_source = choose(backend, threads), is_source(x, y, sample_weight)
        members = MemberOutputs(self.networks, x, has_y=True)
        y = NO_Y if in_source else self.check_targets(y, members.n_rows)
        weights = checks.weights(sample_weight, members.n_rows)
        net = self.networks[0].layers
        sums, squares = formulas.Sums(0, 0, 0, 0), Squares(net)
        for part in members.passes(engine, to_sums=True):
            targets, w = part.y if in_source else y[part.rows], weights[part.rows]
            found = formulas.evaluate(net, self._mean_sums(part.outputs), targets, w)
            sums = formulas.Sums(*(a + b for a, b in zip(sums, found, strict=True)))
            squares.add(targets, w)
        result = evaluation(net, sums, squares.total)
        return result._replace(cost=np.nan) if self._has_several_costs else result

    def cost(self, x: Any, y: Any = None, **options: Any) -> float:
        """Return the mean cost of the mean outputs. The arguments are those of `evaluate`.

        Raises ValueError if the networks have different costs.
        """
        if self._has_several_costs:
            costs = ", ".join(dict.fromkeys(one.cost_description() for one in self))
            raise ValueError(f"the networks have different costs ({costs}): use evaluate, for the other scores")
        return self.evaluate(x, y, **options).cost

    def accuracy(self, x: Any, y: Any = None, **options: Any) -> float:
        """Return the accuracy that `evaluate` returns. Raises ValueError for a regression."""
        if self.task == "regression":
            checks.classifier(self.task, "accuracy: use evaluate, for the cost and R2")
        return self.evaluate(x, y, **options).accuracy

    def check_targets(self, y: object, n: int, name: str = "y") -> Array:
        """Return the labels or targets y of n examples, checked. Raises ValueError where they do not fit."""
        return widest(self.networks).check_targets(y, n, name)

    @property
    def _has_several_costs(self) -> bool:
        return len({one.cost_description() for one in self}) > 1

    def _mean_sums(self, sums: list[Array]) -> NDArray[np.float64]:
        return mean_sums(self.networks[0].activations_by_layer[-1], sums)

    # -- files -----------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all networks to one NPZ file, without pickle. An existing file stays until the new one is complete.

        docs/network-file.md describes the format.

        Parameters
        ----------
        path : path
            The file.

        Raises
        ------
        DataError
            The file cannot be written, or its name ends in .safetensors, .onnx or .c.
        """
        write_ensemble(path, [one.saved_arrays(one.kernel_parameters()) for one in self])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the ensemble that `save` wrote, with the same bits in its parameters.

        Parameters
        ----------
        path : path
            The file.

        Raises
        ------
        DataError
            The file is missing or damaged, holds a single network, or was not written by `save`.
        """
        with opened_ensemble(path) as several:
            return cls(Network.made_of(saved) for saved in several)

    def to_onnx(self, path: str | os.PathLike[str], *, x_dtype: DTypeLike | None = None) -> None:
        """Write the ensemble as one ONNX file (opset 17). An existing file stays until the new one is complete.

        The input and the outputs are those of `Network.to_onnx`. The file computes the mean of the networks' outputs in
        the ensemble's dtype, and the labels from this mean.

        Parameters
        ----------
        path : str or os.PathLike
            The file.
        x_dtype : str or dtype, optional
            The dtype of the input: "float32", "float64" or "uint8". None: the dtype of the ensemble.

        Raises
        ------
        MissingLibraryError
            The package onnx is missing (extra `onnx`).
        DataError
            The file cannot be written.
        ValueError
            x_dtype is another dtype, or the parameters take 2 GiB or more.

        Examples
        --------
        >>> import fastnet
        >>> fastnet.Ensemble(fastnet.Network([4, 8, 3], seed=seed) for seed in range(5)).to_onnx("iris.onnx")
        """
        from fastnet.export import onnx_graph  # imported here, since it needs the package onnx

        onnx_graph.write_ensemble(path, self, [(one, one.kernel_parameters()) for one in self], x_dtype)
        if x_dtype is not None:
            for one in self:
                one.warn_of_bytes(np.empty(0, x_dtype))


Model: TypeAlias = Network | Ensemble  # what `load_model` reads, and what `fastnet predict` and `evaluate` take


def load_model(path: str | os.PathLike[str]) -> Model:
    """Return the network or the ensemble in a file.

    Raises
    ------
    DataError
        The file is missing or damaged, or is neither.
    MissingLibraryError
        The file is a safetensors file, and this machine lacks safetensors.
    """
    return Ensemble.load(path) if holds_ensemble(path) else Network.load(path)


class _Interface(NamedTuple):
    """What the networks of an ensemble have in common. An error shows the names with spaces."""

    the_task: str
    the_number_of_inputs: int
    the_number_of_outputs: int
    the_output_activation: str
    the_byte_scale: float

    @classmethod
    def of(cls, one: Network) -> _Interface:
        """Return what another network must have in common with this one."""
        return cls(one.task, one.sizes[0], one.sizes[-1], one.activations_by_layer[-1], one.byte_scale)
