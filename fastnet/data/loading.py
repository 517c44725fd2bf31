"""`load`: returns a data set by its name, or the user's own data by a path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from fastnet import checks
from fastnet.data import named_sets, user_files
from fastnet.data.dataset import Dataset
from fastnet.data.downloads import Progress
from fastnet.data.files import PathLike, checked_path
from fastnet.data.schema import Schema
from fastnet.data.split import TEST_SHARE
from fastnet.data.table_datasets import Reading
from fastnet.errors import DataError
from fastnet.names import TaskName
from fastnet.text import shown


def load(
    source: PathLike = "mnist-5k",
    *,
    data_dir: PathLike | None = None,
    labels: PathLike | None = None,
    test_fraction: float | None = None,
    label_column: str | int | None = None,
    task: TaskName | None = None,
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    impute: bool = False,
    pixels: bool = False,
    schema: Schema | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> Dataset:
    """Load a data set by name, or your own data by path.

    A named set always has the same split and the same order. ``mnist`` and ``fashion-mnist`` are files in a folder
    named after the set. `load` looks for this folder in `data_dir`, then in $FASTNET_DATA, then in the cache. Missing
    files are downloaded into the cache. The SHA-256 of the files is always verified. All named sets hold pixels from 0
    to 255: the values 0 to 16 of ``digits`` are scaled to this range.

    Your own data may be one of these:

    - a table with a column of labels or of numbers to predict: a CSV file (.csv, .tsv, .txt), a Parquet or Arrow
      (Feather) file, or a folder of such files
    - a folder of shards, as `convert` writes them
    - an NPZ file with the arrays x and y (or X and y, or data and target), or with x_train, y_train and optionally
      x_test and y_test. It may also hold the texts feature_names, and class_names or target_names
    - a folder of IDX files with the names of MNIST's files
    - a file of examples and a file of labels

    Data without a test part are split at random, with a fixed seed and the same share of every class.

    **Scale.** A text file holds numbers as they are, unless `pixels` says that they are bytes. Of the other files,
    arrays of uint8 are pixels.

    **Columns.** Each column of numbers, and each one of true and false, is an input. A column of text is refused unless
    it is named in `categorical` or `drop`. Missing values are refused unless `impute` is true. A first column without a
    name that counts the rows is left out with a warning: pandas writes the row labels of a frame there.

    **Task.** Text, true and false, and at most 100 different whole numbers are classes. Numbers with fractions make a
    regression. So do more than 20 different whole numbers that are written with a decimal point. In other cases
    `load` asks for `task`.

    Parameters
    ----------
    source : str or path
        A name, or the path of a file or folder. A str that is the name of a set means the set, not a path.
    data_dir : path, optional
        The folder to look in first for a named set.
    labels : path, optional
        The file of labels, if the file `source` holds only examples.
    test_fraction : float, optional
        The share of your own data to hold out as the test part, from 0 to below 1, if the data have no test part. The
        default is the `schema`'s, so that the test rows are those of the training, else 0.2. With a `schema` it may be
        1: then the test part is all rows in their order, and the training part is empty.
    label_column : str or int, optional
        The column of a table to predict, by name or by number from 0. The default is the column named label, class,
        target or y, else the last column.
    task : str, optional
        "classification", "regression" or "multilabel". "multilabel" is for an NPZ file whose y has the shape
        (n, labels) and holds 0 and 1. The default is found out as described above.
    categorical : sequence of str
        The columns of a table to one-hot encode, each with at most 50 different values.
    drop : sequence of str
        The columns of a table to leave out.
    impute : bool
        Whether to fill missing numbers of a table with the median of the column's training rows. In a categorical
        column a missing value becomes a level of its own, "".
    pixels : bool
        Whether the numbers of a text file are pixels: whole numbers from 0 to 255, which become uint8. Those that fill
        a square count as a picture.
    schema : Schema, optional
        The schema of a network. The data are then read as those that it was trained on: columns by name in any order,
        missing values and categorical columns as in the training, labels by the names of the classes. A table may have
        other columns too. A schema without columns takes all columns but the label, in their order.
    download : bool
        Whether a named set that this machine lacks may be downloaded.
    progress : callable, optional
        Called during a download as ``progress(file_name, bytes_done, bytes_total)``. bytes_total may be None.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        The set or file does not exist, or cannot be read, used or downloaded.
    ValueError
        `test_fraction` is out of range, or an argument does not go with this kind of source.
    TypeError
        An argument has the wrong type.

    Examples
    --------
    >>> import fastnet
    >>> fastnet.data.load("mnist-5k")
    <Dataset mnist-5k: 4000 to train, 1000 to test, 784 inputs, 10 classes>

    Your own data:

    >>> import numpy as np
    >>> np.savez("mine.npz", x=np.random.default_rng(0).random((50, 4)), y=np.arange(50) % 2)
    >>> fastnet.data.load("mine.npz", test_fraction=0.1)
    <Dataset mine.npz: 45 to train, 5 to test, 4 inputs, 2 classes>

    A table:

    >>> with open("people.csv", "w") as file:
    ...     _ = file.write("age,city,bought\\n31,Oslo,no\\n,Rome,yes\\n27,Rome,yes\\n62,Oslo,no\\n")
    >>> data = fastnet.data.load("people.csv", categorical=["city"], impute=True, test_fraction=0)
    >>> data.feature_names, data.class_names
    (('age', 'city=Oslo', 'city=Rome'), ('no', 'yes'))
    >>> data.schema.columns[0].fill
    31.0
    """
    path_of_source = Path(checked_path("source", source))
    for name, path in (("data_dir", data_dir), ("labels", labels)):
        if path is not None:
            checked_path(name, path)
    reading = checked_reading(test_fraction, label_column, task, categorical, drop, impute, pixels, schema)
    checks.boolean("download", download)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be a function of three arguments, or None, not {checks.given(progress)}")
    if isinstance(source, str) and source in named_sets.names():
        if labels is not None or label_column is not None:
            raise ValueError(f"{source} has its own labels: leave out labels and label_column")
        if task not in (None, "classification"):
            raise ValueError(f"{source} has classes: leave out task")
        reading.refuse_columns(f"{source} is not one")
        return named_sets.load_named(source, data_dir, download, progress)
    if not os.path.exists(source):
        if path_of_source.suffix or len(path_of_source.parts) > 1:  # a path rather than a name
            raise DataError(f"there is no file {shown(source)}: check the path")
        raise named_sets.unknown_set(source)
    return user_files.read(source, labels, reading)


def share_of_test(schema: Schema | None) -> float:
    """Return the share of the rows that is held out for the test, if the user names none."""
    return TEST_SHARE if schema is None or schema.test_fraction is None else schema.test_fraction


def checked_reading(
    test_fraction: float | None,
    label_column: str | int | None,
    task: TaskName | None,
    categorical: Sequence[str],
    drop: Sequence[str],
    impute: bool,
    pixels: bool,
    schema: Schema | None,
) -> Reading:
    """Return the arguments of `load` that say how to read the user's own data, after a check of their types."""
    if test_fraction is None:
        test_fraction = share_of_test(schema if isinstance(schema, Schema) else None)
    if schema is None or checks.number("test_fraction", test_fraction) != 1:
        checks.fraction("test_fraction", test_fraction)
    if label_column is not None and not isinstance(label_column, str):
        label_column = checks.whole_number("label_column", label_column, 0)
    if task is not None:
        checks.name_of("task", task, get_args(TaskName))
    reading = Reading(
        float(test_fraction),
        label_column,
        task,
        checks.texts("categorical", categorical),
        checks.texts("drop", drop),
        checks.boolean("impute", impute),
        checks.boolean("pixels", pixels),
        schema,
    )
    if pixels and (reading.categorical or reading.impute):
        raise ValueError(f"pixels are whole numbers: leave out {'categorical' if reading.categorical else 'impute'}")
    if schema is None:
        return reading
    checks.instance("schema", schema, Schema, "fastnet.data")
    for name in ("categorical", "drop", "impute"):
        if getattr(reading, name):
            raise ValueError(f"the schema says how to read the columns: leave out {name}")
    if pixels and not schema.pixels:
        raise ValueError("the network was trained on numbers as they are, not on pixels: leave out pixels")
    if task is not None and (task == "regression") != (not schema.class_names):
        raise ValueError(
            f"the schema has {len(schema.class_names)} classes, so task={task!r} does not fit: leave it out"
        )
    return reading
