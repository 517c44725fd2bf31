"""Text for messages and terminals: file names, errors, scores, tables."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Sequence


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path or name in a form that fits into a message of one line."""
    name = os.fsdecode(path)
    return name if name.isprintable() and len(name) < 500 else ascii(name[:500])


def reason(error: Exception) -> str:
    """Return the message of an exception as one short printable line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ascii(" ".join(text.split())[:160]).strip("'\"") or type(error).__name__


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: "; did you mean 'relu'?", or "" if no known name is close."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def scores(cost: float, accuracy: float) -> str:
    """Return a cost as text, with the accuracy unless it is nan. A regression network has none."""
    return f"cost {cost:.4g}" if math.isnan(accuracy) else f"cost {cost:.4f}, accuracy {accuracy:.2%}"


def layers(sizes: Sequence[int]) -> str:
    """Return the widths of a network's layers as people write them: 784-16-16-10."""
    return "-".join(map(str, sizes))


def facts(pairs: dict[str, str]) -> str:
    """Return a line for each name and its text, with the names in one column."""
    width = max(10, *map(len, pairs))  # 10 aligns the blocks that one command prints
    return "\n".join(f"{name:{width}}  {text}" for name, text in pairs.items())


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Return rows of cells as columns, those in `left` aligned to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    layout = "  ".join(f"{{:{'<' if i in left else '>'}{width}}}" for i, width in enumerate(widths))
    return "\n".join(layout.format(*row).rstrip() for row in rows)
