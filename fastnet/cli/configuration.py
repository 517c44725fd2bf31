"""The configuration of `fastnet train`: options from a file, from the environment and from --set, and the run.toml.

A value from any of these places is parsed as if it stood on the command line: there is one list of options, the
parser's.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from fastnet import backends
from fastnet.checks import given
from fastnet.cli import results
from fastnet.cli.options import DATA_OPTIONS, Parser, flag
from fastnet.cli.progress import say
from fastnet.data import Dataset
from fastnet.errors import DataError, warn
from fastnet.text import shown
from fastnet.training import provenance
from fastnet.training.configuration import FILE, RUN, Configuration, Value, read_configuration, without
from fastnet.training.toml_file import place
from fastnet.training.trainer import Trainer

PREFIX = "FASTNET_TRAIN_"  # of the environment variables; FASTNET_DATA and FASTNET_BACKEND mean something else
RESULTS = ("save", "history", "out", "report", "checkpoint_every")  # a repeated run must not replace the first one's
_NEVER = ("help", "quiet", "json", "config", "left_out", "show_config", "resume", "command", "communicator")
_PATHS = ("data", "data_dir", "labels")  # these may lie elsewhere today
_WITH_RESUME = (*_PATHS, "save", "history", "report", "checkpoint_every", "quiet", "json", "show_config")
_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


# -- from files, the environment and --set to options ------------------------------------------------------------------


def configure(parser: Parser, arguments: Sequence[str]) -> None:
    """Give the options the defaults that the file of --config and the environment name. The environment counts more.

    --resume takes the options of its own file only.

    Raises
    ------
    ValueError, DataError
        A name is no option, or a value is not what the option takes.
    """
    flags = parser.given(arguments)
    if "resume" in flags:
        values = _of_run(parser, without(flags, "resume"), flags["resume"])
    else:
        values = _of_file(parser, read_configuration(flags["config"]), flags["config"]) if "config" in flags else {}
        values = without(values | _of_environment(parser), *flags.get("left_out", ()))
    parser.set_defaults(**values)


def _of_run(parser: Parser, flags: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return the options of the training that --resume continues. The flags must not change it."""
    path = os.path.join(folder, FILE)
    if not os.path.isfile(path):
        raise DataError(f"{shown(folder)} holds no {FILE}: give --resume a folder that fastnet train --out wrote")
    began = read_configuration(path)
    values = _of_file(parser, began, path)
    for name, value in began.results.items():
        values[name] = _parsed(parser, name, value, shown(path), RESULTS)
    values["out"] = folder
    for name, value in flags.items():
        same = os.path.realpath(value) == os.path.realpath(folder) if name == "out" else value == values.get(name)
        if name not in _WITH_RESUME and not same:
            given_as = "--set" if name == "left_out" else flag(name)
            raise ValueError(
                f"--resume continues the training of {shown(folder)} as it began, but {given_as} would change it: "
                f"leave out {given_as}, or begin another training with --config {shown(path)}"
            )
    return values


def _of_file(parser: Parser, found: Configuration, path: str) -> dict[str, Any]:
    values = {}
    for name, value in found.options.items():
        where = place(shown(path), found.lines.get(name))
        values[name] = _parsed(parser, name, value, where)
        if isinstance(value, str) and isinstance(values[name], (int, float)) and not isinstance(values[name], bool):
            raise ValueError(f"{where}: {name} is a number: write {name} = {value} without quotes")
    return values


def _of_environment(parser: Parser) -> dict[str, Any]:
    values = {}
    for variable, text in os.environ.items():
        name = variable.removeprefix(PREFIX)
        if name != variable and text:  # an empty variable counts as none, as usual
            values[name.lower()] = _parsed(parser, name.lower(), text, f"the environment variable {variable}")
    return values


class SetOption(argparse.Action):
    """--set NAME=VALUE: sets another option. Its own value is the names that `--set NAME=` leaves out."""

    def __init__(self, option_strings: list[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, "left_out", default=(), metavar="NAME=VALUE", **more)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Parse the value as that of the option."""
        assert isinstance(parser, Parser)
        name, sign, text = values.partition("=")
        if not sign:
            raise ValueError(f"--set {values}: expected a name and a value such as batch_size=32")
        if text:
            setattr(namespace, name, _parsed(parser, name, text, f"--set {values}"))
        else:
            _option(parser, name, f"--set {values}")
            before = getattr(namespace, self.dest)
            setattr(namespace, self.dest, (*(before if isinstance(before, tuple) else ()), name))


def _option(parser: Parser, name: str, where: str, known: Sequence[str] = ()) -> argparse.Action:
    """Return the option of a name: one that decides the training, or one of those `known`, if these are given."""
    options = parser.options()
    known = known or [*without(options, *RESULTS, *_NEVER)]
    if name not in known and name in options and flag(name) in options[name].option_strings:
        raise ValueError(f"{where}: {name} is not part of a configuration: give {flag(name)} on the command line")
    if name not in known:
        hint = parser.closest(name, known)
        raise ValueError(f"{where}: there is no option {given(name)}{hint}")
    return options[name]


def _parsed(parser: Parser, name: str, value: Value, where: str, known: Sequence[str] = ()) -> Any:
    """Return what the option of this name becomes with a value from a file, or with a text from another place."""
    option = _option(parser, name, where, known)
    if option.nargs == 0:  # a flag
        is_on = _BOOLS.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(is_on, bool):
            raise ValueError(f"{where}: {name} must be true or false, not {given(value)}")
        if not is_on and len(option.option_strings) == 1:  # such as --no-shuffle, which has no opposite
            return None if option.default is None else False
        argument = option.option_strings[0 if is_on else 1]
    else:
        argument = f"{option.option_strings[0]}={_argument(name, value, where)}"
    try:
        return getattr(parser.parse_known_args([argument])[0], name)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _argument(name: str, value: Value, where: str) -> str:
    """Return a value as it stands on the command line."""

    def refuse(what: str) -> NoReturn:
        raise ValueError(f"{where}: {name} {what}")

    if isinstance(value, bool):
        refuse(f"takes a value, not {'true' if value else 'false'}")
    if isinstance(value, list):
        if any(isinstance(entry, str) and "," in entry for entry in value):
            refuse("holds a name with a comma, which separates names: rename the column")
        return ",".join(_argument(name, entry, where) for entry in value)
    return value if isinstance(value, str) else repr(value)


# -- from options to run.toml ------------------------------------------------------------------------------------------


def describe(args: argparse.Namespace, data: Dataset, trainer: Trainer, choice: backends.Choice) -> Configuration:
    """Return the complete configuration of a training that is about to start."""
    options = without(vars(args), *RESULTS, *_NEVER) | results.source_of(args) | _resolved(args, trainer)
    options["backend"] = choice.name
    record = {
        RUN: {"date": provenance.now(), "processes": 1 if args.communicator is None else args.communicator.size},
        "data": {"given": args.data, **provenance.describe_data(data)},
        "versions": provenance.software(),
        "machine": provenance.describe_machine(),
        "backend": provenance.describe_backend(choice),
    }
    paths = {name: getattr(args, name) for name in ("save", "history", "report")}
    written = {name: os.path.abspath(path) for name, path in paths.items() if path is not None}
    if args.checkpoint_every is not None:
        written["checkpoint_every"] = args.checkpoint_every
    return Configuration(_known(options), written, record)


def _resolved(args: argparse.Namespace, trainer: Trainer) -> dict[str, Any]:
    """Return the values of options that depend on the data, or on other options."""
    network, optimizer = trainer.network, vars(trainer.optimizer)
    found: dict[str, Any] = {
        "layers": network.sizes,
        "output": network.activations_by_layer[-1],
        "cost": network.cost_name,
        "learning_rate": trainer.learning_rate,
        **{name: optimizer[name] for name in ("momentum", "nesterov", "beta1", "beta2") if name in optimizer},
    }
    if args.communicator is not None:
        found["averaging"] = "auto" if args.averaging is None else args.averaging
    if isinstance(args.label_column, int):
        found["label_column"] = args.label_column + 1  # columns count from 1 on the command line
    return found


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that have a value, with lists in place of tuples, as a file gives them back."""
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return {name: value for name, value in listed.items() if value is not None}


def keep_choice(args: argparse.Namespace, trainer: Trainer) -> None:
    """Write into the run.toml of --out what the processes averaged, so that a repeated run does not choose anew."""
    process = trainer.state().process
    if args.out is None or process is None or args.averaging not in (None, "auto"):
        return
    path = os.path.join(args.out, FILE)
    found = read_configuration(path)
    if process.every is not None:
        found.options["averaging"] = process.every
        found.save(path)


# -- a repeated run ----------------------------------------------------------------------------------------------------


def compare(args: argparse.Namespace, now: Configuration) -> None:
    """Warn if the data are not those of the file of --config. Say what else may change the last bits.

    With --resume, other data are an error.
    """
    path = _file_of(args)
    if path is None:
        return
    then = read_configuration(path)
    name, old, new = shown(path), then.record.get("data", {}), now.record["data"]
    reading = (option for option in DATA_OPTIONS if option not in _PATHS)
    reads_alike = all(then.options.get(option) == now.options.get(option) for option in reading)
    if reads_alike and "hash" in old and old["hash"] != new["hash"]:
        shapes = [
            f"{key} is {new[key]} in place of {old[key]}" for key in provenance.ARRAYS if old.get(key) != new[key]
        ]
        message = f"the data {shown(new['given'])} are not those of {name}: {', '.join(shapes) or 'the values differ'}"
        if args.resume is not None:
            raise DataError(
                f"{message}: restore the data, give their new place with --data, or begin another training with "
                f"--config {name} and another --out"
            )
        warn(message)
    if (changes := then.changes(now)) and not args.quiet:
        say(f"fastnet: note: the last bits may differ from those of {name}: {', '.join(changes)}")


def check_processes(args: argparse.Namespace) -> None:
    """Warn if another number of processes trains than that of the file of --config. With --resume it is an error."""
    path = _file_of(args)
    if path is None:
        return
    old = read_configuration(path).record.get(RUN, {}).get("processes", 1)  # earlier versions had one process
    new = 1 if args.communicator is None else args.communicator.size
    if new == old:
        return
    message = f"the training of {shown(path)} had {_processes(old)}, and this one has {_processes(new)}"
    if args.resume is not None:
        how = "without mpiexec" if old == 1 else f"under mpiexec -n {old}"
        raise ValueError(f"{message}: run the command {how}")
    warn(f"{message}: it trains on other batches, with other results")


def _file_of(args: argparse.Namespace) -> str | None:
    """Return the path of the file that the options come from."""
    return args.config if args.resume is None else os.path.join(args.out, FILE)


def _processes(n: object) -> str:
    return "one process" if n == 1 else f"{n} processes"
