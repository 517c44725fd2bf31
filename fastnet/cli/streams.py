"""Standard output that cannot be written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fastnet.errors import FastnetError


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Raise FastnetError where standard output cannot be written. A closed pipe still raises BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FastnetError(f"cannot write to standard output ({error.strerror})") from error
