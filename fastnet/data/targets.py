"""Turns a column or an array of targets into classes or numbers, and finds out the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.data.arrays import Array
from fastnet.data.table import kind_of, missing, positions, refuse_large, texts
from fastnet.errors import DataError
from fastnet.names import TaskName
from fastnet.text import listed

MAX_CLASSES = 65_536
_MAX_LABELS = 100  # with more different labels, the user has to say that they are classes
_MAX_WHOLE_FLOATS = 20  # so many different whole numbers written as floats are classes, more are a regression


class Targets(NamedTuple):
    """What a network predicts: int64 classes (n,), float64 numbers (n, 1), or labels of 0 and 1 (n, k)."""

    task: TaskName
    y: Array
    class_names: tuple[str, ...]


def of_column(column: Array, task: TaskName | None, where: str) -> Targets:
    """Return the targets of a table's column. `where` names the column in messages."""
    refuse_gaps(column, where, 1)
    if column.dtype.kind in "MV":
        raise DataError(f"{where} holds {kind_of(column)}; expected labels or numbers: give another column")
    task = task or _task_of(column, where)
    if task == "multilabel":
        raise DataError(
            f"{where} holds one label for each row: task='multilabel' needs an NPZ file with y of shape (n, k)"
        )
    if task == "regression":
        return Targets(task, _numbers(column, where), ())
    labels = label_texts(column)
    if column.dtype == object:
        class_names = sorted(set(labels))
    else:
        refuse_large(column, where)
        class_names = label_texts(np.unique(column))
    _limit(len(class_names), where)
    return Targets(task, positions(labels, class_names), tuple(class_names))


def by_names(column: Array, class_names: Sequence[str], where: str, first_row: int = 1) -> Targets:
    """Return the targets of a column for a network that knows these classes. () stands for a regression."""
    refuse_gaps(column, where, first_row)
    if not class_names:
        return Targets("regression", _numbers(column, where, first_row), ())
    labels = label_texts(column)
    codes = positions(labels, class_names)
    if (codes < 0).any():
        row = int(codes.argmin())
        raise DataError(
            f"{where}, row {first_row + row}: {checks.given(labels[row])} is not among the network's classes "
            f"({listed(class_names)}): correct the label, or give another column as label_column"
        )
    return Targets("classification", codes, tuple(class_names))


def label_texts(column: Array) -> list[str]:
    """Return the name of the class of each row. 1.0 and 1 are one class."""
    if column.dtype.kind == "f":
        return [str(int(value)) if value % 1 == 0 else repr(value) for value in column.tolist()]
    return [text or "" for text in texts(column)]


def _task_of(column: Array, where: str) -> TaskName:
    """Return the task that the values of a table's column suggest."""
    if column.dtype.kind == "f":
        refuse_large(column, where)
        few = not (column % 1).any() and len(np.unique(column)) <= _MAX_WHOLE_FLOATS
        return "classification" if few else "regression"
    n_labels = len(set(column.tolist()))
    if n_labels > _MAX_LABELS:
        raise DataError(f"{where} has {n_labels:,} different labels: {_needs_task(column)}")
    return "classification"


def _needs_task(column: Array) -> str:
    if column.dtype == object:
        return "give another column as label_column, or task='classification' if they are classes"
    return "give task='regression' to predict numbers, or task='classification' if they are classes"


def of_array(y: Array, task: TaskName | None, where: str) -> Array:
    """Return an array of targets: int64 classes (n,), float64 numbers (n, 1), or labels of 0 and 1 (n, k)."""
    if task == "multilabel":
        if y.ndim != 2 or y.dtype.kind not in "biuf" or not ((y == 0) | (y == 1)).all():
            raise DataError(f"{where}: with task='multilabel' labels are 0 or 1, in an array of shape (n, labels)")
        return np.ascontiguousarray(y, np.float64)
    if task == "regression":
        return _numbers(y.reshape(-1), where)
    # A nan fails both comparisons, so it counts as out of range.
    with np.errstate(over="ignore"):  # in float16 the limit becomes infinite, and every label is below it
        in_range = y.dtype.kind in "biuf" and bool(((y >= 0) & (y < MAX_CLASSES)).all())
    has_fractions = y.dtype.kind == "f" and bool(np.isfinite(y).all()) and bool((y % 1 != 0).any())
    if not in_range or has_fractions:
        numbers = has_fractions or (y.dtype.kind in "iuf" and bool(np.isfinite(y).all()))
        hint = ", or give task='regression' to predict numbers" if numbers else ""
        raise DataError(f"{where}: labels must be whole numbers from 0 to {MAX_CLASSES - 1:,}: renumber them{hint}")
    n_labels = len(np.unique(y))
    if task is None and n_labels > _MAX_LABELS:
        raise DataError(f"{where} has {n_labels:,} different labels: {_needs_task(y)}")
    return y.reshape(-1).astype(np.int64)


def _numbers(column: Array, where: str, first_row: int = 1) -> NDArray[np.float64]:
    """Return the numbers of a regression as float64 (n, 1)."""
    if column.dtype.kind not in "biuf":
        raise DataError(f"{where} holds {kind_of(column)}; a regression needs numbers: give another column")
    numbers = column.astype(np.float64)
    if np.isnan(numbers).any():
        row = first_row + int(np.isnan(numbers).argmax())
        raise DataError(f"{where}, row {row}: the number is missing: drop the row")
    refuse_large(numbers, where, first_row=first_row)
    return numbers[:, None]


def refuse_gaps(column: Array, where: str, first_row: int) -> None:
    """Refuse a column of targets with missing values. `first_row` is the number of its first row in messages."""
    gaps = missing(column)
    if gaps.any():
        count, row = int(gaps.sum()), first_row + int(gaps.argmax())
        if count == len(column) and first_row == 1:
            raise DataError(f"{where} has no values at all: give another column as label_column")
        raise DataError(
            f"{where} has {count:,} missing value{'s' * (count > 1)}, the first in row {row}; each row needs a label, "
            "and cells such as NA, none and ? count as missing: drop these rows, or write the label in another way"
        )


def _limit(n_classes: int, where: str) -> None:
    if n_classes > MAX_CLASSES:
        raise DataError(
            f"{where} has {n_classes:,} different labels; expected at most {MAX_CLASSES:,}: give another column"
        )
