"""The picture of a training: the cost and the scores against epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.plots import style
from fastnet.plots.axes import legend_above, legend_height, short_names
from fastnet.plots.scales import number_ticks, percent_ticks
from fastnet.training.history import History
from fastnet.training.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_MARKED = 40  # a line of more epochs has no markers
WIDE = 20.0  # the axis is logarithmic if the largest cost is more than this many times the smallest cost
MAX_LETTERS = 20  # of a run's name
COLUMNS = ("epoch", "cost", "accuracy", "validation_cost", "validation_accuracy")
SCORES = {"accuracy": "accuracy", "label_accuracy": "accuracy of labels", "r2": "R2"}
VALIDATION = "validation_"  # the start of the names of the columns of validation data

Columns = History | Run | Mapping[str, Sequence[Any]]


@style.picture
def history(
    history: Columns | Sequence[Columns] | Mapping[str, Columns],
    *,
    validation_name: str = "validation",
    width: float = style.COLUMN,
) -> Figure:
    """Draw the cost and the scores against epochs, on the training data and, if there are any, on validation data.

    The scores are those that the history has: accuracy for a classification, R2 for a regression, and the accuracy of
    examples and of labels for several labels. Of several runs each has a colour. Lines of validation data are dashed.

    Parameters
    ----------
    history : History, Run or Mapping, or several
        The history that `fit` returns, its columns as to_dict or to_json writes them, or a run. Of several runs, a
        list, or a mapping from the name of each run to its history.
    validation_name : str
        What the legend calls the validation data.
    width : float
        The width in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `history` is no History, Run or Mapping, nor several of them.
    ValueError
        A history has no epochs, or lacks a column, or there are no histories.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> figure = history(fastnet.Trainer(fastnet.Network([4, 3], seed=0)).fit(x, y, epochs=3))
    """
    runs = _runs(history)
    drawn = [
        name
        for name in ("cost", *SCORES)
        if any(np.isfinite(_column(run, part + name)).any() for run in runs.values() for part in ("", VALIDATION))
    ]
    handles = _handles(runs, validation_name)
    legend = legend_height([handle.get_label() for handle in handles], width)
    figure = style.figure(width, 0.25 + legend + 1.9 * len(drawn))
    panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, drawn, strict=True):
        _draw(axes, runs, name)
    legend_above(panels[0], handles)
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    return figure


def _runs(history: Any) -> dict[str, Any]:
    """Return each run's history, checked, by its name. A single run has the name ""."""
    if isinstance(history, (list, tuple)):
        runs = {f"run {k + 1}": run for k, run in enumerate(history)}
    elif isinstance(history, Mapping) and any(isinstance(run, (History, Run, Mapping)) for run in history.values()):
        runs = {str(name): run for name, run in history.items()}
    else:
        runs = {"": history}
    runs = {name: run.history if isinstance(run, Run) else run for name, run in runs.items()}
    if not runs:
        raise ValueError("history is empty; expected at least one run")
    for name, run in runs.items():
        called = f"the history of {name!r}" if name else "history"
        if not isinstance(run, (History, Mapping)):
            raise TypeError(
                f"{called} must be a fastnet.History, a Run or a mapping of columns, not {checks.given(run)}"
            )
        if isinstance(run, Mapping) and not set(COLUMNS) <= set(run):
            raise ValueError(f"{called} must have the columns {', '.join(COLUMNS)}, not {', '.join(run) or 'none'}")
        if not len(run["epoch"]):
            raise ValueError(f"{called} has no epochs; expected at least one: train first")
    return runs


def _colours(runs: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the colour of the training and the validation data of each run."""
    if len(runs) == 1:
        return [(style.BLUE, style.RED)]
    if len(runs) <= len(style.COLOURS):
        return [(colour, colour) for colour in style.COLOURS[: len(runs)]]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = colormaps[style.SEQUENTIAL](np.linspace(0, 0.9, len(runs)))  # its last colours are pale
    return [(to_hex(shade), to_hex(shade)) for shade in shades]


def _handles(runs: dict[str, Any], validation_name: str) -> list[Any]:
    """Return what the legend shows: the runs by colour, training and validation data by the kind of line."""
    from matplotlib.lines import Line2D

    single, (training, validation) = len(runs) == 1, _colours(runs)[0]
    handles = []
    if not single:
        for name, (colour, _) in zip(short_names(list(runs), MAX_LETTERS), _colours(runs), strict=True):
            handles.append(Line2D([], [], color=colour, label=name))
    validated = any(np.isfinite(_column(run, VALIDATION + n)).any() for run in runs.values() for n in ("cost", *SCORES))
    if single or validated:
        handles.append(Line2D([], [], color=training if single else style.BLACK, label="training"))
    if validated:
        colour = validation if single else style.BLACK
        handles.append(Line2D([], [], color=colour, linestyle="--", label=validation_name))
    return handles


def _draw(axes: Axes, runs: dict[str, Any], name: str) -> None:
    values = []
    for run, colours in zip(runs.values(), _colours(runs), strict=True):
        epochs = np.asarray(run["epoch"], np.int64)
        marked = len(epochs) <= MAX_MARKED and len(runs) == 1
        for prefix, colour, line, marker in zip(("", VALIDATION), colours, ("-", "--"), "os", strict=True):
            column = _column(run, prefix + name)
            if np.isfinite(column).any():
                values.append(column[np.isfinite(column)])
                marker = marker if marked or len(epochs) == 1 else ""
                axes.plot(epochs, column, color=colour, linestyle=line, marker=marker, markersize=3)
    found = np.concatenate(values)
    axes.set_ylabel(SCORES.get(name, name))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if "accuracy" in name:
        percent_ticks(axes.yaxis, float(np.ptp(found)))
    elif name == "cost" and found.min() > 0 and found.max() > WIDE * found.min():
        axes.set_yscale("log")
    else:
        number_ticks(axes.yaxis)
        if name == "cost" and found.min() >= 0:
            axes.set_ylim(bottom=0)


def _column(history: Any, name: str) -> NDArray[np.float64]:
    """A column of the history. JSON has null for NaN. The histories of earlier versions lack some columns."""
    if isinstance(history, Mapping) and name not in history:
        return np.full(len(history["epoch"]), np.nan)
    return np.array([np.nan if value is None else value for value in history[name]], np.float64)
