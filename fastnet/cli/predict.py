"""`fastnet predict`: prints what a saved network or ensemble says about rows of tables and arrays, and pictures."""

from __future__ import annotations

import argparse
import mimetypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet import checks
from fastnet import data as sets
from fastnet.backends.engine import choose
from fastnet.cli import results
from fastnet.cli.answers import Answers
from fastnet.cli.common import check_pixels, check_scale, column_names, known_schema, print_result
from fastnet.cli.options import Command, add_backend_option, add_model_option, add_threads_option
from fastnet.data.formats import holds_table, suffix_of
from fastnet.data.pictures import read_picture
from fastnet.data.table_writers import write_table, write_with_columns
from fastnet.ensemble import Model, load_model
from fastnet.errors import DataError
from fastnet.text import clipped, facts, shown, table

_ENDINGS = (".csv", ".tsv")  # of the file of --out
MAX_ROWS = 20  # printed; --out and --json have all
_MAX_COLUMNS = 10  # of probabilities that are printed
_MIN_LETTERS, _MAX_LETTERS = 5, 14  # of their names; a probability such as 0.123 has 5


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_model_option(parser)
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a CSV, Parquet, Arrow, IDX, NPY or NPZ file, a folder of shards, or an 8-bit picture",
    )
    parser.add_argument(
        "--out", metavar="FILE", help="write the rows of the table with their labels and probabilities into this file"
    )
    parser.add_argument("--pixels", action="store_true", help="the numbers of a CSV file are pixels from 0 to 255")
    parser.add_argument("--invert", action="store_true", help="the pictures show dark ink on light paper")
    parser.add_argument(
        "--image-shape", type=_shape, metavar="28x28", help="rows and columns of a picture (default: a square)"
    )
    add_backend_option(parser)
    add_threads_option(parser, "the rows", 1)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    choose(args.backend, args.threads)
    network = load_model(args.model)
    check_pixels(args, shown(args.model), network)
    if args.out is not None:
        _check_out(args)
    found = [_answers(path, network, args) for path in args.files]
    text = _text(args.files, found, "--out writes all" if args.out is None else "the file has all")
    if args.out is not None:
        _write(args.out, args.files, found)
        text += f"\n\n{facts({'out': shown(args.out)})}"
    print_result(args, text, _record(args, network, found))
    return 0


def _answers(path: str, network: Model, args: argparse.Namespace) -> Answers:
    """Return what the network says about the examples of a file. A picture is one example."""
    n_in, name = network.sizes[0], shown(path)
    if (mimetypes.guess_type(path, strict=False)[0] or "").startswith("image/"):
        shape = checks.image_shape(args.image_shape, n_in, "--image-shape")
        x = read_picture(path, shape, invert=args.invert)[None]
    else:
        x = sets.read_inputs(path, known_schema(args, network), n_in)
        if args.invert:
            if x.dtype != np.uint8:
                raise DataError(f"{name} holds {x.dtype}, and --invert is for 8-bit pixels: leave out --invert")
            x = np.invert(x)
    check_scale(shown(args.model), network, name, x)
    checks.inputs(x, n_in, network.dtype, name)  # an error of `forward` would call the file "x"
    return Answers.of(network, x, args.backend, args.threads)


# -- the file of --out -----------------------------------------------------------------------------------------------


def _check_out(args: argparse.Namespace) -> None:
    """Refuse a file that cannot be written, and several tables."""
    results.check_file("--out", args.out, args)
    if len(args.files) > 1 and any(map(holds_table, args.files)):
        raise ValueError("--out writes the rows of one table: give one FILE, or leave out --out")
    endings = _ENDINGS if suffix_of(args.files[0]) != ".parquet" else (*_ENDINGS, ".parquet")
    if suffix_of(args.out) not in endings:
        raise DataError(f"--out {shown(args.out)} is no table: give a name that ends in {' or '.join(endings)}")


def _write(path: str, files: Sequence[str], found: Sequence[Answers]) -> None:
    """Write the answers behind the columns of a table, or behind the names of the files."""
    if holds_table(files[0]):
        write_with_columns(path, files[0], found[0].columns())
        return
    places = [
        ("file", np.repeat(files, list(map(len, found)))),
        ("row", np.concatenate([1 + np.arange(len(answers)) for answers in found])),
    ]
    parts = zip(*(answers.columns() for answers in found), strict=True)
    write_table(path, [*places, *((same[0][0], np.concatenate([values for _, values in same])) for same in parts)])


# -- the terminal, and JSON ------------------------------------------------------------------------------------------


def _text(files: Sequence[str], found: Sequence[Answers], where: str) -> str:
    """Return the first rows of all files as a table. `where` says how to get the others."""
    first = found[0]
    several, long = len(files) > 1, any(len(answers) > 1 for answers in found)
    rows = [[*["file"] * several, *["row"] * long, *_titles(first)]]
    left = MAX_ROWS
    for path, answers in zip(files, found, strict=True):
        for k in range(min(len(answers), left)):
            rows.append([*[shown(path)] * several, *[f"{k + 1:,}"] * long, *_cells(answers, k)])
        left = max(0, left - len(answers))
    n_hidden = sum(map(len, found)) - (len(rows) - 1)
    more = f"\n... {n_hidden:,} more; {where}" if n_hidden else ""
    text_columns = range(several + long, several + long + (first.labels is not None))
    return table(rows, left=(*range(several), *text_columns)) + more


def _titles(answers: Answers) -> list[str]:
    """Return the titles of the columns: the label, and the names of the outputs if there is room for them."""
    names = _short_names(answers)
    if answers.labels is None:
        return names or [clipped(name, _MAX_LETTERS) for name in answers.names]
    is_class = answers.labels.ndim == 1
    title = clipped(answers.target or ("class" if is_class else "labels"), _MAX_LETTERS)
    return [title, *(names or ["probability"] * is_class)]


def _cells(answers: Answers, k: int) -> list[str]:
    """Return the cells of row k: the label, and the probabilities or values."""
    outputs, label = answers.outputs[k].tolist(), answers.label(k)
    if label is None:
        return [f"{value:.6g}" for value in outputs]
    if not _short_names(answers):
        outputs = [max(outputs)] if isinstance(label, str) else []  # the predicted class has the largest
    name = clipped(label if isinstance(label, str) else ", ".join(label) or "none", 3 * _MAX_LETTERS)
    return [name, *(f"{a:.3f}" for a in outputs)]


def _short_names(answers: Answers) -> list[str]:
    """Return names of the outputs that fit a line of about 80 columns, or [] if they would be cut to equal ones."""
    n = len(answers.names)
    letters = min(_MAX_LETTERS, max(_MIN_LETTERS, 56 // n - 2))
    names = [clipped(name, letters) for name in answers.names]
    return names if n <= _MAX_COLUMNS and len(set(names)) == n else []


def _record(args: argparse.Namespace, network: Model, found: Sequence[Answers]) -> dict[str, Any]:
    first = found[0]
    predictions: list[dict[str, Any]] = []
    for path, answers in zip(args.files, found, strict=True):
        classes = [None] * len(answers) if answers.labels is None else answers.labels.tolist()
        for k, (label, outputs) in enumerate(zip(classes, answers.outputs.tolist(), strict=True)):
            predictions.append(
                {"file": path, "index": k, "class": label, "label": answers.label(k), "outputs": outputs}
            )
    return {
        "model": args.model,
        "task": first.task,
        "target": first.target or None,
        "columns": column_names(network.schema),
        "class_names": [] if first.labels is None else first.names,
        "output_names": first.names,
        "predictions": predictions,
        "out": args.out,
    }


def _shape(text: str) -> tuple[int, int]:
    try:
        rows, columns = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected rows and columns such as 28x28, not {text!r}") from None
    return rows, columns


COMMAND = Command(
    "predict",
    "print a saved network's or ensemble's labels and probabilities for tables, arrays and pictures",
    (
        "fastnet predict --model iris.npz new.csv --out predictions.csv",
        "fastnet predict --model digits.npz picture.png",
        "fastnet predict --model digits.npz --invert scan.jpg",
        "fastnet predict --model digits.npz --json t10k-images-idx3-ubyte.gz",
    ),
    fill,
    run,
)
