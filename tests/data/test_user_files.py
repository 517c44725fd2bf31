"""The user's own data are read and split, or refused."""

from __future__ import annotations

import gzip
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_cases import STEMS, X, Y, idx, put

import fastnet
from fastnet.data.split import hold_out
from fastnet.errors import DataError

# ---- the user's own data


def save(tmp_path: Path, **arrays: object) -> Path:
    np.savez(tmp_path / "mine.npz", **arrays)
    return tmp_path / "mine.npz"


def test_npz_with_both_parts(tmp_path):
    path = save(tmp_path, x_train=X, y_train=Y, x_test=X[:10], y_test=Y[:10].astype(np.uint8))
    data = fastnet.data.load(str(path))
    np.testing.assert_array_equal(data.x_train, X)
    np.testing.assert_array_equal(data.y_train, Y)
    np.testing.assert_array_equal(data.x_test, X[:10])
    assert data.y_test.dtype == np.int64
    assert data.name == str(path)
    assert data.class_names == ("0", "1", "2", "3", "4")
    assert data.image_shape == (4, 4)
    assert "50 to train, 10 to test, 16 inputs, 5 classes" in repr(data)


@pytest.mark.parametrize("keys", [("x", "y"), ("x_train", "y_train")])
def test_a_test_part_is_held_out(tmp_path, keys):
    path = save(tmp_path, **dict(zip(keys, (X, Y), strict=True)))
    data = fastnet.data.load(path)
    assert (len(data.x_train), len(data.x_test)) == (40, 10)
    assert np.bincount(data.y_test).tolist() == [2] * 5
    rows = np.concatenate([data.x_train, data.x_test])
    both = {(row.tobytes(), label) for row, label in zip(X, Y, strict=True)}
    labels = np.concatenate([data.y_train, data.y_test])
    assert {(row.tobytes(), label) for row, label in zip(rows, labels, strict=True)} == both
    np.testing.assert_array_equal(fastnet.data.load(path).x_test, data.x_test)
    assert len(fastnet.data.load(path, test_fraction=0.5).x_test) == 25
    assert fastnet.data.load(path, test_fraction=0).x_test.shape == (0, 16)


@pytest.mark.parametrize("counts", [(1,), (1, 1, 1), (2, 2, 2, 2, 2), (100, 1, 0, 3), (7, 13, 29)])
def test_hold_out_is_exact_and_keeps_every_class(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(len(y))[:, None]
    x_train, y_train, x_test, y_test = hold_out(x, y, 0.2)
    assert sorted([*x_train.ravel(), *x_test.ravel()]) == list(range(len(y)))
    np.testing.assert_array_equal(y[x_train.ravel()], y_train)
    np.testing.assert_array_equal(y[x_test.ravel()], y_test)
    assert set(y_train) == set(y)
    if max(counts) > 1:
        assert abs(len(y_test) - 0.2 * len(y)) <= 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
def test_floats_become_float32(tmp_path, dtype):
    data = fastnet.data.load(save(tmp_path, x=(X / 255).astype(dtype), y=Y.astype(float)[:, None]))
    assert data.x_train.dtype == np.float32
    assert data.x_train.flags.c_contiguous
    assert data.image_shape is None


def test_pictures_are_flattened(tmp_path):
    data = fastnet.data.load(save(tmp_path, x=np.asfortranarray(X.reshape(50, 8, 2)), y=Y), test_fraction=0)
    assert data.image_shape == (8, 2)
    assert data.x_train.flags.c_contiguous
    fortran = np.asfortranarray(X)
    data = fastnet.data.load(save(tmp_path, x_train=fortran, y_train=Y, x_test=fortran, y_test=Y))
    assert data.x_train.flags.c_contiguous
    assert {row.tobytes() for row in data.x_train} == {row.tobytes() for row in X}


BAD = X / 255
BAD[3, 3] = np.nan


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"x": X}, "has no y"),
        ({"a": X, "b": Y}, "it has a, b"),
        ({"x": X, "y": Y, "x_test": X}, "has no y_test"),
        ({"x": X, "y": Y[:-1]}, "50 examples but labels of shape"),
        ({"x": X, "y": np.eye(5)[Y]}, "argmax"),
        ({"x": X, "y": Y + 0.5}, "mine.npz, y: labels must be whole numbers"),
        ({"x": X, "y": Y - 1}, "whole numbers"),
        ({"x": X, "y": np.full(50, 10**12)}, "whole numbers"),
        ({"x": X, "y": np.full(50, np.inf)}, "whole numbers"),
        ({"x": X, "y": np.where(Y, np.nan, 0)}, "whole numbers"),
        ({"x": X, "y": Y.astype(str)}, "whole numbers"),
        ({"x": X.astype(int), "y": Y}, "astype('uint8') if they are pixels"),
        ({"x": X.astype(int) - 256, "y": Y}, "astype('float32')"),
        ({"x": X > 3, "y": Y}, "holds bool"),
        ({"x": BAD, "y": Y}, "nan, inf or numbers beyond float32 in 1 of 50 examples, the first in example 3"),
        ({"x": np.full((50, 2), -np.inf), "y": Y}, "nan, inf"),
        ({"x": np.full((50, 2), 1e300), "y": Y}, "nan, inf"),
        ({"x": X[:0], "y": Y[:0]}, "shape (0, 16)"),
        ({"x": X[:, :0], "y": Y}, "shape (50, 0)"),
        ({"x": X[:, 0], "y": Y}, "shape (50,)"),
        ({"x": X.reshape(50, 2, 2, 4), "y": Y}, "shape (50, 2, 2, 4)"),
        ({"x": X, "y": Y, "x_test": X[:, 1:], "y_test": Y}, "make them alike"),
        ({"x": X, "y": Y, "x_test": X / 2, "y_test": Y}, "make them alike"),
    ],
)
def test_unusable_arrays_are_refused(tmp_path, arrays, word):
    path = save(tmp_path, **arrays)
    with pytest.raises(DataError) as caught:
        fastnet.data.load(path)
    assert str(path) in str(caught.value)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("array", [np.array(["a"]), X[:0].astype(np.float32)], ids=["text", "empty"])
def test_the_name_of_a_table_without_a_path_is_refused(tmp_path, array):
    for name, content in (("x.csv", array), ("y.npy", Y)):
        with open(tmp_path / name, "wb") as file:
            np.save(file, content)
    with pytest.raises(DataError, match=r"x\.csv"):
        fastnet.data.load(tmp_path / "x.csv", labels=tmp_path / "y.npy")


@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_folder_of_idx_files(small, tmp_path, spelling, packed):
    content = {stem.replace("-idx", spelling): data for stem, data in small.items()}
    folder = put(tmp_path / "mine", content, packed)
    data = fastnet.data.load(folder)
    assert data.x_train.tobytes() == small[STEMS[0]][16:]
    assert data.y_test.tolist() == list(small[STEMS[3]][8:])
    assert data.image_shape == (28, 28)
    for stem in content:
        if stem.startswith("t10k"):
            (folder / (f"{stem}.gz" if packed else stem)).unlink()
    assert len(fastnet.data.load(folder).x_test) == 8
    with pytest.raises(DataError, match="holds no data"):
        fastnet.data.load(tmp_path)


@pytest.mark.parametrize("kind", ["idx", "npy"])
def test_file_of_examples_and_file_of_labels(tmp_path, kind):
    if kind == "idx":
        (tmp_path / "x").write_bytes(idx(X.reshape(50, 4, 4)))
        (tmp_path / "y").write_bytes(gzip.compress(idx(Y.astype(np.uint8))))
        x, y = tmp_path / "x", tmp_path / "y"
    else:
        x, y = tmp_path / "x.npy", tmp_path / "y.npy"
        np.save(x, X)
        np.save(y, Y)
    data = fastnet.data.load(x, labels=y)
    assert (data.x_train.shape, data.image_shape) == ((40, 16), (4, 4))
    with pytest.raises(DataError, match="holds no labels"):
        fastnet.data.load(x)
    with pytest.raises(DataError, match="there is no file"):
        fastnet.data.load(x, labels=tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.xlsx", b"PK", ("which is not an array", "save a spreadsheet as CSV")),
        ("x.parquet", b"PAR1\x15", ("has no known format; expected IDX", "save a table as CSV")),
        ("x.csv.gz", b"\x1f\x8b", ("is a compressed table: unpack it first",)),
        ("x.json", b'[{"a": 1}]', ("has no known format; expected IDX", "save a table as CSV")),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, name, content, words):
    path = tmp_path / name
    if content == b"PK":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("xl/workbook.xml", "<workbook/>")
    else:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        fastnet.data.load(path)
    assert all(word in str(caught.value) for word in (name, *words))


def write_csv(path: Path, header: str, table: np.ndarray) -> Path:
    lines = [header] if header else []
    path.write_text("\n".join(lines + [",".join(map(str, row)) for row in table.tolist()]))
    return path


@pytest.mark.parametrize(
    ("header", "column", "position"),
    [
        ("a,b,c", None, 2),
        ("", None, 2),
        ("Label,b,c", None, 0),
        ("a,y,target", None, 2),
        ("y,b,class", None, 2),
        ("a,y,c", None, 1),
        ("a,b,class", "b", 1),
        ("a,b,class", 0, 0),
        ("", "1", 1),
    ],
)
def test_csv_label_column(tmp_path, header, column, position):
    table = np.stack([Y, Y + 5, Y + 10], axis=1)
    data = fastnet.data.load(write_csv(tmp_path / "x.csv", header, table), label_column=column)
    assert data.y_train.min() == 5 * position
    assert data.x_train.dtype == np.float32
    assert data.x_train.shape == (40, 2)
    assert data.x_train.flags.c_contiguous


def test_csv_of_pixels_becomes_bytes(tmp_path):
    x = (np.arange(50 * 16) % 256).reshape(50, 16)
    data = fastnet.data.load(write_csv(tmp_path / "x.csv", "", np.column_stack([x, Y])))
    assert data.x_train.dtype == np.uint8
    assert data.image_shape == (4, 4)
    for other in (x / 2, x % 100, x * 2, x - 1):
        data = fastnet.data.load(write_csv(tmp_path / "x.csv", "", np.column_stack([other, Y])))
        assert data.x_train.dtype == np.float32


@pytest.mark.parametrize("label", [3.0, np.inf])
@pytest.mark.parametrize(("header", "column"), [("", r"16 \(counted from 0\)"), ("x," * 16 + "b", "b")])
def test_a_table_whose_labels_are_all_one_is_refused(tmp_path, label, header, column):
    path = write_csv(tmp_path / "x.csv", header, np.column_stack([X, np.full(50, label)]))
    with pytest.raises(DataError, match=f"all labels in column {column} are the same: give the right column"):
        fastnet.data.load(path)


def test_unusable_csv_is_refused(tmp_path):
    path = write_csv(tmp_path / "x.csv", "a,b", np.stack([Y, Y + 0.5], axis=1))
    with pytest.raises(DataError, match=r"x\.csv, column b: labels must be whole numbers"):
        fastnet.data.load(path)
    with pytest.raises(DataError, match=r"no column c \(a, b\)"):
        fastnet.data.load(path, label_column="c")
    with pytest.raises(DataError, match="no column 2"):
        fastnet.data.load(path, label_column=2)
    with pytest.raises(DataError, match="one column"):
        fastnet.data.load(write_csv(tmp_path / "x.csv", "a", Y[:, None]))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"test_fraction": "a"}, TypeError, "test_fraction must be a number, not 'a'"),
        ({"test_fraction": 1}, ValueError, "test_fraction must be from 0 to below 1, not 1"),
        ({"label_column": 1.5}, TypeError, "label_column must be a whole number, not 1.5"),
        ({"label_column": -1}, ValueError, "label_column must be at least 0, not -1"),
        ({"download": "no"}, TypeError, "download must be True or False, not 'no'"),
        ({"progress": 3}, TypeError, "progress must be a function of three arguments, or None, not 3"),
    ],
)
def test_unfit_arguments_are_refused(tmp_path, arguments, error, words):
    path = write_csv(tmp_path / "x.csv", "", np.column_stack([X, Y]))
    with pytest.raises(error, match=f"^{re.escape(words)}$"):
        fastnet.data.load(path, **arguments)
