"""`fastnet.data.source`: what it takes and what it refuses, and sizes in bytes as text."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from source_cases import BYTES, LABELS, Chunks, Slow

from fastnet import checks
from fastnet.data import source


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("256 MB", 256_000_000),
        ("1GiB", 1 << 30),
        ("1.5 kb", 1500),
        ("10", 10),
        (7, 7),
        (np.int64(7), 7),
        ("2 TB", 2 * 10**12),
    ],
)
def test_a_size_may_be_a_number_or_a_text(text: str | int, wanted: int) -> None:
    assert checks.byte_count("shuffle_buffer", text) == wanted


@pytest.mark.parametrize("text", ["MB", "-1 MB", "1e400", "nan", "1 XB", "", "1 2 MB", "0", 0, 1.5, True])
def test_other_sizes_are_refused(text: object) -> None:
    with pytest.raises((ValueError, TypeError), match=r"^shuffle_buffer must be"):
        source((BYTES, LABELS), shuffle_buffer=text)


def test_a_source_says_what_it_is() -> None:
    rows = source((BYTES, LABELS), name="digits")
    assert (repr(rows), len(rows), rows.is_stream) == ("<Source digits, 1,003 rows>", 1003, False)
    stream = source(Chunks(BYTES, LABELS, 5))
    assert (repr(stream), bool(stream), stream.is_stream) == ("<Source data, a stream>", True, True)
    with pytest.raises(TypeError, match="length is unknown"):
        len(stream)


def test_anything_with_the_methods_of_a_reader_is_one() -> None:
    reader = Slow(BYTES, LABELS)
    reader.shape = BYTES.shape  # does not make an array of it
    assert source(reader).reader is reader
    assert source(source(reader)).reader is reader
    with pytest.raises(ValueError, match="the data are a Slow, so they have labels"):
        source(reader, labels=LABELS)
    for other in (5, None, {"x": BYTES, "y": LABELS}):
        with pytest.raises(TypeError, match=r"^source takes"):
            source(other)
    with pytest.raises(ValueError, match="as many rows"):
        source((BYTES, LABELS[:-1]))
    with pytest.raises(TypeError, match="no sparse matrices"):
        source((scipy.sparse.csr_matrix(BYTES), LABELS))
    with pytest.raises(ValueError, match="needs a reader with the method take"):
        source(Slow(BYTES, LABELS), shuffle_buffer=None)
