"""A command, its parser, and the options that several commands share.

Names, lists and defaults come from the library's tables and signatures. The library checks the values.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from fastnet import backends, data
from fastnet.checks import given, suggestion
from fastnet.names import Sparse

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

DATA_OPTIONS = ("data", "data_dir", "labels", "label_column")  # the options that say which data to read, and how
SEED = 0
SPARSE: dict[str, Sparse] = {"auto": "auto", "yes": True, "no": False}  # the library's value for each word
_NAMES_ELSEWHERE = {  # what other libraries call an option
    "--batch-size": ("batch", "bs"),
    "--cost": ("loss", "loss-function", "criterion"),
    "--data": ("input",),
    "--epochs": ("max-iter",),
    "--layers": ("hidden", "hidden-layers", "hidden-layer-sizes"),
    "--learning-rate": ("lr", "eta", "learning-rate-init"),
    "--optimizer": ("optim", "solver"),
    "--out": ("output-dir", "out-dir"),
    "--seed": ("random-state",),
    "--threads": ("jobs", "n-jobs", "workers"),
    "--validate": ("val",),
    "--weight-decay": ("l2", "wd"),
}
_DASHES = "-\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"  # word processors write the others
_OPTION = re.compile(rf"[{_DASHES}]+[^\W\d][^ ]*")  # an option, not a negative number


class Command(NamedTuple):
    """One command of `fastnet`: `fill` adds its options to a parser, `run` executes it and returns the exit status."""

    name: str
    summary: str
    examples: tuple[str, ...]
    fill: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """A parser that raises its errors, so that `fastnet` prints every error the same way."""

    commands: Mapping[str, Parser] = MappingProxyType({})  # the parsers of the commands, by name

    def error(self, message: str) -> NoReturn:
        """Raise ValueError in place of printing the usage and exiting."""
        raise ValueError(f"{message} (see {self.prog} --help)")

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Print the help. argparse's own method ignores a full disk."""
        print(self.format_help(), end="", file=file)

    def check_options(self, arguments: Sequence[str]) -> None:
        """Refuse an option that this parser lacks, and suggest the closest option.

        Without this check, argparse would first complain about missing required options. It would take an option with a
        typographic dash for a value.
        """
        known = self._option_string_actions
        for argument in arguments:
            if argument == "--":  # only values follow
                return
            option = argument.partition("=")[0]
            if _OPTION.fullmatch(option) and option not in known:
                raise ValueError(f"there is no option {option!r} (see {self.prog} --help){self._closest(option)}")

    def parse_all(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the arguments. An argument that is left over may be an option without its dashes."""
        args, left = self.parse_known_args(arguments)
        if left:
            parser = self.commands.get(getattr(args, "command", None) or "", self)
            hint = parser._closest(left[0].partition("=")[0])
            raise ValueError(f"{left[0]!r} belongs to no option (see {parser.prog} --help){hint}")
        return args

    def _closest(self, option: str) -> str:
        """Return the end of an error about an option that this parser lacks: a suggestion, or ""."""
        known = self._option_string_actions
        name = option.lstrip(_DASHES).replace("_", "-").lower()
        same = next((ours for ours, theirs in _NAMES_ELSEWHERE.items() if name in theirs), "")
        return suggestion(same if same in known else name, (*known, *self.commands))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is none of the action's choices, and suggest the closest choice."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            hint = suggestion(value, map(str, action.choices or ()))
            raise argparse.ArgumentError(action, f"{error.message}{hint}") from None


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the default of each parameter of a function or class."""
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


_DATA = defaults(data.load)["source"]


def add_data_options(command: argparse.ArgumentParser, default: str | None = _DATA) -> None:
    """Add --data and the options that say how the data are read. A default of None means the data of the training."""
    command.add_argument(
        "--data",
        default=default,
        metavar="NAME",
        help=f"{', '.join(data.names())}, or your own NPZ, CSV or IDX file or folder "
        f"(default: {default or 'the data of the training'})",
    )
    add_file_options(command)


def add_file_options(command: argparse.ArgumentParser) -> None:
    """Add --data-dir, --labels and --label-column, which say where and how data are read."""
    command.add_argument("--data-dir", metavar="FOLDER", help="look for the named data sets in this folder first")
    command.add_argument(
        "--labels", metavar="FILE", help="the file of labels, if the file of --data holds only examples"
    )
    command.add_argument(
        "--label-column",
        metavar="NAME",
        help="the column of labels in a CSV file, by name or by number from 0 (default: the column named label, "
        "class, target or y, else the last)",
    )


def add_model_option(command: argparse.ArgumentParser) -> None:
    """Add --model."""
    command.add_argument("--model", required=True, metavar="FILE.npz", help="a network that fastnet train --save wrote")


def add_backend_option(command: argparse._ActionsContainer) -> None:
    """Add --backend."""
    command.add_argument(
        "--backend",
        metavar="NAME",
        help=f"{', '.join(('auto', *backends.NAMES))} (default: ${backends.ENVIRONMENT}, or auto)",
    )


def add_sparse_option(command: argparse._ActionsContainer) -> None:
    """Add --sparse."""
    command.add_argument(
        "--sparse",
        choices=SPARSE,
        default="auto",
        metavar="WHEN",
        help="store only the inputs that are not zero: auto (if that is faster), yes, no (default: %(default)s)",
    )


def add_name(group: argparse._ActionsContainer, option: str, default: str, known: Any, about: str = "") -> None:
    """Add an option whose value is one of the names `known`."""
    group.add_argument(
        option, default=default, metavar="NAME", help=f"{about}{', '.join(known)} (default: %(default)s)"
    )


def add_number(
    group: argparse._ActionsContainer, option: str, default: float | None, about: str, kind: type | None = None
) -> None:
    """Add an option whose value is a number of the type `kind`. By default `kind` is the type of `default`."""
    group.add_argument(
        option,
        type=whole if (kind or type(default)) is int else real,
        default=default,
        metavar="N" if (kind or type(default)) is int else "X",
        help=about if default is None else f"{about} (default: %(default)s)",
    )


def whole(text: str) -> int:
    """Return the whole number that an option's text stands for."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number such as 10, not {given(text)}") from None


def real(text: str) -> float:
    """Return the number that an option's text stands for."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number such as 0.5, not {given(text)}") from None
