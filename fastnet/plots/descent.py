"""Pictures of a descent: its steps, the range test, and batch sizes side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.batches import BatchRun
from fastnet.insight.descent import DescentLog
from fastnet.insight.rates import FALLEN, RangeTest
from fastnet.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_COST = 2.0  # costs above this multiple of the range test's first cost are not shown


@style.picture
def descent_log(log: DescentLog) -> Figure:
    """Draw the steps of a descent: the cost, the lengths of gradient and step, and the fall of the cost.

    The predicted and the actual fall are drawn. Crosses mark steps that overshot.

    Parameters
    ----------
    log : DescentLog
        The result of `insight.descent_log`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `log` is no result of fastnet.insight.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> trainer = fastnet.Trainer(fastnet.Network([4, 3], seed=0), batch_size=60)
    >>> figure = descent_log(fastnet.insight.descent_log(trainer, x, y, 5))
    """
    checks.instance("log", log, DescentLog, "fastnet.insight")
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
    ratio.set(title="Actual / predicted fall", ylabel="actual / predicted fall")
    for axes, values in ((cost, log.cost), (fall, -log.actual_change), (ratio, log.ratio)):
        _crosses(axes, steps[log.overshoot], values[log.overshoot])
    for axes in (cost, length, fall, ratio):
        axes.legend()
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in (fall, ratio):
        axes.set_xlabel(f"step ({log.batch_size:,} examples each)")
    return figure


def _crosses(axes: Axes, x: NDArray[np.int64], y: NDArray[np.float64]) -> None:
    if len(x):
        axes.plot(x, y, "X", color=style.BLACK, markersize=5, linestyle="none", label=f"overshot: {len(x)} steps")


@style.picture
def range_test(test: RangeTest) -> Figure:
    """Draw the cost against the rising learning rate, with the smallest smoothed cost and the suggestion.

    Parameters
    ----------
    test : RangeTest
        The result of `insight.learning_rate_finder`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `test` is no result of fastnet.insight.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> network = fastnet.Network([4, 3], seed=0)
    >>> figure = range_test(fastnet.insight.learning_rate_finder(network, x, y, steps=50))
    """
    checks.instance("test", test, RangeTest, "fastnet.insight")
    figure = style.figure(7.5, 4.2)
    axes = figure.add_subplot()
    rate, smoothed = test.learning_rate, test.smoothed_cost
    axes.plot(rate, test.cost, ".", color=style.SKY, markersize=3, label="batch of each step")
    axes.plot(rate, smoothed, color=style.BLUE, label="smoothed")
    axes.plot(rate[test.best], smoothed[test.best], "o", color=style.RED, markersize=7, label="smallest smoothed cost")
    if np.isfinite(test.suggestion):
        label = f"suggestion: {test.suggestion:.2g}, after {FALLEN:.0%} of the fall"
        axes.axvline(test.suggestion, color=style.GREEN, linestyle="--", label=label)
    title = "Range test: the cost while the learning rate rises"
    axes.set(title=title, xlabel="learning rate", ylabel="mean cost of the batch", xscale="log")
    axes.set_ylim(0, min(1.05 * test.cost.max(), MAX_COST * smoothed[0]))
    figure.legend(loc="outside lower center", ncols=2)  # the points may be anywhere in the axes
    return figure


@style.picture
def batches(runs: Sequence[BatchRun]) -> Figure:
    """Draw the cost for different batch sizes against the examples seen and against seconds.

    Parameters
    ----------
    runs : sequence of BatchRun
        The result of `insight.compare_batches`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> network = fastnet.Network([4, 3], seed=0)
    >>> figure = batches(fastnet.insight.compare_batches(network, x, y, (None, 10), epochs=2))
    """
    figure = style.figure(8.8, 4.2)
    seen, time = figure.subplots(1, 2, sharey=True)
    for run, colour, marker in zip(runs, style.COLOURS, style.MARKERS, strict=False):
        label = f"batches of {run.batch_size:,}: {run.steps[-1]:,} updates"
        for axes, x in ((seen, run.examples), (time, run.seconds)):
            axes.plot(x, run.cost, color=colour, marker=marker, markevery=max(1, len(x) // 8), label=label)
    seen.set(title="By examples seen", xlabel="examples seen", ylabel="mean cost of all examples", yscale="log")
    seen.xaxis.set_major_formatter("{x:,.0f}")
    seen.xaxis.get_major_locator().set_params(nbins=5)
    time.set(title="By time", xlabel="seconds of training")
    time.locator_params(axis="x", nbins=5)  # the numbers of short times are long
    figure.legend(*seen.get_legend_handles_labels(), loc="outside lower center", ncols=len(runs))
    return figure
