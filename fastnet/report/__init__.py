"""The report of a training run, and the comparison of several: HTML files that load no other file.

A report needs the extras `plot` (Matplotlib, Jinja2) and `insight` (SciPy), the page of a comparison needs `plot`.
"""

from fastnet.report.rendering import check, check_page, render, write, write_comparison
from fastnet.training.comparison import Comparison, compare
from fastnet.training.run_summary import RunSummary
from fastnet.training.runs import Run

__all__ = ["Comparison", "Run", "RunSummary", "check", "check_page", "compare", "render", "write", "write_comparison"]
