"""Writes docs/findings.md: for each experiment of `fastnet explore --all`, its numbers and a picture.

Run it on an idle machine: python -m fastnet.bench.findings docs/findings.md --pictures docs/pictures
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
from fastnet.bench import pages, report
from fastnet.data import load
from fastnet.errors import FastnetError
from fastnet.explore import EXPERIMENTS, Finding, Setting, run

SECTION = "findings"
# One picture of each experiment, with its alternative text.
SHOWN = {
    "descent": ("batches", "The cost over examples and over seconds, for updates on all, ten and single examples"),
    "gradient": ("gradient-ranking", "The share of the gradient's squared norm that its largest components hold"),
    "weights": ("weights", "The weights of the first hidden layer as images, before and after training"),
    "noise": ("noise", "The answers to noise and to real images, and the top outputs"),
    "memorize": ("memorize", "Accuracy over epochs with true labels, shuffled labels and noise as images"),
    "minima": ("minima-descent", "The path of gradient descent over the surface of the cost"),
    "data-size": ("data-size", "Accuracy over the number of training images"),
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m fastnet.bench.findings", description=__doc__.splitlines()[0])
    made.add_argument("page", help=f"the text goes between its lines {' and '.join(pages.markers(SECTION))}")
    made.add_argument("--pictures", required=True, metavar="FOLDER", help="where to write the pictures, as PNG")
    made.add_argument("--data", default="mnist-5k", metavar="NAME", help="default: %(default)s")
    made.add_argument("--experiments", nargs="+", default=list(EXPERIMENTS), choices=EXPERIMENTS, metavar="NAME")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0, 2 for an error, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser().parse_args(arguments)
    try:
        pages.split(options.page, SECTION)  # raises before minutes of work
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
            f"Data: {setting.data.name}. Backend: {backends.resolve().name}. Time: {total:.0f} s without the drawing. "
            f"Machine: {machine.processor()}, {os.cpu_count()} cores. Written by `{command}`."
        )
        pages.write(options.page, SECTION, "\n\n".join([report.paragraph(about), *parts]))
    except (FastnetError, OSError) as error:
        print(f"fastnet.bench.findings: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _part(name: str, found: Finding, seconds: float, options: argparse.Namespace) -> str:
    """The heading, picture and numbers of an experiment. Draws the picture."""
    stem, alternative = SHOWN[name]
    path = Path(options.pictures, f"{stem}.png")
    pages.save_picture(found.pictures[stem](), path)
    picture = f"![{alternative}]({pages.link(path, options.page)})"
    numbers = f"```text\n{found.text.rstrip()}\n```"
    return "\n\n".join([f"## {heading(name)}", f"`fastnet explore {name}`, {seconds:.1f} s.", picture, numbers])


def heading(name: str) -> str:
    """The experiment's question as a heading."""
    question = EXPERIMENTS[name]
    return question[0].upper() + question[1:]


if __name__ == "__main__":
    sys.exit(main())
