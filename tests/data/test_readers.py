"""Readers: every kind of source gives the same rows, and damaged files are refused."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from data_cases import refused
from pyarrow import feather, parquet

import fastnet
from fastnet.data import arrow_tables, npy_file
from fastnet.data.arrays import read_npz
from fastnet.data.sources import shards
from fastnet.errors import DataError, FastnetError
from fastnet.source import Block, RandomReader, Reader, Source

N, CUTS = 57, (0, 20, 40, 57)  # rows; where the shards begin and end
X = np.random.default_rng(0).normal(size=(N, 3))
Y = np.random.default_rng(1).permutation(np.arange(N) % 4)


def npy_shards(folder: Path) -> Path:
    for k, (start, stop) in enumerate(itertools.pairwise(CUTS)):
        np.save(folder / shards.shard_name("x", k), X[start:stop])
        np.save(folder / shards.shard_name("y", k), Y[start:stop])
    return folder


def npz_shards(folder: Path, save: Callable[..., None]) -> Path:
    for k, (start, stop) in enumerate(itertools.pairwise(CUTS)):
        save(folder / f"part-{k}.npz", X=X[start:stop], y=Y[start:stop])
    return folder


def arrow_table(start: int = 0, stop: int = N, **more: object) -> pyarrow.Table:
    columns = {name: X[start:stop, k] for k, name in enumerate("abc")}
    return pyarrow.table({**columns, "kind": [f"k{label}" for label in Y[start:stop]], **more})


def parquet_files(folder: Path) -> Path:
    for k, (start, stop) in enumerate(itertools.pairwise(CUTS)):
        parquet.write_table(arrow_table(start, stop), folder / f"part-{k}.parquet", row_group_size=7)
    return folder


def arrow_file(path: Path) -> Path:
    feather.write_feather(arrow_table(), path, chunksize=7, compression="lz4")
    return path


def mapped(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    np.save(folder / "x.npy", X)
    return np.load(folder / "x.npy", mmap_mode="r"), Y


def npy_files(folder: Path) -> tuple[Path, Path]:
    np.save(folder / "x.npy", X.astype(">f8"))  # bytes in the other order
    np.save(folder / "y.npy", Y)
    return folder / "x.npy", folder / "y.npy"


def hdf5(folder: Path) -> tuple[object, object]:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    file = h5py.File(folder / "data.h5", "w")
    return file.create_dataset("x", data=X, chunks=(5, 3)), file.create_dataset("y", data=Y)


def zarr_arrays(folder: Path) -> tuple[object, object]:
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    return zarr.array(X, chunks=(5, 3)), zarr.array(Y, chunks=(5,))


def npz_file(folder: Path) -> Path:
    np.savez(folder / "data.npz", data=X, target=Y, more=np.arange(3))
    return folder / "data.npz"


KINDS: dict[str, Callable[[Path], object]] = {
    "arrays": lambda folder: (X, Y),
    "lists": lambda folder: (X.tolist(), Y.tolist()),
    "mapped": mapped,
    "NPY": npy_files,
    "NPZ": npz_file,
    "NPY shards": npy_shards,
    "NPZ shards": lambda folder: npz_shards(folder, np.savez),
    "compressed shards": lambda folder: npz_shards(folder, np.savez_compressed),
    "Parquet": parquet_files,
    "Arrow": lambda folder: arrow_file(folder / "data.feather"),
    "HDF5": hdf5,
    "zarr": zarr_arrays,
}
IN_ANY_ORDER = {"arrays", "lists", "mapped", "NPY", "NPZ", "NPY shards", "NPZ shards", "compressed shards"}


def check(block: Block, rows: np.ndarray, what: object) -> None:
    np.testing.assert_array_equal(block[0], X[rows], str(what))
    np.testing.assert_array_equal(block[1], Y[rows], str(what))
    assert block[0].dtype.isnative


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_gives_the_same_rows(tmp_path, kind):
    source = fastnet.data.source(KINDS[kind](tmp_path))
    assert len(source) == N
    reader = source.reader
    assert isinstance(reader, Reader)
    assert isinstance(reader, RandomReader) == (kind in IN_ANY_ORDER)
    rng = np.random.default_rng()
    for start, stop in [(0, N), (19, 21), (N - 1, N), *np.sort(rng.choice(N + 1, (20, 2)), axis=1)]:
        if start == stop:
            continue
        check(reader.read(int(start), int(stop)), np.arange(start, stop), (start, stop))
        np.testing.assert_array_equal(reader.read_y(int(start), int(stop)), Y[start:stop])
    if isinstance(reader, RandomReader):
        for size in (1, 10, N):
            rows = rng.permutation(N)[:size]
            check(reader.take(rows), rows, rows)


@pytest.mark.parametrize("dtype", ["u1", ">i4", "f8", "?"])
def test_rows_of_a_file_that_are_near_to_each_other_are_read_together(tmp_path, monkeypatch, dtype):
    values = np.random.default_rng().integers(0, 2 if dtype == "?" else 256, (500, 3)).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    monkeypatch.setattr(npy_file, "_GAP", 5 * values[0].nbytes)
    monkeypatch.setattr(npy_file, "_RUN_BITS", 8)
    file, starts = npy_file.NpyFile(tmp_path / "x.npy"), list[int]()
    read = npy_file.NpyFile._read
    monkeypatch.setattr(npy_file.NpyFile, "_read", lambda *args: starts.append(args[2]) or read(*args))
    for size in (0, 1, 20, 100, 400, 500):
        rows = np.random.default_rng().permutation(500)[:size]
        np.testing.assert_array_equal(file.take(rows), values[rows])
        assert len(starts) <= size
        starts.clear()
    file.take(np.array([14, 3, 9, 16, 15]))  # between 3 and 9 are 5 rows
    assert starts == ([3, 14] if dtype == "f8" else [3])  # row 10 of f8 reaches byte 256
    starts.clear()
    file.take(np.array([3, 10]))
    assert starts == [3, 10]


@pytest.mark.parametrize(
    ("kind", "rows"), [("NPY shards", 1), ("compressed shards", 20), ("Parquet", 7), ("HDF5", 5), ("zarr", 5)]
)
def test_a_reader_says_which_rows_are_read_together(tmp_path, kind, rows):
    assert fastnet.data.source(KINDS[kind](tmp_path)).reader.block_rows == rows


def test_compressed_shards_and_row_groups_are_held_one_at_a_time(tmp_path, monkeypatch):
    unpacked: list[str] = []
    monkeypatch.setattr(npy_file, "read_npz", lambda path: unpacked.append(path.name) or read_npz(path))
    reader = fastnet.data.source(npz_shards(tmp_path, np.savez_compressed)).reader
    for start, stop in ((0, 5), (5, 20), (20, 30), (0, 1)):
        reader.read(start, stop)
    assert [name for k, name in enumerate(unpacked) if k % 2 == 0] == ["part-0.npz", "part-1.npz", "part-0.npz"]
    (tmp_path / "tables").mkdir()
    reader = fastnet.data.source(parquet_files(tmp_path / "tables")).reader
    groups: list[int] = []
    group = arrow_tables.ArrowFile.group
    monkeypatch.setattr(arrow_tables.ArrowFile, "group", lambda *args: groups.append(args[1]) or group(*args))
    for start in range(14):
        reader.read(start, start + 1)
    assert groups == [0, 1]


def test_classes_of_a_table_are_those_of_load(tmp_path):
    parquet.write_table(arrow_table(), tmp_path / "x.parquet", row_group_size=10)
    data = fastnet.data.load(tmp_path / "x.parquet", test_fraction=0)
    reader = fastnet.data.source(tmp_path / "x.parquet").reader
    assert reader.schema == data.schema
    known = fastnet.data.source(tmp_path / "x.parquet", schema=data.schema).reader
    np.testing.assert_array_equal(known.read(0, N)[1], Y)
    values = fastnet.data.source(tmp_path / "x.parquet", label_column="a", drop=["kind"]).reader
    assert values.schema.class_names == ()
    np.testing.assert_array_equal(values.read(3, 9)[1], X[3:9, :1])


def test_streams_are_read_once_and_functions_often():
    chunks = [(X[:20], Y[:20]), (X[20:], Y[20:])]
    for data, is_repeatable in ((chunks, True), (lambda: iter(chunks), True), (iter(chunks), False)):
        source = fastnet.data.source(data)
        assert source.is_stream
        assert source.reader.is_repeatable == is_repeatable
        for _ in range(1 + is_repeatable):
            assert [len(block.x) for block in source.reader.chunks()] == [20, 37]
    with pytest.raises(ValueError, match="is an iterator that was read before: give a function"):
        source.reader.chunks()
    with pytest.raises(DataError, match="chunk 2 of the stream has x of shape"):
        list(fastnet.data.source([chunks[0], (X, Y[:3])]).reader.chunks())


def test_text_dates_and_gaps_are_refused_by_name(tmp_path):
    def source(**more: object) -> Source:
        parquet.write_table(arrow_table(**more), tmp_path / "x.parquet", row_group_size=20)
        return fastnet.data.source(tmp_path / "x.parquet", label_column="kind")

    refused(lambda: source(city=["Oslo"] * N), "the column city has text", "name text as categorical", peak=9 << 20)
    refused(lambda: source(day=np.full(N, "2020-01-01", "M8[s]")), "the column day has dates", peak=9 << 20)
    gap = np.where(np.arange(N) == 50, np.nan, 1.0)
    reader = source(late=gap).reader
    refused(lambda: reader.read(45, 55), "x.parquet, rows 46 to 55, has 1 missing value (1 in late)")
    kinds = [None if k == 41 else "a" for k in range(N)]
    with pytest.raises(DataError, match=r"x\.parquet, column kind has 1 missing value, the first in row 42"):
        source(kind=kinds)


def damaged(folder: Path, change: Callable[[Path], object]) -> Callable[[], object]:
    npy_shards(folder)
    about = {"format": shards.FORMAT, "shards": 3, "schema": fastnet.data.Schema().to_dict()}
    (folder / shards.SCHEMA_FILE).write_text(json.dumps(about))
    change(folder)
    return lambda: fastnet.data.source(folder).reader.read(0, N)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda folder: (folder / "x-00001.npy").unlink(), "lacks x-00001.npy: copy the whole folder"),
        (lambda folder: (folder / "y-00001.npy").unlink(), "x-00001.npy, but no y-00001.npy"),
        (lambda folder: np.save(folder / "y-00002.npy", Y[:3]), "has 17 rows, but"),
        (lambda folder: np.save(folder / "x-00002.npy", X[40:].astype("f4")), "make them alike"),
        (lambda folder: np.save(folder / "x-00002.npy", X[40:].T.copy().T), "Fortran order"),
        (lambda folder: np.save(folder / "y-00002.npy", Y[40:].astype(str)), "holds text"),
        (lambda folder: np.save(folder / "x-00002.npy", X[40:].astype(object)), "pickled"),
        (lambda folder: (folder / "schema.json").write_text("{}"), "does not describe shards"),
        (lambda folder: (folder / "x-00002.npy").write_bytes((folder / "x-00002.npy").read_bytes()[:-1]), "corrupt"),
        (lambda folder: np.savez(folder / "z.npz", x=X, y=Y), "not both"),
    ],
)
def test_damaged_shards_are_refused(tmp_path, change, word):
    refused(damaged(tmp_path, change), word)


def test_a_file_that_is_cut_after_it_was_opened_is_refused(tmp_path):
    reader = fastnet.data.source(npy_files(tmp_path)).reader
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-8])
    check(reader.read(0, N - 1), np.arange(N - 1), "the rows before the cut")
    refused(lambda: reader.read(N - 2, N), "x.npy ends before row 57")


@pytest.mark.parametrize(
    ("data", "options", "word"),
    [
        ((X, Y[:3]), {}, "expected as many rows in both"),
        ((X, Y), {"labels": Y}, "leave out labels"),
        ((X, Y), {"label_column": "a"}, "label_column is for a table"),
        (5, {}, "source takes a path, arrays"),
        ("no such file.npy", {}, "there is no file"),
    ],
)
def test_wrong_arguments_are_refused(data, options, word):
    with pytest.raises((ValueError, TypeError, FastnetError), match=word):
        fastnet.data.source(data, **options)


def test_files_that_are_no_sources_are_refused(write, tmp_path):
    refused(lambda: fastnet.data.source(write("x.csv", b"a,b\n1,2\n")), "convert it with fastnet convert first")
    (tmp_path / "empty").mkdir()
    refused(lambda: fastnet.data.source(tmp_path / "empty"), "is no source (nothing)")
