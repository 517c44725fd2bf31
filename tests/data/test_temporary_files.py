"""The temporary files of the atomic writer: those of killed processes are removed, those of living ones stay."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fastnet import DataError
from fastnet.data import temporary_files
from fastnet.data.files import atomic_write, locked_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks of this kind")

# A process that begins to save x and then waits.
SAVING = """
import sys
from fastnet.data.files import atomic_write
with atomic_write(sys.argv[1] + "/x") as file:
    file.write(b"half")
    print(file.name, flush=True)
    sys.stdin.read()
"""


def saving(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """Return a process in the middle of a save, and its temporary file."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", SAVING, str(folder)]
    process = subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def save(folder: Path) -> None:
    with atomic_write(folder / "y") as file:
        file.write(b"whole")


def aged(path: Path, days: float) -> Path:
    path.touch()
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
    return path


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"y"}


def test_the_file_of_a_killed_process_is_removed_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    (killed, its_file), (living, other_file) = saving(tmp_path), saving(tmp_path)
    try:
        killed.kill()
        killed.wait()
        aged(other_file, 9)  # not even age makes a file with an owner a leftover
        assert left(tmp_path) == {its_file.name, other_file.name}
        save(tmp_path)
        assert left(tmp_path) == {other_file.name}
        living.communicate("", timeout=30)
        assert left(tmp_path) == {"x"}
        assert (tmp_path / "x").read_bytes() == b"half"
    finally:
        for process in (killed, living):
            process.kill()
            process.communicate()


def test_a_file_of_another_machine_is_removed_after_a_day(tmp_path: Path) -> None:
    """The same holds for the files of fastnet 0.2, whose names tell no machine."""
    for name in (".fastnet-00000000-0123456789abcdef.tmp", ".fastnet-0123456789abcdef.tmp"):
        aged(tmp_path / name, 0.9)
        save(tmp_path)
        assert left(tmp_path) == {name}
        aged(tmp_path / name, 1.1)
        save(tmp_path)
        assert left(tmp_path) == set()


def test_a_file_without_locks_is_removed_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with temporary_files.temporary_file(str(tmp_path)) as file:
        name = Path(file.name).name
    monkeypatch.setattr(temporary_files.fcntl, "flock", flock)
    aged(tmp_path / name, 0.9)
    save(tmp_path)
    assert left(tmp_path) == {name}
    aged(tmp_path / name, 1.1)
    save(tmp_path)
    assert left(tmp_path) == set()


def test_other_things_with_such_a_name_stay(tmp_path: Path) -> None:
    (tmp_path / ".fastnet-0.tmp").mkdir()
    (tmp_path / ".fastnet-1.tmp").symlink_to(aged(tmp_path / "mine", 9))
    os.utime(tmp_path / ".fastnet-1.tmp", (0, 0), follow_symlinks=False)
    os.mkfifo(tmp_path / ".fastnet-2.tmp")
    before = left(tmp_path)
    save(tmp_path)
    assert left(tmp_path) == before


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, found = temporary_files.lock, []

    def late(descriptor: int) -> bool | None:
        if not found:  # another process comes between the lines
            found.extend(left(tmp_path))
            monkeypatch.setattr(temporary_files, "lock", lock)
            temporary_files.remove_leftovers(str(tmp_path))
        return lock(descriptor)

    monkeypatch.setattr(temporary_files, "lock", late)
    save(tmp_path)
    assert len(found) == 1
    assert (tmp_path / "y").read_bytes() == b"whole"
    assert left(tmp_path) == set()


def test_many_savers_in_one_folder_never_take_a_file_from_each_other(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def many(name: str) -> None:
        try:
            for _ in range(150):
                with atomic_write(tmp_path / name) as file:
                    file.write(name.encode())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=many, args=(f"{k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert left(tmp_path) == {"0", "1", "2", "3"}


def test_the_file_and_then_its_folder_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda d: (calls.append(stat.S_ISDIR(os.fstat(d).st_mode)), fsync(d)))
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("rename"), replace(*names)))
    save(tmp_path)
    assert calls == [False, "rename", True]


def test_one_block_at_a_time_has_the_lock_of_a_folder(tmp_path: Path) -> None:
    """The lock ends with its block or its process. A child that was forked in the block does not keep it."""

    with locked_folder(tmp_path):
        assert _is_taken(tmp_path)
        child = os.fork()
        if not child:
            signal.alarm(20)  # kills the child if the test hangs
            signal.pause()
    was_freed = not _is_taken(tmp_path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert was_freed
    program = (
        f"from fastnet.data.files import locked_folder\nwith locked_folder({str(tmp_path)!r}): print('locked'); input()"
    )
    with subprocess.Popen([sys.executable, "-uc", program], stdin=-1, stdout=-1) as other:
        assert other.stdout is not None
        # Its word comes first: to ask whether the lock is taken takes it for a moment, and the child would be refused.
        assert other.stdout.readline() == b"locked\n"
        assert _is_taken(tmp_path)
        other.kill()
    with locked_folder(tmp_path):
        pass


def _is_taken(folder: Path) -> bool:
    try:
        with locked_folder(folder, "MORE"):
            return False
    except DataError as error:
        return str(error) == f"another training writes to {folder}: wait for its end, or MORE"
