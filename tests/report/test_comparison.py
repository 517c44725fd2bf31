"""The page that compares runs: its curves, its tables, and runs that lack something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
pytest.importorskip("jinja2", reason="needs Jinja2 (extra: plot)")

from report_cases import Page, comparison, content, summarized, undrawn  # noqa: F401 # a fixture is found by name

from fastnet import FastnetError, plots, report
from fastnet.report.comparison import page
from fastnet.training.comparison import Comparison, side_by_side
from fastnet.training.comparison_tables import tables


def written(found: Comparison, folder: Path) -> Page:
    report.write_comparison(folder / "x.html", found)
    return Page((folder / "x.html").read_text("utf-8"))


def test_the_curves_are_those_of_the_runs(tmp_path: Path) -> None:
    found = comparison()
    card = written(found, tmp_path).cards["curves"]
    drawn = plots.style.rendered(plots.history({run.name: run.history for run in found.runs}), "svg", dpi=220)
    assert content(card.images[0]["src"]) == drawn
    for run in found.runs:
        assert f"{run.name}: cost {run.history['cost'][-1]:.4g} after 2 epochs" in card.images[0]["alt"]


@pytest.mark.usefixtures("undrawn")
def test_the_page_has_the_tables_of_the_terminal(tmp_path: Path) -> None:
    found = comparison()
    shown = written(found, tmp_path)
    assert shown.h1 == "3 runs on <i>bands</i>"
    for table in tables(found):
        assert shown.cards[table.key].rows == table.rows
    assert shown.cards["settings"].rows[0] == ["run", "learning rate"]
    assert shown.cards["equal"].facts["layers"] == "64-4-3"
    best = max(found.runs, key=lambda run: run.figures["validation_accuracy"] or 0)
    assert shown.figures["best validation accuracy"] == f"{best.figures['validation_accuracy']:.2%}"
    assert (shown.figures["of the run"], shown.figures["settings that differ"]) == (best.name, "1")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("lacking", ["history", "network", "nothing"])
def test_runs_that_lack_something(lacking: str, tmp_path: Path) -> None:
    runs: list[Any] = list(comparison().runs)
    if lacking == "history":
        runs.append(summarized("d", epochs=0))
    elif lacking == "network":
        runs.append(report.RunSummary("d", "d", "resumable", settings={"data": "other"}))
    else:
        runs = runs[:1]
    shown = written(side_by_side(runs), tmp_path)
    assert ("Without a history of epochs: d." in shown.cards["curves"].text) == (len(runs) == 4)
    assert ("best validation accuracy" in shown.figures) == (lacking != "network")  # that one has other data
    assert ("Not trained to the end: d." in shown.text) == (lacking == "network")
    assert page(side_by_side([summarized("d", epochs=0)])).cards[0].pictures == ()


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(FastnetError, match=r'pip install "fastnet-mlp\[plot\]"'):
        report.write_comparison(tmp_path / "x.html", comparison())
