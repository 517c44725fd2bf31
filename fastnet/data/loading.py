"""`load`: returns a data set by its name, or the user's own data by a path."""

from __future__ import annotations

import os
from pathlib import Path

from fastnet import checks
from fastnet.data import named_sets, user_files
from fastnet.data.dataset import Dataset
from fastnet.data.downloads import Progress
from fastnet.data.files import PathLike, checked_path
from fastnet.data.split import TEST_SHARE
from fastnet.errors import DataError
from fastnet.text import shown


def load(
    source: PathLike = "mnist-5k",
    *,
    data_dir: PathLike | None = None,
    labels: PathLike | None = None,
    test_fraction: float = TEST_SHARE,
    label_column: str | int | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> Dataset:
    """Load a data set by name, or your own data by path.

    A named set always has the same split and the same order. ``mnist`` and ``fashion-mnist`` are files in a folder
    named after the set. `load` looks for this folder in `data_dir`, then in $FASTNET_DATA, then in the cache. Missing
    files are downloaded into the cache. The SHA-256 of the files is always verified. All named sets hold pixels from 0
    to 255: the values 0 to 16 of ``digits`` are scaled to this range.

    Your own data may be one of these:

    - an NPZ file with the arrays x_train and y_train, and optionally x_test and y_test
    - an NPZ file with the arrays x and y
    - a folder of IDX files with the names of MNIST's files
    - a CSV file with a column of labels
    - a file of examples and a file of labels

    Data without a test part are split at random, with a fixed seed and the same share of every class. Pixels must be
    uint8. The values of a CSV file count as pixels if all are whole numbers from 0 to 255 and some are above 127.

    Parameters
    ----------
    source : str or path
        A name, or the path of a file or folder. A str that is the name of a set means the set, not a path.
    data_dir : path, optional
        The folder to look in first for a named set.
    labels : path, optional
        The file of labels, if the file `source` holds only examples.
    test_fraction : float
        The share of your own data to hold out as the test part, from 0 to below 1, if the data have no test part.
    label_column : str or int, optional
        The column of labels in a CSV file, by name or by number from 0. The default is the column named label, class,
        target or y, else the last column.
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
    """
    path_of_source = Path(checked_path("source", source))
    for name, path in (("data_dir", data_dir), ("labels", labels)):
        if path is not None:
            checked_path(name, path)
    checks.fraction("test_fraction", test_fraction)
    if label_column is not None and not isinstance(label_column, str):
        checks.whole_number("label_column", label_column, 0)
    checks.boolean("download", download)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be a function of three arguments, or None, not {checks.given(progress)}")
    if isinstance(source, str) and source in named_sets.names():
        if labels is not None or label_column is not None:
            raise ValueError(f"{source} has its own labels: leave out labels and label_column")
        return named_sets.load_named(source, data_dir, download, progress)
    if not os.path.exists(source):
        if path_of_source.suffix or len(path_of_source.parts) > 1:  # a path rather than a name
            raise DataError(f"there is no file {shown(source)}: check the path")
        raise named_sets.unknown_set(source)
    split, image_shape = user_files.read(source, labels, test_fraction, label_column)
    n_classes = 1 + int(max(part.max(initial=0) for part in (split[1], split[3])))
    return Dataset(shown(source), *split, image_shape, tuple(map(str, range(n_classes))))
