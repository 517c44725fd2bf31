"""Downloads one file, with a size limit and a timeout. Resumes the download after a broken connection.

Not here: the mirrors and the verification (named_sets.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, TypeAlias

from fastnet.errors import DataError
from fastnet.text import reason

Progress: TypeAlias = Callable[[str, int, int | None], None]  # file name, bytes done, bytes in total or None

TIMEOUT = 20.0  # seconds to wait for the next byte
ATTEMPTS = 5


def fetch(url: str, file: BinaryIO, limit: int, progress: Progress | None) -> None:
    """Download one file. After a broken connection, the download resumes where it stopped.

    Parameters
    ----------
    url : str
        The address of the file.
    file : binary file
        The file to write, open for writing. Its old content is replaced.
    limit : int
        The largest number of bytes to accept.
    progress : callable or None
        Called as ``progress(file_name, bytes_done, bytes_total)``. bytes_total may be None.

    Raises
    ------
    DataError
        The server does not answer, sends more than `limit` bytes, or breaks the connection too often.
    """
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
                    start = done = 0  # the server cannot resume and sends the whole file
                elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                    raise DataError(f"{url} sent the wrong part of the file")
                file.seek(start)
                file.truncate()
                length = response.headers.get("Content-Length", "")
                total = start + int(length) if length.isdecimal() else None
                while chunk := response.read(1 << 16):
                    done += len(chunk)
                    if done > limit or (total or 0) > limit:
                        raise DataError(f"{url} sent more than the {limit:,} bytes expected")
                    file.write(chunk)
                    if progress is not None:
                        progress(url.rpartition("/")[2], done, total)
            if total is None or done >= total:
                return
            problem = "the connection was cut"
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, DataError):
                raise
            problem = reason(error)
        if done <= start:
            break
    raise DataError(f"{url}: {problem}")
