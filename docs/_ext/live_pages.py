"""Runs the Python blocks of a page in one namespace, and shows what they print and draw."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PICTURES = "_generated"  # folder of the site's source that gets the pictures
NOT_RUN = ("reference/",)  # the examples of these pages are in docstrings, which have tests of their own
# Three comments steer a page: `<!-- not run: REASON -->` above a block, `<!-- picture: CAPTION -->` below a block that
# made a `figure`, and `<!-- holds: EXPRESSION -->` for a claim of the text. A false claim is an error.
PART = re.compile(
    r"^<!-- not run: (?P<reason>\S.*?) -->\n+```python\n.*?^```$"
    r"|^```python\n(?P<code>.*?)^```$"
    r"|^<!-- picture: (?P<caption>\S.*?) -->$"
    r"|^<!-- holds: (?P<claim>\S.*?) -->$",
    re.M | re.S,
)


class PageError(Exception):
    """The code, a picture or a claim of a page fails."""


def run(text: str, page: str, pictures: Path) -> str:
    """Return the page with the output and the pictures of its blocks. Write the pictures into a folder.

    Parameters
    ----------
    text
        The page, as Markdown.
    page
        The name of the page, for errors and for the names of the pictures.
    pictures
        An existing folder.

    Raises
    ------
    PageError
        A block fails, a claim is false, or there is no figure to show.
    """
    names: dict[str, Any] = {"__name__": page}
    drawn = 0

    def shown(part: re.Match[str]) -> str:
        nonlocal drawn
        line = text.count("\n", 0, part.start()) + 1
        try:
            if part["reason"]:
                return part[0].split("-->", 1)[1].lstrip("\n")
            if part["code"]:
                return part[0] + _output(part["code"], f"{page}.md", line, names)
            if part["claim"]:
                if not eval(part["claim"], names):
                    raise PageError(f"the page claims {part['claim']}")
                return ""
            if "figure" not in names:
                raise PageError("no block above left a figure")
            drawn += 1
            return _picture(names.pop("figure"), pictures / f"{page.replace('/', '-')}-{drawn}.png", part["caption"])
        except Exception as error:
            raise PageError(f"{page}.md, line {line}: {type(error).__name__}: {error}") from error

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return PART.sub(shown, text)


def _output(code: str, file: str, line: int, names: dict[str, Any]) -> str:
    """Run a block that starts below `line` of a file. Return its output as Markdown."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * line + code, file, "exec"), names)
    if not printed.getvalue().strip():
        return ""
    return f"\n\n```{{code-block}} text\n:class: output\n\n{printed.getvalue().rstrip()}\n```"


def _picture(figure: Any, path: Path, caption: str) -> str:
    from fastnet import plots

    plots.save(figure, path)
    return f"```{{figure}} /{PICTURES}/{path.name}\n:alt: {caption}\n\n{caption}\n```"


def _run_page(app: Sphinx, page: str, source: list[str]) -> None:
    from sphinx.util import logging

    if page.startswith(NOT_RUN):
        return
    pictures = Path(app.srcdir, PICTURES)
    pictures.mkdir(exist_ok=True)
    try:
        source[0] = run(source[0], page, pictures)
    except PageError as error:
        logging.getLogger(__name__).warning("%s", error, location=page)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's entry point."""
    app.connect("source-read", _run_page)
    return {"parallel_read_safe": True}
