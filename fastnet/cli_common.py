"""What the commands share: loading the data they name, and printing their result."""

from __future__ import annotations

import argparse
import json
from typing import Any

from fastnet import cli_report, datasets
from fastnet.datasets import Dataset
from fastnet.errors import DataError


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
        progress=None if args.quiet else cli_report.DownloadProgress(),
    )
    if not len(data.x_test):
        raise DataError(f"{data.name} has too few examples to hold some out for the test: give more")
    return data
