"""Pictures of the answers of a classifier: which classes it confuses, and its worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.insight.classified import confusion as insight_confusion
from fastnet.insight.task import full_scale
from fastnet.names import BackendName
from fastnet.network import Network
from fastnet.plots import style
from fastnet.plots.axes import LETTER, axes_for, figure_of, short_names
from fastnet.plots.scales import percent
from fastnet.training.runs import class_names as class_names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NUMBERED = 15  # the cells of a larger matrix have no numbers, nor cells that are too small for them
MAX_NAMED = 20  # only some classes of a larger matrix are named
MAX_LETTERS = 12  # of a class's name
MARGIN, BAR = 0.5, 1.0  # inches: what is beside a matrix besides names, and what is above and below it
ACROSS = 4  # images in a row


@style.picture
def confusion(
    network: Network | NDArray[np.int64],
    x: Any = None,
    y: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    backend: BackendName | None = None,
    width: float = style.COLUMN,
    ax: Axes | None = None,
) -> Figure:
    """Draw a confusion matrix: how many examples of each class (row) got each answer (column).

    The colour is the share of the row's examples. The colour scale is a square root, so that rare mistakes are visible.
    With at most 15 classes the cells have numbers.

    Parameters
    ----------
    network : Network or ndarray of int64, shape (n_classes, n_classes)
        A classifier, or the counts that `insight.confusion` returns.
    x : array_like or sparse matrix, shape (n, n_in)
        Examples for the network. With counts, x may hold the class names.
    y : array_like, shape (n,) or (n, n_out)
        The labels of the examples, or targets.
    class_names : sequence of str, optional
        A name for each class. By default the names in `network.schema`, or the numbers of the classes.
    backend : str, optional
        The backend that computes the network's answers.
    width : float
        The width in inches of a new figure.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into. By default a new figure is made.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        `network` is neither a network nor a matrix, or `ax` is no Axes.
    ValueError
        There are more or fewer names than classes, the network is a regression network, or the data do not fit.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> figure = confusion(np.array([[8, 2], [0, 40]]), class_names=["a", "b"])
    >>> x, y = np.random.default_rng(0).random((50, 4)), np.arange(50) % 3
    >>> figure = confusion(fastnet.Network([4, 3], seed=0), x, y)
    """
    from matplotlib.colors import PowerNorm

    if isinstance(network, Network):
        matrix = insight_confusion(network, x, y, backend=backend)
        is_named = network.schema is not None and network.schema.class_names
        own: Sequence[str] = class_names_of(network) if is_named else ()
    else:
        matrix, own = _matrix(network), () if x is None else list(x)
        if y is not None:
            raise TypeError(
                "a confusion matrix takes no labels y: give a network, x and y, or a matrix and class_names"
            )
    classes = len(matrix)
    if class_names is None:
        class_names = own or list(map(str, range(classes)))
    if len(class_names) != classes:
        raise ValueError(f"class_names has {len(class_names)} names; the matrix needs {classes}")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = short_names(class_names, MAX_LETTERS)
    longest = max(map(len, names))
    cell = (width - LETTER * longest - MARGIN) / classes  # inches, about
    upright = longest * LETTER > cell
    axes = axes_for(ax, width, cell * classes + BAR + (LETTER * longest if upright else 0))
    shades = axes.imshow(share, cmap=style.COUNTS, norm=PowerNorm(0.5, 0, 1), aspect="auto")
    step = -(-classes // MAX_NAMED)
    axes.set_xticks(range(0, classes, step), names[::step], rotation=90 if upright else 0)
    axes.set_yticks(range(0, classes, step), names[::step])
    axes.tick_params(length=0, labelsize=style.SMALL if classes > MAX_NUMBERED else style.FONT_SIZE - 1)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("the network's answer")
    axes.set_ylabel("the truth")
    if classes <= MAX_NUMBERED and len(str(matrix.max())) * LETTER < cell:
        for i, j in np.argwhere(matrix):
            ink = "white" if share[i, j] > 0.4 else style.BLACK
            axes.text(j, i, f"{matrix[i, j]}", ha="center", va="center", color=ink, fontsize=style.FONT_SIZE - 1)
    bar = axes.figure.colorbar(
        shades,
        ax=axes,
        location="top",
        pad=0.02,
        aspect=40,
        ticks=[0, 0.01, 0.1, 0.5, 1],
        label="share of the true class",
    )
    percent(bar.ax.xaxis)
    bar.outline.set_visible(False)
    return figure_of(axes)


def _matrix(found: Any) -> NDArray[np.int64]:
    """Return a confusion matrix, or refuse what is none."""
    if not isinstance(found, np.ndarray):
        raise TypeError(f"network must be a fastnet.Network or a confusion matrix, not {checks.given(found)}")
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not len(found):
        raise ValueError(f"the confusion matrix has shape {found.shape}; expected (n_classes, n_classes)")
    return found


@style.picture
def mistakes(
    images: NDArray[np.number[Any]],
    truth: Sequence[str],
    predicted: Sequence[str],
    confidence: NDArray[np.floating],
    *,
    width: float = style.COLUMN,
) -> Figure:
    """Draw wrongly answered images, each with its class, the answer, and how sure the network was.

    Parameters
    ----------
    images : ndarray, shape (n, rows, columns)
        The images. Large values are dark.
    truth : sequence of str
        The class of each image.
    predicted : sequence of str
        The answer to each image.
    confidence : ndarray, shape (n,)
        How sure the network was, from 0 to 1.
    width : float
        The width in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There are no images.
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> figure = mistakes(np.ones((2, 8, 8)), ["a", "b"], ["b", "a"], np.array([0.9, 0.6]))
    """
    if not len(images):
        raise ValueError("images is empty; expected at least one mistake to draw")
    pairs = zip(truth, predicted, strict=True)
    names = short_names([name for pair in pairs for name in pair], style.MAX_CAPTION)
    captions = [
        f"is {is_}\nsays {says}\n{sure:.0%} sure"
        for is_, says, sure in zip(names[::2], names[1::2], confidence, strict=True)
    ]
    return captioned(images, captions, width=width)


@style.picture
def captioned(images: NDArray[np.number[Any]], captions: Sequence[str], *, width: float = style.COLUMN) -> Figure:
    """Draw images, four in a row, each below a caption of a few lines.

    Parameters
    ----------
    images : ndarray, shape (n, rows, columns)
        The images. Large values are dark. The grey scale is 0 to 255 for bytes. For floats it is the range of all
        images together.
    captions : sequence of str
        A caption for each image.
    width : float
        The width in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingLibraryError
        Matplotlib is missing (the extra `plot`).

    Examples
    --------
    >>> figure = captioned(np.ones((2, 8, 8)), ["first", "second"])
    """
    low, high = (0, full_scale(images)) if images.dtype == np.uint8 else (images.min(), images.max())
    rows = -(-len(images) // ACROSS)
    tall = images.shape[1] / images.shape[2]
    figure = style.figure(width, 0.12 + rows * (0.6 + 0.8 * tall * width / ACROSS))
    panels = figure.subplots(rows, ACROSS, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, image, caption in zip(panels, images, captions, strict=False):
        axes.imshow(image, cmap=style.INK, vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(caption, fontsize=style.FONT_SIZE - 1, fontweight="normal", loc="center", pad=3)
    return figure
