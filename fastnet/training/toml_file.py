"""Reads TOML files that people write: the limits, the messages, and the lines of the keys."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from fastnet.data.files import PathLike, checked_path, reading
from fastnet.errors import DataError
from fastnet.text import shown

MAX_BYTES = 1 << 20  # a run.toml with a thousand columns to drop has 30 kB
_HEAD = re.compile(r"\s*\[\[?([^\[\]]*)\]\]?\s*(?:#.*)?")  # the head of a table, alone on its line
_KEY = re.compile(r"\s*([\w-]+)\s*=")


@dataclass(frozen=True)
class TomlFile:
    """A file that was read.

    Attributes
    ----------
    name : str
        The file in messages.
    text : str
        Its content.
    tables : dict of str to Any
        What the text means.
    """

    name: str
    text: str
    tables: dict[str, Any]

    def lines(self, table: str) -> list[dict[str, int]]:
        """Return the number of the line of each key, for each table of this name in order.

        tomllib does not tell the lines. A key in quotes, or a line that only looks like a key, gives a wrong or no
        number: the numbers are for messages only.
        """
        found: list[dict[str, int]] = []
        is_in_table = False
        for number, line in enumerate(self.text.splitlines(), 1):
            if head := _HEAD.fullmatch(line):
                is_in_table = head[1].strip() == table
                if is_in_table:
                    found.append({})
            elif is_in_table and (key := _KEY.match(line)):
                found[-1][key[1]] = number
        return found


def read_toml(path: PathLike, kind: str, example: str) -> TomlFile:
    """Read a TOML file.

    Parameters
    ----------
    path : str or path
        The file.
    kind : str
        What the file is, for messages, such as "configuration".
    example : str
        The usual name of such a file.

    Raises
    ------
    DataError
        The file is missing, is too large, or is no TOML.
    """
    name = shown(checked_path("path", path))
    with reading(path) as (file, size):
        if size > MAX_BYTES:
            raise DataError(f"{name} has {size:,} bytes; a {kind} has at most {MAX_BYTES:,}: give a {example}")
        content = file.read()
    try:
        text = content.decode()
        tables = tomllib.loads(text)
    except RecursionError:
        raise DataError(f"{name} is no {kind}: its lists are nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise DataError(f"{name} is no TOML file ({one_line(error)}): correct it, or give another {example}") from None
    return TomlFile(name, text, tables)


def place(name: str, line: int | None) -> str:
    """Return a place in a file in words, such as "run.toml, line 5"."""
    return name if line is None else f"{name}, line {line}"


def one_line(value: object, most: int = 100) -> str:
    """Return what a file holds as a short printable text of at most `most` letters."""
    text = " ".join(str(value).split())[:most]
    return text if text.isprintable() else ascii(text)[1:-1]
