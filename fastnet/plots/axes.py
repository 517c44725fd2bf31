"""The axes that a picture is drawn into: those that the user gives, or those of a new figure. A legend above them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnet import checks
from fastnet.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTER = 0.08  # inches: the mean width of a letter in a legend
SYMBOL = 0.5  # inches: the width of a legend's line and of the gap to the next entry


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


def legend_above(axes: Axes, handles: Sequence[Any] | None = None) -> None:
    """Draw a legend above the axes, where it covers no data, with as many entries in a row as fit.

    `handles` are the artists to name. By default all artists with a label are named.
    """
    named = axes.get_legend_handles_labels()[0] if handles is None else handles
    longest = max(len(str(handle.get_label())) for handle in named)
    room = 0.8 * figure_of(axes).get_figwidth()
    across = min(len(named), max(1, int(room / (LETTER * longest + SYMBOL))))
    axes.legend(
        handles=named,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=across,
        borderaxespad=0.2,
        handlelength=1.6,
        columnspacing=1.2,
    )
