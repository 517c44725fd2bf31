"""Helpers for the tests of files and data sets: the bytes of files, and checks."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastnet
from fastnet.data import named_sets
from fastnet.data.arrays import read_idx, read_npy, read_npz
from fastnet.data.csv_tables import read_csv
from fastnet.data.formats import read_array
from fastnet.errors import DataError

REAL_DATA = os.environ.get("FASTNET_DATA")  # read here because each test changes its environment
STEMS = tuple(named_sets.FILE_SIZES)
CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}
X = np.random.default_rng(1).integers(0, 256, (50, 16)).astype(np.uint8)
Y = np.arange(50) % 5
READERS = (read_idx, read_npy, read_npz, read_csv, read_array)


def idx(array: np.ndarray, code: int | None = None) -> bytes:
    """Return an array as IDX bytes. The function follows the format's description and shares no code with fastnet."""
    big = array.astype(array.dtype.newbyteorder(">")) if array.dtype.itemsize > 1 else array
    code = code or CODES[big.dtype.str.lstrip("|")]
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + big.tobytes()


def refused(read: Callable[[], object], *words: str, peak: int = 3 << 20) -> str:
    """Check that reading takes little memory and raises a one-line error with these words. Return the error's text."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read()
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert used < peak
    return message


def saved(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


def put(folder: Path, content: dict[str, bytes], packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, data in content.items():
        if packed:
            (folder / f"{stem}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / stem).write_bytes(data)
    return folder


def check_small(data: fastnet.data.Dataset, content: dict[str, bytes]) -> None:
    assert data.name == "mnist"
    assert data.x_train.tobytes() == content[STEMS[0]][16:]
    assert data.y_train.tolist() == list(content[STEMS[1]][8:])
    assert data.x_test.tobytes() == content[STEMS[2]][16:]
    assert data.y_test.tolist() == list(content[STEMS[3]][8:])
    assert (data.x_train.shape, data.x_test.shape) == ((40, 784), (20, 784))


GOOD = idx(np.arange(60_000, dtype=np.uint8))
