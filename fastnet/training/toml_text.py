"""Writes tables as TOML text. Python reads TOML with `tomllib`, but writes none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")  # a key that needs no quotes
_ESCAPES = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r", '"': r"\"", "\\": r"\\"}
_SPECIAL = re.compile(r'[\x00-\x1f\x7f"\\]')  # what a text in quotes may hold only as an escape


def toml_text(tables: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """Return a table as a TOML document that `tomllib.loads` reads back.

    Parameters
    ----------
    tables : mapping of str to Any
        Texts, bools, whole numbers, floats, lists and tuples, and mappings of these. An entry of None is left out.
    comments : mapping of str to str, optional
        A comment of one or more lines for each top-level table, by its key. The key "" is for the head of the document.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        A value has another type.
    ValueError
        A text holds half of a surrogate pair, which UTF-8 has no bytes for.

    Examples
    --------
    >>> print(toml_text({"options": {"layers": [4, 3], "data": "iris.csv"}}, {"options": "To repeat."}), end="")
    # To repeat.
    [options]
    layers = [4, 3]
    data = "iris.csv"
    """
    notes = comments or {}
    lines = [*_comment(notes.get("", "")), *_table((), tables, notes)]
    text = "\n".join(lines).lstrip("\n") + "\n"
    text.encode()  # raises UnicodeEncodeError, which is a ValueError
    return text


def _table(path: tuple[str, ...], entries: Mapping[str, Any], comments: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a table: its values first, since a line after the head of a table belongs to that table."""
    inner = {key: value for key, value in entries.items() if isinstance(value, Mapping)}
    for key, value in entries.items():
        if key not in inner and value is not None:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        yield ""
        yield from _comment(comments.get(key, "") if not path else "")
        yield f"[{'.'.join(map(_key, (*path, key)))}]"
        yield from _table((*path, key), value, comments)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in text.splitlines()]


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    inside = _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], f"\\u{ord(found[0]):04x}"), text)
    return f'"{inside}"'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"{value:f}"  # inf, -inf and nan are TOML's words too
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {_value(entry)}' for key, entry in value.items() if entry is not None)}}}"
    raise TypeError(f"TOML holds texts, numbers, bools, lists and tables, not {type(value).__name__}")
