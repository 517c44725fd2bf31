"""The command line of the stress programs: see `python -m tests.stress --help`."""

from __future__ import annotations

import argparse
import secrets
import sys

from .harness import NAMES, run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.stress",
        description="Runs one stress program, or all of them. Prints its seed, what it tried and what failed. "
        "A failed case is reduced and kept in tests/stress/corpus, which the ordinary tests run.",
    )
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("--count", type=int, help="cases to try")
    parser.add_argument("--seconds", type=float, help="time to spend; `all` shares it out among the programs")
    parser.add_argument("--seed", type=int, help="of the cases; drawn and printed where it is not given")
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to repeat one (with --count 1)")
    parser.add_argument("--no-keep", action="store_true", help="write nothing to the corpus")
    arguments = parser.parse_args()
    if arguments.count is None and arguments.seconds is None:
        parser.error("give --count or --seconds")
    seed = secrets.randbelow(1 << 32) if arguments.seed is None else arguments.seed
    names = NAMES if arguments.name == "all" else (arguments.name,)
    failed = 0
    for name in names:
        print(f"{name}: seed {seed}", flush=True)
        seconds = None if arguments.seconds is None else arguments.seconds / len(names)
        report = run(name, seed, arguments.count, seconds, arguments.first, not arguments.no_keep)
        print(report, flush=True)
        failed += len(report.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
