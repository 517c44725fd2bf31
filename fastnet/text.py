"""Text for messages and terminals: names of files, errors in one line, tables of cells."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path or name as it can stand in a message of one line."""
    name = os.fsdecode(path)
    return name if name.isprintable() and len(name) < 500 else ascii(name[:500])


def reason(error: Exception) -> str:
    """Return what an exception says, in one short line that can be printed."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ascii(" ".join(text.split())[:160]).strip("'\"") or type(error).__name__


def scores(cost: float, accuracy: float) -> str:
    """A cost, and an accuracy where there is one: a regression network has none."""
    return f"cost {cost:.4g}" if math.isnan(accuracy) else f"cost {cost:.4f}, accuracy {accuracy:.2%}"


def layers(sizes: Sequence[int]) -> str:
    """The widths of a network's layers, as people write them: 784-16-16-10."""
    return "-".join(map(str, sizes))


def facts(pairs: dict[str, str]) -> str:
    """Names and what there is to say of them, a line each, the names in a column."""
    width = max(10, *map(len, pairs))  # 10: so that the blocks of one command line up
    return "\n".join(f"{name:{width}}  {text}" for name, text in pairs.items())


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Rows of cells in columns, the columns `left` to the left and the others, numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    layout = "  ".join(f"{{:{'<' if i in left else '>'}{width}}}" for i, width in enumerate(widths))
    return "\n".join(layout.format(*row).rstrip() for row in rows)
