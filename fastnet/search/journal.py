"""The journal of a search: a folder with a line for each finished training, so that a killed search can go on.

`journal.jsonl` begins with a line that says what the search is. Each further line is a finished training, or its part
up to a rung, as JSON. `networks` holds the networks of the best settings so far. `states` holds the trainings that the
next rung goes on with. A file of these folders is complete before the line that needs it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from fastnet import checks
from fastnet.data.files import PathLike, locked_folder, make_folder, reading
from fastnet.errors import DataError, warn
from fastnet.network import Network
from fastnet.search.records import Record, Trial
from fastnet.search.space import text_of
from fastnet.search.training import COLUMNS, Outcome
from fastnet.text import plain, reason, shown
from fastnet.training import checkpoint_file
from fastnet.training.fingerprint import differences

FILE, NETWORKS, STATES = "journal.jsonl", "networks", "states"
FORMAT = "fastnet search 1"
WHOLE_COLUMNS = ("epoch", "examples", "threads")
_PARTS = ("search", "data", "software")
Key = tuple[int, int, int]  # number of the setting, of the replicate, and of the rung


@dataclass(frozen=True)
class About:
    """What a search is: the first line of its journal.

    Attributes
    ----------
    search : mapping of str to str
        Its arguments as text.
    data : mapping of str to str
        The fingerprint of its examples.
    software : mapping of str to str
        The versions that may change the last bits of its results.
    """

    search: Mapping[str, str]
    data: Mapping[str, str]
    software: Mapping[str, str]


@contextmanager
def opened(folder: PathLike, about: About, trials: Iterable[Trial]) -> Iterator[Journal]:
    """Open the journal in a folder, which is made if it is missing. No other process may use it at the same time.

    Parameters
    ----------
    folder : path
        The folder.
    about : About
        What the search is.
    trials : iterable of Trial
        All of its trainings.

    Raises
    ------
    DataError
        The folder cannot be written, or holds another search or a damaged journal, or another process uses it.
    """
    path = make_folder(folder).absolute()  # callbacks may change the current folder
    with locked_folder(path):
        journal = Journal(path, about, trials)
        try:
            for name in (NETWORKS, STATES):
                make_folder(path / name)
            yield journal
        finally:
            journal.close()


class Journal:
    """The journal in a folder that this process has locked. `opened` makes it."""

    def __init__(self, folder: Path, about: About, trials: Iterable[Trial]) -> None:
        self._folder, self._path = folder, folder / FILE
        self._trials = {(trial.number, trial.replicate): trial for trial in trials}
        self._records: dict[Key, tuple[Record, bool]] = {}
        header = _line({"format": FORMAT, **asdict(about)})
        found = b""
        if self._path.exists():
            with reading(self._path) as (file, _):
                found = file.read()
        whole = found[: found.rfind(b"\n") + 1]  # a killed process may have left a part of a line
        if not whole and not header.startswith(found):
            raise DataError(f"{shown(self._path)} is not the journal of a search: give another folder")
        lines = whole.splitlines()
        if lines:
            self._check_header(lines[0], about)
        for number, line in enumerate(lines[1:], 2):
            self._read(number, line)
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.ftruncate(self._file, len(whole))
            if not whole:
                self._append(header)
        except OSError as error:
            raise DataError(f"cannot write {shown(self._path)} ({reason(error)}): give another folder") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    # -- reading -----------------------------------------------------------------------------------------------------

    def record(self, trial: Trial, rung: int) -> tuple[Record, Path | None] | None:
        """Return the record of a training and the file that the next rung goes on from, or None if it is not here.

        The file is None for a training that has ended.
        """
        found = self._records.get((trial.number, trial.replicate, rung))
        if found is None:
            return None
        return found[0], None if found[1] else self._state(trial, rung)

    def network(self, number: int, replicate: int) -> Network | None:
        """Return a network, or None if an earlier call kept fewer networks."""
        path = self._network(number, replicate)
        return Network.load(path) if path.exists() else None

    def _check_header(self, line: bytes, now: About) -> None:
        try:
            content = _content(line)
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']!r:.80}")
            then = About(*({str(key): str(text) for key, text in content[part].items()} for part in _PARTS))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{shown(self._path)} is not the journal of a search ({reason(error)}): give another folder"
            ) from None
        changed = [
            f"{name} is {then.search.get(name, 'missing'):.200} there, and {now.search.get(name, 'missing'):.200} here"
            for name in {**then.search, **now.search}
            if then.search.get(name) != now.search.get(name)
        ]
        changed += [f"{name} differs ({how})" for name, how in differences(now.data, then.data)]
        if changed:
            raise DataError(
                f"{shown(self._folder)} holds another search: {'; '.join(changed)}: give the same arguments as before, "
                "or another folder"
            )
        versions = [
            f"{name} {version} in place of {then.software[name]}"
            for name, version in now.software.items()
            if then.software.get(name, version) != version
        ]
        if versions:
            warn(f"the search goes on with {', '.join(versions)}: the last bits of its results may differ")

    def _read(self, number: int, line: bytes) -> None:
        try:
            about = _content(line)
            trial = self._trials[int(about["number"]), int(about["replicate"])]
            rung = checks.whole_number("rung", about["rung"], 0)
            if about["setting"] != text_of(trial.setting):
                raise ValueError(f"its setting is {about['setting']!s:.80}, not {text_of(trial.setting):.80}")
            history = {name: [_number(value) for value in about["history"][name]] for name in COLUMNS}
            for name in WHOLE_COLUMNS:
                history[name] = [int(value) for value in history[name]]
            record = Record(
                trial=trial,
                epochs=checks.whole_number("epochs", about["epochs"], 0),
                rung=rung,
                value=_number(about["value"]),
                seconds=_number(about["seconds"]),
                history=history,
                message=checks.text("message", about["message"]),
            )
            self._records[trial.number, trial.replicate, rung] = record, checks.boolean("over", about["over"])
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise DataError(
                f"line {number} of {shown(self._path)} is damaged ({reason(error)}): remove this line, and its "
                "training runs again"
            ) from None

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, outcome: Outcome) -> None:
        """Write down a finished training, or its part up to a rung. It is on the disk when this returns.

        Raises
        ------
        DataError
            The folder cannot be written.
        """
        record, trial = outcome.record, outcome.record.trial
        if (trial.number, trial.replicate, record.rung + 1) not in self._records:  # whose network stays
            outcome.network.save(self._network(trial.number, trial.replicate))
        if outcome.state is not None:
            checkpoint_file.write(self._state(trial, record.rung), outcome.state)
        line = _line(
            {
                "number": trial.number,
                "replicate": trial.replicate,
                "rung": record.rung,
                "setting": text_of(trial.setting),
                "epochs": record.epochs,
                "value": record.value,
                "seconds": record.seconds,
                "message": record.message,
                "over": outcome.state is None,
                "history": record.history,
            }
        )
        try:
            self._append(line)
        except OSError as error:
            raise DataError(f"cannot write {shown(self._path)} ({reason(error)}): check its free space") from error
        if record.rung:
            self._state(trial, record.rung - 1).unlink(missing_ok=True)

    def drop_network(self, number: int, replicate: int) -> None:
        """Remove a network that is not among the best any more."""
        with suppress(OSError):
            self._network(number, replicate).unlink()

    def drop_state(self, trial: Trial, rung: int) -> None:
        """Remove the state of a training that does not go on."""
        with suppress(OSError):
            self._state(trial, rung).unlink()

    def _append(self, line: bytes) -> None:
        """Append a line in one write, and flush it to the disk."""
        if os.write(self._file, line) < len(line):  # the disk is full: the next line must not follow a part of this one
            raise OSError("the disk is full")
        os.fsync(self._file)

    def _network(self, number: int, replicate: int) -> Path:
        return self._folder / NETWORKS / f"{number:05}-{replicate}.npz"

    def _state(self, trial: Trial, rung: int) -> Path:
        return self._folder / STATES / f"{trial.number:05}-{trial.replicate}-rung-{rung}.npz"


def _line(content: Mapping[str, Any]) -> bytes:
    """Return a line with the checksum of its content. nan and infinity become null."""
    text = json.dumps(plain(content))
    return f'{{"crc32": {crc32(text.encode())}, "content": {text}}}\n'.encode()


def _content(line: bytes) -> Any:
    """Return the content of a line. Raises ValueError, TypeError or LookupError if it is damaged."""
    about = json.loads(line)
    content = about["content"]
    if crc32(json.dumps(content).encode()) != about["crc32"]:
        raise ValueError("its checksum differs")
    return content


def _number(value: object) -> float:
    """Return a number of a line. null stands for nan."""
    return float("nan") if value is None else checks.number("a number", value)
