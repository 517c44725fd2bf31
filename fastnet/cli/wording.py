"""Words the library's errors for the command line: --label-column in place of label_column, row 1 in place of [0]."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterable, Iterator

from fastnet.cli.options import flag
from fastnet.errors import FastnetError

# The options of arguments that have another name.
_OTHER_NAMES = {"sizes": "--layers", "source": "--data", "validation": "--validation-split", "n_jobs": "--jobs"}
_PLACE = r"^(.+)\[(\d+)(?:, (\d+))?\](?= (?:is (?:-?[\d.]|nan|-?inf)|has |sums to ))"
_VALUES = {"True": "yes", "False": "no"}  # Python's values of `sparse`, and the values of --sparse


@contextlib.contextmanager
def options_in_errors(args: argparse.Namespace) -> Iterator[None]:
    """Raise an error of the library again as FastnetError, with option names in place of argument names."""
    try:
        yield
    except (FastnetError, ValueError, TypeError) as error:
        raise FastnetError(in_options(str(error) or type(error).__name__, vars(args))) from error


def in_options(message: str, arguments: Iterable[str]) -> str:
    """Return an error's message with options in place of Python arguments.

    An argument's name is often an English word too: "the labels", "learning rate". So a name counts as an argument only
    if it has an underscore, has a value (`output='sigmoid'`), or stands where errors name the argument: at the start,
    before a verb, and after "leave out", "as" and "with". Rows and columns count from 1.

    Parameters
    ----------
    message : str
        The message of an error that the library raised.
    arguments : iterable of str
        The names of the arguments that are options of the command line, such as label_column for --label-column.
    """
    options = {name: flag(name) for name in arguments} | _OTHER_NAMES
    if "standardize" in options:
        message = re.sub(r"use sklearn\.preprocessing\.StandardScaler\([^)]*\)", "use --standardize", message)
    message = re.sub(r"^column (\d+) of x(?= has )", lambda found: f"column {int(found[1]) + 1}", message)
    message = re.sub(r"^(column '[^']*') of x(?= has )", r"\1", message)
    any_name = "|".join(sorted(options, key=len, reverse=True))

    def with_value(found: re.Match[str]) -> str:
        value = found[2].strip("'")
        return f"{options[found[1]]} {_VALUES.get(value, value)}"

    def entry(found: re.Match[str]) -> str:
        return f"number {int(found[2]) + 1} of {options[found[1]]}"

    def place(found: re.Match[str]) -> str:
        column = "" if found[3] is None else f", column {int(found[3]) + 1}"
        return f"{found[1]}, row {int(found[2]) + 1}{column},"

    def name(found: re.Match[str]) -> str:
        return options.get(found[0], found[0])

    message = re.sub(rf"(?<![\w./'-])({any_name})=('[^']*'|\w[\w.+-]*)", with_value, message)
    message = re.sub(rf"^({any_name})\[(\d+)\]", entry, message)
    message = re.sub(_PLACE, place, message)
    message = re.sub(
        rf"^({any_name})(?=( \([\w ]+\))? (must|lists|names|needs|is an|is for|has length)\b| \[)", name, message
    )
    after_as = rf"(?<= as )({any_name})(?=,|:|$| to one-hot| to leave)"
    after = rf"(?<=leave out )({any_name})\b|{after_as}|(?<= with )({any_name})(?=,)"
    message = re.sub(after, name, message)
    return re.sub(r"(?<![\w./'-])[a-z]+(_[a-z]+)+(?![\w/'-])", name, message)
