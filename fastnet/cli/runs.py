"""`fastnet runs`: lists the runs in a folder."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastnet.cli.common import print_result, table_columns
from fastnet.cli.compare import record_of
from fastnet.cli.options import Command
from fastnet.errors import DataError
from fastnet.text import duration, elided, score, shown, table
from fastnet.training.comparison_tables import setting_text
from fastnet.training.run_summary import RunSummary, run_folders, summary

FOLDER = "runs"
_SHORTENED = {"data": 6, "hidden": 7, "run": 8}  # in a narrow terminal, in this order, down to so many letters
_LEFT_OUT = ("time", "optimizer", "hidden", "date", "data")  # in this order, where the table is still too wide
_WORDS = ("run", "date", "data", "hidden", "optimizer", "state")  # columns that are aligned to the left


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "folder", nargs="?", default=FOLDER, metavar="FOLDER", help="the folder of the runs (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    found, broken = [], {}
    for path in run_folders(args.folder):
        try:
            found.append(summary(path, _name(path, args.folder)))
        except (DataError, OSError) as error:  # the system may refuse to open a folder
            broken[os.fspath(path)] = str(error)
    found.sort(key=lambda run: (run.date or "~", run.name))  # those without a date come last
    if found:
        text = _text(found, table_columns())
    else:
        text = f"no runs in {shown(args.folder)}: fastnet train --out {shown(Path(args.folder) / 'NAME')} writes one"
    text += "".join(f"\ncannot read {shown(path)}: {problem}" for path, problem in broken.items())
    print_result(args, text, {"runs": list(map(record_of, found)), "broken": broken})
    return 0


def _name(path: Path, folder: str) -> str:
    """Return the path of a run below the folder, or the name of the folder if it is a run itself."""
    name = os.path.relpath(path, folder)
    return path.resolve().name if name == os.curdir else name


def _text(found: Sequence[RunSummary], columns: int) -> str:
    """Return a table of the runs, one line for each. It has fewer and shorter cells where the columns are few."""
    cells = {name: [name, *texts] for name, texts in _cells(found).items()}
    for name, least in _SHORTENED.items():
        over = _width(cells) - columns
        if over > 0:
            letters = max(least, max(map(len, cells[name])) - over)
            cells[name] = [elided(text, letters) for text in cells[name]]
    for name in _LEFT_OUT:
        if _width(cells) > columns:
            del cells[name]
    return table(list(zip(*cells.values(), strict=True)), left=[k for k, name in enumerate(cells) if name in _WORDS])


def _cells(found: Sequence[RunSummary]) -> dict[str, list[str]]:
    """Return the texts of each column."""
    return {
        "run": [run.name for run in found],
        "date": _dates(found),
        "data": [os.path.basename(setting_text(run.settings.get("data"))) for run in found],
        "hidden": [_hidden(run.settings.get("layers")) for run in found],
        "optimizer": [setting_text(run.settings.get("optimizer")) for run in found],
        "epochs": [_count(run.figures.get("epochs")) for run in found],
        "score": [_score(*run.score) for run in found],
        "time": ["-" if (seconds := run.figures.get("seconds")) is None else duration(seconds) for run in found],
        "state": [run.state for run in found],
    }


def _dates(found: Sequence[RunSummary]) -> list[str]:
    """Return each run's day as 2026-03-01, or as 03-01 if all runs are of one year."""
    start = 5 if len({run.date[:4] for run in found if run.date}) == 1 else 0
    return [run.date[start:10] or "-" for run in found]


def _hidden(layers: Any) -> str:
    """Return the widths of the hidden layers, such as 16-16. The data determine the other layers."""
    return "-".join(str(layers).split("-")[1:-1]) or "-"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _score(name: str, value: float | None) -> str:
    """Return a score as text. An accuracy needs no name, since it is the only share."""
    if value is None:
        return "-"
    title = "R2 " if name.endswith("r2") else "cost " if name.endswith("cost") else ""
    return f"{title}{score(name, value)}"


def _width(cells: dict[str, list[str]]) -> int:
    return sum(2 + max(map(len, texts)) for texts in cells.values()) - 2


COMMAND = Command(
    "runs",
    "list the training runs in a folder, oldest first",
    ("fastnet runs", "fastnet runs experiments --json"),
    fill,
    run,
)
