"""`convert`: shards hold what `load` holds, the folder appears complete or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_cases import refused
from pairwise import cover
from pyarrow import feather

import fastnet
from fastnet.data import arrow_tables, csv_tables, plain_csv
from fastnet.data.sources import shard_writer
from fastnet.data.split import OF_FILES, split_rows
from fastnet.errors import DataError

N = 300
RNG = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {
        "a": RNG.normal(size=N),
        "whole": RNG.integers(0, 50, N),
        "gaps": np.where(RNG.random(N) < 0.2, np.nan, RNG.normal(size=N)),
        "city": RNG.choice(["Oslo", "Rome", "Æbeltoft"], N),
        "flag": RNG.random(N) < 0.5,
        "kind": RNG.choice(["x", "y", "z"], N),
        "value": RNG.normal(size=N) * 100,
        "late": ["7"] * (N - 1) + ["seven"],
    }
)


def table(folder: Path, kind: str, frame: pd.DataFrame = FRAME) -> Path:
    """Write a frame as a file, or as a folder of files."""
    path = folder / f"table.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path, index=False, row_group_size=70)
    elif kind == "feather":
        feather.write_feather(frame, path, chunksize=70)
    else:
        path.mkdir()
        for k in (0, 1):
            frame[k * 200 : (k + 1) * 200].to_parquet(path / f"{k}.parquet", index=False)
    return path


KINDS = ("csv", "parquet", "feather", "files")
TARGETS = ("kind", "value", "whole", "flag", "late")
CASES = cover(KINDS, TARGETS, (64, 1 << 20), (None, 37, N), (None, "float32"), (False, True))


@pytest.mark.parametrize(("kind", "target", "block_cells", "rows_per_shard", "dtype", "impute"), CASES)
def test_shards_hold_what_load_holds(tmp_path, monkeypatch, kind, target, block_cells, rows_per_shard, dtype, impute):
    for module in (csv_tables, arrow_tables):
        monkeypatch.setattr(module, "_BLOCK_CELLS", block_cells)
    path, out = table(tmp_path, kind), tmp_path / "out.npy"
    options = {
        "label_column": target,
        "task": "regression" if target == "value" else None,
        "categorical": ["city"],
        "drop": [name for name in ("kind", "late", *["gaps"] * (not impute)) if name != target],
        "impute": impute,
    }
    wanted = fastnet.data.load(path, test_fraction=0, **options)
    done = fastnet.data.convert(path, out, **options, rows_per_shard=rows_per_shard, dtype=dtype)
    assert (done.n_train, done.n_test, done.n_shards) == (N, 0, -(-N // (rows_per_shard or N)))
    assert done.schema == wanted.schema
    found = fastnet.data.load(out, test_fraction=0)  # in the same order
    np.testing.assert_array_equal(found.x_train, wanted.x_train.astype(done.dtype))
    wanted_y = wanted.y_train.astype(done.dtype) if target == "value" else wanted.y_train
    np.testing.assert_array_equal(found.y_train, wanted_y)
    assert (found.task, found.schema) == (wanted.task, wanted.schema)
    block = fastnet.data.source(out).reader.read(0, N)
    order = split_rows(block.y, 0, OF_FILES)[0]
    np.testing.assert_array_equal(block.x[order], found.x_train)


@pytest.mark.parametrize("block_cells", [64, 1 << 20])
def test_test_rows_are_drawn_by_their_numbers(tmp_path, monkeypatch, block_cells):
    monkeypatch.setattr(csv_tables, "_BLOCK_CELLS", block_cells)
    frame = pd.DataFrame({"row": np.arange(5000.0), "label": np.arange(5000) % 3})
    path = table(tmp_path, "csv", frame)
    done = fastnet.data.convert(path, tmp_path / "out.npy", test_fraction=0.2, rows_per_shard=700)
    data = fastnet.data.load(tmp_path / "out.npy")
    assert (len(data.x_train), len(data.x_test)) == (done.n_train, done.n_test)
    assert not data.is_held_out
    assert abs(done.n_test - 1000) < 4 * np.sqrt(5000 * 0.2 * 0.8)
    rows = data.x_test.ravel().astype(int).tolist()
    assert sorted([*rows, *data.x_train.ravel().astype(int).tolist()]) == list(range(5000))
    assert rows[:5] == [1, 5, 18, 22, 24]  # the same on every machine


def test_medians_are_those_of_the_training_rows(tmp_path):
    values = np.arange(1000.0)
    frame = pd.DataFrame({"a": np.where(np.arange(1000) == 500, np.nan, values), "label": np.arange(1000) % 2})
    done = fastnet.data.convert(table(tmp_path, "csv", frame), tmp_path / "out.npy", impute=True, test_fraction=0.3)
    data = fastnet.data.load(tmp_path / "out.npy")
    (column,) = done.schema.columns
    train = data.x_train.ravel()
    assert column.fill == np.median(train[train != column.fill]) or column.fill in train
    assert column.fill == np.median(np.delete(train, np.flatnonzero(train == column.fill)[-1:]))


def test_a_table_of_categories_has_no_medians(tmp_path):
    path = table(tmp_path, "csv", FRAME[["city", "kind"]])
    done = fastnet.data.convert(path, tmp_path / "out.npy", categorical=["city"], impute=True)
    assert done.schema == fastnet.data.load(path, categorical=["city"], impute=True, test_fraction=0).schema


def test_other_data_are_converted_as_load_reads_them(tmp_path):
    x, y = RNG.integers(0, 256, (90, 16)).astype(np.uint8), np.arange(90) % 3
    np.savez_compressed(tmp_path / "x.npz", x=x, y=y)
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    np.save(tmp_path / "y.npy", y)
    for name, labels in (("x.npz", None), ("x.npy", tmp_path / "y.npy")):
        out = tmp_path / f"{name}.shards"
        done = fastnet.data.convert(tmp_path / name, out, labels=labels, test_fraction=0.2)
        found, wanted = fastnet.data.load(out), fastnet.data.load(tmp_path / name, labels=labels)
        assert (done.n_train, done.n_test, done.dtype) == (72, 18, "uint8")
        for part in ("x_train", "y_train", "x_test", "y_test", "image_shape", "class_names"):
            np.testing.assert_array_equal(getattr(found, part), getattr(wanted, part))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "the columns city, kind have text ('city' has"),
        ({"drop": ["kind", "late", "city"]}, "has 79 missing values (79 in gaps): fill gaps with impute"),
        ({"categorical": ["city"], "drop": ["kind"], "impute": True}, "the column late has text ('seven' in row 300)"),
        ({"label_column": "gaps"}, "column gaps has"),
        ({"label_column": "none"}, "has no column none"),
    ],
)
def test_what_load_refuses_is_refused_and_leaves_nothing(tmp_path, monkeypatch, options, words):
    monkeypatch.setattr(csv_tables, "_BLOCK_CELLS", 64)
    path = table(tmp_path, "csv")
    message = refused(
        lambda: fastnet.data.convert(path, tmp_path / "out.npy", **{"label_column": "value", **options}), peak=9 << 20
    )
    assert words in message
    assert sorted(file.name for file in tmp_path.iterdir()) == ["table.csv"]


def test_the_folder_is_complete_or_not_there(tmp_path, monkeypatch):
    path = table(tmp_path, "csv")
    options = {"label_column": "kind", "drop": ["late", "gaps", "city"], "rows_per_shard": 100}
    (tmp_path / "empty").mkdir()
    fastnet.data.convert(path, tmp_path / "empty", **options)
    with pytest.raises(DataError, match="is not empty: give the name of a new folder"):
        fastnet.data.convert(path, tmp_path / "empty", **options)
    with pytest.raises(DataError, match="there is a file of this name"):
        fastnet.data.convert(path, path, **options)
    save = np.save
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        calls: list[int] = []

        def failing(file, array, calls=calls, error=error):
            calls.append(1)
            if len(calls) == 4:
                raise error
            save(file, array)

        monkeypatch.setattr(shard_writer.np, "save", failing)
        with pytest.raises((DataError, KeyboardInterrupt)):
            fastnet.data.convert(path, tmp_path / "new", **options)
        assert len(calls) == 4
        assert sorted(file.name for file in tmp_path.iterdir()) == ["empty", "table.csv"]
    monkeypatch.undo()


def test_what_a_killed_conversion_leaves_is_removed_by_the_next(tmp_path):
    path = table(tmp_path, "csv")
    program = (
        "import os, signal, sys, fastnet; from fastnet.data.sources import shard_writer as w; "
        "w.ShardWriter.close = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        "fastnet.data.convert(sys.argv[1], sys.argv[2], label_column='kind', drop=['late', 'gaps', 'city'])"
    )
    killed = subprocess.run([sys.executable, "-c", program, path, tmp_path / "out"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert any(name.startswith(".fastnet-") for name in os.listdir(tmp_path))
    fastnet.data.convert(path, tmp_path / "out", label_column="kind", drop=["late", "gaps", "city"])
    assert sorted(os.listdir(tmp_path)) == ["out", "table.csv"]


def test_a_conversion_takes_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_csv, "_CHUNK", 1 << 16)
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20_000, 20)).round(3)).assign(label=1)
    frame.loc[::2, "label"] = 0
    path = table(tmp_path, "csv", frame)
    tracemalloc.start()
    fastnet.data.convert(path, tmp_path / "out", rows_per_shard=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 << 20 < frame.size * 8
