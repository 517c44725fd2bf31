"""Pages that a command writes: the text between two marker lines of a page, and pictures of at most 100 kB.

The rest of a page is written by hand and stays as it is.
"""

from __future__ import annotations

import io
import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from fastnet.data.files import atomic_write
from fastnet.errors import DataError
from fastnet.plots import style
from fastnet.text import reason, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_BYTES = 100_000  # of a picture that git tracks
PALETTES = (256, 128, 64, 32)  # colours of a PNG file; a picture takes the largest palette that fits MAX_BYTES


def markers(section: str) -> tuple[str, str]:
    """The two lines of a page between which a command writes a section."""
    return f"<!-- {section}: begin -->", f"<!-- {section}: end -->"


def split(path: str, section: str) -> tuple[str, str, str]:
    """The text of a page before, between and after the markers; the markers belong to the outer parts.

    Raises
    ------
    DataError
        If the page cannot be read, or does not have each marker exactly once and in order.
    """
    begin, end = markers(section)
    try:
        text = Path(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {shown(path)} ({reason(error)}): give a page that exists") from error
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise DataError(
            f"{shown(path)} must have one line {begin} and after it one line {end}: the command writes between them"
        )
    first, last = text.index(begin) + len(begin), text.index(end)
    return text[:first], text[first:last], text[last:]


def write(path: str, section: str, content: str) -> None:
    """Replaces the text between the markers. Raises DataError as `split` does."""
    head, _, tail = split(path, section)  # read again: a user may have edited the page during a run of minutes
    with atomic_write(path) as file:
        file.write(f"{head}\n\n{content}\n\n{tail}".encode())


def link(picture: str | os.PathLike[str], page: str) -> str:
    """The picture's path relative to the page."""
    return Path(os.path.relpath(picture, Path(page).parent)).as_posix()


def save_picture(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes the figure to a file; a PNG file gets a palette, which cuts it to a third of the bytes."""
    if PurePath(path).suffix.lower() != ".png":
        style.save(figure, path)
        return
    from PIL import Image  # Matplotlib requires Pillow

    with Image.open(io.BytesIO(style.rendered(figure))) as image:
        full = image.convert("RGB")
    for n_colours in PALETTES:
        buffer = io.BytesIO()
        full.quantize(n_colours, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MAX_BYTES:
            break
    with atomic_write(path) as file:
        file.write(buffer.getvalue())
