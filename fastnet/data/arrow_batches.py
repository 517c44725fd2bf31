"""Checks what the batches of an Arrow file announce, before pyarrow allocates memory for them.

pyarrow allocates as many bytes as a batch announces: the length of its body, and the length that each compressed buffer
will have. It shows neither number, so this module reads them from the file. The records are FlatBuffers:
https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

_END = 10  # bytes after the footer: its length, and ARROW1
_BLOCK = "<qi4xq"  # where a batch lies: its offset, the length of its record, the length of its body
_BUFFER = "<qq"  # where a buffer lies in the body, and its length
_DICTIONARY = 2  # the type of a record that wraps another batch


def announced_bytes(file: BinaryIO, size: int) -> int:
    """Return the memory that the batches of an Arrow file announce.

    Parameters
    ----------
    file : binary file
        The file, open for reading.
    size : int
        Its size in bytes.

    Returns
    -------
    int
        The bytes of all bodies and of all compressed buffers after they are unpacked.

    Raises
    ------
    ValueError, struct.error
        The footer or a record is invalid, or a batch lies beyond the end of the file.
    """
    (length,) = struct.unpack("<i", _read(file, size - _END, 4))
    footer = _read(file, size - _END - length, length)
    root, total, seen = _followed(footer, 0), 0, 0
    for field in (2, 3):  # the dictionaries and the batches of rows
        for offset, n_record, n_body in _structs(footer, _field(footer, root, field), _BLOCK):
            seen += n_record + n_body
            if min(offset, n_record, n_body) < 0 or offset + n_record + n_body > size or seen > size:
                raise ValueError("a batch lies beyond the end of the file")
            record = _read(file, offset, n_record)
            total += sum(_lengths(file, record[8 if record[:4] == b"\xff" * 4 else 4 :], offset + n_record, n_body))
    return total


def _lengths(file: BinaryIO, record: bytes, body: int, n_body: int) -> Iterator[int]:
    """Yield the length of a batch's body, and the lengths of its compressed buffers after they are unpacked."""
    root = _followed(record, 0)
    kind, batch, length = (_field(record, root, k) for k in (1, 2, 3))
    announced = _number(record, "<q", length) if length else 0
    if not 0 <= announced <= n_body:
        raise ValueError("a batch is longer than its place in the file")
    yield announced
    batch = _followed(record, batch)
    if kind and record[kind] == _DICTIONARY:
        batch = _followed(record, _field(record, batch, 1))
    if _field(record, batch, 3):  # the buffers are compressed
        for offset, n_bytes in _structs(record, _field(record, batch, 2), _BUFFER):
            if not 0 <= offset <= offset + n_bytes <= n_body:
                raise ValueError("a buffer lies outside of its batch")
            if n_bytes:
                yield max(0, _number(_read(file, body + offset, 8), "<q", 0))  # -1: this one is not compressed


def _read(file: BinaryIO, start: int, count: int) -> bytes:
    if start < 0 or count < 0:
        raise ValueError("the footer is invalid")
    file.seek(start)
    return file.read(count)


# -- FlatBuffers -------------------------------------------------------------------------------------------------------


def _number(data: bytes, form: str, at: int) -> Any:
    if at < 0:
        raise ValueError("a record is invalid")
    return struct.unpack_from(form, data, at)[0]


def _followed(data: bytes, at: int) -> int:
    """Return the place that an offset points to."""
    return at + int(_number(data, "<I", at))


def _field(data: bytes, table: int, k: int) -> int:
    """Return the place of field number k of a table, or 0 if the table has no such field."""
    names = table - _number(data, "<i", table)
    if 4 + 2 * k >= _number(data, "<H", names):
        return 0
    offset = int(_number(data, "<H", names + 4 + 2 * k))
    return table + offset if offset else 0


def _structs(data: bytes, at: int, form: str) -> Iterator[tuple[Any, ...]]:
    """Yield the entries of a vector of structs, none for a missing vector."""
    if at:
        start = _followed(data, at)
        n = _number(data, "<I", start)
        yield from struct.iter_unpack(form, data[start + 4 : start + 4 + n * struct.calcsize(form)])
