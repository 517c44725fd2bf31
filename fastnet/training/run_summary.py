"""A saved run in brief: its settings under the names of `fastnet train`'s options, its figures, and its state."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fastnet.data.files import PathLike, checked_path
from fastnet.errors import DataError
from fastnet.text import layers, shown
from fastnet.training.checkpoint_folders import written
from fastnet.training.configuration import FILE as CONFIGURATION
from fastnet.training.configuration import RUN, Configuration, read_configuration, without
from fastnet.training.history import MEASURES
from fastnet.training.runs import RECORD, Run

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
        measures something, such as "validation_accuracy", its last known entry under this name, its best one under
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

        It is the test result, else the last measure of the validation rows. The measures of the training rows are no
        score: they are better than those of new rows. Without a score this is ("", None).
        """
        for rows in ("test_", "validation_"):
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
    began = path / CONFIGURATION
    configuration = read_configuration(began) if began.is_file() else None  # runs of earlier versions have none
    can_resume = bool(written(path / CHECKPOINTS))
    if (path / RECORD).is_file() or not (configuration or can_resume):
        return summary_of(Run.load(path), name, os.fspath(path), configuration=configuration, can_resume=can_resume)
    return _unfinished(name, os.fspath(path), configuration or Configuration({}), can_resume)


def summary_of(
    run: Run, name: str, folder: str = "", *, configuration: Configuration | None = None, can_resume: bool = False
) -> RunSummary:
    """Return the summary of a run.

    `configuration` is that of its run.toml. `can_resume` says whether its folder has a checkpoint.
    """
    record = run.record
    is_finished = configuration.describes(record) if configuration else bool(record.get("test"))
    by_command = isinstance(record.get("source"), dict)  # a program that calls `Run.save` records no source
    return RunSummary(
        name,
        folder,
        "finished" if is_finished else _stopped(can_resume) if by_command else "saved",
        _text(record.get("date")),
        run.network.task,
        _filled(settings(run), configuration.options if configuration else {}),
        _others(configuration) if configuration else {},
        figures(run),
        run.history,
    )


def _unfinished(name: str, folder: str, found: Configuration, can_resume: bool) -> RunSummary:
    """Return the summary of a run that has no network yet. Its date is that of its start."""
    sizes, data = found.options.get("layers"), found.record.get("data", {})
    known = {name: found.options[name] for name in _OF_RECORD if name in found.options}
    known |= {"layers": layers(sizes)} if isinstance(sizes, list) else {}
    known |= {"data": data["given"]} if "given" in data else {}
    date = _text(found.record.get(RUN, {}).get("date"))
    return RunSummary(name, folder, _stopped(can_resume), date, settings=known, options=_others(found))


def _stopped(can_resume: bool) -> State:
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
        found |= {name: known[-1][0] if known else None, f"best_{name}": best, f"best_{name}_epoch": epoch}
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


def _filled(known: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with what fastnet chose, as run.toml has it, where the user left an option out."""
    return {name: options.get(name) if value is None else value for name, value in known.items()}


def _others(found: Configuration) -> dict[str, Any]:
    """Return the options that the record of a run does not have, and the hash of the data."""
    return {**without(found.options, *_OF_RECORD, *_IGNORED), "data_hash": found.record.get("data", {}).get("hash")}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _same(values: Sequence[Any]) -> Any:
    """Return the value of a setting that all layers have, or the values of the layers if they differ."""
    return values[0] if len(set(values)) == 1 else list(values) or None


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) else None
