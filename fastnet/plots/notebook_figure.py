"""The figure that all pictures are drawn into: a notebook shows it without pyplot."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure of Matplotlib that a notebook shows if it is the last line of a cell.

    Matplotlib teaches a notebook to show its figures only when pyplot is imported. Where that has happened, the
    notebook asks Matplotlib and not this class, so that the picture is shown once.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
