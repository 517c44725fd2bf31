"""What the commands share: loading the data they name, and printing their result."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.cli import progress
from fastnet.data import datasets
from fastnet.data.datasets import Dataset
from fastnet.errors import DataError
from fastnet.text import shown, table

MAX_CLASSES_SHOWN = 30  # a wider matrix than this fits no terminal


def report(args: argparse.Namespace, text: str, record: dict[str, Any]) -> None:
    """Prints a command's result: the record with --json, nothing with --quiet, else the text."""
    if args.json:
        print(json.dumps(record, indent=1, allow_nan=False))
    elif not args.quiet:
        print(text, flush=True)


def load(args: argparse.Namespace) -> Dataset:
    """The data set that --data names, with the options that go with it."""
    data = datasets.load(
        args.data,
        data_dir=args.data_dir,
        labels=args.labels,
        label_column=args.label_column,
        progress=None if args.quiet else progress.DownloadProgress(),
    )
    if not len(data.x_test):
        raise DataError(f"{data.name} has too few examples to hold some out for the test: give more")
    return data


def confusion_text(matrix: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """The matrix as a table, with each class's recall: the share of its examples that were recognised."""
    if len(matrix) > MAX_CLASSES_SHOWN:
        return f"confusion matrix: too wide to show, {len(matrix)} classes; --json has it"
    numbers = [str(k) for k in range(len(matrix))]
    rows = [["", *numbers, "recall"]]
    for k, (row, name) in enumerate(zip(matrix, class_names, strict=True)):
        recall = f"{row[k] / row.sum():.1%}" if row.any() else "-"
        title = name if name == numbers[k] else f"{k} {shown(name)}"
        rows.append([title, *(str(count) if count else "." for count in row), recall])
    return f"confusion matrix (row: the truth, column: the prediction)\n{table(rows)}"
