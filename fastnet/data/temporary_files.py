"""The temporary files of `atomic_write`. A killed process leaves its file, and a later save to the folder removes it.

A process holds a lock on its temporary file. The operating system frees the lock when the process ends, in whatever
way, so a file whose lock is free has no owner. Some network file systems lock on one machine only. So the name of a
file says on which machine it was made, and a file of another machine is removed only when it is a day old. That also
holds where there are no locks, as on Windows, and for files of fastnet 0.2 and earlier, which name no machine.
"""

from __future__ import annotations

import os
import platform
import secrets
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

PREFIX, SUFFIX = ".fastnet-", ".tmp"
OLD = 86_400  # seconds


@contextmanager
def temporary_file(folder: str) -> Iterator[BinaryIO]:
    """Yield a new file in the folder, open for writing and reading. Rename it inside the block, or it is removed."""
    remove_leftovers(folder)
    while True:
        path = os.path.join(folder, f"{PREFIX}{_machine()}-{secrets.token_hex(8)}{SUFFIX}")
        try:
            with open(path, "x+b") as file:  # open() applies the user's umask; tempfile does not
                # Another process may have found the file before it was locked, and may have removed it.
                if lock(file.fileno()) is False or not os.fstat(file.fileno()).st_nlink:
                    continue
                yield file
                return
        finally:
            with suppress(OSError):
                os.unlink(path)


def remove_leftovers(folder: str) -> None:
    """Remove the temporary files of processes that have ended. A file that cannot be removed stays."""
    with suppress(OSError):
        for name in os.listdir(folder):  # 0.4 us for each file of the folder
            if name.startswith(PREFIX) and name.endswith(SUFFIX):
                with suppress(OSError):
                    _remove_leftover(os.path.join(folder, name), name.startswith(f"{PREFIX}{_machine()}-"))


def _remove_leftover(path: str, is_local: bool) -> None:
    found = os.lstat(path)
    is_old = time.time() - found.st_mtime > OLD
    if not stat.S_ISREG(found.st_mode) or not (is_local or is_old):
        return
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))  # NFS locks only files open for writing
    try:
        is_free = lock(descriptor)
        if is_free:
            os.unlink(path)
    finally:
        os.close(descriptor)
    if is_free is None and is_old:
        os.unlink(path)


def lock(descriptor: int) -> bool | None:
    """Take the lock of an open file or folder, until this is closed. False: it is taken. None: there are no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def unlock(descriptor: int) -> None:
    """Free the lock of a file or folder, although forked processes still have it open. Then close it."""
    if sys.platform != "win32":
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


@cache
def _machine() -> str:
    """Return eight digits that are the same for all processes, also in containers, of one running system."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # only Linux has this file
            name = file.read()
    except OSError:
        name = platform.node()
    return f"{zlib.crc32(name.encode()):08x}"
