"""Scores of a network as text: the confusion matrix, a line for each label, the errors of a regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastnet.text import amount, clipped, table

if TYPE_CHECKING:
    from fastnet.insight.scores import LabelScores, ValueScores

MAX_CLASSES_SHOWN = 30  # a matrix of more columns fits no terminal
WIDTH = 80  # of the terminals that a matrix of up to about 12 classes fits
_RECALL = "recall"
_MIN_LETTERS = 3  # of a class's name at the head of a column
_MIN_TITLE, _MAX_TITLE = 8, 20  # letters of a name at the start of a row


def matrix_text(matrix: NDArray[np.int64], names: Sequence[str]) -> str:
    """Return a confusion matrix as a table. The last column is the share of a class classified right (recall).

    The columns have the names of the classes, shortened to fit `WIDTH`. Where that makes names too short or equal, the
    columns have the numbers of the classes, and the rows have numbers and names.
    """
    n = len(matrix)
    if n > MAX_CLASSES_SHOWN:
        return f"confusion matrix: {n} classes are too many to show here; --json prints it"
    numbers = [str(k) for k in range(n)]
    room = WIDTH - len("  100.0%") - n * (2 + len(str(matrix.max())))  # for the names of the rows
    titles = [clipped(name, min(max(room, _MIN_TITLE), _MAX_TITLE)) for name in names]
    letters = (WIDTH - len("  100.0%") - max(map(len, titles))) // n - 2
    heads = [title[: max(letters, 0)] for title in titles]
    if list(names) == numbers:
        heads = numbers
    elif letters < _MIN_LETTERS or len(set(heads)) < n:
        heads, titles = numbers, [f"{k} {title}" for k, title in enumerate(titles)]
    rows = [["", *heads, _RECALL]]
    for k, (row, title) in enumerate(zip(matrix, titles, strict=True)):
        right = f"{row[k] / row.sum():.1%}" if row.any() else "-"
        rows.append([title, *(str(count) if count else "." for count in row), right])
    return f"confusion matrix (row: the truth, column: the prediction)\n{table(rows)}"


def labels_text(found: LabelScores, names: Sequence[str]) -> str:
    """Return the scores of each label of a multilabel network as a table."""
    rows = [["label", "precision", "recall", "F1", "support"]]
    columns = zip(names, found.precision, found.recall, found.f1, found.support, strict=True)
    rows += [[clipped(name, _MAX_TITLE), *map(_share, shares), f"{n:,}"] for name, *shares, n in columns]
    return table(rows)


def values_text(found: ValueScores, names: Sequence[str]) -> str:
    """Return the errors of each output of a regression as a table, beside those of a guess of the mean."""
    rows = [["", "R2", "RMSE", "MAE"]]
    for k, name in enumerate(names):
        title = f"{clipped(name, _MAX_TITLE)}: " if len(names) > 1 else ""
        rows.append([f"{title}network", _r2(found.r2[k]), amount(found.rmse[k]), amount(found.mae[k])])
        baseline = [amount(found.baseline_rmse[k]), amount(found.baseline_mae[k])]
        rows.append([f"{title}always the mean, {amount(found.mean[k])}", "0.000", *baseline])
    return table(rows)


def _share(share: float) -> str:
    return "-" if np.isnan(share) else f"{share:.1%}"


def _r2(r2: float) -> str:
    return "-" if np.isnan(r2) else f"{r2:.3f}"
