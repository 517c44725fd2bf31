"""Formats file names, errors, scores and tables as text for messages and terminals."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path or name as text for a one-line message."""
    name = os.fsdecode(path)
    return name if name.isprintable() and len(name) < 500 else ascii(name[:500])


def reason(error: Exception) -> str:
    """Return the message of an exception as one short printable line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ascii(" ".join(text.split())[:160]).strip("'\"") or type(error).__name__


def scores(cost: float, accuracy: float) -> str:
    """Return a cost and an accuracy as text. An accuracy of nan, from a regression network, is left out."""
    return f"cost {cost:.4g}" if math.isnan(accuracy) else f"cost {cost:.4f}, accuracy {accuracy:.2%}"


def layers(sizes: Sequence[int]) -> str:
    """Return the widths of a network's layers as text, such as 784-16-16-10."""
    return "-".join(map(str, sizes))


def facts(pairs: dict[str, str]) -> str:
    """Return one line for each name and its text. All texts start in the same column."""
    width = max(10, *map(len, pairs))  # at least 10, so that several blocks of one command are aligned
    return "\n".join(f"{name:{width}}  {text}" for name, text in pairs.items())


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Return rows of cells as a table. The columns in `left` are aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    layout = "  ".join(f"{{:{'<' if i in left else '>'}{width}}}" for i, width in enumerate(widths))
    return "\n".join(layout.format(*row).rstrip() for row in rows)
