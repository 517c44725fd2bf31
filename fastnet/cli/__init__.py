"""The command line: `fastnet`, one module for each command."""

from fastnet.cli.entry import main

__all__ = ["main"]
