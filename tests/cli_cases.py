"""Helpers for the command-line tests: a small data set, and functions that run a command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnet
from fastnet import cli
from fastnet.data import Column, Schema

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


def flowers(folder: Path, n: int = 40) -> tuple[str, str]:
    """Write a table of flowers and a network that knows them. Return the paths of the table and of the network.

    Flowers longer than 5 are "large", the others are "small". The network is right about all of them.
    """
    rng = np.random.default_rng(0)
    lengths, widths = 5 + np.tile([1, -1], n)[:n] * rng.uniform(0.5, 4, n).round(1), rng.uniform(0, 3, n).round(2)
    lines = [f"{a:.2f},{b},{'large' if a > 5 else 'small'}" for a, b in zip(lengths, widths, strict=True)]
    (folder / "flowers.csv").write_text("\n".join(["length,width,size", *lines, ""]))
    network = fastnet.Network([2, 2], seed=0)
    network.parameters = [1, 0, -1, 0, -5, 5]
    network.schema = Schema((Column("length"), Column("width")), "size", ("large", "small"))
    network.save(folder / "flowers.npz")
    return str(folder / "flowers.csv"), str(folder / "flowers.npz")


def prices(folder: Path, n: int = 40) -> tuple[str, str]:
    """Write a table with numbers to predict, and a network for them. Return the paths of the table and of the network.

    The price is 2 area + 10 rooms. The network answers 1 too much.
    """
    areas, rooms = 20 + 1.5 * np.arange(n), 1 + np.arange(n) % 4
    lines = [f"{2 * a + 10 * r},{r},{a}" for a, r in zip(areas, rooms, strict=True)]
    (folder / "prices.csv").write_text("\n".join(["price,rooms,area", *lines, ""]))
    network = fastnet.Network([2, 1], task="regression", seed=0)
    network.parameters = [10, 2, 1]
    network.schema = Schema((Column("rooms"), Column("area")), "price")
    network.save(folder / "prices.npz")
    return str(folder / "prices.csv"), str(folder / "prices.npz")
