"""A training run: a network with the record of its training, as `fastnet train --out` saves it in a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fastnet import backends
from fastnet.data import Dataset
from fastnet.data.files import PathLike, atomic_write, checked_path, make_folder, reading
from fastnet.errors import DataError
from fastnet.evaluation import Evaluation
from fastnet.kernels.formulas import n_classes
from fastnet.network import Network
from fastnet.text import json_text, number, reason, shown
from fastnet.training import provenance
from fastnet.training.history import FIELDS, MEASURES, TEXTS
from fastnet.training.optimizers import OPTIMIZERS
from fastnet.training.schedules import SCHEDULES
from fastnet.training.trainer import Trainer

if TYPE_CHECKING:
    from fastnet.ensemble import Model

# The files hold the network, the network before its training, the columns of the history, and everything else.
NETWORK, INITIAL, HISTORY, RECORD = FILES = ("network.npz", "initial.npz", "history.json", "run.json")
FORMAT = "fastnet run 1"
TEST_ROWS = "the test examples"  # the record's words where the validation data are the test examples
# The types of a record's entries. An entry may be missing or null. Other entries are allowed; no reader relies on them.
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("optimizer", "schedule", "backend", "backend_version", "backend_reason", "data"), (str,)),
    "averaging": (str,),
    **dict.fromkeys(("target", "validation"), (str,)),  # which rows the validation columns of the history come from
    **dict.fromkeys(("learning_rate", "weight_decay", "clip_norm", "seconds"), (int, float)),
    **dict.fromkeys(("optimizer_settings", "schedule_settings", "test", "source", "split", "standardization"), (dict,)),
    **dict.fromkeys(("dropout", "columns", "feature_names", "class_names"), (list,)),
}
_UNITS = {"regression": "number", "multilabel": "label"}  # what an output stands for
_NULL = tuple(name for name in MEASURES if name != "cost")  # the columns that may hold null in place of nan
# The columns that older files lack, with what they then hold.
_ADDED = {
    **{name: None for name in MEASURES if name.endswith(("label_accuracy", "r2"))},
    "waiting": 0.0,
    "averaging": "",
}


@dataclass(frozen=True)
class Run:
    """A trained network with the record of its training.

    Parameters
    ----------
    network : Network
        The network after its training.
    history : mapping of str to list
        The columns of History.to_dict, with None in place of nan.
    record : dict
        Settings and results by name, as `fastnet train --json` prints them.
    initial : Network or None
        The network before its training, if known.
    """

    network: Network
    history: Mapping[str, list[Any]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    initial: Network | None = None

    @classmethod
    def of(
        cls, trainer: Trainer, initial: Network | None = None, *, network: Network | None = None, **more: Any
    ) -> Run:
        """Return the run of a trainer in its current state. `more` is added to the record.

        `network` takes the place of the trainer's network, where it is changed after the training.
        """
        network = trainer.network if network is None else network
        record = {**describe(trainer), "dtype": network.dtype.name, **more}
        return cls(network, json.loads(trainer.history.to_json()), record, initial)

    def save(self, folder: PathLike) -> None:
        """Write the run to a folder, which is created if missing. run.json is written last.

        Raises
        ------
        DataError
            The folder or a file cannot be written.
        """
        folder = make_folder(folder)
        self.network.save(folder / NETWORK)
        if self.initial is not None:
            self.initial.save(folder / INITIAL)
        else:
            _remove(folder / INITIAL)  # an earlier run in this folder may have left this file
        _write(folder / HISTORY, self.history)
        self.save_record(folder)

    def save_record(self, folder: PathLike) -> None:
        """Write only run.json. Call this after adding entries to the record of a saved run."""
        _write(Path(checked_path("folder", folder)) / RECORD, {"format": FORMAT, **self.record})

    @classmethod
    def load(cls, folder: PathLike) -> Run:
        """Read a run that `save` wrote.

        Raises
        ------
        DataError
            The folder holds no run, or its files are missing, are damaged or come from two runs.
        """
        path = Path(checked_path("folder", folder))
        name = shown(path)
        if not path.is_dir():
            raise DataError(f"there is no folder {name}: give one that fastnet train --out wrote")
        if not (path / RECORD).is_file():
            raise DataError(f"{name} holds no training run ({RECORD} is missing): give a folder of fastnet train --out")
        record = _object(path / RECORD)
        history = _with_added_columns(_object(path / HISTORY))
        if record.pop("format", None) != FORMAT:
            raise DataError(f"{shown(path / RECORD)} is not in the format {FORMAT!r}: train again with --out")
        _check_record(path / RECORD, record)
        _check_history(path / HISTORY, history)
        network = Network.load(path / NETWORK)
        initial = Network.load(path / INITIAL) if (path / INITIAL).exists() else None
        if initial is not None and initial.sizes != network.sizes:
            raise DataError(f"{name} holds files of two runs ({NETWORK}, {INITIAL}): train again with --out")
        return cls(network, history, record, initial)


def describe(trainer: Trainer) -> dict[str, Any]:
    """Return the settings, results, backend and machine of a training, as values that JSON can hold."""
    network, last = trainer.network, trainer.history.epochs[-1] if len(trainer.history) else None
    name, reason = (last.backend, last.backend_reason) if last else backends.resolve(trainer.backend)
    backend = backends.describe(name)
    return {
        "layers": list(network.sizes),
        "n_parameters": network.n_parameters,
        "activations": list(network.activations_by_layer),
        "cost_function": network.cost_name,
        "cost_number": number(network.cost_number),
        "task": network.task,
        "byte_scale": network.byte_scale,
        "dtype": network.dtype.name,
        "optimizer": _name(trainer.optimizer, OPTIMIZERS),
        "optimizer_settings": _settings(trainer.optimizer),
        "learning_rate": trainer.learning_rate,
        "schedule": _name(trainer.schedule, SCHEDULES),
        "schedule_settings": _settings(trainer.schedule),
        "batch_size": trainer.batch_size,
        "weight_decay": trainer.weight_decay,
        "clip_norm": trainer.clip_norm,
        "dropout": list(trainer.dropout),
        "shuffle": trainer.shuffle,
        "epochs": len(trainer.history),
        "backend": name,
        "backend_reason": reason,
        "backend_version": backend.version,
        "instruction_set": backend.instruction_set,
        "threads": last and last.threads,
        "inputs": last and last.inputs,
        "averaging": last and last.averaging,
        "seconds": sum(trainer.history["seconds"]),
        "train": {name: number(getattr(last, name)) for name in Evaluation._fields} if last else None,
        **provenance.software(),
        **provenance.hardware(),
        "date": provenance.now(),
    }


def _name(thing: Any, known: Mapping[str, Callable[[], Any]]) -> str:
    """Return the name in `known` whose default equals `thing`, else the first name of the same class."""
    made = {name: make() for name, make in known.items()}
    equal = [name for name, other in made.items() if other == thing]
    alike = [name for name, other in made.items() if type(other) is type(thing)]
    return next(iter(equal + alike), "a function")


def _settings(thing: Any) -> dict[str, float]:
    """Return the numeric settings of an optimiser or a schedule."""
    return {name: value for name, value in vars(thing).items() if isinstance(value, (bool, int, float))}


class _Named(Protocol):
    """What names classes, such as a data set."""

    @property
    def class_names(self) -> tuple[str, ...]: ...


def class_names(network: Model, data: _Named | None = None) -> list[str]:
    """Return a name for each class of a classifier, or for each label of a multilabel network. [] for a regression.

    The names are those of the network, else those of the data set, else numbers.
    """
    if network.task == "regression":
        return []
    n = n_classes(network.sizes[-1]) if network.is_classifier else network.sizes[-1]
    names = network.schema.class_names if network.schema else data.class_names if data else ()
    return [*names[:n], *map(str, range(len(names), n))]


def check_data(what: str, network: Model, data: Dataset) -> None:
    """Raise ValueError if a data set does not fit the network; the message calls the network `what`."""
    n_in, n_out = network.sizes[0], network.sizes[-1]
    n_out = n_classes(n_out) if network.is_classifier else n_out
    if data.task == "classification":  # a network for values may be trained on classes, with one output for each
        fits, found = (
            network.task != "multilabel" and len(data.class_names) <= n_out,
            f"{len(data.class_names)} classes",
        )
    else:
        n_found, unit = data.y_test.shape[1], _UNITS[data.task]
        fits, found = network.task == data.task and n_found == n_out, f"{n_found} {unit}{'s' * (n_found != 1)}"
    if not fits or data.x_test.shape[1] != n_in:
        known = (
            f"distinguishes {n_out} classes"
            if network.is_classifier
            else f"predicts {n_out} {_UNITS[network.task]}{'s' * (n_out != 1)}"
        )
        raise ValueError(
            f"{what} takes {n_in} inputs and {known}, but {data.name} has "
            f"{data.x_test.shape[1]} inputs and {found}: give the data it was trained for"
        )


def _with_added_columns(history: dict[str, Any]) -> dict[str, Any]:
    """Return the history with the columns that an earlier version did not write."""
    epochs = history.get("epoch")
    n = len(epochs) if isinstance(epochs, list) else 0
    return {**{name: [value] * n for name, value in _ADDED.items()}, **history}


def _check_record(path: Path, record: Mapping[str, Any]) -> None:
    wrong = [name for name, kinds in _KINDS.items() if not isinstance(record.get(name), (*kinds, type(None)))]
    if not wrong:
        settings = {name: (record.get(name) or {}).values() for name in ("optimizer_settings", "schedule_settings")}
        found = {**settings, "dropout": record.get("dropout") or [], "test": [(record.get("test") or {}).get("cost")]}
        wrong = [name for name, values in found.items() if not _numbers(values, null=name == "test")]
    if wrong:
        raise DataError(f"{shown(path)} is damaged ({', '.join(wrong)}): train again with --out")


def _check_history(path: Path, history: Mapping[str, Any]) -> None:
    columns = [len(column) if isinstance(column, list) else None for column in history.values()]
    if not set(FIELDS) <= set(history) or None in columns or len(set(columns)) > 1:
        raise DataError(f"{shown(path)} is not a history: expected lists of the same length, for {', '.join(FIELDS)}")
    for name in FIELDS:
        whole = all(isinstance(text, str) for text in history[name])
        if not (whole if name in TEXTS else _numbers(history[name], null=name in _NULL)):
            raise DataError(f"{shown(path)} is damaged ({name}): train again with --out")


def _numbers(values: Iterable[Any], null: bool = False) -> bool:
    return all(isinstance(value, (int, float)) or (null and value is None) for value in values)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot remove {shown(path)} ({reason(error)}): give another folder") from error


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json_text(content).encode())


def _number(text: str) -> float:
    """Return a number from a JSON file. Raise ValueError for nan, infinity, and numbers that overflow a float."""
    if not math.isfinite(float(text)):
        raise ValueError(f"the number {text[:20]} is not a finite float")
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def _object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file."""
    with reading(path) as (file, _):
        found = json.loads(file.read(), parse_int=_number, parse_float=_number, parse_constant=_number)
        if not isinstance(found, dict):
            raise ValueError("it holds no JSON object")
    return found
