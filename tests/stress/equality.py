"""Compares the estimators with scikit-learn's own over drawn settings, and prints the largest relative difference."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[1]))

import estimator_cases as ec


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.equality", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=200, help="settings to draw (default: %(default)s)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    worst, kinds = [(0.0, "")], Counter[str]()

    @seed(arguments.seed)
    @settings(
        max_examples=arguments.count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(ec.cases())
    def compare(case: ec.Case) -> None:
        try:
            worst.append((ec.worst_difference(case, arguments.backend), repr(case)))
        except Exception as error:
            worst.append((float("inf"), f"{error!r} {case!r}"))
        kinds.update([case.task, case.calls, case.parameters["solver"]])

    compare()
    worst.sort(reverse=True)
    print(f"{len(worst) - 1} settings: {dict(kinds)}")
    for difference, text in worst[:5]:
        print(f"{difference:.2g}  {text}")


if __name__ == "__main__":
    main()
