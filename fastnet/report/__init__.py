"""The report of a training run, the comparison of several, and a search: HTML files that load no other file.

A report needs the extras `plot` (Matplotlib, Jinja2) and `insight` (SciPy), the other pages need `plot`.
"""

from fastnet.report.rendering import check, check_page, render, write, write_comparison, write_search
from fastnet.training.comparison import Comparison, compare
from fastnet.training.run_summary import RunSummary
from fastnet.training.runs import Run

__all__ = [
    "Comparison",
    "Run",
    "RunSummary",
    "check",
    "check_page",
    "compare",
    "render",
    "write",
    "write_comparison",
    "write_search",
]
