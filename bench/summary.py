"""Writes the README's short table of speeds, and its picture, from the training table of docs/benchmarks.md.

python -m fastnet.bench.summary docs/benchmarks.md README.md --picture docs/pictures/speed.png
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from fastnet.bench import pages, picture, report
from fastnet.bench.peers import TUNED
from fastnet.bench.picture import Bar
from fastnet.bench.workloads import ROWS, WORKLOADS, Workload
from fastnet.errors import DataError, FastnetError

SECTION = "speed"
FASTNET = "cython"  # the backend in the table's column for fastnet
# The columns of the table, and the bars of the picture.
COLUMNS = {
    FASTNET: "fastnet",
    TUNED: "NumPy, tuned",
    "jax": "JAX",
    "torch-compiled": "PyTorch, compiled",
    "sklearn": "scikit-learn",
}
BARS = ("numba", *COLUMNS)
SPEED = "speed, tuned NumPy = 1"
NOTE = (
    f"Milliseconds per epoch of {ROWS:,} MNIST images, in float32 on one core ({{processor}}, {{date}}). "
    "fastnet {version} (Cython backend) reads bytes, the others read floats. scikit-learn draws its own order, and for "
    "784-16-16-10 has its own cost and parameters. All others train the same network on the same batches. The speedup "
    "is tuned NumPy's time divided by fastnet's: the median over the rounds."
)
WIDTH = 120  # of the README's lines
Rows = dict[tuple[str, str], dict[str, str]]  # (workload, contender) -> {column: cell}


def training(page: str) -> Rows:
    """The rows of the training table of a page that `fastnet bench --write` wrote. Raises DataError without a table."""
    lines = _section(page, "Training")
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    if len(table) < 3 or not {"workload", "backend", "seconds per epoch", SPEED} <= set(table[0]):
        raise DataError("the page has no training table with peers: `fastnet bench --peers --write PAGE` writes one")
    rows = [dict(zip(table[0], cells, strict=True)) for cells in table[2:]]
    return {(row["workload"], row["backend"]): row for row in rows}


def _section(page: str, title: str) -> list[str]:
    """The lines between a heading and the next heading."""
    _, _, rest = page.partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0].splitlines()


def fact(page: str, name: str) -> str:
    """The fact of this name from the page's list about the machine."""
    found = re.search(rf"^- {re.escape(name)}: (.+)$", page, re.M)
    if not found:
        raise DataError(f"the page has no line '- {name}: ...'")
    return found[1]


def table(page: str) -> str:
    """The README's table, a line for each workload, and the note below it. Raises DataError for a missing row."""
    rows = training(page)
    if missing := [f"{w}, {name}" for w in WORKLOADS for name in COLUMNS if (w, name) not in rows]:
        raise DataError(f"the training table has no row for {missing[0]}: run `fastnet bench --peers` with all peers")
    lines = []
    for workload in WORKLOADS.values():
        cells = [_milliseconds(rows[workload.name, name]) for name in COLUMNS]
        lines.append([_title(workload), f"**{cells[0]}**", *cells[1:], rows[workload.name, FASTNET][SPEED]])
    columns = ["network, batch", *COLUMNS.values(), "speedup over tuned NumPy"]
    note = NOTE.format(processor=fact(page, "processor"), version=fact(page, "fastnet"), date=fact(page, "date"))
    return f"{report.table(columns, lines, 1)}\n\n{textwrap.fill(note, WIDTH, break_on_hyphens=False)}"


def _title(workload: Workload) -> str:
    return f"{workload.layers}, {workload.batch_size}"


def _milliseconds(row: dict[str, str]) -> str:
    return report.number(1000 * float(row["seconds per epoch"]))


def bars(page: str) -> dict[str, list[Bar]]:
    """The bars of the README's picture: a workload's label -> its bars."""
    rows = training(page)
    return {
        workload.label: [
            Bar(name, float(row[SPEED]), float(row["seconds per epoch"]))
            for name in BARS
            if (row := rows.get((workload.name, name)))
        ]
        for workload in WORKLOADS.values()
    }


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m fastnet.bench.summary", description=__doc__.splitlines()[0])
    made.add_argument("page", help="the page that `fastnet bench --write` wrote")
    made.add_argument("readme", help=f"the table goes between its lines {' and '.join(pages.markers(SECTION))}")
    made.add_argument("--picture", required=True, metavar="FILE", help="where to write the picture, as PNG")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0, or 2 for an error."""
    options = parser().parse_args(argv)
    try:
        pages.split(options.readme, SECTION)
        page = Path(options.page).read_text("utf-8")
        shown = f"![Speed of fastnet and of other libraries]({pages.link(options.picture, options.readme)})"
        pages.save_picture(picture.speeds(bars(page), TUNED), options.picture)
        pages.write(options.readme, SECTION, f"{shown}\n\n{table(page)}")
    except (FastnetError, OSError) as error:
        print(f"fastnet.bench.summary: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
