"""The picture of a training: the cost and the scores against epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.plots import style
from fastnet.plots.scales import percent
from fastnet.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_MARKED = 40  # a line of more epochs has no markers
WIDE = 20.0  # the axis is logarithmic if the largest cost is more than this many times the smallest cost
COLUMNS = ("epoch", "cost", "accuracy", "validation_cost", "validation_accuracy")
SCORES = {"accuracy": "accuracy", "label_accuracy": "accuracy of labels", "r2": "R2"}
KINDS = (("", "training", "o"), ("validation_", "validation", "s"))


@style.picture
def history(history: History | Mapping[str, Sequence[Any]], *, width: float = style.COLUMN) -> Figure:
    """Draw the cost and the scores against epochs, on the training data and, if there are any, on validation data.

    The scores are those that the history has: accuracy for a classification, R2 for a regression, and the accuracy of
    examples and of labels for several labels.

    Parameters
    ----------
    history : History or Mapping
        The history that `fit` returns, or its columns as to_dict or to_json writes them.
    width : float
        The width in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `history` is neither a History nor a Mapping.
    ValueError
        The history has no epochs, or lacks a column.
    FastnetError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> figure = history(fastnet.Trainer(fastnet.Network([4, 3], seed=0)).fit(x, y, epochs=3))
    """
    if not isinstance(history, (History, Mapping)):
        raise TypeError(f"history must be a fastnet.History or a mapping of columns, not {checks.given(history)}")
    if isinstance(history, Mapping) and not set(COLUMNS) <= set(history):
        raise ValueError(f"history must have the columns {', '.join(COLUMNS)}, not {', '.join(history) or 'none'}")
    epochs = np.asarray(history["epoch"], np.int64)
    if not len(epochs):
        raise ValueError("history has no epochs; expected at least one: train first")
    drawn = [name for name in ("cost", *SCORES) if np.isfinite(_column(history, name)).any()]
    figure = style.figure(width, 0.25 + 1.9 * len(drawn))
    panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, drawn, strict=True):
        _draw(axes, history, epochs, name)
    panels[0].legend()
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    return figure


def _draw(axes: Axes, history: Any, epochs: NDArray[np.int64], name: str) -> None:
    values = []
    for (prefix, label, marker), colour in zip(KINDS, (style.BLUE, style.RED), strict=True):
        column = _column(history, prefix + name)
        if np.isfinite(column).any():
            values.append(column[np.isfinite(column)])
            marker = marker if len(epochs) <= MAX_MARKED else ""
            axes.plot(epochs, column, color=colour, marker=marker, markersize=3, label=label)
    found = np.concatenate(values)
    axes.set_ylabel(SCORES.get(name, name))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if "accuracy" in name:
        percent(axes.yaxis, decimals=0 if np.ptp(found) > 0.04 else 1)
    elif name == "cost" and found.min() > 0 and found.max() > WIDE * found.min():
        axes.set_yscale("log")
    elif name == "cost" and found.min() >= 0:
        axes.set_ylim(bottom=0)


def _column(history: Any, name: str) -> NDArray[np.float64]:
    """A column of the history. JSON has null for NaN. The histories of earlier versions lack some columns."""
    if isinstance(history, Mapping) and name not in history:
        return np.full(len(history["epoch"]), np.nan)
    return np.array([np.nan if value is None else value for value in history[name]], np.float64)
