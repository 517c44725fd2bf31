"""The finding of an experiment: text to print, numbers for JSON and pictures to draw."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Finding:
    """What an experiment found.

    Attributes
    ----------
    text : str
        The text to print.
    numbers : Mapping[str, Any]
        The numbers of the text, and further numbers. The values may be arrays, dataclasses and NaN, which `plain`
        converts for JSON.
    pictures : Mapping[str, Callable[[], Figure]]
        The function that draws each picture. The keys are file names without their endings.
    """

    text: str
    numbers: Mapping[str, Any]
    pictures: Mapping[str, Callable[[], Figure]] = field(default_factory=dict)


def plain(value: Any) -> Any:
    """Convert a value to types that JSON has.

    Parameters
    ----------
    value
        Numbers, texts, arrays, dataclasses, named tuples, and mappings and lists of these.

    Returns
    -------
    Any
        Arrays as lists, dataclasses and named tuples as dicts, NaN and infinity as None.

    Examples
    --------
    >>> plain({"shares": np.array([0.5, np.nan])})
    {'shares': [0.5, None]}
    """
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
