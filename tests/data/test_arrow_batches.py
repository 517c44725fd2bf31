"""Arrow files that announce too much are refused before pyarrow allocates memory."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from fastnet import DataError
from fastnet.data.arrow_batches import announced_bytes
from fastnet.data.arrow_tables import read_arrow
from fastnet.data.formats import read_table

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: arrow)")
from pyarrow import feather  # noqa: E402 - after the check that pyarrow is there

COMPRESSIONS = ("uncompressed", "lz4", "zstd")


def written(compression: str, n: int = 5, rows: int = 2) -> bytes:
    """Return a file with numbers, texts and a dictionary, in batches of some rows."""
    texts = pyarrow.array([f"k{i % 3}" for i in range(n)])
    table = pyarrow.table({"a": np.arange(float(n)), "text": texts, "kind": texts.dictionary_encode()})
    buffer = io.BytesIO()
    feather.write_feather(table, buffer, compression=compression, chunksize=rows)
    return buffer.getvalue()


def announced(content: bytes) -> int:
    return announced_bytes(io.BytesIO(content), len(content))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_valid_file_announces_what_its_table_takes(compression: str) -> None:
    n = 100_000
    content = written(compression, n, rows=30_000)
    taken = pyarrow.ipc.open_file(io.BytesIO(content)).read_all().nbytes
    assert taken <= announced(content) < taken + len(content)


def cause(path: Path) -> BaseException | None:
    """Read a table. Return the cause of its DataError, or None without one."""
    try:
        read_table(path)
    except DataError as error:
        return error.__cause__
    return None


@pytest.mark.parametrize("compression", ["uncompressed", "lz4"])
def test_no_number_of_a_file_makes_pyarrow_allocate_without_measure(compression: str, tmp_path: Path) -> None:
    """The numbers of 8 bytes lie at multiples of 8. No machine has 2^50 bytes, so their allocation would fail."""
    content, path, causes = written(compression), tmp_path / "x.arrow", []
    for at in range(8, len(content) - 8, 8):
        path.write_bytes(content[:at] + struct.pack("<q", 2**50) + content[at + 8 :])
        causes.append(cause(path))
    assert [error for error in causes if isinstance(error, MemoryError)] == []
    assert sum(error is not None for error in causes) > 50


def test_a_buffer_that_announces_a_terabyte_is_refused_in_words(tmp_path: Path) -> None:
    content, path = written("lz4", 1000, 1000), tmp_path / "x.arrow"
    at = content.index(struct.pack("<q", 8000))  # the length of column a, before its compressed bytes
    path.write_bytes(content[:at] + struct.pack("<q", 1 << 40) + content[at + 8 :])
    with pytest.raises(DataError, match=r"x\.arrow announces more data than fits into it"):
        read_table(path)


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.arrow").mkdir()
    with pytest.raises(DataError, match=r"x\.arrow is a folder without Parquet and Arrow files"):
        read_arrow(tmp_path / "x.arrow")
