"""`fastnet train`: trains a network, tests it, and writes the files that the options name."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, cast, get_args

import numpy as np

from fastnet import backends, checks
from fastnet.backends.compression import compresses
from fastnet.backends.interrupts import Interrupts
from fastnet.backends.warming import warm_up
from fastnet.cli import progress, results
from fastnet.cli.common import about_network, evaluate, load_data, print_result
from fastnet.cli.options import (
    SEED,
    SPARSE,
    Command,
    add_backend_option,
    add_data_options,
    add_name,
    add_number,
    add_sparse_option,
    defaults,
    real,
)
from fastnet.data import Dataset
from fastnet.kernels.formulas import ACTIVATIONS, COSTS
from fastnet.names import Init
from fastnet.network import Network
from fastnet.text import facts, shown
from fastnet.training.optimizers import OPTIMIZERS, Adam, Momentum, Optimizer
from fastnet.training.recipe import CHAPTER
from fastnet.training.schedules import SCHEDULES, Schedule
from fastnet.training.trainer import Trainer

_NETWORK, _TRAINER = defaults(Network), defaults(Trainer)
_CHAPTER = CHAPTER.trainer  # settings of the trainer in the recipe that plain `fastnet train` uses

# -- options -----------------------------------------------------------------------------------------------------------


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_data_options(parser)
    _add_network_options(parser.add_argument_group("the network"))
    _add_training_options(parser.add_argument_group("the training"))
    written = parser.add_argument_group("the results")
    written.add_argument("--save", metavar="FILE.npz", help="write the trained network, also after Ctrl-C")
    written.add_argument("--history", metavar="FILE.json", help="write the cost, accuracy, seconds, ... of each epoch")
    written.add_argument(
        "--out", metavar="FOLDER", help="write the whole run into this folder, for fastnet report; implies --validate"
    )
    written.add_argument(
        "--report", metavar="FILE.html", help="write a report of the run, to open in a browser; implies --validate"
    )


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    hidden = ",".join(map(str, CHAPTER.hidden))
    group.add_argument(
        "--layers",
        type=_widths,
        metavar="N,N,...",
        help=f"widths of the layers, inputs first (default: inputs,{hidden},classes)",
    )
    names = [row.name for row in ACTIVATIONS.values() if row.is_hidden]
    group.add_argument(
        "--activation",
        default=CHAPTER.network["activation"],
        metavar="NAME[,NAME...]",
        help=f"activation of the hidden layers, one for all or a list: {', '.join(names)} (default: %(default)s)",
    )
    group.add_argument(
        "--output",
        default=_NETWORK["output"],
        metavar="NAME",
        help="activation of the outputs: one of the names above, or softmax (default: the one that fits the cost)",
    )
    add_name(group, "--cost", CHAPTER.network["cost"], COSTS)
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
    add_name(group, "--optimizer", _CHAPTER["optimizer"], OPTIMIZERS)
    rates = ", ".join(f"{make().default_learning_rate:g} for {name}" for name, make in OPTIMIZERS.items())
    group.add_argument(
        "--learning-rate",
        type=real,
        metavar="RATE",
        help=f"default: {_CHAPTER['learning_rate']:g} for the default --optimizer and --cost; otherwise {rates}",
    )
    add_name(group, "--schedule", _CHAPTER["schedule"], SCHEDULES, "schedule of the learning rate: ")
    add_number(group, "--warmup", Schedule().warmup, "epochs in which the learning rate rises from 0")
    add_number(group, "--batch-size", _CHAPTER["batch_size"], "examples in an update")
    add_number(group, "--epochs", CHAPTER.epochs, "passes over the data")
    add_number(
        group, "--seed", SEED, "seed of the initial weights, the order and dropout; the same seed gives the same result"
    )
    group.add_argument(
        "--nesterov", action="store_true", default=None, help="use Nesterov's step with --optimizer momentum"
    )
    add_number(group, "--momentum", None, f"for --optimizer momentum (default: {Momentum().momentum:g})", float)
    add_number(group, "--beta1", None, f"for --optimizer adam (default: {Adam().beta1:g})", float)
    add_number(group, "--beta2", None, f"for --optimizer adam (default: {Adam().beta2:g})", float)
    add_number(group, "--weight-decay", _TRAINER["weight_decay"], "L2 penalty on the weights, not on the biases")
    add_number(group, "--clip-norm", None, "scale longer gradients down to this norm (default: no limit)", float)
    group.add_argument(
        "--dropout",
        type=_shares,
        default=_TRAINER["dropout"],
        metavar="X[,X...]",
        help="share of the hidden activations to drop, one for all layers or a list (default: %(default)s)",
    )
    group.add_argument("--no-shuffle", action="store_true", help="keep the order of the examples")
    group.add_argument("--validate", action="store_true", help="also print the test accuracy after each epoch")
    add_backend_option(group)
    group.add_argument(
        "--threads",
        type=_threads,
        default=_TRAINER["threads"],
        metavar="N",
        help="number of threads that share each batch, or auto (default: %(default)s)",
    )
    add_sparse_option(group)


def _threads(text: str) -> int | str:
    """Return a number, or the text if it is not a number. The library checks both."""
    try:
        return int(text)
    except ValueError:
        return text


def _shares(text: str) -> float | tuple[float, ...]:
    try:
        shares = tuple(map(float, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a share such as 0.5 or a list such as 0.2,0.5; got {text!r}"
        ) from None
    return shares if len(shares) > 1 else shares[0]


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected widths such as 784,16,16,10, not {text!r}") from None


# -- the command -------------------------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    for name, value in (("epochs", args.epochs), ("seed", args.seed)):
        checks.whole_number(name, value, 0)
    results.check_training(args)
    if args.warmup > args.epochs:
        raise ValueError(f"--warmup {args.warmup:g} does not end within --epochs {args.epochs}: give more epochs")
    optimizer = _optimizer(args)
    schedule = SCHEDULES[checks.name_of("schedule", args.schedule, SCHEDULES)](warmup=args.warmup)
    choice = backends.resolve(args.backend)
    data = load_data(args)
    network = _network(args, data)
    trainer = _trainer(args, network, optimizer, schedule)
    initial = network.copy()
    if not args.json:
        print_result(args, facts(_settings(args, data, trainer, choice)), {})
    try:
        _fit(args, data, trainer, choice.name)
    except KeyboardInterrupt:
        kept: list[str] = []
        if trainer.steps:  # an untrained network must not replace a file
            results.write_training(args, trainer, results.run_of(args, data, trainer, initial))
            if places := [shown(path) for path in (args.save, args.out) if path]:
                kept.append(f"the network trained so far is saved in {' and '.join(places)}")
            if args.history:
                kept.append(f"the history is saved in {shown(args.history)}")
        lost = "nothing is saved" + ", since neither --save nor --out is given" * bool(trainer.steps)
        raise KeyboardInterrupt(f"after {trainer.steps:,} updates; {'; '.join(kept) or lost}") from None
    done = results.run_of(args, data, trainer, initial)
    results.write_training(args, trainer, done)
    text, done.record["test"] = evaluate(network, data, args.backend)
    results.write_test(args, done, data)
    written = {name: getattr(args, name) for name in ("save", "history", "out", "report")}
    print_result(args, f"{facts(_summary(trainer, written))}\n{text}", {**done.record, **written})
    return 0


def _network(args: argparse.Namespace, data: Dataset) -> Network:
    return Network(
        _sizes(args.layers, data),
        activation=args.activation.split(",") if "," in args.activation else args.activation,
        output=args.output,
        cost=args.cost,
        init=args.init,
        seed=args.seed,
        dtype=args.dtype,
    )


def _sizes(layers: tuple[int, ...] | None, data: Dataset) -> tuple[int, ...]:
    """Return the widths in --layers after a check that they fit the data. Without --layers, return the recipe's."""
    n_in, classes = data.x_train.shape[1], len(data.class_names)
    if layers is None:
        return (n_in, *CHAPTER.hidden, classes)
    outputs = (1, 2) if classes == 2 else (classes,)  # two classes can share one sigmoid
    if layers[0] != n_in or layers[-1] not in outputs:
        hidden = layers[1:-1] if len(layers) > 1 else layers
        raise ValueError(
            f"--layers {','.join(map(str, layers))} does not fit {data.name}, which has {n_in} inputs and {classes} "
            f"classes: use --layers {','.join(map(str, (n_in, *hidden, classes)))}"
        )
    return layers


def _trainer(args: argparse.Namespace, network: Network, optimizer: Optimizer, schedule: Schedule) -> Trainer:
    return Trainer(
        network,
        optimizer=optimizer,
        learning_rate=_learning_rate(args),
        schedule=schedule,
        batch_size=args.batch_size,
        weight_decay=args.weight_decay,
        clip_norm=args.clip_norm,
        dropout=args.dropout,
        shuffle=not args.no_shuffle,
        backend=args.backend,
        seed=args.seed,
        threads=args.threads,
        sparse=SPARSE[args.sparse],
    )


def _optimizer(args: argparse.Namespace) -> Optimizer:
    optimizer: Any = OPTIMIZERS[checks.name_of("optimizer", args.optimizer, OPTIMIZERS)]()
    given = {name: getattr(args, name) for name in ("momentum", "nesterov", "beta1", "beta2")}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given.keys() - {field.name for field in dataclasses.fields(optimizer)}:
        others = " or ".join(other for other, make in OPTIMIZERS.items() if hasattr(make(), name))
        raise ValueError(
            f"--{name} does not go with --optimizer {args.optimizer}: give --optimizer {others}, or leave out --{name}"
        )
    return cast(Optimizer, dataclasses.replace(optimizer, **given))


def _learning_rate(args: argparse.Namespace) -> float | None:
    """Return --learning-rate if it is given. Else return the recipe's rate if optimiser and cost are the recipe's.

    Otherwise return None, which means the optimiser's default rate.
    """
    if args.learning_rate is None and (args.optimizer, args.cost) == (_CHAPTER["optimizer"], CHAPTER.network["cost"]):
        return cast(float, _CHAPTER["learning_rate"])
    return cast("float | None", args.learning_rate)


def _fit(args: argparse.Namespace, data: Dataset, trainer: Trainer, backend: str) -> None:
    _compile(args, data, trainer.network, backend)
    has_test = args.validate or args.out is not None or args.report is not None  # a report draws the test curve
    trainer.fit(
        data.x_train,
        data.y_train,
        epochs=args.epochs,
        validation_data=(data.x_test, data.y_test) if has_test else None,
        callbacks=progress.training_progress(args.epochs, args.quiet),
    )


def _compile(args: argparse.Namespace, data: Dataset, network: Network, backend: str) -> None:
    """Compile the kernels before `fit`, and print a line if this takes long. Only numba compiles at run time."""
    kernels = backends.get(backend)

    def call() -> None:
        warm_up(kernels, network.dtype, data.x_test.dtype)
        if compresses(checks.sparse(SPARSE[args.sparse]), kernels, data.x_train, args.epochs):
            warm_up(kernels, network.dtype, data.x_train.dtype, sparse=True)

    message = f"compiling the {backend} kernels, or loading them from the cache ... (later runs only load them)"
    with progress.told_if_slow(message, args.quiet), Interrupts() as interrupts:
        interrupts.call(call, abandon=True)


def _settings(args: argparse.Namespace, data: Dataset, trainer: Trainer, choice: backends.Choice) -> dict[str, str]:
    """Return the lines printed before the training."""
    nesterov = " with Nesterov's step" if args.nesterov else ""
    shares = ",".join(f"{share:g}" for share in np.atleast_1d(args.dropout))
    dropout = f", dropout {shares}" if np.any(args.dropout) else ""
    return {
        "data": f"{data.name}: {len(data.x_train):,} examples to train, {len(data.x_test):,} to test",
        **about_network(trainer.network),
        "training": f"{args.optimizer}{nesterov}, learning rate {trainer.learning_rate:g} ({args.schedule}), "
        f"batches of {args.batch_size}{dropout}, {args.epochs} epochs, seed {args.seed}",
        "backend": f"{choice.name} ({choice.reason})",
    }


def _summary(trainer: Trainer, written: dict[str, str | None]) -> dict[str, str]:
    """Return the lines printed after the training."""
    seconds, examples = sum(trainer.history["seconds"]), sum(trainer.history["examples"])
    last = trainer.history.epochs[-1] if len(trainer.history) else None
    threads = f" on {last.threads} threads" if last and last.threads > 1 else ""
    lines = {"time": f"{seconds:.2f} s of training{threads}, {examples / max(seconds, 1e-9):,.0f} examples/s"}
    if last and last.inputs != "dense":
        lines["inputs"] = last.inputs
    return lines | {name.replace("save", "saved"): shown(path) for name, path in written.items() if path}


COMMAND = Command(
    "train",
    "train a network",
    (
        "fastnet train",
        "fastnet train --data mnist --layers 784,16,16,10 --learning-rate 0.5 --epochs 30 --backend cython \\\n"
        "      --save digits.npz --history run.json",
        "fastnet train --data mnist --activation relu --cost cross_entropy --optimizer momentum --nesterov \\\n"
        "      --learning-rate 0.02 --weight-decay 5e-4 --batch-size 64 --epochs 25",
    ),
    fill,
    run,
)
