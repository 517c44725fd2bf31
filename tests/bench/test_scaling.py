"""The suite `scaling` and the phases of training: speeds over counts of threads, and the table of phases."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from bench_cases import error_of, small, some_images, untimed  # noqa: F401  # fixtures are found by name

from fastnet import backends, cli
from fastnet.backends import machine
from fastnet.bench import phases, scaling
from fastnet.bench.contenders import Timing
from fastnet.bench.suites import Task
from fastnet.bench.workloads import Setup
from fastnet.errors import FastnetError

COMPILED = [info.name for info in backends.available() if info.available and info.name != "numpy"]


@pytest.mark.usefixtures("small")
def test_the_option_measures_this_suite_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scaling, "counts", lambda: [1, 2])
    monkeypatch.setattr(scaling, "CASES", (scaling.CASES[1], scaling.CASES[4]))
    assert cli.main(["bench", "--workload", "W1", "--quick", "--scaling", "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert "results" not in figures
    assert "growth" not in figures
    found = {(record["kind"], record["backend"], record["count"]) for record in figures["scaling"]}
    measured = {(kind, name, n) for kind in (scaling.THREADS, scaling.BESIDE) for name in COMPILED for n in (1, 2)}
    assert found == measured | {(scaling.COPY, "numpy", n) for n in (1, 2)}
    assert all(record["median_seconds"] > 0 for record in figures["scaling"])


def test_networks_side_by_side_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks that take 1.25 times as long as one are 1.6 times as fast; for one network, 0.8 times."""
    timings = {1: Timing([2.0, 1.0, 1.0]), 2: Timing([2.5, 1.25, 1.25])}
    monkeypatch.setattr(scaling, "measure", lambda task, case, setup: timings)
    monkeypatch.setattr(scaling, "copies", lambda n, size: lambda: 0.5 / n)
    monkeypatch.setattr(scaling, "max_threads", lambda backend: 2)
    monkeypatch.setattr(scaling, "counts", lambda: [1, 2])
    monkeypatch.setattr(machine, "stream_bytes", lambda: 1 << 20)
    images = some_images(20)
    task: Any = Task([], [Setup("cython")], [], None, images, "", images, 3, True, None, lambda text: None)
    records = scaling.run(task).records
    assert {r["speed"] for r in records if r["kind"] == scaling.THREADS and r["count"] == 2} == {0.8}
    assert {r["speed"] for r in records if r["kind"] == scaling.BESIDE and r["count"] == 2} == {1.6}
    read = [r["bytes_per_second"] for r in records if r["kind"] == scaling.BESIDE and r["network"] == "784-16-16-10"]
    assert read == [images.x.nbytes, 2 * images.x.nbytes / 1.25]
    assert [r["bytes_per_second"] for r in records if r["kind"] == scaling.COPY] == [(1 << 21) / 0.5, (1 << 21) / 0.25]


@pytest.mark.usefixtures("small", "untimed")
@pytest.mark.parametrize("option", ["--suite=users", "--all", "--peers=numpy", "--peer=program", "--threads=2"])
def test_options_that_scaling_would_ignore_are_errors(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = error_of(capsys, ["--scaling", option])
    assert f"leave out {option.partition('=')[0]}" in said


def test_turns_run_at_the_same_time() -> None:
    """Each of three functions waits until the other two have begun."""
    barrier = threading.Barrier(3, timeout=20)
    with ThreadPoolExecutor(3) as pool:
        assert scaling.together(pool, [barrier.wait] * 3)() > 0


def test_copies_cover_all_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    copy = np.copyto
    monkeypatch.setattr(np, "copyto", lambda target, source: (copied.append(source.nbytes), copy(target, source)))
    assert scaling.copies(4, 1 << 16)() > 0
    assert copied == [1 << 14] * 8  # four threads, each once to start and once in the turn


# -- phases -------------------------------------------------------------------------------------------------------


def test_the_table_has_the_share_of_each_phase() -> None:
    found = [[0.0] * len(phases.PHASES), [0.0] * len(phases.PHASES)]
    found[0][2], found[0][3] = 1000.0, 3000.0
    found[1][3] = 2000.0
    assert phases.rows_of(found) == [
        ["gather", "1.0 us   25%", "0.0 us    0%"],
        ["forward", "3.0 us   75%", "2.0 us  100%"],
        ["a batch", "4.0 us  100%", "2.0 us  100%"],
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--layers 784,x", "expected a whole number of at least 1, not 'x'"),
        ("--layers 784", "expected two or more sizes"),
        ("--batch 0", "expected a whole number of at least 1, not '0'"),
    ],
)
def test_impossible_sizes_are_errors(options: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        phases.main(options.split())
    assert problem in capsys.readouterr().err


@pytest.mark.skipif("cython" not in COMPILED, reason="the Cython kernels count the phases")
def test_a_normal_build_says_how_to_count_phases() -> None:
    found = phases.measure((20, 8, 3), 16, 2, 64)
    assert [len(row) for row in found] == [len(phases.PHASES)] * 2
    if not any(map(any, found)):
        with pytest.raises(FastnetError, match="FASTNET_PHASES=1"):
            phases.rows_of(found)
