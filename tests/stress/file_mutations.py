"""Random changes of a file's bytes. Some changes also correct the checksum, so that a reader reads on."""

from __future__ import annotations

import gzip
import json
import random
import re
import struct
import zlib
from typing import Any

EXTREMES = (
    *(0, 1, -1, 2, 7, 127, 128, 255, 256, 32767, 65535, 65536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**31), -(2**63)),
)
# Numbers as text, for a header, a table or JSON.
NUMBERS = (*map(str, EXTREMES), "1e999", "-1e999", "1e-999", "nan", "inf", "-0", "0x10", "1_0", "1.5", "9" * 400, "")
MAX_BYTES = 1 << 16  # limit of a mutated file: larger files take time and find no other errors


def mutated(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Return a file with one to four changes. Parts of `other` may be inserted."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        content = rng.choice(_MUTATIONS)(rng, content, other)
    return content


def _flip(rng: random.Random, content: bytes, other: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8)) if changed else 0):
        changed[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Replace a number of 1 to 8 bytes by an extreme number."""
    size, order = rng.choice((1, 2, 4, 4, 8)), rng.choice(("little", "big"))
    at = _place(rng, content)
    number = (rng.choice(EXTREMES) % (1 << 8 * size)).to_bytes(size, order)
    return content[:at] + number + content[at + size :]


def _cut(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: _place(rng, content)] if rng.random() < 0.7 else content[: -rng.choice((1, 2, 4, 8, 22))]


def _extend(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return content + rng.choice((b"\0", b"\n", bytes(64), b"\xff" * 64, other[:500], content[:MAX_BYTES]))


def _remove(rng: random.Random, content: bytes, other: bytes) -> bytes:
    start, stop = _span(rng, content)
    return content[:start] + content[stop:]


def _double(rng: random.Random, content: bytes, other: bytes) -> bytes:
    start, stop = _span(rng, content)
    times = rng.choice((1, 1, 2, 50)) if (stop - start) * 50 < MAX_BYTES else 1
    return content[:stop] + content[start:stop] * times + content[stop:]


def _move(rng: random.Random, content: bytes, other: bytes) -> bytes:
    start, stop = _span(rng, content)
    rest = content[:start] + content[stop:]
    at = _place(rng, rest)
    return rest[:at] + content[start:stop] + rest[at:]


def _splice(rng: random.Random, content: bytes, other: bytes) -> bytes:
    if rng.random() < 0.5:
        return content[: _place(rng, content)] + other[_place(rng, other) :]
    start, stop = _span(rng, other)
    at = _place(rng, content)
    return content[:at] + other[start:stop] + content[at + rng.choice((0, stop - start)) :]


def _digits(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Replace a number written in digits by one of NUMBERS."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", content[:4096]))
    if not found:
        return _flip(rng, content, other)
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(NUMBERS).encode() + content[match.end() :]


_MUTATIONS = (_flip, _flip, _overwrite, _overwrite, _cut, _extend, _remove, _double, _move, _splice, _digits, _digits)


def _place(rng: random.Random, content: bytes) -> int:
    """Choose a place to change, often near the start or the end, where headers and tables are."""
    n = max(len(content), 1)
    where = rng.random()
    if where < 0.4:
        return rng.randrange(min(n, 64))
    if where < 0.55:
        return n - 1 - rng.randrange(min(n, 64))
    return rng.randrange(n)


def _span(rng: random.Random, content: bytes) -> tuple[int, int]:
    start = _place(rng, content)
    return start, min(len(content), start + rng.choice((1, 2, 4, 8, 16, 64, 256, 1024)))


# -- changes inside a container, with new checksums ---------------------------------------------------------------


def inner(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Mutate the content of a gzip stream, the chunks of a PNG, the values of JSON, or the bytes of any other file."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.compress(mutated(rng, gzip.decompress(content), other), rng.choice((0, 1, 9)), mtime=0)
    if content.startswith(b"\x89PNG"):
        return _png(rng, content, other)
    if content.startswith(b"{"):
        return mutated_json(rng, json.loads(content)).encode("utf-8", "surrogatepass")
    return mutated(rng, content, other)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file with the right checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(rng: random.Random, content: bytes, other: bytes) -> bytes:
    chunks, at = [], 8
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += length + 12
    i = rng.randrange(len(chunks))
    kind, body = chunks[i]
    what = rng.random()
    if kind == b"IDAT" and what < 0.5:
        chunks[i] = kind, zlib.compress(mutated(rng, zlib.decompress(body), other))
    elif what < 0.7:
        chunks[i] = kind, mutated(rng, body, other)
    elif what < 0.8:
        chunks.insert(rng.randrange(len(chunks)), chunks[i])
    else:
        name = rng.choice((b"PLTE", b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"gAMA", b"pHYs"))
        bomb = b"x\0\0" + zlib.compress(bytes(rng.choice((100, 5_000_000))))
        chunks.insert(rng.randrange(1, len(chunks) + 1), (name, rng.choice((b"", bomb, bytes(300), other[:300]))))
    return content[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


# -- JSON ----------------------------------------------------------------------------------------------------------

_VALUES = (
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 10**400, float("nan"), float("inf"), -0.0, "", "x", "\ud800", "\n"),
    *("a\0b", "9" * 50, "x" * 5000, [], {}, [None], [[]], {"": {}}, ["x"] * 300, [1e308] * 300, {"cost": []}),
)


def mutated_json(rng: random.Random, document: Any) -> str:
    """Return a document's JSON text with one to three changed values or keys. The text is not always valid JSON."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        document = _changed(rng, document)
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    what = rng.random()
    if what < 0.05 and text.startswith("{") and len(text) > 2:
        return text[:-1] + ", " + text[1:]  # an object then has every key twice
    if what < 0.1:
        at = rng.choice([match.end() for match in re.finditer(r"[:\[]", text)] or [0])
        deep = rng.choice((10, 900, 30_000))
        return text[:at] + rng.choice(("[", '{"a":', "-", " ", "1")) * deep + text[at:]
    if what < 0.15:
        return rng.choice(("\ufeff", "\0", " ", "//", "'")) + text
    return text


def _changed(rng: random.Random, value: Any) -> Any:
    """Return the value with one change somewhere inside, or another value."""
    inside = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    if not inside or rng.random() < 0.1:
        return rng.choice(_VALUES)
    key, entry = rng.choice(inside)
    copy = value.copy()
    what = rng.random()
    if what < 0.15:
        del copy[key]
    elif what < 0.25 and isinstance(copy, dict):
        copy[rng.choice((f"{key} ", "", "format", "\ud800"))] = copy.pop(key)
    elif what < 0.25:
        copy *= rng.choice((0, 2, 50))
    else:
        copy[key] = _changed(rng, entry)
    return copy
