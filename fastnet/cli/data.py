"""`fastnet data`: lists the named data sets, or prints the sizes and classes of one set."""

from __future__ import annotations

import argparse

import numpy as np

from fastnet import data as sets
from fastnet.cli.common import load_data, print_result
from fastnet.cli.options import Command, add_file_options
from fastnet.text import facts, shown, table


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("data", nargs="?", metavar="NAME", help="a data set, or your own file or folder")
    add_file_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if args.data is None:
        _list(args)
    else:
        _describe(args)
    return 0


def _list(args: argparse.Namespace) -> None:
    found = sets.describe(args.data_dir)
    rows = [["name", "train", "test", "pixels", "where"]]
    for s in found:
        pixels = "x".join(map(str, s.image_shape))
        rows.append([s.name, f"{s.n_train:,}", f"{s.n_test:,}", pixels, s.where or f"not here: {s.get}"])
    print_result(args, table(rows, left=(0, 4)), {"data": [s._asdict() for s in found]})


def _describe(args: argparse.Namespace) -> None:
    data = load_data(args)
    parts = {"train": np.bincount(data.y_train), "test": np.bincount(data.y_test)}
    counts = {part: np.pad(n, (0, len(data.class_names) - len(n))).tolist() for part, n in parts.items()}
    rows = [["class", *counts]]
    rows += [[shown(name), *(f"{n[k]:,}" for n in counts.values())] for k, name in enumerate(data.class_names)]
    about = {
        "data": data.name,
        "examples": f"{len(data.x_train):,} to train, {len(data.x_test):,} to test",
        "inputs": f"{data.x_train.shape[1]} {data.x_train.dtype}"
        + (f", pictures of {data.image_shape[0]}x{data.image_shape[1]}" if data.image_shape else ""),
        "classes": str(len(data.class_names)),
    }
    record = {
        "data": data.name,
        "n_train": len(data.x_train),
        "n_test": len(data.x_test),
        "n_inputs": data.x_train.shape[1],
        "dtype": data.x_train.dtype.name,
        "image_shape": data.image_shape,
        "class_names": data.class_names,
        "class_counts": counts,
    }
    print_result(args, f"{facts(about)}\n\n{table(rows)}", record)


COMMAND = Command(
    "data",
    "list the data sets, or load one (download it where needed) and print its sizes and classes",
    ("fastnet data", "fastnet data mnist"),
    fill,
    run,
)
