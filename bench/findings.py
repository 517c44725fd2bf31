"""Writes what `fastnet explore --all` finds into the README: its texts and a few of its pictures.

    python -m fastnet.bench.findings README.md --pictures docs

Not here: the experiments (fastnet.explore). Run on an otherwise idle machine: the seconds are part of the text.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fastnet import backends
from fastnet.backends import machine
from fastnet.bench import report
from fastnet.data import load
from fastnet.errors import FastnetError
from fastnet.explore import EXPERIMENTS, Finding, Setting, run
from fastnet.plots import save

SECTION = "findings"
# One picture of each experiment, and what to read in it.
SHOWN = {
    "descent": ("batches", "The cost by examples seen and by time, for steps on all, ten and single examples"),
    "gradient": ("gradient-ranking", "The share of the gradient's squared norm that its top components hold"),
    "weights": ("weights", "The weights of the first hidden layer as images, before and after training"),
    "noise": ("noise", "What the network answers to noise and to real images, and how sure it is"),
    "memorize": ("memorize", "Accuracy by epoch with true labels, shuffled labels and images of nothing"),
    "minima": ("minima-descent", "The descent's way over the surface of the cost"),
    "data-size": ("data-size", "Accuracy by the number of training images"),
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m fastnet.bench.findings", description=__doc__.splitlines()[0])
    made.add_argument("readme", help=f"has the lines {' and '.join(report.marks(SECTION))}; the text goes between")
    made.add_argument("--pictures", required=True, metavar="FOLDER", help="for the pictures shown, as PNG")
    made.add_argument("--data", default="mnist-5k", metavar="NAME", help="default: %(default)s")
    made.add_argument("--experiments", nargs="+", default=list(EXPERIMENTS), choices=EXPERIMENTS, metavar="NAME")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0, 2 for an error, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser().parse_args(arguments)
    try:
        report.split_readme(options.readme, SECTION)
        os.makedirs(options.pictures, exist_ok=True)
        setting = Setting(load(options.data))
        parts, total = [], 0.0
        for name in options.experiments:
            print(f"{name} ...", file=sys.stderr, flush=True)
            began = time.perf_counter()
            found = run(name, setting)
            seconds = time.perf_counter() - began
            total += seconds
            parts.append(_part(name, found, seconds, options))
        command = shlex.join(["python", "-m", "fastnet.bench.findings", *arguments])
        about = (
            f"{setting.data.name}, the {backends.resolve().name} backend, {total:.0f} s in all, without the drawing; "
            f"{machine.processor()}, {os.cpu_count()} cores. Written by `{command}`."
        )
        report.write_readme(options.readme, "\n\n".join([*parts, about]), SECTION)
    except (FastnetError, OSError) as error:
        print(f"fastnet.bench.findings: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _part(name: str, found: Finding, seconds: float, options: argparse.Namespace) -> str:
    """An experiment's title, picture and text, the text folded."""
    stem, alt = SHOWN[name]
    path = Path(options.pictures, f"{stem}.png")
    save(found.pictures[stem](), path)
    link = Path(os.path.relpath(path, Path(options.readme).parent)).as_posix()
    title = f"**{EXPERIMENTS[name].capitalize()}** (`{name}`, {seconds:.1f} s)"
    text = f"<details><summary>The numbers</summary>\n\n```text\n{found.text.rstrip()}\n```\n\n</details>"
    return f"{title}\n\n![{alt}]({link})\n\n{text}"


if __name__ == "__main__":
    sys.exit(main())
