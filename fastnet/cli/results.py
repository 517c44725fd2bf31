"""Checks the output files of commands before the work starts, and writes each file as soon as its content is known."""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

from fastnet import data as sets
from fastnet.cli import progress
from fastnet.cli.options import DATA_OPTIONS
from fastnet.data import Dataset
from fastnet.data.files import atomic_write, make_folder
from fastnet.errors import DataError
from fastnet.network_file import is_safetensors_name
from fastnet.text import shown
from fastnet.training.configuration import FILE as CONFIGURATION
from fastnet.training.runs import FILES, Run
from fastnet.training.trainer import Trainer


def check_training(args: argparse.Namespace) -> None:
    """Refuse output files of `fastnet train` that cannot be written, or would replace the data or each other."""
    given = {"--save": args.save, "--history": args.history, "--report": args.report}
    if args.out is not None:
        _check_name("--out", args.out)
        make_folder(args.out)
        given |= {f"--out: {name}": os.path.join(args.out, name) for name in (*FILES, CONFIGURATION)}
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
    if args.save is not None:
        is_safetensors_name(args.save)  # another format or a missing library is an error now, not after the training
    if args.report is not None:
        check_html("--report", args.report)


def check_html(option: str, path: str) -> None:
    """Refuse a report file whose name does not end in .html or .htm."""
    if not path.lower().endswith((".html", ".htm")):
        raise DataError(f"{option} {shown(path)}: a report is an HTML file; give a name that ends in .html")


def check_file(option: str, path: str, args: argparse.Namespace) -> None:
    """Refuse a file that cannot be written, or would replace the data that the command reads."""
    _check_name(option, path)
    if path.endswith(os.sep):
        raise DataError(f"{option} {shown(path)} names a folder: give the name of a file")
    given = vars(args)
    sources = [given.get("data"), given.get("labels"), given.get("model"), given.get("space"), *given.get("files", ())]
    read = [source for source in sources if source and source not in sets.names()]
    if os.path.exists(path) and not os.path.isfile(path):
        raise DataError(f"{option} {shown(path)} exists and is not a regular file: give another name")
    if any(os.path.realpath(path) == os.path.realpath(source) for source in read):
        raise DataError(f"{option} {shown(path)} would replace the data that are read: give another name")
    try:
        if os.path.exists(path):
            open(path, "r+b").close()  # fails for a write-protected file, which must not be replaced
    except OSError as error:
        raise _unwritable(option, path, error) from error
    _check_writable(option, path, os.path.dirname(os.path.realpath(path)))


def check_folder(option: str, path: str) -> None:
    """Make a folder for results if it is missing. Refuse a folder that no file can be written into."""
    _check_name(option, path)
    make_folder(path)
    _check_writable(option, path, path)


def _check_name(option: str, path: str) -> None:
    if not path:
        raise DataError(f"{option} is empty: give a name")


def _check_writable(option: str, path: str, folder: str) -> None:
    try:
        tempfile.TemporaryFile(dir=folder, prefix=".fastnet-", suffix=".tmp").close()
    except OSError as error:
        raise _unwritable(option, path, error) from error


def _unwritable(option: str, path: str, error: OSError) -> DataError:
    return DataError(
        f"{option} {shown(path)} cannot be written ({error.strerror}): check the folder, or give another name"
    )


def source_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the data options, with absolute paths, so that they are valid from any working directory."""
    source = {name: getattr(args, name) for name in DATA_OPTIONS}
    for name in ("data", "data_dir", "labels"):
        if source[name] is not None and not (name == "data" and source[name] in sets.names()):
            source[name] = os.path.abspath(source[name])
    return source


def write_training(args: argparse.Namespace, trainer: Trainer, run: Run) -> None:
    """Write the files of --save, --history and --out, as soon as the training has ended."""
    if args.save is not None:
        run.network.save(args.save)
    if args.history is not None:
        with atomic_write(args.history) as file:
            file.write(trainer.history.to_json().encode())
    if args.out is not None:
        run.save(args.out)


def write_test(args: argparse.Namespace, run: Run, data: Dataset) -> None:
    """Write the files that need the result of the test: the record in --out, and the --report."""
    if args.out is not None:
        run.save_record(args.out)
    if args.report is not None:
        write_report(args, args.report, run, data)


def write_report(args: argparse.Namespace, path: str, run: Run, data: Dataset) -> None:
    """Write the report of a run."""
    from fastnet import report

    with progress.told_if_slow("writing the report ...", args.quiet):
        report.write(path, run, data, backend=args.backend)
