"""The options of `fastnet train`, and the defaults that depend on the data."""

from __future__ import annotations

import argparse
from typing import get_args

import numpy as np

from fastnet.cli.common import held_out_share
from fastnet.cli.configuration import PREFIX, SetOption
from fastnet.cli.options import (
    SEED,
    add_backend_option,
    add_data_options,
    add_number,
    add_sparse_option,
    add_table_options,
    add_threads_option,
    defaults,
    number_or_text,
    real,
    widths,
)
from fastnet.cli.resuming import interval
from fastnet.data import Dataset
from fastnet.kernels.formulas import ACTIVATIONS, COSTS
from fastnet.names import Init
from fastnet.network import Network
from fastnet.training.optimizers import OPTIMIZERS, Adam, Momentum
from fastnet.training.recipe import CHAPTER, MIN_ROWS, VALIDATION_SPLIT, Recipe, table_recipe
from fastnet.training.schedules import SCHEDULES, Schedule
from fastnet.training.trainer import Trainer

_NETWORK, _TRAINER = defaults(Network), defaults(Trainer)
_FOR_HELP = MIN_ROWS  # rows of a table; the help texts say what depends on them


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_data_options(parser)
    add_table_options(parser)
    add_standardize_option(parser)
    _add_network_options(parser.add_argument_group("the network"))
    _add_training_options(parser.add_argument_group("the training"))
    _add_configuration_options(parser.add_argument_group("the configuration"))
    written = parser.add_argument_group("the results")
    written.add_argument(
        "--save",
        metavar="FILE.npz",
        help="write the trained network, also after Ctrl-C; with the suffix .safetensors, for PyTorch to read",
    )
    written.add_argument("--history", metavar="FILE.json", help="write the cost, accuracy, seconds, ... of each epoch")
    written.add_argument(
        "--out",
        metavar="FOLDER",
        help="write the whole run into this folder, for fastnet report; without --validation-split, implies --validate",
    )
    written.add_argument(
        "--checkpoint-every",
        type=interval,
        metavar="TIME",
        help="write a checkpoint into the folder of --out every 60s, 5m, 2h or 10epochs; without this option after "
        "Ctrl-C only",
    )
    written.add_argument(
        "--resume",
        metavar="FOLDER",
        help="finish the training of this --out folder after Ctrl-C or a kill, with the options that it began with",
    )
    written.add_argument(
        "--report",
        metavar="FILE.html",
        help="write a report of the run, to open in a browser; without --validation-split, implies --validate",
    )


def add_standardize_option(parser: argparse.ArgumentParser) -> None:
    """Add --standardize and --no-standardize."""
    parser.add_argument(
        "--standardize",
        action=argparse.BooleanOptionalAction,
        help="train on columns of mean 0 and standard deviation 1; the saved network takes raw values (default: yes "
        "for tables, no for pixels)",
    )


def _add_configuration_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--config",
        metavar="FILE.toml",
        help="take the options from this file, such as the run.toml of an earlier --out; other options on the command "
        f"line, and environment variables such as {PREFIX}BATCH_SIZE, count more",
    )
    group.add_argument(
        "--set",
        action=SetOption,
        help="set an option by its name in the file, such as --set batch_size=32; --set NAME= leaves out the option",
    )
    group.add_argument(
        "--show-config", action="store_true", help="print the configuration that would be trained, as TOML, and end"
    )


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    hidden, of_tables = (",".join(map(str, recipe.hidden)) for recipe in (CHAPTER, table_recipe(_FOR_HELP)))
    group.add_argument(
        "--layers",
        type=widths,
        metavar="N,N,...",
        help=f"widths of the layers, inputs first (default: inputs,{hidden},classes; for tables "
        f"inputs,{of_tables},outputs)",
    )
    names = [row.name for row in ACTIVATIONS.values() if row.is_hidden]
    group.add_argument(
        "--activation",
        metavar="NAME[,NAME...]",
        help=f"activation of the hidden layers, one for all or a list: {', '.join(names)} ({_both('activation')})",
    )
    group.add_argument(
        "--output",
        default=_NETWORK["output"],
        metavar="NAME",
        help="activation of the outputs: one of the names above, or softmax (default: the one that fits the cost)",
    )
    group.add_argument(
        "--cost",
        metavar="NAME",
        help=f"{', '.join(COSTS)} (default: {CHAPTER.network['cost']}; for tables the one that fits the task)",
    )
    group.add_argument(
        "--init",
        default=_NETWORK["init"],
        metavar="NAME",
        help=f"initial weights: {', '.join(get_args(Init))} (default: %(default)s)",
    )
    group.add_argument(
        "--dtype",
        default=np.dtype(_NETWORK["dtype"]).name,
        metavar="NAME",
        help="type of the parameters and of the arithmetic: float32, float64 (default: %(default)s)",
    )


def _add_training_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--optimizer", metavar="NAME", help=f"{', '.join(OPTIMIZERS)} ({_both('optimizer')})")
    rates = ", ".join(f"{make().default_learning_rate:g} for {name}" for name, make in OPTIMIZERS.items())
    group.add_argument(
        "--learning-rate",
        type=real,
        metavar="RATE",
        help=f"default: {CHAPTER.trainer['learning_rate']:g} for pictures with the default --optimizer and --cost; "
        f"otherwise {rates}",
    )
    group.add_argument(
        "--schedule",
        metavar="NAME",
        help=f"schedule of the learning rate: {', '.join(SCHEDULES)} ({_both('schedule')})",
    )
    add_number(group, "--warmup", Schedule().warmup, "epochs in which the learning rate rises from 0")
    add_number(group, "--batch-size", None, f"examples in an update ({_both('batch_size')})", int)
    add_number(group, "--epochs", None, f"passes over the data, at most ({_both('epochs')})", int)
    add_number(
        group,
        "--patience",
        None,
        "end the training after this number of epochs without a lower cost on the rows of --validation-split, and keep "
        f"the best network; 0: run all epochs ({_both('patience')} with {MIN_ROWS} training rows or more, else 0)",
        int,
    )
    add_number(
        group,
        "--validation-split",
        None,
        "share of the training rows to hold out for --patience "
        f"(default: {VALIDATION_SPLIT:g} with --patience, else 0)",
        float,
    )
    add_number(
        group, "--seed", SEED, "seed of the initial weights, the order and dropout; the same seed gives the same result"
    )
    group.add_argument(
        "--nesterov", action="store_true", default=None, help="use Nesterov's step with --optimizer momentum"
    )
    add_number(group, "--momentum", None, f"for --optimizer momentum (default: {Momentum().momentum:g})", float)
    add_number(group, "--beta1", None, f"for --optimizer adam (default: {Adam().beta1:g})", float)
    add_number(group, "--beta2", None, f"for --optimizer adam (default: {Adam().beta2:g})", float)
    rows = table_recipe(_FOR_HELP).trainer["weight_decay"] * _FOR_HELP
    add_number(
        group,
        "--weight-decay",
        None,
        f"L2 penalty on the weights, not on the biases (default: {_TRAINER['weight_decay']:g}; for tables {rows:g} / "
        "the number of training rows)",
        float,
    )
    add_number(group, "--clip-norm", None, "scale longer gradients down to this norm (default: no limit)", float)
    group.add_argument(
        "--dropout",
        type=_shares,
        default=_TRAINER["dropout"],
        metavar="X[,X...]",
        help="share of the hidden activations to drop, one for all layers or a list (default: %(default)s)",
    )
    group.add_argument("--no-shuffle", action="store_true", help="keep the order of the examples")
    group.add_argument(
        "--validate", action="store_true", help="also print the results on the test rows after each epoch"
    )
    add_backend_option(group)
    add_threads_option(group, "each batch", _TRAINER["threads"])
    add_sparse_option(group)
    group.add_argument(
        "--averaging",
        type=number_or_text,
        metavar="N",
        help="for mpiexec -n 4 fastnet train: average the parameters of the processes every N updates; 1: the "
        "gradients in each update; auto: choose from measured times (default: auto)",
    )


def _shares(text: str) -> float | tuple[float, ...]:
    try:
        shares = tuple(map(float, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a share such as 0.5 or a list such as 0.2,0.5; got {text!r}"
        ) from None
    return shares if len(shares) > 1 else shares[0]


# -- defaults that depend on the data ----------------------------------------------------------------------------------


def recipe_for(data: Dataset) -> Recipe:
    """Return the recipe that gives the defaults: that of pictures for classes of pixels, else that of tables."""
    is_pictures = has_pixels(data) and data.task == "classification"
    return CHAPTER if is_pictures else table_recipe(data.n_train)


def has_pixels(data: Dataset) -> bool:
    """Return whether the examples are pixels or pictures, not a table."""
    return data.x_train.dtype == np.uint8 or data.image_shape is not None


def use_defaults(args: argparse.Namespace, data: Dataset, recipe: Recipe) -> None:
    """Give each option that the user left out the default for these data."""
    if args.learning_rate is None and _is_default(args, recipe, "optimizer") and _is_default(args, recipe, "cost"):
        args.learning_rate = _default(recipe, "learning_rate")
    for name in ("activation", "cost", "optimizer", "schedule", "batch_size", "weight_decay", "epochs", "patience"):
        if getattr(args, name) is None:
            setattr(args, name, _default(recipe, name))
    if args.validation_split is None:
        args.validation_split = VALIDATION_SPLIT if args.patience else 0.0
    if data.is_held_out:
        args.test_fraction = held_out_share(args, data)
    default_standardization(args, data)


def default_standardization(args: argparse.Namespace, data: Dataset) -> None:
    """Give --standardize the default for these data: yes for tables, no for pixels.

    It has a third state for pixels with numbers to predict: the numbers are standardized, the pixels not.
    """
    if args.standardize is None and not (has_pixels(data) and data.task == "regression"):
        args.standardize = not has_pixels(data)


def _default(recipe: Recipe, name: str) -> object:
    """Return the recipe's value of an option, or the library's where the recipe has none."""
    own = {"epochs": recipe.epochs, "patience": recipe.patience}
    return {**_NETWORK, **_TRAINER, **own, **recipe.network, **recipe.trainer}[name]


def _is_default(args: argparse.Namespace, recipe: Recipe, name: str) -> bool:
    return getattr(args, name) in (None, _default(recipe, name))


def _both(name: str) -> str:
    """Return the two defaults of an option as part of a help text."""
    pictures, tables = (_default(recipe, name) for recipe in (CHAPTER, table_recipe(_FOR_HELP)))
    return f"default: {pictures}; for tables {tables}"
