"""`fastnet explore`: runs experiments, prints what they found, and writes their pictures and numbers."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from typing import Any

from fastnet import backends, checks, explore
from fastnet.cli import results
from fastnet.cli.common import load_data, print_result
from fastnet.cli.options import SEED, Command, add_backend_option, add_data_options, add_number, add_table_options
from fastnet.data import Dataset
from fastnet.data.files import atomic_write
from fastnet.errors import DivergedError, FastnetError, require_extra
from fastnet.text import facts, json_text, shown
from fastnet.training.standardize import Standardization
from fastnet.version import __version__


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments to run; without a name, list all")
    parser.add_argument("--all", action="store_true", help="run every experiment")
    parser.add_argument("--out", metavar="FOLDER", help="write the pictures, and the numbers as JSON, into this folder")
    parser.add_argument(
        "--format", default="png", choices=("png", "svg", "pdf"), help="format of the pictures (default: %(default)s)"
    )
    add_number(parser, "--seed", SEED, "the first seed")
    add_number(parser, "--seeds", explore.Setting.n_seeds, "number of seeds in an experiment that compares seeds")
    add_data_options(parser)
    add_table_options(parser)
    add_backend_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if args.all and args.names:
        raise ValueError(
            f"--all runs every experiment: leave out either --all or the names {' '.join(map(shown, args.names))}"
        )
    names = list(dict.fromkeys(explore.EXPERIMENTS if args.all else args.names))
    for name in names:
        checks.name_of("experiment", name, explore.EXPERIMENTS)
    if not names:
        text = f"experiments:\n{facts(explore.EXPERIMENTS)}\n\nfastnet explore NAME ..., or --all"
        print_result(args, text, {"experiments": explore.EXPERIMENTS})
        return 0
    checks.whole_number("--seed", args.seed, 0)
    checks.whole_number("--seeds", args.seeds, 2)
    choice = backends.resolve(args.backend)
    for name in sorted(explore.NEED_SCIPY.intersection(names)):  # check this before hours of work
        require_extra("scipy", f"the experiment {name} needs SciPy", "insight")
    if args.out is not None:
        from fastnet.plots.style import check

        check()
        results.check_folder("--out", args.out)
    data = load_data(args)
    if data.task != "classification":
        raise ValueError(
            f"the experiments train classifiers, but {data.name} has no classes ({data.task}): give data with a class "
            "for each example"
        )
    setting = explore.Setting(_standardized(data), args.backend, args.seed, args.seeds)
    record: dict[str, Any] = {
        "fastnet": __version__,
        "data": setting.data.name,
        "seed": args.seed,
        "seeds": args.seeds,
        "backend": choice._asdict(),
        "experiments": {},
    }
    began = time.perf_counter()
    diverged: list[DivergedError] = []
    for name in names:
        try:
            record["experiments"][name] = _one(name, setting, args)
        except DivergedError as error:  # the other experiments still run
            diverged.append(error)
    if diverged and not record["experiments"]:
        raise diverged[0]
    total = time.perf_counter() - began
    record["seconds"] = total
    done = len(record["experiments"])
    print_result(args, f"{done} experiments in {total:.1f} s on {choice.name}" if len(names) > 1 else "", record)
    if diverged:
        raise FastnetError("; ".join(map(str, diverged)))
    return 0


def _standardized(data: Dataset) -> Dataset:
    """Return a table with standardized columns, which the experiments' learning rates are made for."""
    if data.schema is None or not data.schema.columns:
        return data
    step = Standardization.of(data.x_train)
    return dataclasses.replace(data, x_train=step.rows(data.x_train), x_test=step.rows(data.x_test))


def _one(name: str, setting: explore.Setting, args: argparse.Namespace) -> dict[str, Any]:
    """Run one experiment, print what it found, write its files, and return its record."""
    began = time.perf_counter()
    if not args.quiet:
        print(f"{name} ...", file=sys.stderr, flush=True)
    found = explore.run(name, setting)
    seconds = time.perf_counter() - began
    record = {"question": explore.EXPERIMENTS[name], "seconds": seconds, "numbers": found.numbers}
    written = []
    if args.out is not None:
        from fastnet.plots.style import save

        for stem, draw in found.pictures.items():
            written.append(os.path.join(args.out, f"{stem}.{args.format}"))
            save(draw(), written[-1])
        written.append(os.path.join(args.out, f"{name}.json"))
        with atomic_write(written[-1]) as file:
            file.write(json_text(record).encode())
    record["files"] = written
    if not args.json:
        title = f"{name}: {explore.EXPERIMENTS[name]} ({seconds:.1f} s)"
        kept = f"\nwritten: {', '.join(map(shown, written))}" if written else ""
        print_result(args, f"{title}\n{'-' * len(title)}\n{found.text.rstrip()}{kept}\n", {})
    return record


COMMAND = Command(
    "explore",
    "find out what the network really learned, by experiments",
    (
        "fastnet explore",
        "fastnet explore noise weights",
        "fastnet explore --all --out findings",
        "fastnet explore memorize --data mnist --backend cython --json",
    ),
    fill,
    run,
)
