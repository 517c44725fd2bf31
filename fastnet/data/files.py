"""Opens files to read them, and writes files completely or not at all."""

from __future__ import annotations

import io
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

from fastnet import checks
from fastnet.data.temporary_files import lock, temporary_file, unlock
from fastnet.errors import DataError
from fastnet.text import reason, shown

PathLike: TypeAlias = str | os.PathLike[str]

_MAX_UNCHECKED_READ = 1 << 20  # bytes; a longer read is limited to the size of the file


def checked_path(name: str, value: object) -> str:
    """Return the path of a file or folder as a str."""
    found = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(found, str):
        raise TypeError(f"{name} must be a str or os.PathLike, not {checks.given(value)}")
    if not found:
        raise DataError(f"{name} is an empty string: give the name of a file or folder")
    if "\0" in found:
        raise DataError(f"{name} {found!r:.80} has a null byte, which no file name can contain: give another name")
    return found


class _File(io.BufferedReader):
    """A file whose `read` allocates at most as many bytes as the file has, even if the caller asks for gigabytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_UNCHECKED_READ:
            size = min(size, os.fstat(self.fileno()).st_size)
        return super().read(size)


@contextmanager
def reading(path: PathLike) -> Iterator[tuple[io.BufferedReader, int]]:
    """Open a regular file and yield the file and its size in bytes.

    Raises
    ------
    DataError
        The path is not a readable regular file, or the block raised any exception.
    """
    name = shown(checked_path("path", path))
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{name} is a folder: give the path of a file")
        if not stat.S_ISREG(mode):  # reading a pipe or a device may never end
            raise DataError(f"{name} is not a regular file: give the path of a file on disk")
        with open(path, "rb", buffering=0) as raw, _File(raw) as file:
            yield file, os.fstat(file.fileno()).st_size
    except DataError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"there is no file {name}: check the path") from error
    except PermissionError as error:
        raise DataError(f"{name} cannot be read: check its permissions") from error
    except MemoryError as error:
        raise DataError(f"{name} needs more memory than this machine has: use a smaller file") from error
    except Exception as error:  # gzip, zipfile, NumPy and Pillow raise a dozen types of errors for hostile bytes
        raise DataError(f"{name} is corrupt or cannot be read ({reason(error)}): get a fresh copy") from error


@contextmanager
def atomic_write(path: PathLike) -> Iterator[BinaryIO]:
    """Write a file completely or not at all.

    Yields a new binary file in the same folder, open for writing and reading. If the block ends without an error, the
    new file is flushed to the disk and renamed to `path` in one step, and the folder is flushed too. After an error the
    new file is removed, and an older file at `path` stays unchanged. A symbolic link is followed. The permissions of an
    older file are kept. If the process is killed, the new file may stay; the next call for the folder removes it.

    Raises
    ------
    DataError
        The folder is missing or cannot be written, the disk is full, or `path` exists and is not a regular file.
    """
    name = shown(checked_path("path", path))
    try:
        target = os.path.realpath(path)
        old = os.path.exists(target)
        if old and not os.path.isfile(target):
            raise DataError(f"cannot write {name}: it exists and is not a regular file; give another name")
        folder = os.path.dirname(target)
        with temporary_file(folder) as file:
            if old:
                shutil.copymode(target, file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":
                file.close()  # Windows renames no open file; elsewhere the open file stays locked until it is renamed
            os.replace(file.name, target)
        _flush_folder(folder)
    except OSError as error:
        given = os.path.dirname(path)
        if given and isinstance(error, FileNotFoundError) and not os.path.exists(given):
            raise DataError(f"cannot write {name}: the folder {shown(given)} does not exist: make it first") from error
        raise DataError(f"cannot write {name} ({reason(error)}): check the folder and its free space") from error


def _flush_folder(folder: str) -> None:
    """Flush the names in a folder to the disk, so that a power failure does not bring an older file back.

    An error is ignored: the new file is complete, and some file systems cannot flush folders.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)  # Windows opens no folder, and raises PermissionError
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: PathLike, advice: str = "give another name") -> Path:
    """Make a folder if it is missing, and return its path. On failure raise DataError, with the advice."""
    path = Path(checked_path("folder", folder))
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {shown(path)} ({error.strerror}): {advice}") from error
    return path


@contextmanager
def locked_folder(folder: PathLike, advice: str = "give another folder") -> Iterator[None]:
    """A context that only one block at a time may be in for a folder, of all threads and processes of a machine.

    The operating system frees the lock of a killed process. A file system without locks, and Windows, refuse nothing.

    Raises
    ------
    DataError
        Another block holds the lock. The message ends with the advice.
    """
    try:
        descriptor = os.open(checked_path("folder", folder), os.O_RDONLY)
    except OSError:  # Windows opens no folder
        yield
        return
    owner = os.getpid()
    if lock(descriptor) is False:
        os.close(descriptor)
        raise DataError(f"another training writes to {shown(folder)}: wait for its end, or {advice}")
    try:
        yield
    finally:
        (unlock if os.getpid() == owner else os.close)(descriptor)  # a forked child must not free the lock
