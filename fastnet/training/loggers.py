"""Loggers: callbacks that write the record of each epoch to a file while the training runs."""

from __future__ import annotations

import errno
import io
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from fastnet.errors import require_extra, warn
from fastnet.text import plain, reason, shown
from fastnet.training.callbacks import Callback, FitInfo, is_first
from fastnet.training.history import FIELDS, Epoch


class Logger(Callback):
    """Base class of loggers. Override `open`, `write` and `close`.

    A logger never stops a training. If one of its methods raises an exception, the logger warns once and does nothing
    more in this fit. The next fit tries again.

    If several processes train the network, the logger of the first one alone writes. All have the same records.

    Examples
    --------
    >>> import fastnet
    >>> class Printer(fastnet.Logger):
    ...     def write(self, record: dict[str, object]) -> None:
    ...         print("epoch", record["epoch"], "of rate", record["learning_rate"])
    >>> trainer = fastnet.Trainer(fastnet.Network([2, 2], seed=0), learning_rate=0.5)
    >>> history = trainer.fit([[0.0, 1.0]], [1], epochs=2, callbacks=[Printer()])
    epoch 1 of rate 0.5
    epoch 2 of rate 0.5
    """

    _epoch = 0  # the last epoch that was written
    _is_open = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def open(self, after: int) -> None:
        """Prepare to write the epochs after epoch number `after`. Drop what is left of later epochs, to train again."""

    def write(self, record: dict[str, Any]) -> None:
        """Write an epoch: the fields of `Epoch` by name, with None for nan and infinity."""

    def close(self) -> None:
        """End a fit, or the log after an exception."""

    @property
    def state(self) -> Mapping[str, Any]:
        """What a checkpoint keeps: the number of the last epoch that was written."""
        return {"epoch": self._epoch}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self._epoch = int(state["epoch"])
        if self._is_open:
            self._end()
            self._begin()

    def on_fit_begin(self, trainer: Any, info: FitInfo) -> None:
        """Open the log. It keeps the epochs that the trainer has done before."""
        self._epoch = trainer.history.epochs[-1].epoch if trainer.history.epochs else 0
        if is_first(trainer):
            self._begin()

    def on_epoch_end(self, trainer: Any, epoch: Epoch) -> None:
        """Write the epoch."""
        if self._is_open:
            self._attempt(lambda: self._note(epoch))

    def on_fit_end(self, trainer: Any) -> None:
        """Close the log."""
        self._end()

    def _note(self, epoch: Epoch) -> None:
        self.write(plain(epoch))
        self._epoch = epoch.epoch

    def _begin(self) -> None:
        self._is_open = True
        self._attempt(lambda: self.open(self._epoch))

    def _end(self) -> None:
        if self._is_open:
            self._attempt(self.close)
        self._is_open = False

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # the training is worth more than its log, whatever fails
            self._is_open = False
            with suppress(Exception):
                self.close()
            warn(f"{self!r} ends its log ({reason(error)}); the training goes on without it")


class FileLogger(Logger):
    """A logger that appends to one file. What it appends is complete in the file, or not there at all."""

    def __init__(self, path: str | os.PathLike[str], name: str = "path") -> None:
        from fastnet.data.files import checked_path  # imported here, since fastnet.data is a lazy package

        self._path = checked_path(name, path)
        self._file: io.FileIO | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path!r})"

    def start_file(self, path: str) -> None:
        """Open the file, which is made if it is missing."""
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(f"{shown(path)} is not a regular file")
        self._file = io.FileIO(path, "a+")

    def append(self, content: bytes) -> None:
        """Write to the end of the file with one call, so that a killed process leaves no part of the content."""
        if self._file is None:
            raise OSError("its file was closed")
        if not os.fstat(self._file.fileno()).st_nlink:
            raise OSError("its file was removed")
        size = self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.truncate(size)
            raise

    def keep_lines(self, epoch_of: Callable[[bytes], int], after: int) -> bytes:
        """Keep the first lines of the file that are of epochs up to `after`, and drop the rest.

        `epoch_of` returns the number of a line's epoch, or raises ValueError. Returns the first line, or b"".
        """
        assert self._file is not None
        size, first = 0, b""
        with open(self._path, "rb") as lines:
            for line in lines if after else ():
                try:
                    is_kept = line.endswith(b"\n") and epoch_of(line) <= after
                except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError):
                    is_kept = False
                if not is_kept:
                    break
                first, size = first or line, size + len(line)
        self._file.truncate(size)
        return first

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None  # a file can be neither copied nor pickled, and `clone` of an estimator copies


class CSVLogger(FileLogger):
    """Write the record of each epoch to a CSV file, while the training runs.

    The first line has the names of the columns, which are those of `Epoch`. A cell of nan is empty. A line is complete
    when it appears in the file, so that `tail -f` can follow the training.

    A second `fit` of a trainer, and a fit that resumes from a checkpoint, continue the file: the lines of the epochs
    that the trainer has done stay, and later lines are dropped. The first fit of a new trainer replaces the file.

    If the file cannot be written, the logger warns once, and the training goes on.

    Parameters
    ----------
    path : path
        The file. `fit` opens it when it begins.

    Raises
    ------
    TypeError, DataError
        `path` is no path.

    Examples
    --------
    >>> import fastnet, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.csv")
    >>> trainer = fastnet.Trainer(fastnet.Network([2, 2], seed=0), seed=0)
    >>> history = trainer.fit([[0.0, 1.0]], [1], epochs=2, callbacks=[fastnet.CSVLogger(path)])
    >>> [line.split(",")[0] for line in path.read_text().splitlines()]
    ['epoch', '1', '2']
    """

    def open(self, after: int) -> None:
        """Open the file. Write the names of the columns if no line is kept."""

        def epoch_of(line: bytes) -> int:
            first = line.split(b",", 1)[0]
            return 0 if first == b"epoch" else int(first)

        self.start_file(self._path)
        header = self.keep_lines(epoch_of, after).decode("utf-8", "replace")
        if not header.startswith("epoch,"):
            header = self.keep_lines(epoch_of, 0).decode()  # the file is no log
        # A file that an earlier version of fastnet began keeps its columns.
        self._columns = header.strip().split(",") if header else list(FIELDS)
        if not header:
            self.append(_csv_line(self._columns))

    def write(self, record: dict[str, Any]) -> None:
        """Append a line."""
        self.append(_csv_line([record.get(name) for name in self._columns]))


def _csv_line(cells: list[Any]) -> bytes:
    import csv  # imported here, so that `import fastnet` loads fewer modules

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


class JSONLines(FileLogger):
    """Write the record of each epoch as one line of JSON, while the training runs.

    A line is an object with the fields of `Epoch`. nan is null. The file is continued and replaced as that of
    `CSVLogger`, and a failure is handled in the same way.

    Parameters
    ----------
    path : path
        The file. `fit` opens it when it begins.

    Raises
    ------
    TypeError, DataError
        `path` is no path.

    Examples
    --------
    >>> import fastnet, json, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.jsonl")
    >>> trainer = fastnet.Trainer(fastnet.Network([2, 2], seed=0), seed=0)
    >>> history = trainer.fit([[0.0, 1.0]], [1], epochs=2, callbacks=[fastnet.JSONLines(path)])
    >>> [json.loads(line)["epoch"] for line in path.read_text().splitlines()]
    [1, 2]
    """

    def open(self, after: int) -> None:
        """Open the file."""
        self.start_file(self._path)
        self.keep_lines(lambda line: int(json.loads(line)["epoch"]), after)

    def write(self, record: dict[str, Any]) -> None:
        """Append a line."""
        self.append(json.dumps(record, allow_nan=False).encode() + b"\n")


class TensorBoard(FileLogger):
    """Write the record of each epoch for TensorBoard (the extra `tensorboard`), while the training runs.

    Each number of `Epoch` is a scalar. The step is the number of the epoch. nan is left out, and so are the texts, such
    as the backend. Each fit writes a file of its own. The file tells TensorBoard to drop what older files of the folder
    hold of its epochs. So a second fit and a resumed fit continue the curves, and a new trainer begins them anew.

    If the file cannot be written, the logger warns once, and the training goes on.

    Parameters
    ----------
    folder : path
        The folder for `tensorboard --logdir`. Give each training a folder of its own. It is made if it is missing.

    Raises
    ------
    TypeError, DataError
        `folder` is no path.
    MissingLibraryError
        tensorboard is missing. `fit` raises this error before its first epoch.

    Examples
    --------
    >>> import fastnet, tempfile
    >>> logger = fastnet.TensorBoard(tempfile.mkdtemp())
    >>> trainer = fastnet.Trainer(fastnet.Network([2, 2], seed=0), seed=0)
    >>> history = trainer.fit([[0.0, 1.0]], [1], epochs=2, callbacks=[logger])
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__(folder, "folder")

    def on_fit_begin(self, trainer: Any, info: FitInfo) -> None:
        """Raise MissingLibraryError if tensorboard is missing. Begin a file."""
        require_extra("tensorboard", "the logger TensorBoard needs tensorboard", "tensorboard")
        super().on_fit_begin(trainer, info)

    def open(self, after: int) -> None:
        """Begin a file."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        os.makedirs(self._path, exist_ok=True)
        # TensorBoard reads files whose names contain "tfevents", in the order of their names.
        self.start_file(os.path.join(self._path, f"events.out.tfevents.{time.time():017.6f}.{os.getpid()}"))
        self._append_event(Event(file_version="brain.Event:2"))
        self._append_event(Event(step=after + 1, session_log=SessionLog(status=SessionLog.START)))  # drops later steps

    def write(self, record: dict[str, Any]) -> None:
        """Append an event with a value for each number."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        numbers = {name: value for name, value in record.items() if isinstance(value, (int, float))}
        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._append_event(Event(step=record["epoch"], summary=Summary(value=values)))

    def _append_event(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        event.wall_time = time.time()
        RecordWriter(SimpleNamespace(write=self.append)).write(event.SerializeToString())
