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

SCHEMA = fastnet.data.Schema(class_names=("no", "yes"))


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


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_the_test_rows_do_not_depend_on_numbers_drawn_with_a_common_seed(tmp_path, seed):
    x = np.random.default_rng(seed).uniform(size=(500, 1))
    data = fastnet.data.load(save(tmp_path, x=x, y=np.arange(500) % 2))
    assert abs(data.x_test.mean() - x.mean()) < 0.12  # four standard errors of a mean of 100 numbers


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
def test_floats_become_float32(tmp_path, dtype):
    data = fastnet.data.load(save(tmp_path, x=(X / 255).astype(dtype), y=Y.astype(float)[:, None]))
    assert data.x_train.dtype == np.float32
    assert data.x_train.flags.c_contiguous
    assert data.image_shape is None


@pytest.mark.parametrize(("x", "y"), [("X", "y"), ("data", "target"), ("X_train", "y_train")])
def test_other_names_of_arrays(tmp_path, x, y):
    names = {"feature_names": np.array(["a", "b"]), "target_names": np.array(["no", "yes"])}
    path = save(tmp_path, **{x: X[:, :2] / 255, y: Y % 2}, **names)
    data = fastnet.data.load(path, test_fraction=0.5)
    assert (data.feature_names, data.class_names, data.task) == (("a", "b"), ("no", "yes"), "classification")
    assert data.schema == fastnet.data.Schema(
        tuple(map(fastnet.data.Column, "ab")), class_names=("no", "yes"), test_fraction=0.5
    )
    with pytest.raises(DataError, match=f"{x} has 50 examples but labels"):
        fastnet.data.load(save(tmp_path, **{x: X, y: Y[1:]}))
    more = np.array(["no", "yes", "perhaps"])  # a class may have no example
    assert fastnet.data.load(save(tmp_path, x=X, y=Y % 2, target_names=more)).class_names == ("no", "yes", "perhaps")
    with pytest.raises(DataError, match="names 3 classes, but its labels have 5"):
        fastnet.data.load(save(tmp_path, x=X, y=Y, target_names=more))
    for wrong in (np.array(["a"]), np.array(["a", "a"]), np.array([1, 2])):
        with pytest.raises(DataError, match="feature_names"):
            fastnet.data.load(save(tmp_path, x=X[:, :2], y=Y, feature_names=wrong))


def test_numbers_to_predict(tmp_path):
    y = np.linspace(0.5, 9, 50)
    with pytest.raises(DataError, match="renumber them, or give task='regression' to predict numbers"):
        fastnet.data.load(save(tmp_path, x=X, y=y))
    data = fastnet.data.load(save(tmp_path, x=X, y=y), task="regression", test_fraction=0.5)
    assert (data.task, data.class_names, data.y_train.dtype, data.y_train.shape) == (
        "regression",
        (),
        np.float64,
        (25, 1),
    )
    assert sorted([*data.y_train[:, 0], *data.y_test[:, 0]]) == y.tolist()
    again = fastnet.data.load(save(tmp_path, x=X, y=y), schema=data.schema, test_fraction=1)
    np.testing.assert_array_equal(again.y_test[:, 0], y)
    np.testing.assert_array_equal(again.x_test, X)
    with pytest.raises(DataError, match=r"y, row 50: the number is missing"):
        fastnet.data.load(save(tmp_path, x=X, y=np.append(y[:-1], np.nan)), task="regression")


def test_many_labels_need_a_task(tmp_path):
    x, y = np.ones((101, 2)), np.arange(101)
    with pytest.raises(DataError, match="y has 101 different labels: give task='regression'"):
        fastnet.data.load(save(tmp_path, x=x, y=y))
    assert len(fastnet.data.load(save(tmp_path, x=x, y=y), task="classification").class_names) == 101
    assert len(fastnet.data.load(save(tmp_path, x=x[1:], y=y[:-1])).class_names) == 100


def test_several_labels(tmp_path):
    y = np.column_stack([Y > 1, Y > 2, Y > 3])
    data = fastnet.data.load(save(tmp_path, x=X / 255, y=y, class_names=np.array(list("abc"))), task="multilabel")
    assert (data.task, data.class_names) == ("multilabel", ("a", "b", "c"))
    assert (data.y_train.shape, data.y_test.shape, set(data.y_test.ravel())) == ((40, 3), (10, 3), {0.0, 1.0})
    assert fastnet.data.load(save(tmp_path, x=X / 255, y=y), schema=data.schema).task == "multilabel"
    with pytest.raises(DataError, match="labels are 0 or 1"):
        fastnet.data.load(save(tmp_path, x=X, y=y + 1), task="multilabel")


def test_labels_of_text_are_classes(tmp_path):
    kinds = np.array(["cat", "bird", "dog", "emu", "fox"])
    path = save(tmp_path, x_train=X, y_train=kinds[Y], x_test=X[:9], y_test=kinds[Y[:9], None])
    data = fastnet.data.load(path)
    assert data.class_names == data.schema.class_names == ("bird", "cat", "dog", "emu", "fox")
    for y, expected in ((data.y_train, Y), (data.y_test, Y[:9])):
        assert np.array(data.class_names)[y].tolist() == kinds[expected].tolist()
    again = fastnet.data.load(save(tmp_path, X=X, y=kinds[Y % 2]), schema=data.schema, test_fraction=1)
    assert again.y_test.tolist() == (1 - Y % 2).tolist()
    with pytest.raises(DataError, match=r"mine.npz, y, row 3: 'pig' is not among the network's classes \(bird, cat"):
        fastnet.data.load(save(tmp_path, X=X, y=np.array(["cat", "dog", *["pig"] * 48])), schema=data.schema)
    with pytest.raises(DataError, match="y holds text; a regression needs numbers"):
        fastnet.data.load(save(tmp_path, X=X, y=kinds[Y]), task="regression")
    np.save(tmp_path / "y.npy", kinds[Y])
    np.save(tmp_path / "x.npy", X)
    data = fastnet.data.load(tmp_path / "x.npy", labels=tmp_path / "y.npy", test_fraction=0)
    assert data.class_names[data.y_train[0]] in kinds


def test_a_schema_checks_arrays(tmp_path):
    path = save(tmp_path, x=X, y=Y % 2, feature_names=np.array([f"f{k}" for k in range(16)]))
    schema = fastnet.data.load(path).schema
    assert schema.pixels
    np.testing.assert_array_equal(fastnet.data.read_inputs(path, schema, 16), X)
    with pytest.raises(DataError, match=r"its feature_names .* are not those of the network"):
        fastnet.data.load(save(tmp_path, x=X, y=Y % 2, feature_names=np.array([*"abcdefghijklmnop"])), schema=schema)
    with pytest.raises(DataError, match="its feature_names"):
        fastnet.data.read_inputs(save(tmp_path, x=X, feature_names=np.array([*"abcdefghijklmnop"])), schema, 16)
    with pytest.raises(DataError, match="the largest label is 4, but the network has 2 classes"):
        fastnet.data.load(save(tmp_path, x=X, y=Y), schema=schema)


def test_whole_numbers_become_pixels_on_request(tmp_path):
    data = fastnet.data.load(save(tmp_path, x=X.astype(int), y=Y), pixels=True)
    assert (data.x_train.dtype, data.image_shape, data.schema.pixels) == (np.uint8, (4, 4), True)
    for x in (X / 255, X.astype(int) + 1):
        with pytest.raises(DataError, match="but pixels are whole numbers from 0 to 255"):
            fastnet.data.load(save(tmp_path, x=x, y=Y), pixels=True)


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
        ({"x": X, "y": Y.astype(str)[:-1]}, "50 examples but labels of shape"),
        ({"x": X, "y": Y.astype(object)}, "text with .astype(str)"),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y.astype(str)}, "hold text and numbers: make the labels alike"),
        ({"x": X.astype(int), "y": Y}, "astype('uint8') if they are pixels"),
        ({"x": X.astype(int) - 256, "y": Y}, "astype('float32')"),
        ({"x": X > 3, "y": Y}, "holds bool"),
        ({"x": BAD, "y": Y}, "nan, inf or numbers beyond float32 in 1 of 50 examples, the first in row 4"),
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
        ("x.parquet", b"PAR1\x15", ("x.parquet is corrupt or cannot be read",)),
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


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"test_fraction": "a"}, TypeError, "test_fraction must be a number, not 'a'"),
        ({"test_fraction": 1}, ValueError, "test_fraction must be from 0 to below 1, not 1"),
        ({"label_column": 1.5}, TypeError, "label_column must be a whole number, not 1.5"),
        ({"label_column": -1}, ValueError, "label_column must be at least 0, not -1"),
        (
            {"task": "regresion"},
            ValueError,
            "unknown task 'regresion'; there are classification, regression, multilabel; did you mean 'regression'?",
        ),
        ({"drop": "a"}, TypeError, "drop must be a list of names, not 'a'"),
        ({"categorical": [1]}, TypeError, "categorical must hold names, not 1"),
        ({"impute": 1}, TypeError, "impute must be True or False, not 1"),
        ({"pixels": True, "impute": True}, ValueError, "pixels are whole numbers: leave out impute"),
        ({"schema": "a"}, TypeError, "schema must be a fastnet.data.Schema, not str"),
        ({"schema": SCHEMA, "drop": ["a"]}, ValueError, "the schema says how to read the columns: leave out drop"),
        (
            {"schema": SCHEMA, "pixels": True},
            ValueError,
            "the network was trained on numbers as they are, not on pixels: leave out pixels",
        ),
        (
            {"schema": SCHEMA, "task": "regression"},
            ValueError,
            "the schema has 2 classes, so task='regression' does not fit: leave it out",
        ),
        ({"schema": SCHEMA, "test_fraction": 1.5}, ValueError, "test_fraction must be from 0 to below 1, not 1.5"),
        ({"download": "no"}, TypeError, "download must be True or False, not 'no'"),
        ({"progress": 3}, TypeError, "progress must be a function of three arguments, or None, not 3"),
    ],
)
def test_unfit_arguments_are_refused(tmp_path, arguments, error, words):
    with pytest.raises(error, match=f"^{re.escape(words)}$"):
        fastnet.data.load(save(tmp_path, x=X, y=Y), **arguments)
