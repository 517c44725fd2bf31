"""Scales of axes: counts on a logarithmic scale, shares as percentages, and numbers of any unit in few letters."""

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


_UNITS = ((1e10, 1.0, ""), (1e6, 1e6, "M"), (1e4, 1e3, "k"), (0, 1.0, ""))  # from this size on: the factor, its letter


def number_ticks(axis: Axis) -> None:
    """Write the ticks of a linear axis in few letters: 200k and 3M, and no factor beside the axis."""
    from matplotlib.ticker import FuncFormatter

    def text(value: float, _: int | None) -> str:
        largest = max(map(abs, axis.get_view_interval()))
        factor, unit = next((f, u) for least, f, u in _UNITS if largest >= least)
        ticks = [f"{tick / factor:.6g}" for tick in axis.get_majorticklocs()]
        decimals = max(len(tick.partition(".")[2]) for tick in ticks)
        kind = ".6g" if any("e" in tick for tick in ticks) else f".{decimals}f"
        return f"{value / factor:{kind}}{unit if value else ''}".replace("-", "\N{MINUS SIGN}")

    axis.set_major_formatter(FuncFormatter(text))
