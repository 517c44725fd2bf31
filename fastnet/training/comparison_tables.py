"""The tables of a comparison of runs, for the terminal and for the page: one row for each run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from fastnet.text import duration, score
from fastnet.training.comparison import Comparison

Columns: TypeAlias = list[tuple[str, Sequence[str]]]
_TITLES = {"cost": "cost", "accuracy": "accuracy", "label_accuracy": "label accuracy", "r2": "R2"}


class RunTable(NamedTuple):
    """key: a short name. title: what the table shows. rows: the texts of the cells, first those of the head, or []."""

    key: str
    title: str
    rows: list[list[str]]


def tables(comparison: Comparison) -> list[RunTable]:
    """Return the tables of a comparison. A table that has no figures is left out."""
    of = "the last epoch and the best epoch on the"
    found = [
        RunTable("settings", _counted(comparison), _settings(comparison)),
        RunTable("results", "test results and time", _results(comparison)),
        RunTable("validation", f"{of} validation rows", _curves(comparison, "validation_")),
        RunTable("training", f"{of} training rows", _curves(comparison)),
    ]
    return [table for table in found if table.rows or table.key == "settings"]


def setting_text(value: Any) -> str:
    """Return the value of a setting as text. None is a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(setting_text, value)) or "-"
    return str(value)


def _counted(comparison: Comparison) -> str:
    """Return how many settings differ and how many are equal, in words."""
    n, equal = len(comparison.different), len(comparison.equal)
    if len(comparison.runs) == 1:
        return f"one run of {equal} known settings"
    return f"{n or 'no'} setting{' differs' if n == 1 else 's differ'}, {equal} {'is' if equal == 1 else 'are'} equal"


def _settings(comparison: Comparison) -> list[list[str]]:
    different = comparison.different
    return _rows(comparison, [(name.replace("_", " "), list(map(setting_text, different[name]))) for name in different])


def _results(comparison: Comparison) -> list[list[str]]:
    columns: Columns = [("state", [run.state for run in comparison.runs])]
    for measure, title in _TITLES.items():
        if (name := f"test_{measure}") in comparison.figures:
            columns.append((f"test {title}", _texts(comparison, name, partial(score, name))))
    columns.append(("epochs", _texts(comparison, "epochs", _count)))
    columns.append(("time", _texts(comparison, "seconds", duration)))
    columns.append(("parameters", _texts(comparison, "parameters", _count)))
    return _rows(comparison, columns)


def _curves(comparison: Comparison, rows: str = "") -> list[list[str]]:
    columns: Columns = []
    for measure, title in _TITLES.items():
        name = rows + measure
        if name in comparison.figures:
            best = f"best_{name}"
            columns.append((title, _texts(comparison, name, partial(score, name))))
            columns.append((f"best {title}", _texts(comparison, best, partial(score, name))))
            columns.append(("at epoch", _texts(comparison, f"{best}_epoch", _count)))
    return _rows(comparison, columns)


def _texts(comparison: Comparison, name: str, text: Callable[[float], str]) -> list[str]:
    """Return the figures with this name as texts; a dash for a run that does not have the figure."""
    values = comparison.figures.get(name) or [None] * len(comparison.runs)
    return ["-" if value is None else text(value) for value in values]


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _rows(comparison: Comparison, columns: Columns) -> list[list[str]]:
    if not columns:
        return []
    names = [run.name for run in comparison.runs]
    return [
        ["run", *(title for title, _ in columns)],
        *map(list, zip(names, *(texts for _, texts in columns), strict=True)),
    ]
