"""`fastnet search`: from a file of a space to the best network."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import error, flowers, prices, record

import fastnet
from fastnet import cli
from fastnet.cli import search_progress
from fastnet.cli.search_progress import SearchProgress
from fastnet.search.halving import Rung, rungs
from fastnet.search.records import Record, Trial

pytest.importorskip("joblib", reason="searches need joblib (extra: search)")

SPACE = """\
[space]
hidden = [[4], [8, 4]]
learning_rate = {loguniform = [0.01, 0.3]}
optimizer = ["sgd", "adam"]
"""


@pytest.fixture
def space(folder: Path) -> str:
    (folder / "space.toml").write_text(SPACE)
    return str(folder / "space.toml")


def small(space: str, data: str) -> list[str]:
    """Return a command that runs eight trainings."""
    return ["search", "--space", space, "--data", data, "--trials", "4", "--seeds", "2", "--budget", "3"]


def plain(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the settings of a record without their times."""
    return [{name: value for name, value in one.items() if name != "seconds"} for one in found["settings"]]


def test_the_best_network_is_saved_and_takes_raw_rows(
    folder: Path, space: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table, _ = flowers(folder)
    out, saved = folder / "out", folder / "best.npz"
    command = [*small(space, table), "--out", str(out), "--save", str(saved)]
    found = record(capsys, *command)
    assert (found["method"], found["metric"], found["trials"], found["trainings"]) == ("random", "accuracy", 4, 8)
    assert found["best"] == found["settings"][0]
    assert [one["rank"] for one in found["settings"]] == [1, 2, 3, 4]
    tested = record(capsys, "evaluate", "--model", saved, "--data", table)
    assert tested["accuracy"] == found["test"]["accuracy"] > 0.8
    one, other = map(fastnet.Network.load, (out / "best.npz", saved))
    assert one.parameters.tobytes() == other.parameters.tobytes()
    with (out / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, setting in zip(rows, found["settings"], strict=True):
        assert (row["number"], row["score"]) == (str(setting["number"]), repr(setting["score"]))
        assert float(row["learning_rate"]) == setting["setting"]["learning_rate"]
        assert row["hidden"] == "-".join(map(str, setting["setting"]["hidden"]))

    again = record(capsys, *command)  # which reads the journal
    assert again["settings"] == found["settings"]  # with the times of the first call


def test_the_table_is_the_same_for_any_number_of_jobs(
    space: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (record(capsys, *small(space, data), "--jobs", jobs, "--method", "halving") for jobs in (1, 2))
    assert plain(one) == plain(two)


def test_numbers_to_predict_are_standardized(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, _ = prices(folder)
    (folder / "numbers.toml").write_text("[space]\nlearning_rate = [0.01, 0.1]\nhidden = [[8]]\n")
    saved = folder / "best.npz"
    found = record(
        capsys,
        *("search", "--space", folder / "numbers.toml", "--data", table, "--label-column", "price"),
        *("--task", "regression", "--method", "grid", "--seeds", 2, "--budget", 60, "--save", saved),
    )
    assert found["test"]["r2"] > 0.9
    answers = fastnet.Network.load(saved).predict(np.array([[2.0, 50.0]]))
    assert 80 < float(answers[0, 0]) < 160  # 2 area + 10 rooms = 120


def test_several_networks_are_saved_as_one(
    folder: Path, space: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = folder / "three.npz"
    found = record(capsys, *small(space, data), "--ensemble", 3, "--save", saved)
    assert len(fastnet.Ensemble.load(saved)) == 3
    assert record(capsys, "evaluate", "--model", saved, "--data", data)["accuracy"] == found["test"]["accuracy"]


def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(
    folder: Path, space: str, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = record(capsys, *small(space, data), "--jobs", 1)
    command = [*small(space, data), "--jobs", "1", "--out", str(folder / "out")]
    count = SearchProgress.__call__

    def interrupted(progress: SearchProgress, record: Record) -> None:
        count(progress, record)
        if progress.done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(SearchProgress, "__call__", interrupted)
    assert cli.main(command) == 130
    err = capsys.readouterr().err
    assert "interrupted after 3 trainings; they are saved in" in err
    assert "give the same command again" in err
    assert cli.main(small(space, data)) == 130
    assert "nothing is saved, since --out is not given" in capsys.readouterr().err
    monkeypatch.undo()
    assert plain(record(capsys, *command)) == plain(whole)
    assert "holds another search: seed" in error(capsys, *command, "--seed", 1)


def test_a_page_of_the_search_is_written(
    folder: Path, space: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("matplotlib", "jinja2"):
        pytest.importorskip(package, reason="a page needs the extra plot")
    record(capsys, *small(space, data), "--html", folder / "page.html")
    page = (folder / "page.html").read_text("utf-8")
    assert re.search(r"<h1><span>4 settings</span> on <span>\S*bands\.npz</span></h1>", page)


WRONG: dict[str, tuple[list[str], str]] = {
    "no space": (["--space", "nowhere.toml"], "there is no file nowhere.toml"),
    "a grid of a distribution": (
        ["--method", "grid"],
        "loguniform(0.01, 0.3), which --method grid cannot list: give a",
    ),
    "a method": (["--method", "grind"], "grid"),
    "an ensemble": (["--ensemble", "3"], "--ensemble needs a file for the networks: give --save too"),
    "one network": (["--ensemble", "1", "--save", "x.npz"], "--ensemble must be at least 2, not 1"),
    "many networks": (
        ["--ensemble", "9", "--save", "x.npz"],
        "--ensemble 9 needs as many trainings, but the search has 8",
    ),
    "a page": (["--html", "x.txt"], "--html x.txt: a report is an HTML file"),
    "trials": (["--trials", "0"], "--trials must be at least 1, not 0"),
    "a metric": (["--metric", "acuracy"], "accuracy"),
    "an empty metric": (["--metric", ""], "unknown metric ''"),
    "a share": (["--validation-split", "1.5"], "--validation-split must be"),
    "the space": (["--save", "space.toml"], "would replace"),
    "jobs": (["--jobs", "0"], "--jobs must be at least 1, not 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_refused_before_the_search(
    case: str,
    folder: Path,
    space: str,
    data: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("fastnet.search.running.Run.whole", None)  # a search would raise a TypeError
    options, words = WRONG[case]
    found = error(capsys, *small("space.toml", data), *options)
    assert words in found


def test_a_setting_that_no_network_takes_is_refused_in_words(
    folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "space.toml").write_text('[space]\noptimizer = ["sgd", "adm"]\n')
    found = error(capsys, "search", "--space", folder / "space.toml", "--data", data, "--method", "grid")
    assert "setting 1" in found
    assert "'adm'" in found
    assert "did you mean 'adam'" in found


def test_the_table_is_printed_though_no_model_can_be_written(
    folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    space = folder / "space.toml"
    for rates, options, words in (
        ("[1e25, 1e30]", [], "so none is the best"),
        ("[0.1, 1e30]", ["--ensemble", 3, "--save", folder / "x.npz"], "take 2 or fewer"),
    ):
        space.write_text(f'[space]\nlearning_rate = {rates}\noptimizer = "sgd"\nactivation = "relu"\n')
        command = ["search", "--space", space, "--data", data, "--method", "grid", "--seeds", 2, "--budget", 1]
        assert cli.main([*map(str, [*command, *options])]) == 2
        out, err = capsys.readouterr()
        assert "the best 2 of 2 settings" in out
        assert words in err
    assert not (folder / "x.npz").exists()


# -- the live line ----------------------------------------------------------------------------------------------------


def done(number: int, replicate: int, rung: int = 0, value: float = 0.5) -> Record:
    return Record(Trial(number, replicate, {}, 0), 1, rung, value, 0.1, {})


def test_without_a_terminal_there_are_at_most_20_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with SearchProgress([Rung(50, 3)], 3, "accuracy", quiet=False) as progress:
        for k in range(150):
            progress(done(k // 3, k % 3, value=k / 150))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20
    assert re.fullmatch(r"150/150 trainings, [\d.e+]+/s, best accuracy 98\.67%", lines[-1])
    assert re.fullmatch(r"  8/150 trainings, \S+/s, .* left, best accuracy 2\.67%", lines[0])


def test_trainings_of_an_earlier_call_count_for_no_speed(capsys: pytest.CaptureFixture[str]) -> None:
    with SearchProgress([Rung(20, 3)], 1, "accuracy", quiet=False, already=19) as progress:
        for k in range(20):
            progress(done(k, 0))
            assert bool(capsys.readouterr().err) == (k == 19)


def test_the_best_setting_has_all_its_trainings_and_the_latest_rung(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search_progress, "MAX_LINES", 1000)
    with SearchProgress(rungs(9, 9), 2, "cost", quiet=False) as progress:
        for k in range(9):
            for replicate in range(2):
                progress(done(k, replicate, 0, 9 - k))
        for replicate in range(2):
            progress(done(3, replicate, 1, 7.5))
    lines = capsys.readouterr().err.splitlines()
    assert "best" not in lines[0]
    assert lines[17].endswith("best cost 1")
    assert lines[18].endswith("best cost 1")
    assert lines[19].endswith("best cost 7.5")


def test_a_narrow_terminal_leaves_parts_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tqdm", reason="a live line needs tqdm (extra: cli)")
    for columns in (20, 40, 80):
        monkeypatch.setattr(search_progress, "terminal_columns", lambda columns=columns: columns)
        monkeypatch.setenv("TERM", "xterm")
        with SearchProgress([Rung(2, 3)], 1, "accuracy", quiet=False) as progress:
            progress(done(0, 0))
        err = capsys.readouterr().err
        assert max(map(len, re.split(r"[\r\n]", err))) < columns
        assert "1/2 trainings" in err
        assert ("best accuracy 50.00%" in err) == (columns >= 40)
        assert "\x1b" not in err


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with SearchProgress([Rung(1, 3)], 1, "accuracy", quiet=True) as progress:
        progress(done(0, 0))
    assert capsys.readouterr() == ("", "")
