"""`fastnet runs` and `fastnet compare`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_cases import FIT, error, prices, record

from fastnet import cli
from fastnet.cli.runs import _LEFT_OUT, _text
from fastnet.report import Run, RunSummary
from fastnet.training import checkpoint_folders


@pytest.fixture
def runs(folder: Path, data: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make three runs. The third one has other data and another task."""
    monkeypatch.setenv("COLUMNS", "80")
    for name, more in (("slow", ["--learning-rate", "0.01"]), ("adam/fast", ["--optimizer", "adam", "--epochs", "20"])):
        train(folder / "runs" / name, "--data", data, *FIT, *more)
    table, _ = prices(folder)
    train(folder / "runs" / "prices", "--data", table, "--label-column", "price", "--task", "regression")
    return folder / "runs"


def train(out: Path, *arguments: str) -> None:
    assert cli.main(["train", *arguments, "--out", str(out), "--backend", "numpy", "--quiet"]) == 0


def test_runs_lists_each_run_in_a_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "runs", runs)
    assert found["broken"] == {}
    by_name = {run["name"]: run for run in found["runs"]}
    assert sorted(by_name) == ["adam/fast", "prices", "slow"]
    kept = Run.load(runs / "slow").record
    slow = by_name["slow"]
    assert (slow["date"], slow["state"], slow["folder"]) == (kept["date"], "finished", str(runs / "slow"))
    assert slow["settings"]["learning_rate"] == 0.01
    assert "history" not in slow
    assert slow["figures"]["test_accuracy"] == kept["test"]["accuracy"]

    assert cli.main(["runs", str(runs)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "date", "data", "hidden", "optimizer", "epochs", "score", "time", "state"]
    by_name = {line.split()[0]: line.split() for line in lines}
    assert by_name["slow"][1:6] == [kept["date"][5:10], "ban…pz", "8", "sgd", "15"]
    assert by_name["slow"][-1] == "finished"
    assert f"{kept['test']['accuracy']:.2%}" in by_name["slow"]
    assert "R2" in by_name["prices"]

    assert cli.main(["runs", str(runs / "slow")]) == 0  # a run itself
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["run", "slow"]


def test_damaged_runs_are_named_and_others_listed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "slow" / "run.json").write_text("{")
    (runs / "prices" / "network.npz").unlink()
    (runs / "no run").mkdir()
    found = record(capsys, "runs", runs)
    assert [run["name"] for run in found["runs"]] == ["adam/fast"]
    assert list(found["broken"]) == [str(runs / "prices"), str(runs / "slow")]
    assert cli.main(["runs", str(runs)]) == 0
    lines = " ".join(capsys.readouterr().out.split())
    assert f"cannot read {runs / 'slow'}: " in lines
    assert "there is no file" in lines


def test_a_folder_that_cannot_be_opened_is_named(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    (runs / "slow" / "checkpoints").mkdir()
    monkeypatch.setattr(checkpoint_folders, "numbered", refuse)
    found = record(capsys, "runs", runs)
    assert [run["name"] for run in found["runs"]] == ["adam/fast", "prices"]
    assert "Permission denied" in found["broken"][str(runs / "slow")]


def test_a_folder_without_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty").mkdir()
    assert record(capsys, "runs", folder / "empty") == {"runs": [], "broken": {}}
    assert cli.main(["runs", str(folder / "empty")]) == 0
    assert " ".join(capsys.readouterr().out.split()).endswith("NAME writes one")
    assert "there is no folder" in error(capsys, "runs", folder / "nowhere")


@pytest.mark.parametrize("columns", [44, 60, 80, 200])
def test_a_narrow_terminal_gets_fewer_columns(
    columns: int, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "slow").rename(runs / "a run with a long name, of which only a part is shown")
    monkeypatch.setenv("COLUMNS", str(columns))
    assert cli.main(["runs", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    n = [name for name in _LEFT_OUT if name not in lines[0].split()]
    assert n == list(_LEFT_OUT[: len(n)])
    assert lines[0].split()[0] == "run"
    assert lines[0].split()[-1] == "state"
    assert max(map(len, lines)) <= columns
    assert (columns == 200) == any("of which only a part is shown" in line for line in lines)


def test_cells_are_shortened_no_more_than_necessary() -> None:
    found = [RunSummary("a", "a", "saved", settings={"data": "d" * 30})]
    whole = _text(found, 200)
    assert "d" * 30 in whole
    for columns in range(len(whole.split("\n")[1]) - 10, 200):
        assert max(map(len, _text(found, columns).split("\n"))) == min(columns, max(map(len, whole.split("\n"))))


def test_compare_shows_what_differs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "compare", runs / "slow", runs / "adam" / "fast")
    assert [run["name"] for run in found["runs"]] == ["slow", "fast"]
    assert found["different"]["optimizer"] == ["sgd", "adam"]
    assert found["different"]["learning_rate"] == [0.01, 0.5]
    assert found["equal"]["layers"] == "64-8-3"
    assert found["figures"]["epochs"] == [15, 20]
    assert found["remarks"] == []

    assert cli.main(["compare", str(runs / "slow"), str(runs / "adam" / "fast")]) == 0
    out = capsys.readouterr().out
    n, equal = len(found["different"]), len(found["equal"])
    assert out.startswith(f"{n} settings differ, {equal} are equal\n")
    shown = {cell for block in out.split("\n\n") for cell in block.split("\n")[0].split("  ")}
    shown |= {cell.strip() for line in out.splitlines() for cell in line.split("  ")}
    assert {name.replace("_", " ") for name in found["different"]} <= shown
    assert not {"layers", "batch size", "data"} & shown
    assert max(map(len, out.splitlines())) <= 80


def test_compare_of_one_run_and_of_different_tasks(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "compare", runs / "slow")
    assert (found["different"], found["remarks"]) == ({}, [])
    assert cli.main(["compare", str(runs / "slow")]) == 0
    assert capsys.readouterr().out.startswith(f"one run of {len(found['equal'])} known settings\n")

    found = record(capsys, "compare", runs / "slow", runs / "prices")
    assert [remark.split(" (")[0] for remark in found["remarks"][:2]] == [
        "The runs have different tasks",
        "The runs have different data",
    ]
    assert found["figures"]["test_accuracy"][1] is None
    assert found["figures"]["test_r2"][0] is None


def test_compare_refuses_what_it_cannot_read(runs: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no folder" in error(capsys, "compare", runs / "slow", runs / "nowhere")
    assert "is given twice" in error(capsys, "compare", runs / "slow", runs / "slow")
    assert "a report is an HTML file" in error(capsys, "compare", runs / "slow", "--html", runs / "x.pdf")
    assert "cannot be written" in error(capsys, "compare", runs / "slow", "--html", runs / "no" / "x.html")
    (runs / "slow" / "history.json").write_text(json.dumps({"cost": [1]}))
    assert "is not a history" in error(capsys, "compare", runs / "slow", "--html", runs / "x.html")
    assert not (runs / "x.html").exists()


def test_compare_writes_a_page(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
    pytest.importorskip("jinja2", reason="needs Jinja2 (extra: plot)")
    html = runs / "comparison.html"
    assert cli.main(["compare", str(runs / "slow"), str(runs / "prices"), "--html", str(html)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"html        {html}"
    assert html.read_text("utf-8").startswith("<!DOCTYPE html>")
