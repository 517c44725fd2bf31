"""Writes a folder of files completely or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastnet.data.files import PathLike, checked_path
from fastnet.data.temporary_files import PREFIX, SUFFIX, temporary_file
from fastnet.errors import DataError
from fastnet.text import reason, shown

_SUFFIX = f"{SUFFIX}.d"  # a temporary folder belongs to the temporary file whose name it extends


def refuse_used(folder: PathLike) -> None:
    """Refuse the path of a file, and that of a folder with content."""
    name = shown(checked_path("folder", folder))
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise DataError(f"cannot write the folder {name}: there is a file of this name; give another name")
    if os.path.isdir(folder) and os.listdir(folder):
        raise DataError(f"the folder {name} is not empty: give the name of a new folder, or remove it first")


@contextmanager
def new_folder(folder: PathLike) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`. It gets this name when the block ends without an error.

    After an error the temporary folder is removed. If the process is killed, it may stay; the next call for a folder at
    the same place removes it.

    Raises
    ------
    DataError
        `folder` is a file or is not empty, or the folder around it is missing or cannot be written.
    """
    refuse_used(folder)
    target = Path(os.path.realpath(folder))
    try:
        with temporary_file(str(target.parent)) as lock:
            _remove_leftovers(target.parent)
            temporary = Path(f"{os.fsdecode(lock.name)}{_SUFFIX.removeprefix(SUFFIX)}")
            temporary.mkdir()
            try:
                yield temporary
                with suppress(FileNotFoundError):
                    target.rmdir()  # Windows replaces no folder, not even an empty one
                temporary.rename(target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise DataError(f"cannot write the folder {shown(folder)} ({reason(error)}): check the place") from error


def _remove_leftovers(parent: Path) -> None:
    """Remove the temporary folders whose temporary file is gone, since their process has ended."""
    for path in parent.glob(f"{PREFIX}*{_SUFFIX}"):
        if not path.with_suffix("").exists():
            shutil.rmtree(path, ignore_errors=True)
