"""Writes shards: the files x-00000.npy, y-00000.npy, ..., and schema.json, which says what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastnet.data.files import atomic_write
from fastnet.data.schema import Schema
from fastnet.data.sources.shards import FORMAT, SCHEMA_FILE, shard_name
from fastnet.source import Array
from fastnet.text import json_text

SHARD_BYTES = 64 << 20  # of the examples in a shard, unless the number of rows is given


class ShardWriter:
    """Writes rows into a folder, one shard at a time.

    Parameters
    ----------
    folder : path
        The folder. It is made with the first row.
    shard_rows : int or None
        The rows of a shard. None: as many as have 64 MiB.

    Attributes
    ----------
    n_rows, n_shards, n_bytes : int
        What was written so far. The last rows wait for `close`.
    """

    def __init__(self, folder: Path, shard_rows: int | None = None) -> None:
        self._folder, self._shard_rows = folder, shard_rows
        self._x, self._y = list[Array](), list[Array]()
        self.n_rows = self.n_shards = self.n_bytes = 0
        self.kind = 0, ""  # the number and dtype of the inputs

    def add(self, x: Array, y: Array) -> None:
        """Add rows. All calls have the same dtypes and the same shape of a row."""
        if not len(x):
            return
        self._folder.mkdir(exist_ok=True)
        self.kind = x.shape[1], x.dtype.name
        if self._shard_rows is None:
            self._shard_rows = max(1, SHARD_BYTES // max(1, x[0].nbytes))
        self._x.append(x)
        self._y.append(y)
        if sum(map(len, self._x)) >= self._shard_rows:
            self._write(self._shard_rows)

    @property
    def is_empty(self) -> bool:
        """Whether there are no rows."""
        return not self.n_rows and not self._x

    def close(self, schema: Schema) -> None:
        """Write the last rows, and what all rows mean."""
        if self._x:
            self._write(1)
        about = {"format": FORMAT, "shards": self.n_shards, "rows": self.n_rows, "schema": schema.to_dict()}
        with atomic_write(self._folder / SCHEMA_FILE) as file:
            file.write(json_text(about).encode())

    def _write(self, smallest: int) -> None:
        """Write shards until fewer than `smallest` rows are left."""
        x, y = np.concatenate(self._x), np.concatenate(self._y)
        step, start = self._shard_rows or len(x), 0
        while len(x) - start >= smallest:
            for letter, rows in (("x", x), ("y", y)):
                part = rows[start : start + step]
                with atomic_write(self._folder / shard_name(letter, self.n_shards)) as file:
                    np.save(file, part)
                self.n_bytes += part.nbytes
            self.n_shards += 1
            self.n_rows += len(x[start : start + step])
            start += step
        self._x, self._y = [x[start:].copy()], [y[start:].copy()]
        if not len(self._x[0]):
            self._x, self._y = [], []
