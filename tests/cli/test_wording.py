"""In the library's errors, the command line replaces names of arguments by options. All other words stay."""

from __future__ import annotations

import pytest

from fastnet.cli.wording import in_options

ARGUMENTS = (
    "data",
    "data_dir",
    "labels",
    "label_column",
    "output",
    "cost",
    "learning_rate",
    "sparse",
    "threads",
    "impute",
    "categorical",
    "drop",
    "standardize",
)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("there is no folder x: check data_dir", "there is no folder x: check --data-dir"),
        ("mnist: leave out labels and label_column", "mnist: leave out --labels and --label-column"),
        ("x has none: give their file as labels, or", "x has none: give their file as --labels, or"),
        ("name text as categorical to one-hot encode it", "name text as --categorical to one-hot encode it"),
        ("fill them with impute, or drop the rows", "fill them with --impute, or drop the rows"),
        ("use output='sigmoid' or cost='squared_error'", "use --output sigmoid or --cost squared_error"),
        ("use threads=1, or sparse=True", "use --threads 1, or --sparse yes"),
        ("sizes[1] must be at least 1", "number 2 of --layers must be at least 1"),
        ("new.npy[0, 3] is nan; correct it", "new.npy, row 1, column 4, is nan; correct it"),
        ("y[9] is 7; the network has 3 outputs", "y, row 10, is 7; the network has 3 outputs"),
        ("labels is an empty string: give", "--labels is an empty string: give"),
        ("sizes has length 1; expected", "--layers has length 1; expected"),
        ("drop names a, the column to predict", "--drop names a, the column to predict"),
        ("impute is for a table", "--impute is for a table"),
        ("a is named as categorical, and as drop: leave", "a is named as --categorical, and as --drop: leave"),
        ("encode them, or as drop to leave them out", "encode them, or as --drop to leave them out"),
        (
            "column 23 of x has a standard deviation of 550: use sklearn.preprocessing.StandardScaler()",
            "column 24 has a standard deviation of 550: use --standardize",
        ),
        ("column 'a b' of x has a standard deviation", "column 'a b' has a standard deviation"),
        ("sizes needs at least an input", "--layers needs at least an input"),
    ],
)
def test_arguments_become_options(message: str, expected: str) -> None:
    assert in_options(message, ARGUMENTS) == expected


@pytest.mark.parametrize(
    "message",
    [
        "the learning rate of the data",
        "output is written",
        "data_dir/labels=1/x has no column 'data_dir'",
        "a[0] is a folder: give the path of a file",
    ],
)
def test_other_words_stay(message: str) -> None:
    assert in_options(message, ARGUMENTS) == message


def test_a_command_without_such_options() -> None:
    assert in_options("the value of learning_rate", ["quiet"]) == "the value of learning_rate"
