"""Reads IDX, NPY and NPZ files safely, even hostile files, and writes NPZ files.

A reader compares the size that a header announces with the file's size before it allocates memory. No reader unpickles.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fastnet.data.files import PathLike, reading
from fastnet.errors import DataError
from fastnet.text import reason, shown

Array: TypeAlias = NDArray[Any]

_CHUNK = 1 << 20
_EXPANSION = 1032  # deflate packs at most this many bytes into one byte
_MAX_UNPACKED = 4 << 30  # bytes that a compressed file may unpack to, unless the caller sets a limit
_MAX_DIRECTORY = 1 << 20  # bytes of a zip's table of contents; zipfile needs ten times as much memory to read it
_NPY_HEADER = 12 + 10_000  # the longest header that NumPy itself accepts
_ZIP_HEADER, _ZIP_NAME_LENGTHS = 30, 26  # bytes of a member's own header; where it has the lengths of its two names
_IDX_DIMENSIONS = 8
_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


class ArrayPlace(NamedTuple):
    """Where an array lies in a file: its shape and dtype, and where its numbers begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]  # in the byte order of the file
    fortran_order: bool
    offset: int | None  # bytes before the first number; None: the array is compressed


class _Source(NamedTuple):
    """A stream of uncompressed bytes, with the smallest and the largest number of bytes that it can hold."""

    stream: io.BufferedIOBase
    name: str
    smallest: int
    largest: int


def read_idx(path: PathLike, *, sha256: str | None = None, max_bytes: int | None = None) -> Array:
    """Read an IDX file, plain or gzipped.

    Parameters
    ----------
    path : path
        The file. Its content, not its name, says whether the file is gzipped.
    sha256 : str, optional
        The expected SHA-256, in hexadecimal, of the uncompressed file with its header.
    max_bytes : int, optional
        The largest number of data bytes to accept. The default is 4 GiB for a gzipped file, and no limit for others.

    Returns
    -------
    array
        Writeable, in the shape and dtype of the file (uint8, int8, int16, int32, float32 or float64) and in native
        byte order.

    Raises
    ------
    DataError
        The file cannot be read, is not a valid IDX file, is too large or has another SHA-256.
    """
    with reading(path) as (file, size):
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        name = shown(path)
        source = _Source(gzip.GzipFile(fileobj=file), name, 0, size * _EXPANSION) if packed else None
        source = source or _Source(file, name, size, size)
        head = source.stream.read(4 + 4 * _IDX_DIMENSIONS)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES:
            raise DataError(f"{name} is not an IDX file: expected two zero bytes and a type code at its start")
        offset = 4 + 4 * head[3]
        if not 1 <= head[3] <= _IDX_DIMENSIONS or len(head) < offset:
            raise DataError(f"{name} is not a valid IDX file: expected 1 to {_IDX_DIMENSIONS} dimension sizes")
        shape = struct.unpack_from(f">{head[3]}I", head, 4)
        dtype = np.dtype(_IDX_TYPES[head[2]])
        payload = _payload(source, head, offset, shape, dtype, _limit(max_bytes, packed))
        if sha256 is not None:
            digest = hashlib.sha256(head[:offset])
            digest.update(payload.data)
            if digest.hexdigest() != sha256.lower():
                raise DataError(f"{name} is not the expected file: its SHA-256 differs")
        return _shaped(payload, shape, dtype)


def read_npy(path: PathLike, *, max_bytes: int | None = None) -> Array:
    """Read an NPY file of numbers, booleans or text. A pickle is never loaded.

    Parameters
    ----------
    path : path
        The file.
    max_bytes : int, optional
        The largest number of data bytes to accept. The default is no limit.

    Returns
    -------
    array
        Writeable, in the shape and dtype of the file and in native byte order.

    Raises
    ------
    DataError
        The file cannot be read, is not a valid NPY file, holds objects or records, or is larger than `max_bytes`.
    """
    with reading(path) as (file, size):
        return _npy_array(_Source(file, shown(path), size, size), _limit(max_bytes, packed=False))


def read_npz(path: PathLike, *, max_bytes: int | None = None) -> dict[str, Array]:
    """Read every array of an NPZ file, compressed or not.

    Parameters
    ----------
    path : path
        The file.
    max_bytes : int, optional
        The largest number of data bytes of all arrays together. The default is 4 GiB if an array is compressed, and no
        limit if none is.

    Returns
    -------
    dict of str to array
        The arrays by name, in the order of the file: numbers, booleans or text, in native byte order.

    Raises
    ------
    DataError
        The file cannot be read, is not a valid NPZ file, holds objects or records, or is too large.
    """
    with reading(path) as (file, size), _members(file, size, path, max_bytes) as (archive, members):
        arrays = {}
        for member in members:
            with archive.open(member) as stream:
                array = _npy_array(_member_source(stream, member, path), None)
            arrays[member.filename.removesuffix(".npy")] = array
        return arrays


def npy_place(path: PathLike) -> ArrayPlace:
    """Return where the array of an NPY file lies, without reading it. The errors are those of `read_npy`."""
    with reading(path) as (file, size):
        return _place(_Source(file, shown(path), size, size))[1]


def npz_places(path: PathLike) -> dict[str, ArrayPlace]:
    """Return where each array of an NPZ file lies, without reading them. The errors are those of `read_npz`."""
    with reading(path) as (file, size), _members(file, size, path, size * _EXPANSION) as (archive, members):
        places = {}
        for member in members:
            with archive.open(member) as stream:
                place = _place(_member_source(stream, member, path))[1]
            assert place.offset is not None  # _place always gives one
            start: int | None = None
            if member.compress_type == zipfile.ZIP_STORED:
                file.seek(member.header_offset + _ZIP_NAME_LENGTHS)
                start = member.header_offset + _ZIP_HEADER + sum(struct.unpack("<HH", file.read(4))) + place.offset
            places[member.filename.removesuffix(".npy")] = place._replace(offset=start)
        return places


def write_npz(file: BinaryIO, **arrays: Array) -> None:
    """Write arrays as `numpy.savez` does.

    After Ctrl-C, `numpy.savez` may raise ValueError, since it cannot close the archive. This function then
    raises the original error.
    """
    try:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # NumPy's stubs type every keyword as a bool
    except ValueError as error:
        raise error.__context__ or error from None


@contextmanager
def _members(
    file: BinaryIO, size: int, path: PathLike, max_bytes: int | None
) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """Open an NPZ file and check its table of contents."""
    name = shown(path)
    _check_zip_directory(file, size, name)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_members(members, size, name, max_bytes)
        yield archive, members


def _member_source(stream: IO[bytes], member: zipfile.ZipInfo, path: PathLike) -> _Source:
    label = f"{shown(path)}, array {shown(member.filename[:-4])},"
    file_like = cast(io.BufferedIOBase, stream)  # the type stubs of zipfile promise less
    return _Source(file_like, label, member.file_size, member.file_size)


def _limit(max_bytes: int | None, packed: bool) -> int | None:
    return _MAX_UNPACKED if max_bytes is None and packed else max_bytes


def _payload(
    source: _Source, head: bytes, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], limit: int | None
) -> NDArray[np.uint8]:
    """Check the announced number of data bytes, then read the data: everything after `head[:offset]`."""
    name, n_bytes = source.name, _n_bytes(source, offset, shape, dtype)
    if limit is not None and n_bytes > limit:
        raise DataError(f"{name} unpacks to {n_bytes:,} bytes, over the limit of {limit:,}: use a smaller file")
    payload = np.empty(n_bytes, np.uint8)
    view = payload.data
    start = head[offset : offset + n_bytes]
    view[: len(start)] = start
    done = len(start)
    while done < n_bytes:
        # Read in chunks: readinto of gzip and zipfile allocates as many bytes as the caller asks for.
        n_read = source.stream.readinto(view[done : done + _CHUNK])
        if not n_read:
            raise DataError(f"{name} ends after {done:,} of {n_bytes:,} bytes of data: get a fresh copy")
        done += n_read
    # Read past the data: gzip and zipfile compare their checksums only at the end.
    if len(head) > offset + n_bytes or source.stream.read(1):
        raise DataError(f"{name} holds more than the {n_bytes:,} bytes of data it announces: get a fresh copy")
    return payload


def _n_bytes(source: _Source, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return the number of data bytes that a header announces, after a check that the file can hold them."""
    name = source.name
    # A dimension of 0 counts as 1 here, since NumPy refuses even a shape of (0, 2**62, 2**62).
    largest = math.prod(max(n, 1) for n in shape) * dtype.itemsize
    if len(shape) > 32 or min(shape, default=0) < 0 or largest >= 1 << 62:
        raise DataError(f"{name} announces an impossible shape: it is corrupt, get a fresh copy")
    n_bytes = math.prod(shape) * dtype.itemsize
    if not source.smallest <= offset + n_bytes <= source.largest:
        holds = "holds" if source.smallest == source.largest else "can hold at most"
        held = f"{holds} {max(0, source.largest - offset):,}"
        raise DataError(f"{name} announces {n_bytes:,} bytes of data, but {held}: it is corrupt, get a fresh copy")
    return n_bytes


def _shaped(
    payload: NDArray[np.uint8], shape: tuple[int, ...], dtype: np.dtype[Any], fortran_order: bool = False
) -> Array:
    """Return the payload as an array of native byte order, without a copy."""
    array: Array = payload.view(dtype)
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array.reshape(shape[::-1]).T if fortran_order else array.reshape(shape)


def _npy_array(source: _Source, limit: int | None) -> Array:
    """Read an array in NPY format from a stream."""
    head, place = _place(source)
    assert place.offset is not None  # _place always gives one
    payload = _payload(source, head, place.offset, place.shape, place.dtype, limit)
    refuse_invalid(payload, place.dtype, source.name)
    return _shaped(payload, place.shape, place.dtype, place.fortran_order)


def refuse_invalid(payload: NDArray[np.uint8], dtype: np.dtype[Any], name: str) -> None:
    """Refuse bytes that NumPy gives no meaning as text or as booleans."""
    if dtype.kind == "U" and payload.size and payload.view(dtype.byteorder + "u4").max() > 0x10FFFF:
        raise DataError(f"{name} holds text with invalid characters: it is corrupt, get a fresh copy")
    if dtype.kind == "b" and payload.max(initial=0) > 1:  # NumPy defines no boolean for other bytes
        raise DataError(f"{name} holds booleans that are neither 0 nor 1: it is corrupt, get a fresh copy")


def _place(source: _Source) -> tuple[bytes, ArrayPlace]:
    """Return the first bytes of a stream in NPY format, and where its array lies."""
    name = source.name
    head = source.stream.read(_NPY_HEADER)
    header = io.BytesIO(head)  # a limited header: NumPy would read up to 4 GiB from the file before any check
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns about headers that Python 2 wrote
            version = npy.read_magic(header)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"NPY version {version[0]}.{version[1]}")
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran_order, dtype = reader(header)
    except Exception as error:  # a bad header may raise SyntaxError, TokenError, RecursionError and others
        raise DataError(f"{name} is not a valid NPY file ({reason(error)}): get a fresh copy") from error
    if dtype.hasobject:
        raise DataError(
            f"{name} holds pickled Python objects, which fastnet never loads: save plain numbers, or text with "
            ".astype(str)"
        )
    if dtype.kind not in "biufU" or not dtype.itemsize:
        kind = "records" if dtype.names else f"data of type {str(dtype)[:40]}"
        raise DataError(f"{name} holds {kind}; expected numbers: save an array of plain numbers")
    _n_bytes(source, header.tell(), shape, dtype)
    return head, ArrayPlace(shape, dtype, fortran_order, header.tell())


def _check_zip_directory(file: BinaryIO, size: int, name: str) -> None:
    """Refuse a zip file with a huge table of contents before zipfile makes an object of each entry."""
    file.seek(max(0, size - 65_535 - 22))
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        raise DataError(f"{name} is not an NPZ file, or it is cut short: get a fresh copy")
    # A zip64 record just before the end record would override the end record's numbers.
    if int.from_bytes(tail[end + 12 : end + 16], "little") > _MAX_DIRECTORY or tail[:end][-20:-16] == b"PK\6\7":
        raise DataError(f"{name} has a table of contents that is too long: expected an NPZ file of a few arrays")
    file.seek(0)


def _check_members(members: list[zipfile.ZipInfo], size: int, name: str, max_bytes: int | None) -> None:
    """Refuse members with impossible sizes, or with too many bytes in total, before any member is read."""
    for member in members:
        if not member.filename.endswith(".npy"):
            raise DataError(
                f"{name} holds {shown(member.filename)}, which is not an array; expected an NPZ file: save a "
                "spreadsheet as CSV, and arrays with numpy.savez"
            )
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{name} is encrypted or has an unusual compression: save it with numpy.savez")
        if member.file_size > member.compress_size * _EXPANSION:
            raise DataError(f"{name} announces more data than fits into it: it is corrupt, get a fresh copy")
    if len({member.filename for member in members}) < len(members):
        raise DataError(f"{name} holds two arrays of the same name: save it again with numpy.savez")
    if sum(member.compress_size for member in members) > size:  # overlapping members, as in a zip bomb
        raise DataError(f"{name} announces more data than the file holds: it is corrupt, get a fresh copy")
    packed = any(member.compress_type == zipfile.ZIP_DEFLATED for member in members)
    limit, total = _limit(max_bytes, packed), sum(member.file_size for member in members)
    if limit is not None and total > limit:
        raise DataError(f"{name} unpacks to {total:,} bytes, over the limit of {limit:,}: use a smaller file")
