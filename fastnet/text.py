"""Formats file names, errors, scores, durations, tables and numbers as text for messages, terminals and JSON files."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path or name as text for a one-line message."""
    name = os.fsdecode(path)
    return name if name.isprintable() and len(name) < 500 else ascii(name[:500])


def clipped(name: str, max_letters: int) -> str:
    """Return a name on one line, shortened to at most `max_letters` letters."""
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    return name if len(name) <= max_letters else f"{name[: max_letters - 1]}…"


def elided(name: str, max_letters: int) -> str:
    """Return a name shortened to at most `max_letters` letters. Its start and its end stay."""
    half = max_letters // 2
    return name if len(name) <= max_letters else f"{name[:half]}…{name[1 + half - max_letters :]}"


def listed(names: Iterable[str]) -> str:
    """Return up to eight names for a message, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - 8:,} more" if len(found) > 8 else ""
    return ", ".join(map(shown, found[:8])) + more or "none"


def numbered(word: str, n: int) -> tuple[str, ...]:
    """Return names for n things that have none: "input 1", "input 2" and so on."""
    return tuple(f"{word} {k + 1}" for k in range(n))


def reason(error: Exception) -> str:
    """Return the message of an exception as one short printable line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = ascii(" ".join(text.split())[:160])[1:-1].replace("\\'", "'")  # without the quotes that ascii() adds
    return line or type(error).__name__


def scores(cost: float, accuracy: float, r2: float = math.nan) -> str:
    """Return a cost, an accuracy and R2 as text. A score of nan has no meaning for the network and is left out."""
    if not math.isnan(accuracy):
        return f"cost {cost:.4f}, accuracy {score('accuracy', accuracy)}"
    return f"cost {score('cost', cost)}" + ("" if math.isnan(r2) else f", R2 {score('r2', r2)}")


def score(name: str, value: float) -> str:
    """Return a measure of a history or a test, such as "test_accuracy", as text."""
    return f"{value:.2%}" if name.endswith("accuracy") else f"{value:.3f}" if name.endswith("r2") else f"{value:.4g}"


def short_number(number: float) -> str:
    """Return a number with at most one decimal, such as 1.5M, 20.1k or 311."""
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.1f}{suffix}"
    return f"{number:.0f}"


def amount(value: float, sign: str = "") -> str:
    """Return a number of the user's unit as text; a dash for nan. sign="+": positive numbers have a sign too."""
    if not math.isfinite(value):
        return "-"
    return f"{value:{sign},.0f}" if 1e3 <= abs(value) < 1e15 else f"{value:{sign}.4g}"


def duration(seconds: float) -> str:
    """Return seconds in words, with three digits: us, ms, s, min or h."""
    seconds = float(f"{seconds:.3g}")  # rounded first, so that no text has 1000 us or 60 s of the next unit
    for unit, size, limit in (("us", 1e-6, 1e-3), ("ms", 1e-3, 0.1), ("s", 1, 100), ("min", 60, 6000)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 3600:,.1f} h"


def layers(sizes: Sequence[int]) -> str:
    """Return the widths of a network's layers as text, such as 784-16-16-10."""
    return "-".join(map(str, sizes))


def facts(pairs: dict[str, str]) -> str:
    """Return one line for each name and its text. All texts start in the same column."""
    width = max(10, *map(len, pairs))  # at least 10, so that the blocks that a command prints are aligned
    return "\n".join(f"{name:{width}}  {text}" for name, text in pairs.items())


def wrapped(text: str, columns: int) -> str:
    """Return the text with lines of at most so many columns. A line of `facts` goes on below the start of its text.

    A word that is longer, such as a path, stays whole.
    """
    lines = []
    for line in text.split("\n"):
        found = re.match(r"\S+( \S+)*  +", line)
        title = found[0] if found and found.end() < columns / 2 else ""
        whole_words = textwrap.TextWrapper(
            columns,
            initial_indent=title,
            subsequent_indent=" " * len(title),
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += whole_words.wrap(line[len(title) :]) if len(line) > columns else [line]
    return "\n".join(lines)


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Return rows of cells as a table. The columns in `left` are aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    layout = "  ".join(f"{{:{'<' if i in left else '>'}{width}}}" for i, width in enumerate(widths))
    return "\n".join(layout.format(*row).rstrip() for row in rows)


def folded_table(rows: Sequence[Sequence[str]], columns: int, left: Sequence[int] = (0,)) -> str:
    """Return a table as `table` does. One that is wider than `columns` is split into tables below one another.

    Each of them begins with the first column.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    parts: list[list[int]] = [[0]]
    for i, width in enumerate(widths[1:], 1):
        if len(parts[-1]) > 1 and sum(widths[k] + 2 for k in parts[-1]) + width > columns:
            parts.append([0])
        parts[-1].append(i)
    return "\n\n".join(
        table([[row[i] for i in part] for row in rows], [k for k, i in enumerate(part) if i in left]) for part in parts
    )


# -- JSON ---------------------------------------------------------------------------------------------------------


def number(value: float) -> float | None:
    """Return the value, or None if it is not finite: JSON has no nan and no infinity."""
    return value if math.isfinite(value) else None


def plain(value: Any) -> Any:
    """Convert a value to what JSON can hold.

    Parameters
    ----------
    value
        Numbers, texts, arrays, dataclasses, named tuples, and mappings and lists of these.

    Returns
    -------
    Any
        Arrays as lists, dataclasses and named tuples as dicts, NaN and infinity as None.

    Examples
    --------
    >>> plain({"shares": np.array([0.5, np.nan])})
    {'shares': [0.5, None]}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return number(value) if isinstance(value, float) else value


def json_text(value: Any) -> str:
    """Return a value as indented JSON. The value may have the types that `plain` converts."""
    return json.dumps(plain(value), indent=1, allow_nan=False)
