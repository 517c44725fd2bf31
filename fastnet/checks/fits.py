"""Checks of what a fit gets: the batch size, class weights, the validation split, the measure of a callback."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastnet.checks.values import fraction, given, name_of, number, whole_number


def batch_size(value: object) -> int | Literal["auto"]:
    """Return the number of examples in a batch, or "auto"."""
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(f"batch_size must be a whole number or 'auto', not {value!r}")
        return "auto"
    return whole_number("batch_size", value, 1)


def validation_split(value: object, has_data: bool) -> float:
    """Return the share of the examples to hold out. `has_data` says whether the user gave validation data too."""
    share = fraction("validation_split", value)
    if share and has_data:
        raise ValueError("validation_data and validation_split are both given: give one of them")
    return share


def held_out(share: float, n: int) -> int:
    """Return how many of n examples are held out. Refuse to hold out none or all of the examples."""
    found = round(share * n)
    if not 0 < found < n:
        raise ValueError(
            f"validation_split={share:g} of {n} examples holds out {found}, which leaves none to "
            f"{'train on' if found else 'validate on'}: give another share, or validation_data"
        )
    return found


def class_weight(value: object, n_classes: int) -> NDArray[np.float64] | None:
    """Return the weight of each class, float64 (n_classes,). None stands for "balanced"."""
    if isinstance(value, str):
        name_of("class_weight", value, ("balanced",))
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"class_weight must be 'balanced' or a mapping such as {{0: 1.0, 1: 5.0}}, not {given(value)}")
    found = np.ones(n_classes)  # the weight of a class that the mapping lacks, as in scikit-learn
    for key, weight in value.items():
        label = int(key) if isinstance(key, (bool, np.bool_)) else key  # labels may be bools too
        if whole_number("a label of class_weight", label, 0) >= n_classes:
            raise ValueError(f"class_weight names the class {label}; the network has the classes 0 to {n_classes - 1}")
        found[label] = number(f"class_weight[{label}]", weight, minimum=0)
    return found


def monitor(name: str, measures: Collection[str]) -> None:
    """Refuse a measure that a fit does not record. `measures` are those that it records."""
    if name not in measures:
        lacks_validation = name.startswith("validation_") and "validation_cost" not in measures
        advice = "give validation_data or validation_split" if lacks_validation else "monitor one of these"
        raise ValueError(f"{name} is nan in each epoch of this fit; it records {', '.join(measures)}: {advice}")


def has_classes(is_classifier: bool) -> None:
    """Refuse class weights for a network that does not classify."""
    if not is_classifier:
        raise ValueError("class_weight is for task='classification': use sample_weight, a weight for each example")
