"""What a training leaves behind, for the command line: the files of `fastnet train`, and `fastnet report`.

Not here: the run folder (runs.py), the report (fastnet.report), the options (cli_options.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from typing import Any

from fastnet import backends, cli_common, cli_report, datasets, files
from fastnet.datasets import Dataset
from fastnet.errors import DataError
from fastnet.files import shown
from fastnet.network import Network
from fastnet.runs import FILES, HISTORY, NETWORK, Run, make_folder
from fastnet.trainer import Trainer

_LOADING = ("data_dir", "labels", "label_column")  # the options that say how --data is read
_PATHS = ("data_dir", "labels")


def check_written(args: argparse.Namespace) -> None:
    """Finds out before any training whether its results can be kept, and that they replace none of its inputs."""
    given = {"--save": args.save, "--history": args.history, "--report": args.report}
    if args.out is not None:
        make_folder(args.out)
        given |= {f"--out: {name}": os.path.join(args.out, name) for name in FILES}
    if args.report is not None:
        from fastnet import report

        report.check()
    seen: dict[str, str] = {}
    for option, path in given.items():
        if path is not None:
            check_file(option, path, args)
            other = seen.setdefault(os.path.realpath(path), option)
            if other != option:
                raise DataError(f"{other} and {option} are both {shown(path)}: give two names")


def check_file(option: str, path: str, args: argparse.Namespace) -> None:
    """Raises DataError where a file cannot be written, or would replace the data that are read."""
    read = [path for path in (args.data, args.labels) if path is not None and path not in datasets.names()]
    if os.path.exists(path) and not os.path.isfile(path):
        raise DataError(f"{option} {shown(path)} exists and is not a regular file: give another name")
    if any(os.path.realpath(path) == os.path.realpath(source) for source in read):
        raise DataError(f"{option} {shown(path)} would replace the data it is trained on: give another name")
    try:
        if os.path.exists(path):
            open(path, "r+b").close()  # a file that its owner has write-protected is not to be replaced
        tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))).close()
    except OSError as error:
        raise DataError(f"{option} {shown(path)} cannot be written ({error.strerror}): check the folder") from error


def write(args: argparse.Namespace, run: Run) -> None:
    """Keeps what is asked for of a training, but for the report."""
    if args.save is not None:
        run.network.save(args.save)
    if args.history is not None:
        with files.atomic_write(args.history) as file:
            file.write(json_of(run).encode())
    if args.out is not None:
        run.save(args.out)
