"""The report of a training run: one HTML file that loads no other file and can be read anywhere.

It needs the extras `plot` (Matplotlib, Jinja2) and `insight` (SciPy).
"""

from fastnet.report.rendering import check, render, write
from fastnet.training.runs import Run

__all__ = ["Run", "check", "render", "write"]
