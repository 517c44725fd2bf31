"""`fastnet bench`: measures the backends. The names in its help come from the benchmarks' tables."""

from __future__ import annotations

import argparse
import textwrap

from fastnet import backends
from fastnet.cli import results
from fastnet.cli.options import SPARSE, Parser, add_sparse_option
from fastnet.cli.wording import options_in_errors
from fastnet.errors import FastnetError

NAME = "bench"
SUMMARY = "measure the speed of the backends, and of other libraries"
MAX_SHOWN = 40  # an error shows at most this many characters of a value


def run(arguments: list[str]) -> int:
    """Run the benchmarks with these arguments and return the exit status."""
    try:
        from fastnet.bench import run as benchmarks
    except ImportError as error:
        raise FastnetError(f'the benchmarks cannot run ({error}): python -m pip install "fastnet-mlp[bench]"') from None
    made = parser()
    made.check_options(arguments)
    args = made.parse_all(arguments)
    args.sparse = SPARSE[args.sparse]
    for option, path in (("--json", args.json), ("--picture", args.picture), ("--write", args.write)):
        if path not in (None, "-"):
            results.check_file(option, path, args)
    with options_in_errors(args):
        return benchmarks.main(args, arguments)


def parser() -> Parser:
    """Return the parser of the command."""
    from fastnet.bench.workloads import WORKLOADS

    made = Parser(
        prog=f"fastnet {NAME}",
        description=textwrap.fill(
            "Measure the time of an epoch of training on each backend, on one thread. The backends take turns in "
            "rounds. Each backend is verified before it is timed. --suite and --peers measure more. The images are "
            "MNIST where it is on this machine, else mnist-5k repeated up to 60,000 images. Nothing is downloaded.",
            80,
        ),
        epilog="workloads:\n"
        + "".join(f"  {name}  {workload.title}\n" for name, workload in WORKLOADS.items())
        + "\nexamples:\n  fastnet bench --workload W1 --rounds 11\n  fastnet bench --peers --json all.json --all\n"
        "  fastnet bench --peers numpy,jax --picture speed.png\n"
        '  fastnet bench --suite users --case "small table"\n  fastnet bench --compare ../older-checkout\n'
        "  fastnet bench --workload W1 --backend numpy --input float32 \\\n"
        '      --peer "python your_own.py {workload}"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    made.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write the figures as JSON into this file; without FILE, print them in place of the tables",
    )
    _add_measured(made.add_argument_group("what is measured"))
    _add_setup(made.add_argument_group("the training"))
    _add_results(made.add_argument_group("the results"))
    return made


def _add_measured(group: argparse._ArgumentGroup) -> None:
    from fastnet.bench import peers
    from fastnet.bench.run import QUICK_ROUNDS, ROUNDS, SUITES
    from fastnet.bench.workloads import WORKLOADS

    group.add_argument(
        "--workload",
        action="append",
        choices=list(WORKLOADS),
        metavar="NAME",
        help=f"measure this workload, described below; may be repeated: {', '.join(WORKLOADS)} (default: all)",
    )
    group.add_argument(
        "--backend",
        action="append",
        choices=backends.NAMES,
        metavar="NAME",
        help=f"measure this backend and numpy, the baseline; may be repeated: {', '.join(backends.NAMES)} "
        "(default: all that work here)",
    )
    group.add_argument(
        "--suite",
        type=_suites,
        default=["train"],
        metavar="NAME[,NAME...]",
        help=f"measure these suites: {', '.join(SUITES)} (default: train)",
    )
    group.add_argument(
        "--case",
        action="append",
        metavar="WORDS",
        help="in the suite users and in --compare, measure only the cases whose titles contain these words; may be "
        "repeated",
    )
    group.add_argument(
        "--compare",
        metavar="OLD",
        help="measure this version and another one in turns, on workloads of training and inference and on calls on "
        "few rows. OLD is a folder that holds fastnet/ with built kernels, a virtual environment or its python, or a "
        "wheel. --backend, --case, --peers, --rounds, --quick and --threads apply",
    )
    group.add_argument("--all", action="store_true", help="measure every suite")
    group.add_argument(
        "--scaling",
        action="store_true",
        help="measure the suite scaling only: one network on several threads, networks side by side, and copies",
    )
    group.add_argument(
        "--peers",
        nargs="?",
        const="all",
        metavar="NAME[,NAME...]",
        help=f"measure other libraries on the same work: {', '.join(peers.PEERS)}. numpy means numpy-tuned and "
        "numpy-idiomatic; torch means torch-eager and torch-compiled (default: all that are installed). The suite "
        "users measures them also without this option",
    )
    group.add_argument(
        "--peer",
        metavar="COMMAND",
        help="measure a program of yours in the same rounds; {workload} in COMMAND becomes the workload's name. The "
        "program prints the line `ready`. For each line `E` it trains one epoch and prints the line "
        "`t <wall seconds> <cpu seconds>`. Its results are not checked",
    )
    group.add_argument(
        "--rounds",
        type=_positive,
        metavar="N",
        help=f"number of rounds (default: {ROUNDS}, with --quick {QUICK_ROUNDS})",
    )
    group.add_argument("--quick", action="store_true", help="verify everything, but time a small part of the data")


def _add_setup(group: argparse._ArgumentGroup) -> None:
    from fastnet.bench.workloads import DTYPES, INPUTS

    group.add_argument(
        "--dtype",
        choices=DTYPES,
        default=DTYPES[0],
        metavar="NAME",
        help=f"type of the parameters and of the arithmetic: {', '.join(DTYPES)} (default: %(default)s)",
    )
    group.add_argument(
        "--input",
        choices=(*INPUTS, "uint8"),
        default=INPUTS[0],
        metavar="KIND",
        help=f"give fastnet the images in this form: {', '.join(INPUTS)}; uint8 means bytes (default: %(default)s)",
    )
    add_sparse_option(group)
    group.add_argument(
        "--threads",
        type=_positive,
        default=1,
        metavar="N",
        help="number of threads that share each batch, on backends with threads (default: %(default)s)",
    )
    group.add_argument("--data-dir", metavar="FOLDER", help="look for the folder mnist in this folder first")


def _add_results(group: argparse._ArgumentGroup) -> None:
    from fastnet.bench import pages
    from fastnet.bench.run import SECTION
    from fastnet.plots import style

    group.add_argument(
        "--picture",
        metavar="FILE",
        help=f"draw the results of the suite train into this file ({', '.join(style.KINDS)})",
    )
    group.add_argument(
        "--write",
        metavar="FILE.md",
        help=f"write the tables and the --picture into this page, between the lines {pages.markers(SECTION)[0]} and "
        f"{pages.markers(SECTION)[1]}",
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text[:MAX_SHOWN]) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, not {text[:MAX_SHOWN]!r}")
    return int(text)


def _suites(text: str) -> list[str]:
    from fastnet.bench.run import SUITES
    from fastnet.checks import suggestion

    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SUITES:
            known = ", ".join(SUITES)
            raise argparse.ArgumentTypeError(f"there is no suite {name!r}; there are {known}{suggestion(name, SUITES)}")
    return names
