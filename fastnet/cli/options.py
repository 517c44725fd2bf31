"""A command, its parser, and the options that several commands share.

Names, lists and defaults come from the library's tables and signatures. The library checks the values.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, get_args

from fastnet import backends, data
from fastnet.checks import given, suggestion
from fastnet.cli.streams import standard_output
from fastnet.data.split import TEST_SHARE
from fastnet.names import Sparse, TaskName, Threads

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_FILE_OPTIONS = ("data_dir", "labels", "label_column", "pixels", "test_fraction")
TABLE_OPTIONS = ("task", "categorical", "drop", "impute")
DATA_OPTIONS = ("data", *_FILE_OPTIONS, *TABLE_OPTIONS)  # the options that say which data to read, and how
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


def flag(name: str) -> str:
    """Return an option as the command line spells it, such as --batch-size for batch_size."""
    return f"--{name.replace('_', '-')}"


class Command(NamedTuple):
    """One command of `fastnet`: `fill` adds its options to a parser, `run` executes it and returns the exit status.

    `configure` changes the defaults of the options after a first look at the arguments after the command's name. They
    are then parsed again.
    """

    name: str
    summary: str
    examples: tuple[str, ...]
    fill: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    configure: Callable[[Parser, Sequence[str]], None] | None = None


class Parser(argparse.ArgumentParser):
    """A parser that raises its errors, so that `fastnet` prints every error the same way."""

    commands: Mapping[str, Parser] = MappingProxyType({})  # the parsers of the commands, by name

    def error(self, message: str) -> NoReturn:
        """Raise ValueError in place of printing the usage and exiting."""
        raise ValueError(f"{message} (see {self.prog} --help)")

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Print the help. argparse's own method ignores a full disk."""
        with standard_output():
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

    def options(self) -> dict[str, argparse.Action]:
        """Return the options by the names of their values, such as batch_size."""
        return {action.dest: action for action in self._actions if action.option_strings}

    def given(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Return the values of the options that stand among the arguments."""
        names, left_out = self.options(), object()
        before = {name: self.get_default(name) for name in names}
        try:
            self.set_defaults(**dict.fromkeys(names, left_out))
            found = vars(self.parse_known_args(arguments)[0])
        finally:
            self.set_defaults(**before)
        return {name: value for name, value in found.items() if value is not left_out}

    def closest(self, name: str, known: Iterable[str]) -> str:
        """Return the end of an error about an unknown name of an option: a suggestion from `known`, or ""."""
        plain = name.lstrip(_DASHES).replace("_", "-").lower()
        same = next((ours for ours, theirs in _NAMES_ELSEWHERE.items() if plain in theirs), "")
        return suggestion(same if same in self._option_string_actions else plain, known)

    def _closest(self, option: str) -> str:
        return self.closest(option, (*self._option_string_actions, *self.commands))

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
        help=f"{', '.join(data.names())}, or your own NPZ, CSV, Parquet, Arrow or IDX file or folder "
        f"(default: {default or 'the data of the training'})",
    )
    add_file_options(command)


def add_file_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say where the examples and labels are, and which of them are for the test."""
    command.add_argument("--data-dir", metavar="FOLDER", help="look for the named data sets in this folder first")
    add_label_options(command)
    command.add_argument(
        "--test-fraction",
        type=real,
        metavar="X",
        help="share of your own data to hold out for the test, or 1 for all rows if a saved network is tested "
        f"(default: {TEST_SHARE:g}; for a saved network that of its training)",
    )


def add_label_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say where the labels are, and what the numbers are."""
    command.add_argument("--labels", metavar="FILE", help="the file of labels, if the data hold only examples")
    command.add_argument(
        "--label-column",
        type=_column,
        metavar="NAME",
        help="the column to predict, by name or by number from 1 (default: the column named label, class, target or y, "
        "else the last)",
    )
    command.add_argument(
        "--pixels",
        action="store_const",
        const=True,
        help="the numbers of a text file are pixels from 0 to 255 (default: numbers as they are)",
    )


def add_table_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say what the columns of a table mean. A saved network knows this by itself."""
    group = command.add_argument_group("the columns of a table")
    group.add_argument(
        "--task",
        metavar="NAME",
        help=f"what to predict: {', '.join(get_args(TaskName))} (default: regression for a column of fractions, "
        "classification for texts and whole numbers)",
    )
    group.add_argument(
        "--categorical",
        type=_names,
        metavar="NAME,NAME",
        help="columns of categories: one input for each of their values",
    )
    group.add_argument("--drop", type=_names, metavar="NAME,NAME", help="columns to leave out")
    group.add_argument(
        "--impute",
        action="store_const",
        const=True,
        help="fill missing values with the column's median (default: missing values are an error)",
    )


def _column(text: str) -> str | int:
    """Return a column's name, or its number counted from 0 as in Python. On the command line it counts from 1."""
    if not text.isdecimal():
        return text
    if int(text) < 1:
        raise argparse.ArgumentTypeError("columns count from 1: give a number from 1, or a name")
    return int(text) - 1


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected names such as age,city; got {given(text)}")
    return names


def add_model_option(command: argparse.ArgumentParser) -> None:
    """Add --model."""
    command.add_argument(
        "--model", required=True, metavar="FILE.npz", help="a network that fastnet train --save wrote, or an ensemble"
    )


def add_backend_option(command: argparse._ActionsContainer) -> None:
    """Add --backend."""
    command.add_argument(
        "--backend",
        metavar="NAME",
        help=f"{', '.join(('auto', *backends.NAMES))} (default: ${backends.ENVIRONMENT}, or auto)",
    )


def add_threads_option(command: argparse._ActionsContainer, shared: str, default: Threads) -> None:
    """Add --threads. `shared` is what the threads share."""
    command.add_argument(
        "--threads",
        type=number_or_text,
        default=default,
        metavar="N",
        help=f"number of threads that share {shared}, or auto (default: %(default)s)",
    )


def number_or_text(text: str) -> int | str:
    """Return a number, or the text if it is not a number. The library checks both."""
    try:
        return int(text)
    except ValueError:
        return text


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


def widths(text: str) -> tuple[int, ...]:
    """Return the widths of layers that an option's text stands for."""
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected widths such as 784,16,16,10, not {text!r}") from None
