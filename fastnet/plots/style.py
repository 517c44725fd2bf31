"""The common look of all pictures: colours, fonts and sizes, and how a figure is made and saved."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from fastnet import checks
from fastnet.data.files import atomic_write, checked_path
from fastnet.errors import DataError, require_extra
from fastnet.text import clipped, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

KINDS = (".png", ".svg", ".pdf")
DPI = 110  # of PNG files: a figure of 8 inches fits a laptop's screen at 100%
COLUMN = 4.2  # inches: the width of a picture in a column of a page, readable on a phone
FONT_SIZE = 10  # points; no text in a picture is smaller than SMALL
SMALL = 8
MAX_CAPTION = 9  # letters of a class's name above an image: behind "says" they fill a quarter of a column

# Okabe and Ito's colours, which colour-blind people can tell apart. Markers and labels tell the lines apart as well.
BLUE, ORANGE, GREEN, RED, SKY, PINK, YELLOW = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
)
GREY, BLACK = "#767676", "#222222"
COLOURS = (BLUE, RED, GREEN, ORANGE, PINK, SKY, GREY)  # of lines, in this order
MARKERS = "osD^vP*"  # of the same lines
DIVERGING = "RdBu"  # red below zero, blue above zero: colour-blind people can tell these apart
SEQUENTIAL = "cividis"  # one quantity, from small to large
COUNTS = "Blues"  # one quantity from 0; 0 has the colour of the paper
INK = "Greys"  # pictures of the data: ink on paper

_STYLE = {
    "font.size": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": FONT_SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": False,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    "legend.fontsize": FONT_SIZE - 1,
    "xtick.labelsize": FONT_SIZE - 1,
    "ytick.labelsize": FONT_SIZE - 1,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "fastnet",  # the same numbers give the same file
    "svg.fonttype": "path",  # the file looks the same on a machine without the fonts
}


def check() -> None:
    """Raise MissingLibraryError where Matplotlib is missing."""
    require_extra("matplotlib", "pictures need Matplotlib", "plot")


def picture(draw: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that draws a figure: check that Matplotlib is there, and ignore the user's own style."""
    import functools

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        check()
        from matplotlib import rc_context, rcParamsDefault

        settings = {name: value for name, value in rcParamsDefault.items() if not name.startswith("backend")}
        with rc_context({**settings, **_STYLE}):
            return draw(*args, **kwargs)

    return styled


def shortened(name: str, max_letters: int) -> str:
    """The name shortened to at most `max_letters` letters on one line, with $ escaped."""
    return clipped(name, max_letters).replace("$", r"\$")


def figure(width: float = 8.0, height: float = 4.0) -> Figure:
    """An empty figure of this size in inches, with automatic layout. It needs no display."""
    from fastnet.plots.notebook_figure import NotebookFigure

    return NotebookFigure(figsize=(width, height), dpi=DPI, layout="constrained")


def rendered(figure: Figure, kind: str = "png", **options: Any) -> bytes:
    """The figure as the bytes of a file. kind: png, svg or pdf."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # Without a date the same numbers give the same bytes.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # for letters in class names
        figure.savefig(buffer, format=kind, metadata=metadata, **{"dpi": DPI, **options})
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure to a file. An existing file stays until the new one is complete.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    path : str or os.PathLike
        A name that ends in .png, .svg or .pdf.

    Raises
    ------
    TypeError
        `figure` is no figure, or `path` is no path.
    DataError
        The name has another ending, or the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(fastnet.plots.architecture(fastnet.Network([4, 3])), os.path.join(folder, "network.svg"))
    """
    from matplotlib.figure import Figure

    if not isinstance(figure, Figure):
        raise TypeError(f"figure must be a Figure of Matplotlib, not {checks.given(figure)}")
    kind = PurePath(checked_path("path", path)).suffix.lower()
    if kind not in KINDS:
        raise DataError(f"{shown(path)} is no name of a picture: expected a name that ends in {', '.join(KINDS)}")
    with atomic_write(path) as file:
        file.write(rendered(figure, kind[1:]))
