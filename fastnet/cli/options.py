"""The command line's options and their help.

Names, lists and defaults are the library's own, out of its tables and signatures; stated here is only where this
command differs. What is wrong with a value is for the library to say; argparse only tells numbers from text.
"""

from __future__ import annotations

import argparse
import inspect
from typing import Any, NoReturn, cast

import numpy as np

from fastnet import backends
from fastnet.data import datasets
from fastnet.explore import Setting
from fastnet.kernels.formulas import ACTIVATIONS, COSTS
from fastnet.network import Network
from fastnet.training.optimizers import OPTIMIZERS, SCHEDULES, Adam, Momentum, Schedule
from fastnet.training.recipe import CHAPTER
from fastnet.training.trainer import Trainer
from fastnet.version import __version__

SPARSE: dict[str, bool | str] = {"auto": "auto", "yes": True, "no": False}  # --sparse, and what the library calls it
SEED = 0


def _defaults(function: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


_NETWORK, _TRAINER, _LOAD = _defaults(Network), _defaults(Trainer), _defaults(datasets.load)
_CHAPTER = CHAPTER.trainer  # with which `fastnet train` alone does well


def learning_rate(args: argparse.Namespace) -> float | None:
    """The rate asked for, or this command's own, or None: the library's default for the optimiser."""
    if args.learning_rate is None and (args.optimizer, args.cost) == (_TRAINER["optimizer"], _NETWORK["cost"]):
        return cast(float, _CHAPTER["learning_rate"])
    return cast("float | None", args.learning_rate)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raises, without a dump of the usage, so that every error of the command line looks alike."""
        raise ValueError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="fastnet",
        description="Train multi-layer perceptrons fast on a CPU.",
        epilog="examples:\n  fastnet train\n  fastnet train --data mnist --save digits.npz\n"
        "  fastnet predict --model digits.npz picture.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"fastnet {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name: str, title: str, *examples: str) -> argparse.ArgumentParser:
        shown = "".join(f"\n  {example}" for example in examples)
        made = commands.add_parser(
            name,
            help=title,
            description=title[0].upper() + title[1:] + ".",
            epilog=f"example{'s' if len(examples) > 1 else ''}:{shown}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        made.add_argument("--quiet", action="store_true", help="print nothing but errors")
        made.add_argument("--json", action="store_true", help="print the result as one JSON object")
        return made

    _train_options(
        command(
            "train",
            "train a network",
            "fastnet train",
            "fastnet train --data mnist --layers 784,16,16,10 --learning-rate 0.5 --epochs 30 --backend cython \\\n"
            "      --save digits.npz --history run.json",
            "fastnet train --data mnist --activation relu --cost cross_entropy --optimizer momentum --nesterov \\\n"
            "      --learning-rate 0.02 --weight-decay 5e-4 --batch-size 64 --epochs 25",
        )
    )
    reported = command(
        "report",
        "write a report of a training run, one HTML file to open in a browser",
        "fastnet train --out run && fastnet report run",
        "fastnet report run --output report.html",
    )
    reported.add_argument("run", metavar="FOLDER", help="what fastnet train --out wrote")
    reported.add_argument("--output", metavar="FILE.html", help="what to write (default: FOLDER/report.html)")
    _data_options(reported, default=None)
    _backend_option(reported)
    evaluate = command(
        "evaluate",
        "tell the cost and accuracy of a saved network on the test examples of a data set",
        "fastnet evaluate --model digits.npz --data mnist",
    )
    _model_option(evaluate)
    _data_options(evaluate)
    _backend_option(evaluate)
    predict = command(
        "predict",
        "tell the classes of pictures and arrays, by a saved network",
        "fastnet predict --model digits.npz picture.png",
        "fastnet predict --model digits.npz --invert scan.jpg",
        "fastnet predict --model digits.npz --json t10k-images-idx3-ubyte.gz",
    )
    _model_option(predict)
    predict.add_argument("files", nargs="+", metavar="FILE", help="8-bit picture, or IDX, NPY or NPZ file of examples")
    predict.add_argument("--invert", action="store_true", help="the pictures are dark on light, such as ink on paper")
    predict.add_argument(
        "--image-shape", type=_shape, metavar="28x28", help="rows and columns of a picture (default: a square)"
    )
    _backend_option(predict)
    explored = command(
        "explore",
        "find out what the network really learned, by experiments",
        "fastnet explore",
        "fastnet explore noise weights",
        "fastnet explore --all --out findings",
        "fastnet explore memorize --data mnist --backend cython --json",
    )
    explored.add_argument("names", nargs="*", metavar="NAME", help="experiments (without any: lists them)")
    explored.add_argument("--all", action="store_true", help="every experiment")
    explored.add_argument("--out", metavar="FOLDER", help="write pictures and the numbers as JSON there")
    explored.add_argument(
        "--format", default="png", choices=("png", "svg", "pdf"), help="of the pictures (default: %(default)s)"
    )
    _number(explored, "--seed", SEED, "of the first network")
    _number(explored, "--seeds", Setting.seeds, "networks where a figure needs several")
    _data_options(explored)
    _backend_option(explored)
    listed = command("backends", "list the kernel backends, and which one is used and why", "fastnet backends")
    listed.add_argument(
        "--warmup", action="store_true", help="compile ahead what numba compiles when first used, and keep it cached"
    )
    data = command(
        "data",
        "list the data sets, or load one (downloading it where needed) and tell its sizes and classes",
        "fastnet data",
        "fastnet data mnist",
    )
    data.add_argument("data", nargs="?", metavar="NAME", help="a data set, or a file or folder of your own")
    _file_options(data)
    commands.add_parser("bench", help="measure the backends: see fastnet bench --help", add_help=False)
    return top


def _train_options(train: argparse.ArgumentParser) -> None:
    _data_options(train)

    network = train.add_argument_group("the network")
    hidden = ",".join(map(str, CHAPTER.hidden))
    network.add_argument(
        "--layers", type=_widths, metavar="N,N,...", help=f"widths, inputs first (default: inputs,{hidden},classes)"
    )
    names = [row.name for row in ACTIVATIONS.values() if row.is_hidden]
    network.add_argument(
        "--activation",
        default=_NETWORK["activation"],
        metavar="NAME[,NAME...]",
        help=f"of the hidden layers, one for all or a list: {', '.join(names)} (default: %(default)s)",
    )
    network.add_argument(
        "--output",
        default=_NETWORK["output"],
        metavar="NAME",
        help="activation of the output: those, or softmax (default: what goes with the cost)",
    )
    _name(network, "--cost", _NETWORK["cost"], COSTS)
    network.add_argument(
        "--init",
        default=_NETWORK["init"],
        metavar="NAME",
        help="initial weights: scaled, normal (default: %(default)s)",
    )
    network.add_argument(
        "--dtype",
        default=np.dtype(_NETWORK["dtype"]).name,
        metavar="NAME",
        help="arithmetic: float32, float64 (default: %(default)s)",
    )

    training = train.add_argument_group("the training")
    _name(training, "--optimizer", _TRAINER["optimizer"], OPTIMIZERS)
    rates = ", ".join(f"{make().default_learning_rate:g} for {name}" for name, make in OPTIMIZERS.items())
    training.add_argument(
        "--learning-rate",
        type=float,
        metavar="RATE",
        help=f"default: {rates}; but {_CHAPTER['learning_rate']:g} for {_TRAINER['optimizer']} with {_NETWORK['cost']}",
    )
    _name(training, "--schedule", _CHAPTER["schedule"], SCHEDULES, "of the learning rate: ")
    _number(training, "--warmup", Schedule().warmup, "epochs in which the learning rate rises from 0")
    _number(training, "--batch-size", _CHAPTER["batch_size"], "examples an update")
    _number(training, "--epochs", CHAPTER.epochs, "passes over the data")
    _number(training, "--seed", SEED, "of the initial weights, the order and dropout: the same seed, the same result")
    training.add_argument(
        "--nesterov", action="store_true", default=None, help="with --optimizer momentum: Nesterov's step"
    )
    _number(training, "--momentum", None, f"of --optimizer momentum (default: {Momentum().momentum:g})", float)
    _number(training, "--beta1", None, f"of --optimizer adam (default: {Adam().beta1:g})", float)
    _number(training, "--beta2", None, f"of --optimizer adam (default: {Adam().beta2:g})", float)
    _number(training, "--weight-decay", _TRAINER["weight_decay"], "L2, of the weights only")
    _number(training, "--clip-norm", None, "scale longer gradients down to this norm (default: do not)", float)
    training.add_argument(
        "--dropout",
        type=_shares,
        default=_TRAINER["dropout"],
        metavar="X[,X...]",
        help="share of the hidden activations to drop, one for all layers or a list (default: %(default)s)",
    )
    training.add_argument("--no-shuffle", action="store_true", help="keep the order of the examples")
    training.add_argument("--validate", action="store_true", help="tell the test accuracy after each epoch too")
    _backend_option(training)
    training.add_argument(
        "--threads",
        type=_threads,
        default=_TRAINER["threads"],
        metavar="N",
        help="that share each batch: a number, or auto (default: %(default)s)",
    )
    training.add_argument(
        "--sparse",
        default="auto",
        metavar="WHEN",
        help=f"keep only the inputs that are not zero: {', '.join(SPARSE)} (default: %(default)s)",
    )

    results = train.add_argument_group("the results")
    results.add_argument("--save", metavar="FILE.npz", help="write the trained network; on Ctrl-C, as far as it got")
    results.add_argument("--history", metavar="FILE.json", help="write cost, accuracy, seconds, ... of each epoch")
    results.add_argument(
        "--out", metavar="FOLDER", help="keep the whole run there, for fastnet report; turns --validate on, as --report"
    )
    results.add_argument("--report", metavar="FILE.html", help="write a report of the run, to open in a browser")


def _data_options(command: argparse.ArgumentParser, default: str | None = _LOAD["source"]) -> None:
    """Of a command that needs data; no default: it knows which."""
    command.add_argument(
        "--data",
        default=default,
        metavar="NAME",
        help=f"{', '.join(datasets.names())}, or an NPZ, CSV or IDX file or folder of your own "
        f"(default: {default or 'what it was trained on'})",
    )
    _file_options(command)


def _file_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data-dir", metavar="FOLDER", help="look here first for the named data sets")
    command.add_argument("--labels", metavar="FILE", help="the labels, where the data are a file of examples alone")
    command.add_argument(
        "--label-column",
        metavar="NAME",
        help="a CSV file's column of labels, by name or number from 0 (default: label, class, target, y or the last)",
    )


def _model_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", required=True, metavar="FILE.npz", help="what fastnet train --save wrote")


def _backend_option(command: argparse._ActionsContainer) -> None:
    command.add_argument(
        "--backend",
        metavar="NAME",
        help=f"{', '.join(('auto', *backends.NAMES))} (default: ${backends.ENVIRONMENT}, or auto)",
    )


def _name(group: argparse._ActionsContainer, option: str, default: str, known: Any, about: str = "") -> None:
    group.add_argument(
        option, default=default, metavar="NAME", help=f"{about}{', '.join(known)} (default: %(default)s)"
    )


def _number(
    group: argparse._ActionsContainer, option: str, default: float | None, about: str, kind: type | None = None
) -> None:
    """A number of the default's kind."""
    group.add_argument(
        option,
        type=kind or type(default),
        default=default,
        metavar="N" if (kind or type(default)) is int else "X",
        help=about if default is None else f"{about} (default: %(default)s)",
    )


def _threads(text: str) -> int | str:
    """A number, or a word for the library to judge."""
    try:
        return int(text)
    except ValueError:
        return text


def _shares(text: str) -> float | tuple[float, ...]:
    try:
        shares = tuple(map(float, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a share such as 0.5, or 0.2,0.5, not {text!r}") from None
    return shares if len(shares) > 1 else shares[0]


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected widths such as 784,16,16,10, not {text!r}") from None


def _shape(text: str) -> tuple[int, int]:
    try:
        rows, columns = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected rows and columns such as 28x28, not {text!r}") from None
    return rows, columns
