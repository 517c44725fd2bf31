"""The finding of an experiment: text to print, numbers for JSON and pictures to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
        The numbers of the text, and further numbers. A value may be an array, a dataclass or NaN; `plain` converts it
        for JSON.
    pictures : Mapping[str, Callable[[], Figure]]
        The function that draws each picture. The keys are file names without their endings.
    """

    text: str
    numbers: Mapping[str, Any]
    pictures: Mapping[str, Callable[[], Figure]] = field(default_factory=dict)
