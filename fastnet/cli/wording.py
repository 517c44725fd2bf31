"""Words the library's errors for the command line: --label-column in place of label_column."""

from __future__ import annotations

import re
from collections.abc import Iterable

_OTHER_NAMES = {"sizes": "--layers", "source": "--data"}  # arguments whose options have another name
_VALUES = {"True": "yes", "False": "no"}  # of --sparse


def in_options(message: str, arguments: Iterable[str]) -> str:
    """Return an error's message with options in place of Python arguments.

    An argument's name is often an English word too: "the labels", "learning rate". So a name counts as an argument only
    if it has an underscore, has a value (`output='sigmoid'`), or stands where errors name the argument: at the start,
    before a verb, and after "leave out" and "as".

    Parameters
    ----------
    message : str
        The message of an error that the library raised.
    arguments : iterable of str
        The arguments that are options of the command line: label_column for --label-column.
    """
    options = {name: f"--{name.replace('_', '-')}" for name in arguments} | _OTHER_NAMES
    any_name = "|".join(sorted(options, key=len, reverse=True))
    underscored = "|".join(name for name in options if "_" in name)

    def with_value(found: re.Match[str]) -> str:
        value = found[2].strip("'")
        return f"{options[found[1]]} {_VALUES.get(value, value)}"

    def entry(found: re.Match[str]) -> str:
        return f"number {int(found[2]) + 1} of {options[found[1]]}"

    def name(found: re.Match[str]) -> str:
        return options[found[0]]

    message = re.sub(rf"(?<![\w./'-])({any_name})=('[^']*'|\w[\w.+-]*)", with_value, message)
    message = re.sub(rf"^({any_name})\[(\d+)\]", entry, message)
    message = re.sub(rf"^({any_name})(?=( \(\w+\))? (must|lists|needs)\b| \[)", name, message)
    message = re.sub(rf"(?<=leave out )({any_name})\b|(?<= as )({any_name})(?=,|$)", name, message)
    return re.sub(rf"(?<![\w./'-])({underscored})(?![\w/'-])", name, message)
