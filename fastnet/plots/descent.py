"""Pictures of the descent: its steps, the range test, and batches of different sizes side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet.insight.batches import BatchRun
from fastnet.insight.descent import DescentLog
from fastnet.insight.rates import RangeTest
from fastnet.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 3.0  # of a range test's costs, times the first: what lies above has blown up


@style.picture
def descent_log(log: DescentLog) -> Figure:
    """The steps of a descent: cost, gradient and step, and the fall of cost as predicted and as it came.

    Crosses mark the steps that overshot.
    """
    figure = style.figure(8.5, 6.0)
    (cost, length), (fall, ratio) = figure.subplots(2, 2, sharex=True)
    steps = np.arange(len(log))
    cost.plot(steps, log.cost, color=style.BLUE, label="cost")
    cost.set(title="Cost before each step", ylabel="mean cost of an example")
    length.plot(steps, log.gradient_norm, color=style.BLUE, label="gradient")
    length.plot(steps, log.step_length, color=style.RED, linestyle="--", label="step")
    length.set(title="Length of gradient and step", ylabel="Euclidean norm", yscale="log")
    fall.plot(steps, -log.predicted_change, color=style.BLUE, label="predicted")
    fall.plot(steps, -log.actual_change, color=style.RED, linestyle="--", label="actual")
    fall.set(title="Fall of the cost in each step", ylabel="fall of the mean cost")
    if log.overshoot.any():
        fall.axhline(0, color=style.GREY, linewidth=0.8)
    else:
        fall.set_yscale("log", nonpositive="mask")
    ratio.axhline(1, color=style.GREY, linewidth=0.8, linestyle=":")
    ratio.axhline(0, color=style.GREY, linewidth=0.8)
    ratio.plot(steps, log.ratio, color=style.GREEN, label="actual / predicted")
    ratio.set(title="How much of the promise was kept", ylabel="actual / predicted fall")
    for axes, values in ((cost, log.cost), (fall, -log.actual_change), (ratio, log.ratio)):
        _crosses(axes, steps[log.overshoot], values[log.overshoot])
    for axes in (cost, length, fall, ratio):
        axes.legend()
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in (fall, ratio):
        axes.set_xlabel(f"step, of {log.batch_size:,} examples")
    return figure


def _crosses(axes: Axes, x: NDArray[Any], y: NDArray[Any]) -> None:
    if len(x):
        axes.plot(x, y, "X", color=style.BLACK, markersize=5, linestyle="none", label=f"overshot: {len(x)} steps")


@style.picture
def range_test(test: RangeTest) -> Figure:
    """The cost against the rising learning rate, with its least smoothed value and the suggestion marked."""
    figure = style.figure(7.5, 4.2)
    axes = figure.add_subplot()
    rate, smoothed = test.learning_rate, test.smoothed_cost
    axes.plot(rate, test.cost, ".", color=style.SKY, markersize=3, label="batch of each step")
    axes.plot(rate, smoothed, color=style.BLUE, label="smoothed")
    axes.plot(rate[test.best], smoothed[test.best], "o", color=style.RED, markersize=7, label="least smoothed cost")
    label = f"suggestion: {test.suggestion:.2g}, a tenth of that rate"
    axes.axvline(test.suggestion, color=style.GREEN, linestyle="--", label=label)
    title = "Range test: the cost while the learning rate rises"
    axes.set(title=title, xlabel="learning rate", ylabel="mean cost of the batch", xscale="log")
    axes.set_ylim(0, min(1.05 * test.cost.max(), SHOWN * smoothed[0]))
    axes.legend()
    return figure


@style.picture
def batches(runs: Sequence[BatchRun]) -> Figure:
    """Full-batch, mini-batch and single-example descent: cost against examples seen, and against seconds."""
    figure = style.figure(8.8, 4.2)
    seen, time = figure.subplots(1, 2, sharey=True)
    for run, colour, marker in zip(runs, style.COLOURS, style.MARKERS, strict=False):
        label = f"{run.batch_size:,} an update: {run.steps[-1]:,} updates"
        for axes, x in ((seen, run.examples), (time, run.seconds)):
            axes.plot(x, run.cost, color=colour, marker=marker, markevery=max(1, len(x) // 8), label=label)
    seen.set(title="For the examples seen", xlabel="examples seen", ylabel="mean cost of all examples", yscale="log")
    seen.xaxis.set_major_formatter("{x:,.0f}")
    seen.xaxis.get_major_locator().set_params(nbins=5)
    time.set(title="For the time it took", xlabel="seconds of training")
    figure.legend(*seen.get_legend_handles_labels(), loc="outside lower center", ncols=len(runs))
    return figure
