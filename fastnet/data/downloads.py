"""Downloading one file: resumed where a connection broke, bounded in size and in time.

Not here: which file, from where, and whether it is the right one (datasets.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, TypeAlias

from fastnet.errors import DataError

Progress: TypeAlias = Callable[[str, int, int | None], None]  # file name, bytes done, bytes in all if known

TIMEOUT = 20.0  # seconds without a byte
ATTEMPTS = 5


def fetch(url: str, file: BinaryIO, limit: int, progress: Progress | None) -> None:
    """Download into an open file, going on where a broken connection ended; stop at `limit` bytes."""
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    done = 0
    for _ in range(ATTEMPTS):
        start = done
        headers = {"User-Agent": "fastnet", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            with urlopen(Request(url, headers=headers), timeout=TIMEOUT) as response:
                if response.status != 206 or not start:
                    start = done = 0  # the server does not resume: it sends all again
                elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                    raise DataError(f"{url} sent another part than asked for")
                file.seek(start)
                file.truncate()
                length = response.headers.get("Content-Length", "")
                total = start + int(length) if length.isdecimal() else None
                while chunk := response.read(1 << 16):
                    done += len(chunk)
                    if done > limit or (total or 0) > limit:
                        raise DataError(f"{url} sent more than the {limit:,} bytes it may have")
                    file.write(chunk)
                    if progress is not None:
                        progress(url.rpartition("/")[2], done, total)
            if total is None or done >= total:
                return
            reason = "the connection was cut"
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, DataError):
                raise
            reason = " ".join(str(error).split())[:120] or type(error).__name__
        if done <= start:
            break
    raise DataError(f"{url}: {reason}")
