"""The data of a search: checked once, split once, and shared by all of its trainings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.checks import UnconvertedRows
from fastnet.errors import warn
from fastnet.network import Network
from fastnet.search.records import Trial
from fastnet.search.space import NETWORK, Setting, text_of
from fastnet.source import Source
from fastnet.training.inputs import Examples, check_examples, check_validation_data
from fastnet.training.selection import hold_out
from fastnet.training.spread import spread_message

Array = NDArray[Any]
Metric = Callable[[Network, Any, Any], float]
Callbacks = Callable[[Trial], Sequence[Any]]
SPLIT = 2  # the stream of random numbers of the held-out rows; 0 is that of the settings, 1 that of the seeds


class Fold(NamedTuple):
    """The examples of a training, as `Trainer.fit` takes them."""

    x: Any
    y: Array
    weights: Array | None
    validation: tuple[Any, ...]  # (x, y) or (x, y, weights)


@dataclass(frozen=True)
class Problem:
    """What all trainings of a search share.

    Attributes
    ----------
    n_in : int
        The number of inputs.
    n_out : int
        The number of columns of the targets; 0 if y is (n,).
    n_classes : int
        The number of classes; 0 if y does not hold class labels.
    folds : sequence of Fold
        Training j of each setting takes fold j, and begins again after the last.
    metric : str or function
        The name of a measure, or a function(network, x, y).
    fit : mapping
        Further arguments of `Trainer.fit`.
    callbacks : function or None
        It returns new callbacks for a training.
    """

    n_in: int
    n_out: int
    n_classes: int
    folds: Sequence[Fold] = ()
    metric: str | Metric = "accuracy"
    fit: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Callbacks | None = None

    def network(self, setting: Setting, hidden: Sequence[int], seed: int) -> Network:
        """Return a new network with these hidden layers and the other parameters of a setting.

        Values (n,) have one output, and classes have one each. Floats (n,) are values, unless the setting says what
        they are.

        Raises ValueError or TypeError if a parameter is invalid.
        """
        arguments = {name: setting[name] for name in NETWORK if name in setting}
        meaning = {name: arguments[name] for name in ("output", "cost", "task") if name in arguments}
        width = self.n_out or 1
        if self.n_classes:
            if not meaning or Network([1, 2], **meaning).task != "regression":
                width = max(self.n_classes, 2)
        elif not self.n_out and not meaning:
            arguments["task"] = "regression"
        return Network([self.n_in, *hidden, width], seed=seed, **arguments)


def described(x: Any, y: Any) -> Problem:
    """Return the problem of these examples, without the examples.

    Raises ValueError or TypeError if x or y cannot be examples.
    """
    if isinstance(x, Source):
        raise TypeError("a search trains on arrays, not on a Source: read as many rows of it as fit into memory")
    if y is None:
        raise TypeError("y is missing: call search(space, x, y)")
    shape = tuple(x.shape if hasattr(x, "shape") else np.asarray(x).shape)
    if len(shape) < 2 or not all(shape):
        raise ValueError(f"x has shape {shape}; expected examples, one per row: (n, n_in)")
    targets, n_in = np.asarray(y), int(np.prod(shape[1:]))
    if targets.ndim == 2:
        return Problem(n_in, targets.shape[1], 0)
    return Problem(n_in, 0, 0 if targets.dtype.kind == "f" else checks.classes(y, shape[0])[1])


def checked(
    problem: Problem, settings: Sequence[Setting], x: Any, y: Any, sample_weight: Any, validation: Any
) -> tuple[Examples, Examples | None]:
    """Check the examples for the networks of all settings. Return them and the validation examples, if they are given.

    Raises ValueError or TypeError if a shape, dtype or value is invalid. Warns if columns need scaling.
    """
    names = ("output", "cost", "task", "dtype", "byte_scale")
    kinds: dict[str, Setting] = {}
    for setting in settings:
        kind = {name: setting[name] for name in names if name in setting}
        kinds[text_of(kind)] = kind
    # Where dtypes differ, the wider one comes last: its rows are exact for all.
    networks = sorted((problem.network(kind, (), 0) for kind in kinds.values()), key=lambda one: one.dtype.itemsize)
    held: Examples | None = None
    for network in networks:
        examples = check_examples(network, x, y, sample_weight)
        if isinstance(validation, (tuple, list)):
            held = check_validation_data(network, validation)
    if message := spread_message(examples.x, checks.column_names(x)):
        warn(message)
    return examples, held


def folds(
    x: Any, y: Any, examples: Examples, validation: Any, held: Examples | None, seed: int, has_classes: bool
) -> list[Fold]:
    """Hold out validation rows of checked examples, the same for all settings. `held` are checked validation examples.

    The folds of a number of folds share x: the held-out rows have weight 0, and `fit` leaves them out. So do the rows
    of a share of a mapped or large array, which is not copied.

    Raises ValueError or TypeError if `validation` is invalid, or leaves no rows to train on or to validate on.
    """
    n = len(examples.x)
    is_large = isinstance(examples.x, UnconvertedRows) or isinstance(x, np.memmap)
    rows = _shared(x, examples)
    targets, weights = np.asarray(y), examples.weights if examples.weights.size else None
    if held is not None:
        given_x, *others = validation
        return [Fold(rows, targets, weights, (_shared(given_x, held), *others))]
    groups = targets if has_classes else np.zeros(n, np.int64)
    split_seed = int(np.random.default_rng([seed, SPLIT]).integers(2**63))
    if isinstance(validation, (float, np.floating)):
        share = checks.between_0_and_1("validation", validation)
        n_held = round(share * n)
        if not 0 < n_held < n:
            purpose = "train on" if n_held else "validate on"
            raise ValueError(
                f"validation={share:g} of {n} examples leaves none to {purpose}: give another share, or (x, y)"
            )
        mask = hold_out(n, n_held, groups, split_seed)
        return [_fold(rows, targets, weights, mask, is_copied=not is_large)]
    if isinstance(validation, (int, np.integer)) and not isinstance(validation, bool):
        n_folds = checks.whole_number("validation (a number of folds)", validation, 2, n)
        order = np.random.default_rng(split_seed).permutation(n)
        order = order[np.argsort(groups[order], kind="stable")]  # class by class
        number = np.empty(n, np.int64)
        number[order] = np.arange(n) % n_folds
        return [_fold(rows, targets, weights, number == k, is_copied=False) for k in range(n_folds)]
    raise TypeError(
        "validation must be a share such as 0.2, a number of folds such as 5, (x, y) or (x, y, sample_weight), not "
        f"{checks.given(validation)}"
    )


def _shared(x: Any, examples: Examples) -> Any:
    """Return x in the form that all trainings share: converted once, but for sparse and for large or mapped arrays."""
    if checks.is_scipy_sparse(x):
        return x.tocsr()
    return np.asarray(x).reshape(len(examples.x), -1) if isinstance(examples.x, UnconvertedRows) else examples.x


def _fold(x: Any, y: Array, weights: Array | None, held: NDArray[np.bool_], *, is_copied: bool) -> Fold:
    rows, rest = np.flatnonzero(held), np.flatnonzero(~held)
    for purpose, part in (("train on", rest), ("validate on", rows)):
        if weights is not None and not weights[part].any():
            raise ValueError(
                f"validation leaves no example with a weight above 0 to {purpose}: give another share, or fewer folds"
            )
    validation = (x[rows], y[rows]) if weights is None else (x[rows], y[rows], weights[rows])
    if is_copied:
        return Fold(x[rest], y[rest], None if weights is None else weights[rest], validation)
    kept = (~held).astype(np.float64)
    return Fold(x, y, kept if weights is None else kept * weights, validation)
