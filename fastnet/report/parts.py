"""What a page of a report is made of - cards, pictures, tables - and how numbers are put into words.

Not here: what a report says (content.py).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastnet.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARP = 2 * style.DPI  # of pictures made of pixels, for screens with fine ones
NONE = "-"

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Picture:
    """An image as a data URI; width and height in CSS pixels at its full size; `alt` says what it shows."""

    source: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True)
class Table:
    """Columns' titles, and rows of cells of which the first is the row's title."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Card:
    """A part of the report. `key` names it in the page; a wide one takes the page's whole width."""

    key: str
    title: str
    sentence: str
    pictures: Sequence[Picture] = ()
    facts: Facts = ()
    table: Table | None = None
    note: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Page:
    """The whole report: what network it is about, on what data, and what there is to say."""

    network: str
    data: str
    sentence: str
    warning: str
    figures: Facts
    cards: Sequence[Card]
    footer: str


def picture(figure: Figure, alt: str, kind: str = "svg") -> Picture:
    """A figure as it stands in the page: drawn by lines, or, where it consists of pixels, as these."""
    content = style.rendered(figure, kind, dpi=SHARP)
    media = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    width, height = (round(inches * style.DPI) for inches in figure.get_size_inches())
    return Picture(f"data:{media};base64,{base64.b64encode(content).decode()}", alt, width, height)


def duration(seconds: float) -> str:
    if seconds < 0.1:
        return f"{1e3 * seconds:.1f} ms"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def counted(count: int, what: str = "time") -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else NONE
