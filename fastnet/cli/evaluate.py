"""`fastnet evaluate`: prints the cost and the scores of a saved network or ensemble on test examples."""

from __future__ import annotations

import argparse

from fastnet.backends.engine import choose
from fastnet.cli.common import about_network, evaluate, judged, load_data_for, print_result
from fastnet.cli.options import Command, add_backend_option, add_data_options, add_model_option, add_threads_option
from fastnet.ensemble import load_model
from fastnet.text import facts, shown


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_model_option(parser)
    add_data_options(parser)
    add_backend_option(parser)
    add_threads_option(parser, "the rows", 1)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    choose(args.backend, args.threads)
    network = load_model(args.model)
    data = load_data_for(args, shown(args.model), network, may_be_large=True)
    text, record = evaluate(network, data, args.backend, args.threads)
    rows = judged(args, data)
    about = facts({"model": shown(args.model), **about_network(network), "data": data.name, "judged": rows})
    print_result(args, f"{about}\n{text}", {"model": args.model, "data": data.name, "judged": rows, **record})
    return 0


COMMAND = Command(
    "evaluate",
    "print the scores of a saved network or ensemble on the test examples of a data set",
    (
        "fastnet evaluate --model digits.npz --data mnist",
        "fastnet evaluate --model iris.npz --data iris.csv",
        "fastnet evaluate --model iris.npz --data other.csv --test-fraction 1",
    ),
    fill,
    run,
)
