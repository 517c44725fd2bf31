"""The command line of the stress programs: see `python -m tests.stress --help`."""

from __future__ import annotations

import argparse
import secrets
import sys

from .harness import NAMES, run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.stress",
        description="Run one stress program or all. Print the seed, the number of cases by outcome, and the failures. "
        "A failed case is reduced and kept in tests/stress/corpus. The ordinary tests run the kept cases.",
    )
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("--count", type=int, help="number of cases to try")
    parser.add_argument("--seconds", type=float, help="time to run; `all` divides the time among the programs")
    parser.add_argument("--seed", type=int, help="seed of the cases (default: a random number)")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first case; add --count 1 to repeat only this case"
    )
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
