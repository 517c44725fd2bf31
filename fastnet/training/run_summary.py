"""A saved run in brief: its settings under the names of `fastnet train`'s options, its figures, and its state."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fastnet.data.files import PathLike, checked_path, reading
from fastnet.errors import DataError
from fastnet.text import layers, shown
from fastnet.training.history import MEASURES
from fastnet.training.runs import RECORD, Run

CONFIGURATION = "run.toml"  # all options of the training; runs of earlier versions have none
CHECKPOINTS = "checkpoints"  # the folder of the checkpoints, beside run.json
SCORES = ("accuracy", "r2", "cost")  # what says in one figure how good a network is: the first that it has
# Entries of a record that are settings. The machine and the version are part of what made the figures.
_RECORDED = (
    *("init", "seed", "learning_rate", "batch_size", "weight_decay", "alpha", "clip_norm", "shuffle"),
    *("validation", "backend", "threads", "instruction_set", "fastnet", "numpy", "processor"),
)
# Options that `settings` finds in the network and the record of a finished run, or that are no settings.
_OF_RECORD = (
    *("data", "labels", "label_column", "pixels", "test_fraction", "task", "categorical", "drop", "impute"),
    *("layers", "activation", "output", "cost", "dtype", "optimizer", "momentum", "nesterov", "beta1", "beta2"),
    *("schedule", "warmup", "dropout", *_RECORDED),
)
_IGNORED = ("data_dir", "no_shuffle")  # where files lie; what the record has under another name

State: TypeAlias = Literal["finished", "interrupted", "resumable", "saved"]


@dataclass(frozen=True)
class RunSummary:
    """A run in brief.

    Attributes
    ----------
    name : str
        The name in tables: the shortest end of the folder's path that no other run has.
    folder : str
        The folder.
    state : str
        "finished": trained to the end and tested. "interrupted": not trained to the end, or still in training.
        "resumable": interrupted, and `fastnet train --resume` can go on from a checkpoint. "saved": written by
        `Run.save` in a program, so that the end is not known.
    date : str
        When the training ended, as ISO 8601. "" if this is not known.
    task : str
        "classification", "multilabel" or "regression". "" if the run has no network yet.
    settings : dict
        The settings by the names of the options of `fastnet train`, with underscores. A setting that is not known is
        missing.
    options : dict
        The other options in the run's file run.toml. {} if it has no such file.
    figures : dict of str to float or None
        "epochs", "seconds", "parameters"; "test_cost" and the other test results; for each column of the history that
        measures something, such as "validation_accuracy", its last entry under this name, its best one under
        "best_validation_accuracy", and the epoch of the best under "best_validation_accuracy_epoch".
    history : dict of str to list
        The columns of the history, with None in place of nan.
    """

    name: str
    folder: str
    state: State
    date: str = ""
    task: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float | None] = field(default_factory=dict)
    history: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def score(self) -> tuple[str, float | None]:
        """The figure that says how good the network is, with its name, such as ("test_accuracy", 0.97).

        It is the test result. A run without a test has the last measure of the validation or of the training rows.
        """
        for rows in ("test_", "validation_", ""):
            for measure in SCORES:
                value = self.figures.get(rows + measure)
                if value is not None:
                    return rows + measure, value
        return "", None


def summary(folder: PathLike, name: str | None = None) -> RunSummary:
    """Return the summary of a folder that `fastnet train --out` or `Run.save` wrote.

    A folder that has only `run.toml` or checkpoints so far is an interrupted run, without figures.

    Raises
    ------
    DataError
        The folder holds no run, or a damaged one.
    """
    path = Path(checked_path("folder", folder))
    name = os.fspath(path) if name is None else name
    options = _options(path / CONFIGURATION)
    can_resume = any((path / CHECKPOINTS).glob("*.npz"))
    if (path / RECORD).is_file() or not (options or can_resume):
        return summary_of(Run.load(path), name, os.fspath(path), options=options, can_resume=can_resume)
    sizes = options.get("layers")
    known = {name: options[name] for name in _OF_RECORD if name in options}
    known |= {"layers": layers(sizes)} if isinstance(sizes, list) else {}
    return RunSummary(name, os.fspath(path), _unfinished(can_resume), settings=known, options=_others(options))


def summary_of(
    run: Run, name: str, folder: str = "", *, options: Mapping[str, Any] | None = None, can_resume: bool = False
) -> RunSummary:
    """Return the summary of a run.

    `options` are those of its run.toml. `can_resume` says whether its folder has a checkpoint.
    """
    record = run.record
    date = record.get("date")
    by_command = isinstance(record.get("source"), dict)  # a program that calls `Run.save` records no source
    return RunSummary(
        name,
        folder,
        "finished" if record.get("test") else _unfinished(can_resume) if by_command else "saved",
        date if isinstance(date, str) else "",
        run.network.task,
        settings(run),
        _others(options or {}),
        figures(run),
        run.history,
    )


def _unfinished(can_resume: bool) -> State:
    return "resumable" if can_resume else "interrupted"


def settings(run: Run) -> dict[str, Any]:
    """Return the settings that a run's network and record have, by the names of `fastnet train`'s options."""
    network, record = run.network, run.record
    *hidden, output = network.activations_by_layer
    return {
        "data": record.get("data"),
        **{name: value for name, value in (record.get("source") or {}).items() if name not in ("data", *_IGNORED)},
        "layers": layers(network.sizes),
        "activation": _same(hidden),
        "output": output,
        "cost": network.cost_description(),
        "dtype": network.dtype.name,
        "optimizer": record.get("optimizer"),
        **(record.get("optimizer_settings") or {}),
        "schedule": record.get("schedule"),
        **(record.get("schedule_settings") or {}),
        **{name: record[name] for name in _RECORDED if name in record},
        "dropout": _same(record.get("dropout") or ()),
    }


def figures(run: Run) -> dict[str, float | None]:
    """Return the figures of a run, as `RunSummary.figures` describes them."""
    history = run.history
    epochs = history.get("epoch") or []
    found: dict[str, float | None] = {
        "epochs": len(epochs),
        "seconds": _number(run.record.get("seconds")),
        "parameters": run.network.n_parameters,
    }
    test = run.record.get("test") or {}
    found |= {f"test_{name}": _number(test.get(name)) for name in MEASURES if not name.startswith("validation_")}
    for name in MEASURES:
        column = [_number(value) for value in history.get(name) or [None] * len(epochs)]
        known = [(value, epoch) for value, epoch in zip(column, epochs, strict=True) if value is not None]
        pick = min if name.endswith("cost") else max
        best, epoch = pick(known, key=lambda pair: pair[0]) if known else (None, None)  # the first of equal ones
        found |= {name: column[-1] if column else None, f"best_{name}": best, f"best_{name}_epoch": epoch}
    return found


def run_folders(folder: PathLike) -> Iterator[Path]:
    """Yield each folder of a run in a folder, at any depth, or the folder itself if it is one. Links are not followed.

    Raises
    ------
    DataError
        There is no such folder.
    """
    root = checked_path("folder", folder)
    if not os.path.isdir(root):
        raise DataError(f"there is no folder {shown(root)}: give the folder that holds those of fastnet train --out")
    for path, folders, files in os.walk(root):
        if RECORD in files or CONFIGURATION in files or CHECKPOINTS in folders:
            folders.clear()  # a run holds no other runs
            yield Path(path)
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def distinct_names(folders: Sequence[PathLike]) -> list[str]:
    """Return the shortest end of each path that no other of the paths has, such as "a" and "b" for runs/a and runs/b.

    Raises
    ------
    DataError
        Two paths are the same folder.
    """
    parts = [Path(os.path.realpath(checked_path("folder", folder))).parts for folder in folders]
    for k, path in enumerate(parts):
        if path in parts[:k]:
            raise DataError(f"{shown(folders[k])} is given twice: give each run once")
    lengths = [1] * len(parts)
    while True:
        names = [os.path.join(*path[-length:]) for path, length in zip(parts, lengths, strict=True)]
        same = [k for k, name in enumerate(names) if names.count(name) > 1]
        if not same:
            return names
        for k in same:
            lengths[k] += 1


def _options(path: Path) -> dict[str, Any]:
    """Return the options in a run.toml, and the hash of the data. {} if there is no such file."""
    if not path.is_file():
        return {}
    with reading(path) as (file, _):
        found = tomllib.loads(file.read().decode())
        options, data = found.get("options"), found.get("data", {})
        if not isinstance(options, dict) or not isinstance(data, dict):
            raise ValueError("it has no table [options]")
    return {**options, "data_hash": data.get("hash")}


def _others(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in (*_OF_RECORD, *_IGNORED)}


def _same(values: Sequence[Any]) -> Any:
    """Return the value of a setting that all layers have, or the values of the layers if they differ."""
    return values[0] if len(set(values)) == 1 else list(values) or None


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) else None
