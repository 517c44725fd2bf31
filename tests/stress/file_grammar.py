"""Hostile files, built from the descriptions of the formats. Any field may be wrong."""

from __future__ import annotations

import functools
import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from .file_mutations import EXTREMES, NUMBERS, inner, mutated, mutated_json, png_chunk

Lie = Callable[[str, int], int]  # (name of a field, true value) -> value to write
BOMB = 1_000_000  # bytes of an unpacked bomb, all zero; deflate packs the bomb into 1 KB
MAX_BYTES = 1 << 22  # limit of a zip file with repeated members


def honest(field: str, number: int) -> int:
    return number


def liar(rng: random.Random, share: float = 0.1) -> Lie:
    """Return a function that falsifies a field with the probability `share`."""

    def lie(field: str, number: int) -> int:
        if rng.random() >= share:
            return number
        return rng.choice((*EXTREMES, number + 1, number - 1, number * 2, rng.randrange(256)))

    return lie


def packed(form: str, *numbers: int) -> bytes:
    """Return struct.pack(form, *numbers). Of a number that is too large for its field, only the lowest bytes remain."""
    order, codes = form[0], form[1:]
    return b"".join(
        struct.pack(order + code.upper(), number % (1 << 8 * struct.calcsize(code)))
        for code, number in zip(codes, numbers, strict=True)
    )


# -- NPY and NPZ -----------------------------------------------------------------------------------------------------

# A pickle that calls a function when it is loaded.
PICKLE = b"cos\ngetpid\n(tR."
_CODE = "__import__('os').getpid()"
_DESCRIPTIONS = (
    *("'<f4'", "'<f8'", "'>f4'", "'>i8'", "'|u1'", "'|b1'", "'<i4'", "'<U7'", "'>U3'", "'|S5'", "'<f2'", "'=f4'"),
    *("'|O'", "'O'", "'<c8'", "'<M8[s]'", "'<m8'", "'|V8'", "'|V0'", "'|S0'", "'<U0'", "'<f16'", "'<U2147483647'"),
    *("'f4,,'", "'3f4'", "'f4, O'", "'(2,)f4'", "'object'", "'float'", "''", "'\\\\x'", "5", "None", "[]", "()", "{}"),
    *("[('a', '<f4')]", "[('a', '|O')]", "[('a', '<f4', (1000000, 1000000))]", "('<f4', (1000000,))", "b'<f4'"),
    *("{'names': ['a'], 'formats': ['<f4'], 'offsets': [2147483647]}", "[('', '<f4'), ('', '<f4')]", "[('a', [])]"),
    *("{'names': ['a', 'a'], 'formats': ['f4', 'f4']}", "'U536870911'", "'a' * 1000", _CODE, "('O', {'a': 1})"),
)
_SHAPES = (
    *("()", "(1,)", "(3, 2)", "(2, 2, 2)", "(0,)", "(0, 5)", "(-1,)", "(-1, -1)", "(1,) * 33", "3", "[3]", "None"),
    *("(4611686018427387904,)", "(9223372036854775807,)", "(18446744073709551616,)", "(4294967296, 4294967296)"),
    *("(0, 4611686018427387904, 4611686018427387904)", "(True,)", "(1.0,)", "('1',)", "(1L,)", "((1,),)", "(1e9,)"),
    *("(1000000,)", "(100000000,)", f"({'9' * 3000},)", f"({'1, ' * 33})", f"({'1, ' * 65})", f"({'1, ' * 2500})"),
    _CODE,
)


def npy(rng: random.Random) -> bytes:
    """Return an NPY file with an arbitrary header."""
    descr = rng.choice(_DESCRIPTIONS[:12] if rng.random() < 0.5 else _DESCRIPTIONS)
    shape = rng.choice(_SHAPES[:5] if rng.random() < 0.5 else _SHAPES)
    entries = [f"'descr': {descr}", f"'fortran_order': {rng.choice(('False', 'False', 'True', '0', 'None', _CODE))}"]
    entries += [f"'shape': {shape}"]
    what = rng.random()
    if what < 0.03:
        entries.pop(rng.randrange(3))
    elif what < 0.08:
        entries.append(rng.choice(("'shape': (1,)", "'more': 1", "1: 2", f"{_CODE}: 1", "**{}")))
    header = "{" + ", ".join(entries) + ", }"
    if what > 0.93:
        deep = rng.choice((50, 3_000, 9_000))
        header = rng.choice(
            ("(" * deep, "[" * deep, "-" * deep, f"{header}\n{header}", "{", header[:-5], "\\", "'\\N{")
        )
    text = (header + " " * rng.choice((0, 10, 63)) + "\n").encode(rng.choice(("latin-1", "utf-16")))
    version, lie = rng.choice(((1, 0),) * 6 + ((2, 0), (3, 0), (0, 0), (255, 255))), liar(rng, 0.05)
    length = packed("<H" if version == (1, 0) else "<I", lie("length", len(text)))
    return b"\x93NUMPY" + bytes(version) + length + text + _payload(rng, descr, shape)


def _payload(rng: random.Random, descr: str, shape: str) -> bytes:
    """Return data that match a header. If no data match, and sometimes at random, return other data."""
    if "O" in descr or rng.random() < 0.15:
        return rng.choice((PICKLE, PICKLE, b"", b"\x80\x04" + PICKLE, bytes(rng.randrange(200)), b"\xff" * 64))
    try:
        dtype, counts = np.dtype(descr.strip("'")), [int(n) for n in shape.strip("()").split(",") if n]
    except (TypeError, ValueError, SyntaxError):
        return PICKLE
    n_bytes = int(np.prod(counts, dtype=object)) * dtype.itemsize
    return rng.choice((bytes, rng.randbytes))(n_bytes) if 0 <= n_bytes < 4096 else PICKLE


def saved(array: object) -> bytes:
    """Return a valid NPY file."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def zipped(members: list[tuple[str, bytes]], pack: bool, lie: Lie = honest, comment: bytes = b"") -> bytes:
    """Return a zip file of these members, deflated or stored. `lie` may falsify every field."""
    body, directory = b"", b""
    for name, content in members:
        raw = name.encode("utf-8", "surrogatepass")
        stored = _deflated(content) if pack else content
        fields = {"version": 20, "flags": 0, "method": 8 if pack else 0, "time": 0, "date": 33}
        fields |= {"crc": zlib.crc32(content), "size": len(stored), "unpacked": len(content), "name": len(raw)}
        extra = b"\1\0\x10\0" + packed("<QQ", lie("unpacked", len(content)), lie("size", len(stored)))
        extra = b"" if lie("extra", 0) == 0 else extra
        told = [lie(field, number) for field, number in fields.items()]
        at = lie("offset", len(body))
        body += b"PK\3\4" + packed("<HHHHHIIIHH", *told, lie("extra length", len(extra))) + raw + extra + stored
        told = [lie(field, number) for field, number in fields.items()]
        lengths = lie("extra length", len(extra)), lie("comment", 0), lie("disk", 0), lie("attributes", 0), 0, at
        directory += b"PK\1\2" + packed("<HHHHHHIIIHHHHHII", 20, *told, *lengths) + raw + extra
    count, size = lie("count", len(members)), lie("directory", len(directory))
    end = packed("<HHHHIIH", lie("disk", 0), 0, count, count, size, lie("directory at", len(body)), len(comment))
    return body + directory + b"PK\5\6" + end + comment


def _deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def npz(rng: random.Random, sound: Sequence[tuple[str, bytes]], other: bytes) -> bytes:
    """Return an NPZ file with changed members, or with false fields in its zip structure. The checksums are right."""
    members, lie, what = list(sound), honest, rng.random()
    i = rng.randrange(len(members))
    name, content = members[i]
    if name in ("about.npy", "training.npy") and what < 0.8:
        members[i] = name, about(rng, np.load(io.BytesIO(content)))
    elif what < 0.35:
        members[i] = name, mutated(rng, content, other)
    elif what < 0.6:
        members[i] = name, npy(rng)
    elif what < 0.8:
        lie = liar(rng, 0.05)
    elif what < 0.85:
        zeros = saved(np.zeros(rng.choice((10, BOMB)), np.uint8))
        members[i] = name, rng.choice((zeros, zeros[:128] + bytes(rng.choice((0, BOMB)))))
    elif what < 0.9:
        members.insert(i, rng.choice(members))
    elif what < 0.92:
        times = rng.choice((0, 50, 2000 if rng.random() < 0.05 else 3))
        members *= times if times * sum(len(content) for _, content in members) < MAX_BYTES else 2
    else:
        names = ("", ".npy", "x", "../x.npy", "/etc/x.npy", "a\nb.npy", "\ud800.npy", "x" * 3000 + ".npy", "y.npy")
        members[i] = rng.choice((*names, "x\0y.npy", "x_train.npy", "y.npy.npy", "X.NPY", "x/y.npy")), content
    return zipped(members, rng.random() < 0.5, lie, rng.choice((b"", b"", b"", b"PK\5\6", bytes(70_000), other[:400])))


def about(rng: random.Random, array: np.ndarray) -> bytes:
    """Return a changed description of a network, which is a text, or of a training, which is the bytes of a text."""
    is_text = array.dtype.kind == "U"
    changed = mutated_json(rng, json.loads(str(array) if is_text else array.tobytes()))
    try:
        return saved(changed if is_text else np.frombuffer(changed.encode(), np.uint8))
    except (UnicodeError, ValueError):
        return saved(ascii(changed))


# -- safetensors -----------------------------------------------------------------------------------------------------


def safetensors(rng: random.Random, content: bytes) -> bytes:
    """Return a safetensors file with a changed description, header or length."""
    length = int.from_bytes(content[:8], "little")
    header, payload = json.loads(content[8 : 8 + length]), content[8 + length :]
    metadata = header["__metadata__"]
    what, lie = rng.random(), liar(rng)
    if what < 0.4:
        metadata["fastnet"] = mutated_json(rng, json.loads(metadata["fastnet"]))
    elif what < 0.6:
        name = rng.choice([name for name in header if name != "__metadata__"])
        header[name] |= {
            "dtype": rng.choice(("F32", "F64", "BF16", "F8_E4M3", "F4", "I64", "BOOL", "C64", "", "F99")),
            "shape": [lie("length", n) for n in header[name]["shape"]],
            "data_offsets": [lie("offset", n) for n in header[name]["data_offsets"]],
        }
    elif what < 0.65:
        metadata |= {str(k): "x" for k in range(rng.choice((1, 1000)))}
    elif what < 0.7:
        header |= {f"t{k}": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]} for k in range(1000)}
    text = mutated_json(rng, header) if what > 0.7 else json.dumps(header)
    raw = text.encode("utf-8", "surrogatepass") + b" " * rng.choice((0, 0, 7))
    return packed("<Q", lie("header", len(raw))) + raw + payload


# -- IDX, tables and pictures ----------------------------------------------------------------------------------------


def idx(rng: random.Random) -> bytes:
    lie = liar(rng)
    code = rng.choice((8, 8, 9, 11, 12, 13, 14, rng.randrange(256)))
    shape = [rng.choice((0, 1, 2, 3, 5)) for _ in range(rng.choice((1, 2, 3, 8, 9, 255)))]
    size = {8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8}.get(code, 1)
    n_bytes = lie("bytes", int(np.prod(shape, dtype=object)) * size) % 5000
    head = packed(">HBB", lie("zero", 0), code, lie("dimensions", len(shape)))
    content = head + b"".join(packed(">I", lie("length", n)) for n in shape) + rng.randbytes(n_bytes)
    return gzipped(rng, content) if rng.random() < 0.4 else content


def gzipped(rng: random.Random, content: bytes) -> bytes:
    """Return a gzip file, perhaps with several members, optional fields, trailing rubbish or far too much content."""
    what = rng.random()
    if what < 0.1:
        content += bytes(rng.choice((1, BOMB)))
    stream = gzip.compress(content, 6, mtime=0)
    if what > 0.9:
        stream += rng.choice((gzip.compress(b""), stream, bytes(5), b"\x1f\x8b", b"x")) * rng.choice((1, 1, 300))
    elif what > 0.8:
        flags = rng.randrange(256)
        stream = stream[:3] + bytes((flags,)) + stream[4:10] + rng.choice((b"a\0", b"\xff\xff", b"")) + stream[10:]
    elif what > 0.7:
        stream = stream[:-8] + packed("<II", *(liar(rng, 0.5)("end", n) for n in struct.unpack("<II", stream[-8:])))
    return stream


_CELLS = ("0", "1", "2.5", "-3", "255", " 7 ", '"4"', '"a,b"', '"', '""', "", "x", "\0", "#", "'1'", "1;2", "\u0663")


def table(rng: random.Random) -> bytes:
    separator = rng.choice((",", ",", ",", ";", "\t", " ", ",;"))
    end = rng.choice(("\n", "\n", "\r\n", "\r", "\n\n", "\0"))
    columns, share = rng.choice((0, 1, 2, 3, 20, 1000 if rng.random() < 0.1 else 5)), rng.choice((0, 0.02, 0.3))
    lines = []
    for row in range(rng.choice((0, 1, 2, 10))):
        n = columns if rng.random() > 0.02 else rng.randrange(columns + 2)
        cells = [rng.choice(_CELLS + NUMBERS) if rng.random() < share else str(rng.randrange(300)) for _ in range(n)]
        if row == 0 and rng.random() < 0.4:
            cells = [rng.choice(("label", "y", "a", "", "a", "\n", '"q"', "é", "x" * 200)) for _ in range(n)]
        lines.append(separator.join(cells))
    text = end.join(lines) + rng.choice(("", end))
    what = rng.random()
    if what < 0.02:
        text = rng.choice(("1," * 30_000, '"' * 9999, '"' + "a" * 140_000, "9" * 100_000, "1\n" * 20_000, "\n" * 9999))
    if what > 0.9:
        return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\0")) + text.encode()
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1")), "replace")


_VALUES = ("true", "nan", "-inf", '""', '"x"', "[]", "{}", "[[]]", "[1, [2]]", "[1, 2]", "{uniform = [0, 1]}", "1e400")
_VALUES += ("{integers = [1, 1e9]}", "{loguniform = [-1, 1]}", "{a = {b = 1}}", "2020-01-01", "12:30:00", "'a'", "0x_")
_KEYS = ("hidden", "epochs", "dtype", "seed", "a b", "", "é", "[space]", "[[space]]")


def toml(rng: random.Random, content: bytes) -> bytes:
    """Return a file of keys and values in which lines have other keys or values, or stand twice."""
    lines = content.decode().splitlines()
    for _ in range(rng.choice((1, 1, 2, 5))):
        k = rng.randrange(len(lines))
        key, sign, value = lines[k].partition("=")
        what = rng.random()
        if what < 0.6:
            lines[k] = f"{key}{sign or '='} {rng.choice(_VALUES + NUMBERS)}"
        elif what < 0.75:
            lines[k] = f"{rng.choice(_KEYS)} ={value}"
        else:
            lines.insert(k, rng.choice((*lines, "[other]", "[[space]]", "[space]", "", "#")))
    return "\n".join(lines).encode()


def picture(rng: random.Random) -> bytes:
    return rng.choice((_png, _bitmap, _anymap, _tiff, _gif))(rng)


def _sides(rng: random.Random) -> tuple[int, int]:
    width = _side(rng)
    return width, width if rng.random() < 0.5 else _side(rng)


def _side(rng: random.Random) -> int:
    return rng.choice((8, 8, 8, 1, 2, 28, 10_000, 4096 if rng.random() < 0.02 else 64, *EXTREMES[-12:]))


def _png(rng: random.Random) -> bytes:
    width, height = _sides(rng)
    depth, color = rng.choice((1, 2, 4, 8, 8, 8, 16, 3)), rng.choice((0, 2, 3, 4, 6, 5))
    header = packed(">IIBBBBB", width, height, depth, color, *(rng.choice((0, 0, 0, 1, 255)) for _ in range(3)))
    pixels = bytes(min((width * 4 + 1) * height % (1 << 31), 1 << (26 if rng.random() < 0.005 else 17)))
    chunks = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(pixels, 1)), png_chunk(b"IEND", b"")]
    palette = png_chunk(b"PLTE", rng.randbytes(rng.choice((0, 3, 4, 768, 900))))
    more = rng.choice((b"", palette, palette + png_chunk(b"tRNS", rng.randbytes(rng.choice((0, 1, 2, 6, 256, 300))))))
    return b"\x89PNG\r\n\x1a\n" + chunks[0] + more + b"".join(chunks[1:])


def _bitmap(rng: random.Random) -> bytes:
    lie, size = liar(rng, 0.05), rng.choice((12, 40, 40, 40, 56, 64, 108, 124))
    depth = rng.choice((1, 4, 8, 16, 24, 32, 2))
    head = packed("<IiiHHIIiiII", size, *_sides(rng), 1, depth, rng.choice((0, 0, 1, 2, 3, 4)), 0, 0, 0, 0, 0)
    head = head[:size].ljust(size, b"\0")
    rest = rng.randbytes(rng.choice((0, 64, 192, 1200)))
    return b"BM" + packed("<IHHI", lie("size", 14 + size + len(rest)), 0, 0, lie("offset", 14 + size)) + head + rest


def _anymap(rng: random.Random) -> bytes:
    kind = rng.choice(("P1", "P2", "P3", "P4", "P5", "P5", "P6", "P7", "Pf", "Py"))
    sides = [rng.choice(("8", "8", "1", *NUMBERS)) for _ in range(2)]
    most = rng.choice(("255", "255", "1", "65535", *NUMBERS))
    space = rng.choice((" ", "\n", "\t", "\n# a remark\n", "  "))
    text = space.join((kind, *sides, most)) + rng.choice(("\n", " ", ""))
    return text.encode() + rng.choice((rng.randbytes(64), bytes(192), b"1 2 3 " * 60, b"", b"9" * 200, b" " * 5000))


def _tiff(rng: random.Random) -> bytes:
    lie, order = liar(rng, 0.06), rng.choice("<>")
    pixels = rng.randbytes(64)
    tags = {256: (4, 8), 257: (4, 8), 258: (3, 8), 259: (3, rng.choice((1, 1, 5, 7, 8, 32773)))}
    tags |= {262: (3, rng.choice((0, 1, 2, 3))), 273: (4, 8), 274: (3, rng.randrange(10)), 277: (3, 1), 278: (4, 8)}
    tags |= {279: (4, len(pixels))} | {rng.randrange(65536): (rng.randrange(14), rng.randrange(99)) for _ in range(2)}
    entries = [
        packed(order + "HHI" + "I", lie("tag", tag), lie("type", kind), lie("count", 1), lie("value", value))
        if kind != 3
        else packed(order + "HHIHH", lie("tag", tag), 3, lie("count", 1), lie("value", value), 0)
        for tag, (kind, value) in sorted(tags.items())
    ]
    start = b"II*\0" if order == "<" else b"MM\0*"
    directory = packed(order + "H", lie("entries", len(entries))) + b"".join(entries)
    following = lie("next", 0) if rng.random() < 0.8 else 8 + len(pixels)  # back to the first: a loop
    return (
        start + packed(order + "I", lie("first", 8 + len(pixels))) + pixels + directory + packed(order + "I", following)
    )


def _gif(rng: random.Random) -> bytes:
    lie, side = liar(rng, 0.06), _side(rng) % 65536
    head = b"GIF8" + rng.choice((b"9a", b"7a", b"5a")) + packed("<HHBBB", lie("w", side), lie("h", 8), 0xF0, 0, 0)
    extension = rng.choice((b"", b"!\xf9\4\1\0\0\0\0", b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0", b"!\xfe\5hello\0"))
    frame = b"," + packed("<HHHHB", lie("x", 0), lie("y", 0), lie("w", 8), lie("h", 8), rng.choice((0, 64, 0x80)))
    data = bytes((rng.choice((2, 8, 11, 12, 255)),)) + b"".join(
        bytes((len(block),)) + block for block in (rng.randbytes(rng.choice((5, 30, 255))) for _ in range(2))
    )
    return head + rng.randbytes(6) + extension + frame + data + rng.choice((b"\0;", b"\0", b"", (frame + data) * 9))


# -- any format --------------------------------------------------------------------------------------------------


def hostile(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Return a hostile version of a valid file: changed bytes, changed content, or a new file of its kind."""
    what = rng.random()
    if what < 0.4:
        return mutated(rng, content, other)
    if content.startswith(b"PK"):
        return npz(rng, members(content), other)
    if content[8:9] == b"{":
        return safetensors(rng, content)
    if what < 0.7:
        return inner(rng, content, other)
    if content.startswith(b"{"):
        return mutated_json(rng, json.loads(content)).encode("utf-8", "surrogatepass")
    if content.startswith(b"\x93NUMPY"):
        return npy(rng)
    if content.startswith((b"\0\0", b"\x1f\x8b")):
        return idx(rng)
    if content[:1].isdigit() or content.startswith(b"label"):
        return table(rng)
    if content.startswith(b"["):
        return toml(rng, content)
    if content.startswith((b"PAR1", b"ARROW1")):  # a footer of binary fields
        return mutated(rng, content, other)
    return picture(rng)


@functools.cache
def members(content: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return the members of a valid zip file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return tuple((name, archive.read(name)) for name in archive.namelist())
