"""Reads the space of a search from a TOML file, for `fastnet search`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from fastnet import checks
from fastnet.checks import given, suggestion
from fastnet.data.files import PathLike
from fastnet.errors import DataError
from fastnet.search.space import NAMES, integers, loguniform, uniform
from fastnet.training.toml_file import one_line, place, read_toml

FILE, TABLE = "space.toml", "space"
_DISTRIBUTIONS = {"loguniform": loguniform, "uniform": uniform, "integers": integers}
_EXAMPLES = ", ".join(
    ('0.1 or "adam"', '["adam", "sgd"]', "{loguniform = [1e-4, 1e-1]}", "{uniform = [0, 0.5]}", "{integers = [8, 64]}")
)


def read_space(path: PathLike) -> list[dict[str, Any]]:
    """Read the space of a search from a TOML file.

    A table `[space]` has one line for each parameter. A list holds candidates. A list inside it is one candidate, such
    as the widths of hidden layers. ``{loguniform = [low, high]}``, `uniform` and `integers` are distributions. Any
    other value is fixed. Several tables `[[space]]` are alternatives: a setting has the parameters of one of them.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    list of dict
        The spaces, as `search` takes them.

    Raises
    ------
    DataError
        The file is missing or is no TOML, has no table `[space]`, or a value is none of the above. The message names
        the file, the line and the parameter.

    Examples
    --------
    >>> with open("space.toml", "w") as file:
    ...     _ = file.write("[space]\\nhidden = [[16], [32, 16]]\\nlearning_rate = {loguniform = [1e-4, 1e-1]}\\n")
    >>> read_space("space.toml")
    [{'hidden': [(16,), (32, 16)], 'learning_rate': loguniform(0.0001, 0.1)}]
    """
    file = read_toml(path, "space", FILE)
    tables = file.tables.get(TABLE)
    if tables is None:
        raise DataError(f"{file.name} has no table [{TABLE}]: write a line [{TABLE}] above the parameters")
    if others := [name for name in file.tables if name != TABLE]:
        raise DataError(
            f"{file.name}: {one_line(others[0])} is no part of a space: write parameters below a line [{TABLE}], and "
            f"alternatives as several tables [[{TABLE}]]"
        )
    spaces = tables if isinstance(tables, list) else [tables]
    if not spaces or not all(isinstance(space, dict) and space for space in spaces):
        raise DataError(
            f"{file.name}: {TABLE} must be a table with at least one parameter: write lines such as "
            f"learning_rate = 0.1 below a line [{TABLE}]"
        )
    lines = file.lines(TABLE)
    found = []
    for number, space in enumerate(spaces):
        known = lines[number] if len(lines) == len(spaces) else {}
        found.append(
            {name: _parameter(place(file.name, known.get(name)), name, value) for name, value in space.items()}
        )
    return found


def _parameter(where: str, name: str, value: object) -> object:
    """Return what a parameter of a space may be, from its value in a file."""

    def refuse(what: str) -> NoReturn:
        raise DataError(f"{where}: {one_line(name)} {what}")

    try:
        checks.name_of("parameter", name, NAMES)
    except ValueError as error:
        raise DataError(f"{where}: {one_line(error, 500)}") from None
    if isinstance(value, Mapping):
        if len(value) != 1:
            refuse(f"must have one distribution in its braces, not {len(value)}: write {{loguniform = [1e-4, 1e-1]}}")
        (kind, ends), *_ = value.items()
        if kind not in _DISTRIBUTIONS:
            known = ", ".join(_DISTRIBUTIONS)
            refuse(f"has an unknown distribution {given(kind)}; there are {known}{suggestion(kind, _DISTRIBUTIONS)}")
        if not (isinstance(ends, list) and len(ends) == 2 and all(map(_is_number, ends))):
            refuse(f"has {kind} of {given(ends)}: give the lowest and the highest number, as in {{{kind} = [1, 8]}}")
        try:
            return _DISTRIBUTIONS[kind](*ends)
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(f"{where}: {name} = {{{kind} = {given(ends)}}}: {one_line(error)}") from None
    if isinstance(value, list):
        if not value:
            refuse("is an empty list: give at least one candidate")
        if name == "hidden" and not all(isinstance(candidate, list) for candidate in value):
            refuse("lists candidates, and each is a list of widths: write [[32, 16]] for one, [[16], [32, 16]] for two")
        return [_candidate(refuse, candidate) for candidate in value]
    return _candidate(refuse, value)


def _candidate(refuse: Any, value: object) -> object:
    """Return one value of a parameter. A list of values, such as widths, becomes a tuple."""
    if isinstance(value, list) and all(map(_is_scalar, value)):
        return tuple(value)
    if not _is_scalar(value):
        refuse(f"cannot be {one_line(value)}: give a value such as {_EXAMPLES}")
    return value


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, bool, int, float))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
