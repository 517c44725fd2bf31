"""What a training leaves behind, for the command line: the files of `fastnet train`, and `fastnet report`.

Not here: the run folder (runs.py), the report (fastnet.report), the options (options.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile

from fastnet import backends
from fastnet.cli import common, progress
from fastnet.data import datasets
from fastnet.data.datasets import Dataset
from fastnet.data.files import atomic_write, make_folder
from fastnet.errors import DataError
from fastnet.network import Network
from fastnet.text import facts, shown
from fastnet.training.runs import FILES, Run, check_data
from fastnet.training.trainer import Trainer

_LOADING = ("data", "data_dir", "labels", "label_column")  # the options that say what data, and how they are read
REPORT = "report.html"


def check_written(args: argparse.Namespace) -> None:
    """Finds out before any training whether its results can be kept, and that they replace none of its inputs."""
    given = {"--save": args.save, "--history": args.history, "--report": args.report}
    if args.out is not None:
        _check_name("--out", args.out)
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


def _check_name(option: str, path: str) -> None:
    if not path:
        raise DataError(f"{option} is empty: give a name")


def check_file(option: str, path: str, args: argparse.Namespace) -> None:
    """Raises DataError where a file cannot be written, or would replace the data that are read."""
    _check_name(option, path)
    if path.endswith(os.sep):
        raise DataError(f"{option} {shown(path)} names a folder: give a file's name")
    read = [path for path in (args.data, args.labels) if path is not None and path not in datasets.names()]
    if os.path.exists(path) and not os.path.isfile(path):
        raise DataError(f"{option} {shown(path)} exists and is not a regular file: give another name")
    if any(os.path.realpath(path) == os.path.realpath(source) for source in read):
        raise DataError(f"{option} {shown(path)} would replace the data it is trained on: give another name")
    try:
        if os.path.exists(path):
            open(path, "r+b").close()  # a file that its owner has write-protected is not to be replaced
        folder = os.path.dirname(os.path.realpath(path))
        tempfile.TemporaryFile(dir=folder, prefix=".fastnet-", suffix=".tmp").close()
    except OSError as error:
        raise DataError(f"{option} {shown(path)} cannot be written ({error.strerror}): check the folder") from error


def run_of(args: argparse.Namespace, data: Dataset, trainer: Trainer, initial: Network) -> Run:
    """The run of `fastnet train` as far as it got, with what only the command knows."""
    return Run.of(
        trainer,
        initial,
        data=data.name,
        examples={"train": len(data.x_train), "test": len(data.x_test)},
        source={name: _anywhere(name, getattr(args, name)) for name in _LOADING},
        optimizer=args.optimizer,
        init=args.init,
        seed=args.seed,
    )


def _anywhere(name: str, value: str | None) -> str | None:
    """What an option says of the data, to be understood from another folder too."""
    if value is None or name == "label_column" or (name == "data" and value in datasets.names()):
        return value
    return os.path.abspath(value)


def write(args: argparse.Namespace, trainer: Trainer, run: Run) -> None:
    """Keeps what is asked for of a training, as soon as it has ended."""
    if args.save is not None:
        run.network.save(args.save)
    if args.history is not None:
        with atomic_write(args.history) as file:
            file.write(trainer.history.to_json().encode())
    if args.out is not None:
        run.save(args.out)


def write_found(args: argparse.Namespace, run: Run, data: Dataset) -> None:
    """Keeps what is found out after the training: its test, and the report."""
    if args.out is not None:
        run.save_record(args.out)
    if args.report is not None:
        _write_report(args, args.report, run, data)


def _write_report(args: argparse.Namespace, path: str, run: Run, data: Dataset) -> None:
    from fastnet import report

    with progress.told_if_slow("making the report ...", args.quiet):
        report.write(path, run, data, backend=args.backend)


def report_on(args: argparse.Namespace) -> int:
    """The command `fastnet report`; its exit status."""
    from fastnet import report

    report.check()
    backends.resolve(args.backend)
    run = Run.load(args.run)
    path = os.path.join(args.run, REPORT) if args.output is None else args.output
    data = _data(args, run)
    check_file("--output", path, args)
    check_data(shown(args.run), run.network, data)
    _write_report(args, path, run, data)
    common.report(args, facts({"report": shown(path)}), {"run": args.run, "report": path})
    return 0


def _data(args: argparse.Namespace, run: Run) -> Dataset:
    """The data that --data names, else those of the training."""
    if args.data is not None:
        return common.load(args)
    source = run.record.get("source")
    if not isinstance(source, dict) or not isinstance(source.get("data"), str):
        raise DataError(f"{shown(args.run)} does not say what it was trained on: give --data")
    for name in _LOADING:
        if getattr(args, name) is None:
            setattr(args, name, source.get(name))
    try:
        data = common.load(args)
    except DataError as error:
        raise DataError(f"the data of {shown(args.run)}: {error}; --data says where they are now") from error
    return dataclasses.replace(data, name=str(run.record.get("data", data.name)))
