"""Data sets that are too large for the memory: their training rows stay on disk, and a sample of them is an array."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.data import targets
from fastnet.data.arrow_tables import ArrowFile, arrow_files
from fastnet.data.dataset import Dataset
from fastnet.data.files import PathLike
from fastnet.data.formats import format_of
from fastnet.data.schema import Schema
from fastnet.data.shard_datasets import check_reading, task_of
from fastnet.data.sources.joined import JoinedReader
from fastnet.data.sources.shards import TEST_FOLDER, is_shard_folder, schema_of, shard_reader
from fastnet.data.sources.tables import TableReader
from fastnet.data.table_datasets import Reading, image_shape_of
from fastnet.source import Array, Block, Reader
from fastnet.text import shown

LARGE = 1 << 30  # bytes of the inputs in memory; a larger set stays on disk
_SAMPLE = 1 << 26  # bytes of a large set that are read as arrays
_SAMPLE_SPANS = 100  # places that a sample comes from
_SPANS = 1000  # parts of a large set, of which some are held out


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LargeDataset(Dataset):
    """A data set whose training rows stay on disk.

    The arrays `x_train` and `y_train` hold a sample of the training rows. So do `x_test` and `y_test`, if the test rows
    are many. The rows of a sample come from 100 places at equal distances.

    Attributes
    ----------
    train : JoinedReader
        All training rows, for `fastnet.data.source`.
    all_test : int
        The number of all test rows.
    """

    train: JoinedReader
    all_test: int

    @property
    def n_train(self) -> int:
        """The number of training rows."""
        return len(self.train)

    @property
    def n_test(self) -> int:
        """The number of test rows, of which `x_test` may hold a sample."""
        return self.all_test


def large_dataset(path: PathLike, reading: Reading) -> LargeDataset | None:
    """Return the data set of a folder of shards or of Parquet files if it is large, else None.

    Parameters
    ----------
    path : path
        A file or folder.
    reading : Reading
        The arguments of `load`. Shards with a folder ``test`` have test rows of their own. Otherwise about
        `test_fraction` of the rows are held out, in parts of about a thousandth of all rows.

    Raises
    ------
    DataError, ValueError
        As `load` raises them.
    """
    if not os.path.exists(path):
        return None
    name, is_folder = shown(path), os.path.isdir(path)
    test: Reader | None = None
    if is_folder and is_shard_folder(path):
        whole = shard_reader(path)
        if _bytes(whole, len(whole)) <= LARGE:
            return None
        schema = schema_of(path) or _schema(whole, reading)
        check_reading(name, schema, reading)
        if (Path(path) / TEST_FOLDER).is_dir():
            test = shard_reader(Path(path) / TEST_FOLDER)
        train: JoinedReader = whole
    else:
        files = arrow_files(path) if is_folder else [path] if format_of(path) in ("Arrow", "Parquet") else []
        opened = map(ArrowFile, files)
        if not files or sum(8 * sum(file.rows) * len(file.names) for file in opened) <= LARGE:
            return None
        if reading.categorical or reading.impute:
            option = "categorical" if reading.categorical else "impute"
            raise ValueError(f"{name} is too large to be read as a whole, as {option} needs it: use fastnet convert")
        train = TableReader(files, reading)
        schema = train.schema
    is_held_out = test is None
    if test is None:
        train, test = split_reader(train, reading.test_fraction)
    x, y = _sample(train, schema)
    x_test, y_test = _sample(test, schema)
    return LargeDataset(
        name=name,
        x_train=x,
        y_train=y,
        x_test=x_test,
        y_test=y_test,
        image_shape=image_shape_of(x.shape[1]) if x.dtype == np.uint8 else None,
        class_names=schema.class_names,
        task=task_of(schema, y),
        schema=reading.schema or schema,
        is_held_out=is_held_out,
        train=train,
        all_test=len(test),
    )


def split_reader(reader: JoinedReader, share: float) -> tuple[JoinedReader, JoinedReader]:
    """Return a reader of most rows, and one of about `share` of the rows, which are spread over the whole set.

    The rows are held out in parts of about a thousandth of all rows, so that most rows are still read one after
    another. Row groups stay whole if there are 20 or more.
    """
    spans, aligned = _spans(reader, 20)
    is_held = [int((k + 1) * share) > int(k * share) for k in range(len(spans))]
    kept, held = ([span for span, it in zip(spans, is_held, strict=True) if it is wanted] for wanted in (False, True))
    return JoinedReader(kept, aligned), JoinedReader(held, aligned)


def part_of(reader: JoinedReader, part: int, parts: int) -> JoinedReader:
    """Return a reader of one of several equal parts of the rows. Each part has rows from the whole set.

    The rows are dealt out in spans of about a thousandth of all rows. Row groups stay whole if there are 20 or more for
    each part.
    """
    spans, aligned = _spans(reader, 20 * parts)
    return JoinedReader(spans[part::parts], aligned)


def _spans(reader: JoinedReader, fewest: int) -> tuple[list[_Span], int]:
    """Return all rows in spans of about a thousandth, and the rows of a block that lies in one span.

    The spans have whole row groups if there are at least the `fewest` such spans.
    """
    n, block = len(reader), reader.block_rows
    length = max(1, n // max(_SPANS, fewest))
    rounded = -(-length // block) * block
    length = rounded if n // rounded >= fewest else length
    spans = [_Span(reader, start, min(start + length, n)) for start in range(0, n, length)]
    return spans, block if length % block == 0 else 1


class _Span:
    """Some consecutive rows of a reader."""

    def __init__(self, reader: JoinedReader, start: int, stop: int) -> None:
        self._reader, self._start, self._stop = reader, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def read(self, start: int, stop: int) -> Block:
        return self._reader.read(self._start + start, self._start + stop)

    def read_y(self, start: int, stop: int) -> Array | None:
        return self._reader.read_y(self._start + start, self._start + stop)


def _bytes(reader: Reader, n_rows: int) -> int:
    """Return the bytes of the inputs of some rows."""
    return int(np.asarray(reader.read(0, 1)[0]).nbytes) * n_rows


def _schema(reader: JoinedReader, reading: Reading) -> Schema:
    """Return what the rows of a user's own shards mean, after a look at all labels."""
    x, y = reader.read(0, 1)
    if reading.task == "regression":
        n_classes = 0
    elif reading.task == "multilabel" and y is not None:
        n_classes = y.shape[1]
    else:
        step = _SAMPLE // 8
        labels = (reader.read_y(start, min(start + step, len(reader))) for start in range(0, len(reader), step))
        n_classes = 1 + max(
            int(targets.of_array(np.asarray(part), reading.task, "the labels").max()) for part in labels
        )
    return Schema(class_names=tuple(map(str, range(n_classes))), pixels=np.asarray(x).dtype == np.uint8)


def _sample(reader: Reader, schema: Schema) -> tuple[Array, Array]:
    """Return all rows if they are few, else some from many places."""
    n = len(reader)
    wanted = min(n, max(1000, _SAMPLE // max(1, _bytes(reader, 1)))) if n else 0
    length = -(-wanted // _SAMPLE_SPANS)
    starts: Sequence[int] = [0] if wanted == n else [k * n // _SAMPLE_SPANS for k in range(_SAMPLE_SPANS)]
    blocks = [reader.read(start, n if wanted == n else min(start + length, n)) for start in starts if n]
    x: Any = np.concatenate([np.asarray(block[0]).reshape(len(block[0]), -1) for block in blocks])
    y = np.concatenate([np.asarray(block[1]) for block in blocks])
    return x, targets.of_array(y, task_of(schema, y), "the labels")
