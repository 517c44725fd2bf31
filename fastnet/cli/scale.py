"""`fastnet scale`: predicts how fast a training on many processes would be."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

from fastnet import backends, checks
from fastnet.cli import processes
from fastnet.cli.common import print_result, table_columns
from fastnet.cli.options import Command, add_backend_option, add_name, add_number, whole, widths
from fastnet.cli.progress import say
from fastnet.distributed import Cluster, Point, Work, measured_cluster, measured_work, plan
from fastnet.distributed.cost import MAX_PROCESSES
from fastnet.distributed.measuring import adding_speed
from fastnet.distributed.plan import EVERY, PROCESSES, simulated_speedup
from fastnet.text import duration, facts, folded_table, layers, plain, short_number
from fastnet.training.optimizers import OPTIMIZERS

# The networks of the default plan have 13 thousand, 102 thousand and 10 million parameters.
NETWORKS = ((784, 16, 16, 10), (784, 128, 10), (784, 2048, 2048, 2048, 10))
BATCH_SIZE = 128
ASSUMED = f"assumed: a network of {8 * Cluster.bandwidth / 1e9:g} Gbit/s"
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_TIME = re.compile(r"(\d+(?:\.\d*)?(?:e-?\d+)?) ?(ns|us|ms|s)", re.ASCII)
_SPEED = re.compile(r"(.+?)(bit)?(?:/s)?", re.ASCII)


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--plan",
        action="store_true",
        required=True,
        help="measure an update and an average here, and predict the speed on more processes",
    )
    work = parser.add_argument_group("the training")
    work.add_argument(
        "--layers",
        type=widths,
        action="append",
        metavar="N,N,...",
        help="widths of the layers, inputs first; may be repeated (default: "
        f"{', '.join(layers(sizes) for sizes in NETWORKS)})",
    )
    add_number(work, "--batch-size", BATCH_SIZE, "examples in an update of each process")
    add_name(work, "--optimizer", "adam", OPTIMIZERS)
    add_backend_option(work)
    cluster = parser.add_argument_group("the machines")
    cluster.add_argument(
        "--latency",
        type=_seconds,
        metavar="TIME",
        help=f"time of a message of no bytes, such as 2us (default: {duration(Cluster.latency)}, or measured under "
        "mpiexec)",
    )
    cluster.add_argument(
        "--bandwidth",
        type=_bytes_per_second,
        metavar="SPEED",
        help="speed of the link of each process, such as 10GB/s or 100Gbit/s "
        f"(default: {Cluster.bandwidth / 1e9:g}GB/s, or measured under mpiexec)",
    )
    add_number(
        cluster, "--straggler", Cluster.straggler, "standard deviation of an update's time, as a share of its mean"
    )
    cluster.add_argument(
        "--processes",
        type=_counts,
        default=PROCESSES,
        metavar="N,N,...",
        help="numbers of processes (default: 1, 2, 4 and so on up to 1024)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    processes.join(args)
    batch_size = checks.whole_number("--batch-size", args.batch_size, 1)
    counts = checks.whole_numbers("processes", args.processes, 1, MAX_PROCESSES)
    backend = backends.resolve(args.backend).name
    networks = [checks.layer_sizes(sizes) for sizes in args.layers or NETWORKS]
    cluster, origin = _cluster(args)
    record: dict[str, Any] = {"machines": {**plain(cluster), "origin": origin}, "plans": []}
    texts = [facts({"machines": _about(cluster, origin)})]
    for sizes in networks if processes.leads(args) else ():  # the other processes only took part in the Allreduces
        if not args.quiet:
            say(f"measuring {layers(sizes)} ...")
        work = measured_work(sizes, batch_size=batch_size, optimizer=args.optimizer, backend=args.backend)
        points = plan(work, cluster, processes=counts)
        simulated = [simulated_speedup(work, cluster, point) if point.is_chosen else math.nan for point in points]
        texts.append(_text(work, points, simulated, f"{backend}, {args.optimizer}"))
        found = [
            {**plain(point), "communication": point.communication, "simulated_speedup": speedup}
            for point, speedup in zip(points, simulated, strict=True)
        ]
        record["plans"].append({"backend": backend, "optimizer": args.optimizer, "measured": work, "points": found})
    if processes.leads(args):
        print_result(args, "\n\n".join([*texts, _NOTE]), record)
    processes.wait(args)
    return 0


def _cluster(args: argparse.Namespace) -> tuple[Cluster, str]:
    """Return the machines that the options describe, and where the figures come from."""
    given = {name: value for name in ("latency", "bandwidth") if (value := getattr(args, name)) is not None}
    if args.communicator is not None and len(given) < 2:
        found = measured_cluster(args.communicator, args.straggler)
        origin = f"measured between {args.communicator.size} processes of mpiexec"
    else:
        found, origin = Cluster(adding=adding_speed(), straggler=args.straggler), ASSUMED
    if len(given) == 2:
        origin = "from the options"
    elif given:
        one, other = ("latency", "bandwidth") if "latency" in given else ("bandwidth", "latency")
        origin = f"{one} from the options, {other} {origin}"
    return dataclasses.replace(found, **given), origin


def _about(cluster: Cluster, origin: str) -> str:
    adding = "" if math.isinf(cluster.adding) else f"; additions at {cluster.adding / 1e9:.3g} GB/s, measured here"
    return (
        f"latency {duration(cluster.latency)}, bandwidth {cluster.bandwidth / 1e9:.3g} GB/s ({origin}){adding}; "
        f"an update's time spreads by {cluster.straggler:.3g} of its mean (--straggler)"
    )


def _text(work: Work, points: Sequence[Point], simulated: Sequence[float], settings: str) -> str:
    """Return the measured figures of a network and its two tables."""
    about = {
        "network": f"{layers(work.sizes)}: {work.n_parameters:,} parameters, batch {work.batch_size:,}, {settings}",
        "measured": f"an update {duration(work.update_seconds)}; with averaged gradients "
        f"{duration(work.gradient_seconds)}; an average of parameters {duration(work.average_seconds)} more",
        "messages": f"{_bytes(work.gradient_bytes)} for averaged gradients, {_bytes(work.parameter_bytes)} for "
        "averaged parameters",
    }
    by_place = {(point.processes, point.every): point for point in points}
    counts = sorted({point.processes for point in points})
    speedups = [["processes", *(f"every {k}" for k in EVERY)]]
    for n in counts:
        speedups.append([f"{n:,}", *(f"{by_place[n, k].speedup:.2f}" for k in EVERY)])
    chosen = [["processes", "every", "examples/s", "speed-up", "simulated", "waiting", "messages", "calls"]]
    for point, speedup in zip(points, simulated, strict=True):
        if point.is_chosen:
            shares = [f"{share:.0%}" for share in (point.waiting, point.messages, point.calls)]
            rate, random = short_number(point.examples_per_second), "-" if math.isnan(speedup) else f"{speedup:.2f}"
            chosen.append([f"{point.processes:,}", f"{point.every}", rate, f"{point.speedup:.2f}", random, *shares])
    return "\n\n".join(
        [
            facts(about),
            f"speed-up, with averages every so many updates:\n{folded_table(speedups, table_columns(), ())}",
            f"what --averaging auto would choose:\n{folded_table(chosen, table_columns(), ())}",
        ]
    )


_NOTE = (
    "Each process trains on batches of its own. Every 1: the gradients are averaged; every 4 and more: the parameters. "
    "Simulated: the speed-up with random times of updates, in place of the formula. Waiting (for the slowest), "
    "messages and calls are shares of the time. All speeds for more than one process are predicted, not measured."
)


def _bytes(messages: Sequence[int]) -> str:
    return " + ".join(f"{n:,}" for n in messages) + " bytes"


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a time such as 2us or 0.1ms, not {checks.given(text)}")
    return float(found[1]) * _SECONDS[found[2]]


def _bytes_per_second(text: str) -> float:
    found = _SPEED.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        value = checks.byte_count("", found[1] + "B" if found[2] else found[1])
    except ValueError:
        message = f"expected a speed such as 10GB/s or 100Gbit/s, not {checks.given(text)}"
        raise argparse.ArgumentTypeError(message) from None
    return value / 8 if found[2] else float(value)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(whole(part) for part in text.split(","))


COMMAND = Command(
    "scale",
    "predict how fast a training on many processes would be",
    (
        "fastnet scale --plan",
        "fastnet scale --plan --layers 784,512,512,10 --latency 2us --bandwidth 10GB/s",
        "mpiexec -n 2 fastnet scale --plan --processes 1,8,64 --json",
    ),
    fill,
    run,
)
