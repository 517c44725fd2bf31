"""The picture of the accuracy against the number of training examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks
from fastnet.insight.data_size import DataSize
from fastnet.plots import style
from fastnet.plots.bands import BAND, band
from fastnet.plots.scales import counts, percent_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@style.picture
def data_size(found: DataSize) -> Figure:
    """Draw the final training and test accuracy against the number of training examples.

    Parameters
    ----------
    found : DataSize
        The result of `insight.data_size`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `found` is no result of fastnet.insight.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((200, 4)), np.arange(200) % 2
    >>> recipe = fastnet.insight.CHAPTER.but(hidden=(4,), epochs=1)
    >>> figure = data_size(fastnet.insight.data_size(x, y, test=(x, y), seeds=[0, 1], recipe=recipe))
    """
    checks.instance("found", found, DataSize, "fastnet.insight")
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
    percent_ticks(axes.yaxis, float(np.ptp(axes.get_ylim())))
    figure.legend(loc="outside lower center", ncols=2, **BAND)
    return figure
