"""The command `fastnet explore`: what it prints, writes and refuses. tests/explore tests the experiments."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from cli_cases import error, flowers, prices, record

from fastnet import cli, explore
from fastnet.errors import DivergedError
from fastnet.explore import EXPERIMENTS, NEED_SCIPY, Finding, Setting, experiments, plain


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[Setting]:
    """Replace the experiments with two quick ones. Return the list of the settings that they receive."""
    seen: list[Setting] = []

    def draw() -> Any:
        from fastnet.plots import style

        figure = style.figure(2, 2)
        figure.add_subplot().plot([0, 1])
        return figure

    def run_it(setting: Setting) -> Finding:
        seen.append(setting)
        accuracy = setting.trained.evaluate(setting.data.x_test, setting.data.y_test).accuracy
        return Finding("it is so\n", {"accuracy": accuracy, "n": np.arange(2)}, {"one-picture": draw})

    for name in ("first", "second-one"):
        module = ModuleType(f"fastnet.explore.{name.replace('-', '_')}")
        module.explore = run_it
        monkeypatch.setitem(sys.modules, module.__name__, module)
    table = {"first": "whether", "second-one": "why"}
    monkeypatch.setattr(experiments, "EXPERIMENTS", table)
    monkeypatch.setattr(explore, "EXPERIMENTS", table)
    return seen


def test_every_experiment_is_a_module_with_one_function() -> None:
    for name in EXPERIMENTS:
        module = import_module(f"fastnet.explore.{name.replace('-', '_')}")
        assert callable(module.explore)
        assert module.__doc__


def test_without_names_the_experiments_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explore"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name} " in out and question in out for name, question in EXPERIMENTS.items())
    assert record(capsys, "explore")["experiments"] == EXPERIMENTS


def test_findings_are_printed_and_written(
    fake: list[Setting], folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
    out = folder / "findings" / "today"
    options = ["--data", data, "--backend", "numpy", "--seed", 4, "--seeds", 3, "--out", out]
    assert cli.main(list(map(str, ["explore", "--all", *options]))) == 0
    text, progress = capsys.readouterr()
    assert text.count("it is so") == 2
    assert "first: whether (" in text
    assert "2 experiments in" in text
    assert progress.splitlines() == ["first ...", "second-one ..."]
    assert sorted(path.name for path in out.iterdir()) == ["first.json", "one-picture.png", "second-one.json"]
    kept = json.loads((out / "first.json").read_text())
    assert kept["numbers"]["n"] == [0, 1]
    assert 0 < kept["numbers"]["accuracy"] <= 1
    assert kept["seconds"] > 0
    assert fake[0] is fake[1]
    assert fake[0].trained is fake[1].trained  # all experiments share one training
    assert (fake[0].backend, fake[0].seed, fake[0].n_seeds) == ("numpy", 4, 3)
    assert set(fake[0].trained.history["backend"]) == {"numpy"}


def test_json_of_one_finding(fake: list[Setting], folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "explore", "second-one", "--data", data)
    assert list(found["experiments"]) == ["second-one"]
    assert found["experiments"]["second-one"]["numbers"]["n"] == [0, 1]
    assert found["experiments"]["second-one"]["files"] == []
    assert found["data"] == data
    assert len(fake) == 1


def test_quiet_writes_files_and_prints_nothing(
    fake: list[Setting], folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
    arguments = ["explore", "first", "--data", data, "--out", str(folder / "out"), "--format", "svg", "--quiet"]
    assert cli.main(arguments) == 0
    assert capsys.readouterr() == ("", "")
    assert (folder / "out" / "one-picture.svg").read_bytes().startswith(b"<?xml")


def test_an_experiment_that_diverges_does_not_stop_the_others(
    fake: list[Setting], folder: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(setting: Setting) -> Finding:
        raise DivergedError("the cost is no longer finite", epoch=1, step=1, learning_rate=1.0)

    monkeypatch.setattr(sys.modules["fastnet.explore.first"], "explore", fail)
    assert cli.main(["explore", "first", "second-one", "--data", data]) == 2
    out, err = capsys.readouterr()
    assert "it is so" in out
    assert err.endswith("scale them first\n")
    assert cli.main(["explore", "first", "--data", data, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "first: the cost is no longer finite" in err


def test_an_unknown_experiment_is_an_error_before_anything_runs(
    fake: list[Setting], data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "first, second-one" in error(capsys, "explore", "frist", "--data", data)
    assert "did you mean 'first'" in error(capsys, "explore", "second-one", "frist", "--data", data)
    assert not fake


def test_names_beside_all_are_refused(fake: list[Setting], data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "leave out either --all or the names first" in error(capsys, "explore", "first", "--all", "--data", data)
    assert not fake


@pytest.mark.parametrize("wrong", [["--seeds", "1"], ["--seed", "-1"], ["--backend", "nampy"], ["--data", "nowhere"]])
def test_wrong_options_are_errors_before_anything_runs(
    fake: list[Setting], data: str, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert wrong[0].strip("-") in error(capsys, "explore", "first", "--data", data, *wrong) or wrong[1] == "nowhere"
    assert not fake


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_runs(
    fake: list[Setting], folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
    (folder / "taken").write_text("mine")
    assert "cannot make the folder" in error(capsys, "explore", "first", "--data", data, "--out", folder / "taken")
    assert (folder / "taken").read_text() == "mine"
    assert not fake


def test_without_matplotlib_numbers_are_printed_and_pictures_are_an_error(
    fake: list[Setting],
    folder: Path,
    data: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = error(capsys, "explore", "first", "--data", data, "--out", folder / "out")
    assert 'pip install "fastnet-mlp[plot]"' in message
    assert not fake
    assert cli.main(["explore", "first", "--data", data]) == 0
    assert "it is so" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(NEED_SCIPY))
def test_without_scipy_an_experiment_that_needs_scipy_is_an_error_before_anything_runs(
    name: str, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setattr(explore, "run", lambda name, setting: pytest.fail(f"{name} was run first"))
    said = error(capsys, "explore", "descent", name, "--data", data)
    assert f"the experiment {name} needs SciPy" in said
    assert 'pip install "fastnet-mlp[insight]"' in said


def test_experiments_that_need_scipy_are_listed() -> None:
    found = set()
    for name in EXPERIMENTS:
        source = Path(explore.__file__).with_name(f"{name.replace('-', '_')}.py").read_text("utf-8")
        if "fit_temperature(" in source or "match_neurons(" in source:  # these functions import SciPy
            found.add(name)
    assert found == NEED_SCIPY


class Pair(NamedTuple):
    a: float
    b: Any


@dataclasses.dataclass(frozen=True)
class Record:
    name: str
    values: np.ndarray


def test_numbers_are_converted_to_json() -> None:
    found = plain({3: Record("x", np.array([1.5, math.nan])), "p": Pair(math.inf, (np.float32(2), np.int64(3)))})
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "3": {"name": "x", "values": [1.5, None]},
        "p": {"a": None, "b": [2.0, 3]},
    }


def test_tables_are_standardized_and_regressions_are_refused(
    fake: list[Setting], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explore", "first", "--data", flowers(folder)[0], "--backend", "numpy", "--quiet"]) == 0
    x = fake[0].data.x_train
    np.testing.assert_allclose([x.mean(axis=0), x.std(axis=0)], [[0, 0], [1, 1]], atol=1e-12)
    table, _ = prices(folder)
    assert "has no classes (regression)" in error(
        capsys, "explore", "first", "--data", table, "--label-column", "price"
    )
    assert len(fake) == 1
