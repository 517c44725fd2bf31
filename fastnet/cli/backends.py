"""`fastnet backends`: lists the kernel backends, and says which backend is used and why."""

from __future__ import annotations

import argparse

from fastnet import backends
from fastnet.backends.warming import warmup
from fastnet.cli import progress
from fastnet.cli.common import print_result
from fastnet.cli.options import Command
from fastnet.errors import BackendError
from fastnet.text import table


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--warmup", action="store_true", help="compile the numba kernels now and keep them in the cache"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    found = backends.available()
    choice, problem = None, None
    try:
        choice = backends.resolve()
    except BackendError as error:  # $FASTNET_BACKEND names a missing backend: list the backends before the error
        problem = error
    if args.warmup:
        with progress.told_if_slow("compiling the kernels ...", args.quiet):
            seconds = {b.name: warmup(b.name) for b in found if b.available}
    rows = [["backend", "version", "instruction set"]]
    rows += [[b.name, b.version or "-", (b.instruction_set or "-") if b.available else "missing"] for b in found]
    text = table(rows, left=(0, 1, 2))
    text += "".join(f"\n{b.name}: {b.problem}" for b in found if not b.available)
    if args.warmup:
        text += "\n\nready to run: " + ", ".join(f"{name} ({took:.1f} s)" for name, took in seconds.items())
    if choice:
        text += f"\n\nchosen: {choice.name} ({choice.reason})"
    record = {"backends": [b._asdict() for b in found], "chosen": choice and choice._asdict()}
    print_result(args, text, record | ({"warmup_seconds": seconds} if args.warmup else {}))
    if problem:
        raise problem
    return 0


COMMAND = Command(
    "backends", "list the kernel backends, and say which one is used and why", ("fastnet backends",), fill, run
)
