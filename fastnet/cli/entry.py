"""The entry point of the command line: parses the arguments, runs one command, prints errors in one line.

Results go to stdout, progress and errors to stderr. The exit status is 2 after an error and 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fastnet.cli import backends, bench, data, evaluate, explore, predict, report, train
from fastnet.cli.options import Command, Parser
from fastnet.errors import FastnetError
from fastnet.text import shown
from fastnet.version import __version__

INTERRUPTED = 130  # 128 + SIGINT, as in a shell
PIPE_CLOSED = 141  # 128 + SIGPIPE
_COMMANDS = {
    command.name: command
    for command in (
        train.COMMAND,
        report.COMMAND,
        evaluate.COMMAND,
        predict.COMMAND,
        explore.COMMAND,
        backends.COMMAND,
        data.COMMAND,
    )
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name. The default is those of this process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            status = _run(arguments)
        except SystemExit as stop:  # argparse raises it after --help and --version
            status = stop.code if isinstance(stop.code, int) else 0
        if sys.stdout is not None:  # None if stdout was closed before the start
            sys.stdout.flush()  # a closed pipe must fail here, where the failure is handled
        return status
    except BrokenPipeError:
        # Python flushes stdout again when it exits. With the null device that cannot fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt as interrupt:  # `fastnet train` says what it kept
        _complain(" ".join(["interrupted", *map(str, interrupt.args)]))
        return INTERRUPTED
    except (FastnetError, ValueError, TypeError, OSError, MemoryError) as error:
        _complain(f"error: {_reason(error)}")
        return 2


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = Parser(
        prog="fastnet",
        description="Train multi-layer perceptrons fast on a CPU.",
        epilog="examples:\n  fastnet train\n  fastnet train --data mnist --save digits.npz\n"
        "  fastnet predict --model digits.npz picture.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"fastnet {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in _COMMANDS.values():
        _add(commands, command)
    commands.add_parser(bench.NAME, help=bench.SUMMARY, add_help=False)
    return top


def _add(commands: argparse._SubParsersAction[Parser], command: Command) -> None:
    examples = "".join(f"\n  {example}" for example in command.examples)
    made = commands.add_parser(
        command.name,
        help=command.summary,
        description=command.summary[0].upper() + command.summary[1:] + ".",
        epilog=f"example{'s' if len(command.examples) > 1 else ''}:{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    made.add_argument("--json", action="store_true", help="print the result as one JSON object")
    command.fill(made)


def _run(arguments: list[str]) -> int:
    if arguments[:1] == [bench.NAME]:
        return bench.run(arguments[1:])
    top = parser()
    args = top.parse_args(arguments)
    if args.command is None:
        top.print_help()
        return 2
    return _COMMANDS[args.command].run(args)


def _complain(message: str) -> None:
    print(f"fastnet: {' '.join(message.split())}", file=sys.stderr)


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"not enough memory{f' ({error})' if str(error) else ''}: use less data or a smaller network"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {shown(error.filename)}" if isinstance(error.filename, str) else "")
    return str(error) or type(error).__name__
