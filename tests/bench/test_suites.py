"""The suites of the benchmark: verified measurements, complete tables and JSON, and the picture."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench_cases import QUICK, error_of, small, some_images, untimed  # noqa: F401  # fixtures are found by name

from fastnet import backends, cli
from fastnet.backends import selection
from fastnet.bench import accuracy, cases, corners, growth, inference, peers, picture, report, run
from fastnet.bench.contenders import Timing
from fastnet.bench.pages import markers
from fastnet.bench.report import Section
from fastnet.bench.suites import Task
from fastnet.bench.training import Result
from fastnet.bench.workloads import WORKLOADS, Setup, VerificationError
from fastnet.errors import FastnetError

NAMES = [info.name for info in backends.available() if info.available]


def a_task(**options: Any) -> Task:
    images = some_images(120)
    plain: dict[str, Any] = {
        "workloads": [WORKLOADS["W1"]],
        "setups": [Setup(name) for name in NAMES],
        "peers": [],
        "command": None,
        "images": images,
        "folder": "",
        "dense": images,
        "rounds": 2,
        "quick": True,
        "peak": None,
        "say": lambda text: None,
    }
    return Task(**(plain | options))


def break_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `train` of every backend write one wrong parameter in float32."""
    get = backends.get

    def broken(backend: str) -> Any:
        right: Any = get(backend)

        def wrong(call: Any) -> Any:
            cost = right.train(call)
            if call.params.dtype == np.float32:  # the reference computes in float64
                call.params[0] += 1
            return cost

        return SimpleNamespace(**{**vars(right), "MAX_THREADS": right.MAX_THREADS, "train": wrong})

    monkeypatch.setattr(selection, "get", broken)  # networks and trainers use selection.get
    monkeypatch.setattr(backends, "get", broken)  # the suites use backends.get


# -- the command --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_all_suites_are_in_the_json_and_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cases, "CASES", [case for case in cases.CASES if case.title == "small table, batch 16"])
    monkeypatch.setattr(peers, "missing", lambda name: "" if name == "numpy-tuned" else "not here")
    path = tmp_path / "all.json"
    assert cli.main(["bench", "--workload", "W1", "--quick", "--all", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    text = capsys.readouterr().out
    assert figures.keys() >= {"command", "machine", "rounds", "results", *run.OTHER_SUITES}
    assert [set(record["seconds"]) for record in figures["users"]] == [{*NAMES, "numpy-tuned"} - {"numpy"}]
    for name in ("results", *(name for name in run.OTHER_SUITES if name != "users")):
        assert {record["backend"] for record in figures[name]} >= set(NAMES) - {"numpy"}, name
    for title in ("Training", "Inference", "How the cost grows", "Corners", "Memory of", "Time to 95%"):
        assert f"\n{title}" in text
    for record in figures["inference"]:
        assert record["one_image_seconds"] > 0
        assert record["images_seconds"] > 0
    assert {record["corner"] for record in figures["corners"]} == {corner.title for corner in corners.CORNERS}
    for record in figures["memory"]:
        assert record["peak_bytes"] > 10 << 20 or not Path("/proc/self/status").exists()
    assert {record["sweep"] for record in figures["growth"]} >= {"examples", "width", "batch"}


@pytest.mark.usefixtures("small")
def test_every_contender_trains_on_sparse_images(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("scipy", reason="needs the extra bench")
    assert cli.main(["bench", *QUICK, "--input", "sparse", "--suite", "train,inference", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["machine"]["data"].endswith("as sparse")


@pytest.mark.usefixtures("small", "untimed")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--picture", "speed.txt"], "ends in .png, .svg, .pdf"),
        (["--picture", "speed.png", "--suite", "memory"], "add train to --suite"),
    ],
)
def test_impossible_options_are_errors_before_any_work(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
    assert message in error_of(capsys, [*QUICK, *options])


@pytest.mark.parametrize(
    ("option", "message"),
    [("--suite=train,speed", "there is no suite 'speed'"), ("--rounds=0", "a whole number of at least 1, not '0'")],
)
def test_impossible_values_of_options_are_errors(option: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in error_of(capsys, [option])


# -- wrong results are not timed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [growth.run, corners.run])
def test_each_suite_finds_a_wrong_backend(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    break_training(monkeypatch)
    with pytest.raises(VerificationError, match="change of the parameters"):
        suite(a_task())


def test_wrong_inference_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setattr(inference, "_predictor", lambda *_: lambda x: np.zeros(len(x), np.int64) - 1)
        with pytest.raises(VerificationError, match=f"{name}, float32: 20 of 20 labels"):
            inference.fastnet_turns(a_task(), WORKLOADS["W1"], Setup(name), 20, 5)


@pytest.mark.skipif(NAMES == ["numpy"], reason="no compiled backend is installed")
def test_a_wrong_kernel_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = inference._kernel

    def wrong(*arguments: Any) -> Any:
        kernel, out = right(*arguments)
        return (lambda x, out: (kernel(x, out), out.__imul__(1.01))), out

    monkeypatch.setattr(inference, "_kernel", wrong)
    with pytest.raises(VerificationError, match="output of single images"):
        inference.fastnet_turns(a_task(), WORKLOADS["W1"], Setup(NAMES[0]), 20, 5)


# -- the results --------------------------------------------------------------------------------------------------


def test_growth_is_relative_to_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = WORKLOADS["W1"]
    lines = [growth.Point("examples", rows, workload, rows) for rows in (100, 200, 400)]
    monkeypatch.setattr(growth, "points", lambda task: lines)
    script = {100: [3.0, 1.0, 2.0], 200: [5.0, 5.0, 5.0], 400: [8.0, 9.0, 7.0]}
    monkeypatch.setattr(growth, "measure", lambda task, workload, setups, rows: {"numpy": script[rows]})
    records = growth.run(a_task()).records
    assert [record["time_growth"] for record in records] == [1, 2.5, 4]
    assert [record["work_growth"] for record in records] == [1, 2, 4]
    assert records[0]["ns_per_multiply_add"] == pytest.approx(2e9 / (100 * workload.train_flops / 2))


def test_corners_are_compared_with_the_best_ordinary_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(task: Task, corner: corners.Corner, names: list[str]) -> dict[str, list[float]]:
        return {name: [4.0 if corner.ordinary else 2.0] * 3 for name in names}

    monkeypatch.setattr(corners, "measure", measured)
    for record in corners.run(a_task()).records:
        ordinary = not next(corner for corner in corners.CORNERS if corner.title == record["corner"]).ordinary
        assert record["times_the_best"] == (1 if ordinary else 2)
        assert record["times_its_ordinary"] == (1 if ordinary else 2)


def test_every_corner_names_an_ordinary_shape() -> None:
    titles = {corner.title for corner in corners.CORNERS if not corner.ordinary}
    assert {corner.ordinary for corner in corners.CORNERS if corner.ordinary} <= titles


def test_the_time_of_the_kernel_is_the_total_less_the_call() -> None:
    timings = {
        ("x", inference.BYTE): Timing([5e-6, 6e-6]),
        ("x", inference.FLOAT): Timing([7e-6, 7e-6]),
        ("x", inference.KERNEL): Timing([3e-6, 4e-6]),
        ("x", inference.OVERHEAD): Timing([1e-6, 1e-6]),
        ("x", inference.BYTES): Timing([1e-3, 1e-3]),
        ("x", inference.FLOATS): Timing([2e-3, 2e-3]),
    }
    (record,) = inference._records(WORKLOADS["W1"], 10_000, timings)
    assert record["one_image_in_the_kernel_seconds"] == pytest.approx(2.5e-6)
    assert math.isnan(record["speed_over_tuned_numpy"])


@pytest.mark.parametrize(("reached", "most"), [(True, 9), (False, 2)])
def test_the_time_to_an_accuracy_includes_all_epochs_up_to_it(reached: bool, most: int) -> None:
    scores = iter([0.5, 0.9, 0.96, 0.99])
    runner: Any = SimpleNamespace(epoch=lambda: 2.0, accuracy=lambda: next(scores))
    record = accuracy.train("x", runner, most)
    assert record["reached"] == reached
    assert record["epochs"] == (3 if reached else 2)
    assert record["seconds_to_target"] == 6 if reached else math.isnan(record["seconds_to_target"])


# -- the report ---------------------------------------------------------------------------------------------------


A_SECTION = Section("part", "A title", ("name", "seconds"), [("a", "1"), ("bcd", "12.5")], "A note.", [], 1, ["x: y"])


def test_text_tables_align_words_left_and_numbers_right() -> None:
    assert report.text([A_SECTION], {"machine": "m"}).splitlines() == [
        *("machine: m", "", "A title", ""),
        *("name  seconds", "a           1", "bcd      12.5"),
        *("", "A note."),
    ]


def test_markdown_has_the_table_its_notes_and_the_picture() -> None:
    text = report.markdown([A_SECTION], {"machine": "m"}, "bench/p.svg")
    assert text.startswith("![Speed of each backend and library, and a roofline](bench/p.svg)\n\n")
    assert "## A title\n\n- x: y\n\n| name | seconds |\n| --- | ---: |\n| a | 1 |\n| bcd | 12.5 |\n\nA note." in text
    assert text.endswith("- machine: m")


def test_json_has_no_nan() -> None:
    section = Section("part", "", (), [], "", [{"a": math.nan, "b": [1.0, math.inf], "c": {"d": 2}}])
    assert json.loads(report.as_json([section], rounds=3)) == {
        "rounds": 3,
        "part": [{"a": None, "b": [1.0, None], "c": {"d": 2}}],
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.03491, "0.0349"), (12345.0, "1.23e+04"), (1234.5, "1234"), (0.0, "0"), (4e-6, "4.00e-06"), (math.nan, "-")],
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    assert report.number(value) == shown


# -- the picture --------------------------------------------------------------------------------------------------


def some_results(peak: float) -> list[Result]:
    results = []
    for workload in WORKLOADS.values():
        timings = {name: Timing([s, s * 1.1], [peak, peak]) for name, s in (("numpy", 0.4), ("cython", 0.1))}
        for name, timing in timings.items():
            results.append(Result(workload, name, 60_000, 784, timing, timings, 0.9))
    return results


@pytest.mark.parametrize(("suffix", "peak"), [("png", 1e11), ("svg", 1e11), ("svg", math.nan)])
def test_the_picture_is_drawn(suffix: str, peak: float, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
    path = tmp_path / f"speed.{suffix}"
    grown = [
        {"sweep": s, "value": v, "backend": b, "ns_per_multiply_add": v / 10, "median_seconds": v / 100}
        for s in ("examples", "batch")
        for v in (1, 10, 100)
        for b in ("numpy", "cython")
    ]
    picture.write(str(path), some_results(peak), grown, 1e10, "A test & its <machine>")
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG" if suffix == "png" else b"<?xml")
    if suffix == "svg":
        text = content.decode()
        for words in ("cython", "4.00", "W6: 784-512-512-10", "Roofline", "10.0 GB/s", "batch size"):
            assert words in text
        assert ("100 GFLOP/s" in text) == (not math.isnan(peak))


def test_without_matplotlib_a_picture_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(FastnetError, match=r'need Matplotlib .*pip install "fastnet-mlp\[plot\]"'):
        picture.check("speed.png")


@pytest.mark.usefixtures("small")
def test_the_page_links_the_picture_relative_to_itself(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
    page, drawn = tmp_path / "docs" / "benchmarks.md", tmp_path / "docs" / "pictures" / "speed.svg"
    drawn.parent.mkdir(parents=True)
    page.write_text("\n".join(markers(run.SECTION)))
    assert cli.main(["bench", *QUICK, "--write", str(page), "--picture", str(drawn), "--quiet"]) == 0
    assert "](pictures/speed.svg)" in page.read_text()
    assert drawn.stat().st_size > 1000
