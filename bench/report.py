"""The results of a run as text, as Markdown and as JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastnet.text import json_text


@dataclass(frozen=True)
class Section:
    """One table with its note, and the same figures unrounded for JSON."""

    name: str  # the key in JSON
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]  # the cells of each row
    note: str  # a paragraph below the table
    records: Sequence[dict[str, Any]]  # for JSON
    text_columns: int = 2  # the first columns hold words, the others numbers
    items: Sequence[str] = ()  # a list above the table


def text(sections: Sequence[Section], facts: dict[str, str]) -> str:
    """For a terminal: the facts, then each table with aligned columns."""
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
    """For a page: the picture, each table under a heading of its own, then the facts."""
    parts = [f"![Speed of each backend and library, and a roofline]({picture})"] if picture else []
    for section in sections:
        parts.append(f"## {section.title}")
        if section.items:
            parts.append(_list(section.items))
        parts += [table(section.columns, section.rows, section.text_columns), paragraph(section.note)]
    parts += ["## The machine", _list([f"{name}: {fact}" for name, fact in facts.items()])]
    return "\n\n".join(parts)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> str:
    """A Markdown table; the columns after the first `text_columns` are aligned to the right."""
    rule = ["---"] * text_columns + ["---:"] * (len(columns) - text_columns)
    return "\n".join("| " + " | ".join(row) + " |" for row in [columns, rule, *rows])


def show(section: Section, for_page: bool) -> None:
    """Print one table with its note: as Markdown for a page that people write, else for a terminal."""
    if for_page:
        print(table(section.columns, section.rows, section.text_columns), paragraph(section.note), sep="\n\n")
    else:
        print(text([section], {}))


def paragraph(text: str) -> str:
    """The text in lines of at most 118 characters."""
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def as_json(sections: Sequence[Section], **about: Any) -> str:
    """One JSON object: the items of `about`, and a list of records under each section's name."""
    found = about | {section.name: section.records for section in sections}
    return json_text(found)


# -- cells --------------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """The value with at least three significant digits. Below 0.001 and from 10,000 on it has an exponent."""
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
