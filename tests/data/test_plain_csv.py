"""pyarrow's way through a CSV file gives the same table as Python's, or the same error; blocks give it too."""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
import pytest

from fastnet.data import csv_tables, plain_csv
from fastnet.data.csv_tables import csv_blocks, read_csv
from fastnet.data.table import Table
from fastnet.errors import DataError

CELLS = {
    "int": ["1", "-2", "0", "007", " 5", "12345678", "-0"],
    "big": ["1", "9007199254740993", "9223372036854775808", "1e18"],
    "float": ["1.5", "2.0", ".5", "5.", "-1e-3", "1E5", "3"],
    "odd float": ["+3", "inf", "-Infinity", "1e400", "nan", "-nan", "0.1e-400", "1.7976931348623157e308"],
    "gap": ["", "NA", "nAn", "N/a", "null", "None", "?", "  ", "nan"],
    "bool": ["true", "False", "TRUE"],
    "text": ["setosa", " x", "y ", "größe", "0x10", "1_0", "nan(1)", "1,5", "٣", "2020-01-01", "12:30", "\x1f"],
    "quoted": ['"a"', '"a,b"', 'x"y', '"line\nbreak"'],
}
MIXTURES = [
    *([kind] for kind in CELLS),
    *(["int", "float"], ["int", "gap"], ["float", "gap"], ["bool", "gap"], ["text", "gap"], ["int", "bool"]),
    *(["int", "text"], ["float", "odd float", "gap"], ["int", "big"], ["text", "quoted"], ["gap", "text", "int"]),
]
ENDS = ["\n", "\n", "\n", "\r\n", "\r", "\n\n", "\n \n"]


@pytest.fixture(autouse=True)
def every_file_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_tables, "MIN_PLAIN", 0)


def drawn(rng: random.Random) -> bytes:
    """Return the content of a random CSV file. Each column changes its kind once at most, in any row."""
    separator, width, rows = rng.choice([",", ",", ";", "\t"]), rng.choice([1, 2, 3, 5]), rng.choice([0, 1, 3, 40, 200])
    end = rng.choice(ENDS)
    kinds = [rng.choice(MIXTURES[: -4 if rng.random() < 0.5 else None]) for _ in range(width)]
    late = [rng.choice([kind, kind, rng.choice(MIXTURES)]) for kind in kinds]
    change = rng.randrange(rows + 1)
    names = [f"c{k}" for k in range(width)]
    lines = [separator.join(names)] if rng.random() < 0.8 else []
    for row in range(rows):
        cells = [rng.choice(CELLS[rng.choice(kind)]) for kind in (kinds if row < change else late)]
        lines.append(separator.join(cells))
    if rng.random() < 0.05 and lines:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(["", "x", separator * width, "\0", "\ufeff1"]))
    text = end.join(lines) + end * rng.randrange(2)
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "latin-1"])
    return text.encode(encoding, "replace")


def outcome(tables: Iterable[Table]) -> tuple[object, ...]:
    """Return a table, or the error, as something that can be compared."""
    try:
        table = next(iter(tables))
    except DataError as error:
        return (str(error),)
    # The sign of -0 is lost where all cells of a block are whole numbers.
    values = [column + 0.0 if column.dtype.kind == "f" else column for column in table.columns.values()]
    return table.name, table.has_header, table.names, [(column.dtype, repr(column.tolist())) for column in values]


def test_pyarrow_reads_what_python_reads(tmp_path, monkeypatch):
    rng, seed = random.Random(), random.SystemRandom().randrange(10**9)
    rng.seed(seed)
    path, plain = tmp_path / "x.csv", list[int]()
    columns = plain_csv.PlainCsv.columns
    monkeypatch.setattr(plain_csv.PlainCsv, "columns", lambda *args: (columns(*args), plain.append(1))[0])
    for case in range(250):
        monkeypatch.setattr(plain_csv, "_CHUNK", rng.choice([100, 1000, 1 << 20]))
        path.write_bytes(drawn(rng))
        as_text = rng.choice([(), (), ("c0",)])
        found = outcome(read_csv(path, as_text) for _ in range(1))
        with monkeypatch.context() as patch:
            patch.setattr(csv_tables, "MIN_PLAIN", 1 << 60)
            wanted = outcome(read_csv(path, as_text) for _ in range(1))
        assert found == wanted, f"seed {seed}, case {case}: {path.read_bytes()[:2000]!r}"
    assert len(plain) > 100  # chunks


@pytest.mark.parametrize("late", ["7,x", '7,"x"', "7.5,x"], ids=["plain", "quoted", "float"])
@pytest.mark.parametrize("chunk", [50, 1 << 20])
def test_blocks_are_the_table(write, monkeypatch, late, chunk):
    monkeypatch.setattr(plain_csv, "_CHUNK", chunk)
    monkeypatch.setattr(csv_tables, "_BLOCK_CELLS", 20)
    path = write("x.csv", "\n".join(["a,b", *(f"{k},y" for k in range(100)), late]).encode())
    whole, blocks = read_csv(path), list(csv_blocks(path))
    assert [block.start for block in blocks] == np.cumsum([0, *map(len, blocks)])[:-1].tolist()
    for name in whole.names:
        assert np.concatenate([block[name] for block in blocks]).tolist() == whole[name].tolist()
    assert len(blocks) > 1 or (chunk > 50 and '"' not in late)


def test_a_byte_order_mark_is_left_out_at_the_start_of_the_file_only(write):
    table = read_csv(write("x.csv", "\ufeffname\n\ufeffx\ny\n".encode()))
    assert table.names == ["name"]
    assert table["name"].tolist() == ["\ufeffx", "y"]


def test_blocks_refuse_what_the_table_refuses(write):
    path = write("x.csv", b"a,b\n" + b"1,2\n" * 60_000 + b"1\n")
    with pytest.raises(DataError, match="line 60002: expected 2 cells"):
        list(csv_blocks(path))
    with pytest.raises(DataError, match="no rows"):
        list(csv_blocks(write("x.csv", b"a,b\n")))
