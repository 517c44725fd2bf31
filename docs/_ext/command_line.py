"""The help of each command, as Markdown."""

from __future__ import annotations

import contextlib
import io
import os
import re
from unittest import mock

from fastnet import cli


def markdown() -> str:
    """Return a section with the help of each command that `fastnet --help` lists."""
    commands = re.findall(r"^    (\w+)  ", _help(), re.M)
    return "\n\n".join(f"## fastnet {name}\n\n```text\n{_help(name).strip()}\n```" for name in commands)


def _help(*command: str) -> str:
    printed = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS="100"), contextlib.redirect_stdout(printed):
        cli.main([*command, "--help"])
    return printed.getvalue()
