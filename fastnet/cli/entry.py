"""The entry point of the command line: parses the arguments, runs one command, prints errors in one line.

Results go to stdout. Progress, warnings and errors go to stderr. The exit status is 2 after an error and 130 after
Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from fastnet import checks
from fastnet.cli import (
    backends,
    bench,
    compare,
    convert,
    data,
    evaluate,
    explore,
    predict,
    processes,
    report,
    runs,
    scale,
    search,
    train,
)
from fastnet.cli.options import Command, Parser
from fastnet.cli.progress import say
from fastnet.cli.streams import standard_output
from fastnet.cli.wording import in_options, options_in_errors
from fastnet.errors import FastnetError
from fastnet.text import shown
from fastnet.version import __version__

INTERRUPTED = 130  # 128 + SIGINT, as in a shell
PIPE_CLOSED = 141  # 128 + SIGPIPE
_COMMANDS = {
    command.name: command
    for command in (
        train.COMMAND,
        search.COMMAND,
        report.COMMAND,
        runs.COMMAND,
        compare.COMMAND,
        evaluate.COMMAND,
        predict.COMMAND,
        explore.COMMAND,
        backends.COMMAND,
        data.COMMAND,
        convert.COMMAND,
        scale.COMMAND,
    )
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name. By default the arguments of this process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            status = _run(arguments)
        except SystemExit as stop:  # argparse exits this way after --help and --version
            status = stop.code if isinstance(stop.code, int) else 0
        if sys.stdout is not None:  # None if stdout was closed before the start
            with standard_output():
                sys.stdout.flush()  # a closed pipe or a full disk must fail here, where the failure is handled
        return status
    except BrokenPipeError:
        return PIPE_CLOSED
    except KeyboardInterrupt as interrupt:  # the message of `fastnet train` names the files it wrote
        told = f"{' '.join(['interrupted', *map(str, interrupt.args)])}; exit code {INTERRUPTED}"
        processes.fail(lambda: _complain(told), INTERRUPTED)
        return INTERRUPTED
    except (FastnetError, ValueError, TypeError, OSError, MemoryError) as error:
        told = f"error: {_reason(error)}"
        processes.fail(lambda: _complain(told), 2)
        return 2
    finally:
        _drop_unwritten()


def _drop_unwritten() -> None:
    """Drop output that cannot be written. Python flushes stdout again when it exits, and would print a traceback."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> Parser:
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
    top.commands = {command.name: _add(commands, command) for command in _COMMANDS.values()}
    commands.add_parser(bench.NAME, help=bench.SUMMARY, add_help=False)
    return top


def _add(commands: argparse._SubParsersAction[Parser], command: Command) -> Parser:
    examples = "".join(f"\n  {example}" for example in command.examples)
    made = commands.add_parser(
        command.name,
        help=command.summary,
        description=textwrap.fill(f"{command.summary[0].upper()}{command.summary[1:]}.", 80),
        epilog=f"example{'s' if len(command.examples) > 1 else ''}:{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    made.add_argument("--json", action="store_true", help="print the result as one JSON object")
    command.fill(made)
    return made


def _run(arguments: list[str]) -> int:
    top = parser()
    first = next((k for k, argument in enumerate(arguments) if not argument.startswith("-")), len(arguments))
    top.check_options(arguments[:first])
    if first < len(arguments):
        name, names = arguments[first], (*_COMMANDS, bench.NAME)
        if name not in names:  # `fastnet help` means `fastnet --help`
            hint = checks.suggestion(name, (*names, "--help", "--version"))
            raise ValueError(f"unknown command {name!r}; there are {', '.join(names)}{hint}")
        if name == bench.NAME:  # `fastnet bench` parses its own options
            with _warnings_in_lines(()):
                return bench.run(arguments[first + 1 :])
        top.commands[name].check_options(arguments[first + 1 :])
    args = top.parse_all(arguments)
    if args.command is None:
        top.print_help()
        return 2
    command = _COMMANDS[args.command]
    if command.configure is not None:
        command.configure(top.commands[command.name], arguments[first + 1 :])
        args = top.parse_all(arguments)
    if command is train.COMMAND:
        processes.join(args)
    with _warnings_in_lines(vars(args), args.quiet), options_in_errors(args):
        return command.run(args)


@contextlib.contextmanager
def _warnings_in_lines(options: Iterable[str], quiet: bool = False) -> Iterator[None]:
    """Print each warning in one line, with option names in place of argument names; print none with --quiet."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not quiet:
            _complain(f"warning: {in_options(str(message), options)}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _complain(message: str) -> None:
    with contextlib.suppress(OSError):  # if stderr is closed or full too, the message cannot be shown
        say(f"fastnet: {' '.join(message.split())}")


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"not enough memory{f' ({error})' if str(error) else ''}: use less data or a smaller network"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {shown(error.filename)}" if isinstance(error.filename, str) else "")
    return str(error) or type(error).__name__
