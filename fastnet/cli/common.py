"""Steps that several commands share: load the data, test a network, print the result."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet import data as sets
from fastnet.cli import progress
from fastnet.cli.options import DATA_OPTIONS
from fastnet.data import Dataset, Schema
from fastnet.errors import DataError, FastnetError
from fastnet.network import Network
from fastnet.text import facts, json_text, layers, number, scores, shown, table
from fastnet.training.runs import class_names

MAX_CLASSES_SHOWN = 30  # a matrix of more columns fits no terminal


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Raise FastnetError where standard output cannot be written. A closed pipe still raises BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FastnetError(f"cannot write to standard output ({error.strerror})") from error


def print_result(args: argparse.Namespace, text: str, record: dict[str, Any]) -> None:
    """Print the result of a command: the record with --json, nothing with --quiet, else the text."""
    if args.json:
        text = json_text(record)
    if args.json or not args.quiet:
        with standard_output():
            print(text, flush=True)


def load_data(args: argparse.Namespace, schema: Schema | None = None) -> Dataset:
    """Load the data set that the options describe. With a schema, a table is read as the training read its own."""
    given = {name: getattr(args, name, None) for name in DATA_OPTIONS if name != "data"}
    given["schema"] = schema
    data = sets.load(
        args.data,
        progress=None if args.quiet else progress.DownloadProgress(),
        **{name: value for name, value in given.items() if value is not None},
    )
    if not len(data.x_test):
        raise DataError(
            f"{data.name}: no example is held out for the test: give more examples or a larger --test-fraction"
        )
    return data


def about_network(network: Network) -> dict[str, str]:
    """Return the lines that describe a network."""
    *hidden, output = network.activations_by_layer
    return {
        "network": f"{layers(network.sizes)}: {network.n_parameters:,} parameters, {network.dtype}, "
        f"cost {network.cost_description()}",
        "activation": ", ".join([*dict.fromkeys(hidden), f"output {output}"]),
    }


def evaluate(network: Network, data: Dataset, backend: str | None) -> tuple[str, dict[str, Any]]:
    """Test a network on the test examples. Return the result as text and as a record for JSON."""
    found = network.evaluate(data.x_test, data.y_test, backend=backend)
    text = facts({"test": f"{scores(found.cost, found.accuracy, found.r2)} ({len(data.x_test):,} examples)"})
    record: dict[str, Any] = {name: number(value) for name, value in found._asdict().items()}
    record["examples"] = len(data.x_test)
    if network.is_classifier:
        from fastnet.insight import classified  # imported here: at the top it would delay the start of every command

        names = class_names(network, data)
        matrix = classified(network, data.x_test, data.y_test, backend=backend).matrix
        text += f"\n\n{_matrix_text(matrix, names)}"
        record |= {"class_names": names, "confusion_matrix": matrix.tolist()}
    return text, record


def _matrix_text(matrix: NDArray[np.int64], names: Sequence[str]) -> str:
    """Return the confusion matrix as a table. The last column is the share of a class classified right (recall)."""
    if len(matrix) > MAX_CLASSES_SHOWN:
        return f"confusion matrix: {len(matrix)} classes are too many to show here; --json prints it"
    numbers = [str(k) for k in range(len(matrix))]
    rows = [["", *numbers, "recall"]]
    for k, (row, name) in enumerate(zip(matrix, names, strict=True)):
        recall = f"{row[k] / row.sum():.1%}" if row.any() else "-"
        title = name if name == numbers[k] else f"{k} {shown(name)}"
        rows.append([title, *(str(count) if count else "." for count in row), recall])
    return f"confusion matrix (row: the truth, column: the prediction)\n{table(rows)}"
