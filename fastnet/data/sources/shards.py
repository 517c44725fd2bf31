"""Reads folders of shards: NPY files x-00000.npy and y-00000.npy, ..., or NPZ files that hold x and y."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from fastnet.data.arrays import npz_places
from fastnet.data.files import PathLike, reading
from fastnet.data.formats import SPELLINGS
from fastnet.data.npy_file import NpyFile
from fastnet.data.schema import Schema
from fastnet.data.sources.arrays import ArrayReader
from fastnet.data.sources.joined import RandomJoinedReader
from fastnet.errors import DataError
from fastnet.kernels.contract import Ints
from fastnet.source import Block
from fastnet.text import listed, reason, shown

SCHEMA_FILE, TEST_FOLDER = "schema.json", "test"
FORMAT = "fastnet shards 1"
_MAX_SCHEMA = 1 << 24  # bytes; a schema of 65,536 classes has less
Pair: TypeAlias = tuple[NpyFile, NpyFile]  # examples and labels
_X_FILE = re.compile(r"x(.*)\.npy")


def shard_name(letter: str, k: int) -> str:
    """Return the name of file number k of the examples ("x") or labels ("y")."""
    return f"{letter}-{k:05d}.npy"


def npy_reader(x: PathLike, y: PathLike | None) -> ArrayReader:
    """Return a reader of an NPY file of examples, and one of labels."""
    if y is None:
        return ArrayReader(NpyFile(x))
    return ArrayReader(*_pair(NpyFile(x), NpyFile(y)))


def npz_reader(path: PathLike) -> ArrayReader:
    """Return a reader of an NPZ file that holds x and y, X and y, or data and target."""
    return _reader(_npz_pair(path), _Unpacked())


def is_shard_folder(folder: PathLike) -> bool:
    """Return whether a folder holds shards, going by the names of its files."""
    names = os.listdir(folder)
    return SCHEMA_FILE in names or any(_X_FILE.fullmatch(name) or name.lower().endswith(".npz") for name in names)


def shard_reader(folder: PathLike) -> RandomJoinedReader:
    """Return a reader of the rows of a folder of shards, in the order of the names of the files.

    Raises
    ------
    DataError
        The folder holds no shards, a file is missing or invalid, or the shards differ in the shape or dtype of a row.
    """
    name, files = shown(folder), sorted(Path(folder).iterdir())
    found = [file for file in files if _X_FILE.fullmatch(file.name)]
    packed = [file for file in files if file.suffix.lower() == ".npz"]
    if not found and not packed:
        raise DataError(f"{name} holds no shards: expected x-00000.npy and y-00000.npy, ..., or NPZ files with x and y")
    if found and packed:
        raise DataError(f"{name} holds {found[0].name} and {packed[0].name}: expected NPY files or NPZ files, not both")
    if (Path(folder) / SCHEMA_FILE).exists():
        _check_complete(folder, [file.name for file in found])
    pairs = [_npy_pair(file) for file in found] or [_npz_pair(file) for file in packed]
    for pair in pairs:
        for array, first in zip(pair, pairs[0], strict=True):
            if (array.shape[1:], array.dtype) != (first.shape[1:], first.dtype):
                raise DataError(f"{array.name} holds {_kind(array)}, but {first.name} {_kind(first)}: make them alike")
    unpacked = _Unpacked()
    shards = [_reader(pair, unpacked) for pair in pairs]
    return RandomJoinedReader(shards, max(shard.block_rows for shard in shards))


def schema_of(folder: PathLike) -> Schema | None:
    """Return what the rows of a folder that `fastnet convert` wrote mean, or None for other folders."""
    path = Path(folder) / SCHEMA_FILE
    if not path.exists():
        return None
    about = _about(path)
    try:
        return Schema.from_dict(about.get("schema"))
    except (TypeError, ValueError) as error:
        raise DataError(f"{shown(path)} is not valid ({reason(error)}): convert the data again") from error


def _about(path: PathLike) -> dict[str, object]:
    with reading(path) as (file, size):
        if size > _MAX_SCHEMA:
            raise DataError(f"{shown(path)} is too large for a schema: convert the data again")
        about = json.loads(file.read())
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise DataError(f"{shown(path)} does not describe shards of the format {FORMAT!r}: convert the data again")
    return about


def _check_complete(folder: PathLike, names: Sequence[str]) -> None:
    """Refuse a folder of `fastnet convert` that lacks files."""
    n = _about(Path(folder) / SCHEMA_FILE).get("shards")
    if not isinstance(n, int) or not 1 <= n <= 10**6:
        raise DataError(
            f"{shown(folder)}, {SCHEMA_FILE} does not say how many shards there are: convert the data again"
        )
    if missing := sorted({shard_name("x", k) for k in range(n)}.difference(names)):
        raise DataError(f"{shown(folder)} lacks {listed(missing)}: copy the whole folder, or convert the data again")


class _Unpacked:
    """The compressed arrays that are in memory: those of one shard."""

    def __init__(self) -> None:
        self._held: tuple[NpyFile, ...] = ()

    def hold(self, files: tuple[NpyFile, ...]) -> None:
        """Forget the arrays of another shard."""
        if files != self._held:
            for file in self._held:
                file.forget()
            self._held = files


class _CompressedShard(ArrayReader):
    """A shard that is unpacked as a whole by its first read."""

    def __init__(self, x: NpyFile, y: NpyFile, unpacked: _Unpacked) -> None:
        super().__init__(x, y)
        self._files, self._unpacked, self.block_rows = (x, y), unpacked, len(x)

    def read(self, start: int, stop: int) -> Block:
        self._unpacked.hold(self._files)
        return super().read(start, stop)

    def take(self, numbers: Ints) -> Block:
        self._unpacked.hold(self._files)
        return super().take(numbers)


def _npy_pair(x: Path) -> Pair:
    y = x.with_name("y" + x.name[1:])
    if not y.exists():
        raise DataError(f"{shown(x.parent)} has {x.name}, but no {y.name} with its labels: add it")
    return _pair(NpyFile(x), NpyFile(y))


def _npz_pair(path: PathLike) -> Pair:
    places = npz_places(path)
    keys = [key for letter in "xy" for key in SPELLINGS[letter] if key in places]
    if len(keys) != 2:
        raise DataError(f"{shown(path)} holds {listed(places)}: expected the arrays x and y")
    x, y = (NpyFile(path, key, places[key]) for key in keys)
    return _pair(x, y)


def _pair(x: NpyFile, y: NpyFile) -> Pair:
    if len(x) != len(y):
        raise DataError(f"{x.name} has {len(x):,} rows, but {y.name} has {len(y):,}: expected one label for each row")
    return x, y


def _reader(pair: Pair, unpacked: _Unpacked) -> ArrayReader:
    if any(array.is_compressed for array in pair):
        return _CompressedShard(*pair, unpacked)
    return ArrayReader(*pair)


def _kind(array: NpyFile) -> str:
    return f"rows of {array.dtype} of shape {array.shape[1:]}"
