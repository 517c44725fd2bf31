"""Scales of axes: counts on a logarithmic scale, and shares as percentages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


def counts(axes: Axes, values: ArrayLike) -> None:
    """Make the horizontal axis logarithmic, with ticks at these counts."""
    values = np.asarray(values)
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.minorticks_off()


def percent(axis: Axis, decimals: int = 0) -> None:
    """Write shares, from 0 to 1, as percentages."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1, decimals=decimals))


def percent_ticks(axis: Axis, span: float) -> None:
    """Write the ticks of an axis as percentages that are exact. `span` is the range of the shares on the axis."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))  # not 2.5, which needs one more decimal
    percent(axis, decimals=0 if span > 0.04 else 1)
