"""`fastnet train`: trains a network, tests it, and writes the files that the options name."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from fastnet import backends, checks
from fastnet import data as sets
from fastnet.cli import configuration, processes, results, resuming
from fastnet.cli.common import about_network, column_names, evaluate, held_out_share, load_data, print_result
from fastnet.cli.fitting import Fitting
from fastnet.cli.options import SPARSE, Command
from fastnet.cli.train_options import fill, recipe_for, use_defaults
from fastnet.data import Dataset
from fastnet.data.large_datasets import LargeDataset
from fastnet.errors import DataError
from fastnet.network import Network
from fastnet.text import clipped, duration, facts, scores, shown
from fastnet.training.optimizers import OPTIMIZERS, Optimizer
from fastnet.training.recipe import CHAPTER, MIN_ROWS, Recipe
from fastnet.training.runs import Run
from fastnet.training.schedules import SCHEDULES, Schedule
from fastnet.training.trainer import Trainer

_MAX_LETTERS = 100  # of a list of names in the settings that are printed; --json has all names


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if args.resume is not None and not args.show_config and (finished := resuming.finished(args.resume)) is not None:
        print_result(args, _about_finished(args, finished), {**finished.record, **_written(args)})
        return 0
    for name in ("epochs", "seed", "patience"):
        if getattr(args, name) is not None:
            checks.whole_number(name, getattr(args, name), 0)
    if args.show_config:  # which makes no folder
        return _train(args)
    if processes.leads(args):
        results.check_training(args)
    with resuming.alone(args):
        resuming.check_place(args)
        return _train(args)


def _train(args: argparse.Namespace) -> int:
    """Train, test and write the files, or print the configuration. Return the exit status."""
    choice = backends.resolve(args.backend)
    configuration.check_processes(args)
    data = load_data(args, may_be_large=True)
    recipe = recipe_for(data)
    use_defaults(args, data, recipe)
    _check_lengths(args)
    optimizer = _optimizer(args)
    schedule = SCHEDULES[checks.name_of("schedule", args.schedule, SCHEDULES)](warmup=args.warmup)
    network = _network(args, data, recipe)
    trainer = _trainer(args, network, optimizer, schedule)
    made = None
    if args.show_config or args.config is not None or args.out is not None:  # otherwise nobody needs the hash
        made = configuration.describe(args, data, trainer, choice)
        configuration.compare(args, made)
    if made is not None and args.show_config:
        print_result(args, made.text().rstrip(), made.to_dict())
        return 0
    initial = network.copy()
    if args.resume is not None:
        trainer = resuming.resume(args)
    fitting = Fitting(args, data, trainer, initial)
    if not args.json:
        print_result(args, facts(_settings(args, fitting, choice)), {})
    restore = resuming.begin(args, made) if made is not None and args.out is not None else None
    processes.wait(args)  # the first process may have removed checkpoints of an earlier training
    _fit(args, fitting, choice, restore)
    if processes.leads(args):
        _finish(args, fitting)
    processes.wait(args)
    return 0


def _finish(args: argparse.Namespace, fitting: Fitting) -> None:
    """Test the trained network, write the files and print the result."""
    data, trainer = fitting.data, fitting.trainer
    done = fitting.run()
    results.write_training(args, trainer, done)
    text, done.record["test"] = evaluate(done.network, data, args.backend, args.threads)
    results.write_test(args, done, data)
    configuration.keep_choice(args, trainer)
    resuming.end(args)
    summary = facts(_summary(fitting, done.network, _written(args)))
    print_result(args, f"{summary}\n{text}", {**done.record, **_written(args)})


def _fit(
    args: argparse.Namespace, fitting: Fitting, choice: backends.Choice, restore: Callable[[], None] | None
) -> None:
    """Train. After Ctrl-C write what is trained, and say where it is and how to go on.

    If nothing is trained, `restore` restores what the start of the training has changed in the folder of --out.
    """
    trainer = fitting.trainer
    try:
        fitting.fit(choice.name)
        processes.wait(args)  # until all have written their last checkpoints
    except KeyboardInterrupt:
        kept: list[str] = []
        processes.wait(args)
        if not processes.leads(args):
            processes.wait(args)  # until the first process has written the files
            raise
        if trainer.steps:  # an untrained network must not replace a file
            results.write_training(args, trainer, fitting.run())
            if places := [shown(path) for path in (args.save, args.out) if path]:
                kept.append(f"the network trained so far is saved in {' and '.join(places)}")
            if args.history:
                kept.append(f"the history is saved in {shown(args.history)}")
        elif restore is not None:
            restore()
        if resuming.is_waiting(args):
            kept.append(f"to continue: {resuming.command(args.out)}")
        processes.wait(args)
        lost = "nothing is saved" + ", since neither --save nor --out is given" * bool(trainer.steps)
        raise KeyboardInterrupt(f"after {trainer.steps:,} updates; {'; '.join(kept) or lost}") from None


def _written(args: argparse.Namespace) -> dict[str, str | None]:
    """Return the files and folders that the command writes, by their options."""
    return {name: getattr(args, name) for name in ("save", "history", "out", "report")}


def _check_lengths(args: argparse.Namespace) -> None:
    """Refuse lengths and shares that do not go together."""
    checks.fraction("validation_split", args.validation_split)
    if args.warmup > args.epochs:
        raise ValueError(f"--warmup {args.warmup:g} does not end within --epochs {args.epochs}: give more epochs")
    if args.patience and not args.validation_split:
        raise ValueError("--patience needs rows that are held out of the training rows: give --validation-split too")
    if args.validate and args.validation_split:
        raise ValueError(
            "--validate shows the results on the test rows after each epoch, but this training shows those on the rows "
            "held out of the training rows: leave out --validate, or give --patience 0 without --validation-split"
        )


def _network(args: argparse.Namespace, data: Dataset, recipe: Recipe) -> Network:
    return Network(
        _sizes(args.layers, data, recipe.hidden),
        activation=args.activation.split(",") if "," in args.activation else args.activation,
        output=args.output,
        cost=args.cost,
        task=None if data.task == "classification" else data.task,  # --output may turn classes into values
        init=args.init,
        seed=args.seed,
        dtype=args.dtype,
    )


def _sizes(layers: tuple[int, ...] | None, data: Dataset, hidden: tuple[int, ...]) -> tuple[int, ...]:
    """Return the widths in --layers after a check that they fit the data. Without --layers, return the default."""
    n_in, n_classes = data.x_train.shape[1], len(data.class_names)
    if data.task == "classification" and n_classes < 2:
        raise DataError(
            f"{data.name}: all labels are the same ({', '.join(data.class_names)}), so there is nothing to learn: give "
            "data of two classes or more, or another --label-column"
        )
    n_out, outputs = (data.y_train.shape[1], "values") if data.task == "regression" else (n_classes, "classes")
    if layers is None:
        return (n_in, *hidden, n_out)
    # Two classes can share one sigmoid.
    fitting = (1, 2) if data.task == "classification" and n_out == 2 else (n_out,)
    if layers[0] != n_in or layers[-1] not in fitting:
        hidden = layers[1:-1] if len(layers) > 1 else layers
        what = f"{n_out} {outputs}" if n_out > 1 or n_classes else "1 value to predict"
        raise ValueError(
            f"--layers {','.join(map(str, layers))} does not fit {data.name}, which has {n_in} inputs and {what}: "
            f"use --layers {','.join(map(str, (n_in, *hidden, n_out)))}"
        )
    return layers


def _trainer(args: argparse.Namespace, network: Network, optimizer: Optimizer, schedule: Schedule) -> Trainer:
    if args.averaging is not None and args.communicator is None:
        raise ValueError(
            "--averaging needs several processes: run mpiexec -n 4 fastnet train with the same options, or leave out "
            "--averaging"
        )
    return Trainer(
        network,
        optimizer=optimizer,
        learning_rate=args.learning_rate,
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
        communicator=args.communicator,
        averaging="auto" if args.averaging is None else args.averaging,
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


def _settings(args: argparse.Namespace, fitting: Fitting, choice: backends.Choice) -> dict[str, str]:
    """Return the lines printed before the training."""
    data, trainer = fitting.data, fitting.trainer
    nesterov = " with Nesterov's step" if args.nesterov else ""
    shares = ",".join(f"{share:g}" for share in np.atleast_1d(args.dropout))
    dropout = f", dropout {shares}" if np.any(args.dropout) else ""
    decay = f", weight decay {args.weight_decay:.2g}" if args.weight_decay else ""
    return {
        "data": f"{data.name}: {data.n_train:,} examples to train, {data.n_test:,} to test"
        + ", read from the disk in each epoch" * isinstance(data, LargeDataset),
        **_about_data(args, fitting),
        **about_network(trainer.network),
        "training": f"{args.optimizer}{nesterov}, learning rate {trainer.learning_rate:g} ({args.schedule}), "
        f"batches of {args.batch_size}{decay}{dropout}, {'at most ' * bool(args.patience)}{args.epochs} "
        f"epoch{'s' * (args.epochs != 1)}, seed {args.seed}",
        **_about_end(args, fitting),
        **({"resumed": f"after {trainer.steps:,} updates, in epoch {len(trainer.history) + 1}"} if args.resume else {}),
        "backend": f"{choice.name} ({choice.reason})",
        **_about_processes(args),
    }


def _about_processes(args: argparse.Namespace) -> dict[str, str]:
    """Return the line that says how several processes share the training."""
    if args.communicator is None:
        return {}
    how = {None: "chosen from measured times", "auto": "chosen from measured times", 1: "gradients in each update"}
    averages = how.get(args.averaging, f"parameters every {args.averaging} updates")
    size = args.communicator.size
    return {"processes": f"{size}, each with {1 / size:.3g} of the training rows; averages: {averages} (--averaging)"}


def _about_data(args: argparse.Namespace, fitting: Fitting) -> dict[str, str]:
    """Return the lines that say how the user's own data are understood."""
    data, lines = fitting.data, {}
    if args.data in sets.names():
        return {}
    if data.is_held_out:
        n, n_all = data.n_test, data.n_test + data.n_train
        same = " with the same share of each class" if data.task == "classification" else ""
        lines["test"] = (
            f"{n:,} of {n_all:,} rows, held out at random{same} (--test-fraction {held_out_share(args, data):g})"
        )
    target = f" of {shown(data.schema.target)}" if data.schema and data.schema.target else ""
    how = "from --task" if args.task else "from its values; --task overrides"
    names = f": {clipped(', '.join(data.class_names), _MAX_LETTERS)}" if data.class_names else ""
    lines["task"] = f"{data.task}{target} ({how}){names}"
    if columns := column_names(data.schema):
        lines["columns"] = f"{len(columns)}: {clipped(', '.join(columns), _MAX_LETTERS)}"
    if args.drop:
        lines["left out"] = clipped(", ".join(args.drop), _MAX_LETTERS)
    inputs, targets = fitting.standard
    parts = ["the inputs"] * (inputs is not None) + ["the numbers to predict"] * (targets is not None)
    if parts:
        constant = 0 if inputs is None else int(np.count_nonzero(inputs.deviations == 0))
        ignored = (
            f"; {constant:,} constant input{'s have' if constant > 1 else ' has'} no influence" if constant else ""
        )
        lines["standardized"] = f"{' and '.join(parts)}; the saved network takes raw values{ignored}"
    return lines


def _about_end(args: argparse.Namespace, fitting: Fitting) -> dict[str, str]:
    """Return the line that says when the training ends, if it may end early or shows rows that are held out."""
    if not fitting.n_held_out:
        is_small = recipe_for(fitting.data) is not CHAPTER and fitting.data.n_train < MIN_ROWS
        said = f"after all epochs, since fewer than {MIN_ROWS} training rows are too few to hold some out (--patience)"
        return {"end": said} if is_small else {}
    if not args.patience:
        return {"validation": f"{fitting.validation} (--validation-split {args.validation_split:g})"}
    return {"end": f"after {args.patience} epochs without a lower cost on {fitting.validation} (--patience)"}


def _about_finished(args: argparse.Namespace, run: Run) -> str:
    """Return what `fastnet train --resume` says about a training that is finished."""
    record, test = run.record, run.record["test"]
    found = scores(*(math.nan if test.get(name) is None else test[name] for name in ("cost", "accuracy", "r2")))
    return facts(
        {
            "finished": f"{shown(args.resume)}, after {record.get('epochs')} epochs: there is nothing to continue",
            "test": f"{found} ({test.get('examples'):,} examples)",
        }
    )


def _summary(fitting: Fitting, network: Network, written: dict[str, str | None]) -> dict[str, str]:
    """Return the lines printed after the training."""
    history = fitting.trainer.history
    seconds, examples = sum(history["seconds"]), sum(history["examples"])
    last = history.epochs[-1] if len(history) else None
    threads = f" on {last.threads} threads" if last and last.threads > 1 else ""
    lines = {"time": f"{duration(seconds)} of training{threads}, {examples / max(seconds, 1e-9):,.0f} examples/s"}
    if last and last.averaging:
        lines["averages"] = last.averaging
    if last and last.inputs != "dense":
        lines["inputs"] = last.inputs
    if fitting.stopping and fitting.stopping.best_epoch:
        lines["kept"] = f"the network of epoch {fitting.stopping.best_epoch} of {len(history)}"
    if network.dtype != fitting.trainer.network.dtype:
        lines["dtype"] = (
            f"{network.dtype}: some columns vary so little that {fitting.trainer.network.dtype} cannot take raw values"
        )
    return lines | {name.replace("save", "saved"): shown(path) for name, path in written.items() if path}


COMMAND = Command(
    "train",
    "train a network",
    (
        "fastnet train",
        "fastnet train --data iris.csv --label-column species --save iris.npz",
        "fastnet train --data mnist --layers 784,16,16,10 --learning-rate 0.5 \\\n"
        "      --epochs 30 --backend cython --save digits.npz --history run.json",
        "fastnet train --data mnist --activation relu --cost cross_entropy \\\n"
        "      --optimizer momentum --nesterov --learning-rate 0.02 --weight-decay 5e-4 \\\n"
        "      --batch-size 64 --epochs 25",
        "fastnet train --data mnist --epochs 100 --out runs/long --checkpoint-every 60s",
        "fastnet train --resume runs/long",
        "mpiexec -n 4 fastnet train --data mnist --averaging 16",
    ),
    fill,
    run,
    configuration.configure,
)
