"""Damaged and hostile files for every reader: each file is read correctly or refused with a DataError.

A case is many files. If a case fails, it is reduced to the bytes of a single file.
"""

from __future__ import annotations

import base64
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.errors import DataError

from .file_readers import READERS, Document, Reader, drawn
from .harness import Case, Danger

FILES = 200  # documents in a case
SECONDS = 4.0  # processor time that a file may take
EXPANSION = 1032  # largest number of bytes that deflate packs into one byte
LONGEST = 2000  # largest number of characters of an error message, of which a path may take 500
RUNS = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect")


class RanCode(AssertionError):
    """A reader unpickled an object, started a process, evaluated text or opened a network connection."""


class Wrote(AssertionError):
    """A reader opened a file for writing."""


class Warned(AssertionError):
    """A reader gave a warning."""


class TookMemory(AssertionError):
    """A reader took more memory than `justified` allows."""


class TookTime(BaseException):
    """A reader took too long. This is a BaseException, because a reader turns an Exception into a DataError."""


class BadlyWorded(AssertionError):
    """The message of an error is not one line of printable text."""


class Program(Danger):
    memory = 8 << 30
    _watched: list[tuple[type[AssertionError], str]] | None = None  # forbidden events of this call

    def unable(self) -> str:
        return "" if sys.platform == "linux" else "the program can limit memory on Linux only"

    def prepare(self) -> None:
        shared = Path("/dev/shm")
        self._home = tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None)
        self.folder = Path(self._home.name) / "files"
        self.folder.mkdir()
        sys.addaudithook(self._audit)
        # The first use of a reader loads modules. Their memory and time must not count for a case.
        for name in READERS:
            for number in range(10):
                with self._put(drawn(random.Random(number), name)) as names:
                    try:
                        READERS[name].read(self.folder, names)
                    except Exception:
                        continue

    def draw(self, rng: np.random.Generator) -> Case:
        return {"seed": int(rng.integers(1 << 32)), "first": 0, "files": FILES}

    def check(self, case: Case) -> dict[str, int]:
        if "reader" in case:
            return {self.try_one(case["reader"], decoded(case["document"])): 1}
        numbers = range(case["first"], case["first"] + case["files"])
        return dict(Counter(self.try_one(*file(case["seed"], number)) for number in numbers))

    def simpler(self, case: Case) -> Iterator[Case]:
        if "reader" in case:
            for smaller in smaller_documents(decoded(case["document"])):
                yield {**case, "document": encoded(smaller)}
        elif case["files"] > 1:
            half = case["files"] // 2
            yield {**case, "files": half}
            yield {**case, "first": case["first"] + half, "files": case["files"] - half}
        else:
            name, document = file(case["seed"], case["first"])
            yield {"reader": name, "document": encoded(document)}

    def try_one(self, name: str, document: Document) -> str:
        """Read a document. Return a summary, or raise one of the errors above, Unsound, or the reader's error."""
        with (
            self._put(document) as names,
            warnings.catch_warnings(record=True) as warned,
            limited_memory(justified(READERS[name], document)),
            limited_time(),
        ):
            warnings.simplefilter("always")
            self._watched = watched = []
            try:
                READERS[name].read(self.folder, names)
                end = "read"
            except DataError as error:
                check_error(error, str(error).replace(self._home.name, ""))
                end = "refused"
            finally:
                self._watched = None
                for kind, what in watched:
                    raise kind(what)
        for warning in warned:
            raise Warned(f"{warning.category.__name__}: {warning.message}")
        return f"{name}: {end}"

    @contextmanager
    def _put(self, document: Document) -> Iterator[list[str]]:
        """Write the files of a document into the folder, and yield their names."""
        for name, content in document.items():
            path = self.folder / name
            if "/" in name:
                (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
            if content is None:
                path.symlink_to("/dev/zero")
            elif not name.endswith("/"):
                path.write_bytes(content)
        try:
            yield [name.rstrip("/") for name in document] or ["missing"]
        finally:
            _empty(self.folder)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._watched is None:
            return
        evaluated = event == "exec" and getattr(arguments[0], "co_filename", "") == "<string>"
        if event in RUNS or evaluated:
            self._watched.append((RanCode, f"{event} {arguments}"))
        elif event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR) and not _ours(arguments[0], self.folder):
            self._watched.append((Wrote, str(arguments[0])))


def file(seed: int, number: int) -> tuple[str, Document]:
    """Return the name of a reader and document `number` of a case."""
    rng = random.Random(f"{seed} {number}")
    name = rng.choices(list(READERS), [reader.weight for reader in READERS.values()])[0]
    return name, drawn(rng, name)


def encoded(document: Document) -> dict[str, str | None]:
    return {n: None if content is None else base64.b64encode(content).decode() for n, content in document.items()}


def decoded(document: dict[str, str | None]) -> Document:
    return {name: None if text is None else base64.b64decode(text) for name, text in document.items()}


def smaller_documents(document: Document) -> Iterator[Document]:
    """Yield smaller documents: without a file, without some bytes, or with simpler bytes."""
    for name in document if len(document) > 1 else ():
        yield {other: content for other, content in document.items() if other != name}
    for name, content in document.items():
        size = len(content or b"") // 2
        while content and size:
            for start in range(0, len(content), size):
                yield {**document, name: content[:start] + content[start + size :]}
            size = size // 2 if len(content) // size < 32 else 0


def check_error(error: BaseException | None, message: str) -> None:
    """Check the message of an error that refuses a file. Check that no MemoryError caused the error."""
    if not message.isprintable() or len(message) > LONGEST:
        raise BadlyWorded(f"{len(message)} characters: {message[:1000]!a}")
    while error is not None:
        # Python's parser raises MemoryError for text that is nested too deeply.
        if isinstance(error, MemoryError) and traceback.extract_tb(error.__traceback__)[-1].name != "parse":
            raise TookMemory(f"{message} ({error})")
        error = error.__cause__ or error.__context__


@contextmanager
def limited_time() -> Iterator[None]:
    """Raise TookTime if the block takes more than SECONDS of processor time."""

    def ring(*_: object) -> None:
        raise TookTime(f"more than {SECONDS:g} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def limited_memory(allowed: int) -> Iterator[None]:
    """Limit the address space. A block that takes more than `allowed` further bytes gets a MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as pages:
        limit = int(pages.read().split()[0]) * resource.getpagesize() + allowed
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def justified(reader: Reader, document: Document) -> int:
    """Return the bytes that a reader may take: for a deflated file, twice the largest size that it can unpack to."""
    contents = [content or b"" for content in document.values()]
    factors = [EXPANSION * 2 if c[:2] in (b"PK", b"\x1f\x8b") else reader.factor for c in contents]
    return reader.constant + sum(len(c) * factor for c, factor in zip(contents, factors, strict=True))


def _empty(folder: Path) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            _empty(Path(entry.path))
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)


def _ours(path: object, folder: Path) -> bool:
    return isinstance(path, str) and path.startswith(str(folder))
