"""Tables become data sets: the target, the task, columns, gaps, pixels, and reading as a network was trained."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from data_cases import X, Y

import fastnet
from fastnet.data import Column, Schema
from fastnet.errors import DataError


def write(folder: Path, text: str, name: str = "x.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def write_rows(folder: Path, header: str, *columns: object) -> Path:
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    return write(folder, "\n".join([*([header] if header else []), *rows]))


def refusal(path: Path, **arguments: object) -> str:
    with pytest.raises(DataError) as caught:
        fastnet.data.load(path, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "x.csv")


def rows_of(data: fastnet.data.Dataset) -> list[tuple[float, ...]]:
    x, y = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    return sorted(map(tuple, np.column_stack([x, y]).tolist()))


# ---- the target


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
        ("", 1, 1),
        ("", "column 2", 1),
    ],
)
def test_the_column_to_predict(tmp_path, header, column, position):
    columns = [Y, Y + 5, Y + 10]
    data = fastnet.data.load(write_rows(tmp_path, header, *columns), label_column=column)
    assert data.class_names == tuple(map(str, sorted(set(columns[position].tolist()))))
    assert (data.x_train.dtype, data.x_train.shape, data.x_train.flags.c_contiguous) == (np.float64, (40, 2), True)
    names = header.split(",") if header else ["column 1", "column 2", "column 3"]
    assert data.schema.target == names.pop(position)
    assert data.feature_names == tuple(names)


@pytest.mark.parametrize(
    ("values", "task", "names"),
    [
        (["b", "a", "c"], "classification", ("a", "b", "c")),
        (["true", "false", "true"], "classification", ("False", "True")),
        ([3, 1, 2], "classification", ("1", "2", "3")),
        ([-1, 1, 10], "classification", ("-1", "1", "10")),
        ([0.0, 1.0, 2.0], "classification", ("0", "1", "2")),
        ([0.5, 1, 2], "regression", ()),
        ([float(k) for k in range(20)], "classification", tuple(map(str, range(20)))),
        ([float(k) for k in range(21)], "regression", ()),
        (list(range(100)), "classification", tuple(map(str, range(100)))),
    ],
)
def test_the_values_tell_the_task(tmp_path, values, task, names):
    data = fastnet.data.load(write_rows(tmp_path, "a,b", range(2 * len(values)), values * 2), test_fraction=0)
    assert (data.task, data.class_names) == (task, names)
    assert data.y_train.dtype == (np.int64 if names else np.float64)
    order = np.argsort(data.x_train[:, 0])
    if names:
        got = [names[k] for k in data.y_train[order][: len(values)]]
        assert [name.lower() for name in got] == [str(v).lower().removesuffix(".0") for v in values]
    else:
        assert data.y_train[order][: len(values)].tolist() == [[v] for v in values]


def test_many_different_labels_need_a_task(tmp_path):
    path = write_rows(tmp_path, "a,price", range(101), range(101))
    assert refusal(path) == (
        "x.csv, column price has 101 different labels: give task='regression' to predict numbers, or "
        "task='classification' if they are classes"
    )
    data = fastnet.data.load(path, task="regression")
    assert (data.y_train.shape, data.y_test.shape, data.y_train.dtype) == ((81, 1), (20, 1), np.float64)
    assert rows_of(data) == [(k, k) for k in range(101)]
    assert len(fastnet.data.load(path, task="classification").class_names) == 101
    names = write_rows(tmp_path, "a,name", range(101), [f"n{k}" for k in range(101)])
    assert "column name has 101 different labels: give another column as label_column" in refusal(names)
    assert "holds text; a regression needs numbers" in refusal(names, task="regression")
    assert "task='multilabel' needs an NPZ file" in refusal(path, task="multilabel")


@pytest.mark.parametrize("label", ["3", "inf", "x"])
def test_a_column_of_equal_labels_is_refused(tmp_path, label):
    path = write_rows(tmp_path, "", Y, [label] * 50)
    assert "all labels in column 2 are the same: give the right column as label_column" in refusal(path)


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (
            "a,b,c\n1,2,x\n3,4,y\n",
            {"label_column": "name"},
            "x.csv has no column name (a, b, c): give one of these as label",
        ),
        ("age,b\n1,2\n3,4\n", {"label_column": "Agee"}, "x.csv has no column Agee; did you mean 'age'?"),
        ("a,b\n1,2\n3,4\n", {"label_column": 2}, "x.csv has 2 columns, so it has no column 3"),
        ("a\n1\n2\n", {}, "x.csv has one column: expected inputs and labels in columns, with a comma, a semi"),
        ("a,b\n1,x\n2,\n3,?\n", {}, "column b has 2 missing values, the first in row 2; each row needs a label"),
        ("a,b,\n1,x,\n2,y,\n", {}, "x.csv, column 3 has no values at all: give another column as label_column"),
        ("a,b\n1,.5\n2,inf\n", {}, "column b, row 2: expected a number, not inf"),
        ("a,b,c\n1,2,x\n3,4,y\n", {"drop": ["d"]}, "x.csv has no column d (a, b, c): give one of these as drop"),
        ("a,b,c\n1,2,x\n3,4,y\n", {"categorical": ["c"]}, "categorical names c, the column of x.csv to predict"),
        ("a,b\n1,x\n3,y\n", {"drop": ["a"]}, "x.csv has no columns left to learn from: drop fewer"),
    ],
)
def test_an_unfit_choice_of_columns_is_refused(tmp_path, text, arguments, words):
    assert words in refusal(write(tmp_path, text), **arguments)


# ---- the columns

MIXED = "age,city,member,note,bought\n31,Oslo,true,x,no\n,Rome,false,y,yes\n27,Rome,,z,yes\n62,,true,w,no\n"


def test_text_is_refused_by_name_or_encoded_or_dropped(tmp_path):
    path = write(tmp_path, MIXED)
    assert refusal(path) == (
        "x.csv: the columns city, note have text ('city' has 'Oslo' in row 1); expected numbers: name text as "
        "categorical to one-hot encode it, or as drop to leave it out, or turn it into numbers"
    )
    assert refusal(path, categorical=["city"], drop=["note"]) == (
        "x.csv has 3 missing values (1 in age, 1 in city, 1 in member): fill gaps with impute, or drop the rows "
        "or columns"
    )
    data = fastnet.data.load(path, categorical=["city"], drop=["note"], impute=True, test_fraction=0)
    assert data.feature_names == ("age", "city=", "city=Oslo", "city=Rome", "member")
    expected = {(31, 0, 1, 0, 1, 0), (31, 0, 0, 1, 0, 1), (27, 0, 0, 1, 1, 1), (62, 1, 0, 0, 1, 0)}
    assert set(rows_of(data)) == expected


def test_the_first_eight_columns_with_gaps_are_named(tmp_path):
    header, gaps = ",".join("abcdefghijk"), "," * 10
    path = write(tmp_path, f"{header}\n{'1,' * 10}x\n{gaps}y\n{gaps}y\n")
    named = ", ".join(f"2 in {name}" for name in "abcdefgh")
    assert f"x.csv has 20 missing values ({named}, and some in 2 more columns)" in refusal(path)


def test_gaps_are_filled_with_the_median_of_the_training_rows(tmp_path):
    values = np.arange(50.0) ** 2
    cells = ["" if k % 7 == 0 else f"{value:g}" for k, value in enumerate(values)]
    data = fastnet.data.load(write_rows(tmp_path, "row,a,b", range(50), cells, Y), impute=True)
    in_training = data.x_train[:, 0].astype(int)
    known = [values[row] for row in in_training if row % 7]
    assert data.schema.columns[1].fill == np.median(known)
    for x in (data.x_train, data.x_test):
        for row, value in x.tolist():
            assert value == (values[int(row)] if row % 7 else np.median(known))


def test_a_number_among_the_categories(tmp_path):
    path = write_rows(tmp_path, "zip,b", ["01", "1", "02"] * 4, [0, 1, 2] * 4)
    data = fastnet.data.load(path, categorical=["zip"])
    assert data.schema.columns == (Column("zip", ("01", "02", "1")),)
    many = write_rows(tmp_path, "zip,b", range(51), [*Y.tolist(), 0])
    assert "the categorical column 'zip' has 51 different values; expected at most 50" in refusal(
        many, categorical=["zip"]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,c\n,1,x\n,2,y\n", "x.csv: the column a has no values at all: drop it"),
        ("a,c\n1,x\ninf,y\n", "x.csv, row 2, column 'a': expected a number, not inf"),
        ("a,c\n1,x\n-1e308,y\n", "row 2, column 'a': expected a number between -1e+300 and 1e+300, not -1e+308"),
        ("a,c\n1,x\n2..5,y\n3,x\n", "the column a has text ('2..5' in row 2)"),
        ("a;c\n1,5;x\n2,5;y\n", "write numbers such as 1234.5, without commas"),
    ],
)
def test_columns_that_are_not_inputs(tmp_path, text, words):
    assert words in refusal(write(tmp_path, text))


@pytest.mark.parametrize(("name", "first"), [("", 0), ("", 1), ("Unnamed: 0", 0)])
def test_the_row_labels_of_pandas_are_left_out(tmp_path, name, first):
    path = write_rows(tmp_path, f"{name},a,b", range(first, first + 50), range(50), Y)
    with pytest.warns(UserWarning, match="holds the row labels of pandas, so it is left out") as caught:
        data = fastnet.data.load(path)
    assert data.feature_names == ("a",)
    assert caught[0].filename == __file__
    named = write_rows(tmp_path, "id,a,b", range(50), range(50), Y)
    assert fastnet.data.load(named).feature_names == ("id", "a")
    uneven = write_rows(tmp_path, ",a,b", range(5, 55), range(50), Y)
    assert fastnet.data.load(uneven).feature_names == ("column 1", "a")


# ---- pixels


def test_only_the_caller_says_that_numbers_are_pixels(tmp_path):
    path = write_rows(tmp_path, "", *X.T.tolist(), Y)
    data = fastnet.data.load(path, pixels=True)
    assert (data.x_train.dtype, data.image_shape) == (np.uint8, (4, 4))
    assert data.schema == Schema((), "column 17", tuple("01234"), pixels=True, test_fraction=0.2)
    plain = fastnet.data.load(path)
    assert (plain.x_train.dtype, plain.image_shape, plain.schema.pixels) == (np.float64, None, False)
    np.testing.assert_array_equal(plain.x_train, data.x_train)
    for dark in (X // 4, X):  # the numbers of a file make no difference
        path = write_rows(tmp_path, "", *dark.T.tolist(), Y)
        assert fastnet.data.load(path, schema=data.schema).x_test.dtype == np.uint8
        assert fastnet.data.load(path, schema=plain.schema).x_test.dtype == np.float64
    bad = X.astype(float)
    for value in (-1, 256, 0.5, np.nan):
        bad[3, 2] = value
        found = refusal(write_rows(tmp_path, "", *bad.T.tolist(), Y), pixels=True)
        assert f"x.csv, row 4, column 'column 3': expected a pixel, a whole number from 0 to 255, not {value}" in found


# ---- as a network was trained


@pytest.fixture
def trained(tmp_path):
    return fastnet.data.load(
        write(tmp_path, MIXED), categorical=["city"], drop=["note"], impute=True, test_fraction=0.25
    )


def test_a_schema_reads_the_same_rows(tmp_path, trained):
    again = fastnet.data.load(tmp_path / "x.csv", schema=trained.schema, test_fraction=0.25)
    for part in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(again, part), getattr(trained, part))
    assert (again.schema, again.class_names, again.task) == (trained.schema, trained.class_names, "classification")


def test_a_schema_reads_other_files(tmp_path, trained):
    path = write(tmp_path, "extra,bought,member,city,age\n?,yes,0,Rome,\n?,yes,1,,4\n", "new.csv")
    data = fastnet.data.load(path, schema=trained.schema, test_fraction=1)
    fill = trained.schema.columns[0].fill
    assert data.x_test.tolist() == [[fill, 0, 0, 1, 0], [4, 1, 0, 0, 1]]
    assert (data.y_test.tolist(), data.x_train.shape, data.class_names) == ([1, 1], (0, 5), ("no", "yes"))
    assert len(fastnet.data.load(path, schema=trained.schema, test_fraction=0.5).x_test) == 1
    assert fastnet.data.read_inputs(path, trained.schema, 5).tolist() == data.x_test.tolist()
    without_labels = write(tmp_path, "city,age,member\nRome,,0\n,4,1\n", "new.csv")
    assert fastnet.data.read_inputs(without_labels, trained.schema, 5).tolist() == data.x_test.tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "age,city,bought\n1,Oslo,no\n",
            "x.csv has no column member, which the network takes; it has age, city, bought",
        ),
        (
            "age,city,members,bought\n1,Oslo,1,no\n",
            "no column member, which the network takes; did you mean 'members'?",
        ),
        ("city,bought\nOslo,no\n", "x.csv has no columns age, member, which the network takes"),
        ("age,city,member,bought\n1,Oslo,1,no\n1,Pisa,1,no\n", "row 2, column 'city': 'Pisa' is not among the values"),
        ("age,city,member,bought\n1,Oslo,1,no\n1,Rome,1,maybe\n", "column bought, row 2: 'maybe' is not among the"),
        ("age,city,member,bought\n1,Oslo,1,no\nx,Rome,1,no\n", "the column age has text ('x' in row 2)"),
        (
            "age,city,member,buys\n1,Oslo,1,no\n",
            "x.csv has no column bought, which the network predicts: give the right",
        ),
        ("1,Oslo,1,no\n2,Oslo,1,no\n", "x.csv has no header, but the network was trained on columns with names (age,"),
    ],
)
def test_a_table_that_does_not_fit_the_schema_is_refused(tmp_path, trained, text, words):
    assert words in refusal(write(tmp_path, text), schema=trained.schema)


def test_the_known_values_are_listed_with_a_missing_one_in_words(tmp_path):
    schema = Schema((Column("a", ("", "Bergen", "Oslo")),), "c", ("0", "1"))
    words = "'Rome' is not among the values that the network knows (Bergen, Oslo and a missing value)"
    assert words in refusal(write(tmp_path, "a,c\nRome,0\n"), schema=schema)


def test_gaps_without_a_fill_are_refused(tmp_path):
    schema = Schema((Column("a"), Column("b", ("x",))), "c", ("0", "1"))
    path = write(tmp_path, "a,b,c\n1,x,0\n,x,1\n2,?,1\n")
    assert refusal(path, schema=schema) == (
        "x.csv has 2 missing values (1 in a, 1 in b): the network has no value to fill in: fill the gaps or "
        "drop the rows"
    )


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_table_without_a_header_is_read_by_position(tmp_path, position):
    columns = [Y, Y + 5, Y + 10]
    path = write_rows(tmp_path, "", *columns)
    schema = fastnet.data.load(path, label_column=position).schema
    wanted = np.delete(np.column_stack(columns), position, axis=1)
    np.testing.assert_array_equal(fastnet.data.read_inputs(path, schema, 2), wanted)
    np.testing.assert_array_equal(fastnet.data.load(path, schema=schema, test_fraction=1).x_test, wanted)
    for header in ("", "a,b"):
        only_inputs = write_rows(tmp_path, header, *wanted.T)
        np.testing.assert_array_equal(fastnet.data.read_inputs(only_inputs, schema, 2), wanted)
    with_names = write_rows(tmp_path, "a,b,c", *columns)
    words = "has 3 columns with names (a, b, c), but the network was trained on a table without names, and takes 2"
    assert words in refusal(with_names, schema=schema, label_column="abc"[position])


def test_a_schema_without_columns_takes_all_in_order(tmp_path):
    path = write_rows(tmp_path, "label,a,b", Y % 2, Y, Y + 1)
    data = fastnet.data.load(path, schema=Schema(class_names=("0", "1", "2")), test_fraction=1)
    np.testing.assert_array_equal(data.x_test, np.column_stack([Y, Y + 1]))
    np.testing.assert_array_equal(data.y_test, Y % 2)
    np.testing.assert_array_equal(fastnet.data.read_inputs(path, None, 2), data.x_test)
    assert fastnet.data.read_inputs(path, None, 3).shape == (50, 3)
    with pytest.raises(DataError, match=r"x\.csv has 2 columns of inputs, but the network takes 1 inputs"):
        fastnet.data.read_inputs(path, None, 1)


def test_a_regression_is_read_as_it_was_trained(tmp_path):
    path = write_rows(tmp_path, "a,price", range(30), np.arange(30) + 0.5)
    data = fastnet.data.load(path)
    whole = write_rows(tmp_path, "price,a", range(5), range(5))  # alone, it would be a classification
    again = fastnet.data.load(whole, schema=data.schema, test_fraction=1)
    assert (again.task, again.y_test.tolist()) == ("regression", [[k] for k in range(5)])
    assert "holds text; a regression needs numbers" in refusal(
        write_rows(tmp_path, "price,a", "xyz", range(3)), schema=data.schema
    )


# ---- a table of inputs and a file of labels


def test_labels_in_a_file_of_their_own(tmp_path):
    path = write_rows(tmp_path, "a,b", Y, Y + 1)
    text = write(tmp_path, "\n".join(["species", *("xyz"[k % 3] for k in range(50))]), "labels.csv")
    data = fastnet.data.load(path, labels=text)
    assert (data.class_names, data.feature_names, data.schema.target) == (("x", "y", "z"), ("a", "b"), "")
    np.save(tmp_path / "labels.npy", Y)
    assert fastnet.data.load(path, labels=tmp_path / "labels.npy").class_names == tuple("01234")
    np.save(tmp_path / "x.npy", X)
    data = fastnet.data.load(tmp_path / "x.npy", labels=text)
    assert (data.class_names, data.x_train.dtype) == (("x", "y", "z"), np.uint8)
    again = fastnet.data.load(tmp_path / "x.npy", labels=text, schema=data.schema, test_fraction=1)
    assert again.y_test.tolist() == [k % 3 for k in range(50)]
    np.save(tmp_path / "labels.npy", Y[1:])
    assert re.search(
        r"has 50 examples, but .* has labels of shape \(49,\)", refusal(path, labels=tmp_path / "labels.npy")
    )
