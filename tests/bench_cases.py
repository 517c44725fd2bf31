"""Helpers for the benchmark's tests: small data, and a command that runs in this process."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet import cli
from fastnet.backends import machine
from fastnet.bench import run
from fastnet.bench.contenders import Session
from fastnet.bench.workloads import Images

QUICK = ["--workload", "W1", "--backend", "numpy", "--rounds", "2"]


def some_images(rows: int) -> Images:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (rows, 784), np.uint8), rng.integers(0, 10, rows)
    return Images(x, y, x[:20], y[:20], "noise")


def error_of(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Run a command that must fail. Return its only error line."""
    assert cli.main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("fastnet: error: ")]
    assert len(errors) == 1
    assert captured.err.endswith(errors[0] + "\n")
    assert captured.out == ""
    return errors[0]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `fastnet bench` use a small data set and run in this process."""
    monkeypatch.setattr(run, "load_images", lambda data_dir: some_images(300))
    monkeypatch.setattr(machine, "stream_bytes", lambda: 1 << 20)
    for name in run.ONE_THREAD:
        monkeypatch.setenv(name, "1")


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if an epoch is timed."""
    monkeypatch.setattr(Session, "epoch", lambda self: pytest.fail("an epoch was timed"))
