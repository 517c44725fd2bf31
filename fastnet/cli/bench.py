"""`fastnet bench`: measures the backends. The benchmarks parse their own options."""

from __future__ import annotations

from fastnet.errors import FastnetError

NAME = "bench"
SUMMARY = "measure the backends: see fastnet bench --help"


def run(arguments: list[str]) -> int:
    """Run the benchmarks with these arguments and return the exit status."""
    try:
        from fastnet.bench import run as benchmarks
    except ImportError as error:
        raise FastnetError(f'the benchmarks cannot run ({error}): python -m pip install "fastnet-mlp[bench]"') from None
    return benchmarks.main(arguments)
