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
    equal, amplified, kinds = [(0.0, "")], [], Counter[str]()

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
        difference = ec.worst_difference(case, arguments.backend)
        if difference > ec.TOLERANCE and ec.is_equal(case, difference):
            amplified.append((difference, ec.rounding(case), repr(case)))
        else:
            equal.append((difference, repr(case)))
        kinds.update([case.task, case.calls, case.parameters["solver"]])

    compare()
    print(f"{arguments.count} settings: {dict(kinds)}")
    for difference, noise, text in amplified:
        print(f"difference {difference:.2g}, where an error in the last bit of X changes theirs by {noise:.2g}  {text}")
    for difference, text in sorted(equal, reverse=True)[:3]:
        print(f"{difference:.2g}  {text}")
    if max(equal)[0] > ec.TOLERANCE:
        sys.exit("not equal")


if __name__ == "__main__":
    main()
