"""The configuration of a run: the file run.toml in the folder of `fastnet train --out`.

The table [options] repeats the run. The other tables are a record of the run, to compare with.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastnet.data.files import PathLike, atomic_write
from fastnet.errors import DataError
from fastnet.text import shown
from fastnet.training.toml_file import one_line, place, read_toml
from fastnet.training.toml_text import toml_text

FILE = "run.toml"
FORMAT = "fastnet run.toml 1"
OPTIONS, RESULTS, RUN = "options", "results", "run"
_COMMENTS = {
    OPTIONS: "Every option of fastnet train, as it was given or chosen. Only this table is read back.",
    RESULTS: "Where the results go, and how often a checkpoint is written. fastnet train --resume reads it.",
    RUN: "From here on the file is a record. The next run compares its own record with this one.",
    "data": "The arrays as they were loaded. The hash is their BLAKE2b.",
    "machine": "The number of usable cores limits the threads.",
    "backend": "The kernels that computed the updates, and why they were chosen.",
}
_COMPARED = ("versions", "machine", "backend")  # what may change the last bits
_NOT_COMPARED = ("cores", "system", "reason")  # what does not, of these tables

Value = str | bool | int | float | list[Any]


def mpiexec(n: int) -> str:
    """Return what goes before a command that n processes run."""
    return f"mpiexec -n {n} " if n > 1 else ""


@dataclass(frozen=True)
class Configuration:
    """The configuration of a run.

    Attributes
    ----------
    options : dict
        The options of `fastnet train` that decide the training, by flag name with underscores: texts, bools, numbers
        and lists of these.
    results : dict
        The options that name the files of the results, and how often a checkpoint is written.
    record : dict of str to dict
        The tables run, data, versions, machine and backend. A file that a person wrote may have none of them.
    lines : dict of str to int
        The number of the line that gives each option, where the configuration comes from a file.
    """

    options: dict[str, Value]
    results: dict[str, Value] = field(default_factory=dict)
    record: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def text(self) -> str:
        """Return the configuration as the text of a TOML file."""
        n = self.record.get(RUN, {}).get("processes")
        command = f"{mpiexec(n) if isinstance(n, int) else ''}fastnet train --config {FILE}"
        return toml_text(self.to_dict(), {"": f"The configuration of a training. To repeat it: {command}", **_COMMENTS})

    def to_dict(self) -> dict[str, Any]:
        """Return the tables of the file by name."""
        run = {"format": FORMAT, **self.record.get(RUN, {})}
        return {OPTIONS: self.options, RESULTS: self.results, RUN: run, **without(self.record, RUN)}

    def save(self, path: PathLike) -> None:
        """Write the file.

        Raises
        ------
        DataError
            The file cannot be written, or a file name in it is not Unicode.
        """
        try:
            text = self.text()
        except UnicodeEncodeError as error:
            name = ascii(error.object[: error.end].rpartition('"')[2])[1:-1]
            raise DataError(
                f"{shown(path)} cannot hold the name {name}, which is not Unicode: rename the file"
            ) from None
        with atomic_write(path) as file:
            file.write(text.encode())

    @property
    def started(self) -> str:
        """The date at which the training began, or "" if the file does not say so."""
        return str(self.record.get(RUN, {}).get("date", ""))

    def describes(self, record: Mapping[str, Any]) -> bool:
        """Whether the record of a finished run is that of this training, not of an earlier one in the same folder.

        Records of programs and of earlier versions have no date to compare.
        """
        return bool(record.get("test")) and record.get("started") in (None, self.started)

    def changes(self, now: Configuration) -> list[str]:
        """Return what differs between the software and the machine of this record and of a record of today."""
        found = []
        for table in _COMPARED:
            then, today = self.record.get(table, {}), now.record.get(table, {})
            ignored = (*_NOT_COMPARED, "usable_cores") if now.options.get("threads") == 1 else _NOT_COMPARED
            for name in (name for name in then if name in today and name not in ignored):
                if then[name] != today[name]:
                    found.append(f"{_words(table, name)} {today[name]} in place of {one_line(then[name])}")
        return found


def read_configuration(path: PathLike) -> Configuration:
    """Read a file run.toml, or a file of options that a person wrote.

    The names of the options are not checked here, since a later version may have more of them.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    Configuration

    Raises
    ------
    DataError
        The file is missing, is no TOML, has no table [options], or holds a value that no option can have.

    Examples
    --------
    >>> with open("mine.toml", "w") as file:
    ...     _ = file.write("[options]\\nbatch_size = 32\\nlayers = [784, 30, 10]\\n")
    >>> read_configuration("mine.toml").options
    {'batch_size': 32, 'layers': [784, 30, 10]}
    """
    file = read_toml(path, "configuration", FILE)
    name, tables = file.name, file.tables
    if loose := [key for key, value in tables.items() if not isinstance(value, dict)]:
        raise DataError(f"{name}: {one_line(loose[0])} stands in no table: write it below a line [{OPTIONS}]")
    if OPTIONS not in tables:
        raise DataError(f"{name} has no table [{OPTIONS}]: give a {FILE} of fastnet train --out")
    version = tables.get(RUN, {}).get("format", FORMAT)
    if version != FORMAT:
        raise DataError(
            f"{name} has the format {one_line(version)}, not {FORMAT!r}: use the fastnet that wrote it, or a "
            "newer version"
        )
    lines = {table: dict(ChainMap(*file.lines(table))) for table in (OPTIONS, RESULTS)}
    for table in (OPTIONS, RESULTS):
        for key, value in tables.get(table, {}).items():
            if not _is_option(value):
                at = place(name, lines[table].get(key))
                raise DataError(f"{at}: {one_line(key)} must be a text, a number, true, false or a list of these")
    record = without(tables, OPTIONS, RESULTS)
    return Configuration(tables[OPTIONS], tables.get(RESULTS, {}), record, lines[OPTIONS])


def without(entries: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return a mapping without some of its entries."""
    return {name: value for name, value in entries.items() if name not in names}


def _is_option(value: object) -> bool:
    scalars = value if isinstance(value, list) else [value]
    return all(isinstance(entry, (str, bool, int, float)) for entry in scalars)


def _words(table: str, name: str) -> str:
    """Return what an entry of the record is called in a sentence."""
    plain = name.replace("_", " ")
    return plain if table != "backend" else table if name == "name" else f"{table}'s {plain}"
