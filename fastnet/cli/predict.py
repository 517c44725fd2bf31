"""`fastnet predict`: prints a saved network's classes and outputs for pictures and arrays."""

from __future__ import annotations

import argparse
import math
import mimetypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import backends, checks
from fastnet.cli.common import print_result
from fastnet.cli.options import Command, add_backend_option, add_model_option
from fastnet.data.formats import read_array
from fastnet.data.pictures import read_picture
from fastnet.errors import DataError
from fastnet.network import Network
from fastnet.text import shown, table


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_model_option(parser)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="an 8-bit picture, or an IDX, NPY or NPZ file of examples"
    )
    parser.add_argument("--invert", action="store_true", help="the pictures show dark ink on light paper")
    parser.add_argument(
        "--image-shape", type=_shape, metavar="28x28", help="rows and columns of a picture (default: a square)"
    )
    add_backend_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    backends.resolve(args.backend)
    network = Network.load(args.model)
    predictions: list[dict[str, Any]] = []
    rows = [["example", *(["class"] if network.is_classifier else []), *map(str, range(network.sizes[-1]))]]
    for path in args.files:
        x = _examples(path, network.sizes[0], args)
        checks.inputs(x, network.sizes[0], network.dtype, shown(path))  # an error of `forward` would call the file "x"
        outputs = network.forward(x, backend=args.backend)
        classes = network.predict(x, backend=args.backend).tolist() if network.is_classifier else [None] * len(x)
        for i, (label, activations) in enumerate(zip(classes, outputs.tolist(), strict=True)):
            predictions.append({"file": path, "index": i, "class": label, "outputs": activations})
            title = shown(path) if len(x) == 1 else f"{shown(path)}[{i}]"
            if label is None:
                rows.append([title, *(f"{a:.4g}" for a in activations)])
            else:
                rows.append([title, str(label), *(f"{a:.3f}" for a in activations)])
    print_result(args, table(rows), {"model": args.model, "predictions": predictions})
    return 0


def _examples(path: str, n_in: int, args: argparse.Namespace) -> NDArray[Any]:
    """Return the examples (n, n_in) of a file. A picture is one example."""
    kind = mimetypes.guess_type(path, strict=False)[0] or ""
    if kind.startswith("image/"):
        shape = checks.image_shape(args.image_shape, n_in, "--image-shape")
        return read_picture(path, shape, invert=args.invert)[None]
    if kind.startswith("text/"):
        raise DataError(
            f"{shown(path)} is a text file. Text does not say whether its numbers are bytes or floats: save it as NPY"
        )
    x = read_array(path)
    if x.size == n_in:
        x = x.reshape(1, n_in)  # one example, with or without rows and columns
    if x.ndim < 2 or not x.size or math.prod(x.shape[1:]) != n_in:
        raise DataError(f"{shown(path)} has shape {x.shape}, but the network takes {n_in} inputs for each example")
    if args.invert:
        if x.dtype != np.uint8:
            raise DataError(f"{shown(path)} holds {x.dtype}, and --invert is for 8-bit pixels: leave out --invert")
        x = np.invert(x)
    return x


def _shape(text: str) -> tuple[int, int]:
    try:
        rows, columns = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected rows and columns such as 28x28, not {text!r}") from None
    return rows, columns


COMMAND = Command(
    "predict",
    "print a saved network's classes and outputs for pictures and arrays",
    (
        "fastnet predict --model digits.npz picture.png",
        "fastnet predict --model digits.npz --invert scan.jpg",
        "fastnet predict --model digits.npz --json t10k-images-idx3-ubyte.gz",
    ),
    fill,
    run,
)
