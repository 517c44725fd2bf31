"""Valid files of every format that fastnet reads.

A document maps file names to contents. The content None means a link to a device; a name that ends in / is a folder.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from data_cases import CODES, STEMS, idx
from PIL import Image

import fastnet
from fastnet.data import Schema
from fastnet.data.sources import shards as shard_files
from fastnet.training.configuration import Configuration
from fastnet.training.history import FIELDS
from fastnet.training.runs import FILES, FORMAT

from . import file_grammar as grammar

Document = dict[str, bytes | None]

_X = np.random.default_rng(1).integers(0, 256, (6, 16)).astype(np.uint8)
_Y = np.arange(6, dtype=np.uint8) % 2


def npz(pack: bool = False, **arrays: object) -> bytes:
    return grammar.zipped([(f"{name}.npy", grammar.saved(array)) for name, array in arrays.items()], pack)


def networks() -> list[Document]:
    """Return three networks in the format of `Network.save`."""
    found: list[Document] = []
    for sizes, dtype in (([4, 3, 2], "float32"), ([2, 1], "float64"), ([1, 2, 2, 2], "float32")):
        network = fastnet.Network(sizes, seed=0, dtype=dtype)
        about = {"format": "fastnet network 1", "sizes": sizes, "activation": network.activations_by_layer[:-1]}
        about |= {"output": "sigmoid", "cost": "squared_error", "dtype": dtype}
        found.append({"net.npz": npz(about=json.dumps(about), parameters=network.parameters)})
    return found


def ensembles() -> list[Document]:
    """Return ensembles of two networks, of one dtype and of both."""
    found: list[Document] = []
    for dtypes in (("float32", "float32"), ("float64", "float32")):
        made = fastnet.Ensemble(fastnet.Network([4, k + 2, 2], seed=k, dtype=dtype) for k, dtype in enumerate(dtypes))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "ensemble.npz")
            made.save(path)
            found.append({path.name: path.read_bytes()})
    return found


def safetensors_networks() -> list[Document]:
    """Return networks as safetensors files, in both dtypes."""
    found: list[Document] = []
    for sizes, settings in (([4, 3, 2], {"activation": "identity"}), ([2, 1], {"dtype": "float64", "output": "tanh"})):
        network = fastnet.Network(sizes, seed=0, **settings)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "net.safetensors")
            network.save(path)
            found.append({path.name: path.read_bytes()})
    return found


def runs() -> list[Document]:
    """Return a run of two epochs, with and without the initial network."""
    texts = {"backend": "cython", "backend_reason": "", "inputs": "dense", "averaging": ""}
    history = {name: [texts.get(name, 1), texts.get(name, 0.5)] for name in FIELDS}
    history["accuracy"] = [None, 0.5]
    record = {"format": FORMAT, "optimizer": "adam", "learning_rate": 0.1, "seconds": 1.5, "data": "mnist-5k"}
    record |= {"optimizer_settings": {"beta1": 0.9}, "dropout": [0.5], "test": {"cost": 0.1, "accuracy": None}}
    network, texts_of = networks()[0]["net.npz"], [json.dumps(part, indent=1).encode() for part in (history, record)]
    whole = dict(zip(FILES, (network, network, *texts_of), strict=True))
    return [whole, {name: content for name, content in whole.items() if name != "initial.npz"}]


def checkpoints() -> list[Document]:
    """Return the newest checkpoint of a finished epoch with several callbacks, and one from the middle of an epoch."""
    found: list[Document] = []
    for every in ({"every": 1}, {"seconds": 1e-9}):
        with tempfile.TemporaryDirectory() as folder:
            trainer = fastnet.Trainer(
                fastnet.Network([4, 3, 2], seed=0), backend="numpy", batch_size=2, dropout=0.5, seed=0
            )
            stop = fastnet.EarlyStopping("cost")
            kept = fastnet.Checkpoint(folder, keep=1, **every)
            trainer.fit(_X[:, :4], _Y, epochs=2, callbacks=[stop, kept])
            found.append({path.name: path.read_bytes() for path in Path(folder).glob("checkpoint-*.npz")})
    return found


def _arrays_of_all_types() -> list[np.ndarray]:
    return [np.arange(6).reshape(2, 3).astype(dtype) for dtype in CODES]


def configurations() -> list[Document]:
    options = {"data": "mnist-5k", "layers": [784, 16, 10], "learning_rate": 0.5, "no_shuffle": False, "seed": 3}
    record = {"run": {"date": "today"}, "data": {"hash": "12", "x_train": "uint8 (6, 16)"}, "machine": {"cores": 2}}
    texts = [Configuration(options, {"save": "x.npz"}, record).text(), "[options]\ndrop = ['a', \"b\"]\nseed = 0x1F\n"]
    return [{"run.toml": text.encode()} for text in texts]


def spaces() -> list[Document]:
    """Return a space of a search with every kind of value, and one with alternatives."""
    one = (
        "[space]\nhidden = [[16], [32, 16], []]\nlearning_rate = {loguniform = [1e-4, 1e-1]}\n"
        'dropout = {uniform = [0, 0.5]}\nbatch_size = {integers = [8, 64]}\noptimizer = ["adam", "sgd"]\n'
        'shuffle = true\nactivation = "relu"\n'
    )
    other = '[[space]]\noptimizer = "sgd"\n[[space]]\noptimizer = "adam"\n[space.learning_rate]\nuniform = [0.1, 1]\n'
    return [{"space.toml": text.encode()} for text in (one, other)]


def idx_files() -> list[Document]:
    contents = [idx(array) for array in _arrays_of_all_types()]
    return [{"x-idx": content} for content in contents] + [{"x.gz": gzip.compress(c, mtime=0)} for c in contents]


def npy_files() -> list[Document]:
    more = [np.array("text"), np.array(["ab", "c"]), np.array([True, False]), np.asfortranarray(_X), np.array(3.0)]
    return [{"x.npy": grammar.saved(array)} for array in (*_arrays_of_all_types(), *more)]


def npz_files() -> list[Document]:
    return [{"x.npz": npz(pack, x=_X, y=_Y, name="text")} for pack in (False, True)]


def labelled() -> list[Document]:
    split = {"x_train": _X, "y_train": _Y, "x_test": _X[:2], "y_test": _Y[:2]}
    images = _X.reshape(6, 4, 4)
    return [
        {"x.npz": npz(pack, **arrays)}
        for pack in (False, True)
        for arrays in (split, {"x": images, "y": _Y}, {"x": _X.astype(np.float32), "y": _Y.astype(np.int64)[:, None]})
    ]


def tables() -> list[Document]:
    rows = [",".join(map(str, (*x, y))) for x, y in zip(_X.tolist(), _Y.tolist(), strict=True)]
    text = "\n".join(rows) + "\n"
    named = "label,a\n0,1.5\n1,-2e3\n0,.5\n1,7\n"
    mixed = "a,city,is_new,species\n1.5,Oslo,true,setosa\n2,Rome,,virginica\nNA,?,false,setosa\n"
    tables = [{"x.csv": part.encode()} for part in (text, named, mixed)]
    return [*tables, {"x.tsv": named.replace(",", "\t").encode()}]


def parquets() -> list[Document]:
    from pyarrow import parquet

    return [
        {"x.parquet": _written(parquet.write_table, row_group_size=2, **options)}
        for options in ({}, {"compression": "none", "use_dictionary": False}, {"compression": "gzip"})
    ]


def arrows() -> list[Document]:
    from pyarrow import feather

    return [
        {"x.arrow": _written(feather.write_feather, chunksize=2, compression=name)}
        for name in ("uncompressed", "lz4", "zstd")
    ]


def _written(write: Callable[..., None], **options: Any) -> bytes:
    """Return a table of pyarrow as one of its writers writes it."""
    import pyarrow

    columns = {"a": [1, 2, None], "b": [0.5, None, 2.0], "text": ["x", None, "y"], "bool": [True, False, True]}
    table, buffer = pyarrow.table({**columns, "label": ["no", "yes", "no"]}), io.BytesIO()
    write(table, buffer, **options)
    return buffer.getvalue()


def numeric_tables() -> list[Document]:
    """Return Parquet and Arrow files whose columns are inputs of a network, and a column "label"."""
    import pyarrow
    from pyarrow import feather, parquet

    table = pyarrow.table({"a": [1, 2, 3, 4], "b": [0.5, -1.0, 2.0, 8.0], "label": ["no", "yes", "no", "yes"]})
    found: list[Document] = []
    for name, write, options in (
        ("x.parquet", parquet.write_table, {"row_group_size": 3}),
        ("x.parquet", parquet.write_table, {"compression": "none", "use_dictionary": False}),
        ("x.arrow", feather.write_feather, {"chunksize": 3, "compression": "lz4"}),
        ("x.feather", feather.write_feather, {"compression": "uncompressed"}),
    ):
        buffer = io.BytesIO()
        write(table, buffer, **options)
        found.append({name: buffer.getvalue()})
    return found


def source_files() -> list[Document]:
    """Return single files of examples, with and without labels."""
    return [{"x.npy": grammar.saved(_X)}, *({"x.npz": npz(pack, X=_X, y=_Y)} for pack in (False, True))]


def shards() -> list[Document]:
    """Return folders of shards: as `fastnet convert` writes them, without a schema, and as NPZ files."""
    plain: Document = {}
    for k, rows in enumerate((slice(0, 4), slice(4, 6))):
        plain |= {f"x-{k:05d}.npy": grammar.saved(_X[rows]), f"y-{k:05d}.npy": grammar.saved(_Y[rows])}
    schema = {
        "format": shard_files.FORMAT,
        "shards": 2,
        "schema": Schema(class_names=("a", "b"), pixels=True).to_dict(),
    }
    packed: list[Document] = [{f"{k}.npz": npz(pack, x=_X, y=_Y) for k in range(2)} for pack in (False, True)]
    return [plain, plain | {shard_files.SCHEMA_FILE: json.dumps(schema).encode()}, *packed]


def two_files() -> list[Document]:
    x, y = grammar.saved(_X), grammar.saved(_Y)
    return [{"x.npy": x, "y.npy": y}, {"x.idx": idx(_X), "y.gz": gzip.compress(idx(_Y), mtime=0)}]


def folders() -> list[Document]:
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


def pictures() -> list[Document]:
    return [{name: content} for name, content in _pictures()]


def any_arrays() -> list[Document]:
    one = [{"x.npz": npz(pack, x=_X)} for pack in (False, True)]
    return [*idx_files(), *npy_files(), *one, *npz_files(), *tables(), *pictures()]


def cache() -> list[Document]:
    x, y = np.zeros((5_000, 784), np.uint8), (np.arange(5_000) % 10).astype(np.uint8)
    return [{"mnist-5k/mnist-5k.npz": npz(True, x=x, y=y)}]


def mnist() -> list[Document]:
    """Return sets of four files with the names of MNIST's files and other content."""
    return [{f"mnist/{name}": content for name, content in folders()[0].items()}]
