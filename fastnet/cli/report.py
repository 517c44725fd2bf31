"""`fastnet report`: writes the report of a run that `fastnet train --out` saved."""

from __future__ import annotations

import argparse
import dataclasses
import os

from fastnet import backends
from fastnet.cli import results
from fastnet.cli.common import column_names, load_data_for, print_result
from fastnet.cli.options import DATA_OPTIONS, Command, add_backend_option, add_data_options
from fastnet.data import Dataset
from fastnet.errors import DataError
from fastnet.text import facts, shown
from fastnet.training.runs import Run

FILE = "report.html"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("run", metavar="FOLDER", help="a folder that fastnet train --out wrote")
    parser.add_argument("--output", metavar="FILE.html", help=f"the file to write (default: FOLDER/{FILE})")
    add_data_options(parser, default=None)
    add_backend_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from fastnet import report  # imported here: at the top it would delay the start of every command

    report.check()
    backends.resolve(args.backend)
    trained = Run.load(args.run)
    path = os.path.join(args.run, FILE) if args.output is None else args.output
    data = _data(args, trained)
    results.check_file("--output", path, args)
    results.check_html("--output", path)
    results.write_report(args, path, trained, data)
    about = {"task": data.task, "columns": column_names(trained.network.schema), "class_names": data.class_names}
    print_result(args, facts({"report": shown(path)}), {"run": args.run, "report": path, **about})
    return 0


def _data(args: argparse.Namespace, trained: Run) -> Dataset:
    """Load the data that --data names, by default the data of the training."""
    run = shown(args.run)
    if args.data is not None:
        return load_data_for(args, run, trained.network)
    source = trained.record.get("source")
    if not isinstance(source, dict) or not isinstance(source.get("data"), str):
        raise DataError(f"{run} does not name the data of its training: give --data")
    for name in DATA_OPTIONS:
        if getattr(args, name, None) is None:
            setattr(args, name, source.get(name))
    try:
        data = load_data_for(args, run, trained.network)
    except DataError as error:
        raise DataError(f"the data of {run}: {error}; give their new place with --data") from error
    return dataclasses.replace(data, name=str(trained.record.get("data", data.name)))


COMMAND = Command(
    "report",
    "write a report of a training run, one HTML file to open in a browser",
    ("fastnet train --out run && fastnet report run", "fastnet report run --output report.html"),
    fill,
    run,
)
