"""Readers of IDX, NPY and NPZ files that hold against hostile input.

A reader compares the size that a file announces with the bytes that are there before it allocates memory.
Nothing is unpickled.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import warnings
import zipfile
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fastnet.data.files import PathLike, reading
from fastnet.errors import DataError
from fastnet.text import reason, shown

Array: TypeAlias = NDArray[Any]

_CHUNK = 1 << 20
_EXPANSION = 1032  # deflate packs at most this many bytes into one, so a stream that claims more is lying
_MAX_UNPACKED = 4 << 30  # what a compressed file may unpack to, unless the caller sets its own limit
_MAX_DIRECTORY = 1 << 20  # bytes of a zip's table of contents; zipfile makes it some ten times larger in memory
_NPY_HEADER = 12 + 10_000  # the longest header that NumPy itself accepts
_IDX_DIMENSIONS = 8
_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


class _Source(NamedTuple):
    """A stream of uncompressed bytes, and how many it can hold: exactly known if `least` equals `most`."""

    stream: io.BufferedIOBase
    name: str
    least: int
    most: int


def read_idx(path: PathLike, *, sha256: str | None = None, max_bytes: int | None = None) -> Array:
    """Read an IDX file, plain or gzipped.

    Parameters
    ----------
    path : path
        The file; its content, not its name, tells whether it is gzipped.
    sha256 : str, optional
        The hexadecimal SHA-256 that the uncompressed file, header included, must have.
    max_bytes : int, optional
        The largest payload to accept. The default is 4 GiB for a gzipped file and no limit for a plain one.

    Returns
    -------
    array
        In the file's shape and dtype (uint8, int8, int16, int32, float32 or float64), native byte order,
        writeable.

    Raises
    ------
    DataError
        The file cannot be read, is not a sound IDX file, is too large or has another SHA-256.
    """
    with reading(path) as (file, size):
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        name = shown(path)
        source = _Source(gzip.GzipFile(fileobj=file), name, 0, size * _EXPANSION) if packed else None
        source = source or _Source(file, name, size, size)
        head = source.stream.read(4 + 4 * _IDX_DIMENSIONS)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES:
            raise DataError(f"{name} is not an IDX file: expected it to start with two zero bytes and a type code")
        offset = 4 + 4 * head[3]
        if not 1 <= head[3] <= _IDX_DIMENSIONS or len(head) < offset:
            raise DataError(f"{name} is not a sound IDX file: expected 1 to {_IDX_DIMENSIONS} dimension sizes")
        shape = struct.unpack_from(f">{head[3]}I", head, 4)
        dtype = np.dtype(_IDX_TYPES[head[2]])
        payload = _payload(source, head, offset, shape, dtype, _limit(max_bytes, packed))
        if sha256 is not None:
            digest = hashlib.sha256(head[:offset])
            digest.update(payload.data)
            if digest.hexdigest() != sha256.lower():
                raise DataError(f"{name} is not the expected file: the SHA-256 of its content differs")
        return _shaped(payload, shape, dtype)


def read_npy(path: PathLike, *, max_bytes: int | None = None) -> Array:
    """Read an NPY file of plain numbers or text: any shape, native byte order; never a pickle.

    Raises
    ------
    DataError
        The file cannot be read, is not a sound NPY file, holds objects or records, or is over `max_bytes`.
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
        The most that all arrays together may take. The default is 4 GiB for compressed members and no limit
        for the others, which cannot be larger than the file.

    Returns
    -------
    dict of str to array
        In the file's order; numbers, booleans or text, 0-d text (``<U...``) included, in native byte order.

    Raises
    ------
    DataError
        The file cannot be read, is not a sound NPZ file, holds objects or records, or is too large.
    """
    with reading(path) as (file, size):
        name = shown(path)
        _check_zip_directory(file, size, name)
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members, size, name, max_bytes)
            arrays = {}
            for member in members:
                with archive.open(member) as stream:
                    label = f"{name}, array {shown(member.filename[:-4])},"
                    file_like = cast(io.BufferedIOBase, stream)  # the stubs promise less than there is
                    source = _Source(file_like, label, member.file_size, member.file_size)
                    arrays[member.filename.removesuffix(".npy")] = _npy_array(source, None)
            return arrays


def write_npz(file: BinaryIO, **arrays: Array) -> None:
    """np.savez, which on Ctrl-C may raise that it cannot close the archive: here what came first is raised."""
    try:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # allow_pickle takes a bool, and no array has that name
    except ValueError as error:
        raise error.__context__ or error from None


def _limit(max_bytes: int | None, packed: bool) -> int | None:
    return _MAX_UNPACKED if max_bytes is None and packed else max_bytes


def _payload(
    source: _Source, head: bytes, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], limit: int | None
) -> NDArray[np.uint8]:
    """Read the bytes of an array, once their number is known to be right: all that follows `head[:offset]`."""
    name = source.name
    # empty dimensions count as 1: NumPy refuses a shape of (0, 2**62, 2**62) with an error of its own
    most = math.prod(max(n, 1) for n in shape) * dtype.itemsize
    if len(shape) > 32 or min(shape, default=0) < 0 or most >= 1 << 62:
        raise DataError(f"{name} announces an impossible shape: it is corrupt, get a fresh copy")
    n_bytes = math.prod(shape) * dtype.itemsize
    if not source.least <= offset + n_bytes <= source.most:
        holds = "holds" if source.least == source.most else "can hold at most"
        held = f"{holds} {max(0, source.most - offset):,}"
        raise DataError(f"{name} announces {n_bytes:,} bytes of data but {held}: it is corrupt, get a fresh copy")
    if limit is not None and n_bytes > limit:
        raise DataError(f"{name} unpacks to {n_bytes:,} bytes, over the limit of {limit:,}: use a smaller file")
    payload = np.empty(n_bytes, np.uint8)
    view = payload.data
    start = head[offset : offset + n_bytes]
    view[: len(start)] = start
    done = len(start)
    while done < n_bytes:
        # in chunks, because the readinto of gzip and zipfile makes a bytes object as long as what it is given
        n_read = source.stream.readinto(view[done : done + _CHUNK])
        if not n_read:
            raise DataError(f"{name} ends after {done:,} of {n_bytes:,} bytes of data: get a fresh copy")
        done += n_read
    # reading on to the end also makes gzip and zipfile compare their checksums
    if len(head) > offset + n_bytes or source.stream.read(1):
        raise DataError(f"{name} goes on after the {n_bytes:,} bytes of data it announces: get a fresh copy")
    return payload


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
    name = source.name
    head = source.stream.read(_NPY_HEADER)
    header = io.BytesIO(head)  # NumPy would read a header of the length it claims, up to 4 GiB, then check it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote
            version = npy.read_magic(header)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"NPY version {version[0]}.{version[1]}")
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran_order, dtype = reader(header)
    except Exception as error:  # the header is a Python literal: SyntaxError, TokenError, RecursionError, ...
        raise DataError(f"{name} is not a sound NPY file ({reason(error)}): get a fresh copy") from error
    if dtype.hasobject:
        raise DataError(f"{name} holds pickled Python objects, which fastnet never loads: save plain numbers")
    if dtype.kind not in "biufU" or not dtype.itemsize:
        kind = "records" if dtype.names else f"data of type {str(dtype)[:40]}"
        raise DataError(f"{name} holds {kind}; expected numbers: save an array of plain numbers")
    payload = _payload(source, head, header.tell(), shape, dtype, limit)
    if dtype.kind == "U" and payload.size and payload.view(dtype.byteorder + "u4").max() > 0x10FFFF:
        raise DataError(f"{name} holds text with impossible characters: it is corrupt, get a fresh copy")
    if dtype.kind == "b" and payload.max(initial=0) > 1:  # NumPy does not say what they are
        raise DataError(f"{name} holds truth values that are neither 0 nor 1: it is corrupt, get a fresh copy")
    return _shaped(payload, shape, dtype, fortran_order)


def _check_zip_directory(file: BinaryIO, size: int, name: str) -> None:
    """Refuse a zip file with a giant table of contents before zipfile makes an object of each entry."""
    file.seek(max(0, size - 65_535 - 22))
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        raise DataError(f"{name} is not an NPZ file or is cut short: get a fresh copy")
    # the 64-bit record, announced just before, could overrule what this one says
    if int.from_bytes(tail[end + 12 : end + 16], "little") > _MAX_DIRECTORY or tail[:end][-20:-16] == b"PK\6\7":
        raise DataError(f"{name} has too long a table of contents for an NPZ file: expected a few arrays")
    file.seek(0)


def _check_members(members: list[zipfile.ZipInfo], size: int, name: str, max_bytes: int | None) -> None:
    """Refuse members whose sizes cannot be true, or are too large together, before any is read."""
    for member in members:
        if not member.filename.endswith(".npy"):
            raise DataError(f"{name} holds {shown(member.filename)}, which is not an array: expected an NPZ file")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{name} is encrypted or of an unusual compression: save it with numpy.savez")
        if member.file_size > member.compress_size * _EXPANSION:
            raise DataError(f"{name} announces more data than it can hold: it is corrupt, get a fresh copy")
    if len({member.filename for member in members}) < len(members):
        raise DataError(f"{name} holds two arrays of the same name: save it anew with numpy.savez")
    if sum(member.compress_size for member in members) > size:  # members that overlap: a bomb
        raise DataError(f"{name} announces more data than the file holds: it is corrupt, get a fresh copy")
    packed = any(member.compress_type == zipfile.ZIP_DEFLATED for member in members)
    limit, total = _limit(max_bytes, packed), sum(member.file_size for member in members)
    if limit is not None and total > limit:
        raise DataError(f"{name} unpacks to {total:,} bytes, over the limit of {limit:,}: use a smaller file")
