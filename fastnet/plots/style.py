"""The one look of all pictures: colours, fonts, sizes, and how a figure is made and saved.

Not here: any picture. Needs Matplotlib, the extra `plot`; without it the first figure is an error that says so.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from fastnet.data.files import atomic_write, named
from fastnet.errors import DataError, require_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

KINDS = (".png", ".svg", ".pdf")
DPI = 110  # of PNG files: a figure of 8 inches fits a laptop's screen at 100%
COLUMN = 4.2  # inches: the width of a picture that stands beside another, and can be read on a phone
FONT_SIZE = 10  # points; none in a picture is smaller than SMALL
SMALL = 8
CAPTION = 11  # letters of a class's name above an image: "T-shirt/top"

# Okabe and Ito's colours, which colour-blind people tell apart; shapes and labels say the same again.
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
DIVERGING = "RdBu"  # red below zero, blue above: read alike by the colour-blind
SEQUENTIAL = "cividis"  # one quantity from little to much
COUNTS = "Blues"  # the same on white: none is the paper's colour
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
    "svg.hashsalt": "fastnet",  # the same numbers, the same file
    "svg.fonttype": "path",  # it looks the same whatever fonts there are
}


def check() -> None:
    """Raises FastnetError where no picture can be drawn."""
    require_extra("matplotlib", "pictures need Matplotlib", "plot")


def picture(draw: Callable[P, T]) -> Callable[P, T]:
    """Of a function that draws a figure: it finds Matplotlib, and draws in this style whatever the user's own is."""
    import functools

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        check()
        from matplotlib import rc_context, rcParamsDefault

        settings = {name: value for name, value in rcParamsDefault.items() if not name.startswith("backend")}
        with rc_context({**settings, **_STYLE}):
            return draw(*args, **kwargs)

    return styled


def shortened(name: str, most: int) -> str:
    """A name as it fits a picture: of at most so many letters, on one line, without what would be read as a formula."""
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    name = name if len(name) <= most else f"{name[: most - 1]}…"
    return name.replace("$", r"\$")


def figure(width: float = 8.0, height: float = 4.0) -> Figure:
    """An empty figure, in inches, that lays itself out. It belongs to no window and needs no display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def rendered(figure: Figure, kind: str = "png", **options: Any) -> bytes:
    """The figure as the bytes of a file of that kind: png, svg or pdf."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # Without a date the same numbers give the same bytes.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # a name in letters that the font lacks
        figure.savefig(buffer, format=kind, metadata=metadata, **{"dpi": DPI, **options})
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes the figure to a file that ends in .png, .svg or .pdf. Raises DataError where it cannot be written."""
    name, kind = named(path), PurePath(path).suffix.lower()
    if kind not in KINDS:
        raise DataError(f"{name}: give a picture a name that ends in {', '.join(KINDS)}")
    with atomic_write(path) as file:
        file.write(rendered(figure, kind[1:]))
