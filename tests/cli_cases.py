"""Helpers for the command-line tests: a small data set, and functions that run a command."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from fastnet import cli

CLASSES, SIDE = 3, 8
FIT = ("--layers", "64,8,3", "--epochs", "15", "--learning-rate", "0.5")


def pictures(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy 8x8 pictures of bytes and their classes. The position of a bright band gives the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % CLASSES
    x = rng.integers(0, 90, (n, SIDE, SIDE)).astype(np.uint8)
    for picture, label in zip(x, y, strict=True):
        picture[2 * label : 2 * label + 2] += 120
    return x, y.astype(np.int64)


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `python -m fastnet` in a new process."""
    command = [sys.executable, "-m", "fastnet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def record(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Return the record that a command prints with --json. The command must print nothing else on stdout."""
    assert cli.main([*map(str, arguments), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def error(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must fail and print no result. Return its only error line."""
    assert cli.main(list(map(str, arguments))) == 2
    out, err = capsys.readouterr()
    assert "confusion" not in out
    assert err.startswith("fastnet: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err
