"""`fastnet compare`: shows runs side by side, as tables and as one page with their curves."""

from __future__ import annotations

import argparse
from typing import Any

from fastnet.cli import progress, results
from fastnet.cli.common import print_result, table_columns
from fastnet.cli.options import Command
from fastnet.text import elided, facts, folded_table, shown
from fastnet.training.comparison import Comparison, compare
from fastnet.training.comparison_tables import RunTable, tables
from fastnet.training.run_summary import RunSummary

_MAX_LETTERS = 28  # of a cell; --json has the whole text


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("runs", nargs="+", metavar="FOLDER", help="folders that fastnet train --out wrote")
    parser.add_argument("--html", metavar="FILE.html", help="also write a page with the curves over one another")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if args.html is not None:
        results.check_file("--html", args.html, args)
        results.check_html("--html", args.html)
    found = compare(args.runs)
    if args.html is not None:
        from fastnet import report  # imported here: at the top it would delay the start of every command

        with progress.told_if_slow("drawing the curves ...", args.quiet):
            report.write_comparison(args.html, found)
    print_result(args, _text(found, args.html), _record(found, args.html))
    return 0


def record_of(found: RunSummary) -> dict[str, Any]:
    """Return what --json prints of a run: all but its history."""
    return {name: value for name, value in vars(found).items() if name != "history"}


def _text(found: Comparison, html: str | None) -> str:
    parts = [f"note: {remark}" for remark in found.remarks]
    blocks = ["\n".join(parts)] if parts else []
    blocks += [_block(table) for table in tables(found)]
    blocks += [facts({"html": shown(html)})] if html is not None else []
    return "\n\n".join(blocks)


def _block(table: RunTable) -> str:
    rows = [[elided(cell, _MAX_LETTERS) for cell in row] for row in table.rows]
    return f"{table.title}\n{folded_table(rows, table_columns())}" if rows else table.title


def _record(found: Comparison, html: str | None) -> dict[str, Any]:
    runs = [record_of(run) for run in found.runs]
    return {**vars(found), "runs": runs, "html": html}


COMMAND = Command(
    "compare",
    "compare training runs: the settings that differ, the results and the times",
    ("fastnet compare runs/a runs/b", "fastnet compare runs/* --html comparison.html"),
    fill,
    run,
)
