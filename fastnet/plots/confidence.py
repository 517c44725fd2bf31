"""Pictures of confidence: the answers to noise, and whether a network's confidence matches its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.calibration import Calibration
from fastnet.insight.confidence import REAL, Answers, NoiseConfidence
from fastnet.plots import pixels, style
from fastnet.plots.axes import short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 5  # images of each kind
MAX_LETTERS = 30  # of the names below the answers, with gaps: more letters stand upright
TOP_BINS = 25  # bins of the top output's distribution
FEW = 10  # bins of fewer examples are pale: the standard error of their accuracy may be 0.16 and more
PALE = 0.3  # opacity


@style.picture
def noise(
    found: NoiseConfidence,
    *,
    image_shape: tuple[int, int] | None = None,
    samples: bool = True,
    class_names: Sequence[str] | None = None,
    width: float | None = None,
) -> Figure:
    """Draw a few images of each kind with their answers, the share of each answer, and the top outputs.

    Parameters
    ----------
    found : NoiseConfidence
        The result of `insight.confidence_on_noise`.
    image_shape : tuple of int, optional
        Rows and columns of the images. By default they are square.
    samples : bool
        Whether to draw some of the images. False is also for inputs that are not images: then leave out `image_shape`.
    class_names : sequence of str, optional
        A name for each class. By default its number.
    width : float, optional
        The width in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `found` is no result of fastnet.insight.
    ValueError
        The shape does not fit.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> images = np.random.default_rng(0).random((20, 9))
    >>> found = fastnet.insight.confidence_on_noise(fastnet.Network([9, 3], seed=0), images, n=100)
    >>> figure = noise(found)
    """
    checks.instance("found", found, NoiseConfidence, "fastnet.insight")
    kinds = found.kinds
    shown, are_images = SHOWN if samples else 0, samples or image_shape is not None
    names = short_names(class_names or list(map(str, range(len(found[REAL].shares)))), style.MAX_CAPTION)
    figure = style.figure(width or (9 if samples else 6.5), 1.75 * len(kinds))
    grid = figure.add_gridspec(len(kinds), shown + 2, width_ratios=[1] * shown + [3.2, 3.2])
    first: list[Axes] = []
    if samples:
        pixels.heading(figure, grid[0, :shown], "images, answers, top outputs")
    for row, (kind, answers) in enumerate(kinds.items()):
        colour = style.BLUE if kind == REAL else style.RED
        if samples:
            shape = checks.image_shape(image_shape, answers.samples.shape[1])
            _samples([figure.add_subplot(grid[row, k]) for k in range(shown)], answers, shape, names, found)
        charts = [figure.add_subplot(grid[row, shown + k], sharex=_at(first, k), sharey=_at(first, k)) for k in (0, 1)]
        first = first or charts
        _shares(charts[0], answers, names, colour, "images" if are_images else "examples")
        _tops(charts[1], answers, colour)
        charts[0].set_title(kind if are_images else kind.replace("pixels", "values"))
        charts[1].tick_params(labelleft=False)
        for chart in charts:
            chart.tick_params(labelbottom=row == len(kinds) - 1)
    charts[0].set_xlabel("answer")
    charts[1].set_xlabel("top output")
    return figure


def _at(axes: list[Axes], k: int) -> Axes | None:
    return axes[k] if axes else None


def _samples(
    axes: Sequence[Axes], answers: Answers, shape: tuple[int, int], names: Sequence[str], found: NoiseConfidence
) -> None:
    for one, image, label, top in zip(axes, answers.samples, answers.labels, answers.top, strict=False):
        pixels.show(one, image, shape, cmap=style.INK, vmin=found.low, vmax=found.high)
        one.set_xlabel(f"{names[label]}\n{top:.2f}", fontsize=style.SMALL)
    for one in axes[len(answers.samples) :]:
        one.set_axis_off()


def _shares(axes: Axes, answers: Answers, names: Sequence[str], colour: str, what: str) -> None:
    """Draw the share of each answer."""
    axes.bar(range(len(names)), answers.shares, color=colour)
    axes.set_ylabel(f"share of\n{len(answers.top):,} {what}", fontsize=style.FONT_SIZE - 1)
    axes.set_ylim(0, 1)
    if len(names) <= 20:
        longest = max(map(len, names))
        fits = longest <= 2 or (longest + 2) * len(names) <= MAX_LETTERS
        axes.set_xticks(range(len(names)), names, rotation=0 if fits else 90)


def _tops(axes: Axes, answers: Answers, colour: str) -> None:
    """Draw the distribution of the top output, and its median."""
    counts, edges = np.histogram(answers.top, bins=TOP_BINS, range=(0, 1))
    axes.bar(edges[:-1], counts / len(answers.top), np.diff(edges), align="edge", color=colour)
    axes.axvline(answers.median, color=style.BLACK, linestyle="--")
    axes.set_xlim(0, 1)
    axes.set_title(f"median {answers.median:.2f} (dashed)", loc="right", fontweight="normal")  # a legend covers bars


@style.picture
def reliability(found: Calibration, calibrated: Calibration | None = None, *, width: float | None = None) -> Figure:
    """Draw a reliability diagram: accuracy against confidence by bin, and the number of examples in each bin.

    Bins of fewer than 10 examples are pale, without a gap: so few examples tell little about the accuracy.

    Parameters
    ----------
    found : Calibration
        The result of `insight.calibration`.
    calibrated : Calibration, optional
        A second calibration to draw beside the first, such as the calibration at a fitted temperature.
    width : float, optional
        The width in inches.

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
    >>> x, y = np.random.default_rng(0).random((50, 4)), np.arange(50) % 3
    >>> figure = reliability(fastnet.insight.calibration(fastnet.Network([4, 3], seed=0), x, y))
    """
    checks.instance("found", found, Calibration, "fastnet.insight")
    diagrams = [found] if calibrated is None else [found, calibrated]
    figure = style.figure(width or style.COLUMN * len(diagrams) + 0.4, 5)
    axes = figure.subplots(
        2, len(diagrams), sharex=True, sharey="row", squeeze=False, gridspec_kw={"height_ratios": (3, 1)}
    )
    for (above, below), diagram in zip(axes.T, diagrams, strict=True):
        _diagram(above, diagram)
        for bins, opacity, _ in _by_count(diagram):
            left, widths = diagram.edges[:-1][bins], np.diff(diagram.edges)[bins]
            below.bar(
                left, diagram.counts[bins], widths, align="edge", color=style.GREY, alpha=opacity, edgecolor="white"
            )
        below.set_xlabel("confidence")
        below.set_xlim(0, 1)
    # The axis is shared in the row. It begins below 1, so that a bin of one example has a height.
    axes[1, 0].set_yscale("log")
    axes[1, 0].set_ylim(bottom=0.5)
    axes[1, 0].yaxis.set_major_formatter("{x:,.0f}")
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("examples")
    entries = {
        label: handle for each in axes[0] for handle, label in zip(*each.get_legend_handles_labels(), strict=True)
    }
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=len(diagrams) + 1)
    return figure


def _by_count(diagram: Calibration) -> list[tuple[NDArray[np.bool_], float, str]]:
    """The bins of many and those of few examples, each with an opacity and a label. Kinds without bins are left out."""
    many, few = diagram.counts >= FEW, (diagram.counts > 0) & (diagram.counts < FEW)
    kinds = [(many, 1.0, "accuracy of the bin"), (few, PALE, f"of fewer than {FEW} examples")]
    return [kind for kind in kinds if kind[0].any()]


def _diagram(axes: Axes, diagram: Calibration) -> None:
    for bins, opacity, label in _by_count(diagram):
        left, widths = diagram.edges[:-1][bins], np.diff(diagram.edges)[bins]
        accuracy, confidence = diagram.accuracy[bins], diagram.confidence[bins]
        axes.bar(left, accuracy, widths, align="edge", color=style.SKY, alpha=opacity, edgecolor="white", label=label)
        if opacity == 1:
            axes.vlines(confidence, accuracy, confidence, color=style.RED, label="gap to the confidence")
            axes.plot(confidence, accuracy, "o", color=style.RED)
    axes.plot((0, 1), (0, 1), "--", color=style.BLACK, label="accuracy = confidence")
    axes.set_ylim(0, 1)
    at = "outputs as they are" if diagram.temperature is None else f"temperature {diagram.temperature:.3g}"
    axes.set_title(f"{at}: error {diagram.error:.3f}")
