"""Readers of array files: valid files are read correctly. Hostile files are refused before they take much memory."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import tracemalloc
import zipfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from data_cases import CODES, GOOD, READERS, idx, refused, saved
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from fastnet.data import arrays
from fastnet.data.arrays import read_idx, read_npy, read_npz
from fastnet.data.formats import read_array
from fastnet.errors import DataError


def npy_bytes(header: str, payload: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return npy.magic(*version) + length + header.encode() + payload


def npy_header(descr: str, shape: object, fortran: bool = False) -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}\n"


# ---- IDX


@pytest.mark.parametrize("dtype", list(CODES))
def test_idx_is_read_in_native_order(write, dtype):
    for shape, packed in product([(3,), (2, 3, 4), (0, 5), (1,) * 8], [False, True]):
        expected = (np.arange(np.prod(shape)).reshape(shape) - 1).astype(np.dtype(dtype))
        content = idx(expected)
        array = read_idx(write("data", gzip.compress(content) if packed else content))
        assert array.dtype == np.dtype(dtype).newbyteorder("=")
        assert array.dtype.isnative
        assert array.flags.writeable
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, expected, err_msg=f"{shape}, {packed=}")


def test_idx_of_several_gzip_members_is_read(write):
    content = idx(np.arange(100, dtype=np.uint8))
    path = write("x.gz", gzip.compress(content[:30]) + gzip.compress(content[30:]))
    np.testing.assert_array_equal(read_idx(path), np.arange(100))


def test_idx_checks_the_sha256_of_the_uncompressed_file(write):
    import hashlib

    content = idx(np.arange(6, dtype=np.uint8))
    path = write("x.gz", gzip.compress(content))
    assert read_idx(path, sha256=hashlib.sha256(content).hexdigest().upper()).size == 6
    refused(lambda: read_idx(path, sha256="0" * 64), "SHA-256")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\1" + GOOD[1:], "not an IDX file"),
        (b"\0\0\x0a\1" + GOOD[4:], "not an IDX file"),
        (b"\0\0\x08\0" + GOOD[4:], "dimension"),
        (b"\0\0\x08\x09" + bytes(100), "dimension"),
        (b"\0\0\x08\x03\0\0", "dimension"),
        (GOOD[:-1], "announces"),
        (GOOD + b"\0", "announces"),
        (b"\0\0\x08\3" + b"\xff" * 12, "announces"),
        (b"\0\0\x0e\2" + struct.pack(">2I", 1 << 31, 1 << 31), "announces"),
        (b"\0\0\x08\3" + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1), "announces"),
        (b"\0\0\x08\2" + struct.pack(">2I", 1_000_000, 1_000), "announces"),
    ],
    ids=str,
)
def test_invalid_idx_is_refused(write, content, word, packed):
    path = write("bad.gz", gzip.compress(content) if packed else content)
    message = refused(lambda: read_idx(path), "bad.gz")
    assert word in message or (packed and ("ends after" in message or "holds more than" in message))


@pytest.mark.parametrize("cut", [1, 8, 100])
def test_gzip_that_is_cut_short_is_refused(write, cut):
    refused(lambda: read_idx(write("x.gz", gzip.compress(GOOD)[:-cut])), "x.gz")


def test_gzip_with_a_wrong_checksum_or_trailing_bytes_is_refused(write):
    packed = gzip.compress(GOOD)
    refused(lambda: read_idx(write("x.gz", packed[:-8] + b"abcd" + packed[-4:])), "CRC")
    refused(lambda: read_idx(write("x.gz", packed + b"rubbish")), "x.gz")


def test_gzip_bombs_are_refused_at_little_cost(write):
    zeros = bytes(200 << 20)
    # The cases: more bytes than announced, more than the caller's limit, and more than a gzip file can unpack to.
    longer = write("a.gz", gzip.compress(idx(np.zeros(4, np.uint8)) + zeros))
    refused(lambda: read_idx(longer), "holds more than")
    honest = write("b.gz", gzip.compress(b"\0\0\x08\1" + struct.pack(">I", len(zeros)) + zeros))
    refused(lambda: read_idx(honest, max_bytes=1 << 20), "over the limit")
    huge = write("c.gz", gzip.compress(b"\0\0\x08\1" + struct.pack(">I", 2**32 - 1) + bytes(1000)))
    refused(lambda: read_idx(huge), "can hold at most")


def test_unpacking_gzip_has_a_default_limit(write, monkeypatch):
    monkeypatch.setattr(arrays, "_MAX_UNPACKED", 50_000)
    refused(lambda: read_idx(write("x.gz", gzip.compress(GOOD))), "over the limit of 50,000")
    assert read_idx(write("x", GOOD)).size == 60_000
    assert read_idx(write("x.gz", gzip.compress(GOOD)), max_bytes=60_000).size == 60_000


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_reading_idx_takes_the_memory_of_one_copy(write, packed):
    content = idx(np.zeros((20 << 20,), np.uint8))
    path = write("x", gzip.compress(content, 1) if packed else content)
    del content
    tracemalloc.start()
    try:
        array = read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert array.nbytes <= peak < array.nbytes + (4 << 20)


# ---- NPY


@pytest.mark.parametrize("dtype", ["?", "u1", "<i4", ">i4", "<f2", ">f4", "<f8", ">f8", "<U5", ">U5"])
def test_npy_is_read_in_native_order(tmp_path, dtype):
    for shape, order in product([(), (0,), (5,), (3, 4), (2, 3, 4)], "CF"):
        expected = np.asarray((np.arange(np.prod(shape)) * 3).reshape(shape).astype(np.dtype(dtype)), order=order)
        np.save(tmp_path / "x.npy", expected)
        for array in (read_npy(tmp_path / "x.npy"), read_array(tmp_path / "x.npy")):
            assert array.dtype.isnative
            assert array.flags.writeable
            np.testing.assert_array_equal(array, expected, err_msg=f"{shape}, {order=}")
            assert array.dtype == np.dtype(dtype).newbyteorder("=")


def test_npy_with_a_header_of_version_2_is_read(write):
    path = write("x.npy", npy_bytes(npy_header("<i2", (2,)), b"\1\0\2\0", (2, 0)))
    assert read_npy(path).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "not a valid NPY"),
        (b"\x93NUMPY", "not a valid NPY"),
        (npy_bytes(npy_header("<i2", (2,)), b"\1\0\2"), "announces"),
        (npy_bytes(npy_header("<i2", (2,)), b"\1\0\2\0\0"), "announces"),
        (npy_bytes(npy_header("<i2", (2,)), b"\1\0\2\0", (3, 0)), "version 3.0"),
        (npy_bytes(npy_header("<f8", (1 << 50,))), "announces"),
        (npy_bytes(npy_header("<f8", (1 << 200,))), "announces"),
        (npy_bytes(npy_header("<f8", (0, 1 << 62, 1 << 62))), "announces"),
        (npy_bytes(npy_header("<f8", (-1,))), "announces"),
        (npy_bytes(npy_header("<f8", (-1, -1)), bytes(8)), "announces"),
        (npy_bytes(npy_header("<f8", (1,) * 33), bytes(8)), "announces"),
        (npy_bytes(npy_header("<f8", [1]), bytes(8)), "not a valid NPY"),
        (npy_bytes(npy_header("|O", (1,)), b"cos\nsystem\n."), "pickled"),
        (npy_bytes(npy_header("|V8", (1,)), bytes(8)), "expected numbers"),
        (npy_bytes(npy_header("<c8", (1,)), bytes(8)), "expected numbers"),
        (npy_bytes(npy_header("<M8[s]", (1,)), bytes(8)), "expected numbers"),
        (npy_bytes(npy_header("<U0", (1 << 61,))), "expected numbers"),
        (npy_bytes(npy_header("<U1", (1,)), b"\xff\xff\xff\xff"), "invalid characters"),
        (npy_bytes(npy_header("|b1", (3,)), b"\0\1\2"), "neither 0 nor 1"),
        (npy_bytes(npy_header("<U2147483647", (1 << 40,))), "x.npy"),
        (npy_bytes("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,)}", bytes(4)), "records"),
        (npy_bytes("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}", bytes(8)), "pickled"),
        (npy_bytes("{'descr': ('<f4', (1000000,)), 'fortran_order': False, 'shape': (1,)}"), "expected numbers"),
        (npy_bytes("(" * 9_000), "not a valid NPY"),
        (npy_bytes("{'descr': '\\d"), "not a valid NPY"),
        (npy_bytes(npy_header("<i2", (2,)) + " " * 20_000, b"\1\0\2\0"), "not a valid NPY"),
    ],
)
def test_invalid_npy_is_refused(write, content, word):
    refused(lambda: read_npy(write("x.npy", content)), "x.npy", word)


def test_npy_header_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "x.npy"
    with open(path, "wb") as file:
        file.write(npy.magic(2, 0) + struct.pack("<I", 2**32 - 1))
        file.truncate(8 << 30)  # a sparse file takes no disk space
    refused(lambda: read_npy(path), "x.npy")


# ---- NPZ


def zipped(tmp_path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_is_read(tmp_path, save):
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "text": np.array("a täxt\n" * 50),
        "empty": np.empty((0, 3), np.float32),
        "big": np.arange(4, dtype=">i8"),
        "layer/0": np.array(3),
        "npy.npy": np.array([True]),
    }
    save(tmp_path / "x.npz", **arrays)
    read = read_npz(tmp_path / "x.npz")
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype.isnative
    assert read["text"].shape == ()
    assert read["text"].item() == "a täxt\n" * 50


def test_npz_without_arrays_is_an_empty_dict(tmp_path):
    assert read_npz(zipped(tmp_path, {})) == {}


def test_zip_bombs_are_refused_at_little_cost(tmp_path, monkeypatch):
    n = 100 << 20
    content = npy_bytes(npy_header("|u1", (n,)), bytes(n))
    path = zipped(tmp_path, {"x.npy": content})
    assert path.stat().st_size < n // 900
    refused(lambda: read_npz(path, max_bytes=1 << 20), "over the limit")
    monkeypatch.setattr(arrays, "_MAX_UNPACKED", 1 << 20)
    refused(lambda: read_npz(path), "over the limit")
    monkeypatch.undo()
    del content
    # The header announces fewer bytes than the member has. The reader must not unpack the rest.
    path = zipped(tmp_path, {"x.npy": npy_bytes(npy_header("|u1", (4,)), bytes(n))})
    refused(lambda: read_npz(path), "announces 4 bytes")
    path = zipped(tmp_path, {"x.npy": npy_bytes(npy_header("|u1", (1 << 50,)), bytes(1000))})
    refused(lambda: read_npz(path), "array x", "announces")


def test_the_limit_of_npz_applies_to_the_sum_of_all_arrays(tmp_path):
    path = zipped(tmp_path, {f"{i}.npy": saved(np.zeros(1000)) for i in range(4)}, zipfile.ZIP_STORED)
    assert len(read_npz(path, max_bytes=40_000)) == 4
    refused(lambda: read_npz(path, max_bytes=20_000), "over the limit")


def patched(path: Path, at: int, value: bytes, signature: bytes = b"PK\1\2") -> None:
    content = bytearray(path.read_bytes())
    position = content.index(signature) + at
    content[position : position + len(value)] = value
    path.write_bytes(content)


def test_npz_with_a_false_table_of_contents_is_refused(tmp_path):
    make = lambda: zipped(tmp_path, {"x.npy": saved(np.arange(1000))})  # noqa: E731  # a def would be longer
    size = struct.pack("<I", 3 << 30)
    for changes in ([(24, size)], [(20, size), (24, size)], [(20, size)], [(42, size)], [(10, b"\x0e\0")]):
        path = make()
        for at, value in changes:
            patched(path, at, value)
        refused(lambda path=path: read_npz(path), "x.npz")
    path = make()
    patched(path, 8, b"\1\0")  # the flag of an encrypted member
    refused(lambda: read_npz(path), "encrypted or has an unusual compression")
    # The header and the table of contents announce 3 GB. The file has fewer bytes.
    head = npy_bytes(npy_header("|u1", (3 << 30,)))
    path = zipped(tmp_path, {"x.npy": head + bytes(1000)})
    patched(path, 24, struct.pack("<I", len(head) + (3 << 30)))
    refused(lambda: read_npz(path), "more data than fits into it")
    path = make()
    patched(path, 12, struct.pack("<I", 1 << 30), b"PK\5\6")
    refused(lambda: read_npz(path), "table of contents")


def test_npz_with_a_giant_table_of_contents_is_refused_at_little_cost(tmp_path):
    path = zipped(tmp_path, {f"{i:060}.npy": b"" for i in range(12_000)}, zipfile.ZIP_STORED)
    refused(lambda: read_npz(path), "table of contents")


def test_npz_with_overlapping_members_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    zipped(tmp_path, {"x.npy": saved(np.zeros(100_000))})
    content = path.read_bytes()
    start, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"x.npy", b"%c.npy" % (97 + i)) for i in range(20))
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 20, 20, len(entries), start, 0)
    path.write_bytes(content[:start] + entries + tail)
    refused(lambda: read_npz(path), "x.npz")


def test_npz_with_a_wrong_checksum_is_refused(tmp_path):
    path = zipped(tmp_path, {"x.npy": saved(np.arange(1000))}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    refused(lambda: read_npz(path), "CRC")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_npz_with_unusable_members_is_refused(tmp_path):
    refused(lambda: read_npz(zipped(tmp_path, {"evil.sh": b"rm"})), "evil.sh")
    path = zipped(tmp_path, {"x.npy": b"rm"}, zipfile.ZIP_BZIP2)
    refused(lambda: read_npz(path), "savez")
    pickled = npy_bytes(npy_header("|O", (1,)), b"cos\nsystem\n.")
    refused(lambda: read_npz(zipped(tmp_path, {"x.npy": pickled})), "array x", "pickled")
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", saved(1))
        archive.writestr("x.npy", saved(2))
    refused(lambda: read_npz(path), "same name")
    path.write_bytes(saved(1))
    refused(lambda: read_npz(path), "not an NPZ file")


# ---- fuzzing: for any bytes the reader returns an array or raises DataError

SEEDS = {
    "idx": GOOD[:40],
    "idx.gz": gzip.compress(idx(np.arange(12, dtype=np.float64).reshape(3, 4))),
    "npy": saved(np.arange(6, dtype=">i2").reshape(2, 3)),
    "U.npy": saved(np.array("text")),
    "csv": b"a,b\n1,2\n3,4\n",
}
with io.BytesIO() as _buffer:
    np.savez_compressed(_buffer, x=np.arange(9.0), y=np.array("text"))
    SEEDS["npz"] = _buffer.getvalue()


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    content = bytearray(SEEDS[draw(st.sampled_from(sorted(SEEDS)))])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        new = draw(st.binary(max_size=6) | st.sampled_from([b"\xff" * 4, bytes(4), b"-1", b"9" * 20, b"'|O'"]))
        content[at : at + draw(st.integers(0, 8))] = new
    return bytes(content)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=mutations() | st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"\x93NUMPY\1\0" + b))
@example(content=b"PK\5\6" + bytes(18))
@example(content=b"\x1f\x8b")
def test_any_bytes_give_an_array_or_a_data_error(tmp_path, content):
    path = tmp_path / "fuzz"
    path.write_bytes(content)
    for read in READERS:
        with contextlib.suppress(DataError):
            read(path)
