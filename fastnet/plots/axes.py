"""The axes that a picture is drawn into: those that the user gives, or those of a new figure. A legend above them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.plots import style
from fastnet.text import elided

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTER = 0.08  # inches: the width of a letter of 9 points; a text of small letters is narrower
LEGEND_LETTER, SYMBOL = 0.07, 0.5  # inches in a legend: a letter, and the line with the gap to the next entry
LEGEND_ROW = 0.2  # inches


def axes_for(ax: Axes | None, width: float, height: float) -> Axes:
    """Return `ax`, or the axes of a new figure of this size in inches. Raises TypeError if `ax` is no Axes."""
    from matplotlib.axes import Axes

    if ax is None:
        return style.figure(width, height).add_subplot()
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be an Axes of Matplotlib, not {checks.given(ax)}")
    return ax


def figure_of(axes: Axes) -> Figure:
    """Return the figure of the axes, also if they are in a part of a figure."""
    found: Figure = axes.figure.figure
    return found


def legend_columns(names: Sequence[str], width: float) -> int:
    """Return how many entries with these names fit into a row of a legend above axes in a figure of this width."""
    longest = max(map(len, names))
    return min(len(names), max(1, int(0.87 * width / (LEGEND_LETTER * longest + SYMBOL))))


def legend_height(names: Sequence[str], width: float) -> float:
    """Return the height in inches of the legend that `legend_above` draws."""
    return LEGEND_ROW * -(-len(names) // legend_columns(names, width)) + 0.05


def legend_above(axes: Axes, handles: Sequence[Any]) -> None:
    """Draw a legend of these artists above the axes, where it covers no data, row by row."""
    names = [str(handle.get_label()) for handle in handles]
    across = legend_columns(names, figure_of(axes).get_figwidth())
    by_column = [handle for k in range(across) for handle in handles[k::across]]  # Matplotlib fills columns first
    axes.legend(
        handles=by_column,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=across,
        borderaxespad=0.2,
        handlelength=1.6,
        columnspacing=1.2,
    )


def short_names(names: Sequence[str], max_letters: int) -> list[str]:
    """Return the names shortened to at most `max_letters` letters, so that they differ if that is possible.

    Their ends stay if their starts are equal. The words that they begin with are left out if their ends are equal too.
    """
    middle = [elided(name, max_letters) for name in names]
    alike = {short: {name for name, other in zip(names, middle, strict=True) if other == short} for short in middle}
    ends = [_without_start(name, alike[short]) for name, short in zip(names, middle, strict=True)]
    for cut in (names, middle, ends):
        short = [style.shortened(name, max_letters) for name in cut]
        if len(set(short)) == len(set(names)):
            break
    return short


def _without_start(name: str, alike: set[str]) -> str:
    """Return the name without the whole words that all these names begin with."""
    if len(alike) < 2:
        return name
    parts = zip(*(re.findall(r"\w+|\W+", one) for one in alike), strict=False)
    start = sum(len(same[0]) for same in itertools.takewhile(lambda part: len(set(part)) == 1, parts))
    return f"…{name[start:]}" if start else name
