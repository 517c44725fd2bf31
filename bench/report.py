"""What a run comes to: tables as text and as Markdown, the README between its markers, and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastnet.data.files import atomic_write
from fastnet.errors import DataError
from fastnet.text import shown

LONG = 30  # rows of a table that Markdown folds


def marks(section: str) -> tuple[str, str]:
    """The lines of a README between which a section is written."""
    return f"<!-- {section}: begin -->", f"<!-- {section}: end -->"


BENCHMARK = "benchmark"
BEGIN, END = marks(BENCHMARK)


@dataclass(frozen=True)
class Section:
    """A table, what there is to say of it, and the same figures as JSON has them: raw."""

    name: str  # under which JSON has it
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]  # of cells
    note: str
    records: Sequence[dict[str, Any]]
    text_columns: int = 2  # so many from the left are words; the others are numbers
    items: Sequence[str] = ()  # said before the table


def text(sections: Sequence[Section], facts: dict[str, str]) -> str:
    parts = ["\n".join(f"{name}: {fact}" for name, fact in facts.items())]
    for section in sections:
        table = [section.columns, *section.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for row in table:
            cells = [
                cell.ljust(width) if k < section.text_columns else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        parts.append("\n".join([section.title, "", *lines, "", section.note]))
    return "\n\n".join(parts)


def markdown(sections: Sequence[Section], facts: dict[str, str], picture: str | None = None) -> str:
    parts = [f"![Speed ratios and roofline]({picture})"] if picture else []
    for section in sections:
        numbers = ["---:"] * (len(section.columns) - section.text_columns)
        table = [section.columns, ["---"] * section.text_columns + numbers, *section.rows]
        long = len(section.rows) > LONG
        parts.append(f"<details><summary><b>{section.title}</b></summary>" if long else f"**{section.title}**")
        if section.items:
            parts.append("\n".join(f"- {item}" for item in section.items))
        parts += ["\n".join("| " + " | ".join(row) + " |" for row in table), section.note]
        parts += ["</details>"] if long else []
    parts.append("\n".join(f"- {name}: {fact}" for name, fact in facts.items()))
    return "\n\n".join(parts)


def as_json(sections: Sequence[Section], **about: Any) -> str:
    """One object: `about`, and a list of records under each section's name."""
    found = about | {section.name: [_plain(record) for record in section.records] for section in sections}
    return json.dumps(found, indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    """The value as JSON has it, which knows no nan."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def split_readme(path: str, section: str = BENCHMARK) -> tuple[str, str]:
    """The text up to the first marker and from the second on; DataError unless each stands there once, in order."""
    begin, end = marks(section)
    try:
        text = Path(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {shown(path)}: {error}") from error
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise DataError(
            f"{shown(path)} must have one line {begin} and after it one line {end}: what is written goes between"
        )
    before, after = text.index(begin) + len(begin), text.index(end)
    return text[:before], text[after:]


def write_readme(path: str, content: str, section: str = BENCHMARK) -> None:
    head, tail = split_readme(path, section)  # anew: it may have been edited during a run of minutes
    with atomic_write(path) as file:
        file.write(f"{head}\n\n{content}\n\n{tail}".encode())


# -- cells --------------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Three digits, in as plain a form as they have."""
    if math.isnan(value):
        return "-"
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.2e}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def ratio(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def percent(value: float | None, digits: int = 0) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}%}"


def spread(values: Sequence[float]) -> str:
    return f"{number(min(values))} to {number(max(values))}"
