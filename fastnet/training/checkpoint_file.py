"""Writes and reads a checkpoint: the state of a training as an .npz file, without pickle.

The file is also a network's file, which `Network.load` reads. Its other arrays are `training` (JSON text as bytes),
`moments` (the optimiser's state), `history` (the numbers of the records), `array_0` and so on (arrays of the callbacks'
states), and `checksum` (of all other arrays).
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import checks
from fastnet.data.arrays import read_npz, write_npz
from fastnet.data.files import PathLike, atomic_write, checked_path
from fastnet.errors import DataError, warn
from fastnet.network import Network
from fastnet.text import plain, reason, shown
from fastnet.training.hashing import hash_of
from fastnet.training.history import FIELDS, TEXTS, Epoch
from fastnet.training.state import FitSoFar, Process, TrainingState, generator_from
from fastnet.training.totals import Totals

FORMAT = "fastnet checkpoint 1"
NUMBERS = tuple(name for name in FIELDS if name not in TEXTS)
WHOLE_NUMBERS = ("epoch", "examples", "threads")
NAME = re.compile(r"checkpoint-(\d{10,})\.npz")

Array = NDArray[Any]


def name_of(steps: int) -> str:
    """Return the name of a checkpoint's file. `steps` is the number of updates."""
    return f"checkpoint-{steps:010}.npz"


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """Return the number of updates and the path of each checkpoint in a folder, the newest first."""
    found = [(NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return sorted(((int(match[1]), path) for match, path in found if match), reverse=True)


def newest(folder: PathLike) -> tuple[Path, TrainingState]:
    """Return the newest whole checkpoint of a folder, with its path. A UserWarning names each damaged one.

    `folder` may also be the file of one checkpoint.

    Raises
    ------
    DataError
        There is no such folder, or no whole checkpoint in it.
    """
    path = Path(checked_path("folder", folder))
    if path.is_file():
        return path, read(path)
    if not path.is_dir():
        raise DataError(f"there is no folder {shown(path)}: give the folder of a Checkpoint")
    for _, file in numbered(path):
        try:
            return file, read(file)
        except DataError as error:
            warn(f"a checkpoint is skipped: {error}")
    raise DataError(
        f"{shown(path)} holds no whole checkpoint: give the folder of a Checkpoint, or begin a new training"
    )


def check_folder(folder: Path, steps: int) -> None:
    """Raise ValueError if a folder holds a whole checkpoint of a training with more than `steps` updates."""
    for number, path in numbered(folder):
        if number <= steps:
            return
        try:
            read(path)
        except DataError:  # `newest` has warned of it
            continue
        raise ValueError(
            f"{shown(folder)} holds {path.name} of a longer training: go on from it with Trainer.resume, or give "
            "another folder"
        )


# -- writing -------------------------------------------------------------------------------------------------------


def write(path: PathLike, state: TrainingState) -> None:
    """Write a checkpoint completely or not at all.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    arrays = _arrays_of(state)
    arrays["checksum"] = _checksum(arrays)
    with atomic_write(path) as file:
        write_npz(file, **arrays)


def _arrays_of(state: TrainingState) -> dict[str, Array]:
    records = [record for record in state.history if isinstance(record, Epoch)]  # users may change the history
    arrays = state.network.saved_arrays(state.parameters)
    arrays["moments"] = state.moments
    arrays["history"] = np.array([[getattr(record, name) for name in NUMBERS] for record in records], np.float64)
    about: dict[str, Any] = {
        "format": FORMAT,
        **{name: getattr(state, name) for name in _PLAIN},
        "generator": plain(state.generator),
        "totals": state.totals and {**_fields(state.totals), "sums": state.totals.sums.tolist()},
        "columns": NUMBERS,
        "texts": [[texts, len([*same])] for texts, same in groupby(records, attrgetter(*TEXTS))],
        "fit": state.fit and {**_fields(state.fit), "callbacks": []},
        "process": state.process and _fields(state.process),
    }
    for name, values in state.fit.callbacks if state.fit else ():
        held = {key: value for key, value in values.items() if isinstance(value, np.ndarray)}
        names = {key: f"array_{len(arrays) + k}" for k, key in enumerate(held)}
        arrays |= {names[key]: value for key, value in held.items()}
        others = {key: value for key, value in values.items() if key not in held}
        about["fit"]["callbacks"].append([name, others, names])
    arrays["training"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    return arrays


_PLAIN = ("steps", "n_epochs", "settings", "learning_rate", "split_seed", "dropout_keys")


def _fields(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _checksum(arrays: Mapping[str, Array]) -> NDArray[np.uint8]:
    """Return the checksum (32,) of arrays: of their names, dtypes, shapes and bytes."""
    names = sorted(arrays)
    return np.frombuffer(hash_of(*(arrays[name] for name in names), text="\n".join(names), n_bytes=32), np.uint8)


# -- reading -------------------------------------------------------------------------------------------------------


def read(path: PathLike) -> TrainingState:
    """Read a checkpoint.

    Raises
    ------
    DataError
        The file is missing or damaged, or holds no checkpoint.
    """
    arrays = read_npz(path)
    try:
        if absent := [name for name in ("training", "moments", "history", "checksum") if name not in arrays]:
            raise ValueError(f"it has no array {' and no '.join(absent)}")
        checksum = arrays.pop("checksum")
        if not np.array_equal(checksum, _checksum(arrays)):
            raise ValueError("its checksum differs: it is damaged")
        return _state(Network.load(path), arrays, json.loads(arrays["training"].tobytes()))
    except DataError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"{shown(path)} is not a checkpoint that fastnet wrote: {reason(error)}; give one of a Checkpoint's folder"
        ) from error


def _state(network: Network, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> TrainingState:
    if about["format"] != FORMAT:
        raise ValueError(f"its format is {about['format']!r:.80}, not {FORMAT!r}")
    moments, split_seed = arrays["moments"], about["split_seed"]
    if moments.ndim != 2 or moments.shape[1] != network.n_parameters or moments.dtype != network.dtype:
        raise ValueError(f"its array 'moments' is {moments.shape} {moments.dtype}")
    generator_from(about["generator"])
    return TrainingState(
        network=network,
        parameters=network.parameters,
        moments=moments,
        steps=checks.whole_number("steps", about["steps"], 0, 2**62),
        n_epochs=checks.whole_number("n_epochs", about["n_epochs"], 0, 2**53),
        settings={str(name): value for name, value in about["settings"].items()},
        learning_rate=checks.number("learning_rate", about["learning_rate"], minimum=0),
        generator=about["generator"],
        split_seed=None if split_seed is None else checks.whole_number("split_seed", split_seed, 0, 2**63),
        dropout_keys=[checks.whole_number("dropout_keys", key, -(2**63), 2**63 - 1) for key in about["dropout_keys"]],
        totals=None if about["totals"] is None else _totals(about["totals"]),
        history=[*_history(arrays["history"], about["columns"], about["texts"])],
        fit=None if about["fit"] is None else _fit(about["fit"], arrays),
        process=_process(about.get("process")),  # older files have none
    )


def _process(about: Mapping[str, Any] | None) -> Process | None:
    if about is None:
        return None
    every, size = about["every"], checks.whole_number("size", about["size"], 1)
    return Process(
        rank=checks.whole_number("rank", about["rank"], 0, size - 1),
        size=size,
        every=None if every is None else checks.whole_number("every", every, 1),
    )


def _totals(about: Mapping[str, Any]) -> Totals:
    found = Totals(
        epoch=checks.whole_number("epoch", about["epoch"], 1),
        n_batches=checks.whole_number("n_batches", about["n_batches"], 0),
        n_examples=checks.whole_number("n_examples", about["n_examples"], 0),
        seconds=checks.number("seconds", about["seconds"]),
        learning_rate=checks.number("learning_rate", about["learning_rate"]),
    )
    sums = np.array(about["sums"], np.float64)
    if sums.shape != found.sums.shape:
        raise ValueError(f"the sums over its epoch are {sums.shape}, not {found.sums.shape}")
    found.sums = sums
    return found


def _history(numbers: Array, columns: Sequence[str], texts: Sequence[Any]) -> Iterator[Epoch]:
    """Yield the records. Unknown columns are left out. Missing ones are nan or ""."""
    counts = [checks.whole_number("the count of texts", count, 1, len(numbers)) for _, count in texts]
    if (len(numbers) and numbers.shape[1:] != (len(columns),)) or sum(counts) != len(numbers):
        raise ValueError(f"its array 'history' is {numbers.shape}, for {len(columns)} columns and {sum(counts)} epochs")
    all_texts = (words for words, count in texts for _ in range(count))
    for row, words in zip(numbers.tolist(), all_texts, strict=True):
        found = dict(zip(columns, row, strict=True))
        values = {name: found.get(name, math.nan) for name in NUMBERS}
        whole: dict[str, Any] = {name: int(values[name]) for name in WHOLE_NUMBERS}
        known = [*map(str, words), *[""] * (len(TEXTS) - len(words))]  # older files hold fewer
        yield Epoch(**values | whole | dict(zip(TEXTS, known, strict=True)))


def _fit(about: Mapping[str, Any], arrays: Mapping[str, Array]) -> FitSoFar:
    start, end = about["horizon"]
    return FitSoFar(
        epochs=checks.whole_number("epochs", about["epochs"], 0),
        horizon=(checks.whole_number("horizon", start, 0), checks.whole_number("horizon", end, 0)),
        backend=str(about["backend"]),
        threads=checks.whole_number("threads", about["threads"], 1),
        is_stopped=checks.boolean("is_stopped", about["is_stopped"]),
        data={str(name): str(text) for name, text in about["data"].items()},
        software={str(name): str(text) for name, text in about.get("software", {}).items()},
        callbacks=[
            (str(name), dict(values) | {key: arrays[array] for key, array in names.items()})
            for name, values, names in about["callbacks"]
        ],
    )
