"""Checkpoints of `fastnet train --out`, and --resume, which finishes a training that was interrupted or killed."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastnet import checks
from fastnet.cli import processes
from fastnet.data.files import PathLike, atomic_write, locked_folder
from fastnet.errors import DataError
from fastnet.text import shown
from fastnet.training.checkpoint import Checkpoint
from fastnet.training.checkpoint_folders import written
from fastnet.training.configuration import FILE, Configuration, mpiexec, read_configuration
from fastnet.training.run_summary import CHECKPOINTS
from fastnet.training.runs import Run
from fastnet.training.trainer import Trainer

_UNITS = {"s": 1, "m": 60, "h": 3600}  # seconds
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?) ?([smh]|epochs?)", re.ASCII)
_NEVER = 1e9  # seconds; a fit that ends or is interrupted writes a checkpoint in any case


def interval(text: str) -> str:
    """Return the text of --checkpoint-every if it names a time or a number of epochs."""
    try:
        return text if settings(text) else ""
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def settings(text: str) -> dict[str, float]:
    """Return the arguments of `Checkpoint` that "60s", "5m", "2h" or "10epochs" stand for."""
    found = _INTERVAL.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"expected a time such as 60s, 5m or 2h, or a number of epochs such as 10epochs, not {text!r}")
    number, unit = found.groups()
    if unit not in _UNITS:
        if not number.isdecimal() or int(number) < 1:
            raise ValueError(f"expected a whole number of epochs from 1, not {checks.given(text)}")
        return {"every": int(number)}
    if not float(number):
        raise ValueError(f"expected a time of more than 0, not {checks.given(text)}")
    return {"seconds": float(number) * _UNITS[unit]}


def check_place(args: argparse.Namespace) -> None:
    """Refuse to begin a training where another one waits for --resume."""
    if not processes.leads(args):  # the first process may have begun to write there
        return
    if args.out is None:
        if args.checkpoint_every is not None:
            raise ValueError("--checkpoint-every needs a folder for the checkpoints: give --out too")
    elif args.resume is None and is_waiting(args) and finished(args.out) is None:
        raise DataError(
            f"--out {shown(args.out)} holds the checkpoints of a training that is not finished: continue it with "
            f"{command(args.out)}, give another --out, or delete {shown(_folder(args))}"
        )


def alone(args: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """Return a context in which no other command trains into the folder of --out."""
    if args.out is None or not processes.leads(args):
        return contextlib.nullcontext()
    return locked_folder(args.out, "give another --out" if args.resume is None else "interrupt it")


def begin(args: argparse.Namespace, made: Configuration) -> Callable[[], None]:
    """Write run.toml before the training. --resume keeps the file.

    Return a function that restores the file of an earlier training, for a training that ends before its first update.
    """
    path = Path(args.out) / FILE
    if args.resume is not None or not processes.leads(args):
        return lambda: None
    before = path.read_bytes() if path.exists() else None
    _remove_checkpoints(args)  # of a finished training, after `check_place`
    made.save(path)

    def restore() -> None:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            with atomic_write(path) as file:
                file.write(before)

    return restore


def end(args: argparse.Namespace) -> None:
    """Remove the checkpoint of a finished training, unless --checkpoint-every asks for checkpoints."""
    if args.out is not None and args.checkpoint_every is None:
        folders = {path.parent for path in written(_folder(args))} | {_folder(args)}
        _remove_checkpoints(args)
        for folder in sorted(folders, reverse=True):  # those of processes first
            with contextlib.suppress(OSError):
                folder.rmdir()


def started(args: argparse.Namespace) -> str | None:
    """Return the date in the run.toml of --out, for the record of the run."""
    return None if args.out is None else read_configuration(Path(args.out) / FILE).started


def is_waiting(args: argparse.Namespace) -> bool:
    """Whether the folder of --out holds a checkpoint."""
    return args.out is not None and bool(written(_folder(args)))


def command(folder: str) -> str:
    """Return the command that continues the training of a folder."""
    return f"{mpiexec(processes.count())}fastnet train --resume {shlex.quote(folder)}"


def callbacks(args: argparse.Namespace) -> list[Checkpoint]:
    """Return the callback that writes the checkpoints of a training with --out.

    Without --checkpoint-every it writes one at the end of the fit, which is needed only if Ctrl-C was the end.
    """
    if args.out is None:
        return []
    every: dict[str, Any] = settings(args.checkpoint_every) if args.checkpoint_every else {"seconds": _NEVER}
    return [Checkpoint(_folder(args), **every, best=None)]


def _folder(args: argparse.Namespace) -> Path:
    return Path(args.out) / CHECKPOINTS


def _remove_checkpoints(args: argparse.Namespace) -> None:
    for path in written(_folder(args)):
        path.unlink(missing_ok=True)


# -- --resume ----------------------------------------------------------------------------------------------------------


def finished(folder: PathLike) -> Run | None:
    """Return the run of a folder if its training is finished and is the one that run.toml describes, else None."""
    try:
        run, began = Run.load(folder), read_configuration(Path(folder) / FILE)
    except DataError:  # the training was killed before it wrote its results, or another file is missing
        return None
    return run if began.describes(run.record) else None


def resume(args: argparse.Namespace) -> Trainer:
    """Return the trainer of the newest checkpoint."""
    folder = _folder(args)
    if not written(folder):
        raise DataError(
            f"{shown(args.out)} holds no checkpoint and no complete results: begin the training again with "
            f"fastnet train --config {shlex.quote(os.path.join(args.out, FILE))} --out {shlex.quote(args.out)}"
        )
    return Trainer.resume(folder, communicator=args.communicator)
