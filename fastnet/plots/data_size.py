"""Accuracy against the number of training examples, as a picture: of fastnet.insight.data_size's result.

Not here: the trainings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnet.plots import style
from fastnet.plots.bands import BAND, band, counts, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastnet.insight.data_size import DataSize


@style.picture
def data_size(found: DataSize) -> Figure:
    """Training and test accuracy at the end against the number of training examples."""
    figure = style.figure(7, 4.2)
    axes = figure.subplots()
    counts(axes, found.sizes)
    band(axes, found.sizes, found.training, style.BLUE, marker="o", label="training examples")
    band(axes, found.sizes, found.test, style.RED, marker="s", ls="--", label="test examples")
    for size, accuracy in zip(found.sizes, found.test.mean(axis=0), strict=True):
        axes.annotate(
            f"{accuracy:.1%}",
            (size, accuracy),
            xytext=(0, -14),
            textcoords="offset points",
            ha="center",
            fontsize=style.SMALL,
        )
    low = found.test.min()
    axes.set(
        xlabel="training examples",
        ylabel="accuracy",
        title=f"{len(found.test)} seeds, {found.updates[-1]:,} updates each",
        ylim=(max(0, low - 0.15), 1.02),
    )
    percent(axes)
    axes.legend(loc="lower right", **BAND)
    return figure
