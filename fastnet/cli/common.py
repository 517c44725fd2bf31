"""Steps that several commands share: load the data, test a network, print the result."""

from __future__ import annotations

import argparse
import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import data as sets
from fastnet.cli import progress
from fastnet.cli.answers import output_names
from fastnet.cli.options import DATA_OPTIONS, TABLE_OPTIONS
from fastnet.cli.scores import labels_text, matrix_text, values_text
from fastnet.cli.streams import standard_output
from fastnet.data import Dataset, Schema
from fastnet.data.large_datasets import large_dataset
from fastnet.data.loading import checked_reading, share_of_test
from fastnet.ensemble import Ensemble, Model
from fastnet.errors import DataError
from fastnet.names import Threads
from fastnet.text import facts, json_text, layers, number, scores, wrapped
from fastnet.training.runs import check_data, class_names


def print_result(args: argparse.Namespace, text: str, record: dict[str, Any]) -> None:
    """Print the result of a command: the record with --json, nothing with --quiet, else the text."""
    if args.json:
        text = json_text(record)
    elif columns := terminal_columns():
        text = wrapped(text, columns)
    if args.json or not args.quiet:
        with standard_output():
            print(text, flush=True)


def terminal_columns() -> int | None:
    """Return $COLUMNS, or the width of the terminal that shows the results, or None if stdout is a file or a pipe."""
    return shutil.get_terminal_size((0, 0)).columns or None


def table_columns() -> int:
    """Return the width that a table of results may have."""
    return terminal_columns() or 80


def load_data(args: argparse.Namespace, network: Model | None = None, *, may_be_large: bool = False) -> Dataset:
    """Load the data set that the options describe. With a network, read it as the network's training read its own.

    `may_be_large` says whether the command can do with a `LargeDataset`.
    """
    given = {name: getattr(args, name, None) for name in DATA_OPTIONS if name != "data"}
    if network is not None:
        schema = known_schema(args, network)
        given |= {**dict.fromkeys(TABLE_OPTIONS), "pixels": None, "schema": schema}
    options = {name: value for name, value in given.items() if value is not None}
    data = _large(args, options) if may_be_large else None
    data = data or sets.load(args.data, progress=None if args.quiet else progress.DownloadProgress(), **options)
    if not data.is_held_out and args.test_fraction is not None:
        raise ValueError(f"{data.name} has its own test examples: leave out --test-fraction")
    if not len(data.x_test):
        raise DataError(
            f"{data.name}: no example is held out for the test: give more examples or a larger --test-fraction"
        )
    return data


def _large(args: argparse.Namespace, options: dict[str, Any]) -> Dataset | None:
    """Return the data set if it is too large for the memory, else None."""
    if args.data in sets.names() or args.labels is not None:
        return None
    names = ("test_fraction", "label_column", "task", "categorical", "drop", "impute", "pixels", "schema")
    own = {"categorical": (), "drop": (), "impute": False, "pixels": False}
    return large_dataset(args.data, checked_reading(**{name: options.get(name, own.get(name)) for name in names}))


def load_data_for(args: argparse.Namespace, what: str, network: Model, *, may_be_large: bool = False) -> Dataset:
    """Load the data that the options describe, read as the network's training read its own.

    Raises ValueError or DataError where the data do not fit the network; the message calls the network `what`.
    """
    check_pixels(args, what, network)
    data = load_data(args, network, may_be_large=may_be_large)
    check_data(what, network, data)
    check_scale(what, network, data.name, data.x_test)
    return data


def judged(args: argparse.Namespace, data: Dataset) -> str:
    """Return which examples are the test examples of a data set, in words."""
    n, n_all = data.n_test, data.n_test + data.n_train
    if n == n_all:
        return f"all {n:,} rows"
    if not data.is_held_out:
        return f"{n:,} test examples of {n_all:,}"
    share = held_out_share(args, data)
    return f"{n:,} of {n_all:,} rows, those that fastnet train holds out with --test-fraction {share:g}"


def held_out_share(args: argparse.Namespace, data: Dataset) -> float:
    """Return the share of the user's data that is held out for the test: by default that of the training."""
    return share_of_test(data.schema) if args.test_fraction is None else float(args.test_fraction)


def check_pixels(args: argparse.Namespace, what: str, network: Model) -> None:
    """Refuse --pixels for a network that was trained on other numbers."""
    if args.pixels and network.schema is not None and not network.schema.pixels:
        raise ValueError(f"{what} was trained on numbers as they are, not on pixels: leave out --pixels")


def known_schema(args: argparse.Namespace, network: Model) -> Schema:
    """Return what the inputs and outputs of a network mean. A network without a schema takes all columns in order."""
    if network.schema is not None:
        return network.schema
    n = network.sizes[-1]  # a network for several values may have one for each class
    names = tuple(map(str, range(n))) if network.task == "regression" and n > 1 else tuple(class_names(network))
    return Schema(class_names=names, pixels=bool(args.pixels))


def check_scale(what: str, network: Model, name: str, x: NDArray[Any]) -> None:
    """Refuse bytes for a network that was trained on other numbers, and numbers above 1 for one trained on pixels.

    A network without a schema does not say what it was trained on, and takes both.
    """
    if network.schema is None:
        return
    if network.schema.pixels and x.dtype != np.uint8 and x.max(initial=0) > 1:
        raise DataError(
            f"{what} was trained on pixels, but {name} holds {x.dtype} numbers up to {x.max():g}, where 1 stands for a "
            "white pixel: save pixels from 0 to 255 with .astype('uint8'), or divide them by 255"
        )
    if not network.schema.pixels and network.byte_scale != 1 and x.dtype == np.uint8:
        raise DataError(
            f"{what} was trained on numbers as they are, but {name} holds bytes, which stand for pixels: give data "
            "of the kind it was trained on, such as numbers saved with .astype('float32')"
        )


def about_network(network: Model) -> dict[str, str]:
    """Return the lines that describe a network or an ensemble."""
    if isinstance(network, Ensemble):
        n_in, n_out = network.sizes
        return {
            "ensemble": f"networks {len(network)}, inputs {n_in:,}, outputs {n_out:,}: "
            f"{network.n_parameters:,} parameters, {network.dtype}, cost {network.cost_description()}"
        }
    *hidden, output = network.activations_by_layer
    return {
        "network": f"{layers(network.sizes)}: {network.n_parameters:,} parameters, {network.dtype}, "
        f"cost {network.cost_description()}",
        "activation": ", ".join([*dict.fromkeys(hidden), f"output {output}"]),
    }


def evaluate(network: Model, data: Dataset, backend: str | None, threads: Threads) -> tuple[str, dict[str, Any]]:
    """Test a network on the test examples. Return the result as text and as a record for JSON."""
    from fastnet import insight  # imported here: at the top it would delay the start of every command

    x, y = data.x_test, data.y_test
    found = network.evaluate(x, y, backend=backend, threads=threads)
    text = facts({"test": f"{scores(found.cost, found.accuracy, found.r2)} ({len(x):,} example{'s' * (len(x) > 1)})"})
    record: dict[str, Any] = {name: number(value) for name, value in found._asdict().items()}
    record |= {"examples": len(x), "task": network.task, "columns": column_names(network.schema)}
    if network.is_classifier:
        names = class_names(network, data)
        matrix = insight.confusion(network, x, y, backend=backend, threads=threads)
        text += f"\n\n{matrix_text(matrix, names)}"
        record |= {"class_names": names, "confusion_matrix": matrix.tolist()}
    elif network.task == "multilabel":
        names = class_names(network, data)
        labels = insight.label_scores(network, x, y, backend=backend, threads=threads)
        text += f"\n\n{labels_text(labels, names)}"
        record |= {"class_names": names, "labels": labels}
    elif data.task == "regression":  # not the classes of a network that has an output of numbers for each class
        names = output_names(network)
        values = insight.value_scores(network, x, y, backend=backend, threads=threads)
        text += f"\n\n{values_text(values, names)}"
        record |= {"output_names": names, "values": values}
    return text, record


def column_names(schema: Schema | None) -> list[str]:
    """Return the names of the columns that a network takes. [] if its inputs have no names."""
    return [column.name for column in schema.columns] if schema else []
