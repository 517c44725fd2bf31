"""`fastnet data`: lists the named data sets, or describes one set or the user's own file."""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

from fastnet import data as sets
from fastnet.cli.common import load_data, print_result
from fastnet.cli.options import Command, add_file_options, add_table_options
from fastnet.cli.table_description import Description, described
from fastnet.cli.wording import in_options
from fastnet.data import Dataset
from fastnet.data.formats import holds_table
from fastnet.errors import DataError
from fastnet.text import clipped, facts, shown, table

_MAX_SHOWN = 40  # columns or classes; --json has all


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("data", nargs="?", metavar="NAME", help="a data set, or your own file or folder")
    add_file_options(parser)
    add_table_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if args.data is None:
        _list(args)
    elif args.data not in sets.names() and os.path.isfile(args.data) and holds_table(args.data) and not args.labels:
        _describe_table(args)
    else:
        about, classes, record = _of_dataset(load_data(args))
        print_result(args, f"{facts(about)}\n\n{classes}".rstrip(), record)
    return 0


def _list(args: argparse.Namespace) -> None:
    found = sets.describe(args.data_dir)
    rows = [["name", "train", "test", "pixels", "where"]]
    for s in found:
        pixels = "x".join(map(str, s.image_shape))
        rows.append([s.name, f"{s.n_train:,}", f"{s.n_test:,}", pixels, s.where or f"not here: {s.get}"])
    print_result(args, table(rows, left=(0, 4)), {"data": [s._asdict() for s in found]})


def _describe_table(args: argparse.Namespace) -> None:
    """Describe each column, and what `fastnet train` would make of the table."""
    found = described(args.data, args.label_column)
    classes = ""
    try:
        about, classes, record = _of_dataset(load_data(args))
    except (DataError, ValueError) as error:  # the columns are described, whatever is wrong with them
        problem = in_options(str(error), vars(args))
        about, record = {"data": shown(args.data), "problem": problem}, {"data": shown(args.data), "problem": problem}
    about = {"data": about.pop("data"), "table": f"{found.rows:,} rows, {len(found.columns):,} columns"} | about
    text = f"{facts(about)}\n\n{_columns(found)}\n\n{classes}".rstrip()
    print_result(args, text, record | {"rows": found.rows, "target": found.target, "columns": found.columns})


def _columns(found: Description) -> str:
    """Return a line for each column."""
    rows = [["column", "holds", "missing", "values"]]
    for column in found.columns[:_MAX_SHOWN]:
        role = " (to predict)" if column.name == found.target else ""
        rows.append([f"{clipped(column.name, 30)}{role}", column.kind, f"{column.missing or '-'}", column.values()])
    hidden = len(found.columns) - _MAX_SHOWN
    return table(rows, left=(0, 1, 3)) + (f"\n... {hidden:,} more; --json has all" if hidden > 0 else "")


def _of_dataset(data: Dataset) -> tuple[dict[str, str], str, dict[str, Any]]:
    """Return the facts about a data set, the table of its classes or "", and the record for JSON."""
    about = {
        "data": data.name,
        "examples": f"{len(data.x_train):,} to train, {len(data.x_test):,} to test",
        "inputs": f"{data.x_train.shape[1]} {data.x_train.dtype}"
        + (f", pictures of {data.image_shape[0]}x{data.image_shape[1]}" if data.image_shape else ""),
        "task": data.task,
    }
    record = {
        "data": data.name,
        "n_train": len(data.x_train),
        "n_test": len(data.x_test),
        "n_inputs": data.x_train.shape[1],
        "dtype": data.x_train.dtype.name,
        "image_shape": data.image_shape,
        "task": data.task,
        "feature_names": data.feature_names,
        "class_names": data.class_names,
    }
    if data.task != "classification":
        return about, "", record
    about["classes"] = str(len(data.class_names))
    counts = {
        part: np.bincount(y, minlength=len(data.class_names)).tolist()
        for part, y in (("train", data.y_train), ("test", data.y_test))
    }
    rows = [["class", *counts]]
    rows += [[shown(name), *(f"{n[k]:,}" for n in counts.values())] for k, name in enumerate(data.class_names)]
    return about, table(rows), record | {"class_counts": counts}


COMMAND = Command(
    "data",
    "list the data sets, or describe one set or your own file (a named set is downloaded where needed)",
    ("fastnet data", "fastnet data mnist", "fastnet data iris.csv --label-column species"),
    fill,
    run,
)
