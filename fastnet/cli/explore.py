"""The command `fastnet explore`: runs experiments, prints what they found, and keeps pictures and numbers.

Not here: the experiments (fastnet.explore), the options (options.py).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from typing import Any

from fastnet import backends, checks
from fastnet.cli.common import load, report
from fastnet.data.files import atomic_write
from fastnet.errors import DataError, DivergedError, FastnetError, require_extra
from fastnet.explore import EXPERIMENTS, NEED_SCIPY, Setting, plain, run
from fastnet.text import facts, shown
from fastnet.version import __version__


def explore(args: argparse.Namespace) -> int:
    """The command; its exit status."""
    names = list(dict.fromkeys(EXPERIMENTS if args.all else args.names))
    for name in names:
        checks.name_of("experiment", name, EXPERIMENTS)
    if not names:
        text = f"experiments:\n{facts(EXPERIMENTS)}\n\nfastnet explore NAME ..., or --all"
        report(args, text, {"experiments": EXPERIMENTS})
        return 0
    checks.whole_number("--seed", args.seed, 0)
    checks.whole_number("--seeds", args.seeds, 2)
    choice = backends.resolve(args.backend)
    for name in sorted(NEED_SCIPY.intersection(names)):  # now, not after the experiments before it
        require_extra("scipy", f"the experiment {name} needs SciPy", "insight")
    if args.out is not None:
        _check_folder(args.out)
    setting = Setting(load(args), args.backend, args.seed, args.seeds)
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
        except DivergedError as error:  # the others need not fail with it
            diverged.append(error)
    if diverged and not record["experiments"]:
        raise diverged[0]
    total = time.perf_counter() - began
    record["seconds"] = total
    done = len(record["experiments"])
    report(args, f"{done} experiments in {total:.1f} s on {choice.name}" if len(names) > 1 else "", record)
    if diverged:
        raise FastnetError("; ".join(map(str, diverged)))
    return 0


def _one(name: str, setting: Setting, args: argparse.Namespace) -> dict[str, Any]:
    """Runs an experiment, tells what it found, and writes it where that is wanted."""
    began = time.perf_counter()
    if not args.quiet:
        print(f"{name} ...", file=sys.stderr, flush=True)
    found = run(name, setting)
    seconds = time.perf_counter() - began
    record = {"question": EXPERIMENTS[name], "seconds": seconds, "numbers": plain(found.numbers)}
    written = []
    if args.out is not None:
        from fastnet.plots.style import save

        for stem, draw in found.pictures.items():
            written.append(os.path.join(args.out, f"{stem}.{args.format}"))
            save(draw(), written[-1])
        written.append(os.path.join(args.out, f"{name}.json"))
        with atomic_write(written[-1]) as file:
            file.write(json.dumps(record, indent=1, allow_nan=False).encode())
    record["files"] = written
    if not args.json:
        title = f"{name}: {EXPERIMENTS[name]} ({seconds:.1f} s)"
        kept = f"\nwritten: {', '.join(map(shown, written))}" if written else ""
        report(args, f"{title}\n{'-' * len(title)}\n{found.text.rstrip()}{kept}\n", {})
    return record


def _check_folder(path: str) -> None:
    """Finds out before any training whether results can be kept."""
    from fastnet.plots.style import check

    check()
    try:
        os.makedirs(path, exist_ok=True)
        tempfile.TemporaryFile(dir=path, prefix=".fastnet-", suffix=".tmp").close()
    except OSError as error:
        raise DataError(f"--out {shown(path)} cannot be written ({error.strerror}): give another folder") from error
