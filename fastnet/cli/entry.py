"""The command line: fastnet train | report | evaluate | predict | explore | backends | data | bench.

Reports go to stdout, progress and errors to stderr. Every error is one line and exit status 2, Ctrl-C is 130.
Not here: the options (options.py), progress and the texts of reports (progress.py), what a training leaves
behind and `fastnet report` (run_files.py), `fastnet explore` (explore.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import mimetypes
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastnet import backends, checks
from fastnet.backends.compression import compresses
from fastnet.backends.interrupts import Interrupts
from fastnet.backends.warming import warm_up, warmup
from fastnet.cli import options, progress, run_files
from fastnet.cli.common import confusion_text, load, report
from fastnet.data import datasets, pictures
from fastnet.data.datasets import Dataset
from fastnet.data.user_files import read_array
from fastnet.errors import BackendError, DataError, FastnetError
from fastnet.network import Network
from fastnet.text import facts, scores, shown, table
from fastnet.training.optimizers import OPTIMIZERS, Optimizer
from fastnet.training.recipe import CHAPTER
from fastnet.training.runs import check_data, class_names, number
from fastnet.training.schedules import SCHEDULES
from fastnet.training.trainer import Trainer

INTERRUPTED = 130  # 128 + SIGINT, as shells count
PIPE_CLOSED = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            status = _run(arguments)
        except SystemExit as stop:  # argparse, after --help and --version
            status = stop.code if isinstance(stop.code, int) else 0
        if sys.stdout is not None:  # it may have been closed before the start
            sys.stdout.flush()  # here, where a reader that has gone is handled
        return status
    except BrokenPipeError:
        # What is still buffered would fail again, loudly, when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except (FastnetError, ValueError, TypeError, OSError, MemoryError) as error:
        _complain(f"error: {_reason(error)}")
        return 2


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["bench"]:
        return _bench(arguments[1:])
    parser = options.parser()
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return 2
    return _COMMANDS[args.command](args)


def _complain(message: str) -> None:
    print(f"fastnet: {' '.join(message.split())}", file=sys.stderr)


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"not enough memory{f' ({error})' if str(error) else ''}: use less data or a smaller network"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {shown(error.filename)}" if isinstance(error.filename, str) else "")
    return str(error) or type(error).__name__


# -- fastnet train ---------------------------------------------------------------------------------------------


def _train(args: argparse.Namespace) -> int:
    for name, value in (("epochs", args.epochs), ("seed", args.seed)):
        checks.whole_number(name, value, 0)
    run_files.check_written(args)
    sparse = options.SPARSE[checks.name_of("--sparse", args.sparse, options.SPARSE)]
    optimizer = _optimizer(args)
    schedule = SCHEDULES[checks.name_of("schedule", args.schedule, SCHEDULES)](warmup=args.warmup)
    choice = backends.resolve(args.backend)
    data = load(args)
    network = Network(
        _sizes(args.layers, data),
        activation=args.activation.split(",") if "," in args.activation else args.activation,
        output=args.output,
        cost=args.cost,
        init=args.init,
        seed=args.seed,
        dtype=args.dtype,
    )
    trainer = Trainer(
        network,
        optimizer=optimizer,
        learning_rate=options.learning_rate(args),
        schedule=schedule,
        batch_size=args.batch_size,
        weight_decay=args.weight_decay,
        clip_norm=args.clip_norm,
        dropout=args.dropout,
        shuffle=not args.no_shuffle,
        backend=args.backend,
        seed=args.seed,
        threads=args.threads,
        sparse=sparse,
    )
    initial = network.copy()
    validate = args.validate or args.out is not None or args.report is not None  # a report has its curves
    if not args.json:
        nesterov = " with Nesterov's step" if args.nesterov else ""
        dropout = (
            f", dropout {','.join(f'{share:g}' for share in np.atleast_1d(args.dropout))}"
            if np.any(args.dropout)
            else ""
        )
        header = {
            "data": f"{data.name}: {len(data.x_train):,} examples to train, {len(data.x_test):,} to test",
            **_about(network),
            "training": f"{args.optimizer}{nesterov}, learning rate {trainer.learning_rate:g} ({args.schedule}), "
            f"batches of {args.batch_size}{dropout}, {args.epochs} epochs, seed {args.seed}",
            "backend": f"{choice.name} ({choice.reason})",
        }
        report(args, facts(header), {})
    try:
        _compile(choice.name, data, network, checks.sparse(sparse), args)
        with progress.training_progress(args.epochs, args.quiet) as callbacks:
            trainer.fit(
                data.x_train,
                data.y_train,
                epochs=args.epochs,
                validation_data=(data.x_test, data.y_test) if validate else None,
                callbacks=callbacks,
            )
    except KeyboardInterrupt:
        kept = ""
        if trainer.steps:  # an untrained network replaces nothing
            run_files.write(args, trainer, run_files.run_of(args, data, trainer, initial))
            places = [shown(path) for path in (args.save, args.out) if path]
            kept = f"; the network trained so far is saved in {' and '.join(places)}" if places else ""
        _complain(f"interrupted after {trainer.steps:,} updates{kept}")
        return INTERRUPTED
    run = run_files.run_of(args, data, trainer, initial)
    run_files.write(args, trainer, run)
    text, scored = _evaluated(network, data, args.backend)
    run.record["test"] = scored
    run_files.write_found(args, run, data)

    seconds, examples = sum(trainer.history["seconds"]), sum(trainer.history["examples"])
    last = trainer.history.epochs[-1] if len(trainer.history) else None
    how = f" on {last.threads} threads" if last and last.threads > 1 else ""
    summary = {"time": f"{seconds:.2f} s of training{how}, {examples / max(seconds, 1e-9):,.0f} examples/s"}
    if last and last.inputs != "dense":
        summary["inputs"] = last.inputs
    written = {name: getattr(args, name) for name in ("save", "history", "out", "report")}
    summary |= {name.replace("save", "saved"): shown(path) for name, path in written.items() if path}
    report(args, f"{facts(summary)}\n{text}", {**run.record, **written})
    return 0


def _compile(name: str, data: Dataset, network: Network, sparse: bool | None, args: argparse.Namespace) -> None:
    """What `fit` would do first, here to say so where it takes long: only numba compiles."""
    kernels = backends.get(name)

    def call() -> None:
        warm_up(kernels, network.dtype, data.x_test.dtype)
        if compresses(sparse, kernels, data.x_train, args.epochs):
            warm_up(kernels, network.dtype, data.x_train.dtype, sparse=True)

    message = f"compiling the {name} kernels, or loading them ... (compiled once, cached afterwards)"
    with progress.told_if_slow(message, args.quiet), Interrupts() as interrupts:
        interrupts.call(call, abandon=True)


def _about(network: Network) -> dict[str, str]:
    *hidden, output = network.activations_by_layer
    sizes = "-".join(map(str, network.sizes))
    return {
        "network": f"{sizes}: {network.n_parameters:,} parameters, {network.dtype}, cost {network.cost_name}",
        "activation": ", ".join([*dict.fromkeys(hidden), f"output {output}"]),
    }


def _optimizer(args: argparse.Namespace) -> Optimizer:
    optimizer: Any = OPTIMIZERS[checks.name_of("optimizer", args.optimizer, OPTIMIZERS)]()
    given = {name: getattr(args, name) for name in ("momentum", "nesterov", "beta1", "beta2")}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given.keys() - {field.name for field in dataclasses.fields(optimizer)}:
        raise ValueError(f"--{name} does not go with --optimizer {args.optimizer}: leave it out")
    return cast(Optimizer, dataclasses.replace(optimizer, **given))


def _sizes(layers: tuple[int, ...] | None, data: Dataset) -> tuple[int, ...]:
    """The layers asked for, which must fit the data, or those that fit them."""
    n_in, classes = data.x_train.shape[1], len(data.class_names)
    if layers is None:
        return (n_in, *CHAPTER.hidden, classes)
    outputs = (1, 2) if classes == 2 else (classes,)  # two classes can share one sigmoid
    if layers[0] != n_in or layers[-1] not in outputs:
        raise ValueError(
            f"--layers {','.join(map(str, layers))} does not fit {data.name}, which has {n_in} inputs and {classes} "
            f"classes: use --layers {','.join(map(str, (n_in, *layers[1:-1], classes)))}"
        )
    return layers


# -- fastnet evaluate, predict ---------------------------------------------------------------------------------


def _evaluate(args: argparse.Namespace) -> int:
    backends.resolve(args.backend)
    network = Network.load(args.model)
    data = load(args)
    check_data(shown(args.model), network, data)
    text, scored = _evaluated(network, data, args.backend)
    about = facts({"model": shown(args.model), **_about(network), "data": data.name})
    report(args, f"{about}\n{text}", {"model": args.model, "data": data.name, **scored})
    return 0


def _evaluated(network: Network, data: Dataset, backend: str | None) -> tuple[str, dict[str, Any]]:
    """How the network does on the test examples: as text, and as a record."""
    cost, accuracy = network.evaluate(data.x_test, data.y_test, backend=backend)
    text = facts({"test": f"{scores(cost, accuracy)} ({len(data.x_test):,} examples)"})
    record: dict[str, Any] = {"cost": number(cost), "accuracy": number(accuracy), "examples": len(data.x_test)}
    if network.is_classifier:
        from fastnet.insight import classified  # here, since it would delay the start of every command

        names = class_names(network, data)
        matrix = classified(network, data.x_test, data.y_test, backend=backend).matrix
        text += f"\n\n{confusion_text(matrix, names)}"
        record |= {"class_names": names, "confusion_matrix": matrix.tolist()}
    return text, record


def _predict(args: argparse.Namespace) -> int:
    backends.resolve(args.backend)
    network = Network.load(args.model)
    predictions: list[dict[str, Any]] = []
    rows = [["example", *(["class"] if network.is_classifier else []), *map(str, range(network.sizes[-1]))]]
    for path in args.files:
        x = _examples(path, network.sizes[0], args)
        outputs = network.forward(x, backend=args.backend)
        classes = network.predict(x, backend=args.backend).tolist() if network.is_classifier else [None] * len(x)
        for i, (label, activations) in enumerate(zip(classes, outputs.tolist(), strict=True)):
            predictions.append({"file": path, "index": i, "class": label, "outputs": activations})
            title = shown(path) if len(x) == 1 else f"{shown(path)}[{i}]"
            if label is None:
                rows.append([title, *(f"{a:.4g}" for a in activations)])
            else:
                rows.append([title, str(label), *(f"{a:.3f}" for a in activations)])
    report(args, table(rows), {"model": args.model, "predictions": predictions})
    return 0


def _examples(path: str, n_in: int, args: argparse.Namespace) -> NDArray[Any]:
    """The examples (n, n_in) of a file: of a picture, one."""
    kind = mimetypes.guess_type(path, strict=False)[0] or ""
    if kind.startswith("image/"):
        return pictures.read_picture(path, _image_shape(n_in, args.image_shape), invert=args.invert)[None]
    if kind.startswith("text/"):
        raise DataError(f"{shown(path)} is a text file, which does not tell pixels from numbers: save it as NPY")
    x = read_array(path)
    if x.size == n_in:
        x = x.reshape(1, n_in)  # one example, with or without rows and columns
    if x.ndim < 2 or not x.size or math.prod(x.shape[1:]) != n_in:
        raise DataError(f"{shown(path)} has the shape {x.shape}; the network takes {n_in} inputs an example")
    if args.invert:
        if x.dtype != np.uint8:
            raise DataError(f"{shown(path)} holds {x.dtype}: --invert is for 8-bit pixels")
        x = np.invert(x)
    return x


def _image_shape(n_in: int, given: tuple[int, int] | None) -> tuple[int, int]:
    side = math.isqrt(n_in)
    if given is None and side * side == n_in:
        return side, side
    if given is None:
        raise ValueError(f"the network's {n_in} inputs are no square picture: give its rows and columns, --image-shape")
    if math.prod(given) != n_in:
        raise ValueError(f"--image-shape {given[0]}x{given[1]} is {math.prod(given)} pixels; the network takes {n_in}")
    return given


# -- fastnet backends, data ------------------------------------------------------------------------------------


def _backends(args: argparse.Namespace) -> int:
    found = backends.available()
    choice, problem = None, None
    try:
        choice = backends.resolve()
    except BackendError as error:  # the environment names one that is not there; the list is wanted all the more
        problem = error
    if args.warmup:
        with progress.told_if_slow("compiling ahead ...", args.quiet):
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
    report(args, text, record | ({"warmup_seconds": seconds} if args.warmup else {}))
    if problem:
        raise problem
    return 0


def _data(args: argparse.Namespace) -> int:
    if args.data is None:
        sets = datasets.describe(args.data_dir)
        rows = [["name", "train", "test", "pixels", "where"]]
        for s in sets:
            pixels = "x".join(map(str, s.image_shape))
            rows.append([s.name, f"{s.n_train:,}", f"{s.n_test:,}", pixels, s.where or f"not here: {s.get}"])
        report(args, table(rows, left=(0, 4)), {"data": [s._asdict() for s in sets]})
        return 0
    data = load(args)
    parts = {"train": np.bincount(data.y_train), "test": np.bincount(data.y_test)}
    counts = {part: np.pad(n, (0, len(data.class_names) - len(n))).tolist() for part, n in parts.items()}
    rows = [["class", *counts]]
    rows += [[shown(name), *(f"{n[k]:,}" for n in counts.values())] for k, name in enumerate(data.class_names)]
    about = {
        "data": data.name,
        "examples": f"{len(data.x_train):,} to train, {len(data.x_test):,} to test",
        "inputs": f"{data.x_train.shape[1]} {data.x_train.dtype}"
        + (f", pictures of {data.image_shape[0]}x{data.image_shape[1]}" if data.image_shape else ""),
        "classes": str(len(data.class_names)),
    }
    record = {
        "data": data.name,
        "n_train": len(data.x_train),
        "n_test": len(data.x_test),
        "n_inputs": data.x_train.shape[1],
        "dtype": data.x_train.dtype.name,
        "image_shape": data.image_shape,
        "class_names": data.class_names,
        "class_counts": counts,
    }
    report(args, f"{facts(about)}\n\n{table(rows)}", record)
    return 0


def _bench(arguments: list[str]) -> int:
    try:
        from fastnet.bench import run
    except ImportError as error:
        raise FastnetError(f'the benchmarks cannot run ({error}): python -m pip install "fastnet-mlp[bench]"') from None
    return run.main(arguments)  # its options are its own


def _explore(args: argparse.Namespace) -> int:
    from fastnet.cli.explore import explore

    return explore(args)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "backends": _backends,
    "data": _data,
    "explore": _explore,
    "report": run_files.report_on,
}
