"""The parts of a report's page - cards, pictures, tables - and the words for its numbers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastnet.plots import style
from fastnet.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARP = 2 * style.DPI  # dots per inch of PNG images: many screens have at least two pixels for each CSS pixel
NONE = "-"
FOOTER = f"Made by fastnet {__version__}. This file loads no other file."

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Picture:
    """An image as a data URI. width and height: CSS pixels at full size. alt: what the image shows, in words."""

    source: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True)
class Table:
    """head: the titles of the columns. rows: the cells of each row; the first cell is the row's title."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Card:
    """One section of the report. key: its id in the page. wide: whether it takes the full width of the page."""

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
    """The content of the page. kind: the words above the title. The title is "`what` on `data`"."""

    kind: str
    what: str
    data: str
    sentence: str
    warning: str
    figures: Facts
    cards: Sequence[Card]
    footer: str


def picture(figure: Figure, alt: str, kind: str = "svg") -> Picture:
    """The figure as an image of the page: svg for lines, png for pixels."""
    content = style.rendered(figure, kind, dpi=SHARP)
    media = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    width, height = (round(inches * style.DPI) for inches in figure.get_size_inches())
    return Picture(f"data:{media};base64,{base64.b64encode(content).decode()}", alt, width, height)


def counted(count: int, one: str = "time", many: str = "") -> str:
    """A count with its noun: 1 mistake, 2 mistakes."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def share(part: int, whole: int) -> str:
    """The part as a percentage of the whole; a dash if the whole is 0."""
    return f"{part / whole:.1%}" if whole else NONE
